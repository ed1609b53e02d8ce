"""Sources on their way to a result: opened, identified, read once, and laid out as they will be stored."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from expandnet_ofx.analysis import Analysis
from expandnet_ofx.errors import InputError
from expandnet_ofx.expander import Expander
from expandnet_ofx.hashes import content_hash, pixel_hash
from expandnet_ofx.images import ImagePlate, open_image
from expandnet_ofx.masks import Mask, open_mask
from expandnet_ofx.metadata import carried_attributes, pixel_aspect, resolution
from expandnet_ofx.output_options import OutputOptions
from expandnet_ofx.plates import Plate
from expandnet_ofx.predicted import Predicted
from expandnet_ofx.settings import Settings
from expandnet_ofx.survey import Survey
from expandnet_ofx.writer import PartLayout


@dataclass(kw_only=True)
class Part:
    """One part of a source: a plate with its survey, or data that is only carried along."""

    plate: Plate
    layout: PartLayout
    survey: Survey | None
    """None for a part without color, or one whose analysis is given."""
    analysis: Analysis | None = None
    """Given, as steady analyses of a shot are, or made when it is first asked for."""
    predicted: Predicted | None = None
    """Keeps the prediction for another result of it, or gives one that was kept."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What tells one source from another: content, not place or time."""

    source: str
    """Name without its folder; for a movie with the number of the frame."""
    source_bytes: int
    source_sha256: str
    """Of the file, or of its pixels (see `identify`); of a movie's frame, of the movie's hash, place and rate."""
    mask_sha256: str | None = None
    analysis_sha256: str | None = None
    """What tells an analysis that is given: its frames and the hash of what it was made from; None where the source alone
    decides."""


