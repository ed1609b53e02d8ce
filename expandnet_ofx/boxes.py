"""Boxes around what is wanted of an area, so that the network runs on few pixels beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.tiles import spans

Box = tuple[slice, slice]
"""Rows and columns."""

STEP = 16
"""Boxes grow to multiples of this many pixels: the fewer shapes, the fewer kernels an engine prepares."""

WORTH = 0.7
"""Share of what a box costs that its parts may cost at the least, so that the best of them are looked for."""

RING = 12
"""Margins that a ring is wide at least before four sides of it cost less than the whole."""

DEEPEST = 12
"""How often what is left of an area is cut again: enough for pictures, and an end to the search among specks."""

LOWEST_PART = 32
"""Rows of a box up to which it is not cut for more workers: each part pays for its margin."""


def bounds(wanted: NDArray[np.bool_]) -> Box | None:
    """Return the smallest box (rows, columns) that holds all wanted pixels of (H, W); None if there are none."""
    rows, columns = np.flatnonzero(wanted.any(1)), np.flatnonzero(wanted.any(0))
    if not len(rows):
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def grown(box: Box, by: int, shift: int = 0) -> Box:
    """Return a box as it lies in an array that begins `shift` pixels before, and is `by` pixels longer."""
    rows, columns = (slice(side.start + shift, side.stop + shift + by) for side in box)
    return rows, columns


def cover(wanted: NDArray[np.bool_], *, halo: int) -> list[Box]:
    """Cover all wanted pixels with boxes whose cost, halo included, is low.

    A box shrinks to what is wanted in it, and is cut in two where that costs least, if that costs less than the whole, or
    if its parts do once they are cut. Each edge is a multiple of `STEP`, or the whole edge of the area; boxes may overlap.

    Args:
        wanted: (H, W).
        halo: margin in pixels that each box pays for.

    Returns:
        Boxes as (rows, columns), inside the area.
    """
    return _cover(wanted, (0, 0), (wanted.shape[0], wanted.shape[1]), halo, DEEPEST)[0]


def _cover(
    wanted: NDArray[np.bool_], corner: tuple[int, int], whole: tuple[int, int], halo: int, cuts: int
) -> tuple[list[Box], float]:
    """Return the boxes of a part of an area, which begins at a corner of the whole, and what they cost.

    Args:
        cuts: how often it may be cut again.
    """
    part = bounds(wanted)
    if part is None:
        return [], 0.0
    wanted = wanted[part]
    (y, x), (height, width) = (corner[0] + part[0].start, corner[1] + part[1].start), wanted.shape
    cost, box = _cost(height, width, whole, halo), (_stepped(y, height, whole[0]), _stepped(x, width, whole[1]))
    if not cuts or _least(wanted, halo) > WORTH * cost:
        return [box], cost
    turned = np.ascontiguousarray(wanted.T)
    (lying, row), (standing, column) = _best_cut(wanted, whole, halo), _best_cut(turned, (whole[1], whole[0]), halo)
    # No single cut makes a ring cheaper, but the next ones may, if it is large.
    if min(lying, standing) >= cost and min(height, width) < RING * halo:
        return [box], cost
    if lying <= standing:
        parts = [(wanted[:row], (y, x)), (wanted[row:], (y + row, x))]
    else:
        parts = [(wanted[:, :column], (y, x)), (wanted[:, column:], (y, x + column))]
    (first, one), (second, other) = (_cover(part, at, whole, halo, cuts - 1) for part, at in parts)
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
        np.minimum(-(-size // STEP) * STEP, most) + 2 * halo for size, most in zip((height, width), whole, strict=True)
    )
    return rows * columns


def _stepped(start: int, length: int, whole: int) -> slice:
    size = min(-(-length // STEP) * STEP, whole)
    start = min(start, whole - size)
    return slice(start, start + size)


def cut(boxes: Sequence[Box], *, parts: int) -> list[Box]:
    """Cut boxes across their rows into about so many parts of one area; those of `LOWEST_PART` rows stay whole.

    Parts of one box are of one size, so they may overlap.
    """
    areas = [(rows.stop - rows.start) * (columns.stop - columns.start) for rows, columns in boxes]
    found = []
    for (rows, columns), area in zip(boxes, areas, strict=True):
        height = rows.stop - rows.start
        size = max(LOWEST_PART, -(-height * sum(areas) // (area * parts)))
        for span in spans(height, size=size, feather=0):
            found.append((slice(rows.start + span.start, rows.start + span.stop), columns))
    return found
