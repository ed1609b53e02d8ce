"""Named input encodings: display codes to linear light, and linear light to what the network sees.

An `Encoding` is a curve per channel and a matrix: decoded light is in the plate's own primaries, where clipping happened
and where the merge decides; the matrix brings the result to linear Rec.709.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx import primaries
from expandnet_ofx.arrays import as_float, beside, cleaned, namespace
from expandnet_ofx.errors import UsageError

Array = NDArray[np.float32]
Curve = Callable[[NDArray[Any]], NDArray[Any]]
"""Pointwise, of any shape and float type; mathematics, so that tables may be made in double precision. Of tensors too."""


def _above_0(values: NDArray[Any]) -> NDArray[Any]:
    result: NDArray[Any] = namespace(values).clip(values, 0, None)
    return result


def _where(like: NDArray[Any], condition: Any, first: Any, second: Any) -> NDArray[Any]:
    result: NDArray[Any] = namespace(like).where(condition, first, second)
    return result


def srgb_decode(code: NDArray[Any]) -> NDArray[Any]:
    """Decode sRGB codes to linear light: IEC 61966-2-1:1999, 5.2; white 1 -> 1, 0.5 -> 0.2140."""
    return _where(code, code <= 0.04045, code / 12.92, ((_above_0(code) + 0.055) / 1.055) ** 2.4)


def srgb_encode(light: NDArray[Any]) -> NDArray[Any]:
    """Encode linear light with the sRGB curve: IEC 61966-2-1:1999, 5.2, inverse of `srgb_decode`."""
    return _where(light, light <= 0.0031308, light * 12.92, 1.055 * _above_0(light) ** (1 / 2.4) - 0.055)


def rec709_scene_decode(code: NDArray[Any]) -> NDArray[Any]:
    """Decode Rec.709 camera codes to scene light: inverse OETF of ITU-R BT.709-6, item 1.2; 0.5 -> 0.2596."""
    return _where(code, code < 0.081, code / 4.5, ((_above_0(code) + 0.099) / 1.099) ** (1 / 0.45))


def bt1886_decode(code: NDArray[Any]) -> NDArray[Any]:
    """Decode video codes to display light: EOTF of ITU-R BT.1886, Annex 1, black level 0; 0.5 -> 0.1895."""
    result: NDArray[Any] = _above_0(code) ** 2.4
    return result


def adobe_rgb_decode(code: NDArray[Any]) -> NDArray[Any]:
    """Decode Adobe RGB (1998) codes: Adobe RGB (1998) Color Image Encoding, 4.3.4.2, gamma 563/256."""
    result: NDArray[Any] = _above_0(code) ** (563 / 256)
    return result


def prophoto_decode(code: NDArray[Any]) -> NDArray[Any]:
    """Decode ROMM RGB (ProPhoto) codes: ISO 22028-2:2013, 4.3; gamma 1.8 with a linear toe below 16/512."""
    return _where(code, code < 16 / 512, code / 16, _above_0(code) ** 1.8)


def gamma_decode(gamma: float) -> Curve:
    """Return the decoding curve code^gamma."""

    def decode(code: NDArray[Any]) -> NDArray[Any]:
        result: NDArray[Any] = _above_0(code) ** gamma
        return result

    return decode


def linear_decode(code: NDArray[Any]) -> NDArray[Any]:
    """Return codes that already are linear light, unchanged."""
    return code


@dataclass(frozen=True, eq=False)
class Encoding:
    """How a plate's codes become linear light."""

    name: str
    """Name the user gives to `--input-space`."""
    curve: Curve
    """Decodes float32 codes, 1 = full scale, to linear light in the plate's own primaries."""
    to_rec709: NDArray[np.float64] | None = None
    """Matrix (3, 3) from the plate's linear primaries to linear Rec.709, D65; None for Rec.709 itself."""

    def decode(self, codes: NDArray[Any]) -> Array:
        """Decode codes of any shape to display-linear float32 in the plate's own primaries.

        Integer codes go through a table over their whole range; floats through the curve, where finite negatives are
        mirrored (light below black survives) and values above 1 continue the curve. NaN becomes 0, infinities the
        largest half float.
        """
        if (scale := full_scale(codes.dtype)) != 1:
            return _looked_up(decode_table(self, 1 if scale == 255 else 2), codes)
        return _decode_float(self.curve, codes)

    def encode_for_network(self, codes: NDArray[Any]) -> Array:
        """Turn codes into the network's view: light through the sRGB curve, float32 clamped to [0, 1]."""
        if (scale := full_scale(codes.dtype)) != 1:
            if self.curve is srgb_decode:
                return as_float(codes) / scale
            return _looked_up(network_table(self, 1 if scale == 255 else 2), codes)
        result: Array = namespace(codes).clip(self._network_curve(cleaned(codes, 0, 1)), 0, 1)
        return result

    def _network_curve(self, codes: Array) -> Array:
        # The curve there and back would only add rounding.
        return codes if self.curve is srgb_decode else as_float(srgb_encode(self.curve(codes)))


