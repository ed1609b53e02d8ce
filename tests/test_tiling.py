"""Tiles, regions, panoramas and memory show nowhere in the light."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from fakes import ONE_TILE, BoxEngine, PointEngine, box, encode_srgb, noise, tiled, without_maps
from hypothesis import given, settings
from hypothesis import strategies as st

from expandnet_ofx import Expander, Settings
from expandnet_ofx.errors import OutOfMemoryError, UsageError
from expandnet_ofx.statistics import RenderStatistics

# Tiles, regions, panoramas

sizes = st.tuples(st.integers(1, 150), st.integers(1, 150)) | st.sampled_from([(1, 1), (1, 150), (150, 1), (17, 16)])
cuts = st.tuples(st.integers(32, 90), st.integers(0, 16))


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
@given(size=st.tuples(st.integers(1, 80), st.integers(1, 80)), cut=st.tuples(st.integers(32, 60), st.integers(0, 16)))
def test_tiles_of_the_network_agree_to_rounding(size, cut, plain_expander):
    plate = noise(*size, 5)
    for merge in ("highlights", "full"):
        whole = tiled(plain_expander, merge=merge, tile=ONE_TILE, white=1.0)
        analysis = whole.analyze(plate)
        light = whole.render(plate, analysis)
        parts = tiled(whole, tile=cut[0], feather=cut[1]).render(plate, analysis)
        np.testing.assert_allclose(parts, light, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "cut"), [((1, 1), (32, 8)), ((1, 130), (32, 0)), ((130, 1), (40, 20)), ((100, 130), (50, 8))]
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
    space, saturation = data.draw(st.sampled_from([("linear-rec709", 1.0), ("acescg", 0.5)]))
    options = {"output_space": space, "saturation": saturation}
    expander = box(Settings(merge=merge, tile=cut[0], feather=cut[1], white=1.0, **options), gain=8)
    analysis = expander.analyze(plate)
    light = expander.render(plate, analysis)
    for region in ((x0, y0, x1, y1), (x0, y0, x0 + 1, y0 + 1), (x0, y0, x0 + 1, y1)):
        part = expander.render(plate, analysis, region=region)
        assert np.array_equal(part, light[region[1] : region[3], region[0] : region[2]])


def test_a_panorama_that_is_reduced_is_the_same_wherever_it_begins():
    y, x = np.mgrid[:384, :768]
    across = np.minimum(x, 768 - x)
    light = 0.2 + 0.1 * np.sin(x * np.pi / 24) * np.cos(y / 30) + (np.hypot(across, y - 190) < 60)
    plate = np.rint(255 * encode_srgb(np.clip(light[..., None] * np.array([1.2, 1.0, 0.7]), 0, 1))).astype(np.uint8)
    expander = box(Settings(latlong=True), gain=8)
    own, turned = expander.analyze(plate), expander.analyze(np.roll(plate, 384, 1))
    for name in ("rise", "surround"):
        difference = np.abs(np.roll(getattr(own, name).values, 192, 1) - getattr(turned, name).values)
        assert difference.max() < 0.02, name


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
    assert wide.plan(region, 3) == wide.plan(region, 6) == wide.plan(region)
    assert len(wide.plan(region, 160).rows[0]) * 40_000 * (28 + 3 * 160) <= 1 << 30


def test_tiles_that_wait_are_not_run_when_nobody_wants_their_light(monkeypatch):
    plate, gate, ran = noise(160, 160), threading.Event(), []
    expander = box(Settings(tile=32, feather=0, merge="full"))
    analysis, expand = expander.analyze(plate), BoxEngine.expand

    def waits(engine: BoxEngine, tile: np.ndarray, features: np.ndarray) -> np.ndarray:
        ran.append(tile.shape)
        assert len(ran) <= 5 or gate.wait(20)
        return expand(engine, tile, features)

    monkeypatch.setattr(BoxEngine, "expand", waits)
    rows = expander.bands(plate, analysis)
    assert len(next(rows).light) == 32
    rows.close()
    gate.set()
    expander._workers.submit(int).result()
    # The five of the first row, and one that may have begun.
    assert len(ran) <= 6
