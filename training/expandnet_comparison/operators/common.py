"""What all expansion operators share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from expandnet_ofx.errors import UsageError

Array = NDArray[np.float64]

REC709 = np.array((0.2126, 0.7152, 0.0722))
"""Weights of ITU-R BT.709-6, item 3.2."""

OLD_REC709 = np.array((0.213, 0.715, 0.072))
"""The same, rounded, as the toolbox had them until 2014: its Banterle, Rempel and Meylan operators."""

SMALL = 1e-6
"""Light added before a logarithm."""


def linearized(codes: NDArray[Any], gamma: float) -> Array:
    """Return codes^gamma of display codes (H, W, 3) in [0, 1]; a gamma of 0 takes them for light.

    Raises:
        UsageError: another shape, values outside [0, 1] or not finite, a negative gamma.
    """
    codes = np.asarray(codes)
    if codes.dtype == np.uint8:
        codes = codes / 255
    codes = codes.astype(np.float64)
    if codes.ndim != 3 or codes.shape[2] != 3:
        raise UsageError(f"expansion operators take (H, W, 3) codes, not {codes.shape}")
    if not (np.isfinite(codes).all() and codes.min() >= 0 and codes.max() <= 1):
        raise UsageError("expansion operators take codes from 0 to 1; divide by full scale first")
    need(gamma >= 0, f"gamma {gamma:g}: need 0 or more; 0 is for codes that are light")
    return codes**gamma if gamma else codes


def need(ok: bool, what: str) -> None:
    """Raise `UsageError` for a parameter out of its range."""
    if not ok:
        raise UsageError(what)


def luminance(light: Array, weights: NDArray[np.float64] = REC709) -> Array:
    """Return the luminance (H, W) of linear Rec.709 light (H, W, 3)."""
    result: Array = light @ weights
    return result


def with_luminance(light: Array, before: Array, after: Array) -> Array:
    """Return light (H, W, 3) scaled from one luminance (H, W) to another; black stays black."""
    ratio = np.divide(after, before, out=np.zeros_like(after), where=before > 0)
    result: Array = np.nan_to_num(light * ratio[:, :, None], nan=0, posinf=0, neginf=0)
    return result


def log_average(light: Array) -> float:
    """Return the geometric mean of luminance, 1e-6 added."""
    return float(np.exp(np.mean(np.log(light + SMALL))))


def box(x: Array, size: int, mode: str) -> Array:
    """Return means over size x size pixels (H, W); `mode` names what lies beyond the border, as scipy does."""
    result: Array = ndimage.uniform_filter(x, size, mode=mode)
    return result


def gaussian(x: Array, sigma: float, window: int) -> Array:
    """Return a picture (H, W) under a Gaussian cut off to a window of pixels; borders replicate.

    An even window reaches one pixel further down and to the right.
    """
    at = np.arange(window) - (window - 1) / 2
    kernel = np.exp(-0.5 * (at / sigma) ** 2)
    kernel /= kernel.sum()
    before = (window - 1) // 2
    for axis in (0, 1):
        padding = [(0, 0)] * x.ndim
        padding[axis] = (before, window - 1 - before)
        padded = np.pad(x, padding, mode="edge")
        x = _valid(padded, kernel, axis)
    return x


def _valid(padded: Array, kernel: Array, axis: int) -> Array:
    from scipy.signal import oaconvolve

    shape = [1] * padded.ndim
    shape[axis] = len(kernel)
    result: Array = oaconvolve(padded, kernel[::-1].reshape(shape), mode="valid", axes=axis)
    return result
