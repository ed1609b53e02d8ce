"""What a movie file says about itself: size, rate, color, chroma siting, timecode; and what fills the gaps."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from expandnet_ofx.errors import InputError
from expandnet_ofx.movie_pace import lacking

SITINGS = {
    "left": (0.0, 0.5),
    "center": (0.5, 0.5),
    "topleft": (0.0, 0.0),
    "top": (0.5, 0.0),
    "bottomleft": (0.0, 1.0),
    "bottom": (0.5, 1.0),
}
"""Where a chroma sample lies between the first (0) and the last (1) luma sample it covers, x and y: H.273 figure 1."""

# H.273 tables 2, 3 and 4 by code, with libav's names; 0, 2 and 3 say nothing.
_PRIMARIES = "- bt709 - - bt470m bt470bg smpte170m smpte240m film bt2020 smpte428 smpte431 smpte432"
_TRANSFERS = (
    "- bt709 - - gamma22 gamma28 smpte170m smpte240m linear log100 log316 iec61966-2-4 bt1361e iec61966-2-1 "
    "bt2020-10 bt2020-12 smpte2084 smpte428 arib-std-b67"
)
_MATRICES = {1: "bt709", 5: "bt601", 6: "bt601", 9: "bt2020"}
_LIMITED, _FULL = 1, 2


@dataclass(frozen=True, kw_only=True)
class MovieInfo:
    """What a movie says about itself, with the gaps filled in."""

    path: str
    width: int
    """Columns of a frame as it is shown, after the file's rotation."""
    height: int
    """Rows of a frame as it is shown, after the file's rotation."""
    frames: int | None
    """How many frames the file's index or its packets promise; None where neither counts them."""
    fps: Fraction
    bit_depth: int
    """Bits of a luma or red sample in the file."""
    matrix: str
    """Y'CbCr matrix, `bt709`, `bt601` or `bt2020`; not used where the file stores R'G'B' or gray."""
    full_range: bool
    transfer: str
    """Transfer characteristics by libav's name, such as `bt709`, `smpte2084`, `arib-std-b67` or `unspecified`."""
    primaries: str
    """Primaries by libav's name, such as `bt709`, `bt2020`, `smpte432` or `unspecified`."""
    chroma_location: str
    """One of `SITINGS`; of no effect where chroma is not subsampled."""
    interlaced: bool
    timecode: str | None
    """Timecode of the first frame, HH:MM:SS:FF, or with ; before FF for drop frame."""
    pixel_aspect: Fraction
    """Width of a pixel over its height, as shown."""
    warnings: tuple[str, ...]


def describe(
    path: str,
    container: Any,
    stream: Any,
    frame: Any,
    *,
    fps: Fraction,
    frames: int | None,
    steady: bool,
    hole: tuple[int, int] | None = None,
) -> MovieInfo:
    """Read the tags of a movie off its first frame and fill the gaps: BT.709 from 720 lines, BT.601 below.

    Args:
        hole: frame before the first gap, and how many frames are missing.

    Raises InputError where the color matrix is not supported.
    """
    pixel, context = frame.format, stream.codec_context
    matrix = _color_matrix(path, frame, context)
    full = _is_full_range(frame, context)
    interlaced = bool(frame.interlaced_frame) or getattr(context, "field_order", 0) > 1
    turn = display_matrix(frame)
    width, height, aspect = frame.width, frame.height, Fraction(stream.sample_aspect_ratio or 1)
    if turn[0] == 0:
        width, height, aspect = height, width, 1 / aspect
    notes = [
        (interlaced, "interlaced: both fields stay woven into one frame; deinterlace the movie first"),
        (not steady, f"variable frame rate{lacking(hole)}: every frame is kept once and taken as {fps} per second"),
        (is_rgb(pixel) and not full, "R'G'B' tagged as limited range: 16 to 235 of 255 is taken as black to white"),
        (len(pixel.components) in (2, 4), "its alpha channel is left out"),
        (0 not in turn[:2], "turned by other than a right angle: shown as it is stored"),
    ]
    return MovieInfo(
        path=path,
        width=width,
        height=height,
        frames=frames,
        fps=fps,
        bit_depth=pixel.components[0].bits,
        matrix=matrix,
        full_range=full,
        transfer=_name(_TRANSFERS, _tag(frame, context, "color_trc")),
        primaries=_name(_PRIMARIES, _tag(frame, context, "color_primaries")),
        chroma_location=_tagged_siting(container, stream) or "left",
        interlaced=interlaced,
        timecode=_timecode(container, stream),
        pixel_aspect=aspect,
        warnings=tuple(text for applies, text in notes if applies),
    )


