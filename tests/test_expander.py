from __future__ import annotations

import io
import json
from dataclasses import replace

import fakes
import numpy as np
import plain_network
import pytest
import torch
from fakes import BoxEngine, PointEngine, encode_srgb
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.nn import functional

from expandnet_ofx import Analysis, ArrayPlate, Expander, Settings, bands, grade
from expandnet_ofx.errors import AlreadyHDRError, InputError, OutOfMemoryError, UsageError
from expandnet_ofx.predicted import Predicted
from expandnet_ofx.statistics import RenderStatistics
from expandnet_ofx.survey import survey
from expandnet_ofx.transfer import named_encoding

ONE_TILE = 8192


def noise(height: int, width: int, seed: int = 0, channels: int = 3) -> np.ndarray:
    """A random 8-bit plate with clipped patches beside dark ones."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 256, (height, width, channels), np.uint8)
    patches = rng.random((-(-height // 7), -(-width // 7), channels)).repeat(7, 0).repeat(7, 1)[:height, :width]
    codes[patches > 0.6] = 255
    return codes


def without_maps(analysis: Analysis) -> Analysis:
    """Return the numbers of an analysis alone: maps are pictures of the plate and would have to move with it."""
    return replace(analysis, recovered=None, rise=None, surround=None)


def tiled(expander: Expander, **changes) -> Expander:
    return Expander(replace(expander.settings, **changes), engine=expander.engine)


def box(settings: Settings | None = None, **options) -> Expander:
    return Expander(settings or Settings(white=1.0), engine=BoxEngine(**options))


# Tiles, regions, panoramas

sizes = st.tuples(st.integers(1, 150), st.integers(1, 150)) | st.sampled_from([(1, 1), (1, 150), (150, 1), (17, 16)])
cuts = st.tuples(st.integers(32, 90), st.integers(0, 31))


@settings(max_examples=40, deadline=None)
@given(size=sizes, cut=cuts, merge=st.sampled_from(["highlights", "full"]), seed=st.integers(0, 9))
def test_tiles_show_nowhere(size, cut, merge, seed):
    plate = noise(*size, seed)
    whole = box(Settings(merge=merge, tile=ONE_TILE, white=1.0), gain=8)
    analysis = whole.analyze(plate)
    light = whole.render(plate, analysis)
    assert light.shape == (*size, 3)
    assert light.dtype == np.float32
    statistics = RenderStatistics()
    parts = tiled(whole, tile=cut[0], feather=cut[1])
    bands = list(parts.bands(plate, analysis, statistics=statistics))
    assert np.array_equal(np.concatenate([band.light for band in bands]), light)
    assert np.array_equal(np.concatenate([band.codes for band in bands]), plate)
    assert [band.start for band in bands] == list(np.cumsum([0, *(len(band.light) for band in bands[:-1])]))
    assert statistics.pixels == size[0] * size[1]
    assert statistics.tiles == parts.plan((0, 0, size[1], size[0])).tiles
    if max(size) > 90:
        assert statistics.tiles > 1


@settings(max_examples=30, deadline=None)
@given(size=sizes, cut=cuts, border=st.sampled_from(["replicate", "zero"]))
def test_beyond_the_border_lies_what_the_settings_say(size, cut, border):
    plate = noise(*size, 3)
    expander = box(Settings(merge="full", border=border, tile=cut[0], feather=cut[1], white=1.0))
    analysis = replace(expander.analyze(plate), anchor=0.0)
    codes = plate.astype(np.float32) / np.float32(255)
    mode = {"mode": "edge"} if border == "replicate" else {"mode": "constant"}
    padded = np.pad(codes, ((8, 8), (8, 8), (0, 0)), **mode)
    expected = BoxEngine().expand(padded, np.array(analysis.features, np.float32))
    np.testing.assert_allclose(expander.render(plate, analysis), expected, rtol=1e-6, atol=1e-6)


@settings(max_examples=6, deadline=None)
@given(size=st.tuples(st.integers(1, 80), st.integers(1, 80)), cut=st.tuples(st.integers(32, 60), st.integers(0, 31)))
def test_tiles_of_the_network_agree_to_rounding(size, cut, plain_expander):
    plate = noise(*size, 5)
    for merge in ("highlights", "full"):
        whole = tiled(plain_expander, merge=merge, tile=ONE_TILE, white=1.0)
        analysis = whole.analyze(plate)
        light = whole.render(plate, analysis)
        parts = tiled(whole, tile=cut[0], feather=cut[1]).render(plate, analysis)
        np.testing.assert_allclose(parts, light, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "cut"), [((1, 1), (32, 8)), ((1, 130), (32, 0)), ((130, 1), (40, 31)), ((100, 130), (50, 8))]
)
def test_odd_sizes_of_the_network_agree_to_rounding(size, cut, plain_expander):
    plate = noise(*size, 6)
    whole = tiled(plain_expander, merge="full", tile=ONE_TILE)
    analysis = whole.analyze(plate)
    light = whole.render(plate, analysis)
    parts = tiled(whole, tile=cut[0], feather=cut[1]).render(plate, analysis)
    np.testing.assert_allclose(parts, light, rtol=1e-5, atol=1e-5)
    assert light.std() > 0


@settings(max_examples=40, deadline=None)
@given(data=st.data(), size=sizes, cut=cuts, merge=st.sampled_from(["highlights", "full"]))
def test_a_region_is_a_crop_of_the_whole(data, size, cut, merge):
    height, width = size
    y0, x0 = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    y1, x1 = data.draw(st.integers(y0 + 1, height)), data.draw(st.integers(x0 + 1, width))
    plate = noise(*size, 4)
    expander = box(Settings(merge=merge, tile=cut[0], feather=cut[1], white=1.0), gain=8)
    analysis = expander.analyze(plate)
    light = expander.render(plate, analysis)
    part = expander.render(plate, analysis, region=(x0, y0, x1, y1))
    assert np.array_equal(part, light[y0:y1, x0:x1])


def test_a_region_of_the_network_is_a_crop_of_the_whole(plain_expander, natural_plate):
    analysis = plain_expander.analyze(natural_plate)
    light = plain_expander.render(natural_plate, analysis)
    part = plain_expander.render(natural_plate, analysis, region=(31, 20, 141, 101))
    np.testing.assert_allclose(part, light[20:101, 31:141], rtol=1e-5, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 60), cut=cuts, data=st.data(), merge=st.sampled_from(["highlights", "full"]))
def test_a_panorama_has_no_seam(height, cut, data, merge):
    plate = noise(height, 2 * height, 7)
    expander = box(Settings(latlong=True, merge=merge, tile=cut[0], feather=cut[1], white=1.0), gain=8)
    analysis = without_maps(expander.analyze(plate))
    turn = data.draw(st.integers(0, 2 * height))
    turned = expander.render(np.roll(plate, turn, 1), analysis)
    assert np.array_equal(turned, np.roll(expander.render(plate, analysis), turn, 1))


def test_a_panorama_of_the_network_has_no_seam(plain_expander):
    plate = noise(40, 80, 8)
    expander = tiled(plain_expander, latlong=True, tile=48, merge="full")
    analysis = expander.analyze(plate)
    turned = expander.render(np.roll(plate, 33, 1), analysis)
    np.testing.assert_allclose(turned, np.roll(expander.render(plate, analysis), 33, 1), rtol=1e-5, atol=1e-5)


def test_maps_of_a_panorama_have_no_seam(plain_expander):
    """A panorama turned by whole pixels of the working plate has the same maps, turned, and the same light."""
    y, x = np.mgrid[:192, :384]
    light = (
        0.2 + 6 * np.exp(-((x - 20) ** 2 + (y - 90) ** 2) / 900) + 6 * np.exp(-((x - 404) ** 2 + (y - 90) ** 2) / 900)
    )
    plate = np.rint(255 * encode_srgb(np.clip(light[..., None] * np.array([1.2, 1.0, 0.7]), 0, 1))).astype(np.uint8)
    expander = tiled(plain_expander, latlong=True)
    plain, turned = expander.analyze(plate), expander.analyze(np.roll(plate, 96, 1))
    for name in ("recovered", "rise", "surround"):
        one, other = (getattr(analysis, name).values for analysis in (plain, turned))
        difference = np.abs(np.roll(one, 96, 1) - other)
        # The global vector is a little another one: the network reduces a plate without knowing that it is round.
        assert np.percentile(difference, 99) < 0.05, name
    result = expander.render(np.roll(plate, 96, 1), turned)
    expected = np.roll(expander.render(plate, plain), 96, 1)
    assert np.abs(np.log2(result / expected)).max() < 0.1


@pytest.mark.parametrize("tile", [32, 48, ONE_TILE])
@pytest.mark.parametrize("height", [8, 9, 40, 100])
def test_a_panorama_goes_on_over_its_poles(height, tile):
    plate = noise(height, 2 * height, 9)
    expander = box(Settings(latlong=True, merge="full", tile=tile, white=1.0))
    analysis = replace(expander.analyze(plate), anchor=0.0)
    codes = plate.astype(np.float32) / np.float32(255)
    north = np.roll(codes[:8][::-1], height, 1)
    south = np.roll(codes[-8:][::-1], height, 1)
    turned = np.concatenate((north, codes, south))
    padded = np.concatenate((turned[:, -8:], turned, turned[:, :8]), 1)
    expected = BoxEngine().expand(padded, np.array(analysis.features, np.float32))
    np.testing.assert_allclose(expander.render(plate, analysis), expected, rtol=1e-6, atol=1e-6)


def test_a_panorama_must_be_twice_as_wide_as_high():
    expander = box(Settings(latlong=True))
    plate = noise(20, 30)
    with pytest.raises(UsageError, match="30x20"):
        expander(plate)


# Memory


@pytest.mark.parametrize("most", [2000, 4096, 6000])
def test_a_tile_that_does_not_fit_is_split(most):
    plate = noise(150, 170, 1)
    roomy = box(Settings(white=1.0, tile=96, merge="full"), gain=4)
    tight = box(Settings(white=1.0, tile=96, merge="full"), gain=4, most_pixels=most)
    # The analysis needs the 256 x 256 proxy in one piece.
    analysis = roomy.analyze(plate)
    statistics = RenderStatistics()
    light = np.concatenate([band.light for band in tight.bands(plate, analysis, statistics=statistics)])
    assert np.array_equal(light, roomy.render(plate, analysis))
    assert statistics.splits == tight.engine.refused > 0
    assert all(height * width <= most for height, width in tight.engine.ran)
    # A split adds one run; nothing that ran is run again.
    assert len(tight.engine.ran) == statistics.tiles + statistics.splits


def test_a_device_without_room_is_an_error_and_not_another_device():
    plate = noise(100, 100, 1)
    roomy, hopeless = box(), box(most_pixels=100)
    analysis = roomy.analyze(plate)
    with pytest.raises(OutOfMemoryError):
        hopeless.render(plate, analysis)
    assert hopeless.engine.ran == []
    assert hopeless.engine.device == "cpu"


def test_the_analysis_survives_a_device_with_room_for_small_tiles():
    tight = box(Settings(white=1.0, tile=64), most_pixels=64 * 64)
    roomy = box(Settings(white=1.0, tile=64))
    plate = noise(90, 90)
    assert tight.analyze(plate) == roomy.analyze(plate)


def test_a_plan_depends_on_size_and_settings_alone():
    chosen = Settings(tile=200, feather=12)
    plans = [Expander(chosen, engine=engine).plan((0, 0, 30_000, 9000)) for engine in (BoxEngine(), PointEngine())]
    assert plans[0] == plans[1]
    assert plans[0].rows[-1].stop == 9000
    shifted = Expander(chosen, engine=BoxEngine()).plan((50, 70, 30_050, 9070))
    assert shifted == plans[0]
    wide = Expander(Settings(tile=8192), engine=BoxEngine())
    small = Expander(Settings(tile=8192, memory=512 << 20), engine=BoxEngine())
    region = (0, 0, 40_000, 40_000)
    assert len(small.plan(region).rows[0]) < len(wide.plan(region).rows[0])
    assert len(wide.plan(region).rows[0]) * 40_000 * 28 <= 1 << 30


# The merge


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32])
@pytest.mark.parametrize("name", ["srgb", "rec709-scene", "linear"])
def test_a_channel_that_did_not_clip_comes_back_bit_for_bit(dtype, name):
    codes = noise(60, 70, 2)
    rng = np.random.default_rng(0)
    near = rng.random(codes.shape) < 0.2
    codes[near] = rng.integers(230, 256, int(near.sum()))
    top = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1
    plate = (codes * np.float64(top / 255)).astype(dtype)
    light = box(Settings(input_space=name, white=1.0), gain=30)(plate)
    decoded = named_encoding(name).decode(plate)
    shares = plate.astype(np.float64) / top
    measured = shares < 0.94 - 1e-6
    assert np.array_equal(light[measured], decoded[measured])
    beside = measured & (shares > 0.999).any(2, keepdims=True)
    assert beside.sum() > 1000
    lifted = shares.min(2) > 0.999
    assert (light[lifted] > decoded[lifted]).mean() > 0.9
    if name == "srgb" and top > 1:
        standard = fakes.decode_srgb(shares).astype(np.float32)
        assert np.array_equal(light[measured], standard[measured])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), gain=st.sampled_from([0.01, 0.9, 50]), together=st.booleans(), stops=st.integers(-8, 8))
def test_nothing_gets_darker_than_the_plate(seed, gain, together, stops):
    plate = noise(50, 60, seed)
    chosen = Settings(
        white=1.0, stops=stops, merge_channels="together" if together else "separate", saturation=seed % 3 / 2
    )
    light = box(chosen, gain=gain)(plate)
    decoded = named_encoding("srgb").decode(plate)
    assert (light >= decoded).all()
    if not together:
        assert np.array_equal(light[plate < 239], decoded[plate < 239])


def test_nothing_of_the_networks_gets_darker_than_the_plate(plain_expander, natural_plate):
    light = plain_expander(natural_plate)
    decoded = named_encoding("srgb").decode(natural_plate)
    assert (light >= decoded).all()
    assert light.max() > 1.5
    assert light[natural_plate < 0.85 * 255].max() < 1


def test_inside_a_flat_clipped_area_light_is_the_prediction_smoothed_along_its_logarithm():
    plate = np.full((100, 100, 3), 120, np.uint8)
    plate[20:80, 20:80] = 255
    expander = box(Settings(white=1.0), gain=20)
    analysis = without_maps(expander.analyze(plate))
    predicted = tiled(expander, merge="full").render(plate, analysis)
    light = expander.render(plate, analysis)
    weights = np.exp(-0.5 * (np.arange(-4, 5) / 1.5) ** 2)
    expected = np.log2(predicted.astype(np.float64))
    for axis in (0, 1):
        expected = np.apply_along_axis(np.convolve, axis, expected, weights / weights.sum(), "same")
    # Far enough inside that both low-passes, of the matte and of the light, see nothing but clipped pixels.
    np.testing.assert_allclose(light[25:75, 25:75], np.exp2(expected)[25:75, 25:75], rtol=1e-5)
    assert predicted[22:78, 22:78].min() > 2
    matte = np.concatenate([band.matte for band in expander.bands(plate, analysis)])
    assert matte[22:78, 22:78] == pytest.approx(1, abs=1e-6)
    assert not matte[:20].any()
    assert matte.min() >= 0


def test_a_lone_clipped_pixel_keeps_little_of_the_matte():
    plate = np.full((40, 40, 3), 120, np.uint8)
    plate[20, 20] = 255
    expander = box(Settings(white=1.0), gain=20)
    matte = np.concatenate([band.matte for band in expander.bands(plate, expander.analyze(plate))])
    assert 0 < matte[20, 20].max() < 0.25
    assert np.count_nonzero(matte.any(2)) == 1


def test_stops_move_the_recovered_part_alone():
    plate = noise(60, 60, 3)
    plate[20:40, 20:40] = 255
    one, two = box(gain=20), box(Settings(white=1.0, stops=1), gain=20)
    analysis = one.analyze(plate)
    a, b = one.render(plate, analysis), two.render(plate, analysis)
    np.testing.assert_allclose(b[23:37, 23:37], 2 * a[23:37, 23:37], rtol=1e-5)
    assert np.array_equal(a[plate < 239], b[plate < 239])


def test_a_saturated_logo_does_not_glow():
    plate = np.zeros((60, 60, 3), np.uint8)
    plate[20:40, 20:40, 2] = 255
    bright = PointEngine(gain=1000.0)
    analysis = replace(Expander(Settings(white=1.0), engine=bright).analyze(plate), anchor=0.0)
    for most in (0.0, 1.0, 2.0):
        expander = Expander(Settings(white=1.0, saturated_max_stops=most), engine=bright)
        light = expander.render(plate, analysis)
        assert light.max() == pytest.approx(2.0**most, rel=1e-5)
        assert not light[:, :, :2].any()


@pytest.mark.parametrize("most", [0.0, 1.5, 4.0])
def test_a_roll_off_holds_the_gain(most):
    plate = noise(40, 40, 4)
    plate[:20] = 255
    light = box(Settings(white=1.0, max_stops=most), gain=4000)(plate)
    assert light.max() <= 2.0**most * (1 + 1e-5)
    if most:
        assert light.max() > 2.0 ** (0.8 * most)


def test_a_white_page_stays_white():
    plate = np.full((80, 60, 3), 255, np.uint8)
    plate[30:33, 10:50] = 0
    light = box(Settings(), gain=100)(plate)
    assert np.array_equal(light, named_encoding("srgb").decode(plate))


@pytest.mark.parametrize("merge", ["highlights", "full"])
def test_what_is_no_light_ends_finite(merge):
    rng = np.random.default_rng(0)
    plate = rng.random((50, 60, 3)).astype(np.float32)
    odd = np.array([np.nan, np.inf, -np.inf, -1e-30, -3.0, 1e30, -1e30, 70000, 1.0, 1.0], np.float32)
    chosen = rng.random(plate.shape) < 0.3
    plate[chosen] = rng.choice(odd, int(chosen.sum()))
    expander = box(Settings(force=True, merge=merge, white=1.0), gain=1e9)
    with np.errstate(over="ignore"):
        light = expander(plate)
    broken = int((~np.isfinite(light)).sum())
    assert broken == 0
    assert np.abs(light).max() <= 65504


def test_a_code_that_is_no_number_spoils_no_other_channel():
    plate = np.full((30, 30, 3), 0.2, np.float32)
    plate[10:20, 10:20] = 1
    plate[12, 12, 0] = np.nan
    plate[15, 15] = np.nan, 1, 1
    light = box(gain=10)(plate)
    assert np.isfinite(light).all()
    assert light[12, 12, 0] == light[15, 15, 0] == 0


def test_measured_light_above_white_is_never_lowered():
    plate = np.full((60, 60, 3), 0.3, np.float32)
    plate[5, 5] = 2.0
    plate[6, 6] = -0.1
    light = box(gain=0.01)(plate)
    expected = named_encoding("srgb").decode(plate)
    assert np.array_equal(light, expected)
    assert light[5, 5, 0] > 4
    assert light[6, 6, 0] < 0


def test_a_plate_that_is_hdr_already_is_refused():
    plate = np.full((50, 50, 3), 0.3, np.float32)
    plate[0, :24] = 3.0
    box()(plate)
    plate[0, :27] = 3.0
    with pytest.raises(AlreadyHDRError, match="percent"):
        box()(plate)
    assert box(Settings(force=True))(plate).max() > 3


# Alpha, masks, kinds of plates


def test_transparent_pixels_come_back_as_they_are_and_tell_nothing():
    rng = np.random.default_rng(0)
    plate = np.empty((256, 256, 4), np.uint8)
    plate[..., :3] = rng.integers(100, 230, (256, 256, 3))
    plate[50:70, 50:70, :3] = 255
    plate[..., 3] = 255
    plate[100:200, 100:200] = 255, 255, 255, 0
    other = plate.copy()
    other[100:200, 100:200, :3] = 243
    other[100:150, 100:200, :3] = rng.integers(0, 256, (50, 100, 3))
    expander = Expander(engine=PointEngine(gain=3.0))
    one, two = expander.analyze(plate), expander.analyze(other)
    assert replace(without_maps(one), features=()) == replace(without_maps(two), features=())
    assert one.anchor_samples > 1000
    for picture, analysis in ((plate, one), (other, two)):
        light = expander.render(picture, analysis)
        hidden = picture[..., 3] == 0
        decoded = named_encoding("srgb").decode(picture[..., :3])
        assert np.array_equal(light[hidden], decoded[hidden])
        assert light[60, 60].min() > 1


def test_opaque_alpha_changes_nothing():
    codes = noise(70, 80, 5)
    with_alpha = np.dstack((codes, np.full((70, 80), 255, np.uint8)))
    assert np.array_equal(box(gain=9)(with_alpha), box(gain=9)(codes))


@pytest.mark.parametrize("channels", [0, 1, 2])
def test_a_gray_plate_is_three_equal_channels(channels):
    gray = noise(70, 80, 5, channels=1)
    gray[20:40, 20:40] = 255
    expected = box(gain=9)(gray.repeat(3, 2))
    plate = (
        gray[:, :, 0] if channels == 0 else np.dstack([gray] + [np.full((70, 80, 1), 255, np.uint8)] * (channels - 1))
    )
    light = box(gain=9)(plate)
    assert light.shape == (70, 80, 3)
    np.testing.assert_allclose(light, expected, rtol=1e-5)
    assert light.max() > 2


def test_depths_of_the_same_codes_agree():
    codes = noise(64, 72, 6)
    expected = box(gain=9)(codes)
    np.testing.assert_allclose(box(gain=9)(codes.astype(np.uint16) * 257), expected, rtol=2e-5)
    for dtype, tolerance in ((np.float64, 2e-5), (np.float32, 2e-5), (np.float16, 0.05)):
        np.testing.assert_allclose(box(gain=9)((codes / 255).astype(dtype)), expected, rtol=tolerance, atol=1e-4)


@pytest.mark.parametrize("dtype", ["u2", "f2", "f4", "f8"])
def test_the_order_of_bytes_means_nothing(dtype):
    codes = noise(64, 72, 6)
    codes[:20] //= 2
    codes = (codes.astype(float) * (257 if dtype == "u2" else 1 / 255)).astype(dtype)
    expander = box(Settings(), gain=9)
    assert expander.analyze(codes.astype(f">{dtype}")) == expander.analyze(codes)
    np.testing.assert_array_equal(expander(codes.astype(f">{dtype}")), expander(codes))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 4, 3), np.uint8), np.zeros((4, 0, 3), np.uint8), np.zeros((4, 4, 5), np.uint8),
        np.zeros(4, np.uint8), np.zeros((2, 4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.int32),
        np.zeros((4, 4, 3), bool), np.zeros((4, 4, 3), np.complex64),
    ],
)  # fmt: skip
def test_what_is_no_picture_is_an_input_error(array):
    with pytest.raises(InputError, match="array"):
        box()(array)


@pytest.mark.parametrize("merge", ["highlights", "full"])
def test_a_mask_keeps_areas_out(merge):
    codes = noise(60, 70, 7)
    codes[10:50, 10:60] = 255
    mask = np.zeros((60, 70), np.uint8)
    mask[:, 35:] = 255
    expander = box(Settings(merge=merge, white=1.0), gain=9)
    analysis = expander.analyze(codes)
    light = expander.render(codes, analysis)
    bands = list(expander.bands(codes, analysis, mask=ArrayPlate(mask, named_encoding("linear"))))
    masked = np.concatenate([band.light for band in bands])
    assert np.array_equal(masked[:, :35], light[:, :35])
    kept = named_encoding("srgb").decode(codes)[:, 35:]
    assert np.array_equal(masked[:, 35:], kept)
    assert (light[:, 35:] != kept).any()


def test_pieces_merged_side_by_side_are_those_merged_in_turn(monkeypatch):
    monkeypatch.setattr(bands, "MERGE_PIXELS", 1 << 10)
    plate, mask = noise(150, 60, 3), ArrayPlate(noise(150, 60, 4)[:, :, :1], named_encoding("linear"))
    results = []
    for threads in (1, 4):
        expander = box()
        expander._workers.beside = threads
        statistics = RenderStatistics()
        made = list(expander.bands(plate, expander.analyze(plate), mask=mask, statistics=statistics))
        assert len(made) > 4
        results.append((np.concatenate([band.light for band in made]), [band.start for band in made], statistics))
    (light, starts, counted), (other, others, too) = results
    np.testing.assert_array_equal(light, other)
    assert starts == others
    np.testing.assert_array_equal(counted.gains, too.gains)
    assert (counted.pixels, counted.clipped, counted.peak) == (too.pixels, too.clipped, too.peak)
    assert counted.clipped > 0


def test_a_mask_of_another_size_is_an_error():
    codes, mask = noise(60, 70), ArrayPlate(np.zeros((60, 71), np.uint8), named_encoding("linear"))
    expander = box()
    with pytest.raises(UsageError, match="71x60"):
        list(expander.bands(codes, expander.analyze(codes), mask=mask))


# Analyses

finite = st.floats(allow_nan=False, allow_infinity=False)
triples = st.tuples(finite, finite, finite)


@settings(max_examples=50, deadline=None)
@given(
    features=st.lists(finite, min_size=64, max_size=64).map(tuple), low=triples, high=triples, clips=triples,
    anchor=finite, scene=finite, ranges=st.none() | st.tuples(finite, finite), boldness=st.none() | finite,
)  # fmt: skip
def test_an_analysis_survives_its_file_exactly(
    features, low, high, clips, anchor, scene, ranges, boldness, tmp_path_factory
):
    analysis = Analysis(
        width=3, height=4, features=features, low=low, high=high, clip_levels=clips, anchor=anchor, anchor_samples=7,
        scene=scene, output_range=ranges, boldness=boldness, nan=1, infinite=2, negative=3, weights="ab",
    )  # fmt: skip
    assert Analysis.from_json(analysis.to_json()) == analysis
    path = tmp_path_factory.getbasetemp() / "analysis.json"
    analysis.save(path)
    assert Analysis.load(path) == analysis


def test_a_loaded_analysis_renders_the_same_pixels(plain_expander, natural_plate, tmp_path):
    analysis = plain_expander.analyze(natural_plate)
    analysis.save(tmp_path / "a.json")
    assert {path.name for path in tmp_path.iterdir()} <= {"a.json", "a.maps.exr"}
    assert analysis == Analysis.load(tmp_path / "a.json")
    one = plain_expander.render(natural_plate, analysis)
    assert np.array_equal(one, plain_expander.render(natural_plate, Analysis.load(tmp_path / "a.json")))
    assert np.array_equal(one, plain_expander(natural_plate))


def test_files_that_are_no_analysis_are_input_errors(tmp_path):
    good = json.loads(box().analyze(noise(20, 20)).to_json())
    path = tmp_path / "a.json"
    for content in (
        "", "[]", "3", "null", '"x"', "{}", "{", "\x00", json.dumps(good | {"schema": 99}),
        json.dumps(good | {"more": 1}), json.dumps({k: v for k, v in good.items() if k != "anchor"}),
        json.dumps(good | {"features": [0.0] * 63}), json.dumps(good | {"features": 5}),
        json.dumps(good | {"features": None}), json.dumps(good | {"clip_levels": [1.0, 1.0]}),
        json.dumps(good | {"anchor": "high"}), json.dumps(good | {"boldness": "high"}),
        json.dumps(good | {"low": ["a", "b", "c"]}),
    ):  # fmt: skip
        path.write_text(content)
        with pytest.raises(InputError) as caught:
            Analysis.load(path)
        assert str(path) in str(caught.value)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError):
        Analysis.load(path)
    with pytest.raises(InputError):
        Analysis.load(tmp_path / "none.json")


def test_an_analysis_of_something_else_is_refused():
    expander, plate = box(), noise(30, 40)
    analysis = expander.analyze(plate)
    with pytest.raises(UsageError, match="40x30"):
        expander.render(noise(30, 41), analysis)
    with pytest.raises(UsageError, match="weights"):
        expander.render(plate, replace(analysis, weights="f" * 64))
    for region in ((0, 0, 41, 30), (-1, 0, 5, 5), (5, 5, 5, 9), (9, 0, 3, 3), (0, 29, 4, 31)):
        with pytest.raises(UsageError, match="region"):
            expander.render(plate, analysis, region=region)


def test_numbers_and_maps_of_two_plates_are_told_apart(plain_expander, natural_plate, tmp_path):
    one, other = (plain_expander.analyze(plate) for plate in (natural_plate, natural_plate[::-1].copy()))
    one.save(tmp_path / "a.json")
    other.save(tmp_path / "b.json")
    (tmp_path / "b.maps.exr").replace(tmp_path / "a.maps.exr")
    with pytest.raises(InputError, match="belong together"):
        Analysis.load(tmp_path / "a.json")


def test_a_survey_made_before_gives_the_same_analysis(plain_expander, natural_plate):
    surveyed = plain_expander.survey(natural_plate)
    assert plain_expander.analyze(natural_plate, surveyed) == plain_expander.analyze(natural_plate)


def test_an_analysis_is_small(plain_expander, natural_plate):
    analysis = plain_expander.analyze(natural_plate)
    assert len(analysis.features) == 64
    assert len(analysis.to_json()) < 4000
    assert analysis.recovered is None or analysis.recovered.values.size <= 4 * 512 * 512


def test_white_overrides_what_the_plate_says():
    plate = noise(64, 64, 8)
    plate[plate > 200] = 200
    assert box(Settings(white=200 / 255)).analyze(plate).clip_levels == (200 / 255,) * 3
    assert box(Settings(white=0.5)).analyze(plate).clip_levels == (0.5,) * 3
    light = box(Settings(white=200 / 255), gain=30)(plate)
    decoded = named_encoding("srgb").decode(plate)
    assert (light > decoded)[plate == 200].mean() > 0.3
    assert np.array_equal(light[plate < 187], decoded[plate < 187])
    assert np.array_equal(box(Settings(white=1.0), gain=30)(plate), decoded)


# Clip levels


def spiked(level: int, levels: int, share: float, seed: int = 0) -> np.ndarray:
    """A histogram of a falling scene whose light above `level` sits in one bin."""
    rng = np.random.default_rng(seed)
    light = rng.lognormal(-1.5, 1.0, 200_000)
    codes = np.minimum(light ** (1 / 2.2) * levels * 0.8, level).astype(int)
    found = np.bincount(codes, minlength=levels + 1)
    found[level] += int(share * found.sum())
    return found


@pytest.mark.parametrize("levels", [255, 1024])
@pytest.mark.parametrize("share", [0.90, 0.92, 0.95, 0.97, 1.0])
def test_a_spike_is_the_level_it_sits_at(levels, share):
    level = round(share * levels)
    found = grade.clip_level(spiked(level, levels, 0.03), levels)
    assert found == pytest.approx(level / levels, abs=0.5 / levels)


@pytest.mark.parametrize("levels", [255, 1024])
def test_without_a_spike_the_level_is_full_scale(levels):
    rng = np.random.default_rng(0)
    flat = np.full(levels + 1, 500)
    flat[-1] = 0
    falling = np.bincount((rng.beta(2, 4, 300_000) * levels).astype(int), minlength=levels + 1)
    low_spike = spiked(int(0.5 * levels), levels, 0.1)
    for histogram in (flat, falling, low_spike, np.zeros(levels + 1, int)):
        assert grade.clip_level(histogram, levels) == 1.0


def scene(height: int, width: int) -> np.ndarray:
    """Scene light with gradients, texture, and areas far above white."""
    rng = np.random.default_rng(2)
    y, x = np.mgrid[:height, :width] / height
    light = 0.25 * np.exp2(2.2 * np.sin(3 * x) + 2 * y - 1)[..., None] * np.array([1.05, 1.0, 0.9])
    light *= np.exp2(rng.normal(size=(height, width, 1)) * 0.08)
    light[(x - 0.7) ** 2 + (y - 0.4) ** 2 < 0.03] = 20
    light[30:60, 20:150] = 9
    return light


@pytest.mark.parametrize("level", [0.90, 0.93, 0.95, 0.97])
def test_the_white_of_a_jpeg_is_found(level):
    codes = np.round(np.clip(fakes.encode_srgb(scene(240, 320)), 0, 1) * level * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(codes).save(file, "JPEG", quality=75)
    read = np.asarray(Image.open(file))
    assert (read != codes).any()
    for picture in (codes, read, read.astype(np.uint16) * 257):
        clips = box(Settings()).analyze(picture).clip_levels
        assert clips == pytest.approx((level,) * 3, abs=0.01)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_natural_gradient_clips_at_full_scale(dtype):
    light = np.minimum(scene(240, 320), 0.7 + 0.25 * np.random.default_rng(0).random((240, 320, 1)))
    codes = np.clip(fakes.encode_srgb(light), 0, 1)
    top = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1
    plate = np.round(codes * top).astype(dtype) if top > 1 else codes.astype(dtype)
    assert box(Settings()).analyze(plate).clip_levels == (1.0, 1.0, 1.0)


# The anchor


@pytest.mark.parametrize("stops", [-3.0, -0.4, 0.0, 2.5])
def test_the_anchor_of_a_relative_prediction_undoes_its_gain(stops):
    light = scene(300, 400)
    codes = np.round(np.clip(fakes.encode_srgb(light), 0, 1) * 255).astype(np.uint8)
    engine = PointEngine(gain=2.0**stops, contract=fakes.LINEAR)
    analysis = Expander(Settings(white=1.0), engine=engine).analyze(codes)
    assert analysis.anchor == pytest.approx(-stops, abs=0.05)
    assert analysis.anchor_samples > 1000


@pytest.mark.parametrize(("level", "stops"), [(0.92, 0.2), (0.95, -0.3), (1.0, 0.1)])
def test_the_anchor_of_an_absolute_prediction_is_that_of_the_plates_white(level, stops):
    codes = np.round(np.clip(fakes.encode_srgb(scene(300, 400)), 0, 1) * level * 255).astype(np.uint8)
    engine = PointEngine(gain=2.0**stops)
    analysis = Expander(Settings(white=level), engine=engine).analyze(codes)
    white = float(np.log2(fakes.decode_srgb(level)))
    kept = analysis.anchor_samples / (analysis.anchor_samples + 2000)
    assert analysis.anchor == pytest.approx(white - stops * kept, abs=0.03)


def test_the_anchor_of_an_absolute_prediction_is_held_to_half_a_stop():
    codes = np.round(np.clip(fakes.encode_srgb(scene(300, 400)), 0, 1) * 255).astype(np.uint8)
    for stops in (-4, 4):
        analysis = Expander(Settings(white=1.0), engine=PointEngine(gain=2.0**stops)).analyze(codes)
        assert analysis.anchor == pytest.approx(-np.sign(stops) * 0.5)


def test_a_plate_that_offers_no_measurement_keeps_the_anchor_at_zero():
    for level in (0, 255):
        plate = np.full((300, 300, 3), level, np.uint8)
        analysis = Expander(Settings(white=1.0), engine=PointEngine(gain=5.0)).analyze(plate)
        assert analysis.anchor_samples == 0
        assert analysis.anchor == 0


# The authors' program


def peer(state: dict[str, torch.Tensor], codes: np.ndarray) -> np.ndarray:
    """What the authors' program computes, in one patch: stretch, 10 pixels of zeros, prediction, stretch."""
    stretched = fakes.map_range(codes.astype(np.float32)).astype(np.float32)
    x = torch.from_numpy(stretched.transpose(2, 0, 1).copy())[None]
    with torch.inference_mode():
        proxy = functional.interpolate(x, (256, 256), mode="bilinear", align_corners=False)
        features = plain_network.plain_features(state, proxy)
        y = plain_network.plain_expand(state, functional.pad(x, (10, 10, 10, 10)), features)[0, :, 10:-10, 10:-10]
    return fakes.map_range(y.numpy().transpose(1, 2, 0))


