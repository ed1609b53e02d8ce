"""Tiled prediction: rows with a halo in, cross-faded light out; a tile that does not fit is split, never the frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx import tiles
from expandnet_ofx.analysis import Analysis
from expandnet_ofx.architecture import RADIUS
from expandnet_ofx.engine import Engine
from expandnet_ofx.errors import OutOfMemoryError
from expandnet_ofx.plates import Plate, RowWindow, take_color
from expandnet_ofx.settings import Settings
from expandnet_ofx.statistics import RenderStatistics

Array = NDArray[np.float32]
Region = tuple[int, int, int, int]

SMALLEST_SPLIT = 32
"""Edge in pixels below which a tile is not split again: the device has no room for anything useful."""


def extended_rows(
    plate: Plate, layout: tiles.Plan, region: Region, *, latlong: bool, margin: int
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Read the rows of each row of tiles with `margin` rows more at both ends.

    Beyond the plate, edge rows are replicated; a panorama continues over the pole, where row -1 - k is row k turned by
    half the width.

    Yields:
        (index of the row of tiles, codes (rows + 2 margin, W, C)).
    """
    window = RowWindow(plate)
    for index, span in enumerate(layout.rows):
        start, stop = region[1] + span.start - margin, region[1] + span.stop + margin
        first, last = max(start, 0), min(stop, plate.height)
        if latlong:
            # Rows mirrored over a pole must be among those read.
            first, last = min(first, plate.height - margin), max(last, min(margin, plate.height))
        codes = window.rows(max(first, 0), last)
        if start < 0 or stop > plate.height or first < start:
            wanted = np.arange(start, stop)
            if latlong:
                codes = _over_poles(codes, wanted, max(first, 0), plate.height)
            else:
                codes = codes[np.clip(wanted, 0, plate.height - 1) - first]
        yield index, codes


def _over_poles(codes: NDArray[Any], wanted: NDArray[np.int64], first: int, height: int) -> NDArray[Any]:
    mirrored = np.where(wanted < 0, -1 - wanted, np.where(wanted >= height, 2 * height - 1 - wanted, wanted))
    rows = codes[np.clip(mirrored, 0, height - 1) - first]
    beyond = (wanted < 0) | (wanted >= height)
    rows[beyond] = np.roll(rows[beyond], codes.shape[1] // 2, axis=1)
    return rows


class TilePredictor:
    """Predicts one plate, row of tiles by row of tiles."""

    def __init__(
        self, engine: Engine, plate: Plate, analysis: Analysis, settings: Settings, statistics: RenderStatistics
    ) -> None:
        self._engine = engine
        self._plate = plate
        self._settings = settings
        self._statistics = statistics
        self._features = np.array(analysis.features, np.float32)
        self._low = np.array(analysis.low, np.float32)
        self._range = np.array(analysis.high, np.float32) - self._low

    def bands(
        self, rows: Iterable[tuple[int, NDArray[Any]]], layout: tiles.Plan, region: Region
    ) -> Iterator[tuple[int, NDArray[Any], Array]]:
        """Yield (first row in the plate, codes with halo rows, predicted light (n, W, 3)) for each finished band."""
        carry: Array | None = None
        for index, codes in rows:
            span = layout.rows[index]
            light = self._row_of_tiles(codes, layout, region, span)
            if carry is not None and len(carry):
                head = light[: len(carry)]
                tiles.cross_fade(carry, head, axis=0)
            last = index + 1 == len(layout.rows)
            done = len(span) if last else layout.rows[index + 1].start - span.start
            carry = None if last else light[done : done + layout.feather].copy()
            yield region[1] + span.start, codes[: done + 2 * RADIUS], light[:done]

    def _row_of_tiles(self, codes: NDArray[Any], layout: tiles.Plan, region: Region, rows: tiles.Span) -> Array:
        light = np.empty((len(rows), region[2] - region[0], 3), np.float32)
        y = region[1] + rows.start
        for index, span in enumerate(layout.columns):
            x = region[0] + span.start
            new = self._expand(self._read_tile(codes, x, x + len(span), y))
            if index and layout.feather:
                fade = slice(span.start, span.start + layout.feather)
                tiles.cross_fade(light[:, fade], new[:, : layout.feather], axis=1)
            light[:, span.start : span.stop] = new
            self._statistics.tiles += 1
        return light

    def _read_tile(self, codes: NDArray[Any], x0: int, x1: int, y: int) -> Array:
        """Return what the network sees of columns [x0, x1) and their halo, in [0, 1]."""
        width, height = self._plate.width, self._plate.height
        columns = np.arange(x0 - RADIUS, x1 + RADIUS)
        inside = columns[0] >= 0 and columns[-1] < width
        if inside:
            tile = codes[:, columns[0] : columns[-1] + 1]
        else:
            tile = codes[:, columns % width if self._settings.latlong else np.clip(columns, 0, width - 1)]
        seen = self._plate.encoding.encode_for_network(take_color(tile, self._plate))
        if self._low.any() or (self._range != 1).any():
            seen = np.clip((seen - self._low) / self._range, 0, 1)
        if self._settings.border == "zero":
            rows = np.arange(y - RADIUS, y - RADIUS + len(codes))
            seen[(rows < 0) | (rows >= height)] = 0
            seen[:, (columns < 0) | (columns >= width)] = 0
        return seen

    def _expand(self, tile: Array) -> Array:
        """Run one tile; where the device has no room, run its halves."""
        try:
            return self._engine.expand(tile, self._features)
        except OutOfMemoryError:
            height, width = tile.shape[0] - 2 * RADIUS, tile.shape[1] - 2 * RADIUS
            if max(height, width) < 2 * SMALLEST_SPLIT:
                raise
        self._statistics.splits += 1
        axis, length = (0, height) if height >= width else (1, width)
        half = length // 2
        first = tile[: half + 2 * RADIUS] if axis == 0 else tile[:, : half + 2 * RADIUS]
        second = tile[half:] if axis == 0 else tile[:, half:]
        return np.concatenate((self._expand(first), self._expand(second)), axis)
