"""What of a batch is a shot, and the analyses that make it steady."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from expandnet_batch.ahead import open_ahead
from expandnet_batch.failures import FRAME_FAILURES, failure_text
from expandnet_batch.jobs import Given, Job, check_room
from expandnet_batch.progress import Progress
from expandnet_batch.report import ShotRecord
from expandnet_batch.resume import up_to_date
from expandnet_ofx.analysis import Analysis
from expandnet_ofx.convert import Converter
from expandnet_ofx.defaults import WINDOW
from expandnet_ofx.errors import InputError, UsageError
from expandnet_ofx.looks import Look, look_at
from expandnet_ofx.provenance import analysis_settings
from expandnet_ofx.sequences import without_number
from expandnet_ofx.shots import Shot, ShotFrame, ShotWriter, differing, runs
from expandnet_ofx.sources import Identity, Prepared
from expandnet_ofx.steady import Steadying, SteadyShot, make_steady_views
from expandnet_ofx.workers import Results
from expandnet_ofx.writer import read_provenance

KEPT_BYTES = 1.5e6
"""What a batch keeps of a shot's frame while it runs: its small maps."""


@dataclass(frozen=True, kw_only=True)
class FrameSequence:
    """Jobs whose names are numbered alike, in the order of their numbers; or one movie; of one view."""

    name: str
    jobs: list[Job]
    tiles: bool = False
    """Numbers are those of UDIM tiles."""


class Book:
    """Gives the analyses of a batch's frames, see `jobs.Analyses`, and remembers what was taken for a shot."""

    def __init__(self) -> None:
        self._given: dict[tuple[Path, int], Callable[[Identity], Given]] = {}
        self._records: dict[tuple[Path, int], ShotRecord] = {}
        self.shot: Shot | None = None
        """One for all frames, by number alone."""
        self.records: list[ShotRecord] = []
        """What was taken for a shot, for the report."""

    def __call__(self, path: Path, number: int | None, identity: Identity) -> Given | None:
        """Return the analysis of a frame; None where it is no frame of a shot."""
        if self.shot is not None:
            frame = self.shot.frame(number, identity)
            return Given(key=frame.key, load=frame.load)
        found = self._given.get((path, number or 0))
        return None if found is None else found(identity)

    def record_of(self, path: Path, number: int | None) -> ShotRecord | None:
        """Return the shot of a frame."""
        return self._records.get((path, number or 0))

    def note(
        self,
        sequence: FrameSequence,
        spans: Sequence[Sequence[int]],
        *,
        window: int | None,
        locked: int | None = None,
    ) -> None:
        """Remember what of a sequence is a shot, by first and last frame, and the frame that locks the one it is in."""
        for first, last in spans:
            record = ShotRecord(
                sequence=sequence.name,
                first=first,
                last=last,
                window=window,
                tiles=sequence.tiles,
                locked=locked if locked is not None and first <= locked <= last else None,
            )
            self.records.append(record)
            for path, number in _frames_of(sequence, range(first, last + 1)):
                self._records[path, number] = record

    def add(
        self,
        sequence: FrameSequence,
        frames: Mapping[int, ShotFrame],
        made: SteadyShot,
        keys: Mapping[int, str],
        *,
        replaced: str = "was replaced while the batch ran; run it again",
    ) -> None:
        """Add the steady analyses of a sequence, made from those of its frames.

        Args:
            replaced: what is said of a frame that is another picture by now.
        """

        def given(path: Path, number: int) -> Callable[[Identity], Given]:
            def check(identity: Identity) -> Given:
                if identity.source_sha256 != frames[number].identity.source_sha256:
                    raise InputError(f"{path}: {replaced}")
                return Given(key=keys[number], load=partial(made.load, number))

            return check

        for path, number in _frames_of(sequence, frames):
            self._given[path, number] = given(path, number)

    def settle(self, sequence: FrameSequence, keys: Mapping[int, str]) -> None:
        """Add a sequence whose results all exist and can stay: nothing of it is analyzed."""

        def load() -> Analysis:
            raise InputError(f"{sequence.name}: changed while the batch ran; run it again")

        def given(key: str) -> Callable[[Identity], Given]:
            return lambda _: Given(key=key, load=load)

        for path, number in _frames_of(sequence, keys):
            self._given[path, number] = given(keys[number])


def _frames_of(sequence: FrameSequence, numbers: Iterable[int]) -> Iterator[tuple[Path, int]]:
    wanted = set(numbers)
    for job in sequence.jobs:
        for number in wanted if job.source.is_movie else wanted & {job.number or 0}:
            yield job.source.path, number


def window_of(text: str) -> int | None:
    """Return the window of `--steady`, None for off; raise `UsageError` if it is none."""
    if text == "off":
        return None
    try:
        return Steadying(window=WINDOW if text == "auto" else int(text)).window
    except (ValueError, UsageError):
        raise UsageError(f"--steady {text}: use auto, off, or an odd number of frames") from None


