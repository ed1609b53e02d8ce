"""Where the light of wide areas takes over, the network is not asked; nobody sees the difference."""

from __future__ import annotations

import math

import numpy as np
import pytest
from fakes import BoxEngine
from hypothesis import given, settings
from hypothesis import strategies as st

from expandnet_ofx import Expander, Settings, recovered, reduced_light, tile_light
from expandnet_ofx.maps import enlarge
from expandnet_ofx.recovered import ALONE, SMOOTHING_RADIUS, heard, laid_over

seeds = st.integers(0, 2**32 - 1)


def walled(height: int, width: int, seed: int, clipped: float) -> np.ndarray:
    """A random 8-bit plate with a clipped window over a part of its edges, and specks."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 240, (height, width, 3), np.uint8)
    codes[rng.random((height, width)) < 0.002] = 255
    top, left = rng.integers(0, height // 3), rng.integers(0, width // 3)
    codes[top : top + round(clipped * height), left : left + round(clipped * width)] = 255
    return codes


def everywhere(wide: np.ndarray) -> np.ndarray:
    height, width = wide.shape[:2]
    return np.ones((height + 2 * SMOOTHING_RADIUS, width + 2 * SMOOTHING_RADIUS), bool)


@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(st.integers(40, 160), st.integers(20, 80)),
    cut=st.tuples(st.integers(32, 90), st.integers(0, 16)),
    clipped=st.floats(0.2, 1.0),
    latlong=st.booleans(),
    seed=seeds,
)
def test_what_the_network_is_not_asked_for_is_not_missed(size, cut, clipped, latlong, seed):
    height, width = size[1], 2 * size[1] if latlong else size[0]
    plate = walled(height, width, seed, clipped)
    engine = BoxEngine(gain=8)
    expander = Expander(Settings(white=1.0, tile=cut[0], feather=cut[1], latlong=latlong), engine=engine)
    analysis = expander.analyze(plate)
    light = expander.render(plate, analysis)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tile_light, "heard", everywhere)
        assert np.array_equal(light, expander.render(plate, analysis))


@settings(max_examples=15, deadline=None)
@given(
    size=st.tuples(st.integers(40, 400), st.integers(20, 200)),
    clipped=st.floats(0.1, 1.0),
    latlong=st.booleans(),
    seed=seeds,
)
def test_an_analysis_misses_nothing_that_the_network_is_not_asked_for(size, clipped, latlong, seed):
    height, width = size[1], 2 * size[1] if latlong else size[0]
    plate = walled(height, width, seed, clipped)
    engine = BoxEngine(gain=8)
    expander = Expander(Settings(white=1.0, latlong=latlong), engine=engine)
    analysis = expander.analyze(plate)
    asked, engine.ran = engine.ran, []
    light = expander.render(plate, analysis)
    engine.ran = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(recovered, "_grown", lambda mask, by: np.ones_like(mask))
        patched.setattr(reduced_light, "any_channel", lambda chosen: np.ones(chosen.shape[:2], bool))
        whole = expander.analyze(plate)
    assert whole.anchor == analysis.anchor and whole.anchor_samples == analysis.anchor_samples
    assert sum(map(math.prod, asked)) <= sum(map(math.prod, engine.ran))
    assert np.array_equal(light, expander.render(plate, whole))


@given(fine=st.integers(48, 200), at=st.integers(0, 199))
def test_a_coarser_level_is_asked_for_all_that_its_enlargement_reads(fine, at):
    at %= fine
    mask = np.zeros((fine, 1), bool)
    mask[at] = True
    asked = recovered._grown(recovered._reduced(mask, (fine // 2, 1)), recovered.TAPS // 2)[:, 0]
    for pixel in range(fine // 2):
        one = np.zeros((fine // 2, 1, 1), np.float32)
        one[pixel] = 1
        assert asked[pixel] or enlarge(one, fine, 1)[at] == 0


def test_a_small_window_costs_an_analysis_a_small_part_of_the_network():
    plate = np.full((400, 400, 3), 60, np.uint8)
    plate[50:90, 50:90] = 255
    engine = BoxEngine(gain=8)
    Expander(Settings(white=1.0), engine=engine).analyze(plate)
    # Nothing tells of the anchor, and the window has 38 pixels of the reduced plate.
    assert 0 < sum(map(math.prod, engine.ran)) < 0.1 * 384 * 384


def test_the_network_is_asked_along_the_edges_of_a_window_alone():
    plate = np.full((400, 400, 3), 60, np.uint8)
    plate[50:350, 50:350] = 255
    engine = BoxEngine(gain=8)
    expander = Expander(Settings(white=1.0, tile=576), engine=engine)
    analysis = expander.analyze(plate)
    engine.ran.clear()
    light = expander.render(plate, analysis)
    # Its edges by the network's reach at least; boxes of 32 pixels along them, margins included, at most.
    assert 4 * 300 * 8 < sum(height * width for height, width in engine.ran) < 4 * 300 * 48
    assert light[200, 200].min() > 1


@given(height=st.integers(1, 12), width=st.integers(1, 12), seed=seeds, share=st.floats(0, 1))
def test_predicted_light_is_heard_within_the_reach_of_its_low_pass(height, width, seed, share):
    rng = np.random.default_rng(seed)
    wide = rng.random((height, width, 4)).astype(np.float32)
    wide[rng.random((height, width)) < share, 3] = 1
    found, reach = heard(wide), SMOOTHING_RADIUS
    for row in range(height + 2 * reach):
        for column in range(width + 2 * reach):
            rows, columns = (slice(max(0, at - 2 * reach), at + 1) for at in (row, column))
            assert found[row, column] == (wide[rows, columns, 3] < ALONE).any()


@given(seed=seeds, anchor=st.floats(-8, 8))
def test_light_of_wide_areas_is_laid_over_by_its_share(seed, anchor):
    rng = np.random.default_rng(seed)
    own = rng.normal(size=(4, 5, 3)).astype(np.float32)
    wide = rng.random((4, 5, 4)).astype(np.float32)
    wide[0, :, 3], wide[1, :, 3], own[1] = 0, 1, np.nan
    found = laid_over(own, wide, anchor)
    assert np.array_equal(found[0], own[0])
    assert np.array_equal(found[1], wide[1, :, :3] + np.float32(anchor))
    share = wide[2:, :, 3:].astype(np.float64)
    np.testing.assert_allclose(found[2:], (1 - share) * own[2:] + share * (wide[2:, :, :3] + anchor), atol=1e-5)
