"""Plates that a host has made linear already, as Nuke's Read node does: their codes, made again from light."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.arrays import taken
from expandnet_ofx.color import input_encoding, output_matrix
from expandnet_ofx.settings import Settings
from expandnet_ofx.transfer import HALF_MAX, Encoding, full_scale, linear_decode

Array = NDArray[np.float32]

MANTISSA = 11
"""Bits of a float's mantissa that pick an entry of the table, one more than a half float has; the rest interpolates."""

DARKEST = 2.0**-24
"""Smallest light of the table, the smallest half float above 0; below it codes are proportional to light."""

BLOCK = 1 << 14
"""Pixels at a time, so that the passes over them stay in the processor's cache."""

_SHIFT = 23 - MANTISSA
_FIRST = int(np.float32(DARKEST).view(np.int32)) >> _SHIFT


class Recoder:
    """Makes codes of light: the inverse of `Encoding.decode`, for light in the host's working space.

    Args:
        encoding: of the plate before the host made it linear.
        space: linear space that the host brought it to, named as an output space.
        ocio: config for a space that is not built in.

    Raises:
        UsageError: the space is unknown or not linear.
    """

    def __init__(self, encoding: Encoding, space: str, *, ocio: str | None = None) -> None:
        to_space = output_matrix(space, ocio=ocio, option="--linearized")
        self._table = None if encoding.curve is linear_decode else _code_table(encoding)
        own = np.eye(3) if encoding.to_rec709 is None else encoding.to_rec709
        matrix = np.linalg.inv(own if to_space is None else to_space @ own)
        self._matrix = None if np.allclose(matrix, np.eye(3), atol=1e-7) else matrix.T.astype(np.float32)

    def __call__(self, light: NDArray[Any]) -> Array:
        """Return codes (..., 3) float32, 1 = display white, of light (..., 3); negatives are mirrored, NaN stays."""
        if light.dtype == np.float16 and self._matrix is None and self._table is not None:
            return np.take(self._of_halves, light.view(np.uint16))
        result = np.empty(light.shape, np.float32)
        pixels, codes = light.reshape(-1, 3), result.reshape(-1, 3)
        for first in range(0, len(pixels), BLOCK):
            codes[first : first + BLOCK] = self._codes(np.asarray(pixels[first : first + BLOCK], np.float32))
        return result

    @cached_property
    def _of_halves(self) -> Array:
        """Codes of all half floats, by their bits: (65536,)."""
        return self._codes(np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32))

    def _codes(self, light: Array) -> Array:
        if self._matrix is not None:
            # A pixel that is not finite must not spill over the channels of a sum: each is its own fault.
            finite = np.where(np.isfinite(light), light, 0)
            light = np.where(np.isfinite(light), finite @ self._matrix, light)
        return light if self._table is None else _look_up(self._table, light)


def _look_up(table: Array, light: Array) -> Array:
    size = np.clip(np.abs(np.nan_to_num(light, nan=0.0)), np.float32(0), np.float32(HALF_MAX))
    bits = np.maximum(size, np.float32(DARKEST)).view(np.int32)
    entry = (bits >> _SHIFT) - _FIRST
    # Within an octave the bits of a float grow in proportion to it, so they interpolate linearly.
    part = (bits & ((1 << _SHIFT) - 1)).astype(np.float32) * np.float32(2.0**-_SHIFT)
    below = table[entry]
    codes = below + part * (table[entry + 1] - below)
    codes = np.where(size < DARKEST, size * (table[0] / np.float32(DARKEST)), codes)
    codes = np.where(np.isfinite(light), codes, np.abs(light))
    result: Array = np.copysign(codes, light).astype(np.float32, copy=False)
    return result


@lru_cache(maxsize=16)
def _code_table(encoding: Encoding) -> Array:
    """Return the code of light at each entry, from `DARKEST` to beyond the largest half float."""
    last = int(np.float32(HALF_MAX).view(np.int32)) >> _SHIFT
    nodes = (np.arange(_FIRST, last + 2, dtype=np.int32) << _SHIFT).view(np.float32).astype(np.float64)
    codes = np.exp2(np.linspace(-24, 9, 1 << 17))
    # A config's curve may stand still beyond its range; the smallest code of a level is then its inverse.
    light = np.maximum.accumulate(np.asarray(encoding.curve(codes), np.float64))
    rising = np.concatenate(([True], np.diff(light) > 0))
    return np.interp(nodes, light[rising], codes[rising]).astype(np.float32)


def encoding_of(settings: Settings) -> Encoding:
    """Return the encoding that a plate had before a host made it linear; `auto` means sRGB, a host tells no tags."""
    name = "srgb" if settings.input_space == "auto" else settings.input_space
    return input_encoding(name, ocio=settings.ocio, force=settings.force)


def recoder(settings: Settings) -> Recoder | None:
    """Return what makes codes of a host's light again, None where plates hold codes.

    Raises:
        UsageError: a space is unknown, or `linearized` is not linear.
    """
    if settings.linearized is None:
        return None
    return Recoder(encoding_of(settings), settings.linearized, ocio=settings.ocio)


def recoded(codes: NDArray[Any], color: tuple[int, int, int], recode: Recoder) -> Array:
    """Return rows (n, W, C) as floats, their color channels made codes again, the others as they are."""
    light = codes if codes.dtype.kind == "f" else codes.astype(np.float32) / np.float32(full_scale(codes.dtype))
    if light.shape[2] == 3 and color == (0, 1, 2):
        return recode(light)
    made = recode(taken(light, np.array(color), 2))
    result: Array = light.astype(np.float32)
    for place, channel in enumerate(color):
        result[:, :, channel] = made[:, :, place]
    return result
