"""What a JPEG file does to a picture, in torch: color transform, subsampling, blockwise DCT and quantization."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

LUMA_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
"""ITU-T T.81, table K.1."""

CHROMA_TABLE = (
    (17, 18, 24, 47, 99, 99, 99, 99), (18, 21, 26, 66, 99, 99, 99, 99), (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99), *((99,) * 8,) * 4,
)  # fmt: skip
"""ITU-T T.81, table K.2."""

TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
"""ITU-T T.871, clause 7."""


def dct_matrix(size: int = 8) -> Tensor:
    """Return the orthonormal DCT-II matrix (size, size): ITU-T T.81, A.3.3."""
    k, n = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    matrix = torch.cos(math.pi * (2 * n + 1) * k / (2 * size)) * math.sqrt(2 / size)
    matrix[0] /= math.sqrt(2)
    return matrix


def tables(quality: Tensor) -> Tensor:
    """Return quantization tables (N, 3, 8, 8) of qualities (N,), 1 to 100, scaled as the Independent JPEG Group does."""
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)[:, None, None, None]
    base = torch.tensor((LUMA_TABLE, CHROMA_TABLE, CHROMA_TABLE), dtype=torch.float32, device=quality.device)
    return ((base[None] * scale + 50) / 100).floor().clamp(1, 255)


def jpeg(codes: Tensor, quality: Tensor) -> Tensor:
    """Return codes after a trip through a JPEG file with 4:2:0 subsampling.

    Args:
        codes: (N, 3, H, W) in [0, 1], whole 8-bit steps.
        quality: (N,) 1 to 100.

    Returns:
        (N, 3, H, W) in [0, 1], whole 8-bit steps.
    """
    height, width = codes.shape[2:]
    padded = functional.pad(codes, (0, -width % 16, 0, -height % 16), mode="replicate") * 255
    matrix = torch.tensor(TO_YCC, dtype=codes.dtype, device=codes.device)
    ycc = torch.einsum("ij,njhw->nihw", matrix, padded)
    table = tables(quality)
    luma = _quantized(ycc[:, :1] - 128, table[:, :1])
    chroma = _quantized(functional.avg_pool2d(ycc[:, 1:], 2), table[:, 1:])
    chroma = functional.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    back = torch.einsum("ij,njhw->nihw", torch.linalg.inv(matrix), torch.cat((luma + 128, chroma), 1))
    return back[:, :, :height, :width].round().clamp(0, 255) / 255


def _quantized(plane: Tensor, table: Tensor) -> Tensor:
    count, channels, height, width = plane.shape
    blocks = plane.reshape(count, channels, height // 8, 8, width // 8, 8).permute(0, 1, 2, 4, 3, 5)
    matrix = dct_matrix().to(plane)
    steps = table[:, :, None, None]
    coefficients = (matrix @ blocks @ matrix.T / steps).round() * steps
    blocks = matrix.T @ coefficients @ matrix
    return blocks.permute(0, 1, 2, 4, 3, 5).reshape(count, channels, height, width)