@pytest.fixture(scope="module")
def authors(authors_weights) -> Expander:
    return Expander(Settings.preset("authors", tile=64), weights=authors_weights, device="cpu")


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (300, 40), (100, 130)])
def test_the_authors_preset_is_their_program(size, authors, authors_pth):
    state = torch.load(authors_pth, map_location="cpu", weights_only=True)
    codes = (noise(*size, 3) * 0.7 + 20).astype(np.uint8)
    light = authors(codes)
    assert np.abs(light - peer(state, codes)).max() <= 1e-4
    assert (light.min(), light.max()) == pytest.approx((0, 1), abs=1e-6)


@pytest.mark.parametrize("level", [0, 90, 255])
def test_the_authors_preset_of_a_constant_plate_is_their_program(level, authors, authors_pth):
    state = torch.load(authors_pth, map_location="cpu", weights_only=True)
    codes = np.full((40, 60, 3), level, np.uint8)
    assert np.abs(authors(codes) - peer(state, codes)).max() <= 1e-4


@pytest.mark.parametrize("name", ["bottles", "oxford"])
def test_the_authors_preset_equals_recorded_outputs_of_their_program(name, shared, authors):
    folder = shared / "data" / "operators"
    recorded = np.load(folder / f"{name}_expandnet.npz")["predict_patch256"].astype(np.float32)
    codes = np.load(folder / f"{name}_input.npz")["ldr_u8"]
    # Recorded in half precision before the last stretch.
    assert np.abs(authors(codes) - fakes.map_range(recorded)).max() <= 2**-9


