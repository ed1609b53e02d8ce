"""Steady analyses of frames that are one cut, without files, and identities of frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from expandnet_ofx import Analysis
from expandnet_ofx.smoothing import constants_of, smooth_cut, smooth_maps
from expandnet_ofx.sources import Identity


def steady_cut(analyses: Sequence[Analysis], window: int) -> list[Analysis]:
    """Return the steady analyses of frames that are one cut."""
    numbers = smooth_cut(analyses, [own.features for own in analyses], constants_of(analyses), window)
    count, load = len(analyses), analyses.__getitem__
    return [replace(own, **smooth_maps(load, count, at, window)) for at, own in enumerate(numbers)]


def identity(number: int) -> Identity:
    return Identity(source=f"shot.{number}.png", source_bytes=3, source_sha256=f"{number:064}")
