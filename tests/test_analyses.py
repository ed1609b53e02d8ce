"""Analyses, their files, clip levels and the anchor."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import fakes
import numpy as np
import pytest
from fakes import PointEngine, box, noise
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from expandnet_ofx import Analysis, Expander, Settings, grade
from expandnet_ofx.errors import InputError, UsageError
from expandnet_ofx.transfer import named_encoding

# Analyses

finite = st.floats(allow_nan=False, allow_infinity=False)
triples = st.tuples(finite, finite, finite)


@settings(max_examples=50, deadline=None)
@given(
    features=st.lists(finite, min_size=64, max_size=64).map(tuple), low=triples, high=triples, clips=triples,
    anchor=st.floats(-64, 64), scene=st.floats(0, 1), ranges=st.none() | st.tuples(finite, finite),
)  # fmt: skip
def test_an_analysis_survives_its_file_exactly(features, low, high, clips, anchor, scene, ranges, tmp_path_factory):
    analysis = Analysis(
        width=3, height=4, window=(0, 1, 3, 4), latlong=False,
        features=features, low=low, high=high, clip_levels=clips, anchor=anchor, anchor_samples=7,
        scene=scene, output_range=ranges, nan=1, infinite=2, negative=3, settings={"weights_sha256": "ab"},
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
        json.dumps(good | {"low": ["a", "b", "c"]}), json.dumps(good | {"scene": 9}), json.dumps(good | {"anchor": 1e5}),
        json.dumps(good | {"anchor": 10**400}),
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


def test_an_analysis_can_be_a_key(plain_expander, natural_plate):
    one, other = (plain_expander.analyze(natural_plate) for _ in range(2))
    assert one.recovered is not None
    assert len({one, other}) == 1


def test_an_analysis_of_something_else_is_refused():
    expander, plate = box(), noise(30, 40)
    analysis = expander.analyze(plate)
    with pytest.raises(UsageError, match="40x30"):
        expander.render(noise(30, 41), analysis)
    for name in ("weights_sha256", "boldness", "latlong", "border"):
        with pytest.raises(UsageError, match=f"another {name};"):
            expander.render(plate, replace(analysis, settings={**analysis.settings, name: "other"}))
    with pytest.raises(UsageError, match="another border;"):
        expander.render(plate, replace(analysis, settings={}))
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


def test_a_page_of_warm_paper_does_not_glow(plain_expander):
    """Off-white, uneven and with text, as a scanner gives it: below full scale, but nothing in it is a source of light."""
    paper = np.array([252, 251, 246]) + np.random.default_rng(0).integers(-3, 4, (160, 220, 1))
    page = np.clip(paper, 0, 255).astype(np.uint8)
    page[20:140:12, 20:200:3] = 40
    assert np.array_equal(plain_expander(page), named_encoding("srgb").decode(page))


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


@pytest.mark.parametrize("levels", [255, 1024])
@pytest.mark.parametrize("few", [0, 1, 2])
def test_a_channel_that_hardly_clips_takes_the_level_of_the_others(levels, few):
    level = round(0.92 * levels)
    histograms = np.stack([spiked(level, levels, 0.03, seed) for seed in range(3)])
    histograms[few, level] = 60
    assert grade.clip_level(histograms[few], levels) == 1.0
    assert grade.clip_levels(histograms, levels) == pytest.approx((level / levels,) * 3, abs=0.5 / levels)
    goes_on, ends_below = histograms.copy(), histograms.copy()
    goes_on[few, round(0.93 * levels) : round(0.98 * levels)] = 40_000 // levels
    ends_below[few, round(0.9 * levels) :] = 0
    for other in (goes_on, ends_below):
        found = grade.clip_levels(other, levels)
        assert found[few] == 1.0
        assert max(found[:few] + found[few + 1 :]) < 1.0


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
