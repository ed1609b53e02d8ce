"""Reduce a plate while its rows stream past: the resize that networks are trained with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.architecture import GLOBAL_SIZE
from expandnet_ofx.arrays import beside, to_host, zeros

Array = NDArray[np.float32]


PIECE = 256
"""Pixels of a row that are multiplied at a time."""

CACHED = 4096
"""Longest axis whose matrix is kept: frames of a shot share it, and those of a very large plate would stay in memory."""


def reduction_matrix(length: int, *, antialias: bool, size: int = GLOBAL_SIZE, wrap: bool = False) -> Array:
    """Return the matrix (size, length) that resizes one axis bilinearly with pixel centers aligned at half-integers.

    With `antialias` the triangle filter widens with the reduction, as Pillow and PyTorch's
    `interpolate(mode="bilinear", antialias=True)` do; without, the two nearest pixels are mixed
    (`align_corners=False`). Rows sum to 1. With `wrap` the axis goes on at its other end, as a panorama does.
    """
    scale = length / size
    centers = (np.arange(size) + 0.5) * scale
    support = max(scale, 1.0) if antialias else 1.0
    if not antialias and not wrap:
        centers = np.clip(centers, 0.5, length - 0.5)
    positions = np.arange(length) + 0.5
    matrix = np.empty((size, length), np.float32)
    # Row by row: double precision for the whole matrix of a wide plate would take hundreds of megabytes.
    for row, center in zip(matrix, centers, strict=True):
        away = np.abs(positions - center)
        weights = np.maximum(0.0, 1.0 - (np.minimum(away, length - away) if wrap else away) / support)
        row[:] = weights / weights.sum()
    return matrix


@lru_cache(maxsize=6)
def _kept_matrix(length: int, *, antialias: bool, size: int) -> Array:
    matrix = reduction_matrix(length, antialias=antialias, size=size)
    matrix.flags.writeable = False
    return matrix


@dataclass(frozen=True, eq=False)
class _Piece:
    """What some pixels of an axis add to some of the reduced one: nearly all of a whole matrix is 0."""

    source: slice
    result: slice
    weights: Array
    """(pixels, reduced pixels)."""


def _pieces(length: int, *, antialias: bool, size: int, wrap: bool) -> tuple[_Piece, ...]:
    matrix = reduction_matrix(length, antialias=antialias, size=size, wrap=wrap)
    pieces = []
    for start in range(0, length, PIECE):
        source = slice(start, min(start + PIECE, length))
        at = _touched(matrix[:, source])
        pieces.append(_Piece(source, at, np.ascontiguousarray(matrix[at, source].T)))
    return tuple(pieces)


_kept_pieces = lru_cache(maxsize=6)(_pieces)


def _touched(matrix: Array) -> slice:
    rows = np.flatnonzero(matrix.any(1))
    return slice(int(rows[0]), int(rows[-1]) + 1) if len(rows) else slice(0, 0)


class Reduction:
    """Resizes a picture (height, width, channels) to (rows, columns, channels) while its rows come in any order.

    Args:
        antialias, wrap: see `reduction_matrix`; columns alone wrap.
    """

    def __init__(
        self,
        height: int,
        width: int,
        rows: int,
        columns: int,
        *,
        antialias: bool,
        channels: int = 3,
        wrap: bool = False,
    ) -> None:
        down = _kept_matrix if height <= CACHED else reduction_matrix
        self._down = down(height, antialias=antialias, size=rows)
        self._across = (_kept_pieces if width <= CACHED else _pieces)(
            width, antialias=antialias, size=columns, wrap=wrap
        )
        self.result = np.zeros((rows, columns, channels), np.float32)

    def part(self, y: int, seen: Array) -> tuple[slice, Array]:
        """Return which rows of the result rows (n, width, channels) from row `y` on have a part in, and that part."""
        columns = self._down[:, y : y + len(seen)]
        at = _touched(columns)
        rows = beside(seen, columns[at]) @ seen.reshape(len(seen), -1)
        # Channel by channel, so that a row's pixels lie side by side for the product.
        planes = rows.reshape(-1, *seen.shape[1:]).swapaxes(1, 2).reshape(-1, seen.shape[1])
        across = zeros(seen, (len(planes), self.result.shape[1]))
        for piece in self._across:
            across[:, piece.result] += planes[:, piece.source] @ beside(seen, piece.weights)
        return at, to_host(across).reshape(len(rows), seen.shape[2], across.shape[1]).transpose(0, 2, 1)

    def add(self, part: tuple[slice, Array]) -> None:
        """Add what `part` returned; each row of the picture once."""
        at, values = part
        self.result[at] += values
