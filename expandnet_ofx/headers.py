"""Bytes of a file that OpenImageIO does not report: PNG chunks, a Photoshop file's mode, marks of JPEG and Exif."""

from __future__ import annotations

import mmap
from pathlib import Path

from expandnet_ofx.errors import InputError

HEAD_BYTES = 1 << 18
GAIN_MAP_MARKS = (
    b"http://ns.adobe.com/hdr-gain-map/",
    b"hdrgm:",
    b"urn:iso:std:iso:ts:21496:-1",
    b"http://ns.apple.com/HDRGainMap/",
    b"urn:com:apple:photo:2020:aux:hdrgainmap",
)
ADOBE_RGB_MARKS = (b"\x01\0\x02\0\x04\0\0\0R03\0", b"\0\x01\0\x02\0\0\0\x04R03\0")
"""Interoperability index R03, DCF 2.0 (CIPA DC-009-2010), as its whole directory entry in either byte order."""


def head(path: Path, size: int = HEAD_BYTES) -> bytes:
    """Return the first bytes of a file; raise `InputError` if it cannot be read."""
    try:
        with path.open("rb") as stream:
            return stream.read(size)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error


def has_gain_map(path: Path) -> bool:
    """Tell whether a JPEG holds a gain map: Ultra HDR, ISO/TS 21496-1 or Apple's."""
    start = head(path)
    if any(mark in start for mark in GAIN_MAP_MARKS):
        return True
    if b"MPF\0" not in start:
        return False
    # Apple describes the gain map only in the second picture of the multi-picture file (CIPA DC-007), far into it.
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return any(data.find(mark) >= 0 for mark in GAIN_MAP_MARKS)


def has_adobe_rgb_mark(path: Path) -> bool:
    """Tell whether the head of a file holds Exif's interoperability index of Adobe RGB."""
    start = head(path)
    return any(mark in start for mark in ADOBE_RGB_MARKS)


def psd_mode(path: Path) -> int:
    """Return the number of a Photoshop file's color mode, 0 if the file is too short."""
    return int.from_bytes(head(path, 26)[24:26], "big")


def png_chunks(path: Path) -> dict[bytes, bytes]:
    """Return the chunks sRGB, gAMA and cHRM that stand before the picture: PNG, third edition, 5.3 and 5.6."""
    chunks: dict[bytes, bytes] = {}
    if not head(path, 8).startswith(b"\x89PNG"):
        return chunks
    with path.open("rb") as stream:
        stream.seek(8)
        while len(header := stream.read(8)) == 8 and header[4:] not in (b"IDAT", b"IEND"):
            size = int.from_bytes(header[:4], "big")
            kept = stream.read(min(size, 32)) if header[4:] in (b"sRGB", b"gAMA", b"cHRM") else b""
            if kept:
                chunks[header[4:]] = kept
            stream.seek(size - len(kept) + 4, 1)
    return chunks
