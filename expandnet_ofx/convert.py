"""From file to file: read a plate, expand it, write the result with its metadata and provenance."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx import __version__
from expandnet_ofx.analysis import Analysis
from expandnet_ofx.background import BackgroundCalls
from expandnet_ofx.bands import Band
from expandnet_ofx.errors import InputError, OutputError
from expandnet_ofx.expander import Expander
from expandnet_ofx.images import ImagePlate, content_hash, open_image
from expandnet_ofx.plates import Plate
from expandnet_ofx.settings import Settings
from expandnet_ofx.statistics import RenderStatistics
from expandnet_ofx.survey import Survey
from expandnet_ofx.transfer import HALF_MAX, full_scale
from expandnet_ofx.writer import OutputOptions, PartLayout, carried_attributes, image_writer

Array = NDArray[np.float32]
Progress = Callable[[float], None]

MATTE_CHANNELS = ("matte.R", "matte.G", "matte.B")


@dataclass(kw_only=True)
class Part:
    """One part of a source: a plate with its survey, or data that is only carried along."""

    plate: Plate
    layout: PartLayout
    survey: Survey | None
    """None for a part without color."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What tells one source from another: content, not place or time."""

    source: str
    """Name without its folder; for a movie with the number of the frame."""
    source_bytes: int
    source_sha256: str
    mask_sha256: str | None = None


def identify(source: Path, mask: Path | None = None) -> Identity:
    """Hash a source and its mask; raise `InputError` if one cannot be read."""
    try:
        return Identity(
            source=source.name,
            source_bytes=source.stat().st_size,
            source_sha256=content_hash(source),
            mask_sha256=content_hash(mask) if mask else None,
        )
    except OSError as error:
        path = error.filename or source
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); check path and permissions") from error


@dataclass(kw_only=True)
class Prepared:
    """A source that has been opened and read once."""

    source: Path
    identity: Identity
    parts: list[Part]
    mask: ImagePlate | None = None
    warnings: list[str] = field(default_factory=list)

    def close(self) -> None:
        """Close the files."""
        for part in self.parts:
            if isinstance(part.plate, ImagePlate):
                part.plate.close()
        if self.mask is not None:
            self.mask.close()


@dataclass(frozen=True, kw_only=True)
class FrameReport:
    """What one conversion has to say."""

    input: str
    output: str
    status: str
    """`done`, `skipped` or `failed`."""
    seconds: float = 0.0
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

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return asdict(self)