def sequences(jobs: Sequence[Job]) -> list[list[FrameSequence]]:
    """Return what may be a shot, each a list of its views.

    That is two or more frames numbered alike in one folder, tiles of one picture, views of one picture, and movies.
    """
    groups: dict[Any, dict[str | None, list[Job]]] = {}
    for job in jobs:
        source = job.source
        if source.missing or not (source.is_movie or source.notation or job.number is not None):
            continue
        name = source.path.name if source.is_movie else without_number(source.path)
        key = source.notation or (source.path.parent, name)
        groups.setdefault(key, {}).setdefault(source.view, []).append(job)
    found = []
    for views in groups.values():
        first = next(iter(views.values()))
        numbers = [job.number for job in first]
        if len(set(numbers)) < len(numbers) and not first[0].source.is_movie:
            # 1001 and 01001: nobody can say which is the frame, so each is a still.
            continue
        if len(views) > 1 or len(first) > 1 or first[0].source.is_movie:
            found.append([_sequence(members) for members in views.values()])
    return found


def _sequence(members: list[Job]) -> FrameSequence:
    source = members[0].source
    name = source.path.name if source.is_movie else without_number(source.path)
    ordered = members if source.is_movie else sorted(members, key=lambda job: job.number or 0)
    return FrameSequence(name=str(source.path.parent / name), jobs=ordered, tiles=source.udim)


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
    found = sequences(jobs)
    if options["analysis"] is not None:
        book.shot = Shot.load(options["analysis"])
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
        if options["existing"] == "skip" and _settled(book, views, converter, settings, how):
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
    settings = analysis_settings(converter.expander)
    shots = [analyze_frames(view, converter, options, scratch / f"{k}.json", progress) for k, view in enumerate(views)]
    known = [(view, shot.frames) for view, shot in zip(views, shots, strict=True) if shot.frames]
    for (view, frames), steady in zip(known, make_steady_views([frames for _, frames in known], how), strict=True):
        spans = steady.smoothing["shots"]
        beside = [other for _, other in known if other is not frames]
        book.add(view, frames, steady, steady_keys(spans, [frames, *beside], settings, how))
        book.note(view, spans, window=how.window)


def steady_keys(
    spans: Sequence[Sequence[int]],
    views: Sequence[Mapping[int, ShotFrame]],
    settings: Mapping[str, Any],
    how: Steadying,
) -> dict[int, str]:
    """Return for each frame what its steady analysis was made from: span, plates, settings."""
    plates = [{number: frame.identity.source_sha256 for number, frame in view.items()} for view in views]
    return {n: key for first, last in spans for n, key in _span_keys(first, last, plates, settings, how).items()}


def _span_keys(
    first: int, last: int, plates: Sequence[Mapping[int, str]], settings: Mapping[str, Any], how: Steadying
) -> dict[int, str]:
    numbers = [n for n in plates[0] if first <= n <= last]
    made_from = [[[n, view.get(n)] for n in sorted(numbers)] for view in plates]
    record = json.dumps([made_from, settings, how.window, how.tiles], sort_keys=True)
    return dict.fromkeys(numbers, f"{first}-{last} {hashlib.sha256(record.encode()).hexdigest()}")


def _settled(
    book: Book, views: Sequence[FrameSequence], converter: Converter, settings: Mapping[str, Any], how: Steadying
) -> bool:
    """Tell whether all results of a sequence exist and can stay, and if so settle it.

    A result says from which frames its analysis was made. Where those are the same plates still, and no other frame is
    there, an analysis would come out the same again.
    """
    if any(job.source.is_movie for view in views for job in view.jobs):
        return False
    try:
        identities = [
            {job.number or 0: converter.identify(job.source.path, job.mask) for job in view.jobs} for view in views
        ]
    except InputError:
        return False
    plates = [{number: identity.source_sha256 for number, identity in view.items()} for view in identities]
    settled: list[tuple[FrameSequence, dict[int, str], list[tuple[int, int]]]] = []
    for k, view in enumerate(views):
        keys: dict[int, str] = {}
        spans: list[tuple[int, int]] = []
        own = [plates[k], *(other for other in plates if other is not plates[k])]
        for job in view.jobs:
            number = job.number or 0
            if number not in keys:
                span = _span_of(job.output)
                if span is None:
                    return False
                spans.append(span)
                keys |= _span_keys(*span, own, settings, how)
            identity = replace(identities[k][number], analysis_sha256=keys.get(number))
            if not up_to_date(converter, identity, job.output, preview=job.preview):
                return False
        settled.append((view, keys, spans))
    for view, keys, spans in settled:
        book.settle(view, keys)
        book.note(view, spans, window=how.window)
    return True


def _span_of(output: Path) -> tuple[int, int] | None:
    """Return first and last frame of the shot that a result was made in, as it says itself."""
    record = read_provenance(output) if output.exists() else None
    span = str((record or {}).get("analysis_sha256") or "").partition(" ")[0].split("-")
    return (int(span[0]), int(span[1])) if len(span) == 2 and all(part.isdigit() for part in span) else None


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
    writer = ShotWriter(target, analysis_settings(converter.expander))
    total = None if any(job.source.is_movie for job in sequence.jobs) else len(sequence.jobs)
    with closing(analyzed(sequence.jobs, converter, options)) as frames:
        for done, (job, frame) in enumerate(frames, 1):
            if isinstance(frame, BaseException):
                if failures is not None:
                    failures.append(failure_text(frame, job.source.path))
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
