"""What the eye makes of light: the numbers of HDR-VDP 2.2's observer and the curves that follow from them.

Mantiuk, Kim, Rempel, Heidrich, "HDR-VDP-2: A calibrated visual metric for visibility and quality predictions in all
luminance conditions", ACM TOG 30(4), 2011; Narwaria, Mantiuk, Da Silva, Le Callet, "HDR-VDP-2.2: a calibrated method for
objective quality prediction of high-dynamic range and standard images", Journal of Electronic Imaging 24(1), 2015. Values
are those of release 2.2.2 (same quality as 2.2.1).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RGB_TO_CONES = np.array(
    (
        (1.98996120e-01, 4.10058604e-02, 6.15063088e-05, 1.43773686e-02),
        (4.04762607e-01, 2.54923306e-01, 6.95917451e-04, 4.80920841e-01),
        (5.43906193e-02, 5.00122490e-02, 7.03756790e-03, 4.54275896e-01),
    )
)
"""Response of long, middle, short cones and rods to red, green, blue of 1 cd/m2 white: the spectra of a display lit by cold
cathodes times the cones of Smith and Pokorny 1975 and the rods of CIE 1951, over 360 to 780 nm."""

GRAY_TO_CONES = np.array(((0.60184715, 0.3167083, 0.00766481, 0.90467065),))
"""The same for luminance under CIE D65."""

SURROUND = 1e-5
"""Light around the picture in cd/m2."""

CSF_LUMINANCE = np.log10((0.002, 0.02, 0.2, 2, 20, 150))
CSF = np.array(
    (
        (0.991265, 3.74038, 0.50722, 4.46044),
        (0.800889, 3.54104, 0.682505, 4.94958),
        (0.476505, 4.37453, 0.750315, 5.28678),
        (0.405782, 4.40602, 0.935314, 5.61425),
        (0.334278, 3.79542, 1.07327, 6.4635),
        (0.394533, 2.7755, 1.16577, 7.45665),
    )
)
"""Parameters of contrast sensitivity at each luminance."""

JOINT = (30.162, 4.0627, 1.6596, 0.2712)
"""Sensitivity of cones and rods together over luminance: scale, drop, slope, rise in the dark."""

ROD = (1.1732, 1.1478, 1.2167, 0.5547, 2.9899, 1.1414)
"""Sensitivity of rods over luminance."""

PEAK = 0.006894596 / 10**-2.4
"""Correction of sensitivity to a peak contrast of 2.4 log units."""

_DIRECT, _SCATTER = 0.99727370023777070, 0.061466549455263
GLARE_WEIGHTS = (
    _DIRECT * 0.426, _DIRECT * 0.574, (1 - _DIRECT) * _SCATTER, (1 - _DIRECT) * (1 - _SCATTER),
)  # fmt: skip
GLARE_DECAYS = (0.028, 0.37, 37.0, 360.0)

MASKING_POWER = 10**0.544068
MASKING_SLOPE = 10**0.49576
MASK_SELF, MASK_ORIENTATIONS, MASK_NEIGHBORS = (10**x for x in (0.189065, 0.449199, 1.52512))

QUALITY_FREQUENCY = np.array((60, 30, 15, 7.5, 3.75, 1.875, 0.9375, 0.4688, 0.2344, 0.1172))
QUALITY_WEIGHT = np.array((0, 0.2832, 0.2832, 0.2142, 0.2690, 0.0398, 0.0003, 0.0003, 0, 0))
"""Weight of a band in the quality by its frequency in cycles per degree."""


def glare(frequency: Array) -> Array:
    """Return what the eye's optics leave of a grating by its frequency in cycles per degree."""
    return sum((a * np.exp(-b * frequency) for a, b in zip(GLARE_WEIGHTS, GLARE_DECAYS, strict=True)), np.zeros(()))


def contrast_sensitivity(frequency: Array | float, luminance: Array | float) -> Array:
    """Return sensitivity to contrast without what optics and adaptation do.

    Args:
        frequency: cycles per degree, 0 or more.
        luminance: cd/m2; outside 0.002 to 150 that of the ends.
    """
    at = np.log10(np.asarray(luminance, np.float64))
    p1, p2, p3, p4 = (np.interp(at, CSF_LUMINANCE, column) for column in CSF.T)
    rho = np.asarray(frequency, np.float64)
    with np.errstate(divide="ignore"):
        low = (1 / (1 - np.exp(-((rho / 7) ** 2)))) ** p3
        result: Array = p4 / np.sqrt((1 + (p1 * rho) ** p2) * low)
    return result


def responses() -> tuple[Array, Array, Array]:
    """Return luminance in log10 cd/m2 and what cones and rods answer to it, in steps just seen."""
    light = np.logspace(-5, 5, 2048)
    at = np.log10(light)
    scale, drop, slope, low = JOINT
    joint = scale * ((drop / light) ** slope + 1) ** -low
    rods = _rods(light)
    cones = 0.5 * np.interp(np.minimum(2 * light, light[-1]), light, np.maximum(joint - rods, 1e-3))
    return at, PEAK * _integral(at, cones * np.log(10)), PEAK * _integral(at, rods * np.log(10))


def _rods(light: Array) -> Array:
    peak, low, low_power, high, high_power, scale = ROD
    away = np.abs(np.log10(light / peak))
    return 10**scale * np.where(light > peak, np.exp(-(away**high_power) / high), np.exp(-(away**low_power) / low))


def _integral(at: Array, values: Array) -> Array:
    steps = np.diff(at) * (values[1:] + values[:-1]) / 2
    return np.concatenate((np.zeros(1), np.cumsum(steps)))
