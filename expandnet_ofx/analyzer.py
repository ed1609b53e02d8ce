"""From the survey of a plate to its analysis: what the network and the merge must know of the whole."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx import grade
from expandnet_ofx.analysis import Analysis, Triple
from expandnet_ofx.architecture import GLOBAL_SIZE, RADIUS
from expandnet_ofx.boxes import cover, cut, grown
from expandnet_ofx.engine import Engine, box_margin, expand_splitting
from expandnet_ofx.errors import AlreadyHDRError
from expandnet_ofx.lamps import BroadAreas, broad_areas
from expandnet_ofx.pixels import any_channel, brightest_channel
from expandnet_ofx.plates import Plate
from expandnet_ofx.recovered import Mask, RecoveredLight, recover
from expandnet_ofx.rise import Rise, rise
from expandnet_ofx.settings import Settings, chosen_boldness
from expandnet_ofx.surround import SurroundColor, surround_color
from expandnet_ofx.survey import WHITE_EXCESS, Survey
from expandnet_ofx.swing import MeasuredLight, measured_light
from expandnet_ofx.transfer import srgb_decode
from expandnet_ofx.workers import Workers

Array = NDArray[np.float32]

NOT_HDR_SHARE = 0.01
"""Share of pixels above 1.1 from which a plate is taken for HDR already."""


class Analyzer:
    """Makes analyses with one engine under one set of settings."""

    def __init__(self, engine: Engine, workers: Workers, settings: Settings) -> None:
        self._engine = engine
        self._workers = workers
        self._settings = settings
        self._contract = engine.weights.contract

    def analyze(self, plate: Plate, seen: Survey) -> Analysis:
        """Return the analysis of a surveyed plate; raise `AlreadyHDRError` if it holds light above white.

        Its output range is still open: that needs a render.
        """
        if seen.above_white > NOT_HDR_SHARE and not self._settings.force:
            raise AlreadyHDRError(
                f"{100 * seen.above_white:.1f} percent of the pixels lie above {WHITE_EXCESS}: "
                "already HDR; check --input-space, or pass --force"
            )
        clips = self._clip_levels(seen)
        low, high = self._stretch(seen, plate, clips)
        proxy = normalize(seen.proxy, low, high)
        features = self._workers.submit(self._engine.global_features, proxy).result()
        features = self._engine.weights.condition(features, self._settings.boldness, proxy)
        anchor, samples = (0.0, 0) if self._settings.relative else self._anchor(seen, proxy, features, clips, high)
        white = grade.white_share(seen.histograms, seen.levels, clips)
        scene = 1.0 - float(grade.smoothstep(*grade.PAGE, np.array(white, np.float32)))
        # The first runs the network, the others pass beside it.
        makers: dict[str, Callable[[], Any]] = {
            "recovered": partial(self._recover, seen, plate, features, low, high, anchor),
            "rise": partial(self._rise, seen, plate, clips),
            "broad": partial(self._broad, seen, low, high),
            "surround": partial(self._surround, seen, plate, clips),
            "measured": partial(self._measured, seen, plate, clips),
        }
        made = self._workers.beside(makers.values())
        return Analysis(
            width=seen.width,
            height=seen.height,
            window=plate.window,
            latlong=self._settings.latlong,
            features=tuple(map(float, features)),
            boldness=chosen_boldness(self._contract, self._settings),
            low=low,
            high=high,
            clip_levels=clips,
            anchor=anchor,
            anchor_samples=samples,
            scene=scene,
            output_range=None,
            **dict(zip(makers, made, strict=True)),
            nan=seen.nan,
            infinite=seen.infinite,
            negative=seen.negative,
            weights=self._engine.weights.sha256,
        )

    def _clip_levels(self, seen: Survey) -> Triple:
        if self._settings.white is not None:
            white = self._settings.white
            return white, white, white
        return grade.clip_levels(seen.histograms, seen.levels)

    def _stretch(self, seen: Survey, plate: Plate, clips: Triple) -> tuple[Triple, Triple]:
        if self._contract.input_stretch:
            # The authors' mapping turns a constant plate into ones.
            low = seen.low if seen.high > seen.low else seen.high - 1.0
            return (low, low, low), (seen.high, seen.high, seen.high)
        white = plate.encoding.encode_for_network(np.array(clips, np.float32))
        red, green, blue = (float(value) for value in white)
        return (0.0, 0.0, 0.0), (red, green, blue)

    def _anchor(self, seen: Survey, proxy: Array, features: Array, clips: Triple, high: Triple) -> tuple[float, int]:
        usable = seen.peak < np.float32(self._settings.threshold) * np.array(clips, np.float32)
        white = np.maximum(srgb_decode(np.array(high, np.float32)), np.float32(2**-16)).astype(np.float32)
        plate = srgb_decode(seen.proxy).astype(np.float32) / white
        chosen = grade.anchor_samples(plate, usable, absolute=self._contract.absolute)
        predicted = self._predict(proxy, features, any_channel(chosen))
        stops, samples = grade.anchor_stops(plate, predicted, chosen, absolute=self._contract.absolute)
        return stops + float(np.log2(white).mean()), samples

    def _recover(
        self, seen: Survey, plate: Plate, features: Array, low: Triple, high: Triple, anchor: float
    ) -> RecoveredLight | None:
        """Find the light of wide clipped areas on the reduced plate."""
        if self._settings.merge == "full":
            return None

        def matte_of(reduced: Array) -> Array:
            return self._matte_of(reduced, low, high)

        base, top = np.array(low, np.float32), np.array(high, np.float32)

        def predict(reduced: Array, asked: Mask) -> Array:
            own = srgb_decode(base + reduced * (top - base)) * np.float32(2.0**-anchor)
            return np.where(asked[:, :, None], self._predict(reduced, features, asked), own)

        reduced = normalize(seen.working, low, high)
        width = reduced.shape[1]
        # A panorama goes on beyond its sides; whole pixels of the coarsest level, so that the pyramid turns with it.
        more = max(32, width // 4 // 32 * 32) if self._settings.latlong else 0
        reduced = np.pad(reduced, ((0, 0), (more, more), (0, 0)), mode="wrap")
        found = recover(reduced, matte_of, predict, reduction=(plate.window[2] - plate.window[0]) / width)
        return None if found is None else RecoveredLight(found.values[:, more : more + width])

    def _matte_of(self, reduced: Array, low: Triple, high: Triple) -> Array:
        """Return the pointwise matte of a reduced plate as the network sees it."""
        white = normalize(np.array(high, np.float32), low, high)
        return grade.pointwise_matte(reduced, white, self._settings.merging)

    def _broad(self, seen: Survey, low: Triple, high: Triple) -> BroadAreas | None:
        """Find the clipped areas that are no suns and lamps, if those are to be lifted by hand."""
        if not self._settings.sun_stops or self._settings.merge == "full":
            return None
        return broad_areas(self._matte_of(normalize(seen.working, low, high), low, high), wrap=self._settings.latlong)

    def _clips(self, seen: Survey, clips: Triple) -> bool:
        """Tell whether any code reaches the matte; `merge full` has no use for what surrounds it."""
        first = [int(self._settings.threshold * clip * seen.levels) for clip in clips]
        clipped = any(counts[bin_:].any() for counts, bin_ in zip(seen.histograms, first, strict=True))
        return clipped and self._settings.merge != "full"

    def _rise(self, seen: Survey, plate: Plate, clips: Triple) -> Rise | None:
        """Find how far light may have risen inside clipped areas."""
        if not self._clips(seen, clips):
            return None
        x0, y0, x1, y1 = plate.window
        encode, levels = plate.encoding.encode_for_network, np.array(clips, np.float32)
        # Over white whatever the weights' stretch: stops are stops of light.
        white = encode(levels)
        peak = np.where(np.isinf(seen.peak), seen.peak, encode(seen.peak) / white)
        return rise(
            np.minimum(seen.proxy / white, 1),
            peak.astype(np.float32),
            encode(np.float32(self._settings.threshold) * levels) / white,
            aspect=(y1 - y0) / (x1 - x0),
            shape=(seen.working.shape[0], seen.working.shape[1]),
            wrap=self._settings.latlong,
        )

    def _surround(self, seen: Survey, plate: Plate, clips: Triple) -> SurroundColor | None:
        """Find the color of light around clipped areas; a gray plate has none."""
        if plate.color[0] == plate.color[1] or not self._clips(seen, clips):
            return None
        sure, likely = np.split(seen.surround, 2, axis=2)
        if min(clips) < (self._settings.white or 1):
            # The plate clips below full scale, where the rest would be taken for measured light.
            likely = np.zeros_like(likely)
        return surround_color(sure + likely, wrap=self._settings.latlong)

    def _measured(self, seen: Survey, plate: Plate, clips: Triple) -> MeasuredLight | None:
        """Keep what the reduced plate measures, for the other frames of a shot."""
        if not self._clips(seen, clips):
            return None
        levels = np.array(clips, np.float32)
        white = srgb_decode(plate.encoding.encode_for_network(levels))
        starts = srgb_decode(plate.encoding.encode_for_network(np.float32(self._settings.threshold) * levels))
        height, width = seen.working.shape[:2]
        at = np.ix_(np.arange(height) * GLOBAL_SIZE // height, np.arange(width) * GLOBAL_SIZE // width)
        hidden = np.isinf(brightest_channel(seen.peak))[at]
        light = np.where(hidden[:, :, None], 0, np.minimum(srgb_decode(seen.working) / white, 1))
        return measured_light(
            light.astype(np.float32), np.asarray(starts / white, np.float32), wrap=self._settings.latlong
        )

    def _predict(self, seen: Array, features: Array, wanted: Mask) -> Array:
        """Run the network on a small picture (h, w, 3), border included, where it is wanted (h, w); the rest is anything."""
        sideways: Any = "wrap" if self._settings.latlong else "edge"
        padded = np.pad(seen, ((0, 0), (RADIUS, RADIUS), (0, 0)), mode=sideways)
        padded = np.pad(padded, ((RADIUS, RADIUS), (0, 0), (0, 0)), mode="edge")
        boxes = cut(cover(wanted, halo=box_margin(self._engine)), parts=self._workers.strips)
        parts = [padded[grown(box, 2 * RADIUS)] for box in boxes]
        light = self._workers.map(lambda part: expand_splitting(self._engine, part, features)[0], parts)
        result = np.zeros(seen.shape, np.float32)
        for box, part in zip(boxes, light, strict=True):
            result[box] = part
        return result


def normalize(seen: Array, low: Triple, high: Triple) -> Array:
    """Stretch what the network sees so that `low` becomes 0 and `high` 1, held to [0, 1]; per channel."""
    base, top = np.array(low, np.float32), np.array(high, np.float32)
    return np.asarray(np.clip((seen - base) / (top - base), 0, 1), np.float32)