def test_relative_output_is_between_zero_and_one_in_any_space(authors_weights):
    plate = noise(50, 60, 4)
    for options in ({"input_space": "display-p3"}, {"output_space": "acescg"}):
        chosen = Settings.preset("authors", **options)
        light = Expander(chosen, weights=authors_weights, device="cpu")(plate)
        assert (light.min(), light.max()) == pytest.approx((0, 1), abs=1e-5)


@pytest.mark.parametrize("level", [0, 255])
def test_the_authors_weights_take_a_constant_plate_in_any_preset(level, authors_weights):
    plate = np.full((40, 60, 3), level, np.uint8)
    expander = Expander(weights=authors_weights, device="cpu")
    analysis = expander.analyze(plate)
    assert np.isfinite(analysis.anchor)
    assert np.isfinite(expander.render(plate, analysis)).all()


def test_the_authors_preset_needs_weights_of_its_kind(default_weights):
    with pytest.raises(UsageError, match="authors"):
        Expander(Settings.preset("authors"), weights=default_weights, device="cpu")


# Settings


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": 0}, {"threshold": 0.995}, {"full": 1.1}, {"full": 0.5}, {"white": 0.0}, {"white": 1.5},
        {"stops": 17}, {"stops": float("nan")}, {"max_stops": -1}, {"saturated_max_stops": 33}, {"saturation": -0.1},
        {"boldness": 0.0}, {"boldness": 0.96}, {"boldness": float("nan")}, {"sun_stops": -1}, {"sun_stops": 17},
        {"tile": 31}, {"tile": 10_000}, {"feather": -1}, {"feather": 65}, {"tile": 32, "feather": 32},
        {"memory": 1 << 20}, {"latlong": True, "border": "zero"}, {"merge": "some"}, {"merge_channels": "some"},
        {"border": "mirror"}, {"relative": True},
    ],
    ids=str,
)  # fmt: skip
def test_settings_out_of_range_are_usage_errors(change):
    with pytest.raises(UsageError) as caught:
        Settings(**change)
    assert any(name.replace("_", "-") in str(caught.value).replace("_", "-") for name in change)