def identify(source: Path, mask: Path | None = None, *, settings: Settings | None = None) -> Identity:
    """Hash a source and its mask; raise `InputError` if one cannot be read.

    Args:
        settings: where a host writes plates (`linearized`), only their pixels tell one from another: each time a host
            writes one anew, its header holds another time.
    """
    hosts = settings is not None and settings.linearized is not None
    try:
        return Identity(
            source=source.name,
            source_bytes=0 if hosts else source.stat().st_size,
            source_sha256=pixel_hash(source) if hosts else content_hash(source),
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
    mask: Mask | None = None
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    """What its analysis took."""

    @property
    def main(self) -> Part:
        """The first part with color, whose analysis may be given."""
        return next(part for part in self.parts if part.survey is not None or part.analysis is not None)

    @property
    def held(self) -> int:
        """Bytes of pixels that its plates hold in memory."""
        return sum(part.plate.held for part in self.parts) + (0 if self.mask is None else self.mask.held)

    def close(self) -> None:
        """Close the files."""
        for part in self.parts:
            if isinstance(part.plate, ImagePlate):
                part.plate.close()
        if self.mask is not None:
            self.mask.close()


def prepare(
    source: Path | str,
    expander: Expander,
    options: OutputOptions,
    *,
    mask: Path | None = None,
    identity: Identity | None = None,
    analysis: Analysis | None = None,
) -> Prepared:
    """Open a picture, hash it unless its identity is known, and make the first pass over each of its parts.

    With an analysis given, the first part with color needs no pass.

    Raises:
        InputError: it cannot be read or understood; nothing stays open.
    """
    source = Path(source)
    settings = expander.settings
    with ExitStack() as opened:
        first = opened.enter_context(open_image(source, settings))
        plates = [first]
        for part in range(1, first.parts):
            plates.append(opened.enter_context(open_image(source, settings, part=part)))
        if options.aces and len(plates) > 1:
            raise InputError(f"{source}: has {len(plates)} parts, an ACES container holds one (ST 2065-4); split it")
        if any(plate.has_color and not plate.lone for plate in plates):
            # Beside a picture, one channel of no known name is a mask, an occlusion or an identifier.
            for plate in plates:
                plate.has_color = plate.has_color and not plate.lone
        if not any(plate.has_color for plate in plates):
            raise InputError(f"{source}: holds no color channels ({', '.join(first.channels)}); name another file")
        prepared = Prepared(
            source=source,
            identity=identity or identify(source, mask, settings=settings),
            parts=_parts(plates, expander, options, analysis),
        )
        if mask is not None:
            shown = next(plate for plate in plates if plate.has_color)
            try:
                prepared.mask = open_mask(mask, settings, over=shown)
            except InputError as error:
                raise InputError(f"{source}: mask {error}") from error
            opened.callback(prepared.mask.close)
        prepared.warnings = _warnings(prepared) + _left_behind(plates[0], options)
        opened.pop_all()
    return prepared


def _parts(
    plates: Sequence[ImagePlate], expander: Expander, options: OutputOptions, analysis: Analysis | None
) -> list[Part]:
    parts = []
    for plate in plates:
        parts.append(_part(plate, expander, options, analysis if plate.has_color else None))
        if plate.has_color:
            analysis = None
    return parts


def _part(plate: ImagePlate, expander: Expander, options: OutputOptions, analysis: Analysis | None) -> Part:
    try:
        surveyed = expander.survey(plate) if plate.has_color and analysis is None else None
    except InputError as error:
        raise error if str(plate.path) in str(error) else InputError(f"{plate.path}: {error}") from error
    return Part(plate=plate, layout=part_layout(plate, options), survey=surveyed, analysis=analysis)


def carried_channels(plate: Plate, options: OutputOptions) -> list[int]:
    """Return the numbers of the channels that pass through: alpha first, then all that is not color."""
    if not isinstance(plate, ImagePlate):
        return []
    alpha = [] if plate.alpha is None else [plate.alpha]
    if options.aces:
        return alpha
    color = set(plate.color) if plate.has_color else set()
    left = color | {plate.alpha} | _replaced(plate, options)
    return alpha + [i for i in range(len(plate.channels)) if i not in left]


def _replaced(plate: ImagePlate, options: OutputOptions) -> set[int]:
    """Return the numbers of channels that our matte takes the place of, such as one of an earlier result."""
    ours = options.matte_channels if plate.has_color else ()
    return {i for i, name in enumerate(plate.channels) if name in ours}


def part_layout(plate: ImagePlate, options: OutputOptions) -> PartLayout:
    """Return how a part of a source is stored: color, what passes through, the matte, windows and metadata."""
    spec = plate.spec
    names: list[str] = []
    formats: list[str] = []
    if plate.has_color:
        gray = plate.color[0] == plate.color[1]
        # An ACES container has no layers (ST 2065-4).
        names += ["R", "G", "B"] if gray or options.aces else [plate.channels[i] for i in plate.color]
        formats += [options.pixel] * 3
    for index in carried_channels(plate, options):
        names.append("A" if options.aces and index == plate.alpha else plate.channels[index])
        source = str(spec.channelformats[index] if spec.channelformats else spec.format)
        formats.append("half" if options.aces or source in ("uint8", "half") else "float")
    if plate.has_color:
        names += options.matte_channels
        formats += ["half"] * len(options.matte_channels)
    return PartLayout(
        width=plate.width,
        height=plate.height,
        channels=names,
        formats=formats,
        origin=(0, 0) if plate.turned else (spec.x, spec.y),
        display=None if plate.turned else (spec.full_x, spec.full_y, spec.full_width, spec.full_height),
        name=(spec.get_string_attribute("oiio:subimagename") or f"part{plate.part}") if plate.parts > 1 else None,
        attributes=_attributes(plate),
    )


def _attributes(plate: ImagePlate) -> dict[str, Any]:
    carried = carried_attributes(plate.spec) | resolution(plate.spec, turned=plate.turned)
    aspect = pixel_aspect(plate.spec, plate.format_name)
    if aspect > 0 and (aspect != 1 or "PixelAspectRatio" in carried):
        # Where width and height have changed places, those of a pixel have, too.
        carried["PixelAspectRatio"] = 1 / aspect if plate.turned else aspect
    return carried


def _warnings(prepared: Prepared) -> list[str]:
    warnings = []
    for part in prepared.parts:
        seen = part.survey or part.analysis
        if seen is not None and seen.nan + seen.infinite:
            warnings.append(f"{seen.nan} NaN and {seen.infinite} infinite samples replaced by 0 and 65504")
    return warnings


def _left_behind(plate: ImagePlate, options: OutputOptions) -> list[str]:
    """Return warnings of what a result lacks: further pages, channels that our matte replaces or ACES has no room for."""
    warnings = ["has several pages, of which the first is expanded; split it"] if plate.pages else []
    if replaced := sorted(plate.channels[i] for i in _replaced(plate, options)):
        warnings.append(f"{', '.join(replaced)}: of the source, replaced by the matte of this result")
    kept = {*plate.color, plate.alpha}
    lost = [name for number, name in enumerate(plate.channels) if number not in kept]
    if options.aces and lost:
        warnings.append(f"{', '.join(lost)}: not carried, an ACES container holds RGB(A) only (ST 2065-4)")
    return warnings
