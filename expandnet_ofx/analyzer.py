"""From the survey of a plate to its analysis: what the network and the merge must know of the whole."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx import grade
from expandnet_ofx.analysis import Analysis, Triple
from expandnet_ofx.architecture import GLOBAL_SIZE
from expandnet_ofx.asking import Asking
from expandnet_ofx.dependence import of_analyses
from expandnet_ofx.engine import Engine
from expandnet_ofx.errors import AlreadyHDRError
from expandnet_ofx.lamps import BroadAreas, broad_areas
from expandnet_ofx.pixels import brightest_channel
from expandnet_ofx.plates import Plate
from expandnet_ofx.reduced_light import ReducedLight, normalize, reduced_matte
from expandnet_ofx.rise import Rise, rise
from expandnet_ofx.settings import Settings
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
        white = grade.white_share(seen.histograms, seen.levels, clips, self._settings.threshold)
        scene = 1.0 - float(grade.smoothstep(*grade.PAGE, np.array(white, np.float32)))
        anchor, samples, maps = self._found(seen, plate, features, clips, low, high)
        return Analysis(
            width=seen.width,
            height=seen.height,
            window=plate.window,
            latlong=self._settings.latlong,
            features=tuple(map(float, features)),
            low=low,
            high=high,
            clip_levels=clips,
            anchor=anchor,
            anchor_samples=samples,
            scene=scene,
            output_range=None,
            **maps,
            nan=seen.nan,
            infinite=seen.infinite,
            negative=seen.negative,
            settings=of_analyses(self._settings, self._engine.weights),
        )

    def _found(
        self, seen: Survey, plate: Plate, features: Array, clips: Triple, low: Triple, high: Triple
    ) -> tuple[float, int, dict[str, Any]]:
        """Return the anchor in stops, how many samples tell it, and the maps of the analysis by their names."""
        with Asking(self._engine, self._workers, features, wrap=self._settings.latlong) as asking:
            light = ReducedLight(
                asking,
                seen,
                self._settings,
                absolute=self._contract.absolute,
                clips=clips,
                low=low,
                high=high,
                reduction=(plate.window[2] - plate.window[0]) / seen.working.shape[1],
            )
            # The first waits for the network, the others pass beside it.
            makers: dict[str, Callable[[], Any]] = {
                "recovered": light.finish,
                "rise": partial(self._rise, seen, plate, clips),
                "broad": partial(self._broad, seen, low, high),
                "surround": partial(self._surround, seen, plate, clips),
                "measured": partial(self._measured, seen, plate, clips),
            }
            maps = dict(zip(makers, self._workers.beside(makers.values()), strict=True))
        anchor, samples, maps["recovered"] = maps["recovered"]
        return anchor, samples, maps

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

    def _broad(self, seen: Survey, low: Triple, high: Triple) -> BroadAreas | None:
        """Find the clipped areas that are no suns and lamps, if those are to be lifted by hand."""
        if not self._settings.sun_stops or self._settings.merge == "full":
            return None
        matte = reduced_matte(normalize(seen.working, low, high), low, high, self._settings)
        return broad_areas(matte, wrap=self._settings.latlong)

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
