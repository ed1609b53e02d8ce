"""How far light may have risen inside a clipped area, told by how it comes in.

A sky that drifts into clipping goes on as slowly as it came; a window jumps. The network sees a few pixels around each
and gives both the same step at once, which shows as a rim where a slow gradient crosses the clip level. So recovered
light is held to what the slope at the edge of clipping, carried on inward, allows: it leaves the edge in the plate's own
value and slope. Behind a hard edge nothing is held.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.arrays import as_float, namespace
from expandnet_ofx.grade import smoothstep
from expandnet_ofx.maps import PlateMap, as_half, enlarge, framed, gaussian, halve, low_pass_whole, spread
from expandnet_ofx.pixels import sum_of_channels
from expandnet_ofx.transfer import srgb_decode

Array = NDArray[np.float32]

ENOUGH = 60.0
"""How fast a near edge outweighs far ones, see `maps.spread`; more would let a soft speck darken a window around it."""

ALONG = 4.0
"""Sigma in pixels over which slopes of an edge are averaged first: a single pixel's depends on where the edge falls
between pixels, and light would flicker as the camera moves."""

STEEPER = 1.5
"""Light near its source rises faster than at the edge of clipping: glare falls off with a power of the distance."""

HARD = 0.5
"""Slope in stops per 256th of the plate's width at which 4 stops are let go at once; with the cube of the slope."""

UNRESOLVED = 0.25
"""Stops by which an edge pixel may fall below the threshold on a slope; what falls further jumps within the pixel."""

FREE = 40.0
"""Limit in stops from which nothing is held; a map that says so is sampled to within a millionth of it."""

FREER = (FREE - 8.0, FREE - 1.0)
"""Limits between which light is let go, so that none of it jumps where there is no limit any more."""

DEEP = 10.0
"""Pixels of the reduced plate from the edge of clipping at which a limit is that of the area around it alone."""

EVEN = 2.0
"""Stops over which limits are averaged there; all that are much larger hold nothing and count alike."""

EVEN_SIGMA = 2.0
"""Sigma of that average, in pixels of a map that is reduced to a quarter."""

DARKEST = np.float32(2**-12)


class Rise(PlateMap):
    """(h, w, 3): stops above the clip level that light may have risen to, per channel."""


def rise(proxy: Array, peak: Array, thresholds: Array, *, aspect: float, shape: tuple[int, int], wrap: bool) -> Rise:
    """Carry the slope at the edges of clipping on inward.

    A proxy pixel that a clipped pixel touches but that is not clipped itself lies on an edge; how its neighbors fall
    below it is the slope there.

    Args:
        proxy: reduced plate over its white, (256, 256, 3) sRGB-encoded.
        peak: largest code that reaches each proxy pixel, in the same units; infinite where it is hidden or unknown.
        thresholds: (3,) where clipping starts, in the same units.
        aspect: height of a proxy pixel over its width, on the plate.
        shape: rows and columns of the result.
        wrap: the left edge continues the right one.
    """
    hidden = np.isinf(peak)
    clipped = proxy >= thresholds
    edge = (peak >= thresholds) & ~clipped & ~hidden
    if not edge.any():
        return Rise(np.full((*shape, 3), FREE, np.float32))
    start = -np.log2(np.maximum(srgb_decode(thresholds), DARKEST))
    fall = np.maximum(-np.log2(np.maximum(srgb_decode(proxy), DARKEST)) - start, 0)
    steepness = slopes(np.where(hidden, -np.inf, fall), aspect=aspect, wrap=wrap)
    steepness = steepness + np.maximum(fall - UNRESOLVED, 0)
    # One slope for all channels: each its own would turn the hue wherever they differ. Roots are averaged, so that neither
    # a hard edge far away nor a soft speck near by decides alone.
    said = np.where(edge, np.sqrt(steepness), 0)
    evidence = np.stack((sum_of_channels(as_float(edge)), sum_of_channels(said)), 2).astype(np.float32)
    slope = spread(_averaged(evidence, wrap=wrap), enough=ENOUGH, wrap=wrap) ** 2
    inside = clipped | hidden
    inward = np.stack([distance(inside[:, :, channel], aspect=aspect, wrap=wrap) for channel in range(3)], 2)
    held = np.minimum(np.maximum(STEEPER * slope * inward - start, 0) + 4 * (slope / HARD) ** 3, FREE)
    held = evened(held.astype(np.float32), inside, inward / math.sqrt(aspect), wrap=wrap)
    return Rise(as_half(np.clip(enlarge(held, *shape, wrap=wrap), 0, FREE)))


