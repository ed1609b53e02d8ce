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
