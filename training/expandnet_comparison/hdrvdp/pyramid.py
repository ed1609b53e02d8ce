"""The steerable pyramid: a picture as bands of frequency and orientation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from expandnet_comparison.hdrvdp import taps


def height(rows: int, columns: int) -> int:
    """Return how many oriented levels a picture has: as long as the widest filter fits."""
    levels = 0
    while min(rows, columns) >= len(taps.LOW):
        levels, rows, columns = levels + 1, rows // 2, columns // 2
    return levels


def steerable_pyramid(picture: Tensor) -> list[Tensor]:
    """Return the bands of a picture (H, W): the high-pass (1, H, W), levels (4, H / 2^n, W / 2^n), the low-pass (1, ...).

    Simoncelli and Freeman, "The steerable pyramid: a flexible architecture for multi-scale derivative computation", ICIP
    1995. Borders reflect about the outermost pixel.
    """
    levels = height(*picture.shape)
    bands = [_filtered(picture, taps.HIGH)]
    low = _filtered(picture, taps.LOW_FIRST)[0]
    for _ in range(levels):
        bands.append(_filtered(low, taps.ORIENTED))
        low = _filtered(low, taps.LOW, stride=2)[0]
    return [*bands, low[None]]


def _filtered(picture: Tensor, kernels: taps.Taps, *, stride: int = 1) -> Tensor:
    """Return the correlation of a picture (H, W) with kernels (K, K) or (N, K, K): (N, H, W)."""
    weight = torch.as_tensor(kernels.copy(), dtype=picture.dtype, device=picture.device)
    weight = weight.reshape(-1, 1, *weight.shape[-2:])
    padded = functional.pad(picture[None, None], (weight.shape[-1] // 2,) * 4, mode="reflect")
    return functional.conv2d(padded, weight, stride=stride)[0]
