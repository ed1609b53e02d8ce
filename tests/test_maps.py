"""Extremes over neighbors, and pixels by their numbers, against the plainest way of saying the same."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expandnet_ofx.boxes import bounds
from expandnet_ofx.maps import enlarge, extreme, framed, halve, running
from expandnet_ofx.pixels import picked, put_picked
from expandnet_ofx.workers import in_parallel

small = st.integers(1, 9)
seeds = st.integers(0, 2**32 - 1)


@given(small, small, st.integers(1, 12), seeds, st.sampled_from([(np.minimum, min), (np.maximum, max)]))
def test_a_running_extreme_is_that_of_each_square(height, width, square, seed, functions):
    fast, plain = functions
    x = np.random.default_rng(seed).normal(size=(height + square - 1, width + square - 1, 2)).astype(np.float32)
    found = running(x, square, fast)
    assert found.shape == (height, width, 2)
    for row, column, channel in product(range(height), range(width), range(2)):
        values = x[row : row + square, column : column + square, channel]
        assert found[row, column, channel] == plain(values.ravel().tolist())


@given(small, small, st.integers(0, 5), seeds)
def test_the_extreme_of_a_whole_map_sees_nothing_beyond_its_edges(height, width, radius, seed):
    x = np.random.default_rng(seed).normal(size=(height, width, 1)).astype(np.float32)
    found = extreme(x, 2 * radius + 1, np.maximum)
    for row, column in product(range(height), range(width)):
        rows, columns = (slice(max(0, at - radius), at + radius + 1) for at in (row, column))
        assert found[row, column, 0] == x[rows, columns].max()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32, np.bool_])
@given(shape=st.tuples(small, small, st.integers(1, 4)), seed=seeds)
def test_pixels_by_number_are_those_of_the_mask(dtype, shape, seed):
    rng = np.random.default_rng(seed)
    values, mask = rng.integers(0, 200, shape).astype(dtype), rng.random(shape[:2]) < 0.5
    at = np.flatnonzero(mask)
    pixels = picked(values, at)
    np.testing.assert_array_equal(pixels, values[mask])
    expected = values.copy()
    expected[mask] = pixels[::-1]
    put_picked(values, at, pixels[::-1])
    np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize("values", [np.zeros((4, 4, 3), np.float32)[:, ::2], np.zeros((4, 4, 3), np.int32)])
def test_pixels_that_would_be_lost_are_refused(values):
    with pytest.raises(ValueError, match="contiguous"):
        put_picked(values, np.array([1]), np.ones((1, 3), np.float32))


@given(shape=st.tuples(small, small), seed=seeds, share=st.floats(0, 1))
def test_bounds_hold_all_that_is_wanted_and_touch_it_on_every_side(shape, seed, share):
    wanted = np.random.default_rng(seed).random(shape) < share
    box = bounds(wanted)
    if box is None:
        assert not wanted.any()
        return
    inside = wanted[box]
    assert inside.sum() == wanted.sum()
    assert all(side.any() for side in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))


@given(st.integers(0, 20), st.integers(1, 4))
def test_calls_side_by_side_come_back_in_their_order(number, count):
    assert list(in_parallel([lambda k=k: k * k for k in range(number)], count=count)) == [k * k for k in range(number)]


@given(shape=st.tuples(st.integers(1, 9), st.integers(1, 9)), by=st.integers(0, 12), wrap=st.booleans(), seed=seeds)
def test_a_frame_around_a_map_is_that_of_numpy(shape, by, wrap, seed):
    values = np.random.default_rng(seed).random((*shape, 2), np.float32)
    expected = np.pad(values, ((by, by), (0, 0), (0, 0)), mode="edge")
    expected = np.pad(expected, ((0, 0), (by, by), (0, 0)), mode="wrap" if wrap else "edge")
    np.testing.assert_array_equal(framed(values, by, wrap=wrap), expected)


@pytest.mark.parametrize("count", [27, 28, 99, 161])
def test_halves_of_an_odd_number_are_of_the_whole(count):
    ramp = np.linspace(-1, 1, count, dtype=np.float32)[:, None, None].repeat(4, 1)
    halved = halve(ramp)
    np.testing.assert_allclose(halve(ramp[::-1])[::-1], halved, atol=1e-6)
    assert halved.mean() == pytest.approx(ramp.mean(), abs=1e-6)
    np.testing.assert_allclose(enlarge(halved, count, 4)[4:-4], ramp[4:-4], atol=0.04 / count)
    assert (halve(np.ones((count, 7, 2), np.float32)) == 1).all()
