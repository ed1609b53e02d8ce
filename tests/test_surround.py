"""What measured channels and the edges of clipping say of lost light; colors and slopes that the test chose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pictures
import pytest
from fakes import LINEAR, LOG, PointEngine, decode_srgb, encode_srgb
from hypothesis import given, settings
from hypothesis import strategies as st

from expandnet_ofx import Expander, Settings
from expandnet_ofx.maps import spread
from expandnet_ofx.plates import ArrayPlate
from expandnet_ofx.rise import DEEP, EVEN, FREE, STEEPER, distance, evened, hold, rise
from expandnet_ofx.surround import SPREAD, complete, evidence, mixtures, surround_color, unlike
from expandnet_ofx.survey import survey
from expandnet_ofx.transfer import named_encoding

ratios = st.floats(-2, 2)


def encoded(light: np.ndarray) -> np.ndarray:
    value = np.clip(light, 0, 1)
    return np.where(value <= 0.0031308, 12.92 * value, 1.055 * value ** (1 / 2.4) - 0.055).astype(np.float32)


def one_color(color: np.ndarray, shape: tuple[int, int] = (24, 40)) -> np.ndarray:
    """Light of one color at levels from a tenth of white to four times white, left to right."""
    return (np.geomspace(0.1, 4, shape[1])[None, :, None] * color / color.max() * np.ones((*shape, 1))).astype(
        np.float32
    )


@settings(max_examples=50, deadline=None)
@given(red=ratios, blue=ratios)
def test_light_of_one_color_gives_its_ratios_everywhere(red: float, blue: float) -> None:
    seen = encoded(one_color(np.exp2([red, 0.0, blue])))
    found = surround_color(evidence(seen, (0.85, 1.0))[:, :, :6])
    assert found is not None
    np.testing.assert_allclose(found.values[..., 0], red, atol=0.02)
    np.testing.assert_allclose(found.values[..., 1], blue, atol=0.02)
    np.testing.assert_allclose(found.values[..., 2:], 0, atol=0.01)


def test_pixels_speak_under_the_first_level_that_they_stay_below() -> None:
    seen = np.array([0.05, 0.6, 0.79, 0.83, 0.94, 0.96, 1.0], np.float32)[None, :, None].repeat(3, 2)
    said = evidence(seen, (0.85, 1.0))
    assert (said[0, :, 0] > 0).tolist() == [False, True, True, False, False, False, False]
    assert (said[0, :, 6] > 0).tolist() == [False, False, False, True, True, False, False]
    assert surround_color(evidence(np.ones((9, 9, 3), np.float32), (0.85, 1.0))[:, :, :6]) is None


@settings(max_examples=50, deadline=None)
@given(red=st.floats(-2, 0), blue=st.floats(0.1, 2))
def test_two_channels_tell_their_ratio_beside_one_that_clips(red: float, blue: float) -> None:
    """Blue clips everywhere, green nowhere: what red is to green is known, what blue is to it is not."""
    light = 0.7 * np.exp2([red, 0.0, blue]) * np.ones((20, 30, 1))
    light[..., 2] = 1
    found = surround_color(evidence(encoded(light), (0.85, 1.0))[:, :, 6:])
    assert found is not None
    np.testing.assert_allclose(found.values[..., 0], red, atol=0.01)
    assert found.values[..., 2].max() < 0.01
    assert found.values[..., 3].min() > 1000


def test_each_side_takes_the_color_that_is_near() -> None:
    seen = np.concatenate((encoded(one_color(np.array([1, 0.5, 0.25]), (40, 30))), np.ones((40, 60, 3), np.float32),
                           encoded(one_color(np.array([0.25, 0.5, 1]), (40, 30)))[:, ::-1]), 1)  # fmt: skip
    found = surround_color(evidence(seen, (0.85, 1.0))[:, :, :6])
    assert found is not None
    assert found.values[:, 32, 0] == pytest.approx(1, abs=0.15)
    assert found.values[:, -33, 0] == pytest.approx(-1, abs=0.15)
    assert found.values[:, 60, 2:].min() > 4 * SPREAD**2, "between two colors neither is certain"


@settings(max_examples=50, deadline=None)
@given(red=ratios, blue=ratios, error=st.floats(-3, 3))
def test_a_measured_channel_and_the_color_give_the_clipped_ones(red: float, blue: float, error: float) -> None:
    color = np.exp2([red, 0.0, blue])
    truth = one_color(color)
    plate = np.minimum(truth, 1)
    matte = (truth >= 1).astype(np.float32)
    surround = np.broadcast_to(np.array([red, blue, 0, 0], np.float32), (*truth.shape[:2], 4))
    predicted = np.log2(truth) + np.float32(error)
    found = complete(predicted, plate, encoded(plate), matte, surround)
    told = matte.any(2) & ((plate * (1 - matte)).max(2) > 0.1)
    clipped = told[..., None] & (matte == 1)
    np.testing.assert_allclose(found[clipped], np.log2(truth)[clipped], atol=1e-3)
    lost = matte.all(2) | ~matte.any(2)
    assert np.array_equal(found[lost], predicted[lost])


@settings(max_examples=50, deadline=None)
@given(red=ratios, blue=ratios, part=st.floats(0, 0.6), error=st.floats(-1, 3))
def test_channels_follow_one_that_is_lifted_in_part(red: float, blue: float, part: float, error: float) -> None:
    """What comes out has the color of the surround, however far the matte lets the channel that measures rise."""
    truth = np.broadcast_to(np.exp2(np.array([red, 0.0, blue], np.float32) + 1.0), (4, 4, 3))
    least = int(truth[0, 0].argmin())
    plate, matte = np.ones_like(truth), np.ones_like(truth)
    matte[..., least] = part
    surround = np.broadcast_to(np.array([red, blue, 0, 0], np.float32), (4, 4, 4))
    log_light = np.log2(truth) + np.float32(error)
    found = complete(log_light, plate, encoded(plate), matte, surround)
    out = np.log2(plate) + matte * np.maximum(found - np.log2(plate), 0)
    np.testing.assert_allclose(out[..., 0] - out[..., 1], red, atol=2e-3)
    np.testing.assert_allclose(out[..., 2] - out[..., 1], blue, atol=2e-3)


def test_a_surround_that_contradicts_the_plate_is_not_believed() -> None:
    """A blue sky (blue clipped, red measured) beside a warm wall, whose color would put blue far below white."""
    plate = np.broadcast_to(np.array([0.6, 0.9, 1.0], np.float32), (4, 4, 3))
    matte = np.broadcast_to(np.array([0.0, 0.0, 1.0], np.float32), plate.shape)
    wall = np.broadcast_to(np.array([1.0, -1.0, 0.0, 0.0], np.float32), (4, 4, 4))
    predicted = np.full(plate.shape, 0.7, np.float32)
    assert np.array_equal(complete(predicted, plate, encoded(plate), matte, wall), predicted)


def test_channels_of_one_matte_tell_each_other_nothing() -> None:
    rng = np.random.default_rng(0)
    matte = rng.random((20, 20, 1), np.float32).repeat(3, 2)
    predicted = rng.random((20, 20, 3), np.float32)
    plate = rng.random((20, 20, 3), np.float32)
    surround = np.zeros((20, 20, 4), np.float32)
    assert np.array_equal(complete(predicted, plate, encoded(plate), matte, surround), predicted)
    assert not unlike(matte).any()
    for channel in range(3):
        matte[3, 4 + channel, channel] += 1
    assert np.argwhere(unlike(matte)).tolist() == [[3, 4], [3, 5], [3, 6]]


@pytest.mark.parametrize("width", [12, 50])
def test_a_colored_light_is_found_from_the_channel_that_measures_it(plain_expander: Expander, width: int) -> None:
    """Red clips far from its soft edge, green nowhere: how slowly red seems to rise has no say against what green tells."""
    y, x = pictures.grid(160, 240)
    rise = 0.25 + 2.4 * np.exp(-((x / (2 * width)) ** 2) - (y / width) ** 2)
    light = (rise[:, :, None] * np.array([1, 0.33, 0.15])).astype(np.float32)
    plate = np.rint(255 * encode_srgb(np.minimum(light, 1))).astype(np.uint8)
    clipped = plate[..., 0] == 255
    assert plate[..., 1].max() < 250
    assert light[..., 0][clipped].max() > 2.5
    np.testing.assert_allclose(np.log2(plain_expander(plate) / light)[clipped][:, 0], 0, atol=0.05)


def test_a_mixed_pixel_at_a_sharp_edge_is_no_measurement(plain_expander: Expander) -> None:
    """An anti-aliased colored lamp: its edge pixel is part ground, so its ratio tells nothing; no rim may stand out."""
    y, x = pictures.grid(96, 96)
    cover = np.clip(24.3 - np.hypot(x, y) + 0.5, 0, 1)[..., None]
    for color in ((4.0, 12.0, 6.0), (12.0, 3.0, 2.0)):
        truth = 0.02 + cover * np.array(color)
        truth += 0.8 * np.exp(-((np.hypot(x, y) / 30) ** 2))[..., None] * np.array(color) / max(color)
        light = plain_expander(pictures.plate_of(truth))
        row = np.log2(light[48])
        for channel in range(3):
            inner = row[30:66, channel].max()
            assert row[:, channel].max() <= inner + 0.1, (color, channel)


def test_a_mixture_lies_between_clipped_and_much_darker_pixels() -> None:
    codes = np.array([0.1, 0.1, 0.1, 0.7, 1.0, 1.0, 1.0])
    seen = np.broadcast_to(codes[None, :, None], (5, 7, 3)).astype(np.float32)
    matte = (seen == 1).astype(np.float32)
    assert mixtures(matte, seen).shape == (3, 5, 3)
    assert np.flatnonzero(mixtures(matte, seen)[1, :, 0]).tolist() == [2]
    slow = np.broadcast_to(np.linspace(0.8, 1.1, 7)[None, :, None].clip(0, 1), (5, 7, 3)).astype(np.float32)
    assert not mixtures((slow >= 0.99).astype(np.float32), slow).any(), "light that comes in slowly is measured"


def test_hidden_pixels_have_no_color() -> None:
    plate = np.full((64, 64, 4), (200, 100, 50, 255), np.uint8)
    plate[:, 32:] = 50, 100, 200, 0
    found = surround_color(survey(ArrayPlate(plate, named_encoding("srgb")), antialias=True).surround[:, :, :6])
    expected = np.log2(decode_srgb(200 / 255) / decode_srgb(100 / 255))
    assert found is not None
    np.testing.assert_allclose(found.values[..., 0], expected, atol=0.01)


@pytest.mark.parametrize("white", [1.0, 0.92])
def test_what_clips_below_full_scale_is_no_evidence(white: float) -> None:
    """Orange light whose clipped red would look like a paler color if it were taken for measured."""
    truth = pictures.glow(peak=(3.0, 1.0, 0.25), width=40, size=160)
    plate = pictures.plate_of(truth, white=white)
    expander = Expander(Settings(), engine=PointEngine(gain=2.0))
    analysis = expander.analyze(plate)
    assert analysis.clip_levels[0] == pytest.approx(white, abs=0.01)
    assert analysis.surround is not None
    center = analysis.surround.values[76:84, 76:84, 0]
    # The floor of the picture is gray, so the glow is a little paler than its source.
    assert center.min() > 1.2


@settings(max_examples=60, deadline=None)
@given(height=st.integers(1, 20), width=st.integers(1, 20), seed=st.integers(0, 99), wrap=st.booleans())
def test_distance_is_the_nearest_of_all(height: int, width: int, seed: int, wrap: bool) -> None:
    inside = np.random.default_rng(seed).random((height, width)) < 0.9
    inside[0, 0] = False
    aspect = 0.5 + seed / 50
    y, x = np.nonzero(~inside)
    rows, columns = np.mgrid[:height, :width]
    across = np.abs(columns[..., None] - x)
    across = np.minimum(across, width - across) if wrap else across
    expected = np.hypot(aspect * (rows[..., None] - y), across).min(2)
    np.testing.assert_allclose(distance(inside, aspect=aspect, wrap=wrap), expected, rtol=1e-5)


@settings(max_examples=60, deadline=None)
@given(gain=st.floats(0, 12), limit=st.floats(0, FREE))
def test_held_light_is_under_both_and_loses_nothing_behind_a_hard_edge(gain: float, limit: float) -> None:
    plate, one = np.zeros((1, 1, 3), np.float32), np.ones((1, 1, 3), np.float32)
    held = hold(gain * one, plate, limit * one)
    assert 0 <= held.max() <= (gain if limit == FREE else min(gain, limit)) * (1 + 1e-5) + 1e-6
    assert np.array_equal(hold(gain * one, plate, FREE * one), gain * one)
    assert np.array_equal(hold(-gain * one, plate, limit * one), -gain * one), "what is darker is not touched"


def slow_and_hard(slope: float) -> tuple[np.ndarray, np.ndarray]:
    """A proxy that rises aslant by `slope` stops per column into clipping, and jumps to dark at the right."""
    y, x = np.mgrid[-128:128, -128:128]
    light = np.exp2(np.minimum(slope * (x + 0.37 * y), 2.0))
    light[:, 230:] = 0.02
    proxy = encoded(light[..., None].repeat(3, 2))
    around = np.pad(proxy, ((0, 0), (1, 1), (0, 0)), mode="edge")
    return proxy, np.maximum(np.maximum(around[:, :-2], around[:, 2:]), proxy)


@pytest.mark.parametrize("slope", [0.02, 0.05, 0.1])
def test_light_may_rise_as_it_came_in(slope: float) -> None:
    proxy, peak = slow_and_hard(slope)
    found = rise(proxy, peak, np.full(3, 0.94, np.float32), aspect=1.0, shape=(256, 256), wrap=False)
    row = found.values[128, :, 1]
    start = -np.log2(decode_srgb(0.94))
    edge = 128 - start / slope
    assert row[int(edge) - 10 : int(edge) - 3].max() < 0.1
    inward = np.arange(132, 138)
    expected = STEEPER * slope * (inward - edge) - start
    assert (row[inward] > 0.5 * expected - 0.1).all()
    assert (row[inward] < 2 * expected + 0.5).all()
    assert row[222:230].min() == FREE, "up to the hard edge nothing is held"


def test_edges_of_unlike_slopes_draw_no_border_deep_inside() -> None:
    """A clipped sky over a horizon that is hard on the left and a soft cloud on the right."""
    y, x = np.mgrid[:256, :256]
    soft = 0.03 * (190 - y)
    hard = np.where(y > 190, -4.0, soft + 1.0)
    light = np.exp2(np.minimum(np.where(x < 128, hard, soft), 0.02 * (y - 20)))
    proxy = encoded(np.minimum(light, 1)[..., None].repeat(3, 2))
    around = np.pad(proxy, ((1, 1), (1, 1), (0, 0)), mode="edge")
    peak = np.max([around[i : i + 256, j : j + 256] for i in range(3) for j in range(3)], 0)
    found = rise(proxy, peak, np.full(3, 0.94, np.float32), aspect=1.0, shape=(256, 256), wrap=False)
    gain = hold(np.ones_like(proxy), np.zeros_like(proxy), found.values)[..., 1]
    # Each side by its own slope alone, it would rise by 0.047 within a pixel.
    assert np.abs(np.diff(gain[100:179], axis=1)).max() < 0.025


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), share=st.floats(0.3, 1), wrap=st.booleans())
def test_limits_stay_among_those_of_their_area(seed: int, share: float, wrap: bool) -> None:
    rng = np.random.default_rng(seed)
    inside = rng.random((64, 64, 3)) < share
    held = rng.uniform(0, FREE, inside.shape).astype(np.float32)
    depth = rng.uniform(0, 2 * DEEP, inside.shape).astype(np.float32) * inside
    found = evened(held, inside, depth, wrap=wrap)
    edge = depth == 0
    # Powers of e near 1 are told apart by one part in 2^23 in single precision.
    np.testing.assert_allclose(found[edge], held[edge], rtol=1e-2, atol=EVEN * 2**-23)
    for channel in range(3):
        own = inside[..., channel]
        assert found[..., channel][own].min() >= held[..., channel][own].min() * 0.98 - 1e-3
        assert found[..., channel][own].max() <= held[..., channel][own].max() * 1.02 + 1e-3


def level_edge(moved: float, *, slope: float = 0.0075, grain: float = 0.0) -> np.ndarray:
    """A sky that darkens downwards past white, moved by some pixels: the hardest case for a grid of proxy pixels."""
    stops = np.minimum(slope * (400 + moved - np.arange(1024.0)), 2)[:, None, None]
    noise = np.random.default_rng(0).normal(size=(1024, 512, 1)) * grain
    return np.rint(np.clip(255 * encoded(np.exp2(stops)) + noise, 0, 255)).repeat(3, 2).astype(np.uint8)


@pytest.mark.parametrize("grain", [0.0, 1.0])
def test_a_pan_does_not_change_how_far_light_may_rise(grain: float) -> None:
    """100 pixels inside, where the slope carried on allows about 0.0075 * 100 stops times how much steeper light gets."""
    expander = Expander(engine=PointEngine(gain=4.0))
    limits = []
    for moved in range(5):
        analysis = expander.analyze(level_edge(moved, grain=grain))
        assert analysis.rise is not None
        limits.append(float(analysis.rise.values[round((300 + moved) * 0.375), 96, 1]))
    start = -np.log2(decode_srgb(0.94))
    expected = STEEPER * (0.0075 * 100 + start) - start
    assert np.ptp(limits) < 0.25 * expected
    assert np.mean(limits) == pytest.approx(expected, rel=0.25)


def test_a_plate_on_its_side_has_the_same_limits() -> None:
    y, x = np.mgrid[:256, :512].astype(float)
    stops = np.minimum(0.02 * (100 + 12 * np.sin(x / 17) - y), 4)
    plate = np.rint(255 * encoded(np.exp2(stops)[..., None])).repeat(3, 2).astype(np.uint8)
    expander = Expander(engine=PointEngine(gain=4.0))
    upright, turned = expander.analyze(plate).rise, expander.analyze(plate.swapaxes(0, 1).copy()).rise
    assert upright is not None
    assert turned is not None
    inside = np.s_[4:60, 20:-20, 1]
    np.testing.assert_allclose(turned.values.swapaxes(0, 1)[inside], upright.values[inside], rtol=0.2, atol=0.1)


@pytest.mark.parametrize("hidden", [0, 128, 255])
def test_hidden_pixels_do_not_hold_light(hidden: int) -> None:
    """A soft sky cut out by alpha: what lies behind the cut is nobody's edge."""
    plate = np.dstack((level_edge(0)[::2, ::2], np.full((512, 256), 255, np.uint8)))
    expander = Expander(engine=PointEngine(gain=4.0))
    whole = expander.analyze(plate).rise
    plate[:50, :, 3] = 0
    plate[:50, :, :3] = hidden
    cut = expander.analyze(plate).rise
    assert whole is not None
    assert cut is not None
    rows = np.s_[45:130]
    np.testing.assert_allclose(cut.values[rows], whole.values[rows], rtol=0.15, atol=0.1)


