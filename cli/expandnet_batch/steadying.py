"""What of a batch is a shot, and the analyses that make it steady."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from expandnet_batch.ahead import open_ahead
from expandnet_batch.book import Book, FrameSequence
from expandnet_batch.failures import FRAME_FAILURES
from expandnet_batch.jobs import Job
from expandnet_batch.planning import check_room
from expandnet_batch.progress import Progress
from expandnet_batch.settled import is_settled, steady_keys
from expandnet_ofx.analysis import Analysis
from expandnet_ofx.convert import Converter
from expandnet_ofx.defaults import WINDOW
from expandnet_ofx.dependence import differing
from expandnet_ofx.errors import InputError, UsageError
from expandnet_ofx.looks import Look, look_at
from expandnet_ofx.shots import Shot, ShotWriter, runs
from expandnet_ofx.sources import Identity, Prepared
from expandnet_ofx.steady import WIDEST, Steadying, make_steady_views
from expandnet_ofx.workers import Results

KEPT_BYTES = 1.5e6
"""What a batch keeps of a shot's frame while it runs: its small maps."""


def window_of(text: str) -> int | None:
    """Return the window of `--steady`, None for off; raise `UsageError` if it is none."""
    if text == "off":
        return None
    try:
        return Steadying(window=WINDOW if text == "auto" else int(text)).window
    except (ValueError, UsageError):
        raise UsageError(f"--steady {text}: use auto, off, or an odd number of frames, 1 to {WIDEST}") from None


def sequences(jobs: Sequence[Job]) -> list[list[FrameSequence]]:
    """Return what may be a shot, each a list of its views.

    That is two or more frames numbered alike in one folder, tiles of one picture, views of one picture, and movies.
    """
    groups: dict[Any, dict[str | None, list[Job]]] = {}
    for job in jobs:
        source = job.source
        if source.missing or not (source.is_movie or source.notation or job.number is not None):
            continue
        key = source.notation or (source.path.parent, source.series)
        groups.setdefault(key, {}).setdefault(source.view, []).append(job)
    found = []
    for views in groups.values():
        first = next(iter(views.values()))
        if not first[0].source.is_movie and any(
            len({job.number for job in jobs}) < len(jobs) for jobs in views.values()
        ):
            # 1001 and 01001: nobody can say which is the frame, so each is a still.
            continue
        if len(views) > 1 or len(first) > 1 or first[0].source.is_movie:
            found.append([_sequence(members) for members in views.values()])
    return found


def _sequence(members: list[Job]) -> FrameSequence:
    source = members[0].source
    ordered = members if source.is_movie else sorted(members, key=lambda job: job.number or 0)
    return FrameSequence(name=str(source.path.parent / source.series), jobs=ordered, tiles=source.udim)


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
    settings = converter.expander.analyses_depend_on
    found = sequences(jobs)
    if options["analysis"] is not None:
        try:
            book.shot = Shot.load(options["analysis"])
        except InputError as error:
            raise UsageError(f"--analysis {error}") from error
        if book.shot.smoothing is None:
            raise UsageError(f"--analysis {book.shot.path}: as analyzed; make it steady with expandnet smooth")
        if options["steady"] != "auto":
            raise UsageError("--steady: --analysis holds what was made steady; drop one of them")
        if changed := differing(book.shot.settings, settings):
            raise UsageError(f"--analysis {book.shot.path}: made with another {changed}; analyze the shot again")
        for sequence in (view for views in found for view in views):
            smoothing = book.shot.smoothing
            book.note(sequence, smoothing["shots"], window=smoothing["window"], locked=smoothing["lock_frame"])
        return book
    window = window_of(options["steady"])
    off = window is None or converter.expander.settings.relative
    for number, views in enumerate(found):
        if off:
            for view in views:
                spans = runs(job.number or 0 for job in view.jobs if not job.source.is_movie)
                book.note(view, [(span[0], span[-1]) for span in spans], window=None)
            continue
        how = Steadying(window=window or 1, tiles=views[0].tiles)
        if options["existing"] == "skip" and is_settled(book, views, converter, settings, how):
            continue
        kept = KEPT_BYTES * sum(len(view.jobs) for view in views)
        check_room(scratch, kept, progress, advice="set TMPDIR to a folder on another disk")
        _analyze_views(book, views, converter, options, how, scratch / str(number), progress)
    return book


def _analyze_views(
    book: Book,
    views: Sequence[FrameSequence],
    converter: Converter,
    options: dict[str, Any],
    how: Steadying,
    scratch: Path,
    progress: Progress,
) -> None:
    settings = converter.expander.analyses_depend_on
    failures: dict[Path, BaseException] = {}
    shots = [
        analyze_frames(view, converter, options, scratch / f"{k}.json", progress, failures=failures)
        for k, view in enumerate(views)
    ]
    book.fail(failures)
    known = [(view, shot.frames) for view, shot in zip(views, shots, strict=True) if shot.frames]
    for (view, frames), steady in zip(known, make_steady_views([frames for _, frames in known], how), strict=True):
        spans = steady.smoothing["shots"]
        beside = [other for _, other in known if other is not frames]
        book.add(view, frames, steady, steady_keys(spans, [frames, *beside], settings, how))
        book.note(view, spans, window=how.window)


def analyze_frames(
    sequence: FrameSequence,
    converter: Converter,
    options: dict[str, Any],
    target: Path,
    progress: Progress,
    *,
    failures: dict[Path, BaseException],
) -> Shot:
    """Analyze the frames of a sequence into a shot's file; those that cannot be read are left out.

    Args:
        failures: gets why a file could not be analyzed.
    """
    total = None if any(job.source.is_movie for job in sequence.jobs) else len(sequence.jobs)
    with (
        ShotWriter(target, converter.expander.analyses_depend_on) as writer,
        closing(analyzed(sequence.jobs, converter, options)) as frames,
    ):
        for done, (job, frame) in enumerate(frames, 1):
            if isinstance(frame, BaseException):
                failures[job.source.path] = frame
            else:
                writer.add(job.number or 0, *frame)
            progress.stage(f"analyzing {sequence.name}", done, total)
        return writer.commit()


def analyzed(
    jobs: Iterable[Job], converter: Converter, options: dict[str, Any]
) -> Results[tuple[Job, tuple[Identity, Look, Analysis] | BaseException]]:
    """Yield for each frame, in order, what a shot keeps of it, or its failure."""
    opening = {**options, "existing": "overwrite", "preview": "none"}
    with closing(open_ahead(jobs, converter, opening)) as frames:
        for job, prepared in frames:
            if not isinstance(prepared, Prepared):
                assert prepared is not None
                yield job, prepared
                continue
            try:
                analyses = converter.analyze(prepared)
            except FRAME_FAILURES as error:
                yield job, error
                continue
            finally:
                prepared.close()
            found = zip(analyses, prepared.parts, strict=True)
            analysis, survey = next((analysis, part.survey) for analysis, part in found if analysis is not None)
            assert survey is not None
            yield job, (prepared.identity, look_at(survey.proxy), analysis)
