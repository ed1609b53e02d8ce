"""What a compositor must get, rule by rule, on pictures whose light is known because the test made it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pictures
import plates
import pytest
from fakes import decode_srgb

from expandnet_ofx import Expander, Settings
from expandnet_ofx.color import input_encoding
from expandnet_ofx.plates import ArrayPlate

Expand = Callable[..., np.ndarray]

COLORS = {
    "orange": (8.0, 3.0, 0.6),
    "blue": (0.5, 1.2, 4.0),
    "red": (4.0, 0.3, 0.2),
    "green": (0.4, 3.0, 0.5),
    "sun": (6.0, 4.0, 2.0),
    "sky": (0.7, 0.95, 1.6),
    "magenta": (3.0, 0.4, 2.5),
}
"""Light of colored lamps and skies over plate white; one, two or three channels clip."""


@pytest.fixture(scope="module")
def expand(plain_expander: Expander) -> Expand:
    """Expand a plate; keywords change the settings."""

    def run(plate: np.ndarray, **changes: object) -> np.ndarray:
        expander = plain_expander
        if changes:
            expander = Expander(Settings(**changes), engine=plain_expander.engine)  # type: ignore[arg-type]
        return expander(plate)

    return run


def decoded(plate: np.ndarray) -> np.ndarray:
    """Return what the package's own table holds for each code: the plate bit for bit."""
    return input_encoding("srgb").decode(plate)