def test_weights_that_stretch_hold_light_alike() -> None:
    plate = np.maximum(level_edge(0)[::2, ::2], 140)
    plain, stretched = (
        Expander(engine=PointEngine(gain=4.0, contract=contract)).analyze(plate).rise
        for contract in (LOG, replace(LINEAR, input_stretch=True))
    )
    assert plain is not None
    assert stretched == plain


def test_a_channel_without_light_does_not_spoil_the_others() -> None:
    """Amber light whose blue is 0: red is told by green, although blue over green means nothing."""
    color = np.array([2.2, 1.0, 0.0])
    truth = np.geomspace(0.1, 1.2, 200)[None, :, None] * color * np.ones((40, 1, 1))
    plate = pictures.plate_of(truth)
    light = Expander(engine=PointEngine(gain=1.0))(plate)
    told = (plate[..., 0] == 255) & (plate[..., 1] < 235)
    assert told.sum() > 500
    np.testing.assert_allclose(np.log2(light[told, 0] / truth[told, 0]), 0, atol=0.15)


def test_spread_keeps_what_is_known() -> None:
    rng = np.random.default_rng(1)
    known = np.zeros((32, 48, 2), np.float32)
    known[..., 0] = 1
    smooth = np.add.outer(np.linspace(0, 1, 32), np.linspace(0, 2, 48))
    known[..., 1] = smooth + 0.01 * rng.normal(size=(32, 48))
    np.testing.assert_allclose(spread(known, enough=50)[2:-2, 2:-2, 0], smooth[2:-2, 2:-2], atol=0.05)
    lone = np.zeros((16, 16, 2), np.float32)
    lone[3, 4] = 0.2, 0.2 * 7
    np.testing.assert_allclose(spread(lone, enough=50)[..., 0], 7, rtol=1e-4)
    turned = spread(np.roll(known * (known[..., 1:] > 1.5), 16, 1), enough=50, wrap=True)
    plain = spread(known * (known[..., 1:] > 1.5), enough=50, wrap=True)
    np.testing.assert_allclose(turned, np.roll(plain, 16, 1), atol=1e-5)


