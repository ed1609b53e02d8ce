"""From file to file: read a plate, expand it, write the result with its metadata and provenance."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from expandnet_ofx.analysis import Analysis
from expandnet_ofx.errors import InputError
from expandnet_ofx.expander import Expander
from expandnet_ofx.flicker import Glimpse
from expandnet_ofx.output_options import OutputOptions, check_suffix
from expandnet_ofx.predict import Region
from expandnet_ofx.provenance import provenance
from expandnet_ofx.rendering import Progress, Rendering
from expandnet_ofx.sources import Identity, Part, Prepared, identify, prepare
from expandnet_ofx.statistics import RenderStatistics


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


class Begun:
    """A frame whose rows are all expanded, and which is being written; see `Converter.begin`."""

    def __init__(
        self, rendering: Rendering, prepared: Prepared, target: Path, analysis: Analysis, seconds: float
    ) -> None:
        self._rendering = rendering
        # Not the source itself, which may hold a whole plate.
        self._source = str(prepared.source)
        self._warnings = (*prepared.warnings, *rendering.warnings)
        self._target = target
        self._analysis = analysis
        self._seconds = prepared.seconds + seconds

    def finish(self) -> FrameReport:
        """Wait until the frame is written under its name; raise `OutputError` if that cannot be."""
        started = time.perf_counter()
        glimpse = self._rendering.finish()
        statistics, analysis = self._rendering.statistics, self._analysis
        return FrameReport(
            input=self._source,
            output=str(self._target),
            status="done",
            seconds=round(self._seconds + time.perf_counter() - started, 3),
            width=analysis.width,
            height=analysis.height,
            clipped_share=round(statistics.clipped_share, 6),
            stops_gained=round(statistics.stops_gained, 3),
            clip_levels=tuple(round(level, 5) for level in analysis.clip_levels),
            anchor=round(analysis.anchor, 5),
            tiles=statistics.tiles,
            splits=statistics.splits,
            warnings=(*self._warnings, *_split_warning(statistics)),
            glimpse=glimpse,
        )

    @property
    def waiting(self) -> int:
        """Bytes at most that wait to be written."""
        return self._rendering.waiting

    def abandon(self) -> None:
        """Remove what was written, unless it is complete."""
        self._rendering.abandon()


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
            UsageError: the region does not lie inside the plate, its source has several parts, a picture that is read
                would be replaced, or a file of this name cannot hold the result.
        """
        return self.begin(prepared, target, preview=preview, region=region, progress=progress).finish()

    def begin(
        self,
        prepared: Prepared,
        target: Path | str,
        *,
        preview: Path | None = None,
        region: Region | None = None,
        progress: Progress | None = None,
    ) -> Begun:
        """Do what `render` does up to the last row; the next frame may begin while this one is written and named."""
        target = Path(target)
        try:
            check_suffix(target, self.options)
            analyses = self.analyze(prepared)
            started = time.perf_counter()
            made = self.provenance(prepared.identity)
            rendering = Rendering(
                self.expander, self.options, prepared, analyses, target, made, preview=preview, region=region
            )
            rendering.run(progress)
        finally:
            prepared.close()
        shown = next(analysis for analysis in analyses if analysis is not None)
        return Begun(rendering, prepared, target, shown, time.perf_counter() - started)

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


def _split_warning(statistics: RenderStatistics) -> list[str]:
    if not statistics.splits:
        return []
    return [f"{statistics.splits} tiles did not fit on the device and were split; a smaller --tile avoids it"]


def expand_file(
    source: Path | str, target: Path | str, *, expander: Expander | None = None, options: OutputOptions | None = None
) -> FrameReport:
    """Convert one file; see `Converter` for what is raised."""
    converter = Converter(expander or Expander(), options)
    return converter.render(converter.prepare(source), target)
