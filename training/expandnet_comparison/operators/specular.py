"""Operators that look for light sources and specular areas: Rempel, Meylan."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from expandnet_comparison.operators.bilateral import bilateral
from expandnet_comparison.operators.common import (
    OLD_REC709,
    Array,
    box,
    gaussian,
    linearized,
    luminance,
    need,
    with_luminance,
)

BLACK, PEAK, GAIN = 0.3, 1200.0, 4.0
"""Range in cd/m2 of Rempel's display, and how many times as bright their enhancement makes light at most."""

SQUARE = np.ones((3, 3), bool)


def rempel(
    codes: NDArray[Any],
    *,
    content: Literal["image", "video"] = "image",
    noise: bool = False,
    squared: bool = False,
    gamma: float = 2.2,
) -> Array:
    """REM: what is clipped, spread by a wide Gaussian that stops at edges, is made up to four times as bright.

    Rempel et al., "Ldr2Hdr: on-the-fly reverse tone mapping of legacy video and photographs", ACM TOG 26(3), 2007. Light is
    (L 1199.7 + 0.3) (1 + 3 E) cd/m2, with E a Gaussian (30 pixels) of the clipped pixels within the area that grows from
    them up to an edge. It has no luminance to choose.

    Args:
        codes: (H, W, 3) display codes from 0 to 1, or 8 bits.
        content: `image` clips at 250 of 255, `video` at 230.
        noise: smooth channels first, within 0.8 pixels and 0.05.
        squared: multiply colors by the luminance instead of scaling them to it, as the toolbox did: luminance comes out
            about as its square.
        gamma: of the codes; 0 takes them for light.

    Returns:
        (H, W, 3) light in cd/m2, float64.
    """
    need(content in ("image", "video"), f"content {content}: need image or video")
    light = linearized(codes, gamma)
    if noise:
        light = np.stack([bilateral(channel, 0.8, 0.05) for channel in np.moveaxis(light, 2, 0)], 2)
    level = luminance(light, OLD_REC709)
    clipped = level > ((250 if content == "image" else 230) / 255) ** (gamma or 1.0)
    glow = gaussian(clipped.astype(np.float64), 30, 150)
    smooth = _slope(level) < (0.05 if gamma else 0.05 ** (1 / 2.2))
    grown = ndimage.binary_propagation(clipped, SQUARE, mask=(smooth & (glow > 0.001)) | clipped)
    opened = ndimage.binary_opening(grown, SQUARE)
    share = glow * gaussian(opened.astype(np.float64), 1, 5)
    expanded = level * (PEAK - BLACK) + BLACK
    if squared:
        return light * ((1 + (GAIN - 1) * share) * expanded)[:, :, None]
    return with_luminance(light, level, expanded * (1 + (GAIN - 1) * share))


def _slope(level: Array) -> Array:
    """Return the size of the gradient, from differences over four pixels smoothed across."""
    across, along = np.array((-1.0, -2, 0, 2, 1)), np.array((1.0, 4, 6, 4, 1))
    total = 96.0
    found = [
        ndimage.correlate1d(ndimage.correlate1d(level, across, axis, mode="constant"), along, 1 - axis, mode="constant")
        for axis in (0, 1)
    ]
    return np.hypot(*found) / total


def meylan(
    codes: NDArray[Any], *, peak: float = 3000.0, share: float = 0.67, fixed_white: bool = False, gamma: float = 2.2
) -> Array:
    """MEY: two straight lines, one for diffuse and a steeper one for specular parts.

    Meylan, Daly, Susstrunk, "The reproduction of specular highlights on high dynamic range displays", Color Imaging
    Conference 2006; "Tone mapping for high dynamic range displays", HVEI 2007. Pixels above the largest mean over a fiftieth
    of the picture's height start the specular area, which grows over bright neighbors. With w its darkest luminance:
    L peak share / w below, and from there on peak (1 - share) / (max L - w). Steps between both are smoothed over 5 pixels.

    Args:
        codes: (H, W, 3) display codes from 0 to 1, or 8 bits.
        peak: of the display in cd/m2.
        share: of the range for diffuse parts, between 0 and 1.
        fixed_white: w = 0.99 whatever is found, as in the toolbox, whose test for a singular slope always holds.
        gamma: of the codes; 0 takes them for light.

    Returns:
        (H, W, 3) light, float64. A picture without a specular area is diffuse as a whole, up to `peak * share`.
    """
    need(peak > 0 and 0 < share < 1, "peak: need more than 0; share: between 0 and 1")
    light = linearized(codes, gamma)
    level = luminance(light, OLD_REC709)
    specular = _specular(level)
    top = float(level.max())
    white = float(level[specular].min()) if specular.any() else top
    white = 0.99 if fixed_white else max(white, 1e-12)
    low = peak * share / white
    high = peak * (1 - share) / (top - white) if abs(top - white) > 1e-12 else 0.0
    expanded = np.where(specular, white * low + (level - white) * high, level * low)
    bright = level > white
    bright |= _neighbors(bright) > 1
    blend = box(bright.astype(np.float64), 5, "constant")
    return with_luminance(light, level, expanded * (1 - blend) + box(expanded, 5, "constant") * blend)


def _specular(level: Array) -> NDArray[np.bool_]:
    """Return the specular area: what outshines any wide area, without single pixels, grown where it is bright."""
    edge = math.floor(level.shape[0] / 50 + 0.5)
    start, grow = (float(box(level, max(size, 1), "constant").max()) for size in (edge, 2 * edge + 1))
    area = level > start
    area &= _neighbors(area) > 0
    for _ in range(1000):
        kept = area & (_neighbors(area) > 0)
        grown = kept | ((_neighbors(kept) > 3) & (level > grow))
        if (grown == area).all():
            break
        area = grown
    return area


def _neighbors(area: NDArray[np.bool_]) -> NDArray[np.int_]:
    """Return how many of a pixel's eight neighbors belong to an area."""
    ring = np.ones((3, 3), int)
    ring[1, 1] = 0
    return np.asarray(ndimage.correlate(area.astype(int), ring, mode="constant"), int)
