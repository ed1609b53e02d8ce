"""The bilateral grid: a filter that smooths and keeps edges, at the cost of a few cells."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from expandnet_comparison.operators.common import Array

PADDING = 3
"""Cells around the grid."""


def bilateral(data: Array, sigma_space: float, sigma_range: float, *, edge: Array | None = None) -> Array:
    """Return a picture (H, W) smoothed within a distance in pixels and in values.

    Chen, Paris, Durand, "Real-time edge-aware image processing with the bilateral grid", ACM TOG 26(3), 2007, with one cell
    per sigma and the Gaussian cut off at the next cell, so that it differs a little from an exact bilateral filter.

    Args:
        data: what is smoothed.
        sigma_space: pixels.
        sigma_range: of the values of `edge`.
        edge: whose edges are kept, from 0 to 1; None for those of `data`, which then lies there.
    """
    edge = data if edge is None else edge
    rows, columns = data.shape
    y, x = np.meshgrid(np.arange(rows) / sigma_space, np.arange(columns) / sigma_space, indexing="ij")
    places = np.stack((y, x, edge / sigma_range)) + PADDING
    # Values of edge may end just above 1: the grid covers what is there.
    shape = (
        int((rows - 1) / sigma_space) + 1 + 2 * PADDING,
        int((columns - 1) / sigma_space) + 1 + 2 * PADDING,
        int(max(1.0, float(edge.max())) / sigma_range) + 1 + 2 * PADDING,
    )
    cells = np.ravel_multi_index(np.floor(places + 0.5).astype(int).reshape(3, -1), shape, mode="clip")
    size = int(np.prod(shape))
    sums = np.bincount(cells, data.ravel(), size).reshape(shape)
    counts = np.bincount(cells, minlength=size).reshape(shape).astype(np.float64)
    # exp(-r^2 / 2) over 3 x 3 x 3 cells is a product of three rows.
    kernel = np.array((np.exp(-0.5), 1.0, np.exp(-0.5)))
    for axis in range(3):
        sums = ndimage.correlate1d(sums, kernel, axis, mode="constant")
        counts = ndimage.correlate1d(counts, kernel, axis, mode="constant")
    means = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
    result: Array = ndimage.map_coordinates(means, places, order=1, mode="nearest")
    return result
