"""Light at every scale: clipped discs of known light, and one plate at several sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.transfer import named_encoding, srgb_encode

Array = NDArray[np.float32]
Method = Callable[[NDArray[np.uint8]], Array]

RADII = (4, 16, 64, 256)
"""Radii of clipped discs in pixels."""

PEAK = 2.0**5.3
"""Light at the center of a Gaussian disc over white."""

FLAT = 8.0
"""Light of a flat disc over white."""

AROUND = 0.05
"""Light around a disc over white."""


@dataclass(frozen=True, kw_only=True)
class Disc:
    """What a method makes of one disc; all in stops."""

    profile: str
    """`flat` or `gaussian`."""
    radius: int
    """Of what clips, in pixels."""
    truth: float
    """Light at the center over white."""
    peak: float
    """Recovered light at the center over white."""
    fall: float
    """Most that light falls from any ring towards the center."""
    rim: float
    """Most that a ring stands above all that lies further in, within eight pixels of the edge of clipping."""


def disc(profile: str, radius: int) -> tuple[Array, NDArray[np.uint8]]:
    """Return light (S, S, 3) of a disc and its 8-bit sRGB plate; what clips has the given radius."""
    size = max(192, 4 * radius)
    at = np.arange(size) + 0.5 - size / 2
    r = np.hypot(at[:, None], at[None])
    if profile == "flat":
        # Covered pixels clip before they are covered whole: the edge lies where a pixel comes out at white.
        light = AROUND + (FLAT - AROUND) * np.clip(radius - r + (1 - AROUND) / (FLAT - AROUND), 0, 1)
    else:
        sigma = radius / np.sqrt(2 * np.log((PEAK - AROUND) / (1 - AROUND)))
        light = AROUND + (PEAK - AROUND) * np.exp(-0.5 * (r / sigma) ** 2)
    color = np.repeat(light[:, :, None], 3, 2).astype(np.float32)
    plate = np.rint(255 * srgb_encode(np.clip(color, 0, 1))).astype(np.uint8)
    return color, plate


def measure_disc(method: Method, profile: str, radius: int) -> Disc:
    """Return what a method makes of a disc, along rings of one pixel."""
    truth, plate = disc(profile, radius)
    light = method(plate)
    size = len(plate)
    at = np.arange(size) + 0.5 - size / 2
    ring = np.hypot(at[:, None], at[None]).astype(int)
    inside = (ring < radius) & (plate.min(2) == 255)
    stops = np.log2(np.maximum(light.mean(2), 2**-12))
    counts = np.bincount(ring[inside])
    known = np.flatnonzero(counts)
    along = np.bincount(ring[inside], stops[inside])[known] / counts[known]
    lowest = np.minimum.accumulate(along)
    above = along - lowest
    highest_within = np.maximum.accumulate(along)
    near = known >= known[-1] - 8
    bump = along[1:] - highest_within[:-1]
    return Disc(
        profile=profile,
        radius=radius,
        truth=float(np.log2(truth.max())),
        peak=float(along[0]),
        fall=float(above.max()),
        rim=float(np.maximum(bump[near[1:]], 0).max(initial=0.0)),
    )


def reduce_codes(plate: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Return a plate (H, W, 3) scaled down by averages of its light, as a proxy is made."""
    light = named_encoding("srgb").decode(plate)
    return np.rint(255 * srgb_encode(reduce_light(light, factor))).astype(np.uint8)


def reduce_light(light: Array, factor: int) -> Array:
    """Return averages of light (H, W, C) over squares; rows and columns that fill no square are left out."""
    height, width = (size // factor for size in light.shape[:2])
    blocks = light[: height * factor, : width * factor].reshape(height, factor, width, factor, -1)
    result: Array = blocks.mean((1, 3), dtype=np.float32)
    return result


def disagreement(method: Method, plate: NDArray[np.uint8], *, factors: tuple[int, int] = (2, 4)) -> float:
    """Return how far light recovered at full, half and quarter size is apart: mean in stops where all channels clip.

    All three are brought to the smallest size before they are compared, each with the two others.
    """
    smallest = max(factors)
    height, width = (size // smallest * smallest for size in plate.shape[:2])
    plate = plate[:height, :width]
    found = [reduce_light(method(plate), smallest)]
    found += [reduce_light(method(reduce_codes(plate, factor)), smallest // factor) for factor in factors]
    clipped = reduce_light((plate == 255).all(2, keepdims=True).astype(np.float32), smallest)[:, :, 0] == 1
    if not clipped.any():
        return float("nan")
    stops = [np.log2(np.maximum(light[clipped], 2**-12)) for light in found]
    pairs = [(0, 1), (0, 2), (1, 2)]
    return float(np.mean([np.abs(stops[a] - stops[b]).mean() for a, b in pairs]))
