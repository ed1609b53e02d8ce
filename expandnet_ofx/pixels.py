"""What holds for a pixel over its channels, and pixels by their numbers.

Numpy's reductions over an axis of three values take several times as long, as does indexing by a mask.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def any_channel(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where a channel of (H, W, 3) is not 0: (H, W)."""
    found = values != 0 if values.dtype != np.bool_ else values
    result: NDArray[np.bool_] = found[:, :, 0] | found[:, :, 1] | found[:, :, 2]
    return result


def brightest_channel(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the largest channel of (H, W, 3): (H, W)."""
    result: NDArray[np.float32] = np.maximum(np.maximum(values[:, :, 0], values[:, :, 1]), values[:, :, 2])
    return result


def picked(values: NDArray[Any], at: NDArray[np.intp]) -> NDArray[Any]:
    """Return pixels (n, C) of (H, W, C) by their numbers, counted along rows."""
    return np.take(values.reshape(-1, values.shape[-1]), at, axis=0)


def put_picked(values: NDArray[Any], at: NDArray[np.intp], pixels: NDArray[Any]) -> None:
    """Replace pixels of (H, W, C) by others (n, C) of its type, in place; raise `ValueError` where it is not contiguous."""
    if not values.flags.c_contiguous or pixels.dtype != values.dtype:
        raise ValueError("pixels of another type, or an array that is not contiguous")
    whole = np.dtype((np.void, values.itemsize * values.shape[-1]))
    values.reshape(-1).view(whole)[at] = np.ascontiguousarray(pixels).reshape(-1).view(whole)
