"""Results that lie on disk: whether they are ours, complete, and how they were made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from expandnet_ofx.image_files import oiio_error

PROGRAM = "expandnet-ofx"
"""What the header of a result names as its software, before the version."""


def ends(path: Path) -> bool:
    """Tell whether the last rows of a file can be read: what is left to write when it is closed can fail silently."""
    with _opened(path) as source:
        return source is not None and _readable(source, last_rows=True)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a file to look at it; give None if it is no picture."""
    import OpenImageIO as oiio

    try:
        source = oiio.ImageInput.open(str(path))
    except TypeError:
        # What is not UTF-8 is no text to the library, and no name that we would give.
        source = None
    if source is None:
        # Else the message waits for whoever asks next.
        oiio.geterror()
    try:
        yield source
    finally:
        if source is not None:
            source.close()


def is_result(path: Path) -> bool:
    """Tell whether the header of a file says that we made it."""
    with _opened(path) as source:
        return source is not None and str(source.spec().get_string_attribute("Software")).startswith(PROGRAM)


def read_provenance(path: Path) -> dict[str, Any] | None:
    """Return what a result says about how it was made, None if it says nothing or is incomplete.

    Complete means that every row of every part can be read.
    """
    with _opened(path) as source:
        if source is None:
            return None
        spec = source.spec()
        text = spec.get_string_attribute("expandnet/provenance") or spec.get_string_attribute("ImageDescription")
        if not _readable(source):
            return None
    try:
        provenance = json.loads(text)
    except ValueError:
        return None
    return provenance if isinstance(provenance, dict) else None


def _readable(source: Any, *, last_rows: bool = False) -> bool:
    """Tell whether all rows of all parts can be read, or the last one of each."""
    part = 0
    while source.seek_subimage(part, 0):
        spec = source.spec()
        step = max(1, (1 << 20) // max(1, spec.width))
        first = spec.y + (spec.height - 1 if last_rows else 0)
        for start in range(first, spec.y + spec.height, step):
            stop = min(start + step, spec.y + spec.height)
            if source.read_scanlines(start, stop, 0, 0, spec.nchannels, spec.format) is None or oiio_error(source):
                return False
        part += 1
    # Seeking past the last part leaves a message that means nothing.
    source.geterror()
    return True
