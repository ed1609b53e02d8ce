"""Steadiness: the same scene, framed a few pixels aside and noised again, must give the same light."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Method = Callable[[NDArray[np.uint8]], Array]

NOISE = 0.6
"""Standard deviation in codes of the noise between two frames; with the rounding to 8 bits, about 0.7."""

HALF_MATTE = 0.966
"""Share of full scale where the default matte is 0.5."""


def drift(plate: NDArray[np.uint8], shift: int, *, seed: int) -> NDArray[np.uint8]:
    """Return what a camera sees after it drifted down and right by so many pixels: the rest of the plate, with new noise."""
    rest = plate[shift:, shift:]
    noise = NOISE * np.random.default_rng(seed).standard_normal(rest.shape)
    return np.ascontiguousarray(np.clip(np.rint(rest + noise), 0, 255).astype(np.uint8))


def unsteadiness(
    method: Method, plate: NDArray[np.uint8], light: Array, shifts: Sequence[int], *, seed: int = 0
) -> tuple[float, float]:
    """Return mean and 95th percentile of how far the delivered light moves, in stops, where the matte is above 0.5.

    Args:
        method: what is measured.
        plate: (H, W, 3).
        light: what the method made of it.
        shifts: pixels that the camera drifts by, one after the other.
        seed: of the noise.
    """
    apart = []
    for shift in shifts:
        moved = drift(plate, shift, seed=seed + shift)
        again = method(moved)
        before, after = light[shift:, shift:], again
        some = (plate[shift:, shift:] > HALF_MATTE * 255) & (moved > HALF_MATTE * 255)
        apart.append(np.abs(np.log2(np.maximum(after[some], 2**-12) / np.maximum(before[some], 2**-12))))
    values = np.concatenate(apart)
    if not values.size:
        return float("nan"), float("nan")
    return float(values.mean()), float(np.percentile(values, 95))
