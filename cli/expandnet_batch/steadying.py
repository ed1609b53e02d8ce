"""What of a batch is a shot, and the analyses that make it steady."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expandnet_batch.jobs import FRAME_FAILURES, Job
from expandnet_batch.progress import Progress
from expandnet_ofx.convert import Converter
from expandnet_ofx.errors import UsageError
from expandnet_ofx.looks import look_at
from expandnet_ofx.provenance import analysis_settings
from expandnet_ofx.sequences import without_number
from expandnet_ofx.shots import Shot, ShotFrame, ShotWriter, differing
from expandnet_ofx.smoothing import WINDOW
from expandnet_ofx.sources import Identity, Prepared
from expandnet_ofx.steady import Steadying, steady


@dataclass(frozen=True, kw_only=True)
class FrameSequence:
    """Jobs whose names are numbered alike, in the order of their numbers; or one movie."""

    name: str
    jobs: list[Job]


class Book:
    """Gives the analyses of a batch's frames, see `jobs.Analyses`."""

    def __init__(self) -> None:
        self._shots: dict[Path, Shot] = {}
        self.shot: Shot | None = None
        """One for all frames, by number alone."""
        self.found: list[dict[str, Any]] = []
        """What was taken for a shot, for the report."""

    def __call__(self, path: Path, number: int | None, identity: Identity) -> ShotFrame | None:
        """Return the analysis of a frame; None where it is no frame of a shot."""
        if self.shot is not None:
            return self.shot.frame(number, identity)
        shot = self._shots.get(path)
        if shot is None or number not in shot.frames:
            return None
        return shot.frame(number, identity)

    def add(self, sequence: FrameSequence, shot: Shot) -> None:
        """Add the steady analyses of a sequence."""
        self._shots |= {job.source.path: shot for job in sequence.jobs}
        assert shot.smoothing is not None
        spans = shot.smoothing["shots"]
        self.found += [
            {"sequence": sequence.name, "frames": span, "window": shot.smoothing["window"]} for span in spans
        ]


def window_of(text: str) -> int | None:
    """Return the window of `--steady`, None for off; raise `UsageError` if it is none."""
    if text == "off":
        return None
    try:
        return Steadying(window=WINDOW if text == "auto" else int(text)).window
    except ValueError:
        raise UsageError(f"--steady {text}: use auto, off, or an odd number of frames") from None


def sequences(jobs: Sequence[Job]) -> list[FrameSequence]:
    """Return what may be a shot: two or more frames numbered alike in one folder and one view, and movies."""
    groups: dict[tuple[Path, str, str | None], list[Job]] = {}
    for job in jobs:
        source = job.source
        if not source.missing and (source.is_movie or job.number is not None):
            name = source.path.name if source.is_movie else without_number(source.path)
            groups.setdefault((source.path.parent, name, source.view), []).append(job)
    found = []
    for (folder, name, _), members in groups.items():
        movie = members[0].source.is_movie
        if movie or len(members) > 1:
            ordered = members if movie else sorted(members, key=lambda job: job.number or 0)
            found.append(FrameSequence(name=str(folder / name), jobs=ordered))
    return found


def open_book(
    jobs: Sequence[Job], converter: Converter, options: dict[str, Any], scratch: Path, progress: Progress
) -> Book:
    """Analyze the shots of a batch, or read their analyses; see `Book`.

    Args:
        scratch: folder for what is kept while the batch runs.
        progress: shows the pass over the frames.

    Raises:
        UsageError: a shot was analyzed with other settings.
    """
    book = Book()
    settings = analysis_settings(converter.expander)
    if options["analysis"] is not None:
        book.shot = Shot.load(options["analysis"])
        if changed := differing(book.shot.settings, settings):
            raise UsageError(f"--analysis {book.shot.path}: made with another {changed}; analyze the shot again")
        return book
    window = window_of(options["steady"])
    if window is None or converter.expander.settings.relative:
        return book
    for number, sequence in enumerate(sequences(jobs)):
        shot = analyze_frames(sequence, converter, options, scratch / f"{number}.json", progress)
        if len(shot.frames) > 1:
            target = scratch / f"{number}.steady.json"
            book.add(sequence, steady(shot.frames, settings, target, Steadying(window=window)))
    return book


def analyze_frames(
    sequence: FrameSequence,
    converter: Converter,
    options: dict[str, Any],
    target: Path,
    progress: Progress,
    *,
    failures: list[str] | None = None,
) -> Shot:
    """Analyze the frames of a sequence into a shot's file; those that cannot be read are left out.

    A batch has no use for their failures: they fail again, and are reported, when they are expanded.

    Args:
        failures: gets a line for each frame that failed.
    """
    failed = failures if failures is not None else []
    writer = ShotWriter(target, analysis_settings(converter.expander))
    for done, (job, prepared) in enumerate(_opened(sequence, converter, options, failed), 1):
        try:
            analyses = converter.analyze(prepared)
            part = next(k for k, analysis in enumerate(analyses) if analysis is not None)
            survey, analysis = prepared.parts[part].survey, analyses[part]
            assert survey is not None
            assert analysis is not None
            assert job.number is not None
            writer.add(job.number, prepared.identity, look_at(survey.proxy), analysis)
        except FRAME_FAILURES as error:
            failed.append(str(error))
            continue
        finally:
            prepared.close()
        progress.stage(f"analyzing {sequence.name}", done, None if job.source.is_movie else len(sequence.jobs))
    return writer.commit()


def _opened(
    sequence: FrameSequence, converter: Converter, options: dict[str, Any], failed: list[str]
) -> Iterator[tuple[Job, Prepared]]:
    for job in sequence.jobs:
        try:
            for frame_job, prepared in job.open(converter, {**options, "existing": "overwrite", "preview": "none"}):
                assert prepared is not None
                yield frame_job, prepared
        except FRAME_FAILURES as error:
            failed.append(str(error))
