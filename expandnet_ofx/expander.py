"""The one path from a plate to light: `analyze` what is global, `render` everything else from a pixel's neighborhood."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx import tiles
from expandnet_ofx.analysis import Analysis
from expandnet_ofx.analyzer import Analyzer
from expandnet_ofx.bands import Band, BandMerger
from expandnet_ofx.color import describe_config, input_encoding, output_matrix
from expandnet_ofx.dependence import differing, of_analyses
from expandnet_ofx.engine import Engine, open_engine
from expandnet_ofx.errors import InputError, UsageError
from expandnet_ofx.linearized import Recoder, encoding_of, recoded, recoder
from expandnet_ofx.plates import ArrayPlate, Plate, prefetch
from expandnet_ofx.predict import Region, TilePredictor, extended_rows
from expandnet_ofx.predicted import Predicted
from expandnet_ofx.settings import Settings
from expandnet_ofx.statistics import RenderStatistics
from expandnet_ofx.survey import NARROW, Survey, survey
from expandnet_ofx.tile_light import MARGIN, TileLight
from expandnet_ofx.weights import Weights, load_weights
from expandnet_ofx.workers import Workers

Array = NDArray[np.float32]

BAND_BYTES = 56
"""Bytes per pixel of a row of tiles: codes of three rows, the light of two, and what puts them together.

