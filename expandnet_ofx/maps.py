"""Small maps over a plate: low-pass, pyramid, and smooth enlargement."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.arrays import beside, namespace, taken, zeros

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PlateMap:
    """A small picture over a plate's window; equal to another of its kind with the same values."""

    values: Array
    """(h, w, C) numbers that half floats hold, so that it is saved exactly."""

    def __eq__(self, other: object) -> bool:
        """Compare all values exactly."""
        return isinstance(other, type(self)) and np.array_equal(self.values, other.values)

    __hash__ = None  # type: ignore[assignment]


def as_half(values: Array) -> Array:
    """Return values rounded to half floats, as float32."""
    return values.astype(np.float16).astype(np.float32)


def gaussian(sigma: float, radius: int) -> Array:
    """Return normalized Gaussian weights (2 radius + 1,)."""
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    result: Array = (weights / weights.sum()).astype(np.float32)
    return result


def _along(x: Array, weights: Array, axis: int) -> Array:
    length = x.shape[axis] - len(weights) + 1
    parts = [slice(k, k + length) if axis == 0 else (slice(None), slice(k, k + length)) for k in range(len(weights))]
    first, *others = weights.tolist()
    total: Array = first * x[parts[0]]
    for weight, part in zip(others, parts[1:], strict=True):
        total += weight * x[part]
    return total


def low_pass(x: Array, weights: Array) -> Array:
    """Convolve (H, W, C) with separable weights along rows and columns; the result is smaller by their reach."""
    return _along(_along(x, weights, 0), weights, 1)


