"""Tile geometry: equal spans, their plan over a plate, and the cross-fade between neighbors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.arrays import beside

Box = tuple[slice, slice]
"""Rows and columns."""


@dataclass(frozen=True)
class Span:
    """A run of pixels [start, stop) along one axis that one tile computes, halo not included."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


def spans(length: int, *, size: int, feather: int) -> tuple[Span, ...]:
    """Cover `length` pixels with the fewest spans of one equal size of at most `size`.

    Neighbors overlap by `feather` pixels or more, so that they can be cross-faded. Equal sizes keep one compiled shape
    for the whole plate and waste no work on slivers at the far edge.

    Raises:
        ValueError: `length` or `size` is not positive, or `feather` is not in [0, size).
    """
    if length < 1 or size < 1 or not 0 <= feather < size:
        raise ValueError(f"cannot cover {length} pixels with spans of {size} and a feather of {feather}")
    if length <= size:
        return (Span(0, length),)
    count = -(-(length - feather) // (size - feather))
    equal = -(-(length + (count - 1) * feather) // count)
    starts = [round(i * (length - equal) / (count - 1)) for i in range(count)]
    return tuple(Span(start, start + equal) for start in starts)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The grid of tiles over a plate; depends on its size and the settings alone, never on free memory."""

    rows: tuple[Span, ...]
    columns: tuple[Span, ...]
    feather: int
    most_rows: int
    """Rows of tiles that may be in work at once, 2 or more."""

    def rows_in_work(self, workers: int) -> int:
        """Return how many rows give each worker two tiles, if so many may be."""
        return max(2, min(self.most_rows, -(-2 * workers // len(self.columns))))

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        return len(self.rows) * len(self.columns)


def plan(width: int, height: int, *, tile: int, feather: int, band_pixels: int) -> Plan:
    """Plan tiles of about `tile` pixels along each edge.

    Args:
        width, height: size of the plate or region in pixels.
        tile: largest edge of a tile without its halo.
        feather: pixels that neighbors cross-fade over.
        band_pixels: most pixels that the rows of tiles in work may hold, if more than two are; wide plates get lower tiles.
    """
    low = min(max(tile, feather + 1), max(feather + 16, band_pixels // width))
    return Plan(
        rows=spans(height, size=max(low, 1), feather=feather),
        columns=spans(width, size=max(tile, feather + 1), feather=feather),
        feather=feather,
        most_rows=max(2, band_pixels // (width * max(low, 1))),
    )


def ramp(feather: int) -> NDArray[np.float32]:
    """Return the weights (feather,) of the later tile across an overlap; the earlier tile has one minus these."""
    return ((np.arange(feather, dtype=np.float32) + 0.5) / np.float32(max(feather, 1))).astype(np.float32)


def cross_fade(earlier: NDArray[np.float32], later: NDArray[np.float32], *, axis: int) -> None:
    """Fade from `earlier` to `later` along `axis`, writing the result into `later`; both of one shape."""
    shape = [1] * later.ndim
    shape[axis] = later.shape[axis]
    weight = beside(later, ramp(later.shape[axis]).reshape(shape))
    # b + w (a - b) returns b exactly where a == b, so equal predictions stay bit-identical through the fade.
    later -= earlier
    later *= weight
    later += earlier


def bounds(wanted: NDArray[np.bool_]) -> Box | None:
    """Return the smallest box (rows, columns) that holds all wanted pixels of (H, W); None if there are none."""
    rows, columns = np.flatnonzero(wanted.any(1)), np.flatnonzero(wanted.any(0))
    if not len(rows):
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


BOX_STEP = 16
"""Boxes grow to multiples of this many pixels: few shapes, so that an engine prepares its kernels for few."""

WORTH = 0.7
"""Share of what a box costs that its parts may cost at the least, so that the best of them are looked for."""

RING = 12
"""Margins that a ring is wide at least before four sides of it cost less than the whole."""

LOWEST_PART = 32
"""Rows of a box below which it is not cut for more workers: each part pays for its margin."""


def boxes(wanted: NDArray[np.bool_], *, halo: int) -> list[Box]:
    """Cover all wanted pixels with boxes whose cost, halo included, is low.

    A box shrinks to what is wanted in it, and is cut in two where that costs least, if that costs less than the whole, or
    if its parts do once they are cut. Each edge is a multiple of `BOX_STEP`, or the whole edge of the area; boxes may overlap.

    Args:
        wanted: (H, W).
        halo: margin in pixels that each box pays for.

    Returns:
        Boxes as (rows, columns), inside the area.
    """
    return _boxes(wanted, (0, 0), (wanted.shape[0], wanted.shape[1]), halo)[0]


def _boxes(
    wanted: NDArray[np.bool_], corner: tuple[int, int], whole: tuple[int, int], halo: int
) -> tuple[list[Box], float]:
    """Return the boxes of a part of an area, which begins at a corner of the whole, and what they cost."""
    part = bounds(wanted)
    if part is None:
        return [], 0.0
    wanted = wanted[part]
    (y, x), (height, width) = (corner[0] + part[0].start, corner[1] + part[1].start), wanted.shape
    cost, box = _cost(height, width, whole, halo), (_stepped(y, height, whole[0]), _stepped(x, width, whole[1]))
    if _least(wanted, halo) > WORTH * cost:
        return [box], cost
    (lying, row), (standing, column) = _best_cut(wanted, whole, halo), _best_cut(wanted.T, whole[::-1], halo)
    # No single cut makes a ring cheaper, but the next ones may, if it is large.
    if min(lying, standing) >= cost and min(height, width) < RING * halo:
        return [box], cost
    if lying <= standing:
        parts = [(wanted[:row], (y, x)), (wanted[row:], (y + row, x))]
    else:
        parts = [(wanted[:, :column], (y, x)), (wanted[:, column:], (y, x + column))]
    (first, one), (second, other) = (_boxes(part, at, whole, halo) for part, at in parts)
    return (first + second, one + other) if one + other < cost else ([box], cost)


def _least(wanted: NDArray[np.bool_], halo: int) -> float:
    """Return what boxes cost at the least, if they are as long as their two margins or longer: an estimate for wide ones.

    Of cells of that length a box reaches one more, along each axis, than it is long, and its margins pay for that one.
    """
    cell = 2 * halo
    for axis in (0, 1):
        wanted = np.logical_or.reduceat(wanted, np.arange(0, wanted.shape[axis], cell), axis)
    return float(cell * cell * np.count_nonzero(wanted))


def _best_cut(wanted: NDArray[np.bool_], whole: tuple[int, int], halo: int) -> tuple[float, int]:
    """Return what the boxes of both parts cost after the best cut between two rows, and the first row behind it."""
    some, (height, width) = wanted.any(1), wanted.shape
    if height == 1:
        return np.inf, 0
    at, first = np.arange(height), np.where(some, wanted.argmax(1), width)
    stop = np.where(some, width - wanted[:, ::-1].argmax(1), 0)
    # Of the rows up to each, and of those from each on.
    above = np.maximum.accumulate(np.where(some, at + 1, 0))
    across_above = np.maximum.accumulate(stop) - np.minimum.accumulate(first)
    below = height - np.minimum.accumulate(np.where(some, at, height)[::-1])[::-1]
    across_below = (np.maximum.accumulate(stop[::-1]) - np.minimum.accumulate(first[::-1]))[::-1]
    costs = _cost(above, across_above, whole, halo)[:-1] + _cost(below, across_below, whole, halo)[1:]
    best = int(costs.argmin())
    return float(costs[best]), best + 1


def _cost(height: Any, width: Any, whole: tuple[int, int], halo: int) -> Any:
    """Return the pixels of a box that holds so many rows and columns, margins included."""
    rows, columns = (
        np.minimum(-(-size // BOX_STEP) * BOX_STEP, most) + 2 * halo
        for size, most in zip((height, width), whole, strict=True)
    )
    return rows * columns


def _stepped(start: int, length: int, whole: int) -> slice:
    size = min(-(-length // BOX_STEP) * BOX_STEP, whole)
    start = min(start, whole - size)
    return slice(start, start + size)


def cut(boxes: Sequence[Box], *, parts: int) -> list[Box]:
    """Cut boxes across their rows into about so many parts of one area, none lower than `LOWEST_PART`.

    Cuts of one box are of one size, so they may overlap.
    """
    areas = [(rows.stop - rows.start) * (columns.stop - columns.start) for rows, columns in boxes]
    found = []
    for (rows, columns), area in zip(boxes, areas, strict=True):
        height = rows.stop - rows.start
        size = max(LOWEST_PART, -(-height * sum(areas) // (area * parts)))
        for span in spans(height, size=size, feather=0):
            found.append((slice(rows.start + span.start, rows.start + span.stop), columns))
    return found