def test_an_unknown_preset_lists_the_known_ones():
    with pytest.raises(UsageError, match=r"nope.*vfx.*authors"):
        Settings.preset("nope")


def test_the_survey_of_an_expander_follows_its_weights():
    codes = noise(400, 500, 1)
    for antialias in (True, False):
        contract = replace(fakes.LOG, antialias=antialias)
        found = Expander(engine=BoxEngine(contract=contract)).survey(codes).proxy
        expected = survey(ArrayPlate(codes, named_encoding("srgb")), antialias=antialias).proxy
        assert np.array_equal(found, expected)


@given(seed=st.integers(0, 1000), height=st.integers(20, 90), width=st.integers(20, 70), stops=st.floats(-2, 2))
@settings(max_examples=15, deadline=None)
def test_a_kept_prediction_gives_the_result_that_the_network_gives(seed, height, width, stops):
    plate = np.random.default_rng(seed).integers(200, 256, (height, width, 3)).astype(np.uint8)
    first, second = (
        Expander(Settings(tile=32, feather=4, stops=chosen, saturation=0.5), engine=BoxEngine())
        for chosen in (0.0, stops)
    )
    analysis = first.analyze(plate)
    predicted = Predicted(1 << 20)
    passing = first.bands(plate, analysis, predicted=predicted)
    next(passing)
    passing.close()
    assert not predicted.complete, "a render that was broken off keeps nothing"
    list(first.bands(plate, analysis, predicted=predicted))
    assert predicted.complete
    statistics = RenderStatistics()
    again = np.concatenate(
        [band.light for band in second.bands(plate, analysis, predicted=predicted, statistics=statistics)]
    )
    np.testing.assert_array_equal(again, second.render(plate, analysis))
    assert statistics.tiles == 0


def test_a_prediction_beyond_its_limit_is_not_kept():
    plate = np.full((64, 64, 3), 255, np.uint8)
    expander = Expander(Settings(tile=32, feather=0), engine=PointEngine())
    analysis = expander.analyze(plate)
    size = 64 * 64 * 3 * 4
    for limit, kept in ((size, True), (size - 1, False)):
        predicted = Predicted(limit)
        list(expander.bands(plate, analysis, predicted=predicted))
        assert predicted.complete is kept