def test_a_sky_that_drifts_into_clipping_leaves_it_without_a_rim(plain_expander: Expander) -> None:
    """Each channel clips at a place of its own; the result must not step where one does."""
    height, width = 240, 320
    stops = np.linspace(-2.5, 0.7, height)[:, None]
    truth = np.exp2(stops)[..., None] * np.array([0.9, 0.97, 1.1]) * np.ones((1, width, 1))
    grain = np.random.default_rng(0).normal(size=truth.shape) * 0.5
    plate = np.rint(np.clip(255 * encoded(truth) + grain, 0, 255)).astype(np.uint8)
    light = np.log2(plain_expander(plate)).mean(1)
    steps = np.diff(light[4:-4], axis=0)
    true_step = 3.2 / (height - 1)
    # The hand-over from measured channels to the network alone is the largest step; from 0.1 stops on it would be a rim.
    assert steps.max() < 0.08
    assert np.abs(light - np.log2(truth).mean(1))[:-40].max() < 0.15
    assert steps.min() > -true_step
    assert light[-4].min() > 0.1


def test_light_is_let_go_without_a_jump() -> None:
    """A map that holds nothing is sampled a millionth below what says so here and there."""
    limit = np.arange(0, FREE + 1, 0.01, dtype=np.float32)[:, None].repeat(3, 1)
    gain = np.full_like(limit, 12)
    held = hold(gain, np.zeros_like(limit), limit)
    assert 0 <= np.diff(held[:, 0]).min() <= np.diff(held[:, 0]).max() < 0.02
    nearly = np.nextafter(np.float32(FREE), np.float32(0)) * np.ones((1, 3), np.float32)
    np.testing.assert_array_equal(hold(gain[:1], np.zeros_like(nearly), nearly), gain[:1])