def evened(held: Array, inside: NDArray[np.bool_], depth: Array, *, wrap: bool) -> Array:
    """Average limits over clipped areas, the more the deeper inside (H, W, 3).

    What an edge says holds near it. Deep inside edges of unlike slopes meet, where each by itself would draw the border
    between them: a dark cloud that is not in the picture.

    Args:
        held: limits in stops.
        inside: what clips.
        depth: distance to what does not, in pixels of the reduced plate.
        wrap: the left edge continues the right one.
    """
    own, known = np.exp(-held / EVEN), as_float(inside)
    reduced = halve(halve(np.concatenate((known, own * known), 2)))
    reduced = low_pass_whole(reduced, gaussian(EVEN_SIGMA, round(2.5 * EVEN_SIGMA)), wrap=wrap)
    known, around = np.split(enlarge(reduced, *held.shape[:2], wrap=wrap), 2, axis=2)
    around = as_float(around / np.maximum(known, np.float32(1e-6)))
    own = as_float(own + smoothstep(0.0, DEEP, depth) * (around - own))
    return as_float(-EVEN * np.log(np.clip(own, math.exp(-FREE / EVEN), 1)))


def _averaged(evidence: Array, *, wrap: bool) -> Array:
    """Low-pass evidence (H, W, C); along a straight edge its sum stays as it was."""
    weights = gaussian(ALONG, round(2.5 * ALONG))
    return low_pass_whole(evidence, weights, wrap=wrap) * np.float32(ALONG * math.sqrt(2 * math.pi))


def slopes(fall: NDArray[np.floating], *, aspect: float, wrap: bool) -> NDArray[np.floating]:
    """Return how steeply neighbors fall below each pixel, in stops per width of a pixel: (H, W, C).

    Args:
        fall: stops below a threshold, (H, W, C); -inf where it is unknown.
        aspect: height of a pixel over its width.
        wrap: the left edge continues the right one.
    """
    padded = framed(fall, 1, wrap=wrap)
    own = np.where(np.isfinite(fall), fall, 0)
    down = np.maximum(np.maximum(padded[:-2, 1:-1], padded[2:, 1:-1]) - own, 0) / aspect
    across = np.maximum(np.maximum(padded[1:-1, :-2], padded[1:-1, 2:]) - own, 0)
    result: NDArray[np.floating] = np.hypot(down, across)
    return result


def distance(inside: NDArray[np.bool_], *, aspect: float = 1.0, wrap: bool = False) -> Array:
    """Return the distance of each pixel to the nearest that is not inside, in widths of a pixel: (H, W).

    Exact Euclidean, first along columns, then along rows (Saito and Toriwaki, Pattern Recognition 27, 1994).

    Args:
        inside: (H, W).
        aspect: height of a pixel over its width.
        wrap: the left edge continues the right one.
    """
    height, width = inside.shape
    far = np.float32(1e4)
    along = np.where(inside, far, np.float32(0))
    for row in range(1, height):
        along[row] = np.minimum(along[row], along[row - 1] + aspect)
    for row in range(height - 2, -1, -1):
        along[row] = np.minimum(along[row], along[row + 1] + aspect)
    across = np.arange(width, dtype=np.float32)[:, None] - np.arange(width, dtype=np.float32)
    if wrap:
        across = np.minimum(np.abs(across), width - np.abs(across))
    squares = across**2
    result = np.zeros((height, width), np.float32)
    for number in np.flatnonzero(inside.any(1)):
        at = np.flatnonzero(inside[number])
        result[number, at] = np.sqrt((squares[at] + along[number] ** 2).min(1))
    return result


def hold(log_light: Array, log_plate: Array, limit: Array) -> Array:
    """Hold recovered light to the rise: gain * (1 - exp(-limit / gain)), which leaves an edge with the limit's slope.

    Args:
        log_light: log2 of recovered light, (..., 3).
        log_plate: log2 of the plate's light, same shape.
        limit: values of a `Rise` at these pixels, same shape.
    """
    xp = namespace(log_light)
    gain = xp.clip(log_light - log_plate, 0, None)
    held = gain * -xp.expm1(-xp.clip(limit, 0, None) / xp.clip(gain, 0.05, None))
    held = held + smoothstep(*FREER, limit) * (gain - held)
    result: Array = xp.where((gain > 0) & (limit < FREER[1]), log_plate + held, log_light)
    return result
