"""The paper's augmentation: five ways to make a plate of an HDR crop, with the published ranges.

Marnerides et al., Computer Graphics Forum 37(2), 2018, section 4.1, and the released program. Reinhard, Mantiuk and Drago
are OpenCV's; the Durand operator has left OpenCV and is written here from its paper.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Uniform = Callable[[float, float], float]

LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)


def stretch(x: Array) -> Array:
    """Map an array to [0, 1] by its minimum and maximum; a constant becomes ones, as in the released program."""
    low, high = float(x.min()), float(x.max())
    return np.ones_like(x) if high <= low else ((x - low) / np.float32(high - low)).astype(np.float32)


def percentile_exposure(light: Array, uniform: Uniform) -> Array:
    """Clip between percentiles drawn from 0 to 15 and from 85 to 100, then gamma 1.8 to 2.2."""
    low, high = np.percentile(light, (uniform(0, 15), uniform(85, 100)))
    exposed = np.clip((light - low) / max(high - low, 1e-9), 0, 1)
    return np.asarray(exposed ** (1 / uniform(1.8, 2.2)), np.float32)


def reinhard(light: Array, uniform: Uniform) -> Array:
    """Reinhard and Devlin's operator with light adaptation 0.8 to 1 and color adaptation 0 to 0.2."""
    import cv2

    gamma, intensity = uniform(1.8, 2.2), uniform(-1, 1)
    operator = cv2.createTonemapReinhard(gamma, intensity, uniform(0.8, 1), uniform(0, 0.2))
    return np.asarray(operator.process(_positive(light)), np.float32)


def mantiuk(light: Array, uniform: Uniform) -> Array:
    """Mantiuk et al.'s operator with a scale of 0.65 to 0.85."""
    import cv2

    operator = cv2.createTonemapMantiuk(uniform(1.8, 2.2), uniform(0.65, 0.85), 1.0)
    return np.asarray(operator.process(_positive(light)), np.float32)


def drago(light: Array, uniform: Uniform) -> Array:
    """Drago et al.'s operator with a bias of 0.7 to 0.9."""
    import cv2

    operator = cv2.createTonemapDrago(uniform(1.8, 2.2), 1.0, uniform(0.7, 0.9))
    return np.asarray(operator.process(_positive(light)), np.float32)


def durand(light: Array, uniform: Uniform) -> Array:
    """Durand and Dorsey's operator ("Fast bilateral filtering", SIGGRAPH 2002): base compressed to a contrast, detail kept.

    Contrast 3 to 5 (in the program's own units, the natural logarithm), sigma 8 pixels and 0.4. The published program
    writes `uniform(3.5)`, which draws from 1 to 3.5; 3 to 5 is what it almost surely meant.
    """
    import cv2

    gamma, contrast = uniform(1.8, 2.2), uniform(3, 5)
    positive = _positive(light)
    luminance = positive @ LUMINANCE
    logarithm = np.log(luminance)
    base = cv2.bilateralFilter(logarithm, -1, 0.4, 8.0)
    scale = contrast / max(float(base.max() - base.min()), 1e-6)
    mapped = np.exp((base - base.max()) * min(scale, 1.0) + logarithm - base)
    ratio = positive / luminance[:, :, None]
    return np.asarray(np.clip(ratio * mapped[:, :, None], 0, 1) ** (1 / gamma), np.float32)


OPERATORS = (percentile_exposure, reinhard, mantiuk, drago, durand)


def random_plate(light: Array, rng: np.random.Generator) -> Array:
    """Return a plate of light (H, W, 3) by a random operator, stretched to [0, 1]."""

    def uniform(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    plate = repaired(OPERATORS[int(rng.integers(len(OPERATORS)))](light, uniform))
    return stretch(percentile_exposure(light, uniform) if plate is None else plate)


def repaired(plate: Array) -> Array | None:
    """Return a plate without the NaN that OpenCV's operators give, which would ruin weights; None if there are too many.

    About half of real crops hold one: the darkest pixel, whose logarithm OpenCV takes after stretching it to 0.
    """
    bad = ~np.isfinite(plate).all(2)
    if bad.mean() > 0.01:
        return None
    plate = plate.copy()
    plate[bad] = 0
    return plate


def _positive(light: Array) -> Array:
    """Return light without zeros, whose logarithm the operators take, under 1."""
    return np.ascontiguousarray(np.maximum(stretch(light), np.float32(1e-6)))
