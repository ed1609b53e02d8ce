"""The file of a job: every frame with its paths, the settings, and how the work is divided."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from expandnet_batch.book import FrameSequence
from expandnet_batch.jobs import Job
from expandnet_batch.submission.paths import PathRule, mapped, ruled
from expandnet_ofx import __version__
from expandnet_ofx.errors import UsageError
from expandnet_ofx.partials import write_text
from expandnet_ofx.sequences import Source, parse_frames
from expandnet_ofx.shots import runs

SCHEMA = 1
"""Version of the file; another one is refused."""

STEPS = ("analyze", "smooth", "expand", "check")
"""Steps of a job, each after the one before; analyze and expand are divided into chunks."""

THEN = "then"
"""A last step, for what waits for the results."""

FRAMES = "{frames}"
"""Stands for the frames of a task in the words of that step, as 1001-1010."""

MEMORY_BESIDE = 1 << 30
"""Bytes that a task takes beside what `--memory` plans: the interpreter and its libraries."""

THREADS_PLANNED, MEMORY_PER_THREAD = 8, 60 << 20
"""Threads that are in what `--memory` plans, and bytes that each further one may take for its tile."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One frame: paths as they were where the job was submitted."""

    frame: int
    source: str
    output: str
    mask: str | None = None
    sheet: bool = False


@dataclass(frozen=True, kw_only=True)
class FrameSet:
    """Frames of one sequence and one view, or loose stills."""

    name: str
    items: tuple[Item, ...]
    group: int
    """Views of one shot share it."""
    tiles: bool = False
    shot: bool = True
    """False for stills that belong to no sequence."""


