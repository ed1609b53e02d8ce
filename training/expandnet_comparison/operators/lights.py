"""Light sources of a picture by median cut."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expandnet_comparison.operators.common import Array

LEAST_EDGE = 3
"""Regions of so many pixels or fewer along an edge are not cut."""


@dataclass(frozen=True, kw_only=True)
class Light:
    """The light of one region."""

    row: int
    column: int
    """The pixel nearest to the region's centroid of luminance."""
    power: tuple[float, ...]
    """Sum of the region's channels."""


def light_count(rows: int, columns: int) -> int:
    """Return how many lights a picture is cut into at most: a power of two, about four times its shorter edge."""
    return int(2 ** (math.floor(math.log2(min(rows, columns)) + 0.5) + 2))


def median_cut(light: Array, level: Array, count: int) -> list[Light]:
    """Return lights of equal luminance: the picture is cut in halves across its longer edge again and again.

    Debevec, "A median cut algorithm for light probe sampling", SIGGRAPH 2005 posters. Lights come in the order of the cuts,
    top and left first; where two fall on one pixel, the later counts.

    Args:
        light: (H, W, C).
        level: (H, W) luminance.
        count: most lights, a power of two.
    """
    table = np.pad(level, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    depth = round(math.log2(count))
    found: dict[tuple[int, int], Light] = {}
    waiting = [(0, level.shape[0], 0, level.shape[1], 0)]
    while waiting:
        top, bottom, left, right, cuts = waiting.pop()
        high, wide = bottom - top, right - left
        if min(high, wide) > LEAST_EDGE and cuts < depth:
            if wide > high:
                at = left + _half(table[bottom, left : right + 1] - table[top, left : right + 1])
                parts = [(top, bottom, left, at, cuts + 1), (top, bottom, at, right, cuts + 1)]
            else:
                at = top + _half(table[top : bottom + 1, right] - table[top : bottom + 1, left])
                parts = [(top, at, left, right, cuts + 1), (at, bottom, left, right, cuts + 1)]
            waiting += parts[::-1]
        elif (region := level[top:bottom, left:right]).sum() > 0:
            one = _light(light[top:bottom, left:right], region, top, left)
            found.pop((one.row, one.column), None)
            found[one.row, one.column] = one
    return list(found.values())


def _half(running: NDArray[np.float64]) -> int:
    """Return the length of the first part, of which the second is no brighter; neither is empty."""
    sums = running[1:-1] - running[0]
    return min(int(np.searchsorted(sums, (running[-1] - running[0]) / 2 - 1e-12)), len(sums) - 1) + 1


def _light(light: Array, level: Array, top: int, left: int) -> Light:
    total = level.sum()
    row = float((level.sum(1) * np.arange(1, level.shape[0] + 1)).sum() / total)
    column = float((level.sum(0) * np.arange(1, level.shape[1] + 1)).sum() / total)
    return Light(
        row=top + math.floor(row + 0.5) - 1,
        column=left + math.floor(column + 0.5) - 1,
        power=tuple(light.sum((0, 1)).tolist()),
    )
