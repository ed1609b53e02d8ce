"""How light of clipped areas changes over time, told by the measured light around them.

A lamp that flickers lights its own glow: what is measured around a clipped area brightens with what is clipped. Over a few
frames that tells far more than one network prediction after another. Light is averaged over time as if it did not change,
and its changes are then put back as they were measured.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.arrays import as_float
from expandnet_ofx.grade import smoothstep
from expandnet_ofx.maps import PlateMap, as_half, enlarge, extreme, framed, gaussian, halve, low_pass_whole, spread
from expandnet_ofx.pixels import any_channel, brightest_channel, sum_of_channels

Array = NDArray[np.float32]

BRIGHT = (0.1, 0.4)
"""Light over white from which a pixel has a say, and a whole one: the brighter, the more it belongs to the source."""

NEAR = 20
"""Pixels of the map that the say of a pixel reaches beyond a clipped area: what lies further is lit by others."""

SURELY = 0.97
"""Share of the light at the threshold of clipping up to which a pixel is surely measured."""

BELONGING = (0.5, 0.8)
"""Correlation of light and its change from which they begin to belong together, and from which they do."""

SEEN = (0.0005, 0.001)
"""Change between neighbors, light over white, that noise explains, and that it does not."""

GROUND = 0.005
"""Difference of light over white between neighbors, beyond what the change explains, from which it is the ground's."""

ROUNDS = 4
"""How often votes are counted."""

ENOUGH = 5.0
"""How fast near evidence outweighs far evidence, see `maps.spread`."""

SMALLEST = 8
"""Edge of a map in pixels below which nothing is compared."""

LARGEST = 2.0
"""Stops that light may change by within a window."""

AGREEMENT = (0.7, 0.9)
"""Correlation of two frames from which they tell of each other, and from which they do so in full."""

DARKEST = np.float32(1 / 64)
"""Light over white that is added before logarithms: below it pictures hold noise."""

NOISE = 0.05
"""Stops by which flat pictures may differ."""

REACH = 1 / 8
"""Share of a picture's edges by which a camera may move within a window."""


class MeasuredLight(PlateMap):
    """(h, w, 2): light over white, 1 where it clips, and how far it is measured and bright, 0 to 1."""


class Swing(PlateMap):
    """(h, w, 1): stops by which light of wide clipped areas is brighter than its mean over time."""


def measured_light(light: Array, thresholds: Array, *, wrap: bool = False) -> MeasuredLight:
    """Return what a reduced plate measures.

    Args:
        light: over white, (h, w, 3).
        thresholds: (3,) light over white where clipping starts.
        wrap: the left edge continues the right one.
    """
    unsure = any_channel(light >= np.float32(SURELY) * thresholds)
    weight = smoothstep(*BRIGHT, brightest_channel(light)) * ~unsure
    clipped = as_float(~any_channel(light < thresholds)[:, :, None])
    around = extreme(clipped, 2 * NEAR + 1, np.maximum, wrap=wrap)
    near = low_pass_whole(around, gaussian(NEAR / 3, NEAR), wrap=wrap)[:, :, 0]
    return MeasuredLight(
        as_half(np.stack((sum_of_channels(light) / np.float32(3), weight * near), 2).astype(np.float32))
    )


def brightening(own: Array, other: Array, *, wrap: bool = False) -> Array:
    """Return by how many stops sources of light became brighter from one frame to another: (h, w, 1).

    Light of a pixel is that of a source, times a gain, on a ground that stays: what changes is the source's alone. The
    slope of light over its change tells the gain, whatever the ground's level. It is taken between neighbors, where glows
    are smooth and grounds are flat but for their edges, which are outvoted (iteratively reweighted least squares with
    Cauchy's weights: Holland and Welsch, Communications in Statistics 6(9), 1977). Only as far as light and its change
    belong together, by their correlation.

    Args:
        own, other: values of `MeasuredLight`, aligned.
        wrap: the left edge continues the right one.
    """
    shape = own.shape[:2]
    if min(shape) < SMALLEST:
        return np.zeros((*shape, 1), np.float32)
    x, y = halve(own[:, :, :1]), halve(other[:, :, :1])
    weight = halve(np.minimum(own[:, :, 1:], other[:, :, 1:])).clip(0, 1)
    blur = gaussian(1.0, 3)
    known = np.maximum(low_pass_whole(weight, blur, wrap=wrap), np.float32(1e-4))
    change, level = (
        _gradient(low_pass_whole(weight * part, blur, wrap=wrap) / known, wrap=wrap) for part in (y - x, (y + x) / 2)
    )
    weight = weight * extreme((weight > 0).astype(np.float32), 3, np.minimum, wrap=wrap)
    if not weight.any():
        return np.zeros((*shape, 1), np.float32)
    said = np.concatenate((_both(change * level), _both(change**2), _both(level**2)), 2)

    def averages(votes: Array) -> list[Array]:
        return np.split(spread(np.concatenate((votes, votes * said), 2), enough=ENOUGH, wrap=wrap), 3, axis=2)

    both, changes, levels = averages(weight)
    for _ in range(ROUNDS - 1):
        rest = level - change * both / np.maximum(changes, np.float32(1e-9))
        votes = np.asarray(weight / (1 + _both(rest**2) / np.float32(GROUND**2)), np.float32)
        both, changes, levels = averages(votes)
    together = np.asarray(np.abs(both) / np.sqrt(np.maximum(changes * levels, np.float32(1e-14))), np.float32)
    certainty = smoothstep(*BELONGING, together)
    certainty = certainty * smoothstep(*SEEN, np.sqrt(np.maximum(changes, np.float32(0))))
    bound = np.float32(2 * (2**LARGEST - 1) / (2**LARGEST + 1))
    # Twice the gain less one, over the gain plus one.
    gained = np.clip(changes / np.where(np.abs(both) > 1e-9, both, np.float32(np.inf)), -bound, bound)
    return enlarge(np.asarray(certainty * np.log2((2 + gained) / (2 - gained)), np.float32), *shape, wrap=wrap)


