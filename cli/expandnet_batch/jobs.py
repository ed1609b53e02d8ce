"""What a batch is going to do: one job per input, checked as a whole before any work."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from expandnet_batch.progress import Progress
from expandnet_batch.resume import up_to_date
from expandnet_ofx.analysis import Analysis
from expandnet_ofx.convert import Converter
from expandnet_ofx.declared import declared
from expandnet_ofx.errors import InputError, UsageError
from expandnet_ofx.movie_frames import MovieFrames
from expandnet_ofx.partials import sheet_file, sweep
from expandnet_ofx.patterns import FramePattern, is_pattern
from expandnet_ofx.sequences import (
    Source,
    find_sources,
    frame_number,
    parse_frames,
    place_outputs,
    placed,
    refuse_collisions,
)
from expandnet_ofx.sources import Identity, Prepared
from expandnet_ofx.writer import OutputOptions, check_suffix, is_result, matte_file

ZIP_SHARE = 0.6
"""What ZIP leaves of half-float plates with grain, for the estimate; raw size for the refusal would be too strict."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """The analysis of a frame, made before."""

    key: str
    """What tells it from another one."""
    load: Callable[[], Analysis]


Analyses = Callable[[Path, "int | None", Identity], "Given | None"]
"""Gives the analysis of a frame by path, number and identity; None leaves it to be made."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One input and where its result goes; for a movie, one job per frame is derived while it is read."""

    source: Source
    output: Path
    mask: Path | None = None
    sheet: bool = False
    """Whether the result gets a preview."""

    @property
    def preview(self) -> Path | None:
        """Where the sheet goes, None without one."""
        return sheet_file(self.output) if self.sheet else None

    @property
    def number(self) -> int | None:
        """Number of the frame, by its notation or else by its name."""
        return self.source.frame if self.source.frame is not None else frame_number(self.source.path)

    def files(self, options: OutputOptions) -> list[Path]:
        """Return everything that is written for this job; of a movie the patterns."""
        matte = [matte_file(self.output)] if options.separate_matte else []
        return [self.output, *matte, *([] if self.preview is None else [self.preview])]

    def open(
        self, converter: Converter, options: dict[str, Any], analyses: Analyses | None = None
    ) -> Iterator[tuple[Job, Prepared | None]]:
        """Yield each frame's job with its prepared source, None where the result that exists can stay.

        Args:
            analyses: gives the analysis of a frame, where it comes from a shot.
        """
        skip = options["existing"] == "skip"
        if self.source.is_movie:
            yield from self._movie_frames(converter, options, skip, analyses)
            return
        if self.source.missing:
            raise InputError(f"{self.source.path}: missing frame of the range; render it, or pass --missing skip")
        if not self.source.path.is_file():
            yield self, converter.prepare(self.source.path, mask=self.mask)
            return
        own = converter.identify(self.source.path, self.mask)
        identity, frame = _given(analyses, self.source.path, self.number, own)
        if skip and up_to_date(converter, identity, self.output, preview=self.preview):
            yield self, None
        else:
            analysis = frame.load() if frame else None
            yield self, converter.prepare(self.source.path, mask=self.mask, identity=identity, analysis=analysis)

    def _movie_frames(
        self, converter: Converter, options: dict[str, Any], skip: bool, analyses: Analyses | None
    ) -> Iterator[tuple[Job, Prepared | None]]:
        first = options["first_frame"]
        with MovieFrames(converter, self.source.path, fps=_rate(options["fps"]), mask=self.mask, first=first) as movie:
            wanted = set(parse_frames(options["frames"])) if options["frames"] else None
            number = first - 1
            # How long a movie is shows only at its end, so some previews means one of its first frame.
            sheets = itertools.repeat(True) if options["preview"] == "all" else iter([options["preview"] == "some"])
            for number, codes in movie:
                if wanted is not None and number not in wanted:
                    continue
                source = replace(self.source, frame=number)
                # An analysis has one file for all of them.
                output = numbered(self.output, number) if is_pattern(str(self.output)) else self.output
                job = replace(self, source=source, output=output, sheet=next(sheets, False))
                identity, frame = _given(analyses, self.source.path, number, movie.identity(number))
                if skip and up_to_date(converter, identity, job.output, preview=job.preview):
                    yield job, None
                else:
                    analysis = frame.load() if frame else None
                    yield job, movie.prepare(number, codes, identity=identity, analysis=analysis)
                if wanted is not None and number >= max(wanted):
                    break
            absent = sorted(n for n in wanted or () if not first <= n <= number)
            if absent and options["missing"] == "error":
                raise InputError(
                    f"{self.source.path}: has frames {first} to {number}, not {absent[0]}; change --frames, or pass "
                    "--missing skip"
                )