HALF_MAX = 65504.0
"""Largest finite half float; light beyond it would be written as infinity."""


def _decode_float(curve: Curve, codes: NDArray[Any]) -> Array:
    xp, clean = namespace(codes), cleaned(codes, -HALF_MAX, HALF_MAX)
    light = as_float(curve(xp.abs(clean)))
    result: Array = xp.clip(xp.copysign(light, clean), -HALF_MAX, HALF_MAX)
    return result


def _looked_up(table: Array, codes: NDArray[Any]) -> Array:
    xp = namespace(codes)
    if xp is np:
        return np.take(table, codes)
    result: Array = beside(codes, table)[xp.asarray(codes, dtype=xp.int64)]
    return result


_FULL_SCALES = {"uint8": 255.0, "uint16": 65535.0, "int32": 65535.0}


def full_scale(dtype: Any) -> float:
    """Return the code that means 1.0: 255 for uint8, 65535 for uint16, 1 for floats.

    Of tensors as well, in which int32 holds codes of uint16; PyTorch knows little to do with those.
    """
    return _FULL_SCALES.get(getattr(dtype, "name", None) or str(dtype).removeprefix("torch."), 1.0)


@lru_cache(maxsize=16)
def decode_table(encoding: Encoding, itemsize: int) -> Array:
    """Return the light of every integer code of 1 or 2 bytes: (256,) or (65536,) float32."""
    levels = 1 << (8 * itemsize)
    codes = np.arange(levels, dtype=np.float64) / (levels - 1)
    return encoding.curve(codes).astype(np.float32)


@lru_cache(maxsize=16)
def network_table(encoding: Encoding, itemsize: int) -> Array:
    """Return what the network sees of every integer code of 1 or 2 bytes: (256,) or (65536,) float32 in [0, 1]."""
    levels = 1 << (8 * itemsize)
    codes = (np.arange(levels, dtype=np.float64) / (levels - 1)).astype(np.float32)
    return np.clip(encoding._network_curve(codes), 0, 1).astype(np.float32)


ENCODINGS: dict[str, Encoding] = {
    encoding.name: encoding
    for encoding in (
        Encoding("srgb", srgb_decode),
        Encoding("rec709-scene", rec709_scene_decode),
        Encoding("bt1886", bt1886_decode),
        Encoding("gamma2.2", gamma_decode(2.2)),
        Encoding("gamma2.4", gamma_decode(2.4)),
        Encoding("linear", linear_decode),
        Encoding("display-p3", srgb_decode, primaries.to_rec709(primaries.P3_D65)),
        Encoding("adobe-rgb", adobe_rgb_decode, primaries.to_rec709(primaries.ADOBE_RGB)),
        Encoding("prophoto", prophoto_decode, primaries.to_rec709(primaries.PROPHOTO)),
        Encoding("rec2020-bt1886", bt1886_decode, primaries.to_rec709(primaries.REC2020)),
    )
}
"""The encodings known by name without an OpenColorIO config."""


def named_encoding(name: str) -> Encoding:
    """Return a built-in encoding; raise `UsageError` listing the known names if there is none of that name."""
    try:
        return ENCODINGS[name]
    except KeyError:
        known = ", ".join(ENCODINGS)
        raise UsageError(f"--input-space {name}: not known; use one of {known}, or an OpenColorIO space") from None
