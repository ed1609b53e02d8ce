from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expandnet_ofx import tiles

cuts = st.integers(1, 400).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size - 1)))


@settings(max_examples=300, deadline=None)
@given(length=st.integers(1, 5000), cut=cuts)
def test_spans_cover_with_the_fewest_equal_parts(length, cut):
    size, feather = cut
    found = tiles.spans(length, size=size, feather=feather)
    assert found[0].start == 0
    assert found[-1].stop == length
    assert len({len(span) for span in found}) == 1
    assert 1 <= len(found[0]) <= size
    for one, other in pairwise(found):
        assert one.start < other.start
        assert one.stop - other.start >= feather
    # n parts of at most `size` that overlap by `feather` reach n (size - feather) + feather pixels.
    reach = (len(found) - 1) * (size - feather) + feather
    assert len(found) == 1 or reach < length


@settings(max_examples=100, deadline=None)
@given(length=st.integers(2, 3000), cut=cuts)
def test_equal_spans_waste_less_than_a_pixel_each(length, cut):
    size, feather = cut
    found = tiles.spans(length, size=size, feather=feather)
    needed = length + (len(found) - 1) * feather
    assert sum(map(len, found)) - needed < len(found)


@pytest.mark.parametrize(("length", "size", "feather"), [(0, 8, 0), (8, 0, 0), (8, 8, 8), (8, 8, -1), (-3, 8, 0)])
def test_impossible_cuts_are_errors(length, size, feather):
    with pytest.raises(ValueError, match="cannot cover"):
        tiles.spans(length, size=size, feather=feather)


@settings(max_examples=200, deadline=None)
@given(
    width=st.integers(1, 70_000),
    height=st.integers(1, 70_000),
    tile=st.integers(32, 2048),
    feather=st.integers(0, 64),
    band_pixels=st.integers(1 << 20, 1 << 26),
)
def test_a_plan_covers_and_is_bounded(width, height, tile, feather, band_pixels):
    feather = min(feather, tile // 2)
    plan = tiles.plan(width, height, tile=tile, feather=feather, band_pixels=band_pixels)
    assert (plan.rows[-1].stop, plan.columns[-1].stop) == (height, width)
    assert plan.tiles == len(plan.rows) * len(plan.columns)
    assert len(plan.rows[0]) <= tile
    assert len(plan.columns[0]) <= tile
    # A row of tiles must be higher than its fade; below that only a narrower plate would fit the bound.
    assert len(plan.rows[0]) * width <= max(band_pixels, (feather + 16) * width)
    assert plan.most_rows == 2 or 2 < plan.most_rows <= band_pixels / (len(plan.rows[0]) * width)


@pytest.mark.parametrize("feather", [0, 8, 20, 31])
def test_no_tile_is_larger_than_asked_for(feather):
    plan = tiles.plan(500, 500, tile=32, feather=feather, band_pixels=1 << 20)
    assert len(plan.rows[0]) <= 32
    assert len(plan.columns[0]) <= 32


def test_a_plan_of_a_small_plate_is_one_tile():
    assert tiles.plan(1, 1, tile=576, feather=8, band_pixels=1 << 20).tiles == 1
    assert tiles.plan(576, 576, tile=576, feather=8, band_pixels=1 << 20).tiles == 1
    assert tiles.plan(577, 576, tile=576, feather=8, band_pixels=1 << 20).tiles == 2


@pytest.mark.parametrize("feather", [1, 2, 7, 8, 64])
def test_fading_weights_are_complementary_and_rising(feather):
    weights = tiles.ramp(feather)
    assert len(weights) == feather
    np.testing.assert_allclose(weights + weights[::-1], 1, atol=1e-6)
    assert (np.diff(weights) > 0).all()
    assert 0 < weights[0] <= 0.5 <= weights[-1] < 1


@settings(max_examples=60, deadline=None)
@given(
    length=st.integers(1, 40), other=st.integers(1, 5), axis=st.integers(0, 1), seed=st.integers(0, 99),
    scale=st.sampled_from([1e-6, 1.0, 4096.0]),
)  # fmt: skip
def test_a_fade_of_equal_predictions_is_exact(length, other, axis, seed, scale):
    shape = (length, other, 3) if axis == 0 else (other, length, 3)
    values = (np.random.default_rng(seed).random(shape) * scale).astype(np.float32)
    later = values.copy()
    tiles.cross_fade(values, later, axis=axis)
    assert np.array_equal(later, values)


@settings(max_examples=60, deadline=None)
@given(length=st.integers(1, 40), axis=st.integers(0, 1), seed=st.integers(0, 99))
def test_a_fade_goes_from_the_earlier_to_the_later_tile(length, axis, seed):
    rng = np.random.default_rng(seed)
    shape = (length, 3, 3) if axis == 0 else (3, length, 3)
    earlier, later = rng.random(shape, np.float32), rng.random(shape, np.float32)
    kept = earlier.copy()
    faded = later.copy()
    tiles.cross_fade(earlier, faded, axis=axis)
    weight = (np.arange(length) + 0.5) / length
    weight = weight[:, None, None] if axis == 0 else weight[None, :, None]
    np.testing.assert_allclose(faded, weight * later + (1 - weight) * earlier, atol=1e-6)
    assert np.array_equal(earlier, kept)


def test_an_empty_fade_changes_nothing():
    later = np.ones((0, 4, 3), np.float32)
    tiles.cross_fade(later.copy(), later, axis=0)
    assert later.shape == (0, 4, 3)
