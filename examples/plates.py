"""Render small scene-linear pictures, and the 8-bit plates a camera would deliver of them.

Run it as `python examples/plates.py OUT_FOLDER`. The light that a plate lost to clipping is in the EXR
beside it, so an expansion of the plate can be compared with the truth.
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO
import scenes
from numpy.typing import NDArray

SCENES: tuple[str, ...] = tuple(scenes.PAINTERS)
SMALLEST = 16
"""Pixels: the smallest width and height that still show a picture."""

_SAMPLED_ROWS = 540
_MOST_SAMPLES = 8
_BAND_SAMPLES = 1 << 17


def render(scene: str, *, width: int = 480, height: int = 270) -> NDArray[np.float32]:
    """Render one scene.

    Returns (height, width, 3) float32, scene-linear with Rec.709 primaries, finite and >= 0; 1.0 is the plate's
    white. The picture spans the same heights at every size; another aspect ratio shows more or less at the sides.
    Raises ValueError for an unknown scene or a size below 16 x 16.
    """
    if scene not in SCENES:
        raise ValueError(f"{scene!r} is not a scene: choose one of {', '.join(SCENES)}")
    if min(width, height) < SMALLEST:
        raise ValueError(f"{width} x {height} is too small: give at least {SMALLEST} x {SMALLEST} pixels")
    paint = scenes.PAINTERS[scene]
    # Small pictures take more samples per pixel: texture finer than a pixel then averages out and does not alias.
    sub = min(max(2, math.ceil(_SAMPLED_ROWS / height)), _MOST_SAMPLES)
    aspect = width / height
    columns = (((np.arange(width * sub) + 0.5) / (width * sub) * 2 - 1) * aspect).astype(np.float32)
    rows = (1 - (np.arange(height * sub) + 0.5) / (height * sub) * 2).astype(np.float32)
    band = max(1, _BAND_SAMPLES // (width * sub * sub))
    picture = np.empty((height, width, 3), np.float32)

    def paint_band(top: int) -> None:
        bottom = min(top + band, height)
        x, y = np.meshgrid(columns, rows[top * sub : bottom * sub])
        light = paint(x, y) * _vignette(x / aspect, y)
        pixels = light.reshape(3, bottom - top, sub, width, sub).mean(axis=(2, 4))
        picture[top:bottom] = np.moveaxis(pixels, 0, -1)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(paint_band, range(0, height, band)))
    return np.maximum(picture, 0)


def expose(light: NDArray[np.float32], *, seed: int = 0, grain: float = 0.6) -> NDArray[np.uint8]:
    """Photograph scene-linear light: sensor noise, clip at 1.0, sRGB curve (IEC 61966-2-1), 8 bits.

    light is (H, W, 3), 1.0 = white; grain is the standard deviation of the noise in 8-bit code values, at any
    brightness. Returns (H, W, 3) uint8, pixel for pixel aligned with the light.
    """
    noise = np.random.default_rng(seed).standard_normal(light.shape, dtype=np.float32) * np.float32(grain)
    # A film of noise in code values must not pull clipped light back under white, so it goes on before the clip.
    linear = np.asarray(light, np.float32) + noise / 255 * _slope(light)
    return np.rint(_encode(np.clip(linear, 0, 1)) * 255).astype(np.uint8)


def write(folder: Path, *, width: int = 480, height: int = 270) -> list[tuple[Path, Path]]:
    """Write each scene as <scene>.png (8-bit plate) and truth/<scene>.exr (half, ZIP).

    Returns the (plate, truth) pairs in the order of SCENES. A file appears whole or not at all.
    Raises OSError when a file cannot be written.
    """
    folder = Path(folder)
    (folder / "truth").mkdir(parents=True, exist_ok=True)
    pairs = []
    for seed, scene in enumerate(SCENES):
        light = render(scene, width=width, height=height)
        plate, truth = folder / f"{scene}.png", folder / "truth" / f"{scene}.exr"
        _save(plate, expose(light, seed=seed), OpenImageIO.UINT8, {"colorInteropID": "srgb_rec709_scene"})
        _save(truth, light, OpenImageIO.HALF, {"compression": "zip", "colorInteropID": "lin_rec709_scene"})
        pairs.append((plate, truth))
    return pairs


def main() -> None:
    """Write the set into the folder named on the command line."""
    parser = argparse.ArgumentParser(description="Render small HDR pictures and the 8-bit plates of them.")
    parser.add_argument("folder", type=Path, metavar="OUT_FOLDER", help="where <scene>.png and truth/<scene>.exr go")
    parser.add_argument("--width", type=int, default=480, metavar="N", help="pixels (default: %(default)s)")
    parser.add_argument("--height", type=int, default=270, metavar="N", help="pixels (default: %(default)s)")
    options = parser.parse_args()
    try:
        pairs = write(options.folder, width=options.width, height=options.height)
    except (OSError, ValueError) as problem:
        parser.error(str(problem))
    for plate, truth in pairs:
        print(f"{plate}  {truth}")


def _vignette(across: NDArray[Any], up: NDArray[Any]) -> NDArray[Any]:
    """Darken toward the corners, by a fifth at most; both coordinates are -1..1 over the frame."""
    return 1 - 0.1 * (across * across + up * up)


def _encode(linear: NDArray[Any]) -> NDArray[Any]:
    """Encode 0..1 light with the sRGB curve, IEC 61966-2-1 section 5.2."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055)


def _slope(linear: NDArray[Any]) -> NDArray[Any]:
    """Return the light that one unit of sRGB code is worth at this brightness, 1.0 and above taken as 1.0."""
    bright = np.clip(linear, 0.0031308, 1) ** (1 - 1 / 2.4) * (2.4 / 1.055)
    return np.where(linear <= 0.0031308, np.float32(1 / 12.92), bright)


def _save(path: Path, pixels: NDArray[Any], kind: OpenImageIO.BASETYPE, attributes: dict[str, str]) -> None:
    """Write (H, W, 3) pixels beside the path and rename the finished file onto it."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    part = Path(name)
    try:
        spec = OpenImageIO.ImageSpec(pixels.shape[1], pixels.shape[0], 3, kind)
        for key, value in attributes.items():
            spec.attribute(key, value)
        output = OpenImageIO.ImageOutput.create(name)
        if not (output and output.open(name, spec) and output.write_image(pixels) and output.close()):
            reason = output.geterror() if output else OpenImageIO.geterror()
            raise OSError(f"{path}: cannot be written ({reason}); check the folder's rights and free space")
        # A temporary file is private to its maker; the delivered picture has the rights any new file here gets.
        mask = os.umask(0)
        os.umask(mask)
        part.chmod(0o666 & ~mask)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
