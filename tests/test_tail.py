"""What a histogram tells of light above white, against laws of counting."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from expandnet_ofx.tail import BELOW, CLIPPED, FLOOR, SIZE, tail

EDGE_CODES = np.array([0.98, 0.9361, 0.8671, 0.7204, 0.4478])
"""0.98 through IEC 61966-2-1, then light 0.15, 0.4, 1 and 2.5 stops below it, and back."""

Array = np.ndarray


def shares(values: Array) -> Array:
    """The shares that a tail of gray values holds: (5,)."""
    gray = np.broadcast_to(values.ravel()[None, None], (1, 3, values.size)).astype(np.float32)
    told = tail(gray, np)[0].reshape(3, SIZE // 3)
    np.testing.assert_allclose(told[0], told[1], atol=1e-6)
    np.testing.assert_allclose(told[0], told[2], atol=1e-6)
    return np.exp2(5 * told[0] - 5) - FLOOR


@settings(max_examples=50, deadline=None)
@given(arrays(np.float32, st.integers(4, 200), elements=st.floats(0, 1, width=32)))
def test_it_counts_as_a_histogram_of_stops_does(values: Array) -> None:
    near = np.abs(values[:, None] - EDGE_CODES).min(1) < 0.011
    values = np.where(near, np.float32(0.2), values)
    light = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    white = ((CLIPPED + 0.055) / 1.055) ** 2.4
    stops_below = np.log2(white / np.maximum(light, 1e-6))
    counted, _ = np.histogram(stops_below, [-1.0, 0.0, *BELOW])
    expected = counted / values.size / np.diff([-1.0, 0.0, *BELOW])
    np.testing.assert_allclose(shares(values), expected, atol=1e-5)


@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0])
def test_where_stops_thin_out_exponentially_the_scale_can_be_read(scale: float) -> None:
    # Light that thins out by e per `scale` stops: what clips over the density below white is `scale` for narrow intervals.
    number = 200_000
    stops = -scale * np.log1p(-(np.arange(number) + 0.5) / number) - 2 * scale
    white = ((CLIPPED + 0.055) / 1.055) ** 2.4
    light = white * np.exp2(stops)
    codes = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055).clip(0, 1)
    clips, density = shares(codes)[:2]
    assert clips / density == pytest.approx(BELOW[0] / np.expm1(BELOW[0] / scale), rel=0.1)


def test_channels_are_told_apart_and_order_does_not_count() -> None:
    rng = np.random.default_rng(0)
    seen = rng.random((2, 3, 500), np.float32) ** 0.3
    told = tail(seen, np)
    shuffled = seen[:, rng.permutation(3)][:, :, rng.permutation(500)]
    np.testing.assert_allclose(tail(shuffled, np), told, atol=1e-6)
    dark, all_, bright = (2 ** (5 * told[:, i] - 5) for i in (0, 5, 10))
    assert (dark < all_).all()
    assert (all_ < bright).all()
    np.testing.assert_allclose(tail(torch.from_numpy(seen), torch), told, atol=1e-5)


def test_noise_and_rounding_hardly_move_it() -> None:
    rng = np.random.default_rng(1)
    flat = np.full((1, 3, 65536), EDGE_CODES[0], np.float32)
    noisy = np.rint((flat + 0.003 * rng.standard_normal(flat.shape)) * 255).astype(np.float32) / 255
    np.testing.assert_allclose(tail(noisy, np)[:, 5:10], tail(flat, np)[:, 5:10], atol=0.05)
