"""Movies as R'G'B' codes: what a file says about its color, and one frame after the other at its full precision.

libav decodes; the step from Y'CbCr to R'G'B' is done here, because matrix, range, bit depth and the place of the chroma
samples decide how bright a pixel is and where its color lies.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.errors import InputError, MissingExtraError, UsageError

Samples = NDArray[Any]
Codes = NDArray[np.uint16]

LUMA = {"bt709": (0.2126, 0.0722), "bt601": (0.299, 0.114), "bt2020": (0.2627, 0.0593)}
"""Kr and Kb: BT.709-6 item 3.2, BT.601-7 clause 2.5.1, BT.2020-2 table 4 (non-constant luminance)."""

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
_ATTACHED_PICTURE = 0x400


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


class Movie:
    """A movie file, read frame by frame; a context manager.

    Iterating yields (index, codes): the index counts from 0 in the order of presentation; codes are C-contiguous
    (H, W, 3) uint16, R'G'B' still display-encoded, full range: 0 is black, 65535 is white. What a limited-range file
    holds below black or above white, and colors outside R'G'B', are clipped to 0 and 65535. One frame is held at a
    time; each iteration starts at the first frame and ends the one before it.

    A movie of variable frame rate needs `fps`; every stored frame is then kept once, none is repeated or dropped.

    Args:
        path: the file.
        fps: frames per second, in place of what the file says.

    Raises:
        UsageError: `fps` is not above 0.
        MissingExtraError: the package `av` is not installed.
        InputError: not a movie, no picture in it, cannot be decoded (the frame is named, counting from 0), a color
            matrix that is not supported, or a variable frame rate and no `fps`.
    """

    info: MovieInfo

    def __init__(self, path: str | Path, fps: Fraction | int | None = None) -> None:
        if fps is not None and fps <= 0:
            raise UsageError(f"fps {fps}: not a frame rate; pass a number above 0")
        self._path = str(path)
        self._free_pace = fps is not None
        self._reading: Generator[tuple[int, Codes], None, None] | None = None
        self._promised, stamps = _frame_stamps(self._path)
        pace = _Pace()
        steady = all(pace.add(stamp) for stamp in stamps)
        if not steady and fps is None:
            raise InputError(_uneven(self._path))
        with _open(self._path) as (container, stream):
            frame = next(_decode(self._path, container, stream), None)
            if frame is None:
                raise InputError(f"{self._path}: holds no frame that can be decoded; export the movie again")
            rate = fps or stream.guessed_rate or stream.average_rate
            if not rate:
                raise InputError(f"{self._path}: tells no frame rate; pass --fps, for example --fps 24")
            self.info = _describe(self._path, container, stream, frame, Fraction(rate), len(stamps) or None, steady)

    def __enter__(self) -> Movie:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the iteration that is under way, if any, and close its file."""
        if self._reading is not None:
            self._reading.close()
            self._reading = None

    def __iter__(self) -> Iterator[tuple[int, Codes]]:
        self.close()
        self._reading = self._read()
        return self._reading

    def _read(self) -> Generator[tuple[int, Codes], None, None]:
        pace, size, index = _Pace(), None, 0
        with _open(self._path) as (container, stream):
            for frame in _decode(self._path, container, stream):
                size = size or (frame.width, frame.height)
                if (frame.width, frame.height) != size:
                    raise InputError(
                        f"{self._path}: frame {index} is {frame.width} x {frame.height}, those before it "
                        f"{size[0]} x {size[1]}; split the movie there"
                    )
                if not pace.add(frame.pts) and not self._free_pace:
                    raise InputError(_uneven(self._path))
                yield index, _orient(_to_codes(frame, self.info), _display_matrix(frame))
                index += 1
        if self._promised is not None and index < self._promised:
            raise InputError(
                f"{self._path}: frame {index} is missing, the file promises {self._promised} frames and ends there; "
                "copy or export it again"
            )


class _Pace:
    """Tells whether frames follow one another evenly, from their time stamps in ticks."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._shortest = self._longest = 0

    def add(self, stamp: int | None) -> bool:
        """Take the next frame's stamp; return False once durations differ by more than a tick or a tenth of a frame."""
        if stamp is None:
            return True
        if self._last is not None:
            step = stamp - self._last
            self._shortest = min(self._shortest or step, step)
            self._longest = max(self._longest, step)
        self._last = stamp
        # Containers that count milliseconds round 1/24 s to 41 or 42: a tick is no change, unless it is a whole frame.
        rounding = 1 if self._shortest > 1 else 0
        return self._longest - self._shortest <= max(self._shortest / 10, rounding)


