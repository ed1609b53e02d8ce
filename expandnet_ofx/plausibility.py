"""Refuse files that are too short for the size they declare, before memory is allocated for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from expandnet_ofx.errors import InputError

DEFLATE = 1040
"""Best ratio of DEFLATE: 258 bytes from 2 bits (RFC 1951), so about 1032, and a little for headers."""

RATIOS: dict[str, float] = {
    "bmp": 128,
    "cineon": 1.6,
    "dpx": 130,
    "hdr": 200,
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
    "gif": 16384,
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
    ratio = _largest_ratio(path, spec, format_name, itemsize)
    if ratio is None:
        return
    stored = path.stat().st_size
    if declared > ratio * stored + (1 << 16):
        raise InputError(
            f"{path}: {stored} bytes cannot hold the {width}x{height} pixels it declares; the file is cut short or damaged"
        )


def _largest_ratio(path: Path, spec: Any, format_name: str, itemsize: int) -> float | None:
    """Return how many decoded bytes one stored byte can give, None without a bound."""
    ratio = RATIOS.get(format_name)
    if ratio is None:
        return None
    compression = spec.get_string_attribute("compression")
    if format_name == "openexr":
        # DWA and HTJ2K store a constant block of up to 256 rows in a few bytes.
        return UNCOMPRESSED if compression == "none" else 65536.0 if compression.startswith(("dwa", "ht")) else ratio
    if format_name == "tiff":
        # Bits packed into bytes, and a palette entry of three channels, still expand without compression.
        bits = spec.get_int_attribute("oiio:BitsPerSample", 8)
        return 24.0 if compression == "none" else ratio * max(1.0, 8 / max(1, bits))
    if format_name == "png":
        with path.open("rb") as file:
            header = file.read(26)
        # ISO/IEC 15948, 11.2.2: bit depth and color type; type 3 is a palette of three channels or four.
        depth, kind = (header[24], header[25]) if len(header) == 26 else (8, 2)
        return ratio * max(1.0, 8 * itemsize / max(1, depth)) * (spec.nchannels if kind == 3 else 1)
    return ratio


def check_cineon_header(path: Path, head: bytes) -> None:
    """Raise `InputError` if a Cineon file's header names more bytes than there are; its decoder would allocate them.

    Kodak Cineon 4.5, file information: magic, then offset to the image, lengths of the generic, industry and user
    headers, and the file's length, 32 bits each in the byte order of the magic.
    """
    orders: dict[bytes, Literal["big", "little"]] = {b"\x80\x2a\x5f\xd7": "big", b"\xd7\x5f\x2a\x80": "little"}
    order = orders.get(head[:4])
    if order is None:
        return
    stored = path.stat().st_size
    if any(int.from_bytes(head[at : at + 4], order) > stored for at in (4, 8, 12, 16)):
        raise InputError(f"{path}: its header names more bytes than the file has; the file is cut short or damaged")
