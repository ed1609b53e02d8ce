"""Bicubic resampling as the metric's reference has it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def resized(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Return pictures (..., H, W) at another size: cubic convolution, widened where it shrinks, borders mirrored.

    Keys, "Cubic convolution interpolation for digital image processing", IEEE Trans. ASSP 29(6), 1981, a = -1/2.
    """
    for axis, length in ((-2, size[0]), (-1, size[1])):
        if x.shape[axis] != length:
            weights = torch.from_numpy(_weights(x.shape[axis], length)).to(x)
            x = weights @ x if axis == -2 else x @ weights.T
    return x


@lru_cache(maxsize=64)
def _weights(before: int, after: int) -> NDArray[np.float32]:
    """Return the weights (after, before) of one axis."""
    scale = min(after / before, 1.0)
    centers = (np.arange(after) + 0.5) * before / after - 0.5
    reach = int(np.ceil(2 / scale)) + 1
    taps = np.floor(centers)[:, None].astype(int) + np.arange(-reach, reach + 1)
    weights = _cubic((centers[:, None] - taps) * scale)
    weights /= weights.sum(1, keepdims=True)
    mirrored = np.concatenate((np.arange(before), np.arange(before)[::-1]))[taps % (2 * before)]
    found = np.zeros((after, before))
    np.add.at(found, (np.arange(after)[:, None], mirrored), weights)
    return found.astype(np.float32)


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    x = np.abs(x)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0))