With codes of `NARROW` bytes; others travel with all their channels.
"""

FIXED_BYTES = 800 << 20
"""What libraries, network activations, the survey and the writer take beside the band."""


def band_bytes(pixel_bytes: int) -> int:
    """Return the bytes that a pixel of the rows of tiles in work takes, of a plate whose pixels have so many."""
    return BAND_BYTES + 3 * max(0, pixel_bytes - NARROW)


def spaces_of(settings: Settings) -> tuple[Recoder | None, NDArray[np.float64] | None]:
    """Return what makes codes of a host's light, and the matrix (3, 3) from linear Rec.709 to the output space.

    None where there is nothing to do. A wrong name is the user's mistake, not the first plate's.

    Raises:
        UsageError: a config cannot be loaded, or a space is not known.
    """
    if settings.ocio is not None:
        describe_config(settings.ocio)
    if settings.input_space != "auto":
        input_encoding(settings.input_space, ocio=settings.ocio, force=settings.force)
    return recoder(settings), output_matrix(settings.output_space, ocio=settings.ocio)


def _whole_numbers(region: Region) -> Region:
    try:
        x0, y0, x1, y1 = (operator.index(side) for side in region)
    except (TypeError, ValueError):
        raise UsageError(f"region {region!r}: give four whole numbers, x0, y0, x1, y1") from None
    return x0, y0, x1, y1


class Expander:
    """Turns display-referred plates into scene-linear light.

    Call it with an array for the whole job, or use `analyze`, then `render` or `bands`, to keep what is global apart
    from what is local: an analysis can be saved, smoothed over a shot, or used for a region alone.

    Args:
        settings: what the picture should be.
        weights: a safetensors file or loaded weights; None for those that ship with the package.
        engine: `torch`, `openvino`, or an engine object (then `weights`, `device` and `precision` are its own).
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        precision: `fp32`, `mixed` or `half`.
        threads: processors to use; 0 for all that this process may use.

    Raises:
        UsageError, DeviceError, MissingExtraError, WeightsError: see `open_engine` and `load_weights`.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        weights: Path | str | Weights | None = None,
        engine: str | Engine = "torch",
        device: str = "auto",
        precision: str = "fp32",
        threads: int = 0,
    ) -> None:
        self.settings = settings or Settings()
        if isinstance(engine, str):
            loaded = weights if isinstance(weights, Weights) else load_weights(weights)
            engine = open_engine(loaded, engine=engine, device=device, precision=precision, threads=threads)
        self.engine = engine
        self._workers = Workers(engine)
        self._analyzer = Analyzer(engine, self._workers, self.settings)
        self.contract = engine.weights.contract
        if self.settings.relative and self.contract.absolute:
            raise UsageError("relative output: these weights predict absolute light; import and pass the authors' file")
        self.analyses_depend_on = of_analyses(self.settings, engine.weights)
        self._recode, self._to_output = spaces_of(self.settings)

    def __call__(self, plate: NDArray[Any] | Plate) -> Array:
        """Expand a plate: `render(plate, analyze(plate))`.

        Args:
            plate: (H, W), (H, W, 1 to 4, the last of 2 and 4 alpha); uint8, uint16 or float codes (1.0 = display
                white), encoded in `settings.input_space`; see `ArrayPlate`.

        Returns:
            (H, W, 3) float32, scene-linear in `settings.output_space`, where 1.0 is the plate's display white.

        Raises:
            InputError: the plate is not a picture.
            AlreadyHDRError: more than 1 percent of its pixels lie above 1.1 (`settings.force` overrides).
        """
        plate = self._plate(plate)
        return self.render(plate, self.analyze(plate))

    def survey(self, plate: NDArray[Any] | Plate) -> Survey:
        """Read the plate once and gather what the analysis needs; no network, so a thread may run ahead with it."""
        return survey(
            self._plate(plate),
            antialias=self.contract.antialias,
            white=self.settings.white,
            wrap=self.settings.latlong,
            engine=self.engine,
            # A device looks at one block after another; more would only take its memory.
            beside=self._workers.beside if self.engine.device == "cpu" else self._workers.in_turn,
        )

    def analyze(self, plate: NDArray[Any] | Plate, surveyed: Survey | None = None) -> Analysis:
        """Return everything global about a plate.

        Args:
            plate: as in `__call__`.
            surveyed: what `survey` returned for this plate, to save the pass over it.
        """
        plate = self._plate(plate)
        analysis = self._analyzer.analyze(plate, surveyed or self.survey(plate))
        return self._with_output_range(plate, analysis) if self.settings.relative else analysis

    def render(self, plate: NDArray[Any] | Plate, analysis: Analysis, *, region: Region | None = None) -> Array:
        """Render a plate, or one region of it, under an analysis of the whole.

        Args:
            plate: as in `__call__`.
            analysis: of this plate, or smoothed from those of its shot.
            region: x0, y0, x1, y1 in pixels, x1 and y1 excluded; None for all. Only rows near it are read.

        Returns:
            (rows, columns, 3) float32 of the region, scene-linear in the output space.
        """
        return np.concatenate([band.light for band in self.bands(plate, analysis, region=region)])

    def bands(
        self,
        plate: NDArray[Any] | Plate,
        analysis: Analysis,
        *,
        region: Region | None = None,
        mask: Plate | None = None,
        statistics: RenderStatistics | None = None,
        predicted: Predicted | None = None,
        on_device: bool = False,
    ) -> Iterator[Band]:
        """Render in bands of rows, top to bottom, so that memory does not grow with the plate's height.

        Args:
            plate, analysis, region: as in `render`.
            mask: plate of the same size whose first channel keeps areas out (1 = keep the plate).
            statistics: filled while bands pass.
            predicted: keeps what the network gives, or gives what it has kept.
            on_device: leave the arrays of bands where the engine runs, as tensors if that is no CPU.

        Raises:
            UsageError: the analysis is of another size, other weights or other settings, the region lies outside, or the
                mask's size differs.
        """
        plate = self._plate(plate)
        region = (0, 0, plate.width, plate.height) if region is None else _whole_numbers(region)
        self._check(plate, analysis, region, mask)
        statistics = statistics if statistics is not None else RenderStatistics()
        tile = TileLight(self.engine, self._workers, plate, analysis, self.settings, statistics)
        predictor = TilePredictor(self.engine, self._workers, plate, tile, statistics)
        merger = BandMerger(
            plate,
            analysis,
            self.settings,
            region=region,
            to_output=self._to_output,
            mask=mask,
            statistics=statistics,
            engine=self.engine,
            workers=self._workers,
        )
        layout = self.plan(region, plate.pixel_bytes)

        def produce() -> Iterator[tuple[int, NDArray[Any]]]:
            return extended_rows(plate, layout, region, latlong=self.settings.latlong)

        ahead = prefetch(produce, depth=1)
        try:
            if predicted is not None and predicted.complete:
                passing = predicted.replay(ahead, MARGIN)
            else:
                passing = predictor.bands(ahead, layout, region)
                if predicted is not None:
                    passing = predicted.keep(passing, (region[2] - region[0]) * (region[3] - region[1]))
            for y, codes, prediction in passing:
                for band in merger.merge(y, codes, prediction):
                    yield band if on_device else band.on_host()
        finally:
            ahead.close()

    def plan(self, region: Region, pixel_bytes: int = NARROW) -> tiles.Plan:
        """Return the tiles of a region; depends on its size, the bytes of the plate's pixels and the settings alone."""
        settings, each = self.settings, band_bytes(pixel_bytes)
        band_pixels = max((1 << 20) * BAND_BYTES // each, (settings.memory - FIXED_BYTES) // each)
        width, height = region[2] - region[0], region[3] - region[1]
        return tiles.plan(
            width, height, tile=settings.tile or self.engine.tile, feather=settings.feather, band_pixels=band_pixels
        )

    def _plate(self, plate: NDArray[Any] | Plate) -> Plate:
        if not isinstance(plate, np.ndarray):
            if not (hasattr(plate, "rows") and hasattr(plate, "window")):
                raise InputError(f"{type(plate).__name__}: not a plate; pass a numpy array (H, W, C), or a Plate")
            return plate
        plate = ArrayPlate(plate, encoding_of(self.settings))
        if self._recode is not None:
            plate.array = recoded(plate.array, plate.color, self._recode)
        return plate

    def _check(self, plate: Plate, analysis: Analysis, region: Region, mask: Plate | None) -> None:
        size = (plate.width, plate.height)
        if (analysis.width, analysis.height) != size:
            raise UsageError(f"analysis is of {analysis.width}x{analysis.height}, the plate is {size[0]}x{size[1]}")
        if analysis.window != plate.window:
            raise UsageError(
                f"analysis is of pixels {analysis.window}, the plate shows {plate.window}; analyze the plate again"
            )
        if changed := differing(analysis.settings, self.analyses_depend_on):
            raise UsageError(f"analysis was made with another {changed}; analyze the plate again")
        x0, y0, x1, y1 = region
        if not (0 <= x0 < x1 <= size[0] and 0 <= y0 < y1 <= size[1]):
            raise UsageError(f"region {region} does not lie inside the plate of {size[0]}x{size[1]}")
        if mask is not None and (mask.width, mask.height) != size:
            raise UsageError(f"mask is {mask.width}x{mask.height}, the plate is {size[0]}x{size[1]}; use one size")
        if self.settings.latlong and size[0] != 2 * size[1]:
            raise UsageError(f"--latlong needs a full 2:1 panorama, the plate is {size[0]}x{size[1]}")

    def _with_output_range(self, plate: Plate, analysis: Analysis) -> Analysis:
        """Return the analysis with the extremes of the whole prediction, which relative output is stretched to."""
        extremes = [(float(band.light.min()), float(band.light.max())) for band in self.bands(plate, analysis)]
        lowest, highest = min(low for low, _ in extremes), max(high for _, high in extremes)
        return replace(analysis, output_range=(lowest, highest))

    def to_rec709(self, light: Array) -> Array:
        """Return light of the output space in linear Rec.709, for display: (..., 3) float32."""
        if self._to_output is None:
            return light
        return np.asarray(light @ np.linalg.inv(self._to_output).T, np.float32)
