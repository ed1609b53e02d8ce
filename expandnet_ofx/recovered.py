"""Light of wide clipped areas, from the plate at a reduced size.

Inside a clipped area wider than the network's receptive field the full-size prediction sees white all around and comes
out flat, with a rim where the field still reaches the edge. On a reduced plate the same area is small enough to be seen
whole. The light found there is kept as a small map; `sample` lays it over the full-size prediction where areas are wide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Predict = Callable[[Array], Array]

WORKING_EDGE = 384
"""Longest edge of the reduced plate in pixels."""

SMALLEST_LEVEL = 24
"""Shortest edge of a pyramid level in pixels: the receptive field covers it."""

SEEN_WIDTH = 9
"""Width in pixels from which a clipped area counts as wide.

The receptive field of 17 pixels sees out of slightly wider ones, but from 10 on its rim shows as a ring (measured on
generated discs: none falls by more than 0.02 stops with 9, some by 0.1 with 11 and by 0.2 with 13).
"""

SMOOTHING = 1.5
"""Sigma in pixels of the low-pass along recovered log light; see `smooth_log_light`."""

SMOOTHING_RADIUS = 4
"""Reach of that low-pass in pixels."""

FLOOR = np.float32(2**-20)
"""Smallest predicted light, so that its logarithm exists."""


@dataclass(frozen=True, eq=False)
class RecoveredLight:
    """A small map over the plate; values are half-float numbers, so that it is saved exactly."""

    values: Array
    """(h, w, 4): log2 of predicted light per channel, and how far the map replaces the full-size prediction, 0 to 1."""


def gaussian(sigma: float, radius: int) -> Array:
    """Return normalized Gaussian weights (2 radius + 1,)."""
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    result: Array = (weights / weights.sum()).astype(np.float32)
    return result


def _along(x: Array, weights: Array, axis: int) -> Array:
    length = x.shape[axis] - len(weights) + 1
    parts = (slice(k, k + length) if axis == 0 else (slice(None), slice(k, k + length)) for k in range(len(weights)))
    total = np.zeros((length, *x.shape[1:]) if axis == 0 else (x.shape[0], length, *x.shape[2:]), np.float32)
    for weight, part in zip(weights, parts, strict=True):
        total += weight * x[part]
    return total


def low_pass(x: Array, weights: Array) -> Array:
    """Convolve (H, W, C) with separable weights along rows and columns; the result is smaller by their reach."""
    return _along(_along(x, weights, 0), weights, 1)


def smooth_log_light(log_light: Array, matte: Array) -> Array:
    """Low-pass log light within the matte, so that single predictions make no speckle and no rim; smaller by the reach.

    Normalized convolution (Knutsson and Westin, CVPR 1993): the light of pixels outside the matte has no say.

    Args:
        log_light: (H + 8, W + 8, 3) log2 of predicted light.
        matte: pointwise matte of the same shape.
    """
    weights = gaussian(SMOOTHING, SMOOTHING_RADIUS)
    certainty = low_pass(matte, weights)
    light = low_pass(log_light * matte, weights)
    return np.divide(light, certainty, out=np.zeros_like(light), where=certainty > 0)


def _extreme(x: Array, width: int, function: Callable[..., Array]) -> Array:
    radius = width // 2
    for axis in (0, 1):
        padding = [(radius, radius) if a == axis else (0, 0) for a in range(x.ndim)]
        padded = np.pad(x, padding, mode="edge")
        shifts = [padded.take(range(k, k + x.shape[axis]), axis) for k in range(2 * radius + 1)]
        x = function(shifts, axis=0)
    return x


def wide_areas(matte: Array, width: int, *, grow: int = 2) -> Array:
    """Return where all channels are clipped over a square of `width` pixels, grown by `grow` and softened: (H, W, 1)."""
    full = (matte.min(2, keepdims=True) > 0.9).astype(np.float32)
    opened = _extreme(_extreme(full, width, np.min), width + 2 * grow, np.max)
    return low_pass(np.pad(opened, ((3, 3), (3, 3), (0, 0)), mode="edge"), gaussian(1.2, 3))


def _halve(x: Array) -> Array:
    height, width = x.shape[0] // 2 * 2, x.shape[1] // 2 * 2
    x = x[:height, :width]
    result: Array = (x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) * np.float32(0.25)
    return result


def recover(
    seen: Array, matte_of: Callable[[Array], Array], predict: Predict, *, reduction: float
) -> RecoveredLight | None:
    """Find the light of wide clipped areas; None where there are none.

    From coarse to fine, each level keeps its own prediction where it sees past the clipped area, and takes the coarser
    level's where it does not.

    Args:
        seen: reduced plate as the network sees it, (h, w, 3) in [0, 1].
        matte_of: pointwise matte of such a plate.
        predict: network on such a plate, border included: (h, w, 3) light.
        reduction: plate pixels per pixel of `seen`, 1 or more.
    """
    width = max(3, round(SEEN_WIDTH / reduction) // 2 * 2 + 1)
    wide = wide_areas(matte_of(seen), width)
    if not wide.any():
        return None
    levels = [seen]
    while min(levels[-1].shape[:2]) >= 2 * SMALLEST_LEVEL:
        levels.append(_halve(levels[-1]))
    found: Array | None = None
    for level in reversed(levels):
        matte = matte_of(level)
        edge = ((SMOOTHING_RADIUS, SMOOTHING_RADIUS), (SMOOTHING_RADIUS, SMOOTHING_RADIUS), (0, 0))
        own = np.log2(np.maximum(predict(level), FLOOR))
        # A trace of weight everywhere: beyond a clipped area the map continues with the light of what lies there.
        weight = np.maximum(matte, np.float32(1e-3))
        own = smooth_log_light(np.pad(own, edge, mode="edge"), np.pad(weight, edge, mode="edge"))
        if found is not None:
            unseen = wide_areas(matte, SEEN_WIDTH)
            own += unseen * (_enlarge(found, own.shape[0], own.shape[1]) - own)
        found = own
    assert found is not None
    values = np.concatenate((found, wide), 2)
    return RecoveredLight(values.astype(np.float16).astype(np.float32))


def _spline(positions: NDArray[np.float64], length: int, *, wrap: bool) -> tuple[NDArray[np.int64], Array]:
    """Return indices (n, 4) and weights (n, 4) of the uniform cubic B-spline at positions in pixels (de Boor 1978)."""
    base = np.floor(positions)
    t = positions - base
    weights = np.stack(((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3), 1) / 6
    indices = base.astype(np.int64)[:, None] + np.arange(-1, 3)
    indices = indices % length if wrap else np.clip(indices, 0, length - 1)
    return indices, weights.astype(np.float32)


def _resample(values: Array, rows: NDArray[np.float64], columns: NDArray[np.float64], *, wrap: bool = False) -> Array:
    at_rows, row_weights = _spline(rows, values.shape[0], wrap=False)
    at_columns, column_weights = _spline(columns, values.shape[1], wrap=wrap)
    first, last = at_rows.min(), at_rows.max() + 1
    across = np.zeros((last - first, len(columns), values.shape[2]), np.float32)
    for k in range(4):
        across += values[first:last, at_columns[:, k]] * column_weights[:, k, None]
    result = np.zeros((len(rows), len(columns), values.shape[2]), np.float32)
    for k in range(4):
        result += across[at_rows[:, k] - first] * row_weights[:, k, None, None]
    return result


def _enlarge(values: Array, height: int, width: int) -> Array:
    rows = (np.arange(height) + 0.5) * (values.shape[0] / height) - 0.5
    columns = (np.arange(width) + 0.5) * (values.shape[1] / width) - 0.5
    return _resample(values, rows, columns)


def sample(
    recovered: RecoveredLight,
    window: tuple[int, int, int, int],
    rows: tuple[int, int],
    columns: tuple[int, int],
    *,
    wrap: bool = False,
) -> Array:
    """Return the map at plate pixels [rows) x [columns): (n, m, 4), smooth in value, slope and curvature.

    Args:
        window: what the map covers: x0, y0, x1, y1 in plate pixels.
        wrap: the left edge continues the right one.
    """
    height, width = recovered.values.shape[:2]
    x0, y0, x1, y1 = window
    at_rows = (np.arange(*rows) + 0.5 - y0) * (height / (y1 - y0)) - 0.5
    at_columns = (np.arange(*columns) + 0.5 - x0) * (width / (x1 - x0)) - 0.5
    low, high = -1.0, float(height)
    return _resample(recovered.values, np.clip(at_rows, low, high), at_columns, wrap=wrap)
