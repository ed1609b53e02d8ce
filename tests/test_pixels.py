"""Pixels and what is read of them: against plain numpy, and laid out by rows, here and as tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from expandnet_ofx.arrays import cleaned, count, taken, to_host
from expandnet_ofx.pixels import any_channel, columns_of

KINDS = [np.ascontiguousarray, torch.from_numpy]


@pytest.mark.parametrize("kind", KINDS)
@given(
    width=st.integers(1, 9),
    before=st.integers(-8, 30),
    behind=st.integers(-8, 30),
    wrap=st.booleans(),
)
def test_columns_beyond_the_sides_are_replicated_or_continue(kind, width, before, behind, wrap):
    values = np.arange(2 * width * 4, dtype=np.float32).reshape(2, width, 4)
    first = min(-before, width - 1)
    stop = max(width + behind, first + 1, 1)
    padded = np.pad(values, ((0, 0), (40, 40), (0, 0)), mode="wrap" if wrap else "edge")
    found = to_host(columns_of(kind(values), first, stop, wrap=wrap))
    assert np.array_equal(found, padded[:, 40 + first : 40 + stop])
    # A view of some columns is one of rows in order.
    assert found.strides[1:] == (16, 4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_what_is_taken_lies_in_order_of_rows(kind, axis):
    values = np.arange(5 * 6 * 7, dtype=np.float32).reshape(5, 6, 7)
    at = np.array([4, 0, 0, 3])
    found = taken(kind(values), at, axis)
    assert np.array_equal(to_host(found), values[at] if axis == 0 else values[:, at] if axis == 1 else values[..., at])
    assert to_host(found).flags.c_contiguous
    assert np.array_equal(to_host(found), to_host(taken(kind(values), kind(at), axis)))


ODD = [0.0, -0.0, 0.5, 1.0, -3.0, 6e4, np.nan, np.inf, -np.inf, 2.0**-24]


@pytest.mark.parametrize("kind", KINDS)
@given(
    values=st.lists(st.sampled_from(ODD), min_size=1, max_size=40),
    dtype=st.sampled_from([np.float32, np.float16]),
    low=st.sampled_from([-5e4, 0.0]),
    high=st.sampled_from([1.0, 5e4]),
)
def test_cleaned_codes_are_numbers_within_their_range(kind, values, dtype, low, high):
    found = to_host(cleaned(kind(np.array(values, dtype)), low, high))
    assert found.dtype == np.float32
    assert found.tolist() == [0.0 if np.isnan(x) else min(max(x, low), high) for x in values]


@pytest.mark.parametrize("kind", KINDS)
@given(
    values=arrays.arrays(
        st.sampled_from([np.bool_, np.uint8, np.float32]),
        st.tuples(st.integers(0, 4), st.integers(1, 5), st.just(3)),
        elements=st.integers(0, 1),
    ),
    crop=st.booleans(),
)
def test_a_pixel_is_set_where_one_of_its_channels_is(kind, values, crop):
    values = values[:, 1:] if crop else values
    wanted = values.astype(bool).any(-1)
    found = any_channel(kind(values) if kind is torch.from_numpy else values)
    assert np.array_equal(to_host(found), wanted)
    assert count(found) == int(wanted.sum())