def gain(plate: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Return the stops each channel gained."""
    floor = 2.0**-20
    return np.log2(np.maximum(light, floor) / np.maximum(decode_srgb(plate / 255.0), floor))


def matte_of(expander: Expander, plate: np.ndarray, **options: object) -> tuple[np.ndarray, np.ndarray]:
    """Return light and matte of a plate."""
    bands = list(expander.bands(plate, expander.analyze(plate), **options))  # type: ignore[arg-type]
    return np.concatenate([band.light for band in bands]), np.concatenate([band.matte for band in bands])


def varied_plates() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    return {
        "disc": pictures.plate_of(pictures.disc(12, peak=(9, 6, 2), around=(0.2, 0.1, 0.05), size=96)),
        "glow": pictures.plate_of(pictures.glow(peak=(5, 2, 0.7), width=20, size=96)),
        "ramp": pictures.plate_of(pictures.ramp(color=(1, 0.7, 0.3), low=-3, high=3, height=32, width=160)),
        "bars": pictures.color_bars(1.0),
        "slate": pictures.slate(),
        "noise": rng.integers(0, 256, (64, 80, 3), dtype=np.uint8),
        "jpeg": pictures.jpeg(pictures.plate_of(pictures.disc(20, peak=(5, 5, 5), around=(0.1,) * 3), white=0.95)),
    }


@pytest.mark.parametrize("name", varied_plates())
def test_measured_channels_come_back_bit_for_bit_and_nothing_gets_darker(plain_expander: Expander, name: str) -> None:
    plate = varied_plates()[name]
    light, matte = matte_of(plain_expander, plate)
    reference = decoded(plate)
    np.testing.assert_allclose(reference, decode_srgb(plate / 255.0), atol=1e-6)
    assert np.array_equal(light[matte == 0], reference[matte == 0])
    assert (light >= reference).all()
    beside = (matte == 0) & (matte > 0.5).any(2, keepdims=True)
    if name in ("disc", "glow", "ramp", "bars", "slate"):
        assert beside.any(), "the plate has no measured channel beside a clipped one: nothing was tested"
    else:
        assert (matte > 0).any()


@pytest.mark.parametrize("radius", [3, 5, 6, 8, 12, 16, 25, 40, 70, 100])
def test_no_ring_at_the_edge_of_clipped_discs_and_no_texture_inside(expand: Expand, radius: int) -> None:
    size = max(64, round(2.4 * radius) + 16)
    cases = [(0.02, 1.5, 4.0), (0.02, 4.0, 30.0), (0.2, 4.0, 30.0), (0.5, 1.5, 4.0)]
    for ground, soft, peak in cases if radius <= 8 else cases[1:3]:
        truth = pictures.disc(radius, peak=[peak] * 3, around=[ground] * 3, soft=soft, size=size)
        light = expand(pictures.plate_of(truth))
        stops = pictures.log_luminance(light)
        edge = int((pictures.radial_profile((truth[..., 1] >= 1) * 1.0) > 0.5).sum())
        inward = pictures.radial_profile(stops)[max(0, edge - 10) : edge + 3][::-1]
        assert pictures.largest_fall(inward) <= 0.05, (ground, soft, peak)
        assert inward[-1] > inward[0] + 0.3, "nothing was recovered, so a flat result would pass"
        y, x = pictures.grid(size, size)
        inside = (np.hypot(x, y) < radius - 12)[1:-1, 1:-1]
        if inside.sum() > 20:
            assert np.sqrt(np.mean(pictures.laplacian(stops)[inside] ** 2)) < 0.03, (ground, soft, peak)


def test_clipped_bars_of_all_widths_rise_from_their_edges(expand: Expand) -> None:
    for width in (3, 6, 9, 14, 24):
        across = np.abs(np.arange(96) - 47.5)
        cover = np.clip((width / 2 - across) / 2 + 0.5, 0, 1)[None, :, None]
        truth = np.broadcast_to(0.05 + cover * np.full(3, 8.0), (64, 96, 3))
        stops = pictures.log_luminance(expand(pictures.plate_of(truth)))[32]
        edge = int(np.flatnonzero(truth[0, :, 0] >= 1)[0])
        for side in (stops, stops[::-1]):
            inward = side[edge - 3 : min(edge + 10, 48)]
            assert pictures.largest_fall(inward) <= 0.05, width
            assert inward[-1] > 0.3, width


@pytest.mark.parametrize("color", [(1, 1, 1), (1, 0.8, 0.6), (0.7, 0.85, 1)])
def test_gradients_into_clipping_go_on_rising(expand: Expand, color: tuple[float, float, float]) -> None:
    truth = pictures.ramp(color=color, low=-4, high=2, height=48, width=192)
    stops = pictures.log_luminance(expand(pictures.plate_of(truth)))[8:-8].mean(0)
    clips = int(np.argmax(truth[0].max(1) >= 1))
    assert pictures.largest_fall(stops[clips - 20 : clips + 12]) <= 0.05
    assert np.abs(np.diff(stops)[clips - 20 : clips + 40]).max() < 0.4


@pytest.mark.parametrize("white", [1.0, 0.97, 0.95, 0.9])
def test_jpeg_whites_are_found_and_keep_no_more_ringing_than_the_file_has(
    plain_expander: Expander, white: float
) -> None:
    for radius, ground in ((25, 0.2), (40, 0.05)):
        truth = pictures.disc(radius, peak=[6] * 3, around=[ground] * 3, soft=4, size=128)
        plate = pictures.jpeg(pictures.plate_of(truth, white=white))
        analysis = plain_expander.analyze(plate)
        assert analysis.clip_levels == pytest.approx((white,) * 3, abs=1.5 / 255)
        light = plain_expander.render(plate, analysis)
        assert (light >= decoded(plate)).all()
        edge = int((pictures.radial_profile((truth[..., 1] >= 1) * 1.0) > 0.5).sum())
        falls = []
        for picture in (decoded(plate), light):
            profile = pictures.radial_profile(pictures.log_luminance(picture))
            falls.append(pictures.largest_fall(profile[max(0, edge - 10) : edge + 3][::-1]))
        assert falls[1] <= falls[0] + 0.15
        y, x = pictures.grid(128, 128)
        inside = np.hypot(x, y) < radius - 12
        stops = pictures.log_luminance(light)
        assert np.sqrt(np.mean(pictures.laplacian(stops)[inside[1:-1, 1:-1]] ** 2)) < 0.03
        assert stops[inside].mean() > 0.5


@pytest.mark.parametrize("shape", ["disc", "glow"])
@pytest.mark.parametrize("name", COLORS)
def test_hue_of_colored_light_is_within_ten_degrees(expand: Expand, shape: str, name: str) -> None:
    peak = np.array(COLORS[name])
    if shape == "disc":
        truth = pictures.disc(20, peak=peak, around=0.02 * peak, size=96)
    else:
        truth = pictures.glow(peak=peak, width=28, size=128)
    plate = pictures.plate_of(truth)
    clipped = (plate >= 253).any(2) & (truth > 1).any(2)
    found = expand(plate)[clipped]
    # What came back nearly gray has no hue.
    colored = found.min(1) < 0.9 * found.max(1)
    errors = pictures.hue_errors(found[colored], truth[clipped][colored])
    assert errors.size > 50
    assert np.median(errors) <= 10


def test_hue_transform_meets_the_standard() -> None:
    """Neutral light has no chroma, and PQ is 0.58 at 203 cd/m2 (ITU-R BT.2408, table 1)."""
    neutral = pictures.ictcp(np.ones(3))
    assert neutral[0] == pytest.approx(0.58, abs=0.002)
    np.testing.assert_allclose(neutral[1:], 0, atol=1e-3)
    light = np.array(list(COLORS.values()))
    assert pictures.hue_errors(2 * light, 2 * light).max() < 1e-9
    assert pictures.hue_errors(light, light[:, ::-1]).max() > 90


@pytest.mark.parametrize("scene", plates.SCENES)
def test_hue_in_scenes_is_nearer_to_the_truth_than_the_plate(expand: Expand, scene: str) -> None:
    truth = plates.render(scene, width=240, height=135)
    plate = plates.expose(truth)
    clipped = (plate >= 253).any(2) & (truth > 1).any(2)
    ours, bare = (pictures.hue_errors(x[clipped], truth[clipped]) for x in (expand(plate), decode_srgb(plate / 255.0)))
    assert np.median(ours) < 0.8 * np.median(bare)


def test_speckle_gains_little(expand: Expand) -> None:
    rng = np.random.default_rng(0)
    lone = np.full((96, 96, 3), 120, np.uint8)
    rows, columns = rng.permutation(np.arange(4, 92, 8)), rng.permutation(np.arange(4, 92, 8))
    lone[rows, columns] = 255
    assert gain(lone, expand(lone)).max() < 0.5
    block = lone.copy()
    block[40:56, 40:56] = 255
    assert gain(block, expand(block))[44:52, 44:52].min() > 0.5, "a clipped area must gain, or the rule is empty"


def test_noise_of_one_code_at_the_clip_level_makes_no_texture(expand: Expand) -> None:
    rng = np.random.default_rng(0)
    plate = (253 + rng.integers(0, 3, (96, 96, 1))).repeat(3, 2).astype(np.uint8)
    plate[:, :40] = 90
    inner = np.s_[12:-12, 60:-12]
    ours, bare = (
        pictures.laplacian(pictures.log_luminance(x))[inner] for x in (expand(plate), decode_srgb(plate / 255.0))
    )
    assert np.sqrt(np.mean(ours**2)) < 0.03 < np.sqrt(np.mean(bare**2))


PRIMARIES = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 255, 255), (255, 0, 255), (255, 255, 0), (0, 40, 255)]


@pytest.mark.parametrize("limit", [2.0, 0.5, 0.0])
def test_saturated_colors_gain_no_more_than_their_limit(expand: Expand, limit: float) -> None:
    plate = pictures.patches(PRIMARIES)
    # Two stops more than the network says, so that it offers more than any limit here.
    gained = gain(plate, expand(plate, saturated_max_stops=limit, stops=2.0))
    assert gained.max() <= limit + 1e-4
    assert (gained[plate < 230] <= 1e-5).all()
    free = gain(plate, expand(plate, saturated_max_stops=16, stops=2.0))
    assert free.max() > 2, "the network offers more than the limit, or the rule is empty"


def test_color_bars(expand: Expand) -> None:
    """Saturated bars stay under the limit; those that do not clip come back as they were."""
    full, three_quarters = pictures.color_bars(1.0), pictures.color_bars(0.75)
    colored = np.s_[:, 32:]
    assert gain(full, expand(full))[colored].max() <= 2 + 1e-4
    light = expand(three_quarters)
    assert np.array_equal(light[colored], decoded(three_quarters)[colored])


def test_burn_in_text_gains_less_than_a_stop(expand: Expand) -> None:
    for ground in (8, 60, 118):
        plate = pictures.with_text(
            np.full((90, 240, 3), ground, np.uint8), ["SHOT 010_0040", "TC 01:00:00:00"], color=(255, 255, 255)
        )
        assert (plate == 255).sum() > 100
        assert gain(plate, expand(plate)).max() < 1


def test_slate_keeps_its_ground_and_its_colors(expand: Expand) -> None:
    plate = pictures.slate()
    light = expand(plate)
    measured = plate < 0.94 * 255 - 1
    assert np.array_equal(light[measured], decoded(plate)[measured])
    assert gain(plate, light)[72:108, 162:308].max() <= 2 + 1e-4
    assert gain(plate, light)[5:60].max() < 1, "text"


def test_pages_come_back_exactly(expand: Expand) -> None:
    white = np.full((90, 160, 3), 255, np.uint8)
    assert np.array_equal(expand(white), decoded(white))
    page = pictures.with_text(white, ["A PAGE"], color=(0, 0, 0), size=12)
    assert (page < 255).any()
    assert np.array_equal(expand(page), decoded(page))


@pytest.fixture(scope="module")
def lamp() -> np.ndarray:
    """A warm lamp over a dim ground: every channel clips, red over the widest area."""
    return pictures.plate_of(pictures.glow(peak=(14, 9, 5), width=16, floor=0.05, size=96))


def test_stops_move_the_recovered_part_alone(plain_expander: Expander, expand: Expand, lamp: np.ndarray) -> None:
    light, matte = matte_of(plain_expander, lamp)
    more = expand(lamp, stops=1.5)
    assert np.array_equal(more[matte == 0], light[matte == 0])
    whole = (matte == 1) & (gain(lamp, light) > 0.01)
    assert whole.sum() > 100
    np.testing.assert_allclose(np.log2(more[whole] / light[whole]), 1.5, atol=1e-4)
    less = expand(lamp, stops=-16)
    assert np.array_equal(less, decoded(lamp)), "with nothing left to add the plate is the result"


def test_threshold_full_and_white_say_where_the_matte_is(plain_expander: Expander) -> None:
    """A slow ramp, so that the low-pass of the matte changes nothing to speak of."""
    codes = np.linspace(150, 255, 512)
    plate = np.broadcast_to(np.rint(codes)[None, :, None], (48, 512, 3)).astype(np.uint8)
    for changes, first, complete in (
        ({}, 0.94, 0.992),
        ({"threshold": 0.8, "full": 0.9}, 0.8, 0.9),
        ({"white": 0.9}, 0.94 * 0.9, 0.992 * 0.9),
    ):
        expander = Expander(Settings(**changes), engine=plain_expander.engine)  # type: ignore[arg-type]
        _, matte = matte_of(expander, plate)
        row = matte[24, :, 1]
        share = plate[24, :, 1] / 255
        assert (row[share < first - 1e-4] == 0).all()
        assert (row[share > first + 0.008] > 0).all()
        assert (row[share >= complete + 0.004][:-4] > 0.999).all()
        t = np.clip((share - first) / (complete - first), 0, 1)
        np.testing.assert_allclose(row, t * t * (3 - 2 * t), atol=0.06)


def test_max_stops_is_a_roof_with_a_smooth_shoulder(plain_expander: Expander, expand: Expand, lamp: np.ndarray) -> None:
    _, matte = matte_of(plain_expander, lamp)
    limited = expand(lamp, max_stops=2.0, stops=2.0)
    free = expand(lamp, stops=2.0)
    whole = matte == 1
    before, after = gain(lamp, free)[whole], gain(lamp, limited)[whole]
    assert before.max() > 3
    assert after.max() <= 2 + 1e-4
    low = before < 0.95
    np.testing.assert_allclose(after[low], before[low], atol=1e-4)
    order = np.argsort(before)
    rise = np.diff(after[order])
    assert (rise >= -1e-4).all()
    assert (rise <= np.diff(before[order]) + 1e-4).all()
    assert np.abs(gain(lamp, expand(lamp, max_stops=0.0))).max() < 1e-4


def test_saturation_zero_is_gray_where_all_is_recovered(
    plain_expander: Expander, expand: Expand, lamp: np.ndarray
) -> None:
    light, matte = matte_of(plain_expander, lamp)
    gray = expand(lamp, saturation=0.0)
    whole = (matte == 1).all(2) & (gain(lamp, gray) > 0.01).all(2)
    assert whole.sum() > 100
    np.testing.assert_allclose(gray[whole].min(1), gray[whole].max(1), rtol=1e-4)
    assert np.ptp(light[whole], axis=1).max() > 0.01
    assert np.array_equal(gray[matte == 0], light[matte == 0])


def test_merge_full_takes_the_prediction_everywhere(plain_expander: Expander, expand: Expand, lamp: np.ndarray) -> None:
    expander = Expander(Settings(merge="full"), engine=plain_expander.engine)
    light, matte = matte_of(expander, lamp)
    assert (matte == 1).all()
    assert (light != decoded(lamp)).mean() > 0.99
    doubled = expand(lamp, merge="full", stops=1.0)
    np.testing.assert_allclose(doubled, 2 * light, rtol=1e-5)


def test_merge_channels_together_shares_the_largest_matte(plain_expander: Expander) -> None:
    plate = varied_plates()["ramp"]
    _, separate = matte_of(plain_expander, plate)
    _, together = matte_of(Expander(Settings(merge_channels="together"), engine=plain_expander.engine), plate)
    assert np.ptp(separate, axis=2).max() > 0.9
    assert np.ptp(together, axis=2).max() == 0
    np.testing.assert_allclose(together[..., 0], separate.max(2), atol=1e-6)


def test_mask_keeps_areas_out(plain_expander: Expander, lamp: np.ndarray) -> None:
    keep = np.zeros(lamp.shape[:2], np.uint8)
    keep[:, :48] = 255
    keep[:, 48:56] = 128
    mask = ArrayPlate(keep, input_encoding("linear"))
    light, matte = matte_of(plain_expander, lamp)
    masked, masked_matte = matte_of(plain_expander, lamp, mask=mask)
    assert (matte[:, :48] > 0).any()
    assert np.array_equal(masked[:, :48], decoded(lamp)[:, :48])
    assert (masked_matte[:, :48] == 0).all()
    assert np.array_equal(masked[:, 56:], light[:, 56:])
    np.testing.assert_allclose(masked_matte[:, 48:56], matte[:, 48:56] * (1 - 128 / 255), atol=1e-6)


def test_matte_is_what_the_merge_used(plain_expander: Expander, lamp: np.ndarray) -> None:
    light, matte = matte_of(plain_expander, lamp)
    assert matte.min() == 0
    assert matte.max() == 1
    assert ((light > decoded(lamp)) <= (matte > 0)).all()
    clipped = np.pad(lamp[4:-4, 4:-4] == 255, ((4, 4), (4, 4), (0, 0)))
    deep = clipped.copy()
    for axis in (0, 1):
        for shift in range(-2, 3):
            deep &= np.roll(clipped, shift, axis)
    assert deep.any()
    assert (matte[deep] > 0.9).all()
