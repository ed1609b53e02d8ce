"""Arrays in the processor's memory and on a device: what is written for both, and the way between them.

What is computed per pixel beside the network runs where the network runs. It is written in what numpy and PyTorch have in
common, once: `namespace` tells which of them an array belongs to. Types are stated as numpy's; a tensor behaves alike.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray


def namespace(array: Any) -> Any:
    """Return numpy, or torch for a tensor."""
    if type(array).__module__ != "torch":
        return np
    import torch

    return torch


def to_host(array: Any) -> NDArray[Any]:
    """Return an array in the processor's memory; numpy's as they are."""
    result: NDArray[Any] = np.asarray(array) if namespace(array) is np else array.cpu().numpy()
    return result


def beside(array: Any, values: NDArray[Any]) -> Any:
    """Return numpy values where `array` is."""
    xp = namespace(array)
    return values if xp is np else brought(xp.tensor(np.ascontiguousarray(values)), array.device)


def brought(tensor: Any, device: Any) -> Any:
    """Return a tensor of the processor's memory on a device (`torch.device`).

    From memory that is not pinned a copy waits for all that any thread has asked the device for before.
    """
    if device.type == "cuda":
        # Containers may limit how much can be pinned.
        with suppress(RuntimeError):
            tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def as_float(array: Any) -> NDArray[np.float32]:
    """Return float32 of any type; float32 as it is."""
    xp = namespace(array)
    result: NDArray[np.float32] = array.astype(np.float32, copy=False) if xp is np else array.to(xp.float32)
    return result


def cleaned(array: Any, low: float, high: float) -> NDArray[np.float32]:
    """Return float32 held to [low, high], with 0 for what is no number."""
    xp, held = namespace(array), as_float(array)
    held = xp.clip(held, low, high)
    result: NDArray[np.float32] = xp.where(xp.isnan(held), 0.0, held)
    return result


def count(mask: Any) -> int:
    """Return how many values of any shape are not 0."""
    return int(namespace(mask).count_nonzero(mask))


_GRAIN = 1 << 15
"""Numbers up to which PyTorch makes an operation in the thread that asks for it (`at::internal::GRAIN_SIZE`)."""


def to_half(array: Any) -> NDArray[np.float16]:
    """Return half floats, rounded to the nearest, ties to even; half floats as they are."""
    if namespace(array) is not np:
        return cast("NDArray[np.float16]", array.half())
    torch: Any = sys.modules.get("torch")
    if array.dtype == np.float16 or torch is None:
        # To load PyTorch for this alone would take longer than a hundred frames do.
        return cast("NDArray[np.float16]", array.astype(np.float16, copy=False))
    # Numpy and the image library round one number after another, which takes six times as long.
    result = np.empty(array.shape, np.float16)
    given = np.require(array, requirements=("C", "W"))
    source, halves = (torch.from_numpy(part.reshape(-1)) for part in (given, result))
    for first in range(0, len(source), _GRAIN):
        halves[first : first + _GRAIN] = source[first : first + _GRAIN]
    return result


def set_at(mask: Any) -> NDArray[np.intp]:
    """Return the numbers of what is set in a mask of any shape, counted along rows: (n,)."""
    if namespace(mask) is np:
        return np.flatnonzero(mask)
    result: NDArray[np.intp] = mask.reshape(-1).nonzero().squeeze(1)
    return result


def taken(array: Any, at: NDArray[np.integer[Any]], axis: int) -> Any:
    """Return parts of an array by their numbers (n,) along an axis; the numbers are numpy's or where the array is.

    In order of rows: numpy's indexing would lay columns out one after another, and every later pass would be slow.
    """
    xp = namespace(array)
    if xp is np:
        return np.take(array, at, axis=axis)
    return xp.index_select(array, axis, at if namespace(at) is xp else beside(array, at))


def zeros(like: Any, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return float32 zeros where `like` is."""
    xp = namespace(like)
    return np.zeros(shape, np.float32) if xp is np else xp.zeros(shape, dtype=xp.float32, device=like.device)


def empty(like: Any, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return room for float32 where `like` is."""
    xp = namespace(like)
    return np.empty(shape, np.float32) if xp is np else xp.empty(shape, dtype=xp.float32, device=like.device)


def copied(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a copy where the array is, in order of rows."""
    xp = namespace(array)
    copy: NDArray[np.float32] = array.copy() if xp is np else xp.clone(array, memory_format=xp.contiguous_format)
    return copy