def _uneven(path: str) -> str:
    return f"{path}: variable frame rate, its frames last unequally long; pass --fps, for example --fps 24"


def _import_av() -> Any:
    try:
        import av
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "movies: the package av is not installed; install it with: pip install 'expandnet-ofx[movie]'"
        ) from error
    return av


@contextmanager
def _open(path: str) -> Generator[tuple[Any, Any], None, None]:
    """Open a movie and its first picture stream; raise InputError where there is none."""
    av = _import_av()
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; check the name")
    try:
        # The protocol keeps names with a colon from being read as addresses; err_detect stops libav from inventing
        # what a damaged file lost.
        container = av.open(f"file:{path}", options={"err_detect": "explode"})
    except av.FFmpegError as error:
        raise InputError(f"{path}: not a movie that can be read ({error.strerror}); export it again") from error
    with container:
        # A cover picture is a stream of its own and no movie.
        streams = [s for s in container.streams.video if not int(s.disposition) & _ATTACHED_PICTURE]
        if not streams:
            raise InputError(f"{path}: holds no picture stream; pass a movie")
        if streams[0].codec_context is None:
            raise InputError(f"{path}: its codec is not supported; export it as ProRes, DNxHR or H.264")
        yield container, streams[0]


def _decode(path: str, container: Any, stream: Any) -> Iterator[Any]:
    """Yield decoded frames; raise InputError that names the frame which cannot be decoded."""
    av = _import_av()
    frames = container.decode(stream)
    for index in count():
        try:
            frame = next(frames, None)
        except av.FFmpegError as error:
            raise InputError(
                f"{path}: frame {index} cannot be decoded ({error.strerror}); copy or export the movie again"
            ) from error
        if frame is None:
            return
        if frame.is_corrupt:
            raise InputError(f"{path}: frame {index} is damaged; copy or export the movie again")
        yield frame


def _frame_stamps(path: str) -> tuple[int | None, list[int]]:
    """Return how many frames the index promises (None without an index), and the frames' time stamps in ticks.

    Formats without an index of all frames are read through once, without decoding: better than to meet a change of
    frame rate, or the end, after hours of work.
    """
    av = _import_av()
    with _open(path) as (container, stream):
        entries = list(getattr(stream, "index_entries", ()))
        if stream.frames and len(entries) >= stream.frames:
            stamps = [entry.timestamp for entry in entries if entry.size and not entry.is_discard]
            return len(stamps), stamps
        found: set[int] = set()
        end = Fraction(0)
        try:
            for packet in container.demux():
                stamp = packet.dts if packet.pts is None else packet.pts
                if not packet.size or stamp is None or packet.is_discard:
                    continue
                end = max(end, (stamp + (packet.duration or 0)) * packet.time_base)
                if packet.stream_index == stream.index:
                    found.add(stamp)
        except av.FFmpegError as error:
            raise InputError(
                f"{path}: frame {len(found)} cannot be read ({error.strerror}); copy or export the movie again"
            ) from error
        # Matroska has no index of frames, and libav takes a file that was cut off for one that ends; its header tells.
        missing = Fraction(container.duration or 0, 1_000_000) - end
        if "matroska" in container.format.name and missing * (stream.average_rate or 0) > 1:
            return len(found) + round(missing * stream.average_rate), sorted(found)
        return stream.frames or None, sorted(found)


def _describe(
    path: str, container: Any, stream: Any, frame: Any, fps: Fraction, frames: int | None, steady: bool
) -> MovieInfo:
    """Read the tags of a movie off its first frame and fill the gaps: BT.709 from 720 lines, BT.601 below."""
    pixel, context = frame.format, stream.codec_context
    matrix = _tag(frame, context, "colorspace", unset=(0, 2))
    is_rgb = _is_rgb(pixel)
    if (matrix not in _MATRICES and matrix != 2 and not is_rgb) or pixel.name.startswith("xyz"):
        name = "X'Y'Z'" if pixel.name.startswith("xyz") else f"matrix {matrix} of H.273 table 4"
        raise InputError(f"{path}: stored as {name}, not supported; export it as R'G'B' or with the BT.709 matrix")
    color_range = _tag(frame, context, "color_range", unset=(0,))
    # R'G'B' and gray are full range unless tagged, Y'CbCr is limited: so libav writes them, and H.264
    # clause E.2.1 infers limited range where the flag is missing.
    full = color_range == _FULL or pixel.name.startswith("yuvj")
    full = full or (color_range != _LIMITED and (is_rgb or len(pixel.components) < 3))
    interlaced = bool(frame.interlaced_frame) or getattr(context, "field_order", 0) > 1
    turn = _display_matrix(frame)
    swapped = turn[0] == 0
    aspect = Fraction(stream.sample_aspect_ratio or 1)
    notes = [
        (interlaced, "interlaced: both fields stay woven into one frame; deinterlace the movie first"),
        (not steady, f"variable frame rate: every frame is kept once and taken as {fps} per second"),
        (is_rgb and not full, "R'G'B' tagged as limited range: 16 to 235 of 255 is taken as black to white"),
        (len(pixel.components) in (2, 4), "its alpha channel is left out"),
        (0 not in turn[:2], "turned by other than a right angle: shown as it is stored"),
    ]
    return MovieInfo(
        path=path,
        width=frame.height if swapped else frame.width,
        height=frame.width if swapped else frame.height,
        frames=frames,
        fps=fps,
        bit_depth=pixel.components[0].bits,
        matrix=_MATRICES.get(matrix, "bt709" if frame.height >= 720 else "bt601"),
        full_range=full,
        transfer=_name(_TRANSFERS, _tag(frame, context, "color_trc")),
        primaries=_name(_PRIMARIES, _tag(frame, context, "color_primaries")),
        chroma_location=_tagged_siting(container, stream) or "left",
        interlaced=interlaced,
        timecode=_timecode(container, stream),
        pixel_aspect=1 / aspect if swapped else aspect,
        warnings=tuple(text for applies, text in notes if applies),
    )


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
    av = _import_av()
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


