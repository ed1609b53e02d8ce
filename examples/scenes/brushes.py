"""What every scene is painted with: colors, soft edges, rectangles and noise over planes of samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Plane = NDArray[Any]
"""float32: (h, w) one value per sample, or (3, h, w) a color or a vector per sample."""

_LATTICE = np.random.default_rng(20).random((256, 256), dtype=np.float32)


def rgb(red: float, green: float, blue: float) -> Plane:
    """Make a color, or any triple, that broadcasts over planes."""
    return np.array([red, green, blue], np.float32).reshape(3, 1, 1)


def smooth(low: ArrayLike, high: ArrayLike, value: Plane) -> Plane:
    """Rise from 0 at low to 1 at high with level ends."""
    start = np.asarray(low, np.float32)
    t = np.asarray((value - start) * (1 / (np.asarray(high, np.float32) - start)))
    np.clip(t, 0, 1, out=t)
    return np.asarray(t * t * (3 - 2 * t))


def mix(first: Plane, second: Plane, amount: Plane) -> Plane:
    """Blend from first (amount 0) to second (amount 1)."""
    return first + (second - first) * amount


def bell(distance: Plane) -> Plane:
    """Fall from 1 at distance 0 like a Gaussian of standard deviation 0.71."""
    return np.exp(-np.minimum(distance * distance, 80))


def length(across: Plane, along: Plane) -> Plane:
    """Return the distance from the origin; values here are far from overflow, so no need for the slower np.hypot."""
    return np.sqrt(across * across + along * along)


def part(value: Plane) -> Plane:
    """Return the fractional part, 0..1."""
    return value - np.floor(value)


def box(u: Plane, v: Plane, bounds: tuple[float, float, float, float], soft: ArrayLike = 0.004) -> Plane:
    """Cover the rectangle (u0, u1, v0, v1) with 1, edges soft over twice the given length."""
    u0, u1, v0, v1 = bounds
    soft = np.asarray(soft, np.float32)
    across = smooth(-soft, soft, u - u0) * smooth(-soft, soft, u1 - u)
    return across * smooth(-soft, soft, v - v0) * smooth(-soft, soft, v1 - v)


def scatter(u: Plane, v: Plane, seed: int = 0) -> Plane:
    """Draw one random number 0..1 per unit cell."""
    column, row = np.floor(u).astype(np.int32) + 37 * seed, np.floor(v).astype(np.int32) + 91 * seed
    return _LATTICE[row & 255, column & 255]


def noise(u: Plane, v: Plane, seed: int = 0) -> Plane:
    """Interpolate the random numbers of the cells smoothly: 0..1, features one unit wide."""
    left, low = np.floor(u), np.floor(v)
    s, t = u - left, v - low
    s, t = s * s * (3 - 2 * s), t * t * (3 - 2 * t)
    column, row = left.astype(np.int32) + 37 * seed, low.astype(np.int32) + 91 * seed
    c0, c1, r0, r1 = column & 255, (column + 1) & 255, (row & 255) << 8, ((row + 1) & 255) << 8
    flat = _LATTICE.ravel()
    under = mix(flat[r0 + c0], flat[r0 + c1], s)
    over = mix(flat[r1 + c0], flat[r1 + c1], s)
    return mix(under, over, t)


def fractal(u: Plane, v: Plane, octaves: int, seed: int = 0) -> Plane:
    """Sum octaves of noise, each half as wide and as strong as the last: 0..1 around 0.5."""
    total, weight = np.zeros(np.broadcast(u, v).shape, np.float32), 0.0
    for octave in range(octaves):
        # The turn between octaves keeps the lattices from lining up into visible rows.
        total += noise(u, v, seed + octave) * 0.5**octave
        weight += 0.5**octave
        u, v = 1.6 * u - 1.2 * v, 1.2 * u + 1.6 * v
    return total / np.float32(weight)


def paint_where(light: Plane, mask: NDArray[np.bool_], paint: Callable[..., Plane], *planes: Plane) -> None:
    """Replace the light of the masked samples by paint(*planes), evaluated for those samples only."""
    if mask.any():
        light[:, mask] = paint(*(plane[..., mask][..., None, :] for plane in planes))[:, 0]
