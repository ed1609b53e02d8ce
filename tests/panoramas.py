"""Panoramas to train with, and the recipe of a small run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import torch
from expandnet_training.recipe import Recipe

CONFIGS = Path(__file__).parents[1] / "training" / "configs"


def seeded(number: int) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def scene(height: int = 64, width: int = 128, *, seed: int = 0) -> np.ndarray:
    """A panorama with texture, a warm window and a small bright lamp; median luminance near 1."""
    rng = np.random.default_rng(seed)
    x = np.arange(width)[None]
    light = np.exp2(rng.normal(size=(height, width, 1)) * 0.3 + np.sin(x / 9)[..., None]) * np.ones(3)
    light[10:30, 20:50] *= np.array([12, 9, 6])
    light[40:43, 90:93] = 400
    return light.astype(np.float32)


def save(path: Path, pixels: np.ndarray) -> Path:
    buffer = oiio.ImageBuf(np.ascontiguousarray(pixels, np.float32))
    assert buffer.write(str(path), oiio.FLOAT)
    return path


def small(**changes: object) -> Recipe:
    settings_: dict[str, object] = {"name": "small", "steps": 6, "batch": 4, "crops_per_view": 2, "crop": 16, "view": (40, 48),
                                    "warm_up": 2, **changes}  # fmt: skip
    return Recipe(**settings_)  # type: ignore[arg-type]
