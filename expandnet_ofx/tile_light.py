"""What one tile gives: the network where it has a say, maps of the analysis over it, and what measured channels tell."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.analysis import Analysis
from expandnet_ofx.architecture import RADIUS
from expandnet_ofx.arrays import as_float, beside, namespace, set_at, to_host, zeros
from expandnet_ofx.boxes import Box, bounds, cover, cut, grown
from expandnet_ofx.engine import Engine, box_margin, expand_splitting
from expandnet_ofx.grade import MATTE_RADIUS, steady_matte
from expandnet_ofx.lamps import lift_lamps
from expandnet_ofx.maps import sample
from expandnet_ofx.matte import PlateMatte
from expandnet_ofx.pixels import any_channel, columns_of, picked, put_picked
from expandnet_ofx.plates import Plate, hidden, take_color
from expandnet_ofx.recovered import FLOOR, SMOOTHING_RADIUS, heard, laid_over, smooth_log_light
from expandnet_ofx.rise import hold
from expandnet_ofx.settings import Settings
from expandnet_ofx.statistics import RenderStatistics
from expandnet_ofx.surround import MIXED, complete, mixtures, unlike
from expandnet_ofx.swing import put_back
from expandnet_ofx.workers import Workers

Array = NDArray[np.float32]

MARGIN = RADIUS + SMOOTHING_RADIUS
"""Halo of a tile in pixels: the network's receptive field, and the low-pass along what it recovers."""