def is_rgb(pixel: Any) -> bool:
    """Tell whether a pixel format stores R'G'B', in whatever packing."""
    return bool(pixel.is_rgb or pixel.has_palette or pixel.is_bayer)


def _color_matrix(path: str, frame: Any, context: Any) -> str:
    pixel, code = frame.format, _tag(frame, context, "colorspace", unset=(0, 2))
    is_xyz = pixel.name.startswith("xyz")
    if is_xyz or (code not in (*_MATRICES, 2) and not is_rgb(pixel)):
        name = "X'Y'Z'" if is_xyz else f"matrix {code} of H.273 table 4"
        raise InputError(f"{path}: stored as {name}, not supported; export it as R'G'B' or with the BT.709 matrix")
    return _MATRICES.get(code, "bt709" if frame.height >= 720 else "bt601")


def _is_full_range(frame: Any, context: Any) -> bool:
    """Tell whether codes are full range, by the tag.

    Without one R'G'B' and gray are full range, Y'CbCr is limited: so libav writes them, and H.264 clause E.2.1 infers
    limited range where the flag is missing.
    """
    pixel, color_range = frame.format, _tag(frame, context, "color_range", unset=(0,))
    untagged = is_rgb(pixel) or len(pixel.components) < 3
    return color_range == _FULL or pixel.name.startswith("yuvj") or (color_range != _LIMITED and untagged)


def _tag(frame: Any, context: Any, name: str, unset: tuple[int, ...] = (0, 2)) -> int:
    """Return a color tag of the frame, else of the stream, else the last of `unset`."""
    values = (int(getattr(source, name, unset[-1])) for source in (frame, context))
    return next((value for value in values if value not in unset), unset[-1])


def _name(names: str, code: int) -> str:
    """Return the name of a color code; one that H.273 does not name, such as a camera's log curve, by its number."""
    if code in (0, 2, 3):
        return "unspecified"
    return dict(enumerate(names.split())).get(code, f"code {code}")


def _tagged_siting(container: Any, stream: Any) -> str | None:
    """Return where the file says chroma lies, or None.

    The binding offers no attribute for it; it stands in libav's own description of the stream, at a verbose level.
    """
    import av.logging

    level = av.logging.get_level()
    av.logging.set_level(av.logging.VERBOSE)
    av.logging.set_libav_level(av.logging.VERBOSE)
    try:
        text = container.dumps_format()
    finally:
        av.logging.set_level(level)
        av.logging.set_libav_level(av.logging.INFO)
    line = re.search(rf"^ *Stream #0:{stream.index}\b.*: Video: .*$", text, re.MULTILINE)
    found = re.search(rf"[(,] ?({'|'.join(SITINGS)})\)", line[0]) if line else None
    return found[1] if found else None


def _timecode(container: Any, stream: Any) -> str | None:
    for tags in (stream.metadata, container.metadata, *(other.metadata for other in container.streams)):
        for name, value in tags.items():
            if name.lower() == "timecode":
                return str(value)
    return None


def display_matrix(frame: Any) -> tuple[int, int, int, int]:
    """Return a, b, c, d of libav's display matrix as -1, 0 or 1: x' = a x + c y, y' = b x + d y, with y downward."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return 1, 0, 0, 1
    a, b, _, c, d = (int(value) for value in np.sign(np.frombuffer(bytes(data), np.int32)[:5]))
    return a, b, c, d
