"""Decoded video frames as R'G'B' codes: pixel formats, the place of chroma samples, and Y'CbCr to R'G'B'.

libav decodes; the step to R'G'B' is done here, because matrix, range, bit depth and the place of the chroma samples
decide how bright a pixel is and where its color lies.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.movie_info import SITINGS, MovieInfo, is_rgb

Samples = NDArray[Any]
Codes = NDArray[np.uint16]

LUMA = {"bt709": (0.2126, 0.0722), "bt601": (0.299, 0.114), "bt2020": (0.2627, 0.0593)}
"""Kr and Kb: BT.709-6 item 3.2, BT.601-7 clause 2.5.1, BT.2020-2 table 4 (non-constant luminance)."""

_INTERLEAVED = {
    "yuyv422": ((0, 0, 2), (0, 1, 4), (0, 3, 4)),
    "uyvy422": ((0, 1, 2), (0, 0, 4), (0, 2, 4)),
    "yvyu422": ((0, 0, 2), (0, 3, 4), (0, 1, 4)),
    "ya8": ((0, 0, 2),),
    "ya16": ((0, 0, 2),),
}


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """Where a pixel format keeps the samples of R', G', B' or of Y', Cb, Cr or of gray."""

    parts: tuple[tuple[int, int, int], ...]
    """For each component: its plane, its first sample there, and samples from one pixel to the next."""
    dtype: str
    shift: int = 0
    """Unused low bits of a sample."""


def find_layout(pixel: Any) -> _Layout | None:
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


def plain_name(pixel: Any) -> str:
    """Name the planar format that holds all of another format: same chroma sampling, same depth or more."""
    bits = max(part.bits for part in pixel.components)
    depth = next((depth for depth in (8, 10, 12) if depth >= bits), 16)
    suffix = "" if depth == 8 else f"{depth}le"
    if is_rgb(pixel) or len(pixel.components) < 3:
        return f"gbrp{suffix}"
    sampling = {(1, 1): 444, (2, 1): 422, (2, 2): 420, (1, 2): 440, (4, 1): 411}[_subsampling(pixel)]
    return f"yuv{sampling}p{suffix}"


def _subsampling(pixel: Any) -> tuple[int, int]:
    return 16 // pixel.chroma_width(16), 16 // pixel.chroma_height(16)


def _unpack(frame: Any) -> tuple[Any, list[Samples]]:
    """Return the pixel format and the components of a frame, (h, w) integers each, at the size they are stored."""
    layout = find_layout(frame.format)
    if layout is None:
        return _unpack(frame.reformat(format=plain_name(frame.format)))
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


def to_codes(frame: Any, info: MovieInfo) -> Codes:
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
    if is_rgb(pixel) or len(samples) == 1:
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


def _quantize(signal: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    codes: NDArray[np.floating[Any]] = np.clip(signal, 0, 1) * np.float32(65535) + np.float32(0.5)
    return codes


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


def orient(codes: Codes, matrix: tuple[int, int, int, int]) -> Codes:
    """Turn codes (H, W, 3) as a display matrix says, C-contiguous; as they are where the angle is not a right one."""
    a, b, c, d = matrix
    if 0 not in (a, b):
        return codes
    turned = codes.swapaxes(0, 1) if a == 0 else codes
    turned = turned[:, ::-1] if a + c < 0 else turned
    turned = turned[::-1] if b + d < 0 else turned
    return np.ascontiguousarray(turned)