def _given(
    analyses: Analyses | None, path: Path, number: int | None, identity: Identity
) -> tuple[Identity, Given | None]:
    """Return what a result is identified by, and the analysis that a shot gives for it."""
    frame = analyses(path, number, identity) if analyses else None
    return (identity, None) if frame is None else (replace(identity, analysis_sha256=frame.key), frame)


def check_apart(path: Path, option: str, *, others: Iterable[Path | None]) -> None:
    """Raise `UsageError` if a file that is to be written is one of others: an input must not be lost, nor a result."""
    places = {os.path.realpath(other) for other in others if other is not None}
    if os.path.realpath(path) in places:
        raise UsageError(f"{option} {path}: is an input or a result as well; choose another name")


def check_folder(folder: Path, *, of: Path | None = None) -> None:
    """Raise `UsageError` unless files can be made in a folder that exists, or in the nearest that does.

    Args:
        of: the file that goes there, named in the message.
    """
    there, name = folder.absolute(), of or folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise UsageError(f"{name}: cannot be made, {there} is not a folder; choose another output")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"{name}: cannot be written, no permission in {there}; choose another output")


def _on_disk(path: Path, *, pattern: bool) -> Path | None:
    """Return the file of a name, or the first of a pattern, if it exists."""
    if not pattern or not is_pattern(str(path)):
        return path if path.exists() else None
    names = FramePattern(str(path))
    return next(map(names.path, names.on_disk()), None)


def numbered(pattern: Path, frame: int) -> Path:
    """Return the path of one frame of a movie's output pattern."""
    return FramePattern(str(pattern)).path(frame)


@dataclass(kw_only=True)
class JobPlan:
    """All jobs of a batch with how results are stored."""

    jobs: list[Job]
    options: OutputOptions
    left_out: list[Path]
    """Frames of a range that are not there, and were to be skipped."""

    @property
    def frames(self) -> int | None:
        """Number of frames, None where a movie's length is not known before it is read."""
        return None if any(job.source.is_movie for job in self.jobs) else len(self.jobs)

    def check_outputs(self, existing: str) -> None:
        """Raise `UsageError` if results exist and must not, or cannot be stored under their names."""
        for job in self.jobs:
            check_suffix(job.output, self.options)
            for path in job.files(self.options) if existing == "error" else ():
                if found := _on_disk(path, pattern=job.source.is_movie):
                    raise UsageError(f"{found}: exists; pass --existing skip or overwrite")

    def check_apart(self, path: Path, option: str, options: dict[str, Any]) -> None:
        """Raise `UsageError` if a file that is to be written is one that is read, or a result."""
        named = [options.get(name) for name in ("config", "analysis", "weights", "ocio")]
        others = [job.source.path for job in self.jobs] + [job.mask for job in self.jobs]
        results = [file for job in self.jobs for file in job.files(self.options)]
        check_apart(path, option, others=[*others, *results, *(Path(name) for name in named if name)])

    def check_folders(self) -> None:
        """Raise `UsageError` if results cannot be put where they go."""
        for folder in sorted({job.output.parent for job in self.jobs}):
            check_folder(folder)

    def sweep(self, progress: Progress) -> None:
        """Remove what killed runs left in the output folders."""
        for folder in {job.output.parent for job in self.jobs}:
            for path in sweep(folder) if folder.is_dir() else ():
                progress.say(f"removed {path}, left by a run that was killed")

    def check_space(self, progress: Progress, options: dict[str, Any]) -> None:
        """Estimate the space that results take; raise `UsageError` if the disk cannot hold a third of it."""
        for job in self.jobs:
            size = None if job.source.is_movie else declared(job.source.path)
            if size is not None:
                break
        else:
            return
        raw = size.width * size.height * (6 + 3 * options["matte"] * 2) * len(self.jobs)
        raw *= 2 if self.options.pixel == "float" else 1
        needed = raw * (1 if self.options.compression == "none" else ZIP_SHARE)
        folder = job.output.parent.absolute()
        while not folder.exists():
            folder = folder.parent
        check_room(folder, needed, progress, told=options["verbose"])


def check_room(
    folder: Path, needed: float, progress: Progress, *, told: bool = False, advice: str = "make room or choose another"
) -> None:
    """Say whether a folder's disk has room for so many bytes; raise `UsageError` if it cannot hold a third of them."""
    free = shutil.disk_usage(folder).free
    if told or needed > free:
        progress.say(f"about {needed / 2**30:.2f} GiB to write, {free / 2**30:.2f} GiB free in {folder}")
    if needed > 3 * free:
        raise UsageError(f"{folder}: {free / 2**30:.2f} GiB free, about {needed / 2**30:.2f} GiB needed; {advice}")


