"""Tile geometry: equal spans, their plan over a plate, and the cross-fade between neighbors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.arrays import beside


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


def bounds(wanted: NDArray[np.bool_]) -> tuple[slice, slice] | None:
    """Return the smallest box (rows, columns) that holds all wanted pixels of (H, W); None if there are none."""
    rows, columns = np.flatnonzero(wanted.any(1)), np.flatnonzero(wanted.any(0))
    if not len(rows):
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


BOX_STEP = 32
"""Boxes grow to multiples of this many pixels: few shapes, so that an engine prepares its kernels for few."""


def boxes(wanted: NDArray[np.bool_], *, halo: int) -> list[tuple[slice, slice]]:
    """Cover all wanted pixels with boxes whose cost, halo included, is low.

    A box shrinks to what is wanted in it, and is cut in two across its longer side where that costs less than the
    whole. Each edge is a multiple of `BOX_STEP`, or the whole edge of the area; boxes may overlap.

    Args:
        wanted: (H, W).
        halo: margin in pixels that each box pays for.

    Returns:
        Boxes as (rows, columns), inside the area.
    """
    return _boxes(wanted, (0, wanted.shape[0]), (0, wanted.shape[1]), halo)[0]


def _boxes(
    wanted: NDArray[np.bool_], rows: tuple[int, int], columns: tuple[int, int], halo: int
) -> tuple[list[tuple[slice, slice]], float]:
    part = bounds(wanted[slice(*rows), slice(*columns)])
    if part is None:
        return [], 0.0
    (y0, y1), (x0, x1) = (
        (start + side.start, start + side.stop) for start, side in zip((rows[0], columns[0]), part, strict=True)
    )
    box = (_stepped(y0, y1, wanted.shape[0]), _stepped(x0, x1, wanted.shape[1]))
    height, width = (side.stop - side.start for side in box)
    cost = float((height + 2 * halo) * (width + 2 * halo))
    if max(y1 - y0, x1 - x0) <= BOX_STEP:
        return [box], cost
    if y1 - y0 >= x1 - x0:
        middle = (y0 + y1) // 2
        halves = _boxes(wanted, (y0, middle), (x0, x1), halo), _boxes(wanted, (middle, y1), (x0, x1), halo)
    else:
        middle = (x0 + x1) // 2
        halves = _boxes(wanted, (y0, y1), (x0, middle), halo), _boxes(wanted, (y0, y1), (middle, x1), halo)
    (first, first_cost), (second, second_cost) = halves
    if first_cost + second_cost < cost:
        return first + second, first_cost + second_cost
    return [box], cost


def _stepped(start: int, stop: int, length: int) -> slice:
    size = min(-(-(stop - start) // BOX_STEP) * BOX_STEP, length)
    start = min(start, length - size)
    return slice(start, start + size)
