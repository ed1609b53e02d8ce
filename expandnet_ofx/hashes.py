"""What tells a picture file from another: its bytes, or its pixels."""

from __future__ import annotations

import hashlib
from pathlib import Path

from expandnet_ofx.images import ImagePlate
from expandnet_ofx.settings import Settings


def content_hash(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def pixel_hash(path: Path) -> str:
    """Return the SHA-256 of all pixels of a file, with size, windows, channels and pixel aspect; hexadecimal.

    Raises:
        InputError: it cannot be read.
    """
    digest = hashlib.sha256()
    part, parts = 0, 1
    while part < parts:
        with ImagePlate(path, Settings(input_space="linear"), part=part) as plate:
            parts, spec = plate.parts, plate.spec
            windows = (spec.x, spec.y, spec.full_x, spec.full_y, spec.full_width, spec.full_height)
            shape = (
                plate.channels,
                plate.width,
                plate.height,
                windows,
                spec.get_float_attribute("PixelAspectRatio", 1.0),
            )
            digest.update(repr(shape).encode("utf-8", "surrogateescape"))
            step = max(1, (1 << 20) // plate.width)
            for start in range(0, plate.height, step):
                digest.update(plate.rows(start, min(start + step, plate.height)).tobytes())
        part += 1
    return digest.hexdigest()
