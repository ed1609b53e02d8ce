"""Generated shots with known light, and how far a method flickers on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.transfer import srgb_encode
from expandnet_training.steady import HALF_MATTE, NOISE

Array = NDArray[np.float32]

EDGE = 2
"""Pixels beside the edge of clipping that are left out: there the matte itself moves."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MovingShot:
    """Frames of one camera."""

    name: str
    plates: list[NDArray[np.uint8]]
    """8-bit sRGB, each with its own noise."""
    light: list[Array]
    """True light over white."""
    drift: int
    """Pixels that the camera moves to the right from frame to frame."""


def pan(scene: Array, count: int, *, width: int, seed: int = 0) -> MovingShot:
    """Return a camera that pans over a scene (H, W, 3) by one pixel per frame; W >= width + count."""
    light = [scene[:, k : k + width] for k in range(count)]
    return MovingShot(name="pan", plates=_plates(light, seed), light=light, drift=1)


def exposure_drift(scene: Array, count: int, *, stops: float = 0.5, seed: int = 0) -> MovingShot:
    """Return a still camera whose aperture opens slowly, by so many stops over the shot."""
    light = [scene * np.float32(2 ** (stops * k / max(1, count - 1))) for k in range(count)]
    return MovingShot(name="exposure drift", plates=_plates(light, seed), light=light, drift=0)


def flickering_lamp(scene: Array, count: int, *, amplitude: float = 0.5, seed: int = 0) -> MovingShot:
    """Return a still camera before a lamp with a glow that flickers by plus and minus `amplitude` stops."""
    height, width = scene.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    r = np.hypot(rows - height / 2, columns - width / 2) / (0.05 * width)
    glow = (8 / (1 + r**4) + 0.3 / (1 + r**2))[:, :, None] * np.array([1, 0.85, 0.6])
    light = []
    for k in range(count):
        level = 2 ** (amplitude * np.sin(2 * np.pi * k / 5))
        light.append((np.minimum(scene, 0.5) + level * glow).astype(np.float32))
    return MovingShot(name="flickering lamp", plates=_plates(light, seed), light=light, drift=0)


def _plates(light: Sequence[Array], seed: int) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(seed)
    plates = []
    for frame in light:
        codes = 255 * srgb_encode(np.clip(frame, 0, 1)) + NOISE * rng.standard_normal(frame.shape)
        plates.append(np.clip(np.rint(codes), 0, 255).astype(np.uint8))
    return plates


def flicker(shot: MovingShot, found: Sequence[Array]) -> tuple[float, float]:
    """Return rms and 95th percentile of how far recovered light jumps from frame to frame, beyond what the truth does.

    In stops, where all channels of both frames lie in the matte by half and more, frames aligned by the known drift.
    """
    jumps = []
    for k in range(1, len(found)):
        before, after = (_aligned(shot, x, k) for x in (found, shot.light))
        some = _inside(*_aligned(shot, shot.plates, k))
        jump = np.log2(np.maximum(before[1], 2**-12) / np.maximum(before[0], 2**-12))
        true = np.log2(np.maximum(after[1], 2**-12) / np.maximum(after[0], 2**-12))
        jumps.append((jump - true)[some])
    values = np.concatenate(jumps).ravel() if jumps else np.zeros(0)
    if not values.size:
        return float("nan"), float("nan")
    return float(np.sqrt(np.mean(values**2))), float(np.percentile(np.abs(values), 95))


def amplitude_kept(shot: MovingShot, found: Sequence[Array]) -> float:
    """Return the standard deviation over time of recovered light in stops over the truth's, of what clips throughout."""
    inside = np.all([_inside(plate, plate) for plate in shot.plates], 0)
    if not inside.any():
        return float("nan")
    own, true = (np.array([np.log2(x[inside]).mean() for x in frames]) for frames in (found, shot.light))
    return float(own.std() / true.std())


def _aligned(shot: MovingShot, frames: Sequence[NDArray], k: int) -> tuple[NDArray, NDArray]:
    """Return frames k - 1 and k where they show the same part of the scene."""
    before, after = frames[k - 1], frames[k]
    if not shot.drift:
        return before, after
    return before[:, shot.drift :], after[:, : -shot.drift]


def _inside(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return where both plates lie in the matte by half and more, less the pixels beside the edge: (H, W)."""
    some = (np.minimum(first, second) > HALF_MATTE * 255).all(2)
    padded = np.pad(some, EDGE, mode="edge")
    height, width = first.shape[:2]
    near = [padded[y : y + height, x : x + width] for y in range(2 * EDGE + 1) for x in range(2 * EDGE + 1)]
    return np.logical_and.reduce(near)