@pytest.mark.parametrize("size", [(102, 1920), (1920, 102), (1080, 1920)])
def test_no_side_is_preferred(size: tuple[int, int]) -> None:
    """A picture turned around has its maps turned around: evidence is read in the middle, averages are of all."""
    y, x = np.mgrid[: size[0], : size[1]] / max(size)
    light = 0.15 + 0.1 * np.sin(40 * x)[..., None] * np.array([1, 0.5, 0.2]) + 0.1 * np.cos(31 * y)[..., None]
    for cx, cy in ((0.2, 0.02), (0.6, 0.4), (0.03, 0.7)):
        light = light + (np.hypot(x - cx, y - cy) < 0.05)[..., None] * np.array([1.5, 0.9, 0.5])
    plate = np.rint(255 * encode_srgb(np.clip(light, 0, 1))).astype(np.uint8)
    expander = Expander(engine=PointEngine(gain=8))
    own = expander.analyze(plate)
    for turn in (np.s_[:, ::-1], np.s_[::-1]):
        turned = expander.analyze(np.ascontiguousarray(plate[turn]))
        for name in ("rise", "surround"):
            one, other = getattr(turned, name).values[turn], getattr(own, name).values
            # Maps are half floats.
            np.testing.assert_allclose(one, other, rtol=2**-10, atol=2**-7, err_msg=name)
