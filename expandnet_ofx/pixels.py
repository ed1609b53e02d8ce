"""What holds for a pixel over its channels, and pixels by their numbers.

Numpy's reductions over an axis of a few values take several times as long, as does indexing by a mask.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.arrays import namespace, taken


def any_channel(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where a channel of (..., 3) is not 0: (...)."""
    found = values if values.dtype == np.bool_ else values != 0
    result: NDArray[np.bool_]
    if namespace(found) is not np:
        result = found[..., 0] | found[..., 1] | found[..., 2]
        return result
    # Neighbors are joined in order of memory, of which a processor takes many at a time; every third is a pixel.
    flags = np.ascontiguousarray(found).reshape(-1).view(np.uint8)
    joined = flags[:-2] | flags[1:-1]
    joined |= flags[2:]
    result = joined[::3].reshape(found.shape[:-1]).view(np.bool_)
    return result


def brightest_channel(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the largest channel of (..., C): (...)."""
    return _over_channels(values, namespace(values).maximum)


def darkest_channel(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the least channel of (..., C): (...)."""
    return _over_channels(values, namespace(values).minimum)


def sum_of_channels(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the sum over the channels of (..., C): (...)."""
    return _over_channels(values, add)


def _over_channels(values: NDArray[Any], join: Callable[[Any, Any], Any]) -> NDArray[np.float32]:
    result: NDArray[np.float32] = reduce(join, (values[..., channel] for channel in range(values.shape[-1])))
    return result


def columns_of(values: NDArray[Any], first: int, stop: int, *, wrap: bool) -> NDArray[Any]:
    """Return columns [first, stop) of rows (H, W, C), of which some may lie beyond them.

    Edge columns are replicated there, or the left side continues the right one.
    """
    width = values.shape[1]
    if first >= 0 and stop <= width:
        return values[:, first:stop]

    def beyond(at: NDArray[np.intp]) -> NDArray[Any]:
        found: NDArray[Any] = taken(values, at % width if wrap else np.clip(at, 0, width - 1), 1)
        return found

    sides = beyond(np.arange(first, 0)), values[:, max(first, 0) : stop], beyond(np.arange(width, stop))
    result: NDArray[Any] = namespace(values).concatenate(sides, 1)
    return result


def picked(values: NDArray[Any], at: NDArray[np.intp]) -> NDArray[Any]:
    """Return pixels (n, C) of (H, W, C) by their numbers, counted along rows."""
    pixels: NDArray[Any] = taken(values.reshape(-1, values.shape[-1]), at, 0)
    return pixels


def put_picked(values: NDArray[Any], at: NDArray[np.intp], pixels: NDArray[Any]) -> None:
    """Replace pixels of (H, W, C) by others (n, C) of its type, in place.

    Raises:
        ValueError: pixels are of another type, or values are not contiguous (of a tensor `RuntimeError`).
    """
    if namespace(values) is not np:
        tensor: Any = values
        tensor.view(-1, values.shape[-1])[at] = pixels
        return
    if not values.flags.c_contiguous or pixels.dtype != values.dtype:
        raise ValueError("pixels of another type, or an array that is not contiguous")
    whole = np.dtype((np.void, values.itemsize * values.shape[-1]))
    values.reshape(-1).view(whole)[at] = np.ascontiguousarray(pixels).reshape(-1).view(whole)