class Converter:
    """Converts files with one expander; `prepare` may run in a thread ahead of `render`.

    Args:
        expander: what turns plates into light.
        options: how results are stored.
    """

    def __init__(self, expander: Expander, options: OutputOptions | None = None) -> None:
        self.expander = expander
        self.options = options or OutputOptions()

    def prepare(self, source: Path | str, *, mask: Path | None = None, identity: Identity | None = None) -> Prepared:
        """Open a picture, hash it unless its identity is known, and make the first pass over each of its parts.

        Raises:
            InputError: it cannot be read or understood; nothing stays open.
        """
        source = Path(source)
        settings = self.expander.settings
        with ExitStack() as opened:
            first = opened.enter_context(open_image(source, settings))
            plates = [first]
            for part in range(1, first.parts):
                plates.append(opened.enter_context(open_image(source, settings, part=part)))
            if self.options.aces and len(plates) > 1:
                raise InputError(
                    f"{source}: has {len(plates)} parts, an ACES container holds one (ST 2065-4); split it"
                )
            if not any(plate.has_color for plate in plates):
                raise InputError(f"{source}: holds no color channels ({', '.join(first.channels)}); name another file")
            prepared = Prepared(
                source=source,
                identity=identity or identify(source, mask),
                parts=[self._part(plate) for plate in plates],
            )
            if mask is not None:
                prepared.mask = opened.enter_context(open_image(mask, replace(settings, input_space="linear")))
            prepared.warnings = _warnings(prepared)
            opened.pop_all()
        return prepared

    def _part(self, plate: ImagePlate) -> Part:
        try:
            surveyed = self.expander.survey(plate) if plate.has_color else None
        except InputError as error:
            raise error if str(plate.path) in str(error) else InputError(f"{plate.path}: {error}") from error
        return Part(plate=plate, layout=self._layout(plate), survey=surveyed)

    def _layout(self, plate: ImagePlate) -> PartLayout:
        spec, kind = plate.spec, self.options.pixel
        names, formats = [], []
        if plate.has_color:
            gray = plate.color[0] == plate.color[1]
            names += ["R", "G", "B"] if gray else [plate.channels[i] for i in plate.color]
            formats += [kind] * 3
        for index in self._carried(plate):
            names.append(plate.channels[index])
            source = str(spec.channelformats[index] if spec.channelformats else spec.format)
            formats.append("half" if source in ("uint8", "half") else "float")
        if self.options.aces:
            formats = ["half"] * len(formats)
        if plate.has_color:
            names += self.matte_channels
            formats += ["half"] * len(self.matte_channels)
        rotated = (plate.width, plate.height) != (spec.width, spec.height)
        display = (spec.full_x, spec.full_y, spec.full_width, spec.full_height)
        return PartLayout(
            width=plate.width,
            height=plate.height,
            channels=names,
            formats=formats,
            origin=(0, 0) if rotated else (spec.x, spec.y),
            display=None if rotated else display,
            name=(spec.get_string_attribute("oiio:subimagename") or f"part{plate.part}") if plate.parts > 1 else None,
            attributes=carried_attributes(spec),
        )

    def _carried(self, plate: ImagePlate) -> list[int]:
        """Return the channels that pass through: alpha first, then all that is not color."""
        alpha = [] if plate.alpha is None else [plate.alpha]
        if self.options.aces:
            return alpha
        color = set(plate.color) if plate.has_color else set()
        return alpha + [i for i in range(len(plate.channels)) if i not in color and i != plate.alpha]

    def provenance(self, identity: Identity) -> dict[str, Any]:
        """Return what a result says about how it was made: the same for the same source, settings and weights."""
        engine = self.expander.engine
        return {
            "program": f"expandnet-ofx {__version__}",
            "weights": engine.weights.contract.name,
            "weights_sha256": engine.weights.sha256,
            "engine": engine.name,
            "precision": engine.precision,
            "device": engine.device.partition(":")[0],
            "settings": _settings_record(self.expander.settings),
            "output": asdict(self.options),
            **asdict(identity),
            "synthesized": "channels at and near their clip level, where the matte is above 0",
        }

    def render(
        self, prepared: Prepared, target: Path | str, *, preview: Path | None = None, progress: Progress | None = None
    ) -> FrameReport:
        """Expand what `prepare` opened and write it; the file appears only when complete, sources are closed.

        Args:
            prepared: from `prepare`; used up.
            target: the result, .exr, .hdr or .tif.
            preview: PNG sheet to write as well.
            progress: called with the share of the frame that is done.

        Raises:
            InputError, OutputError: nothing is left under the final name.
        """
        target = Path(target)
        started = time.perf_counter()
        try:
            analyses = [self._analyze(prepared, part) for part in prepared.parts]
            statistics = self._write(prepared, analyses, target, preview, progress)
        finally:
            prepared.close()
        shown = next(analysis for analysis in analyses if analysis is not None)
        return FrameReport(
            input=str(prepared.source),
            output=str(target),
            status="done",
            seconds=round(time.perf_counter() - started, 3),
            width=shown.width,
            height=shown.height,
            clipped_share=round(statistics.clipped_share, 6),
            stops_gained=round(statistics.stops_gained, 3),
            clip_levels=tuple(round(level, 5) for level in shown.clip_levels),
            anchor=round(shown.anchor, 5),
            tiles=statistics.tiles,
            splits=statistics.splits,
            warnings=tuple(prepared.warnings + _split_warning(statistics)),
        )

    def _analyze(self, prepared: Prepared, part: Part) -> Analysis | None:
        if part.survey is None:
            return None
        try:
            return self.expander.analyze(part.plate, part.survey)
        except InputError as error:
            raise type(error)(f"{prepared.source}: {error}") from error

    def _write(
        self,
        prepared: Prepared,
        analyses: Sequence[Analysis | None],
        target: Path,
        preview: Path | None,
        progress: Progress | None,
    ) -> RenderStatistics:
        record = {"expandnet/provenance": json.dumps(self.provenance(prepared.identity), sort_keys=True)}
        record["Software"] = f"expandnet-ofx {__version__}"
        if target.suffix.lower() in (".tif", ".tiff"):
            record["ImageDescription"] = record["expandnet/provenance"]
        if len(prepared.parts) > 1 and target.suffix.lower() != ".exr":
            raise OutputError(f"{target}: {prepared.source} has {len(prepared.parts)} parts, which only .exr holds")
        layouts = [
            replace(part.layout, attributes={**part.layout.attributes, **record, **_analysis_record(analysis)})
            for part, analysis in zip(prepared.parts, analyses, strict=True)
        ]
        statistics = RenderStatistics()
        total = sum(part.layout.height for part in prepared.parts)
        done = 0
        sheet = _open_sheet(prepared, preview)
        with ExitStack() as stack:
            writer = stack.enter_context(image_writer(target, layouts, self.options))
            matte = stack.enter_context(self._matte_writer(target, layouts[0])) if self._separate_matte else None
            calls = stack.enter_context(BackgroundCalls(depth=2))
            for index, (part, analysis) in enumerate(zip(prepared.parts, analyses, strict=True)):
                if index:
                    calls(writer.next_part)
                for start, pixels, band in self._pieces(prepared, part, analysis, statistics):
                    calls(writer.write, start, pixels)
                    if matte is not None and band is not None:
                        calls(matte.write, start, band.matte)
                    if sheet is not None and band is not None and index == sheet[1]:
                        sheet[0].add(band.start, self._rec709(band.plate), self._rec709(band.light))
                    done += len(pixels)
                    if progress is not None:
                        progress(done / total)
            calls.wait()
            if matte is not None:
                matte.commit()
            if sheet is not None and preview is not None:
                sheet[0].save(preview)
            writer.commit()
        return statistics

    @property
    def matte_channels(self) -> tuple[str, ...]:
        """Names of the matte's channels inside a result; an ACES container holds none, so they go to a second file."""
        return MATTE_CHANNELS if self.options.matte and not self.options.aces else ()

    @property
    def _separate_matte(self) -> bool:
        return self.options.aces and self.options.matte

    def _matte_writer(self, target: Path, layout: PartLayout) -> Any:
        path = target.with_name(f"{target.stem}.matte{target.suffix}")
        options = OutputOptions(interop_id="data")
        channels = ("R", "G", "B")
        return image_writer(path, [replace(layout, channels=channels, formats=("half",) * 3)], options)

    def _pieces(
        self, prepared: Prepared, part: Part, analysis: Analysis | None, statistics: RenderStatistics
    ) -> Iterator[tuple[int, Array, Band | None]]:
        plate = part.plate
        if analysis is None:
            step = max(1, (1 << 20) // plate.width)
            for start in range(0, plate.height, step):
                codes = plate.rows(start, min(start + step, plate.height))
                carried = self._carried(plate) if isinstance(plate, ImagePlate) else range(codes.shape[2])
                yield start, _normalized(codes, carried), None
            return
        carried = self._carried(plate) if isinstance(plate, ImagePlate) else []
        for band in self.expander.bands(plate, analysis, mask=prepared.mask, statistics=statistics):
            light = band.light
            columns = [light]
            if carried:
                extra = _normalized(band.codes, carried)
                if plate.alpha is not None:
                    glows = isinstance(plate, ImagePlate) and plate.associated
                    columns = [_associate(light, extra[:, :, :1], glows=glows)]
                columns.append(extra)
            if self.matte_channels:
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


def _settings_record(settings: Settings) -> dict[str, Any]:
    record = asdict(settings)
    del record["memory"]
    if settings.ocio and Path(settings.ocio).exists():
        # A path says where the config lies on one machine; its content says what it does.
        record["ocio"] = f"{Path(settings.ocio).name} sha256:{content_hash(Path(settings.ocio))}"
    return record


def _analysis_record(analysis: Analysis | None) -> dict[str, str]:
    if analysis is None:
        return {}
    levels = " ".join(f"{level:.5f}" for level in analysis.clip_levels)
    return {"expandnet/clipLevels": levels, "expandnet/anchorStops": f"{analysis.anchor:.5f}"}


def _warnings(prepared: Prepared) -> list[str]:
    warnings = []
    for part in prepared.parts:
        survey = part.survey
        if survey is None:
            continue
        bad = survey.nan + survey.infinite
        if bad:
            warnings.append(f"{survey.nan} NaN and {survey.infinite} infinite samples replaced by 0 and 65504")
    return warnings


def _split_warning(statistics: RenderStatistics) -> list[str]:
    if not statistics.splits:
        return []
    return [f"{statistics.splits} tiles did not fit on the device and were split; a smaller --tile avoids it"]


def _open_sheet(prepared: Prepared, preview: Path | None) -> tuple[Any, int] | None:
    if preview is None:
        return None
    from expandnet_ofx.preview import SheetBuilder

    index = next(i for i, part in enumerate(prepared.parts) if part.survey is not None)
    plate = prepared.parts[index].plate
    return SheetBuilder(plate.width, plate.height, title=prepared.identity.source), index


def expand_file(
    source: Path | str, target: Path | str, *, expander: Expander | None = None, options: OutputOptions | None = None
) -> FrameReport:
    """Convert one file; see `Converter` for what is raised."""
    converter = Converter(expander or Expander(), options)
    return converter.render(converter.prepare(source), target)