def _both(gradient: Any) -> Array:
    """Return the sum of what a gradient (h, w, 2) holds of both directions: (h, w, 1)."""
    return np.asarray(gradient[:, :, :1] + gradient[:, :, 1:], np.float32)


def _gradient(values: Any, *, wrap: bool) -> Array:
    """Return central differences of a map (h, w, 1) down and right: (h, w, 2)."""
    padded = framed(values, 1, wrap=wrap)
    both = (padded[2:, 1:-1] - padded[:-2, 1:-1], padded[1:-1, 2:] - padded[1:-1, :-2])
    return np.asarray(np.concatenate(both, 2) / 2, np.float32)


def alignment(own: Array, other: Array, *, wrap: bool = False) -> tuple[tuple[float, float], float]:
    """Return by how many pixels (down, right) `other` must be moved to lie on `own`, and how far they then agree, 0 to 1.

    Phase correlation (Kuglin and Hines, 1975), its peak read between pixels; it holds if it makes the two agree more.

    Args:
        own, other: light over white, (h, w).
        wrap: the left edge continues the right one.
    """
    a, b = (np.log2(x + DARKEST) for x in (own, other))
    still = _agreement(a, b)
    size = np.array(a.shape)
    window = np.hanning(size[0])[:, None] * (1 if wrap else np.hanning(size[1]))
    spectra = [np.fft.rfft2((x - x.mean()) * window) for x in (a, b)]
    cross = spectra[0] * spectra[1].conj()
    peaks = np.fft.irfft2(cross / np.maximum(np.abs(cross), 1e-9), s=a.shape)
    at = np.array(np.unravel_index(int(peaks.argmax()), a.shape))
    profiles = [peaks.take(at[1 - axis], 1 - axis) for axis in (0, 1)]
    lines = [np.maximum(p.take(k + np.arange(-1, 2), mode="wrap"), 0) for p, k in zip(profiles, at, strict=True)]
    # The peak of a shift between pixels is shared by its two neighbors.
    found = np.where(at > size // 2, at - size, at) + [
        (line[2] - line[0]) / max(float(line.sum()), 1e-9) for line in lines
    ]
    shift = float(found[0]), float(found[1])
    if (np.abs(found) <= REACH * size).all():
        aligned = _agreement(a, moved(b[:, :, None], shift, wrap=wrap)[:, :, 0])
        if aligned > still:
            return shift, float(smoothstep(*AGREEMENT, aligned))
    return (0.0, 0.0), float(smoothstep(*AGREEMENT, still))


def _agreement(a: Array, b: Array) -> Array:
    """Return the correlation of two pictures; two flat ones agree."""
    a, b = a - a.mean(), b - b.mean()
    floor = np.float32(NOISE**2)
    return np.asarray(((a * b).mean() + floor) / np.sqrt(((a**2).mean() + floor) * ((b**2).mean() + floor)), np.float32)


def moved(values: Array, shift: tuple[float, float], *, wrap: bool = False) -> Array:
    """Return a map (h, w, C) moved down and right; between pixels by cubic convolution (Keys 1981).

    Edges are replicated; with `wrap` the left one continues the right one.
    """
    for axis in (0, 1):
        whole = math.floor(-shift[axis])
        t = -shift[axis] - whole
        if not whole and not t:
            continue
        taps = (-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2)
        length = values.shape[axis]
        at = np.arange(-1, length + 2) + whole
        wide = values.take(at % length if wrap and axis == 1 else np.clip(at, 0, length - 1), axis)
        total, part = np.zeros_like(values), np.empty_like(values)
        for k, tap in enumerate(taps):
            beside = wide[k : k + length] if axis == 0 else wide[:, k : k + length]
            total += np.multiply(beside, np.float32(tap / 2), out=part)
        values = total
    return values


def put_back(log_light: Array, log_plate: Array, swing: Array, wide: Array) -> Array:
    """Let light of wide areas change as the light around it does, as far as it rises above the plate at all.

    Args:
        log_light, log_plate: log2 of recovered light and of the plate's, (..., 3).
        swing: values of a `Swing` at these pixels, (..., 1).
        wide: how far the light is that of wide areas, (..., 1).
    """
    risen = smoothstep(0.0, 0.5, log_light - log_plate)
    return as_float(log_light + swing * wide * risen)
