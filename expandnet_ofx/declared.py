"""What a file says of its size, before any pixel of it is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from expandnet_ofx.errors import InputError
from expandnet_ofx.image_files import native_type, open_input, reads_by_rows
from expandnet_ofx.images import HELD_SHARE
from expandnet_ofx.plausibility import check_declared_size


@dataclass(frozen=True, kw_only=True)
class Declared:
    """Size of a picture as its header tells it."""

    width: int
    height: int
    """Of the first part, in pixels."""
    decoded: tuple[int, ...]
    """Bytes of each part once decoded."""
    pixel_bytes: int
    """Bytes of a pixel of the first part once decoded, all channels."""
    by_rows: bool
    """Whether it can be read by rows."""

    def held(self, memory: int) -> int:
        """Return the bytes that it takes while it is open, of which so many are planned in all."""
        return sum(size for size in self.decoded if not self.by_rows or size <= memory // HELD_SHARE)


def declared(path: Path) -> Declared | None:
    """Return what the header of a picture says, None if the file cannot hold it or is no picture."""
    try:
        source = open_input(path)
    except InputError:
        return None
    try:
        first = source.spec()
        check_declared_size(path, first, source.format_name(), 1)
        by_rows = reads_by_rows(path, first, source.format_name())
        specs, part = [first], 1
        # Only parts of an EXR are read; pages and mipmaps of other formats are not.
        while source.format_name() == "openexr" and source.seek_subimage(part, 0):
            specs.append(source.spec())
            part += 1
    except (InputError, OSError, UnicodeDecodeError):
        return None
    finally:
        source.close()
    pixels = [s.nchannels * np.dtype(native_type(s)).itemsize for s in specs]
    decoded = tuple(s.width * s.height * size for s, size in zip(specs, pixels, strict=True))
    return Declared(width=first.width, height=first.height, decoded=decoded, pixel_bytes=pixels[0], by_rows=by_rows)
