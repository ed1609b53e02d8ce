"""Frames of a shot for tests: looks, analyses, identities, and analyses of one cut made steady, without files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pictures import scenery

from expandnet_ofx import Analysis
from expandnet_ofx.looks import Look, look_at
from expandnet_ofx.maps import as_half
from expandnet_ofx.recovered import RecoveredLight
from expandnet_ofx.smoothing import constants_of, smooth_cut, smooth_maps
from expandnet_ofx.sources import Identity


def steady_cut(analyses: Sequence[Analysis], window: int) -> list[Analysis]:
    """Return the steady analyses of frames that are one cut."""
    numbers = smooth_cut(analyses, [own.features for own in analyses], constants_of(analyses), window)
    count, load = len(analyses), analyses.__getitem__
    return [replace(own, **smooth_maps(load, count, at, window)) for at, own in enumerate(numbers)]


def identity(number: int) -> Identity:
    return Identity(source=f"shot.{number}.png", source_bytes=3, source_sha256=f"{number:064}")


def seen(seed: int, shift: int = 0, gain: float = 1.0, noise: float = 0.0) -> Look:
    picture = scenery(seed)[:, shift : shift + 256] * np.float32(gain)
    return look_at(picture + noise * np.random.default_rng(shift).standard_normal(picture.shape).astype(np.float32))


def analysis(frame: int, light: float | None, wide: float = 1.0) -> Analysis:
    map_ = None
    if light is not None:
        map_ = RecoveredLight(as_half(np.full((6, 8, 4), (light, light, light, wide), np.float32)))
    return Analysis(
        width=80, height=60, window=(0, 0, 80, 60), latlong=False,
        features=(float(frame),) * 64, low=(0.0,) * 3, high=(1.0,) * 3,
        clip_levels=(0.9 + frame / 1000,) * 3, anchor=frame / 100, anchor_samples=5, scene=1.0, output_range=None,
        recovered=map_, nan=0, infinite=0, negative=0, settings={},
    )  # fmt: skip


def smoothed(frames: list[Analysis], window: int = 5) -> list[Analysis]:
    return steady_cut(frames, window)
