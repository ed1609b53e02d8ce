"""Finished rows of a result: predicted light laid over the plate, band by band."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx import grade
from expandnet_ofx.analysis import Analysis
from expandnet_ofx.arrays import as_float, beside, cleaned, namespace, to_host
from expandnet_ofx.engine import Engine
from expandnet_ofx.matte import PlateMatte
from expandnet_ofx.pixels import columns_of
from expandnet_ofx.plates import Plate, needed, take_color
from expandnet_ofx.predict import Region
from expandnet_ofx.settings import Settings
from expandnet_ofx.statistics import RenderStatistics
from expandnet_ofx.tile_light import MARGIN
from expandnet_ofx.transfer import HALF_MAX, full_scale
from expandnet_ofx.workers import MOST_BESIDE, Workers

Array = NDArray[np.float32]

MERGE_PIXELS = 1 << 17
"""Pixels merged at a time: few enough for the processor's cache, many enough that calls cost little."""

MERGE_PIXELS_DEVICE = 1 << 21
"""The same on a device, which larger pieces suit: some 300 MB there while one is merged."""


@dataclass(frozen=True, kw_only=True)
class Band:
    """Finished rows of the result."""

    start: int
    """First row, counted in the plate."""
    codes: NDArray[Any]
    """The rows as read, all channels: (n, W, C)."""
    plate: Array
    """Display-linear plate in the output space: (n, W, 3)."""
    light: Array
    """Scene-linear result in the output space: (n, W, 3), at most 65504."""
    matte: Array
    """How much of the prediction each channel took: (n, W, 3) in [0, 1]."""

    def on_host(self) -> Band:
        """Return the band with all arrays in the processor's memory."""
        return replace(self, plate=to_host(self.plate), light=to_host(self.light), matte=to_host(self.matte))


class BandMerger:
    """Merges the bands of one render.

    Args:
        plate, analysis, settings, region: what is rendered.
        to_output: matrix (3, 3) from linear Rec.709 to the output space; None for Rec.709 itself.
        mask: plate of the same size whose first channel keeps areas out (1 = keep the plate).
        statistics: filled while bands pass.
        engine: the merge runs on its device.
        workers: pieces are merged side by side on the CPU.
    """

    def __init__(
        self,
        plate: Plate,
        analysis: Analysis,
        settings: Settings,
        *,
        region: Region,
        to_output: NDArray[np.float64] | None,
        mask: Plate | None,
        statistics: RenderStatistics,
        engine: Engine,
        workers: Workers,
    ) -> None:
        self._plate = plate
        self._analysis = analysis
        self._settings = settings
        self._region = region
        self._mask = mask
        self._statistics = statistics
        self._engine = engine
        self._workers = workers
        self._matte = PlateMatte(plate, analysis, settings)
        own = plate.encoding.to_rec709
        matrix = to_output if own is None else own if to_output is None else to_output @ own
        self._luma = grade.LUMA if own is None else grade.LUMA @ own
        self._matrix = None if matrix is None else matrix.T.astype(np.float32)

    def merge(self, y: int, codes: NDArray[Any], prediction: Array) -> Iterator[Band]:
        """Merge one band in pieces.

        Args:
            y: its first row in the plate.
            codes: rows as read, with `MARGIN` more at both ends than `prediction`.
            prediction: anchored light (n, columns of the region, 3).
        """
        x0, _, x1, _ = self._region
        width = x1 - x0
        prediction = self._engine.to_device(prediction)
        on_device = namespace(prediction) is not np
        step = max(16, (MERGE_PIXELS_DEVICE if on_device else MERGE_PIXELS) // width // 16 * 16)

        def calls() -> Iterator[Callable[[], Band]]:
            for first in range(0, len(prediction), step):
                piece = prediction[first : first + step]
                margin = MARGIN - grade.MATTE_RADIUS
                rows = codes[first + margin : first + margin + len(piece) + 2 * grade.MATTE_RADIUS]
                around = columns_of(rows, x0 - grade.MATTE_RADIUS, x1 + grade.MATTE_RADIUS, wrap=self._settings.latlong)
                # A file is read by one thread.
                keep = self._kept(y + first, len(piece))
                yield partial(self._piece, y + first, around, piece, keep)

        # Pieces of a very wide plate are large: as many pixels are in work as of others.
        most = 1 if on_device else max(1, MOST_BESIDE * MERGE_PIXELS // (step * width))
        yield from self._workers.beside(calls(), most=most)

    def _piece(self, y: int, codes: NDArray[Any], prediction: Array, keep: Array | None) -> Band:
        radius = grade.MATTE_RADIUS
        inner = codes[radius:-radius, radius:-radius]
        held = self._engine.to_device(needed(codes, self._plate))
        keep = None if keep is None else self._engine.to_device(keep)
        xp, color = namespace(held), take_color(held[radius:-radius, radius:-radius], self._plate)
        linear = self._plate.encoding.decode(color)
        if self._plate.color[0] == self._plate.color[1]:
            # A gray plate holds no color, so none is invented.
            prediction = xp.broadcast_to(xp.mean(prediction, 2, keepdims=True), prediction.shape)
        if self._settings.merge == "full":
            matte = xp.ones_like(linear) if keep is None else xp.broadcast_to(1 - keep, linear.shape)
            light = self._predicted(prediction)
            light = light if keep is None else xp.where(matte == 1, light, linear + matte * (light - linear))
        else:
            matte = self._matte.steady(held)
            matte = matte if keep is None else matte * (1 - keep)
            merging, clips = self._settings.merging, self._clips(color)
            light = grade.merge(linear, prediction, color, matte, merging, clips=clips, luma=self._luma)
        light, linear = self._output(light), self._output(linear)
        self._statistics.add(linear, light, matte)
        return Band(start=y, codes=inner, plate=linear, light=light, matte=matte)

    def _predicted(self, prediction: Array) -> Array:
        # What is stretched to its own range has no gain.
        light: Array = prediction if self._settings.relative else prediction * 2.0**self._settings.merging.stops
        if self._analysis.output_range is None:
            return light
        low, high = self._analysis.output_range
        stretched: Array = (light - float(low)) / max(float(high - low), 1e-12)
        return stretched

    def _clips(self, color: NDArray[Any]) -> Array:
        """Return the clip levels (3,) as codes of this type."""
        return np.array(self._analysis.clip_levels, np.float32) * np.float32(full_scale(color.dtype))

    def _kept(self, y: int, count: int) -> Array | None:
        """Return the mask's rows (count, columns, 1) in [0, 1], None without a mask."""
        if self._mask is None:
            return None
        codes = self._mask.rows(y, y + count)[:, self._region[0] : self._region[2], :1]
        return cleaned(as_float(codes) / np.float32(full_scale(codes.dtype)), 0, 1)

    def _output(self, light: Array) -> Array:
        light = light if self._matrix is None else _multiplied(light, beside(light, self._matrix))
        held: Array = namespace(light).clip(light, -HALF_MAX, HALF_MAX)
        return held


def _multiplied(light: Array, matrix: Array) -> Array:
    """Return light (n, W, 3) through a matrix (3, 3), to the same bits whatever else is multiplied with it."""
    flat = light.reshape(-1, 3)
    # A single row is multiplied by other means than several.
    several = namespace(flat).broadcast_to(flat, (2, 3)) if len(flat) == 1 else flat
    result: Array = (several @ matrix)[: len(flat)].reshape(light.shape)
    return result
