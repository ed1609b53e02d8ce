"""Tiled prediction: rows with a halo in, cross-faded light out; a tile that does not fit is split, never the frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx import tiles
from expandnet_ofx.arrays import copied, empty
from expandnet_ofx.engine import Engine
from expandnet_ofx.plates import Plate, RowWindow, needed
from expandnet_ofx.statistics import RenderStatistics
from expandnet_ofx.tile_light import MARGIN, TileLight
from expandnet_ofx.workers import Workers

Array = NDArray[np.float32]
Region = tuple[int, int, int, int]


def extended_rows(
    plate: Plate, layout: tiles.Plan, region: Region, *, latlong: bool
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Read the rows of each row of tiles with `MARGIN` rows more at both ends.

    Beyond the plate, edge rows are replicated; a panorama continues over the pole, where row -1 - k is row k turned by
    half the width.

    Yields:
        (index of the row of tiles, codes (rows + 2 * MARGIN, W, C)).
    """
    window = RowWindow(plate)
    for index, span in enumerate(layout.rows):
        wanted = np.arange(region[1] + span.start - MARGIN, region[1] + span.stop + MARGIN)
        beyond = (wanted < 0) | (wanted >= plate.height)
        mirrored = np.where(wanted < 0, -1 - wanted, np.where(beyond, 2 * plate.height - 1 - wanted, wanted))
        source = np.clip(mirrored if latlong else wanted, 0, plate.height - 1)
        first = int(source.min())
        codes = window.rows(first, int(source.max()) + 1)
        if beyond.any():
            codes = codes[source - first]
            if latlong:
                codes[beyond] = np.roll(codes[beyond], plate.width // 2, axis=1)
        yield index, codes


@dataclass(frozen=True)
class _Row:
    """A row of tiles in work."""

    index: int
    codes: NDArray[Any]
    parts: list[Future[Array]]


class TilePredictor:
    """Predicts the light of one plate, row of tiles by row of tiles.

    Args:
        engine, workers: what tiles run on.
        plate: the plate.
        tile: gives the light of one of its tiles.
        statistics: filled while bands pass.
    """

    def __init__(
        self,
        engine: Engine,
        workers: Workers,
        plate: Plate,
        tile: TileLight,
        statistics: RenderStatistics,
    ) -> None:
        self._engine = engine
        self._workers = workers
        self._plate = plate
        self._statistics = statistics
        self._tile = tile

    def bands(
        self, rows: Iterable[tuple[int, NDArray[Any]]], layout: tiles.Plan, region: Region
    ) -> Iterator[tuple[int, NDArray[Any], Array]]:
        """Yield (first row in the plate, codes with `MARGIN` rows more at both ends, light (n, W, 3)) per finished band.

        Light is anchored to the plate; where the merge keeps the plate it is not computed, and is 0. The next rows of
        tiles are already in work while one is put together, two tiles for each worker, so that none waits.
        """
        running: deque[_Row] = deque()
        carry: Array | None = None
        most = layout.rows_in_work(self._workers.count)
        try:
            for index, codes in rows:
                running.append(self._start(index, codes, layout, region))
                if len(running) >= most:
                    band, carry = self._finish(running[0], carry, layout, region)
                    running.popleft()
                    yield band
            while running:
                band, carry = self._finish(running[0], carry, layout, region)
                running.popleft()
                yield band
        finally:
            for row in running:
                for part in row.parts:
                    part.cancel()

    def _start(self, index: int, codes: NDArray[Any], layout: tiles.Plan, region: Region) -> _Row:
        y = region[1] + layout.rows[index].start
        held = self._engine.to_device(needed(codes, self._plate))
        parts = [
            self._workers.submit(self._tile, held, region[0] + span.start, region[0] + span.stop, y)
            for span in layout.columns
        ]
        return _Row(index, codes, parts)

    def _finish(
        self, row: _Row, carry: Array | None, layout: tiles.Plan, region: Region
    ) -> tuple[tuple[int, NDArray[Any], Array], Array | None]:
        span, feather = layout.rows[row.index], layout.feather
        row.parts.reverse()
        light: Array | None = None
        for number, columns in enumerate(layout.columns):
            new = row.parts.pop().result()
            light = empty(new, (len(span), region[2] - region[0], 3)) if light is None else light
            if number and feather:
                fade = slice(columns.start, columns.start + feather)
                tiles.cross_fade(light[:, fade], new[:, :feather], axis=1)
            light[:, columns.start : columns.stop] = new
            self._statistics.tiles += 1
        assert light is not None
        if carry is not None and len(carry):
            tiles.cross_fade(carry, light[: len(carry)], axis=0)
        last = row.index + 1 == len(layout.rows)
        done = len(span) if last else layout.rows[row.index + 1].start - span.start
        carry = None if last else copied(light[done : done + feather])
        return (region[1] + span.start, row.codes[: done + 2 * MARGIN], light[:done]), carry
