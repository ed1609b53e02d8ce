"""The merge over kinds of plates, masks, settings and kept predictions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import fakes
import numpy as np
import pytest
from fakes import BoxEngine, PointEngine, box, noise, tiled, without_maps
from hypothesis import given, settings
from hypothesis import strategies as st

from expandnet_ofx import ArrayPlate, Expander, Settings, bands
from expandnet_ofx.analysis import Analysis
from expandnet_ofx.dependence import differing, of_analyses
from expandnet_ofx.errors import AlreadyHDRError, InputError, UsageError
from expandnet_ofx.grade import merge
from expandnet_ofx.predicted import Predicted
from expandnet_ofx.statistics import RenderStatistics
from expandnet_ofx.survey import survey
from expandnet_ofx.transfer import named_encoding

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
    bare = tiled(expander, merge="full")
    predicted = bare.render(plate, replace(analysis, settings=bare.analyses_depend_on))
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


@pytest.mark.parametrize("region", [(), (1, 2, 3), (1, 2, 3, 4, 5), (0.0, 0, 9, 9), "abcd", 7])
def test_a_region_is_four_whole_numbers(region):
    plate = noise(20, 30)
    expander = box()
    with pytest.raises(UsageError, match="four whole numbers"):
        expander.render(plate, expander.analyze(plate), region=region)
    given = np.array([3, 4, 9, 9])
    assert expander.render(plate, expander.analyze(plate), region=given).shape == (5, 6, 3)


@pytest.mark.parametrize("threads", [-1, 1.5, "2", None])
def test_threads_are_a_whole_number(threads):
    with pytest.raises(UsageError, match="threads"):
        Expander(threads=threads)


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
        monkeypatch.setattr(BoxEngine, "threads", threads)
        expander = box()
        statistics = RenderStatistics()
        made = list(expander.bands(plate, expander.analyze(plate), mask=mask, statistics=statistics))
        assert len(made) > 4
        results.append((np.concatenate([band.light for band in made]), [band.start for band in made], statistics))
    (light, starts, counted), (other, others, too) = results
    np.testing.assert_array_equal(light, other)
    assert starts == others
    np.testing.assert_array_equal(counted.gains, too.gains)
    assert (counted.pixels, counted.clipped) == (too.pixels, too.clipped)
    assert counted.clipped > 0


def test_a_mask_of_another_size_is_an_error():
    codes, mask = noise(60, 70), ArrayPlate(np.zeros((60, 71), np.uint8), named_encoding("linear"))
    expander = box()
    with pytest.raises(UsageError, match="71x60"):
        list(expander.bands(codes, expander.analyze(codes), mask=mask))


# Settings


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": 0}, {"threshold": 0.995}, {"full": 1.1}, {"full": 0.5}, {"white": 0.0}, {"white": 1.5},
        {"stops": 17}, {"stops": float("nan")}, {"max_stops": -1}, {"saturated_max_stops": 33}, {"saturation": -0.1},
        {"boldness": 0.0}, {"boldness": 0.96}, {"boldness": float("nan")}, {"sun_stops": -1}, {"sun_stops": 17},
        {"tile": 31}, {"tile": 10_000}, {"feather": -1}, {"feather": 65}, {"tile": 32, "feather": 17},
        {"memory": 1 << 20}, {"latlong": True, "border": "zero"}, {"merge": "some"}, {"merge_channels": "some"},
        {"border": "mirror"}, {"relative": True}, {"stops": "1"}, {"threshold": None}, {"memory": "1GiB"}, {"tile": 64.5},
        {"latlong": "no"}, {"input_space": None}, {"ocio": Path("config.ocio")}, {"stops": True}, {"stops": np.zeros(2)},
    ],
    ids=str,
)  # fmt: skip
def test_settings_out_of_range_are_usage_errors(change):
    with pytest.raises(UsageError) as caught:
        Settings(**change)
    assert any(name.replace("_", "-") in str(caught.value).replace("_", "-") for name in change)


@pytest.mark.parametrize(
    "change", [{"input_space": "linear"}, {"white": 0.6}, {"threshold": 0.5}, {"merge_channels": "together"}], ids=str
)
def test_an_analysis_is_not_rendered_under_settings_it_was_not_made_with(change, tmp_path):
    codes = noise(40, 50, 1)
    expander = box(Settings())
    analysis = expander.analyze(codes)
    analysis.save(tmp_path / "a.json")
    for found in (analysis, Analysis.load(tmp_path / "a.json")):
        with pytest.raises(UsageError, match=next(iter(change))):
            tiled(expander, **change).render(codes, found)
        tiled(expander, stops=1.0, saturation=0.5, tile=64).render(codes, found)


@pytest.mark.parametrize("plate", [[1, 2], None, "plate.png", {"rows": 3}], ids=str)
def test_what_is_no_plate_is_told(plate):
    with pytest.raises(InputError, match="not a plate"):
        box(Settings())(plate)


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


@pytest.mark.parametrize("name", ["srgb", "display-p3", "adobe-rgb", "prophoto", "rec2020-bt1886"])
def test_without_saturation_light_keeps_its_luminance(name):
    """Weights of a channel's luminance are those of the plate's own primaries."""
    light = np.array([[[2.0, 6.0, 30.0], [9.0, 3.0, 4.0], [2.0, 2.5, 2.2]]], np.float32)
    ones = np.ones_like(light)
    plate = ArrayPlate(np.ones((1, 3, 3), np.float32), named_encoding(name))
    own = plate.encoding.to_rec709
    weights = np.array([0.2126, 0.7152, 0.0722]) @ (np.eye(3) if own is None else own)
    merging = {"clips": np.ones(3, np.float32), "luma": weights}
    plain, gray = (
        merge(ones, light, ones, ones, Settings(saturation=saturation).merging, **merging) for saturation in (1.0, 0.0)
    )
    np.testing.assert_allclose(gray @ weights, plain @ weights, rtol=1e-5)
    np.testing.assert_allclose(gray, gray[:, :, :1].repeat(3, 2), rtol=1e-5)
    settings = Settings(saturation=0.0, input_space=name, white=0.5)
    rendered = box(settings, gain=8)(np.random.default_rng(0).random((20, 30, 3), np.float32))
    assert np.isfinite(rendered).all()


def test_relative_output_of_another_space_has_another_range():
    weights, spaces = BoxEngine().weights, ("linear-rec709", "acescg")
    for relative, found in ((True, "output_space"), (False, None)):
        plain = Settings(merge="full", relative=relative)
        one, other = (of_analyses(replace(plain, output_space=space), weights) for space in spaces)
        assert differing(one, other) == found
