"""What is counted of codes: histograms, and the largest code that reaches each pixel of the reduced plate."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.architecture import GLOBAL_SIZE
from expandnet_ofx.arrays import as_float, beside, cleaned, namespace, taken, to_host
from expandnet_ofx.plates import Codes
from expandnet_ofx.transfer import full_scale

BINS = 1024
"""Histogram bins per unit of code for plates deeper than 8 bits; 8-bit plates have one bin per code."""


def histograms(color: Codes, hidden: NDArray[np.bool_] | None, levels: int) -> NDArray[np.int64]:
    """Count codes per channel: (3, levels + 1).

    Args:
        color: (n, W, 3).
        hidden: pixels left out, (n, W); None for none.
        levels: bins per unit of code; NaN counts as 0.
    """
    xp, scale = namespace(color), full_scale(color.dtype)
    counts = np.zeros((3, levels + 1), np.int64)
    for channel in range(3):
        values = color[:, :, channel]
        values = values.reshape(-1) if hidden is None else values[~hidden]
        if scale == 1:
            values = xp.asarray(cleaned(values, 0, 1) * levels, dtype=xp.int64)
        elif scale != levels:
            values = xp.asarray(values, dtype=xp.int64) * levels // int(scale)
        counts[channel] = to_host(xp.bincount(values, minlength=levels + 1))
    return counts


class Reach:
    """Which source pixels the triangle filter of each proxy pixel touches, along one axis.

    Args:
        length: source pixels.
        wrap: they continue beyond both ends, as a panorama does sideways.
    """

    def __init__(self, length: int, *, wrap: bool = False) -> None:
        scale = length / GLOBAL_SIZE
        centers, support = (np.arange(GLOBAL_SIZE) + 0.5) * scale - 0.5, max(scale, 1.0)
        self.margin = math.ceil(support) if wrap else 0
        """Pixels of the other end that are laid before the first and behind the last, and counted."""
        most = length + 2 * self.margin
        self.first = np.clip(np.ceil(centers - support) + self.margin, 0, most - 1).astype(np.int64)
        """First source pixel of each."""
        self.stop = np.clip(np.floor(centers + support) + 1 + self.margin, 1, most).astype(np.int64)
        """One past its last."""


def peaks(
    y: int, color: Codes, hidden: NDArray[np.bool_] | None, down: Reach, across: Reach
) -> tuple[slice, NDArray[np.float32]]:
    """Return which rows of the proxy some rows reach, and the largest code, 1 = full scale, that reaches each pixel there.

    A code that is no number is no measurement either, as is a hidden one: those are infinite.

    Args:
        y: first of the rows.
        color: (n, W, 3).
        hidden: (n, W); None for none.
        down, across: of the plate's height and width.
    """
    xp, scale = namespace(color), full_scale(color.dtype)
    most = float("inf")
    largest = color if hidden is None else xp.where(hidden[:, :, None], most, as_float(color))
    if across.margin:
        largest = xp.concatenate((largest[:, -across.margin :], largest, largest[:, : across.margin]), 1)
    begin = np.searchsorted(down.stop, y, side="right")
    end = np.searchsorted(down.first, y + len(color), side="left")
    first = np.maximum(down.first[begin:end], y) - y
    stop = np.minimum(down.stop[begin:end], y + len(color)) - y
    cells = window_max(window_max(largest, first, stop, axis=0), across.first, across.stop, axis=1)
    found = np.asarray(to_host(as_float(cells)) / np.float32(scale), np.float32)
    # The largest of values of which one is no number is none either.
    return slice(int(begin), int(end)), np.nan_to_num(found, nan=most, posinf=most)


def window_max(values: Any, first: NDArray[np.int64], stop: NDArray[np.int64], *, axis: int) -> Any:
    """Return the maximum of values [first[i], stop[i]) along one of the first two axes for each i.

    Each window is covered by two whose length is a power of two (sparse table: Bender and Farach-Colton, "The LCA problem
    revisited", LATIN 2000).
    """
    xp, before = namespace(values), (slice(None),) * axis
    shape = list(values.shape)
    shape[axis] = len(first)
    result = np.empty(shape, values.dtype) if xp is np else xp.empty(shape, dtype=values.dtype, device=values.device)
    length = stop - first
    size = 1
    while True:
        at = np.flatnonzero((length >= size) & (length < 2 * size))
        if len(at):
            one, other = (taken(values, index[at], axis) for index in (first, stop - size))
            result[(*before, beside(values, at))] = xp.maximum(one, other)
        if not (length >= 2 * size).any():
            return result
        values = xp.maximum(values[(*before, slice(None, -size))], values[(*before, slice(size, None))])
        size *= 2
