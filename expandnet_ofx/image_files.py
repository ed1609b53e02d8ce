"""What a picture file is before its pixels are decoded: opened with OpenImageIO, its type, whether it comes by rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from expandnet_ofx.errors import ExpandNetError, InputError
from expandnet_ofx.plausibility import check_cineon_header

ROW_FORMATS = ("png", "tiff", "openexr", "dpx", "cineon", "jpeg", "hdr", "bmp")
"""Formats that OpenImageIO decodes row by row; all others are decoded whole."""

PICTURE_SUFFIXES = frozenset(
    "png jpg jpeg jpe jfif tif tiff dpx cin tga bmp webp jxl psd psb exr hdr rgbe jp2 j2k j2c gif sgi rgb pnm ppm pgm "
    "pbm pfm ico iff pic fits".split()
)
"""Suffixes taken for pictures when a folder is the input."""

_NATIVE = {"uint8": np.uint8, "uint16": np.uint16, "half": np.float16, "float": np.float32}

TURNS = {2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True), 6: (3, False), 7: (1, True), 8: (1, False)}
"""EXIF orientation to quarter turns counterclockwise, then a mirror left to right (TIFF 6.0, tag 274)."""


def oiio_error(source: Any = None) -> str:
    """Return the first line of OpenImageIO's pending error, of an object or the library's own; empty without one."""
    import OpenImageIO as oiio

    try:
        text: str = source.geterror() if source is not None else oiio.geterror()
    except UnicodeDecodeError:
        # The message quotes bytes of a damaged header.
        return "damaged header"
    return next((line.strip()[:200] for line in text.splitlines() if line.strip()), "")


def reads_by_rows(path: Path, spec: Any, format_name: str) -> bool:
    """Tell whether a file's decoder gives row after row, in their order; others decode the whole picture at once."""
    turned = spec.get_int_attribute("Orientation", 1) in TURNS
    return format_name in ROW_FORMATS and not turned and not _interlaced(path, format_name)


def native_type(spec: Any) -> Any:
    """Return the type that a part is decoded to: its own, or float32 where channels differ or numpy has none like it."""
    if any(str(kind) != str(spec.format) for kind in spec.channelformats):
        return np.float32
    return _NATIVE.get(str(spec.format), np.float32)


def check_name(path: Path, kind: type[ExpandNetError]) -> None:
    """Raise an error of a kind if the image library cannot take a path, which must be UTF-8."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError as error:
        shown = str(path).encode("utf-8", "backslashreplace").decode("utf-8")
        raise kind(f"{shown}: its name is not UTF-8, which the image library needs; choose another") from error


def open_input(path: Path) -> Any:
    """Open a file with OpenImageIO; raise `InputError` if it is none that may be opened."""
    import OpenImageIO as oiio

    check_name(path, InputError)
    try:
        if path.is_dir():
            raise InputError(f"{path}: a folder, not a picture")
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: a pipe or a device, which cannot be read twice; save the picture as a file")
        if path.stat().st_size == 0:
            raise InputError(f"{path}: empty file; render it again")
        with path.open("rb") as file:
            head = file.read(24)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); check path and permissions") from error
    check_cineon_header(path, head)
    hints = oiio.ImageSpec()
    hints.attribute("oiio:UnassociatedAlpha", 1)
    source = oiio.ImageInput.open(str(path), hints)
    if source is None:
        raise InputError(f"{path}: not a picture that can be read ({oiio_error() or 'unknown format'})")
    return source


def _interlaced(path: Path, format_name: str) -> bool:
    """Tell whether rows come in passes, so that the decoder holds the whole picture anyway."""
    with path.open("rb") as file:
        head = file.read(1 << 16)
    if format_name == "png":
        # ISO/IEC 15948, 11.2.2: the interlace method is the last byte of IHDR.
        return len(head) > 28 and head[28] != 0
    if format_name == "jpeg":
        # ITU-T T.81, table B.1: SOF2 and SOF10 start progressive frames.
        return _progressive(head)
    return False


def _progressive(head: bytes) -> bool:
    at = 2
    while at + 4 <= len(head) and head[at] == 0xFF:
        marker, length = head[at + 1], int.from_bytes(head[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return marker in (0xC2, 0xCA)
        at += 2 + length
    # A frame header beyond 64 KiB of metadata: assume the costlier kind.
    return True