def _display_matrix(frame: Any) -> tuple[int, int, int, int]:
    """Return a, b, c, d of libav's display matrix as -1, 0 or 1: x' = a x + c y, y' = b x + d y, with y downward."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return 1, 0, 0, 1
    a, b, _, c, d = (int(value) for value in np.sign(np.frombuffer(bytes(data), np.int32)[:5]))
    return a, b, c, d


def _orient(codes: Codes, matrix: tuple[int, int, int, int]) -> Codes:
    a, b, c, d = matrix
    if 0 not in (a, b):
        return codes
    turned = codes.swapaxes(0, 1) if a == 0 else codes
    turned = turned[:, ::-1] if a + c < 0 else turned
    turned = turned[::-1] if b + d < 0 else turned
    return np.ascontiguousarray(turned)


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """Where a pixel format keeps the samples of R', G', B' or of Y', Cb, Cr or of gray."""

    parts: tuple[tuple[int, int, int], ...]
    """For each component: its plane, its first sample there, and samples from one pixel to the next."""
    dtype: str
    shift: int = 0
    """Unused low bits of a sample."""


_INTERLEAVED = {
    "yuyv422": ((0, 0, 2), (0, 1, 4), (0, 3, 4)),
    "uyvy422": ((0, 1, 2), (0, 0, 4), (0, 2, 4)),
    "yvyu422": ((0, 0, 2), (0, 3, 4), (0, 1, 4)),
    "ya8": ((0, 0, 2),),
    "ya16": ((0, 0, 2),),
}


def _find_layout(pixel: Any) -> _Layout | None:
    """Return the layout of a pixel format by libav's name, or None where it is none of the plain ones."""
    body = re.sub("(le|be)$", "", pixel.name)
    bits = pixel.components[0].bits
    dtype = "u1" if bits <= 8 else ">u2" if pixel.is_big_endian else "<u2"
    planar = re.fullmatch(r"(yuv[aj]?4[1-4][0-4]p|gbra?p|gray)(9|10|12|14|16)?", body)
    if planar:
        planes = (0, 1, 2) if body[0] == "y" else (0,) if body.startswith("gray") else (2, 0, 1)
        return _Layout(parts=tuple((plane, 0, 1) for plane in planes), dtype=dtype)
    if re.fullmatch(r"nv(12|21|16|24|42|20)|p[024]1[026]", body):
        blue = 1 if body in ("nv21", "nv42") else 0
        shift = 16 - bits if body[0] == "p" else 0
        return _Layout(parts=((0, 0, 1), (1, blue, 2), (1, 1 - blue, 2)), dtype=dtype, shift=shift)
    packed = re.fullmatch(r"([rgba0]{3,4})(24|48|64)?", body)
    if packed and {"r", "g", "b"} <= set(packed[1]):
        letters = packed[1]
        return _Layout(parts=tuple((0, letters.index(letter), len(letters)) for letter in "rgb"), dtype=dtype)
    return _Layout(parts=_INTERLEAVED[body], dtype=dtype) if body in _INTERLEAVED else None


def _is_rgb(pixel: Any) -> bool:
    return bool(pixel.is_rgb or pixel.has_palette or pixel.is_bayer)