def low_pass_whole(x: Array, weights: Array, *, wrap: bool) -> Array:
    """Low-pass a whole map (H, W, C), same size: edges replicated, or the left one continuing the right one."""
    return low_pass(framed(x, len(weights) // 2, wrap=wrap), weights)


def framed(x: Array, by: int, *, wrap: bool = False) -> Array:
    """Return a map (H, W, C) with `by` pixels more on all sides: edges replicated, or the left one continuing the right.

    As `numpy.pad`, in a fraction of its time on small maps.
    """
    height, width = x.shape[:2]
    columns = slice(by, by + width)
    result = np.empty((height + 2 * by, width + 2 * by, *x.shape[2:]), x.dtype)
    rows = result[by : by + height]
    rows[:, columns] = x
    if wrap:
        across = np.arange(-by, 0) % width, np.arange(by) % width
        rows[:, :by], rows[:, columns.stop :] = x[:, across[0]], x[:, across[1]]
    else:
        rows[:, :by], rows[:, columns.stop :] = x[:, :1], x[:, -1:]
    result[:by], result[by + height :] = rows[:1], rows[-1:]
    return result


def running(x: Array, width: int, extreme_of: Any) -> Array:
    """Return the least (`minimum`) or largest (`maximum`) value over squares; smaller by their reach: (H, W, C)."""
    for axis in (0, 1):
        reach = 1
        while reach < width:
            # Windows twice as wide from two that overlap or touch.
            step = min(reach, width - reach)
            length = x.shape[axis] - step
            first, second = (slice(k, k + length) for k in (0, step))
            x = extreme_of(x[first], x[second]) if axis == 0 else extreme_of(x[:, first], x[:, second])
            reach += step
    return x


def extreme(x: Array, width: int, extreme_of: Any, *, wrap: bool = False) -> Array:
    """Return the least or largest value over squares of an odd width, of the same size: (H, W, C); edges as `framed`."""
    return running(framed(x, width // 2, wrap=wrap), width, extreme_of)


def halve(x: Array) -> Array:
    """Return averages of 2 x 2 values: (H // 2, W // 2, C); of an odd number, of as much more as makes up the whole."""
    return _halve_along(_halve_along(x, 0), 1)


def _halve_along(x: Array, axis: int) -> Array:
    x = x.swapaxes(0, axis)
    count = len(x) // 2
    if len(x) == 2 * count:
        result = (x[::2] + x[1::2]) * np.float32(0.5)
    else:
        # Each average is of 2 + 1 / count values: of the middle one, a part of the one before, another of the next.
        share = (np.arange(count + 1, dtype=np.float32) / np.float32(len(x))).reshape(-1, *[1] * (x.ndim - 1))
        own = x[1::2]
        result = own + share[:0:-1] * (x[:-1:2] - own) + share[1:] * (x[2::2] - own)
    halved: Array = np.ascontiguousarray(result.swapaxes(0, axis))
    return halved


RESAMPLED = 1 << 17
"""Values of a map that are enlarged at a time: few enough for the processor's cache."""

Taps = tuple[NDArray[np.int64], Array]
"""Indices (n, 4) into an axis of a map, and their weights (n, 4)."""


def _spline(positions: NDArray[np.floating[Any]], length: int, *, wrap: bool) -> Taps:
    """Return the taps of the uniform cubic B-spline at positions in pixels (de Boor 1978)."""
    base = np.floor(positions)
    t = positions - base
    weights = np.stack(((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3), 1) / 6
    indices = base.astype(np.int64)[:, None] + np.arange(-1, 3)
    indices = indices % length if wrap else np.clip(indices, 0, length - 1)
    return indices, weights.astype(np.float32)


def _resample(values: Array, rows: Taps, columns: Taps) -> Array:
    """Return a map at rows and columns, where it is."""
    (at_rows, row_weights), (at_columns, column_weights) = rows, columns
    first, last = at_rows.min(), at_rows.max() + 1
    at_rows, at_columns = beside(values, at_rows - first), beside(values, at_columns)
    row_weights, column_weights = beside(values, row_weights), beside(values, column_weights)
    shape = int(last - first), len(at_columns), values.shape[2]
    across = zeros(values, shape)
    for k in range(4):
        across += taken(values[first:last], at_columns[:, k], 1) * column_weights[:, k, None]
    across = across.reshape(shape[0], -1)
    result = zeros(values, (len(at_rows), across.shape[1]))
    step = len(result) if namespace(values) is not np else max(1, RESAMPLED // across.shape[1])
    for start in range(0, len(result), step):
        some = slice(start, start + step)
        for k in range(4):
            result[some] += across[at_rows[some, k]] * row_weights[some, k, None]
    return result.reshape(-1, *shape[1:])


def enlarge(values: Array, height: int, width: int, *, wrap: bool = False) -> Array:
    """Return a map as (height, width, C), smooth in value, slope and curvature."""
    rows = _enlarging(values.shape[0], height, wrap=False)
    return _resample(values, rows, _enlarging(values.shape[1], width, wrap=wrap))


@lru_cache(maxsize=64)
def _enlarging(length: int, count: int, *, wrap: bool) -> Taps:
    # Every frame of a shot asks for the same few.
    return _spline((np.arange(count) + 0.5) * (length / count) - 0.5, length, wrap=wrap)


def spread(evidence: Array, *, enough: float, wrap: bool = False) -> Array:
    """Spread values from where there is evidence of them over a whole map.

    Pull and push (Gortler et al., "The Lumigraph", SIGGRAPH 1996, 3.4): each level of a pyramid keeps its own average
    by 1 - exp(-enough * weight), and takes the rest from the coarser level.

    Args:
        evidence: (h, w, 1 + C) weight, and weight times values; somewhere the weight is above 0.
        enough: how fast near evidence outweighs far evidence.
        wrap: the left edge continues the right one.

    Returns:
        (h, w, C) values.
    """
    level, levels = evidence, [_blur(evidence, wrap=wrap)]
    while min(level.shape[:2]) >= 4:
        level = halve(levels[-1])
        levels.append(_blur(level, wrap=wrap))
    # The coarsest level is the average of all that is known.
    total = level.sum((0, 1), keepdims=True)
    found = np.asarray(total[:, :, 1:] / np.maximum(total[:, :, :1], np.float32(1e-12)), np.float32)
    for blurred in reversed(levels):
        weight = blurred[:, :, :1]
        own = np.asarray(blurred[:, :, 1:] / np.maximum(weight, np.float32(1e-6)), np.float32)
        coarser = enlarge(found, *blurred.shape[:2], wrap=wrap)
        believed = np.asarray(1 - np.exp(-enough * weight), np.float32)
        found = np.asarray(coarser + believed * (own - coarser), np.float32)
    return found


def _blur(x: Array, *, wrap: bool) -> Array:
    return low_pass_whole(x, gaussian(1.0, 2), wrap=wrap)


def sample(
    values: Array,
    window: tuple[int, int, int, int],
    rows: tuple[int, int],
    columns: tuple[int, int],
    *,
    wrap: bool = False,
) -> Array:
    """Return the map at plate pixels [rows) x [columns): (n, m, C), smooth in value, slope and curvature.

    Args:
        values: the map (h, w, C).
        window: what the map covers: x0, y0, x1, y1 in plate pixels.
        wrap: the left edge continues the right one.
    """
    height, width = values.shape[:2]
    x0, y0, x1, y1 = window
    at_rows = np.clip((np.arange(*rows) + 0.5 - y0) * (height / (y1 - y0)) - 0.5, -1.0, float(height))
    at_columns = (np.arange(*columns) + 0.5 - x0) * (width / (x1 - x0)) - 0.5
    return _resample(values, _spline(at_rows, height, wrap=False), _spline(at_columns, width, wrap=wrap))