class TileLight:
    """Computes the light of tiles of one plate; threads may share it."""

    def __init__(
        self,
        engine: Engine,
        workers: Workers,
        plate: Plate,
        analysis: Analysis,
        settings: Settings,
        statistics: RenderStatistics,
    ) -> None:
        self._engine = engine
        self._workers = workers
        self._plate = plate
        self._analysis = analysis
        self._settings = settings
        self._statistics = statistics
        self._matte = PlateMatte(plate, analysis, settings)
        self._features = np.array(analysis.features, np.float32)
        self._low = np.array(analysis.low, np.float32)
        self._range = np.array(analysis.high, np.float32) - self._low
        self._gain = float(2.0**analysis.anchor)
        maps = {name: getattr(analysis, name) for name in ("recovered", "rise", "surround", "broad", "swing")}
        self._maps = {name: engine.to_device(map_.values) for name, map_ in maps.items() if map_ is not None}

    def __call__(self, codes: NDArray[Any], x0: int, x1: int, y: int) -> Array:
        """Return the light of a tile (h, x1 - x0, 3), anchored to the plate; 0 where the merge keeps the plate.

        Args:
            codes: rows of the whole plate, (h + 2 * MARGIN, W, C), where the engine runs.
            x0, x1: columns of the tile in the plate.
            y: its first row in the plate.
        """
        tile = columns_of(codes, x0 - MARGIN, x1 + MARGIN, wrap=self._settings.latlong)
        if self._settings.merge == "full":
            trim = slice(SMOOTHING_RADIUS, -SMOOTHING_RADIUS)
            return self._expand(self._seen(tile, x0, y)[trim, trim]) * self._gain
        matte = self._matte.pointwise(tile[RADIUS:-RADIUS, RADIUS:-RADIUS])
        light = zeros(codes, (len(codes) - 2 * MARGIN, x1 - x0, 3))
        if matte is None:
            return light
        seen = self._seen(tile, x0, y)
        inner = slice(SMOOTHING_RADIUS, -SMOOTHING_RADIUS)
        box = bounds(to_host(any_channel(matte[inner, inner])))
        if box is not None:
            light[box] = self._finished(tile, seen, matte, box, (x0 + box[1].start, y + box[0].start))
        return light

    def _finished(
        self,
        codes: NDArray[Any],
        seen: Array,
        matte: Array,
        box: Box,
        corner: tuple[int, int],
    ) -> Array:
        """Return the light of a box of a tile.

        Args:
            codes, seen: of the tile, with `MARGIN` pixels more on all sides.
            matte: of the tile, with `SMOOTHING_RADIUS` more.
            box: rows and columns of the tile.
            corner: x and y of the box in the plate.
        """
        around, own = grown(box, 2 * SMOOTHING_RADIUS), matte[grown(box, 0, SMOOTHING_RADIUS)]
        maps = {name: self._sampled(values, own.shape, corner) for name, values in self._maps.items()}
        log_light = self._log_light(seen, self._wanted(matte, around, maps.get("recovered")))[around]
        log_light = smooth_log_light(log_light, matte[around])
        near, around = grown(box, 2 * MIXED, SMOOTHING_RADIUS - MIXED), grown(box, 2 * MIXED, MARGIN - MIXED)
        mixed, inner = mixtures(matte[near], seen[around]), grown(box, 0, MARGIN)
        # What follows looks at no pixel's neighbors, and most pixels of a box lie outside the matte.
        result, at = zeros(matte, own.shape), set_at(any_channel(own))
        told = {name: picked(values, at) for name, values in maps.items()}
        steady = steady_matte(matte[grown(box, 2 * MATTE_RADIUS, SMOOTHING_RADIUS - MATTE_RADIUS)])
        known = (log_light, codes[inner], seen[inner], steady, mixed)
        log_light, codes, seen, steady, mixed = (picked(values, at) for values in known)
        log_light = self._in_context(log_light, codes, seen, steady, mixed, told)
        own = picked(own, at)
        xp = namespace(log_light)
        put_picked(result, at, xp.where(own > 0, xp.exp2(log_light), 0.0))
        return result

    def _wanted(self, matte: Array, around: Box, wide: Array | None) -> NDArray[np.bool_]:
        """Return where the network is asked (H, W): in a part of the matte, where light of wide areas leaves it a say."""
        wanted = np.zeros(matte.shape[:2], np.bool_)
        part = any_channel(matte[around])
        wanted[around] = to_host(part if wide is None else part & heard(wide))
        return wanted

    def _log_light(self, seen: Array, wanted: NDArray[np.bool_]) -> Array:
        """Run the network where it is wanted (H, W); `seen` has `RADIUS` pixels more on all sides."""
        log_light = zeros(seen, (*wanted.shape, 3))
        boxes = cover(wanted, halo=box_margin(self._engine))
        if self._workers.short_of_work:
            boxes = cut(boxes, parts=self._workers.strips)
        made = self._workers.helped([partial(self._log_of, seen[grown(box, 2 * RADIUS)]) for box in boxes])
        for box, part in zip(boxes, made, strict=True):
            log_light[box] = part
        return log_light

    def _log_of(self, seen: Array) -> Array:
        xp, light = namespace(seen), self._expand(seen)
        result: Array = xp.log2(xp.clip(light, FLOOR, None))
        return result

    def _in_context(
        self,
        log_light: Array,
        codes: NDArray[Any],
        seen: Array,
        matte: Array,
        mixed: NDArray[np.bool_],
        told: Mapping[str, Array],
    ) -> Array:
        """Anchor light, lay that of wide areas over it, hold it to its rise, let measured channels tell of clipped ones.

        Args:
            log_light, codes, seen, mixed: of some pixels, (n, C).
            matte: as the merge takes it, same shape.
            told: what the maps say of them, by their names.
        """
        xp, plate = namespace(log_light), self._plate.encoding.decode(take_color(codes, self._plate))
        log_light = as_float(log_light + self._analysis.anchor)
        if "recovered" in told:
            log_light = laid_over(log_light, told["recovered"], self._analysis.anchor)
        log_plate = xp.log2(xp.clip(plate, FLOOR, None))
        if "rise" in told:
            log_light = hold(log_light, log_plate, told["rise"])
        if "surround" in told:
            # After the hold: what another channel measures is known, however slowly the clipped one seemed to rise.
            some = set_at(unlike(matte))
            known = (log_light, plate, seen, matte, told["surround"], mixed)
            put_picked(log_light, some, complete(*(picked(values, some) for values in known)))
        if "swing" in told and "recovered" in told:
            log_light = put_back(log_light, log_plate, told["swing"], told["recovered"][:, 3:])
        if "broad" in told:
            log_light = lift_lamps(log_light, matte, told["broad"], float(self._settings.sun_stops))
        return log_light

    def _sampled(self, values: Array, shape: tuple[int, ...], corner: tuple[int, int]) -> Array:
        (x, y), (height, width) = corner, shape[:2]
        window, wrap = self._plate.window, self._settings.latlong
        return sample(values, window, (y, y + height), (x, x + width), wrap=wrap)

    def _seen(self, tile: NDArray[Any], x0: int, y: int) -> Array:
        """Return what the network sees of a tile read with its margin, in [0, 1]."""
        seen = self._plate.encoding.encode_for_network(take_color(tile, self._plate))
        if self._low.any() or (self._range != 1).any():
            seen = namespace(seen).clip((seen - beside(seen, self._low)) / beside(seen, self._range), 0, 1)
        unseen = hidden(tile, self._plate)
        if unseen is not None:
            # As to the survey.
            seen = namespace(seen).where(unseen[:, :, None], 0.0, seen)
        if self._settings.border == "zero":
            rows = np.arange(y - MARGIN, y - MARGIN + tile.shape[0])
            columns = np.arange(x0 - MARGIN, x0 - MARGIN + tile.shape[1])
            seen[beside(seen, (rows < 0) | (rows >= self._plate.height))] = 0
            seen[:, beside(seen, (columns < 0) | (columns >= self._plate.width))] = 0
        return seen

    def _expand(self, tile: Array) -> Array:
        light, splits = expand_splitting(self._engine, tile, self._features)
        self._statistics.add_splits(splits)
        return light
