"""Plates of any size for measurements, written row by row so that making them takes no memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import OpenImageIO as oiio
from numpy.typing import NDArray


def rows_of_plate(start: int, stop: int, width: int, height: int, *, dense: bool) -> NDArray[np.uint8]:
    """Return rows of a picture with gradients, grain and clipped light: (n, width, 3) uint8 sRGB codes.

    Args:
        dense: clip parts everywhere, so that every tile needs the network; else about a tenth of the area, in patches.
    """
    y = np.arange(start, stop, dtype=np.float32)[:, None] / height
    x = np.arange(width, dtype=np.float32)[None, :] / width
    rng = np.random.default_rng(start)
    base = 0.08 + 0.6 * y * (0.6 + 0.4 * np.sin(6 * np.pi * x))
    if dense:
        cells = np.sin(x * width / 23) * np.sin(y * height / 19)
    else:
        cells = np.sin(8 * np.pi * x + 1) * np.sin(5 * np.pi * y) + 0.2 * np.sin(40 * np.pi * x) * np.sin(
            31 * np.pi * y
        )
    light = base + np.maximum(cells - (0.3 if dense else 0.75), 0) * 6
    tint = np.array([1.05, 1.0, 0.9], np.float32)
    codes = 255 * np.clip(light[..., None] * tint, 0, 1) ** (1 / 2.2)
    grain = rng.integers(-2, 3, (stop - start, width, 1), dtype=np.int8)
    return np.clip(codes + grain, 0, 255).astype(np.uint8)


def write_plate(path: Path, width: int, height: int, *, dense: bool = False) -> Path:
    """Write a plate unless it is there already."""
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"partial-{path.name}")
    spec = oiio.ImageSpec(width, height, 3, "uint8")
    spec.attribute("png:compressionLevel", 1)
    output = oiio.ImageOutput.create(str(partial))
    if output is None or not output.open(str(partial), spec):
        raise SystemExit(f"{path}: cannot be written")
    step = max(1, (1 << 21) // width)
    for start in range(0, height, step):
        stop = min(start + step, height)
        output.write_scanlines(start, stop, 0, rows_of_plate(start, stop, width, height, dense=dense))
    output.close()
    partial.replace(path)
    return path
