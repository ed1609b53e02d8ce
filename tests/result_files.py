"""Results written and read for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import OpenImageIO as oiio

from expandnet_ofx.output_options import OutputOptions
from expandnet_ofx.writer import PartLayout, image_writer

LIGHT = np.random.default_rng(2).normal(0.5, 2.0, (40, 33, 3)).astype(np.float32)


def layout(pixels: np.ndarray, *, kind: str = "half", **changes: object) -> PartLayout:
    height, width, count = pixels.shape
    plain = {"width": width, "height": height, "channels": tuple("RGBA"[:count]), "formats": (kind,) * count}
    return PartLayout(**{"attributes": {}, **plain, **changes})  # type: ignore[arg-type]


def write(path: Path, pixels: np.ndarray, *, kind: str = "half", step: int = 7, **options: object) -> Path:
    """Write in bands of `step` rows and commit."""
    stored = OutputOptions(pixel=kind, **options)  # type: ignore[arg-type]
    with image_writer(path, [layout(pixels, kind=kind)], stored) as output:
        for start in range(0, len(pixels), step):
            output.write(start, pixels[start : start + step])
        output.commit()
    return path


def read(path: Path) -> tuple[np.ndarray, oiio.ImageSpec]:
    source = oiio.ImageInput.open(str(path))
    assert source is not None, oiio.geterror()
    pixels, spec = source.read_image("float"), source.spec()
    source.close()
    return pixels, spec
