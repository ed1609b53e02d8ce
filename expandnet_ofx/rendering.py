"""One frame from its first row to its files: rows are expanded here and written in a thread beside."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx import __version__
from expandnet_ofx.analysis import Analysis
from expandnet_ofx.arrays import to_host
from expandnet_ofx.background import BackgroundCalls
from expandnet_ofx.bands import MERGE_PIXELS_DEVICE, Band
from expandnet_ofx.columns import columns, passed_on
from expandnet_ofx.errors import OutputError, UsageError
from expandnet_ofx.expander import Expander
from expandnet_ofx.flicker import Glimpse, GlimpseBuilder
from expandnet_ofx.output_options import OutputOptions, matte_file
from expandnet_ofx.predict import Region
from expandnet_ofx.provenance import analysis_record, as_text
from expandnet_ofx.results import PROGRAM
from expandnet_ofx.sources import Part, Prepared
from expandnet_ofx.statistics import RenderStatistics
from expandnet_ofx.systems import place_of
from expandnet_ofx.writer import ImageWriter, PartLayout, image_writer, left_out

Array = NDArray[np.float32]
Progress = Callable[[float], None]

PIECES_WAITING = 2
"""Pieces of a frame that wait to be written while others are expanded: the network takes longer than the writer."""

PIECES_WAITING_DEVICE = 6
"""The same beside a device, which does not wait for the writer of a frame before it goes on to the next: 3840x2160 whole."""


class Rendering:
    """Renders one frame; after `run` its last rows are still being written, and another may run.

    Args:
        expander: what turns plates into light.
        options: how results are stored.
        prepared: the opened source.
        analyses: of each part, None for one without color.
        target: the result.
        made: what the result says about how it was made.
        preview: PNG sheet to write as well.
        region: x0, y0, x1, y1 in pixels of the plate; None for all.

    Raises:
        OutputError, UsageError: the target cannot hold what is asked.
    """

    def __init__(
        self,
        expander: Expander,
        options: OutputOptions,
        prepared: Prepared,
        analyses: Sequence[Analysis | None],
        target: Path,
        made: Mapping[str, Any],
        *,
        preview: Path | None,
        region: Region | None,
    ) -> None:
        self._stack = ExitStack()
        self._expander = expander
        self._options = options
        self._prepared = prepared
        self._analyses = analyses
        self._target = target
        self._preview = preview
        self._region = region
        self._record = _record(made, target, region)
        self._refuse_inputs()
        self._layouts = self._layouts_of(prepared, analyses)
        self.statistics = RenderStatistics()
        self._shown = next(i for i, analysis in enumerate(analyses) if analysis is not None)
        plate = prepared.parts[self._shown].plate
        self._glimpse = GlimpseBuilder(plate.width, plate.height)
        self._sheet = _open_sheet(prepared, preview, plate)

    def __del__(self) -> None:
        # An interruption may come before anybody holds what was begun.
        self.abandon()

    def _refuse_inputs(self) -> None:
        """Raise `UsageError` if a picture that is read would be replaced."""
        mask = self._prepared.mask
        read = {place_of(path) for path in (self._prepared.source, *([] if mask is None else [mask.path]))}
        beside = matte_file(self._target) if self._options.separate_matte else None
        for path in (self._target, beside, self._preview):
            if path is not None and place_of(path) in read:
                raise UsageError(f"{path}: is an input as well; choose another output")

    def _layouts_of(self, prepared: Prepared, analyses: Sequence[Analysis | None]) -> list[PartLayout]:
        if len(prepared.parts) > 1 and self._target.suffix.lower() != ".exr":
            raise OutputError(
                f"{self._target}: {prepared.source} has {len(prepared.parts)} parts, which only .exr holds"
            )
        layouts = [
            replace(part.layout, attributes={**part.layout.attributes, **self._record, **analysis_record(analysis)})
            for part, analysis in zip(prepared.parts, analyses, strict=True)
        ]
        return layouts if self._region is None else [_cut(prepared, layouts, self._region)]

    def run(self, progress: Progress | None) -> None:
        """Expand all rows; where that fails, nothing is left."""
        with ExitStack() as stack:
            self._writer = stack.enter_context(image_writer(self._target, self._layouts, self._options))
            self._matte = stack.enter_context(self._matte_writer()) if self._options.separate_matte else None
            self._calls = stack.enter_context(BackgroundCalls(depth=self._depth))
            total, done = sum(layout.height for layout in self._layouts), 0
            for index, (part, analysis) in enumerate(zip(self._prepared.parts, self._analyses, strict=True)):
                if index:
                    self._calls(self._writer.next_part)
                first = self._region[1] if self._region else 0
                with closing(self._pieces(part, analysis)) as pieces:
                    for at, pixels, band in pieces:
                        self._pass_on(at - first, pixels, band, shown=index == self._shown)
                        done += len(pixels)
                        if progress is not None:
                            progress(done / total)
            # Not a method: whoever drops this object must not find it held by its own thread.
            self._calls(_complete, self._writer, self._matte, self._saved_sheet(), self._preview)
            self._stack = stack.pop_all()
        # A begun frame may wait, and its source may hold a whole plate.
        del self._prepared, self._analyses

    def finish(self) -> Glimpse:
        """Wait until all files have their names; return a small picture of the result.

        Raises:
            OutputError: a file cannot be written; nothing is left under its final name.
        """
        with self._stack:
            self._calls.wait()
        return self._glimpse.finish()

    @property
    def warnings(self) -> list[str]:
        """What the result does not hold of its source."""
        return left_out(self._target, self._layouts)

    @property
    def waiting(self) -> int:
        """Bytes at most that wait to be written."""
        part = max(self._layouts, key=lambda layout: layout.width * layout.height * len(layout.channels))
        pixels = min(part.width * part.height, (self._depth + 1) * MERGE_PIXELS_DEVICE)
        return pixels * len(part.channels) * (2 if self._as_halves(part) else 4)

    def _as_halves(self, part: PartLayout) -> bool:
        """Tell whether rows leave a device as half floats."""
        return set(part.formats) == {"half"} and self._target.suffix.lower() != ".hdr"

    @property
    def _depth(self) -> int:
        return PIECES_WAITING if self._expander.engine.device == "cpu" else PIECES_WAITING_DEVICE

    def _saved_sheet(self) -> AbstractContextManager[None]:
        if self._sheet is None or self._preview is None:
            return nullcontext()
        saved: AbstractContextManager[None] = self._sheet.saved(
            self._preview, provenance=self._record["expandnet/provenance"]
        )
        return saved

    def abandon(self) -> None:
        """Remove what was written of a frame that is not to be finished; one that is complete stays."""
        with suppress(_AbandonedError), self._stack:
            raise _AbandonedError

    def _pass_on(self, start: int, pixels: NDArray[Any], band: Band | None, *, shown: bool) -> None:
        self._calls(self._writer.write, start, pixels)
        if band is None:
            return
        if self._matte is not None:
            self._calls(self._matte.write, start, to_host(band.matte))
        if shown:
            self._glimpse.add(band.light, band.matte)
            if self._sheet is not None:
                band = band.on_host()
                self._sheet.add(band.start, *(self._expander.to_rec709(light) for light in (band.plate, band.light)))

    def _matte_writer(self) -> Any:
        layout = replace(self._layouts[0], channels=("R", "G", "B"), formats=("half",) * 3)
        return image_writer(matte_file(self._target), [layout], OutputOptions(interop_id="data"))

    def _pieces(
        self, part: Part, analysis: Analysis | None
    ) -> Generator[tuple[int, NDArray[Any], Band | None], None, None]:
        """Yield first row, what is written, and the band; parts without color are passed on."""
        if analysis is None:
            for start, pixels in passed_on(part.plate, self._options):
                yield start, pixels, None
            return
        bands = self._expander.bands(
            part.plate,
            analysis,
            region=self._region,
            mask=self._prepared.mask,
            statistics=self.statistics,
            predicted=part.predicted,
            on_device=True,
        )
        halves = self._as_halves(part.layout)
        for band in bands:
            yield band.start, columns(part.plate, band, self._options, halves=halves), band


def _complete(
    writer: ImageWriter, matte: ImageWriter | None, saved_sheet: AbstractContextManager[None], sheet: Path | None
) -> None:
    """Give the files of a frame their names once all are on the disk, the result's last.

    Where it is, all are; where none was and it fails, none is.
    """
    beside = [path for path in (matte.path if matte is not None else None, sheet) if path is not None]
    # What belongs to an earlier result is not taken away from it.
    new = [path for path in beside if not path.exists()]
    try:
        for output in (writer, matte):
            if output is not None:
                output.complete()
        with saved_sheet:
            if matte is not None:
                matte.commit()
        writer.commit()
    except BaseException:
        for path in new:
            with suppress(OSError):
                path.unlink()
        raise


class _AbandonedError(Exception):
    """Leaves the block that keeps a frame's files open."""


def _record(made: Mapping[str, Any], target: Path, region: Region | None) -> dict[str, Any]:
    """Return the attributes of a result that tell how it was made."""
    text = as_text({**made, "region": list(region)} if region is not None else dict(made))
    record = {"expandnet/provenance": text, "Software": f"{PROGRAM} {__version__}"}
    if target.suffix.lower() in (".tif", ".tiff"):
        record["ImageDescription"] = text
    return record


def _cut(prepared: Prepared, layouts: Sequence[PartLayout], region: Region) -> PartLayout:
    """Return the layout of a region of a source of one part."""
    if len(layouts) > 1:
        raise UsageError(f"{prepared.source}: has {len(layouts)} parts; a region is of a source of one part")
    x0, y0, x1, y1 = region
    left, top = layouts[0].origin
    display = layouts[0].display or (left, top, layouts[0].width, layouts[0].height)
    return replace(layouts[0], width=x1 - x0, height=y1 - y0, origin=(left + x0, top + y0), display=display)


def _open_sheet(prepared: Prepared, preview: Path | None, plate: Any) -> Any:
    if preview is None:
        return None
    from expandnet_ofx.preview import SheetBuilder

    return SheetBuilder(plate.width, plate.height, title=prepared.identity.source)