def plan_jobs(inputs: Sequence[str], output: str, options: dict[str, Any]) -> JobPlan:
    """Plan a batch from the command line's words.

    Raises:
        UsageError: nothing matches, outputs collide, or options contradict each other.
    """
    if options["verbose"] and options["quiet"]:
        raise UsageError("-v and -q: choose one")
    if not inputs:
        raise UsageError("no input; name files, patterns or folders (see --help)")
    if not output.strip() or not all(text.strip() for text in inputs):
        # A variable that is not set must not mean the folder one happens to stand in.
        raise UsageError("an input or the output is an empty word; check the variables of the call")
    _rate(options["fps"])
    sources = find_sources(inputs, frames=options["frames"], views=views_of(options))
    missing = [source for source in sources if source.missing]
    if missing and options["missing"] == "skip":
        sources = [source for source in sources if not source.missing]
        if not sources:
            raise UsageError(f"{inputs[0]}: all {len(missing)} frames of the range are missing; check the path")
    sources = _without_results(sources, output)
    outputs = place_outputs(sources, output)
    masks = _masks(sources, options["mask"])
    sheets = _sheets(len(outputs), options["preview"])
    jobs = [
        Job(source=source, output=output_path, mask=mask, sheet=number in sheets)
        for number, (source, output_path, mask) in enumerate(zip(sources, outputs, masks, strict=True))
    ]
    how = output_options(options)
    refuse_collisions(sources, [job.files(how) for job in jobs])
    left_out = [source.path for source in missing if options["missing"] == "skip"]
    return JobPlan(jobs=jobs, options=how, left_out=left_out)


def _without_results(sources: list[Source], output: str) -> list[Source]:
    """Leave out what an earlier run of this batch has put into the folders that it searches."""
    if not any(source.found for source in sources):
        return sources
    targets = {os.path.realpath(path) for path in placed(sources, output)}
    return [
        source
        for source in sources
        if not (source.found and os.path.realpath(source.path) in targets and is_result(source.path))
    ]


def views_of(options: dict[str, Any]) -> list[str]:
    """Return the names of `--views`."""
    return [view.strip() for view in options["views"].split(",") if view.strip()]


def _rate(fps: str | None) -> Fraction | None:
    """Return a frame rate such as 24 or 24000/1001; raise `UsageError` if it is none."""
    try:
        rate = None if fps is None else Fraction(fps)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate is not None and rate <= 0:
        raise UsageError(f"--fps {fps}: not a rate; write 24, 23.976 or 24000/1001")
    return rate


def _masks(sources: Sequence[Source], mask: str | None) -> list[Path | None]:
    if mask is None:
        return [None] * len(sources)
    if Path(mask).exists() or not is_pattern(mask):
        if not Path(mask).exists():
            raise UsageError(f"--mask {mask}: does not exist; check the path")
        return [Path(mask)] * len(sources)
    pattern = FramePattern(mask)
    masks: list[Path | None] = []
    for source in sources:
        frame = source.frame if source.frame is not None else frame_number(source.path)
        path = pattern.path(frame) if frame is not None else Path(mask)
        if not path.exists():
            raise UsageError(f"--mask {path}: does not exist for {source.path}; render it, or use one still mask")
        masks.append(path)
    return masks


def output_options(options: dict[str, Any]) -> OutputOptions:
    """Return how the command line wants results stored; raise `UsageError` if flags contradict each other."""
    space = "linear-rec709" if options["preset"] == "authors" else options["output_space"]
    aces = space == "aces2065-1"
    compression = options["compression"] or ("none" if aces else "zip")
    if aces and (compression != "none" or options["pixel"] != "half"):
        raise UsageError(
            "--output-space aces2065-1 writes ST 2065-4 files: half and uncompressed; drop the other flags"
        )
    return OutputOptions(
        pixel=options["pixel"],
        compression=compression,
        matte=options["matte"],
        interop_id=_interop_id(space, options["ocio"]),
        aces=aces,
    )


def _interop_id(space: str, ocio: str | None) -> str | None:
    from expandnet_ofx.color import interop_id

    return interop_id(space, ocio=ocio)


def _sheets(count: int, choice: str) -> set[int]:
    """Return the numbers of the jobs that get a preview: all, none, or the first, the middle one and the last."""
    if choice == "some":
        return {0, count // 2, count - 1}
    return set(range(count)) if choice == "all" else set()