def _plain_name(pixel: Any) -> str:
    """Name the planar format that holds all of another format: same chroma sampling, same depth or more."""
    bits = max(part.bits for part in pixel.components)
    depth = next((depth for depth in (8, 10, 12) if depth >= bits), 16)
    suffix = "" if depth == 8 else f"{depth}le"
    if _is_rgb(pixel) or len(pixel.components) < 3:
        return f"gbrp{suffix}"
    sampling = {(1, 1): 444, (2, 1): 422, (2, 2): 420, (1, 2): 440, (4, 1): 411}[_subsampling(pixel)]
    return f"yuv{sampling}p{suffix}"


def _subsampling(pixel: Any) -> tuple[int, int]:
    return 16 // pixel.chroma_width(16), 16 // pixel.chroma_height(16)


def _unpack(frame: Any) -> tuple[Any, list[Samples]]:
    """Return the pixel format and the components of a frame, (h, w) integers each, at the size they are stored."""
    layout = _find_layout(frame.format)
    if layout is None:
        return _unpack(frame.reformat(format=_plain_name(frame.format)))
    across, down = _subsampling(frame.format)
    size = np.dtype(layout.dtype).itemsize
    samples = []
    for number, (index, first, step) in enumerate(layout.parts):
        plane = frame.planes[index]
        shrink = (across, down) if number else (1, 1)
        height, width = -(-frame.height // shrink[1]), -(-frame.width // shrink[0])
        # Pictures stored bottom row first have rows of negative length, and a buffer that starts at the last one.
        start = max(0, -plane.line_size) * (height - 1) + first * size
        strides = (plane.line_size, step * size)
        view: Samples = np.ndarray((height, width), layout.dtype, plane, start, strides)
        samples.append(view >> layout.shift if layout.shift else view)
    return frame.format, samples


def _to_codes(frame: Any, info: MovieInfo) -> Codes:
    """Convert a decoded frame to R'G'B' codes (H, W, 3) uint16, clipped to 0 to 65535.

    Quantization, n bits: limited range (219 E + 16) 2^(n-8) and (224 E + 128) 2^(n-8), BT.601-7 clause 2.5.3, BT.709-6
    item 3.4, BT.2020-2 table 5; full range (2^n - 1) E and (2^n - 1) E + 2^(n-1), BT.2100-2 table 9.
    Matrix: E'Cb = (B' - Y') / (2 - 2 Kb), E'Cr = (R' - Y') / (2 - 2 Kr), BT.709-6 item 3.3; G' from the luma equation.
    """
    pixel, samples = _unpack(frame)
    bits = pixel.components[0].bits
    unit = np.float32(2.0 ** (bits - 8))
    top = np.float32(2.0**bits - 1)
    black, span, chroma_span = (0, top, top) if info.full_range else (16 * unit, 219 * unit, 224 * unit)
    rgb = np.empty((frame.height, frame.width, 3), np.uint16)
    if _is_rgb(pixel) or len(samples) == 1:
        for channel in range(3):
            light = (samples[channel % len(samples)].astype(np.float32) - black) / span
            rgb[..., channel] = _quantize(light)
        return rgb
    luma = (samples[0].astype(np.float32) - black) / span
    blue, red = (
        _place((part.astype(np.float32) - 128 * unit) / chroma_span, _subsampling(pixel), luma.shape, info)
        for part in samples[1:]
    )
    kr, kb = LUMA[info.matrix]
    kg = 1 - kr - kb
    rgb[..., 0] = _quantize(luma + np.float32(2 - 2 * kr) * red)
    rgb[..., 2] = _quantize(luma + np.float32(2 - 2 * kb) * blue)
    blue *= np.float32(kb * (2 - 2 * kb) / kg)
    red *= np.float32(kr * (2 - 2 * kr) / kg)
    rgb[..., 1] = _quantize(luma - blue - red)
    return rgb


def _quantize(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.clip(signal, 0, 1) * np.float32(65535) + np.float32(0.5)


def _place(
    chroma: NDArray[np.float32], subsampling: tuple[int, int], shape: tuple[int, ...], info: MovieInfo
) -> NDArray[np.float32]:
    """Interpolate chroma linearly at every luma sample, from where `chroma_location` says that it lies."""
    for axis, factor, between in zip((1, 0), subsampling, SITINGS[info.chroma_location], strict=True):
        if factor > 1:
            at = (np.arange(shape[axis]) - between * (factor - 1)) / factor
            at = np.clip(at, 0, chroma.shape[axis] - 1)
            low = at.astype(np.intp)
            weight = np.expand_dims((at - low).astype(np.float32), 1 - axis)
            near = chroma.take(low, axis)
            far = chroma.take(np.minimum(low + 1, chroma.shape[axis] - 1), axis)
            far -= near
            far *= weight
            far += near
            chroma = far
    return chroma
