"""Operators that are one curve for the whole picture: Landis, Akyuz, Masia."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from expandnet_comparison.operators.bilateral import bilateral
from expandnet_comparison.operators.common import Array, linearized, log_average, luminance, need, with_luminance


def landis(
    codes: NDArray[Any], *, peak: float = 3000.0, alpha: float = 2.0, threshold: float = 0.5, gamma: float = 2.2
) -> Array:
    """LAN: a power function of what lies above a threshold of luminance; below it nothing changes.

    Landis, "Production-ready global illumination", SIGGRAPH 2002 course 16, made for lighting with photographs. With L the
    luminance and w = ((L - threshold) / (max L - threshold))^alpha: L (1 - w) + peak L w.

    Args:
        codes: (H, W, 3) display codes from 0 to 1, or 8 bits.
        peak: light of the brightest pixel; below the threshold light stays within 0 and 1, so it jumps.
        alpha: exponent, more than 0.
        threshold: luminance from 0 to 1, after linearization. Where no pixel reaches it nothing is expanded.
        gamma: of the codes; 0 takes them for light.

    Returns:
        (H, W, 3) light, float64.
    """
    need(peak > 0 and alpha > 0, "peak and alpha: need more than 0")
    need(0 <= threshold <= 1, f"threshold {threshold:g}: need 0 to 1")
    light = linearized(codes, gamma)
    level = luminance(light)
    top = float(level.max())
    if top <= threshold:
        return light
    share = np.clip((level - threshold) / (top - threshold), 0, 1) ** alpha
    return with_luminance(light, level, level * (1 - share) + peak * level * share)


def akyuz(codes: NDArray[Any], *, peak: float = 1000.0, exponent: float = 1.0, gamma: float = 2.2) -> Array:
    """AKY: luminance stretched to the display's range.

    Akyuz et al., "Do HDR displays support LDR content?", ACM TOG 26(3), 2007:
    peak ((L - Lmin) / (Lmax - Lmin))^exponent.

    Args:
        codes: (H, W, 3) display codes from 0 to 1, or 8 bits.
        peak: luminance of the brightest pixel; channels of colored pixels may exceed it.
        exponent: more than 0; 1 was preferred by their observers.
        gamma: of the codes; 0 takes them for light.

    Returns:
        (H, W, 3) light, float64; a picture of one luminance comes out black.
    """
    need(peak > 0 and exponent > 0, "peak and exponent: need more than 0")
    light = linearized(codes, gamma)
    level = luminance(light)
    low, high = float(level.min()), float(level.max())
    share = (level - low) / (high - low) if high > low else np.zeros_like(level)
    return with_luminance(light, level, peak * share**exponent)


def masia(
    codes: NDArray[Any],
    *,
    peak: float = 1000.0,
    regression: Literal["2009", "2017"] = "2017",
    noise: bool = False,
    gamma: float = 2.2,
) -> Array:
    """MAS: a power function whose exponent follows from how bright the picture is.

    `2009`: Masia et al., "Evaluation of reverse tone mapping through varying exposure conditions", ACM TOG 28(5): exponent
    10.44 k - 6.282 with the key k = (ln Lav - ln Lmin) / (ln Lmax - ln Lmin) of 1st and 99th percentile. `2017`: Masia,
    Serrano, Gutierrez, "Dynamic range expansion based on image statistics", Multimedia Tools and Applications 76(1):
    2.4379 + 0.2319 ln Lav - 1.1228 k + 0.0085 p, with p the percentage of overexposed pixels (255 L of 254 or more).

    Args:
        codes: (H, W, 3) display codes from 0 to 1, or 8 bits.
        peak: luminance of 1.
        regression: whose exponent. That of 2009 can be negative, which turns the picture around.
        noise: leave what a bilateral filter calls noise out of the power function.
        gamma: of the codes; 0 takes them for light.

    Returns:
        (H, W, 3) light, float64.
    """
    need(peak > 0, f"peak {peak:g}: need more than 0")
    need(regression in ("2009", "2017"), f"regression {regression}: need 2009 or 2017")
    light = linearized(codes, gamma)
    level = luminance(light)
    average, key = np.log(log_average(level)), _key(level)
    if regression == "2009":
        exponent = 10.44 * key - 6.282
    else:
        exponent = 2.4379 + 0.2319 * average - 1.1228 * key + 0.0085 * 100 * float(np.mean(255 * level >= 254))
    with np.errstate(divide="ignore", invalid="ignore"):
        if noise:
            base = bilateral(level, 32, 0.01)
            return with_luminance(light, level, peak * (level / base) * base**exponent)
        return with_luminance(light, level, peak * level**exponent)


def _key(level: Array) -> float:
    """Return the key of a picture: where the average lies between dark and bright; -1 where they are one."""
    lit = np.sort(level[level > 0])
    if not lit.size:
        return -1.0
    low, high = (float(lit[max(int(np.floor(len(lit) * share + 0.5)), 1) - 1]) for share in (0.01, 0.99))
    if high <= low:
        return -1.0
    return float((np.log(log_average(level)) - np.log(low)) / (np.log(high) - np.log(low)))
