"""Refuse files that are too short for the size they declare, before memory is allocated for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from expandnet_ofx.errors import InputError

DEFLATE = 1040
"""Best ratio of DEFLATE: 258 bytes from 2 bits (RFC 1951), so about 1032, and a little for headers."""

RATIOS: dict[str, float] = {
    "bmp": 128,
    "cineon": 1.6,
    "dpx": 130,
    "hdr": 70,
    "iff": 130,
    "pnm": 8,
    "png": DEFLATE,
    "psd": DEFLATE,
    "rla": 130,
    "sgi": 130,
    "softimage": 130,
    "targa": 130,
    "tiff": 4096,
    "openexr": 4096,
    "jpeg": 4096,
    "gif": 4096,
    "ico": DEFLATE,
    "dds": 16,
}
"""Largest ratio of decoded to stored bytes per format: run lengths give up to 128 to 1, DEFLATE 1032, LZW and constant
JPEG blocks a few thousand. JPEG XL, WebP and JPEG 2000 have no bound."""

UNCOMPRESSED = 1.0

LARGEST_EDGE = 1 << 20
"""No camera, scanner or panorama comes near a million pixels along one edge."""


def check_declared_size(path: Path, spec: Any, format_name: str, itemsize: int) -> None:
    """Raise `InputError` if the file cannot hold the pixels it declares.

    Args:
        path: the file.
        spec: OpenImageIO's description of one part.
        format_name: OpenImageIO's name of the format.
        itemsize: bytes per sample once decoded.
    """
    width, height, channels = spec.width, spec.height, spec.nchannels
    if max(width, height) > LARGEST_EDGE or channels > 1024:
        raise InputError(f"{path}: declares {width}x{height} with {channels} channels; the file is damaged")
    declared = width * height * channels * itemsize
    ratio = RATIOS.get(format_name)
    if spec.get_string_attribute("compression") == "none" and format_name in ("openexr", "tiff"):
        # Bits packed into bytes, and a palette entry of three channels, still expand.
        ratio = UNCOMPRESSED if format_name == "openexr" else 24.0
    if ratio is None:
        return
    stored = path.stat().st_size
    if declared > ratio * stored + (1 << 16):
        raise InputError(
            f"{path}: {stored} bytes cannot hold the {width}x{height} pixels it declares; the file is cut short or damaged"
        )
