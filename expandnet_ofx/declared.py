"""What a file says of its size, before any pixel of it is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from expandnet_ofx.errors import InputError
from expandnet_ofx.images import open_input
from expandnet_ofx.plausibility import check_declared_size

SAMPLE_BYTES = {"uint8": 1, "uint16": 2, "half": 2}
"""Bytes per sample once decoded, by OpenImageIO's name of the type; all others are decoded to float."""


@dataclass(frozen=True, kw_only=True)
class Declared:
    """Size of a picture as its header tells it."""

    width: int
    height: int
    """Of the first part, in pixels."""
    decoded: int
    """Bytes of all parts once decoded."""


def declared(path: Path) -> Declared | None:
    """Return what the header of a picture says, None if the file cannot hold it or is no picture."""
    try:
        source = open_input(path)
    except InputError:
        return None
    try:
        first = source.spec()
        check_declared_size(path, first, source.format_name(), 1)
        specs, part = [first], 1
        # Only parts of an EXR are read; pages and mipmaps of other formats are not.
        while source.format_name() == "openexr" and source.seek_subimage(part, 0):
            specs.append(source.spec())
            part += 1
    except (InputError, UnicodeDecodeError):
        return None
    finally:
        source.close()
    decoded = sum(s.width * s.height * s.nchannels * SAMPLE_BYTES.get(str(s.format), 4) for s in specs)
    return Declared(width=first.width, height=first.height, decoded=decoded)
