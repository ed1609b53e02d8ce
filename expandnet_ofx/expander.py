"""The one path from a plate to light: `analyze` what is global, `render` everything else from a pixel's neighborhood."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx import grade, tiles
from expandnet_ofx.analysis import Analysis
from expandnet_ofx.architecture import RADIUS
from expandnet_ofx.color import describe_config, input_encoding, output_matrix
from expandnet_ofx.engine import Engine, open_engine
from expandnet_ofx.errors import AlreadyHDRError, UsageError
from expandnet_ofx.matte import PlateMatte
from expandnet_ofx.plates import ArrayPlate, Plate, prefetch, take_color
from expandnet_ofx.predict import MARGIN, Region, TilePredictor, expand_splitting, extended_rows
from expandnet_ofx.recovered import RecoveredLight, recover
from expandnet_ofx.settings import Settings
from expandnet_ofx.statistics import RenderStatistics
from expandnet_ofx.survey import WHITE_EXCESS, Survey, survey
from expandnet_ofx.transfer import HALF_MAX, full_scale, srgb_decode
from expandnet_ofx.weights import Weights, load_weights
from expandnet_ofx.workers import Workers

Array = NDArray[np.float32]

BAND_BYTES = 56
"""Bytes per pixel of a row of tiles: codes of three rows, the light of two, and what puts them together."""

FIXED_BYTES = 600 << 20
"""What libraries, network activations, the survey and the writer take beside the band."""

MERGE_PIXELS = 1 << 19
"""Pixels merged at a time, a compromise between call overhead and cache."""

NOT_HDR_SHARE = 0.01
"""Share of pixels above 1.1 from which a plate is taken for HDR already."""


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
        self.contract = engine.weights.contract
        if self.settings.relative and self.contract.absolute:
            raise UsageError("relative output: these weights predict absolute light; import and pass the authors' file")
        if self.settings.ocio is not None:
            describe_config(self.settings.ocio)
        if self.settings.input_space != "auto":
            # A wrong name is the user's mistake, not the first plate's.
            input_encoding(self.settings.input_space, ocio=self.settings.ocio, force=self.settings.force)
        self._to_output = output_matrix(self.settings.output_space, ocio=self.settings.ocio)

    def __call__(self, plate: NDArray[Any] | Plate) -> Array:
        """Expand a plate: `render(plate, analyze(plate))`.

        Args:
            plate: (H, W), (H, W, 1 or 3 or 4); uint8, uint16 or float codes (1.0 = display white), encoded in
                `settings.input_space`; see `ArrayPlate`.

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
        return survey(self._plate(plate), antialias=self.contract.antialias)

    def analyze(self, plate: NDArray[Any] | Plate, surveyed: Survey | None = None) -> Analysis:
        """Return everything global about a plate.

        Args:
            plate: as in `__call__`.
            surveyed: what `survey` returned for this plate, to save the pass over it.
        """
        plate = self._plate(plate)
        seen = surveyed or self.survey(plate)
        if seen.above_white > NOT_HDR_SHARE and not self.settings.force:
            raise AlreadyHDRError(
                f"{100 * seen.above_white:.1f} percent of the pixels lie above {WHITE_EXCESS}: "
                "already HDR; check --input-space, or pass --force"
            )
        clips = self._clip_levels(seen)
        low, high = self._stretch(seen, plate, clips)
        proxy = _normalize(seen.proxy, low, high)
        features = self._workers.submit(self.engine.global_features, proxy).result()
        anchor, samples = (0.0, 0) if self.settings.relative else self._anchor(seen, proxy, features, clips, high)
        white = grade.white_share(seen.histograms, seen.levels, clips)
        scene = 1.0 - float(grade.smoothstep(*grade.PAGE, np.array(white, np.float32)))
        analysis = Analysis(
            width=seen.width,
            height=seen.height,
            features=tuple(map(float, features)),
            low=low,
            high=high,
            clip_levels=clips,
            anchor=anchor,
            anchor_samples=samples,
            scene=scene,
            output_range=(0.0, 1.0) if self.settings.relative else None,
            recovered=self._recover(seen, plate, features, low, high),
            nan=seen.nan,
            infinite=seen.infinite,
            negative=seen.negative,
            weights=self.engine.weights.sha256,
        )
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
    ) -> Iterator[Band]:
        """Render in bands of rows, top to bottom, so that memory does not grow with the plate's height.

        Args:
            plate, analysis, region: as in `render`.
            mask: plate of the same size whose first channel keeps areas out (1 = keep the plate).
            statistics: filled while bands pass.

        Raises:
            UsageError: the analysis is of another size or other weights, the region lies outside, or the mask's size
                differs.
        """
        plate = self._plate(plate)
        region = region or (0, 0, plate.width, plate.height)
        self._check(plate, analysis, region, mask)
        statistics = statistics if statistics is not None else RenderStatistics()
        predictor = TilePredictor(self.engine, self._workers, plate, analysis, self.settings, statistics)
        layout = self.plan(region)

        def produce() -> Iterator[tuple[int, NDArray[Any]]]:
            return extended_rows(plate, layout, region, latlong=self.settings.latlong)

        ahead = prefetch(produce, depth=1)
        try:
            for y, codes, prediction in predictor.bands(ahead, layout, region):
                yield from self._merged(plate, analysis, region, mask, statistics, y, codes, prediction)
        finally:
            ahead.close()

    def plan(self, region: Region) -> tiles.Plan:
        """Return the tiles of a region; depends on its size and the settings alone."""
        settings = self.settings
        band_pixels = max(1 << 20, (settings.memory - FIXED_BYTES) // BAND_BYTES)
        width, height = region[2] - region[0], region[3] - region[1]
        return tiles.plan(
            width, height, tile=settings.tile or self.engine.tile, feather=settings.feather, band_pixels=band_pixels
        )

    def _plate(self, plate: NDArray[Any] | Plate) -> Plate:
        if not isinstance(plate, np.ndarray):
            return plate
        name = "srgb" if self.settings.input_space == "auto" else self.settings.input_space
        return ArrayPlate(plate, input_encoding(name, ocio=self.settings.ocio))

    def _check(self, plate: Plate, analysis: Analysis, region: Region, mask: Plate | None) -> None:
        size = (plate.width, plate.height)
        if (analysis.width, analysis.height) != size:
            raise UsageError(f"analysis is of {analysis.width}x{analysis.height}, the plate is {size[0]}x{size[1]}")
        if analysis.weights != self.engine.weights.sha256:
            raise UsageError("analysis was made with other weights; analyze the plate again")
        x0, y0, x1, y1 = region
        if not (0 <= x0 < x1 <= size[0] and 0 <= y0 < y1 <= size[1]):
            raise UsageError(f"region {region} does not lie inside the plate of {size[0]}x{size[1]}")
        if mask is not None and (mask.width, mask.height) != size:
            raise UsageError(f"mask is {mask.width}x{mask.height}, the plate is {size[0]}x{size[1]}; use one size")
        if self.settings.latlong and size[0] != 2 * size[1]:
            raise UsageError(f"--latlong needs a full 2:1 panorama, the plate is {size[0]}x{size[1]}")

    def _clip_levels(self, seen: Survey) -> tuple[float, float, float]:
        if self.settings.white is not None:
            white = self.settings.white
            return white, white, white
        red, green, blue = (grade.clip_level(histogram, seen.levels) for histogram in seen.histograms)
        return red, green, blue

    def _stretch(
        self, seen: Survey, plate: Plate, clips: tuple[float, float, float]
    ) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        if self.contract.input_stretch:
            # The authors' mapping turns a constant plate into ones.
            low = seen.low if seen.high > seen.low else seen.high - 1.0
            return (low, low, low), (seen.high, seen.high, seen.high)
        white = plate.encoding.encode_for_network(np.array(clips, np.float32))
        red, green, blue = (float(value) for value in white)
        return (0.0, 0.0, 0.0), (red, green, blue)

    def _anchor(
        self, seen: Survey, proxy: Array, features: Array, clips: tuple[float, float, float], high: tuple[float, ...]
    ) -> tuple[float, int]:
        predicted = self._predict(proxy, features)
        usable = seen.peak < np.float32(self.settings.threshold) * np.array(clips, np.float32)
        white = np.maximum(srgb_decode(np.array(high, np.float32)), np.float32(2**-16)).astype(np.float32)
        plate = srgb_decode(seen.proxy).astype(np.float32) / white
        absolute = self.contract.absolute
        stops, samples = grade.anchor_stops(plate, predicted, usable, absolute=absolute)
        return stops + float(np.log2(white).mean()), samples

    def _predict(self, seen: Array, features: Array) -> Array:
        """Run the network on a small picture (h, w, 3), border included, in one strip per worker."""
        sideways: Any = "wrap" if self.settings.latlong else "edge"
        padded = np.pad(seen, ((0, 0), (RADIUS, RADIUS), (0, 0)), mode=sideways)
        padded = np.pad(padded, ((RADIUS, RADIUS), (0, 0), (0, 0)), mode="edge")
        strips = tiles.spans(len(seen), size=max(32, -(-len(seen) // self._workers.count)), feather=0)
        parts = [padded[strip.start : strip.stop + 2 * RADIUS] for strip in strips]
        light = self._workers.map(lambda part: expand_splitting(self.engine, part, features)[0], parts)
        # Spans of equal size may overlap by a pixel; the later one takes over.
        ends = [strip.start for strip in strips[1:]] + [len(seen)]
        return np.concatenate([p[: end - s.start] for p, s, end in zip(light, strips, ends, strict=True)])

    def _recover(
        self, seen: Survey, plate: Plate, features: Array, low: tuple[float, ...], high: tuple[float, ...]
    ) -> RecoveredLight | None:
        """Find the light of wide clipped areas on the reduced plate."""
        if self.settings.merge == "full":
            return None
        white = _normalize(np.array(high, np.float32), low, high)

        def matte_of(reduced: Array) -> Array:
            return grade.pointwise_matte(reduced, white, self.settings.merging)

        def predict(reduced: Array) -> Array:
            return self._predict(reduced, features)

        reduced = _normalize(seen.working, low, high)
        return recover(reduced, matte_of, predict, reduction=(plate.window[2] - plate.window[0]) / reduced.shape[1])

    def _with_output_range(self, plate: Plate, analysis: Analysis) -> Analysis:
        """Return the analysis with the extremes of the whole prediction, which relative output is stretched to."""
        from dataclasses import replace

        extremes = [(float(band.light.min()), float(band.light.max())) for band in self.bands(plate, analysis)]
        lowest, highest = min(low for low, _ in extremes), max(high for _, high in extremes)
        return replace(analysis, output_range=(lowest, highest))

    def _merged(
        self,
        plate: Plate,
        analysis: Analysis,
        region: Region,
        mask: Plate | None,
        statistics: RenderStatistics,
        y: int,
        codes: NDArray[Any],
        prediction: Array,
    ) -> Iterator[Band]:
        """Merge one band in pieces; `codes` has `MARGIN` more rows at both ends than `prediction`."""
        columns = _column_index(plate.width, region, grade.MATTE_RADIUS, wrap=self.settings.latlong)
        step = max(16, MERGE_PIXELS // (region[2] - region[0]) // 16 * 16)
        for first in range(0, len(prediction), step):
            piece = prediction[first : first + step]
            margin = MARGIN - grade.MATTE_RADIUS
            around = codes[first + margin : first + margin + len(piece) + 2 * grade.MATTE_RADIUS]
            rows = around[:, columns]
            keep = None if mask is None else _mask_rows(mask, y + first, len(piece), region)
            yield self._merge_piece(plate, analysis, statistics, y + first, rows, piece, keep)

    def _merge_piece(
        self,
        plate: Plate,
        analysis: Analysis,
        statistics: RenderStatistics,
        y: int,
        codes: NDArray[Any],
        prediction: Array,
        keep: Array | None,
    ) -> Band:
        radius = grade.MATTE_RADIUS
        inner = codes[radius:-radius, radius:-radius]
        color = take_color(inner, plate)
        linear = plate.encoding.decode(color)
        clips = np.array(analysis.clip_levels, np.float32)
        predicted = prediction
        if plate.color[0] == plate.color[1]:
            # A gray plate holds no color, so none is invented.
            predicted = np.broadcast_to(predicted.mean(2, keepdims=True), predicted.shape)
        if self.settings.merge == "full":
            matte = np.ones(linear.shape, np.float32)
            if keep is not None:
                matte = matte * (1 - keep[:, :, None])
            light = predicted * np.float32(2.0**self.settings.stops)
            if analysis.output_range is not None:
                low, high = analysis.output_range
                light = (light - np.float32(low)) / np.float32(max(high - low, 1e-12))
            if keep is not None:
                light = np.where(matte == 1, light, linear + matte * (light - linear))
        else:
            matte = PlateMatte(plate, analysis, self.settings).steady(codes)
            if keep is not None:
                matte = matte * (1 - keep[:, :, None])
            scale = np.float32(1 / full_scale(inner.dtype))
            over_clip = np.asarray(color.astype(np.float32) * (scale / clips), np.float32) if matte.any() else linear
            light = grade.merge(linear, predicted, over_clip, matte, self.settings.merging)
        light, linear = self._output(light, plate), self._output(linear, plate)
        statistics.add(linear, light, matte)
        return Band(start=y, codes=inner, plate=linear, light=light, matte=matte)

    def to_rec709(self, light: Array) -> Array:
        """Return light of the output space in linear Rec.709, for display: (..., 3) float32."""
        if self._to_output is None:
            return light
        return np.asarray(light @ np.linalg.inv(self._to_output).T, np.float32)

    def _output(self, light: Array, plate: Plate) -> Array:
        matrix = self._to_output
        if plate.encoding.to_rec709 is not None:
            own = plate.encoding.to_rec709
            matrix = own if matrix is None else matrix @ own
        if matrix is not None:
            light = light @ matrix.T.astype(np.float32)
        return np.clip(light, -HALF_MAX, HALF_MAX)


def _normalize(seen: Array, low: tuple[float, ...], high: tuple[float, ...]) -> Array:
    base, top = np.array(low, np.float32), np.array(high, np.float32)
    return np.asarray(np.clip((seen - base) / (top - base), 0, 1), np.float32)


def _column_index(width: int, region: Region, margin: int, *, wrap: bool) -> NDArray[np.int64]:
    columns = np.arange(region[0] - margin, region[2] + margin)
    return columns % width if wrap else np.clip(columns, 0, width - 1)


def _mask_rows(mask: Plate, y: int, count: int, region: Region) -> Array:
    codes = mask.rows(y, y + count)[:, region[0] : region[2], 0]
    result: Array = np.clip(codes.astype(np.float32) / np.float32(full_scale(codes.dtype)), 0, 1)
    return result
