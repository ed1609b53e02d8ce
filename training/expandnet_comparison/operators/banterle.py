"""The operator of Banterle et al.: light sources spread to a map of where the picture is expanded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import spsolve

from expandnet_comparison.operators.bilateral import bilateral
from expandnet_comparison.operators.common import (
    OLD_REC709,
    Array,
    gaussian,
    linearized,
    luminance,
    need,
    with_luminance,
)
from expandnet_comparison.operators.lights import Light, light_count, median_cut

TO_XYZ = np.array(((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505)))
"""Linear Rec.709 to XYZ: IEC 61966-2-1:1999, 5.2."""

KEPT = 0.07
"""Weight of the map before its edges are moved."""

SMOOTHNESS, LEAST_STEP = 0.4, 1e-4
"""Weight of flatness and the step of the picture that ends it."""


def banterle(
    codes: NDArray[Any],
    *,
    peak: float = 3000.0,
    white: float = 3000.0,
    color_map: bool = False,
    neighbors: int | None = 5,
    noise: bool = False,
    gamma: float = 2.2,
) -> Array:
    """BNT: Reinhard's curve turned around where a map of light sources says so.

    Banterle, Ledda, Debattista, Chalmers, "Inverse tone mapping", GRAPHITE 2006, and "A framework for inverse tone
    mapping", The Visual Computer 23(7), 2007; the map's edges follow Lischinski et al., "Interactive
    local adjustment of tonal values", ACM TOG 25(3), 2006. With L the luminance from 0 to 1:
    white peak / 2 (L - 1 + sqrt((1 - L)^2 + 4 L / white^2)), mixed with L by the map.

    Args:
        codes: (H, W, 3) display codes from 0 to 1, or 8 bits.
        peak: light of the brightest pixel, where the map is 1; where it is 0 light stays within 0 and 1.
        white: how sharply the curve bends.
        color_map: a map for each channel, made in CIELab.
        neighbors: lights with fewer pixels that hold lights around them are left out; 0 keeps all, None finds a number
            from all of them.
        noise: smooth lightness and color first, within 4 pixels.
        gamma: of the codes; 0 takes them for light.

    Returns:
        (H, W, 3) light, float64; a picture of one luminance comes out as it is.
    """
    need(peak > 0 and white > 0, "peak and white: need more than 0")
    light = linearized(codes, gamma)
    if noise:
        light = _smoothed(light)
    level = luminance(light, OLD_REC709)
    low, high = float(level.min()), float(level.max())
    if high <= low:
        return light
    x = (level - low) / (high - low)
    expanded = white * peak / 2 * (x - 1 + np.sqrt((1 - x) ** 2 + 4 * x / white**2))
    spread = _expand_map(light, level, color=color_map, neighbors=neighbors)
    mixed = level[:, :, None] * (1 - spread) + expanded[:, :, None] * spread
    if mixed.shape[2] == 1:
        return with_luminance(light, level, mixed[:, :, 0])
    return np.concatenate([with_luminance(light[:, :, c : c + 1], level, mixed[:, :, c]) for c in range(3)], 2)


def _smoothed(light: Array) -> Array:
    """Return light without noise: each channel of CIELab, over its range, within 4 pixels and a hundredth."""
    lab = _lab(light)
    for channel in range(3):
        low, high = float(lab[:, :, channel].min()), float(lab[:, :, channel].max())
        if high > low:
            lab[:, :, channel] = bilateral((lab[:, :, channel] - low) / (high - low), 4, 0.01) * (high - low) + low
    return _from_lab(lab)


def _expand_map(light: Array, level: Array, *, color: bool, neighbors: int | None) -> Array:
    """Return how much of the expanded light counts, from 0 to 1: (H, W, 3) or (H, W, 1)."""
    rows, columns = level.shape
    count = light_count(rows, columns)
    window = math.floor(max(rows, columns) / (2 * math.sqrt(count)) + 0.5)
    lights = median_cut(light, level, count)
    lights = _in_company(lights, (rows, columns), window, count, neighbors)
    power = np.array([one.power for one in lights]).reshape(-1, 3)
    power = power if color else power @ OLD_REC709[:, None]
    density = _splatted(lights, power, (rows, columns), 8 * window)
    density = np.stack([gaussian(x, 8 * window / 5, 8 * window) for x in np.moveaxis(density, 2, 0)], 2)
    spread = np.maximum(_edges_moved(density, light, level), 0)
    top = float(spread.max())
    return spread / top if top > 0 else spread


def _in_company(
    lights: Sequence[Light], shape: tuple[int, int], window: int, count: int, neighbors: int | None
) -> list[Light]:
    """Return the lights that are not alone."""
    held = np.zeros(shape)
    for one in lights:
        held[one.row, one.column] = 1
    table = np.pad(held, ((1, 0), (1, 0))).cumsum(0).cumsum(1)

    def around(one: Light, reach: int) -> int:
        top, left = max(one.row - reach, 0), max(one.column - reach, 0)
        bottom, right = min(one.row + reach + 1, shape[0]), min(one.column + reach + 1, shape[1])
        return round(table[bottom, right] - table[top, right] - table[bottom, left] + table[top, left])

    if neighbors is None:
        near = np.sort([around(one, window) for one in lights])
        neighbors = int(near[np.abs(near.cumsum() - round(0.95 * count)).argmin()])
    return [one for one in lights if neighbors <= 0 or around(one, 3 * window) >= neighbors]


def _splatted(lights: Sequence[Light], power: Array, shape: tuple[int, int], size: int) -> Array:
    """Return Gaussians of the lights over each other, over how many lie there: (H, W, C)."""
    at = np.arange(size) - (size - 1) / 2
    row = np.exp(-0.5 * (at / (size / 5)) ** 2)
    sprite = np.outer(row, row) / row.sum() ** 2
    before = size // 2
    sums = np.zeros((shape[0] + 2 * size, shape[1] + 2 * size, power.shape[1]))
    counts = np.zeros(sums.shape[:2])
    for one, strength in zip(lights, power, strict=True):
        y, x = one.row - before + size, one.column - before + size
        sums[y : y + size, x : x + size] += sprite[:, :, None] * strength
        counts[y : y + size, x : x + size] += 1
    inside = (slice(size, size + shape[0]), slice(size, size + shape[1]))
    return sums[inside] / np.maximum(counts[inside], 1)[:, :, None]


def _edges_moved(density: Array, light: Array, level: Array) -> Array:
    """Return a map whose edges lie where the picture's do, in CIELab where it has colors."""
    if density.shape[2] == 1:
        return _toward_edges(density[:, :, 0], level)[:, :, None]
    guide, values = _lab(light), _lab(density)
    for channel in range(3):
        (edges, _, _), (flat, low, size) = _unit(guide[:, :, channel]), _unit(values[:, :, channel])
        values[:, :, channel] = _toward_edges(flat, edges) * size + low
    return _from_lab(values)