@dataclass(frozen=True, kw_only=True)
class FarmJob:
    """What a farm is to do."""

    name: str
    options: dict[str, Any]
    """Options of `expandnet-batch` that results depend on."""
    window: int | None
    """Frames that shots are smoothed over; None leaves each frame to itself, and the first two steps out."""
    chunk: int
    """Frames per task."""
    gpu: bool
    sequences: tuple[FrameSet, ...]
    then: tuple[str, ...] = ()
    """Words of a command for when every result is there, such as the render of a comp; {frames} stands for frames."""
    rules: tuple[PathRule, ...] = ()
    folder: Path = field(default=Path())
    """Where the job's file lies; results of steps go beside it."""

    @property
    def frames(self) -> list[int]:
        """All frame numbers."""
        return sorted({item.frame for sequence in self.sequences for item in sequence.items})

    @property
    def chunks(self) -> list[list[int]]:
        """Frames of each task."""
        frames = self.frames
        return [frames[k : k + self.chunk] for k in range(0, len(frames), self.chunk)]

    @property
    def frame_range(self) -> str:
        """All frame numbers as farms write them: 1001-1010,1020."""
        return range_text(self.frames)

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps that this job has."""
        own = STEPS if self.window is not None else STEPS[2:]
        return (*own, THEN) if self.then else own

    def chunked(self, step: str) -> bool:
        """Tell whether a step is divided into chunks."""
        return step in ("analyze", "expand") or (step == THEN and any(FRAMES in word for word in self.then))

    def last_words(self, frames: Sequence[int]) -> list[str]:
        """Return the words of the last step for some frames, with paths as they are on this machine.

        Of frames with gaps a flag is given once for each run, as Nuke takes them: -F 1001-1003 -F 1006.
        """
        words: list[str] = []
        for before, word in zip(("", *self.then), self.then, strict=False):
            if word == FRAMES and before.startswith("-"):
                first, *others = range_text(frames).split(",")
                words += [first, *(part for other in others for part in (before, other))]
            else:
                words.append(word.replace(FRAMES, range_text(frames)))
        return [ruled(word, self.rules) or word for word in words]

    def file_on_workers(self, folder: Path) -> str:
        """Return where workers find the job's file, which is written to a folder here."""
        here = str(folder / "job.json")
        return ruled(here, self.rules) or here

    @staticmethod
    def words(file: str, step: str) -> list[str]:
        """Return the words after `expandnet` that run a step of a job's file."""
        return ["check", file] if step == "check" else ["task", file, step]

    def memory_of(self, step: str) -> int | None:
        """Return the bytes that a task of a step may take; None for another's command, of which nothing is known."""
        if step == THEN:
            return None
        more = max(0, self.threads - THREADS_PLANNED)
        return int(self.options["memory"]) + MEMORY_BESIDE + more * MEMORY_PER_THREAD

    @property
    def threads(self) -> int:
        """Processors that a task uses; 0 for all that it is given."""
        return int(self.options.get("threads", 0))

    def expands(self, step: str) -> bool:
        """Tell whether a step runs the network."""
        return self.chunked(step) and step != THEN

    @property
    def scratch(self) -> Path:
        """Where analyses are kept while the job runs."""
        return self.folder / "scratch"

    @property
    def reports(self) -> Path:
        """Where tasks leave what they did."""
        return self.folder / "reports"

    def select(self, frames: str | None, chunk: int | None) -> list[int]:
        """Return the frames of a task; raise `UsageError` if they are not of this job."""
        if frames is not None and chunk is not None:
            raise UsageError("--frames and --chunk: choose one")
        if frames is not None:
            # Farms divide ranges as they like: a last chunk may reach beyond the last frame, or over a gap.
            known = set(self.frames)
            wanted = [frame for frame in parse_frames(frames) if frame in known]
            if not wanted:
                raise UsageError(f"--frames {frames}: none is a frame of {self.folder / 'job.json'}")
            return wanted
        if chunk is None:
            return self.frames
        if not 0 <= chunk < len(self.chunks):
            raise UsageError(f"--chunk {chunk}: the job has {len(self.chunks)} chunks, counted from 0")
        return self.chunks[chunk]

    def views(self) -> Iterator[list[FrameSet]]:
        """Yield the sequences, those of one shot together."""
        groups: dict[int, list[FrameSet]] = {}
        for sequence in self.sequences:
            groups.setdefault(sequence.group, []).append(sequence)
        yield from groups.values()

    def here(self, sequence: FrameSet, frames: Sequence[int] | None = None) -> FrameSequence:
        """Return the frames of a sequence as jobs, with paths as they are on this machine."""
        wanted = None if frames is None else set(frames)
        jobs = [self._job(item) for item in sequence.items if wanted is None or item.frame in wanted]
        return FrameSequence(name=sequence.name, jobs=jobs, tiles=sequence.tiles)

    def _job(self, item: Item) -> Job:
        path = mapped(item.source, self.rules)
        mask = None if item.mask is None else mapped(item.mask, self.rules)
        source = Source(path=path, frame=item.frame, root=path.parent)
        return Job(source=source, output=mapped(item.output, self.rules), mask=mask, sheet=item.sheet)

    def save(self, path: Path) -> None:
        """Write the file; it appears only when complete."""
        data = {"kind": "expandnet-job", "schema": SCHEMA, "program": f"expandnet-ofx {__version__}", **asdict(self)}
        del data["folder"]
        write_text(path, json.dumps(data, indent=1) + "\n")

    @classmethod
    def load(cls, path: Path, *, rules: Sequence[PathRule] = (), localized: bool = True) -> FarmJob:
        """Read a job's file; raise `UsageError` if it is none.

        Args:
            rules: where paths lie on this machine, before those that the job itself holds.
            localized: whether options that are paths become those of this machine.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data.pop("kind") != "expandnet-job":
                raise ValueError("another kind of file")
            if data.pop("schema") != SCHEMA:
                raise ValueError(f"another version than {SCHEMA}")
            del data["program"]
            sequences = [
                FrameSet(**{**entry, "items": tuple(Item(**item) for item in entry["items"])})
                for entry in data.pop("sequences")
            ]
            own = [PathRule(**rule) for rule in data.pop("rules")]
            then = tuple(map(str, data.pop("then")))
            job = cls(
                **data, then=then, sequences=tuple(sequences), rules=(*rules, *own), folder=path.absolute().parent
            )
            if min(int(job.chunk), int(job.options["memory"])) < 1:
                raise ValueError("chunk and memory: need 1 or more")
        except OSError as error:
            raise UsageError(
                f"{path}: cannot be read ({error.strerror or error}); check the path and its disk"
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"{path}: not a job of expandnet submit ({error}); submit again") from error
        for name in ("weights", "ocio") if localized else ():
            # A name such as ocio://default is no path.
            if (value := job.options.get(name)) and "://" not in value:
                job.options[name] = str(mapped(value, job.rules))
        return job


def range_text(frames: Sequence[int]) -> str:
    """Return frame numbers as farms write them: 1001-1010,1020."""
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs(frames))


def stepped_text(frames: Sequence[int]) -> str:
    """Return ascending frame numbers as Open Job Description writes them: 1001-1010,1020-1040:2 (2023-09, IntRangeExpr)."""
    from fileseq.frameset import FrameSet

    return str(FrameSet(frames)).replace("x", ":")
