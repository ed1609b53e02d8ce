"""Operators with a map of where light is: Kovaleski and Oliveira, Huo (two), Kuo."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from expandnet_comparison.operators.bilateral import bilateral
from expandnet_comparison.operators.common import Array, box, linearized, log_average, luminance, need, with_luminance


def kovaleski_oliveira(
    codes: NDArray[Any],
    *,
    peak: float = 1200.0,
    black: float = 0.3,
    sigma_space: float = 150.0,
    sigma_range: float = 25 / 255,
    content: Literal["image", "video"] = "image",
    gamma: float = 2.2,
) -> Array:
    """KOV: a cross bilateral filter of what is clipped makes clipped areas up to four times as bright.

    Kovaleski and Oliveira, "High-quality reverse tone mapping for a wide range of exposures", SIBGRAPI 2014. A mask is 1
    where a channel lies above 254 of 255 (video: 230); E is (3 F + 1) / 4 of the filtered mask F, between 1/4 and 1; light is
    (L (peak - black) + black) E.

    Args:
        codes: (H, W, 3) display codes from 0 to 1, or 8 bits.
        peak, black: range of the display in cd/m2; what is well exposed ends up at a quarter of the peak.
        sigma_space: pixels, theirs for 1920 x 1080.
        sigma_range: in display codes; raised to gamma like the threshold, as the toolbox does.
        content: threshold of stills or of video.
        gamma: of the codes; 0 takes them for light.

    Returns:
        (H, W, 3) light, float64.
    """
    need(0 <= black < peak, "peak, black: need 0 <= black < peak")
    need(sigma_space > 0 and sigma_range > 0, "sigma_space and sigma_range: need more than 0")
    need(content in ("image", "video"), f"content {content}: need image or video")
    light = linearized(codes, gamma)
    level = luminance(light)
    threshold = (254 if content == "image" else 230) / 255
    power = gamma or 1.0
    clipped = (light.max(2) > threshold**power).astype(np.float64)
    share = (3 * bilateral(clipped, sigma_space, sigma_range**power, edge=level) + 1) / 4
    return with_luminance(light, level, (level * (peak - black) + black) * share)


def huo_physiological(
    codes: NDArray[Any], *, peak: float = 3000.0, exponent: float = 0.86, gamma: float = 2.2
) -> Array:
    """HUO: the retina's response turned around, with local adaptation from two bilateral filters.

    Huo, Yang, Dong, Brost, "Physiological inverse tone mapping based on retina response", The Visual Computer 30(5), 2014:
    (L / max L) ((peak S)^n + (peak sigma)^n)^(1/n), with sigma the geometric mean of luminance and S the luminance smoothed
    over 16 and then 10 pixels.

    Args:
        codes: (H, W, 3) display codes from 0 to 1, or 8 bits.
        peak: of the display in cd/m2; the result can exceed it.
        exponent: n of the response, more than 0.
        gamma: of the codes; 0 takes them for light.

    Returns:
        (H, W, 3) light, float64.
    """
    need(peak > 0 and exponent > 0, "peak and exponent: need more than 0")
    light = linearized(codes, gamma)
    level = luminance(light)
    smooth = bilateral(bilateral(level, 16, 0.3), 10, 0.1)
    half = ((peak * smooth) ** exponent + (peak * log_average(level)) ** exponent) ** (1 / exponent)
    return with_luminance(light, level, level / max(float(level.max()), 1e-12) * half)


def huo_dodging(codes: NDArray[Any], *, scale: float = 1.6, theta: float = 1e-5, gamma: float = 2.2) -> Array:
    """HUO 2013: photographic dodging and burning turned around; not the paper's HUO.

    Huo, Yang, Brost, "Dodging and burning inspired inverse tone mapping algorithm", Journal of Computational Information
    Systems 9(9), 2013. Light is multiplied by 10^-scale L / (mean L (1 - L + theta)) / S, with S the luminance smoothed
    over 16 pixels and 3 codes.

    Args:
        codes: (H, W, 3) display codes from 0 to 1, or 8 bits.
        scale: decades that light is lowered by.
        theta: keeps the gain finite where L is 1; light near white has hardly another bound.
        gamma: of the codes; 0 takes them for light.

    Returns:
        (H, W, 3) light, float64.
    """
    need(theta > 0, f"theta {theta:g}: need more than 0")
    light = linearized(codes, gamma)
    level = luminance(light)
    smooth = bilateral(level, 16, 3 / 255)
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = 10**-scale * level / (level.mean() * (1 - level + theta)) / smooth
    result: Array = np.nan_to_num(light * gain[:, :, None], nan=0, posinf=0, neginf=0)
    return result


def kuo(codes: NDArray[Any], *, peak: float = 1000.0, bend: float = 30.0, gamma: float = 2.2) -> Array:
    """KUO: an inverse of Schlick's curve, smoothed where the picture is widely bright.

    Kuo, Tang, Chien, "Content-adaptive inverse tone mapping", VCIP 2012: L peak / (bend (1 - L) + L). Where L lies above the
    largest mean over a tenth of the picture's edge, its 5 x 5 mean is blended in.

    Args:
        codes: (H, W, 3) display codes from 0 to 1, or 8 bits.
        peak: luminance of 1.
        bend: p of the curve, more than 0; 1 is linear.
        gamma: of the codes; 0 takes them for light.

    Returns:
        (H, W, 3) light, float64.
    """
    need(peak > 0 and bend > 0, "peak and bend: need more than 0")
    light = linearized(codes, gamma)
    level = luminance(light)
    expanded = level * peak / (bend * (1 - level) + level)
    edge = math.ceil(0.1 * max(level.shape))
    bright = level >= box(level, edge, "constant").max()
    bright = ndimage.binary_erosion(bright, np.ones((3, 3)), border_value=1)
    share = bilateral(bright * level, edge / 5, (100 / 255) ** (gamma or 1.0), edge=level)
    blended = share * box(expanded, 5, "constant") + (1 - share) * expanded
    return with_luminance(light, level, blended)