def _unit(x: Array) -> tuple[Array, float, float]:
    """Return values over their range, from 0 to 1, with its least and its size."""
    low, size = float(x.min()), float(np.ptp(x)) or 1.0
    return (x - low) / size, low, size


def _toward_edges(values: Array, guide: Array) -> Array:
    """Return the map that stays near values and is flat where the guide is: least squares over four neighbors."""
    number = np.arange(values.size).reshape(values.shape)
    first, second, weights = [], [], []
    for axis in (0, 1):
        step = np.abs(np.diff(guide, axis=axis))
        length = values.shape[axis] - 1
        first.append(number.take(range(length), axis).ravel())
        second.append(number.take(range(1, length + 1), axis).ravel())
        weights.append((SMOOTHNESS / (step + LEAST_STEP)).ravel())
    a, b, w = (np.concatenate(parts) for parts in (first, second, weights))
    size = values.size
    diagonal = KEPT + np.bincount(a, w, size) + np.bincount(b, w, size)
    matrix = sparse.csc_matrix(
        (
            np.concatenate((diagonal, -w, -w)),
            (np.concatenate((number.ravel(), a, b)), np.concatenate((number.ravel(), b, a))),
        ),
        shape=(size, size),
    )
    found = spsolve(matrix, KEPT * values.ravel(), permc_spec="MMD_AT_PLUS_A")
    return np.asarray(found).reshape(values.shape)


def _lab(light: Array) -> Array:
    """Return CIELab (CIE 15:2004, 8.2.1.1) of linear Rec.709 light, with a white of X = Y = Z = 1."""
    x = light @ TO_XYZ.T
    f = np.where(x > (6 / 29) ** 3, np.cbrt(x), x / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack((116 * f[:, :, 1] - 16, 500 * (f[:, :, 0] - f[:, :, 1]), 200 * (f[:, :, 1] - f[:, :, 2])), 2)


def _from_lab(lab: Array) -> Array:
    middle = (lab[:, :, 0] + 16) / 116
    f = np.stack((middle + lab[:, :, 1] / 500, middle, middle - lab[:, :, 2] / 200), 2)
    x = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    result: Array = x @ np.linalg.inv(TO_XYZ).T
    return result
