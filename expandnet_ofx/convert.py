"""From file to file: read a plate, expand it, write the result with its metadata and provenance."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx import __version__
from expandnet_ofx.analysis import Analysis
from expandnet_ofx.background import BackgroundCalls
from expandnet_ofx.bands import Band
from expandnet_ofx.errors import InputError, OutputError, UsageError
from expandnet_ofx.expander import Expander
from expandnet_ofx.flicker import Glimpse, GlimpseBuilder
from expandnet_ofx.images import ImagePlate
from expandnet_ofx.predict import Region
from expandnet_ofx.provenance import analysis_record, as_text, provenance
from expandnet_ofx.sources import Identity, Part, Prepared, carried_channels, identify, prepare
from expandnet_ofx.statistics import RenderStatistics
from expandnet_ofx.transfer import HALF_MAX, full_scale
from expandnet_ofx.writer import OutputOptions, PartLayout, image_writer, matte_file

Array = NDArray[np.float32]
Progress = Callable[[float], None]


@dataclass(frozen=True, kw_only=True)
class FrameReport:
    """What one conversion has to say."""

    input: str
    output: str
    status: str
    """`done`, `skipped` or `failed`."""
    seconds: float = 0.0
    """Analysis, expansion and writing; what other frames do meanwhile slows them."""
    width: int = 0
    height: int = 0
    clipped_share: float = 0.0
    """Share of pixels with a channel in the matte."""
    stops_gained: float = 0.0
    """99th percentile of log2(result / plate) in the matte."""
    clip_levels: tuple[float, ...] = ()
    anchor: float = 0.0
    tiles: int = 0
    splits: int = 0
    """Tiles that did not fit on the device and were split."""
    warnings: tuple[str, ...] = ()
    error: str = ""
    glimpse: Glimpse | None = None
    """A small picture of the result, by which frames of a shot are compared."""

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data, without pictures."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "glimpse"}


class Converter:
    """Converts files with one expander; `prepare` and `analyze` may run in a thread ahead of `render`.

    Args:
        expander: what turns plates into light.
        options: how results are stored.
    """

    def __init__(self, expander: Expander, options: OutputOptions | None = None) -> None:
        self.expander = expander
        self.options = options or OutputOptions()

    def prepare(
        self,
        source: Path | str,
        *,
        mask: Path | None = None,
        identity: Identity | None = None,
        analysis: Analysis | None = None,
    ) -> Prepared:
        """Open a picture and make the first pass over it; see `sources.prepare`."""
        return prepare(source, self.expander, self.options, mask=mask, identity=identity, analysis=analysis)

    def identify(self, source: Path, mask: Path | None = None) -> Identity:
        """Tell a source by its content; see `sources.identify`."""
        return identify(source, mask, settings=self.expander.settings)

    def provenance(self, identity: Identity) -> dict[str, Any]:
        """Return what a result of this source says about how it was made."""
        return provenance(self.expander, self.options, identity)

    def render(
        self,
        prepared: Prepared,
        target: Path | str,
        *,
        preview: Path | None = None,
        region: Region | None = None,
        progress: Progress | None = None,
    ) -> FrameReport:
        """Expand what `prepare` opened and write it; the file appears only when complete, sources are closed.

        Args:
            prepared: from `prepare`; used up.
            target: the result, .exr, .hdr or .tif.
            preview: PNG sheet to write as well.
            region: x0, y0, x1, y1 in pixels of the plate, x1 and y1 excluded; it becomes the result's data window. None
                for all; only for sources of one part, and without a sheet.
            progress: called with the share of the frame that is done.

        Raises:
            InputError, OutputError: nothing is left under the final name.
            UsageError: the region does not lie inside the plate, or the source has several parts.
        """
        target = Path(target)
        try:
            analyses = self.analyze(prepared)
            started = time.perf_counter()
            statistics, glimpse = self._write(prepared, analyses, target, preview, region, progress)
        finally:
            prepared.close()
        shown = next(analysis for analysis in analyses if analysis is not None)
        return FrameReport(
            input=str(prepared.source),
            output=str(target),
            status="done",
            seconds=round(prepared.seconds + time.perf_counter() - started, 3),
            width=shown.width,
            height=shown.height,
            clipped_share=round(statistics.clipped_share, 6),
            stops_gained=round(statistics.stops_gained, 3),
            clip_levels=tuple(round(level, 5) for level in shown.clip_levels),
            anchor=round(shown.anchor, 5),
            tiles=statistics.tiles,
            splits=statistics.splits,
            warnings=tuple(prepared.warnings + _split_warning(statistics)),
            glimpse=glimpse,
        )

    def analyze(self, prepared: Prepared) -> list[Analysis | None]:
        """Return the analysis of each part, None for one without color; those that are given or made before are kept.

        Raises:
            InputError: a part must not be expanded.
        """
        started = time.perf_counter()
        analyses = [self._analyze(prepared, part) for part in prepared.parts]
        prepared.seconds += time.perf_counter() - started
        return analyses

    def _analyze(self, prepared: Prepared, part: Part) -> Analysis | None:
        if part.analysis is None and part.survey is not None:
            try:
                part.analysis = self.expander.analyze(part.plate, part.survey)
            except InputError as error:
                raise type(error)(f"{prepared.source}: {error}") from error
        return part.analysis

    def _write(
        self,
        prepared: Prepared,
        analyses: Sequence[Analysis | None],
        target: Path,
        preview: Path | None,
        region: Region | None,
        progress: Progress | None,
    ) -> tuple[RenderStatistics, Glimpse]:
        made = self.provenance(prepared.identity)
        if region is not None:
            made["region"] = list(region)
        record = {"expandnet/provenance": as_text(made)}
        record["Software"] = f"expandnet-ofx {__version__}"
        if target.suffix.lower() in (".tif", ".tiff"):
            record["ImageDescription"] = record["expandnet/provenance"]
        if len(prepared.parts) > 1 and target.suffix.lower() != ".exr":
            raise OutputError(f"{target}: {prepared.source} has {len(prepared.parts)} parts, which only .exr holds")
        layouts = [
            replace(part.layout, attributes={**part.layout.attributes, **record, **analysis_record(analysis)})
            for part, analysis in zip(prepared.parts, analyses, strict=True)
        ]
        if region is not None:
            layouts = [_cut(prepared, layouts, region)]
        statistics = RenderStatistics()
        total = sum(layout.height for layout in layouts)
        done = 0
        shown = next(i for i, analysis in enumerate(analyses) if analysis is not None)
        sheet = _open_sheet(prepared, preview, shown)
        glimpse = GlimpseBuilder(prepared.parts[shown].plate.width, prepared.parts[shown].plate.height)
        with ExitStack() as stack:
            writer = stack.enter_context(image_writer(target, layouts, self.options))
            matte = stack.enter_context(self._matte_writer(target, layouts[0])) if self.options.separate_matte else None
            calls = stack.enter_context(BackgroundCalls(depth=2))
            for index, (part, analysis) in enumerate(zip(prepared.parts, analyses, strict=True)):
                if index:
                    calls(writer.next_part)
                for at, pixels, band in self._pieces(prepared, part, analysis, region, statistics):
                    start = at - (region[1] if region else 0)
                    calls(writer.write, start, pixels)
                    if matte is not None and band is not None:
                        calls(matte.write, start, band.matte)
                    if band is not None and index == shown:
                        glimpse.add(band.light, band.matte)
                        if sheet is not None:
                            sheet.add(band.start, self._rec709(band.plate), self._rec709(band.light))
                    done += len(pixels)
                    if progress is not None:
                        progress(done / total)
            calls.wait()
            if matte is not None:
                matte.commit()
            if sheet is not None and preview is not None:
                sheet.save(preview, provenance=record["expandnet/provenance"])
            writer.commit()
        return statistics, glimpse.finish()

    def _matte_writer(self, target: Path, layout: PartLayout) -> Any:
        options = OutputOptions(interop_id="data")
        return image_writer(
            matte_file(target), [replace(layout, channels=("R", "G", "B"), formats=("half",) * 3)], options
        )

    def _pieces(
        self,
        prepared: Prepared,
        part: Part,
        analysis: Analysis | None,
        region: Region | None,
        statistics: RenderStatistics,
    ) -> Iterator[tuple[int, Array, Band | None]]:
        plate = part.plate
        carried = carried_channels(plate, self.options)
        if analysis is None:
            step = max(1, (1 << 20) // plate.width)
            for start in range(0, plate.height, step):
                codes = plate.rows(start, min(start + step, plate.height))
                yield start, _normalized(codes, carried), None
            return
        bands = self.expander.bands(
            plate, analysis, region=region, mask=prepared.mask, statistics=statistics, predicted=part.predicted
        )
        for band in bands:
            light = band.light
            columns = [light]
            if carried:
                extra = _normalized(band.codes, carried)
                if plate.alpha is not None:
                    glows = isinstance(plate, ImagePlate) and plate.associated
                    columns = [_associate(light, extra[:, :, :1], glows=glows)]
                columns.append(extra)
            if self.options.matte_channels:
                columns.append(band.matte)
            yield band.start, np.concatenate(columns, 2) if len(columns) > 1 else light, band

    def _rec709(self, light: Array) -> Array:
        return self.expander.to_rec709(light)


def _associate(light: Array, cover: Array, *, glows: bool) -> Array:
    """Multiply light by alpha (n, W, 1); light without cover, as flames have, stays where the source had it."""
    cover = np.nan_to_num(cover, nan=0.0, posinf=1.0, neginf=0.0)
    if glows:
        cover = np.where(cover > 0, cover, np.float32(1))
    result: Array = np.minimum(light * cover, np.float32(HALF_MAX))
    return result


def _normalized(codes: NDArray[Any], channels: Sequence[int] | range) -> Array:
    picked = codes[:, :, list(channels)]
    return picked.astype(np.float32) / np.float32(full_scale(codes.dtype))


def _cut(prepared: Prepared, layouts: Sequence[PartLayout], region: Region) -> PartLayout:
    """Return the layout of a region of a source of one part."""
    if len(layouts) > 1:
        raise UsageError(f"{prepared.source}: has {len(layouts)} parts; a region is of a source of one part")
    x0, y0, x1, y1 = region
    left, top = layouts[0].origin
    display = layouts[0].display or (left, top, layouts[0].width, layouts[0].height)
    return replace(layouts[0], width=x1 - x0, height=y1 - y0, origin=(left + x0, top + y0), display=display)


def _split_warning(statistics: RenderStatistics) -> list[str]:
    if not statistics.splits:
        return []
    return [f"{statistics.splits} tiles did not fit on the device and were split; a smaller --tile avoids it"]


def _open_sheet(prepared: Prepared, preview: Path | None, shown: int) -> Any:
    if preview is None:
        return None
    from expandnet_ofx.preview import SheetBuilder

    plate = prepared.parts[shown].plate
    return SheetBuilder(plate.width, plate.height, title=prepared.identity.source)


def expand_file(
    source: Path | str, target: Path | str, *, expander: Expander | None = None, options: OutputOptions | None = None
) -> FrameReport:
    """Convert one file; see `Converter` for what is raised."""
    converter = Converter(expander or Expander(), options)
    return converter.render(converter.prepare(source), target)
