"""What a batch is going to do, checked as a whole before any work: one job per input."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expandnet_batch.jobs import Job, frame_rate
from expandnet_batch.progress import Progress
from expandnet_ofx.declared import declared
from expandnet_ofx.errors import UsageError
from expandnet_ofx.output_options import SUFFIXES, OutputOptions, check_suffix
from expandnet_ofx.partials import is_special, sweep
from expandnet_ofx.patterns import FramePattern, as_pattern, is_pattern
from expandnet_ofx.placing import place_outputs, refuse_collisions
from expandnet_ofx.results import is_result
from expandnet_ofx.sequences import Source, find_sources, frame_number
from expandnet_ofx.systems import place_of

ZIP_SHARE = 0.6
"""What ZIP leaves of half-float plates with grain, for the estimate; raw size for the refusal would be too strict."""


def check_apart(path: Path, option: str, *, others: Iterable[Path | None]) -> None:
    """Raise `UsageError` if a file that is to be written is one of others: an input must not be lost, nor a result."""
    places = {place_of(other) for other in others if other is not None}
    if place_of(path) in places:
        raise UsageError(f"{option} {path}: is an input or a result as well; choose another name")


def check_replaceable(path: Path, option: str) -> None:
    """Raise `UsageError` if a file would be replaced that holds no JSON, and so is none of ours."""
    if is_special(path) or not path.is_file():
        return
    try:
        with path.open("rb") as file:
            begin = file.read(64).lstrip()
    except OSError as error:
        raise UsageError(f"{option} {path}: cannot be read ({error.strerror}); choose another name") from error
    if begin and not begin.startswith(b"{"):
        raise UsageError(f"{option} {path}: exists and is no JSON file; choose another name")


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
    names = FramePattern(str(path), made=True)
    return next(map(names.path, names.on_disk()), None)


@dataclass(kw_only=True)
class JobPlan:
    """All jobs of a batch with how results are stored."""

    jobs: list[Job]
    options: OutputOptions
    left_out: list[Path]
    """Frames of a range that are not there, and were to be skipped."""
    results: int = 0
    """Results of earlier runs in the folders that were named, which are no inputs."""

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

    def check_apart(
        self, path: Path, option: str, options: dict[str, Any], *, also: Iterable[Path | None] = ()
    ) -> None:
        """Raise `UsageError` if a file that is to be written is one that is read, or a result."""
        named = [*options.get("configs", ()), *(options.get(name) for name in ("analysis", "weights", "ocio"))]
        others = [job.source.path for job in self.jobs] + [job.mask for job in self.jobs]
        results = [file for job in self.jobs for file in job.files(self.options)]
        check_apart(path, option, others=[*others, *results, *also, *(Path(name) for name in named if name)])

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
        # What is there already stays, or makes room for what takes its place.
        absent = sum(job.source.is_movie or not job.output.exists() for job in self.jobs)
        raw = size.width * size.height * (6 + 3 * options["matte"] * 2) * absent
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
        progress.say(f"about {_size(needed)} to write, {_size(free)} free in {folder}")
    if needed > 3 * free:
        raise UsageError(f"{folder}: {_size(free)} free, about {_size(needed)} needed; {advice}")


def _size(count: float) -> str:
    """Return a number of bytes for people."""
    return f"{count / 2**30:.2f} GiB" if count >= 1 << 30 else f"{count / 2**20:.1f} MiB"


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
    frame_rate(options["fps"])
    skips = options["missing"] == "skip"
    sources = find_sources(inputs, frames=options["frames"], views=views_of(options), sparse=skips)
    missing = [source for source in sources if source.missing]
    if missing and skips:
        sources = [source for source in sources if not source.missing]
        if not sources:
            raise UsageError(f"{inputs[0]}: all {len(missing)} frames of the range are missing; check the path")
    plates = _without_results(sources)
    results, sources = len(sources) - len(plates), plates
    outputs = place_outputs(sources, output)
    masks = _masks(sources, options["mask"])
    sheets = _sheets(len(outputs), options["preview"])
    jobs = [
        Job(source=source, output=output_path, mask=mask, sheet=number in sheets)
        for number, (source, output_path, mask) in enumerate(zip(sources, outputs, masks, strict=True))
    ]
    how = output_options(options)
    refuse_collisions(sources, [job.files(how) for job in jobs], also=masks)
    left_out = [source.path for source in missing if skips]
    return JobPlan(jobs=jobs, options=how, left_out=left_out, results=results)


def _without_results(sources: list[Source]) -> list[Source]:
    """Leave out results of earlier runs that lie in the folders that are searched: they are expanded already."""

    def is_earlier(source: Source) -> bool:
        return source.found and source.path.suffix.lower() in SUFFIXES and is_result(source.path)

    kept = [source for source in sources if not is_earlier(source)]
    if not kept:
        raise UsageError(f"{sources[0].path.parent}: holds results of earlier runs alone; name what is to be expanded")
    return kept


def views_of(options: dict[str, Any]) -> list[str]:
    """Return the names of `--views`."""
    return [view.strip() for view in options["views"].split(",") if view.strip()]


def _masks(sources: Sequence[Source], mask: str | None) -> list[Path | None]:
    if mask is None:
        return [None] * len(sources)
    pattern = as_pattern(mask)
    if pattern is None:
        if not Path(mask).exists():
            raise UsageError(f"--mask {mask}: does not exist; check the path")
        return [Path(mask)] * len(sources)
    masks: list[Path | None] = []
    for source in sources:
        if source.is_movie:
            # Its frames are numbered when it is read.
            masks.append(Path(mask))
            continue
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
