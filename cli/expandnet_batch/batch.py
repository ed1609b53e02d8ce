"""The batch: plan all work, refuse what cannot work, then read, expand and write with each overlapping the next."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import Event, Lock
from typing import Any

import click

from expandnet_batch.ahead import DroppedError, Opened, open_ahead
from expandnet_batch.book import Book
from expandnet_batch.expanding import most_expanded, share_of
from expandnet_batch.failures import FRAME_FAILURES, failure_text
from expandnet_batch.jobs import Job
from expandnet_batch.opening import check_options, open_converter
from expandnet_batch.planning import JobPlan, check_folder, check_replaceable, plan_jobs
from expandnet_batch.progress import Progress, open_progress
from expandnet_batch.report import Report, ShotRecord
from expandnet_batch.runtime import MemoryGuard, tune_process
from expandnet_batch.steadying import open_book, window_of
from expandnet_ofx.convert import Begun, Converter, FrameReport
from expandnet_ofx.errors import UsageError
from expandnet_ofx.expander import Expander
from expandnet_ofx.flicker import Glimpse
from expandnet_ofx.partials import scratch_folder
from expandnet_ofx.sources import Prepared
from expandnet_ofx.workers import Results, within


def run_batch(
    inputs: Sequence[str], *, output: str, planned: Callable[[JobPlan], None] | None = None, **options: Any
) -> int:
    """Convert everything the command line names; return the exit code.

    Args:
        planned: is told the plan before any work.

    Raises:
        UsageError, WeightsError: before any work, with nothing written.
    """
    plan = plan_jobs(inputs, output, options)
    if planned is not None:
        planned(plan)
    if options["dry_run"]:
        return _dry_run(plan, options)
    return run_plan(plan, options)


WRITTEN_SHARE = 1 / 4
"""Share of `--memory` that frames waiting to be written may hold beside a device, one per processor at most, since one file
at a time would make it wait. On the CPU one is enough: the network takes longer than the writer."""

OpenBook = Callable[[Converter], Book]
"""Gives the analyses of a batch's frames, once the weights are open."""

Seen = Callable[[ShotRecord, int, Glimpse], None]
"""Gets the shot, the number and a small picture of a frame that is done."""


def run_plan(
    plan: JobPlan,
    options: dict[str, Any],
    *,
    open_book: OpenBook | None = None,
    seen: Seen | None = None,
) -> int:
    """Convert all jobs of a plan; return the exit code.

    Args:
        open_book: gives analyses; None makes them as `--steady` and `--analysis` say.
        seen: gets how each frame of a shot looks as soon as it is done.
    """
    kind = "none" if options["quiet"] else options["progress"]
    with open_progress(kind, total=plan.frames) as progress:
        return _Batch(plan, options, progress, open_book, seen).run()


def _dry_run(plan: JobPlan, options: dict[str, Any]) -> int:
    """Show what would be written; return the exit code that missing frames would give."""
    check_places(plan, options)
    check_options(options)
    for job in plan.jobs:
        click.echo(f"{job.source.path} -> {'missing' if job.source.missing else job.output}")
    return 1 if any(job.source.missing for job in plan.jobs) else 0


def check_places(plan: JobPlan, options: dict[str, Any]) -> None:
    """Raise `UsageError` if results or the report cannot be put where they go, or must not."""
    plan.check_outputs(options["existing"])
    plan.check_folders()
    if options["report"] is not None:
        if options["report"].is_dir():
            raise UsageError(f"--json {options['report']}: is a folder; name a file in it")
        check_folder(options["report"].parent, of=options["report"])
        plan.check_apart(options["report"], "--json", options)
        check_replaceable(options["report"], "--json")


class _Batch:
    def __init__(
        self,
        plan: JobPlan,
        options: dict[str, Any],
        progress: Progress,
        open_book: OpenBook | None,
        seen: Seen | None,
    ) -> None:
        self._plan = plan
        self._seen = seen
        self._given = open_book
        self._options = options
        self._progress = progress
        self.report = Report()
        self.report.planned = plan.frames
        self._started = time.perf_counter()
        self._memory = MemoryGuard(options["memory"])
        self._begun: deque[tuple[Job, Begun | FrameReport]] = deque()
        self._over = False
        self._dropped = Event()
        self._shares: dict[Path, float] = {}
        self._lock = Lock()

    def run(self) -> int:
        tune_process()
        window_of(self._options["steady"])
        check_places(self._plan, self._options)
        for path in self._plan.left_out:
            self._progress.say(f"{path}: missing, left out")
        if self._plan.results:
            self._progress.say(f"{self._plan.results} results of earlier runs in folders that were named are no inputs")
        converter = self._open_converter()
        self.report.describe(converter, self._options)
        self._plan.sweep(self._progress)
        self._plan.check_space(self._progress, self._options)
        try:
            with scratch_folder() as scratch:
                if self._given is not None:
                    book = self._given(converter)
                else:
                    book = open_book(self._plan.jobs, converter, self._options, scratch, self._progress)
                self.report.shots = book.records
                self._convert_all(converter, book)
        except UsageError:
            raise
        except BaseException as error:
            self.report.interrupted = not isinstance(error, Exception)
            self._finish()
            raise
        self._finish()
        if self._plan.jobs and not self.report.frames:
            raise UsageError(f"--frames {self._options['frames']}: no movie has a frame of the range; change it")
        return self.report.exit_code

    def _open_converter(self) -> Converter:
        converter = open_converter(self._options, self._plan.options)
        if self._options["verbose"]:
            engine, contract = converter.expander.engine, converter.expander.contract
            self._progress.say(f"{engine.name} on {engine.device}, {engine.precision}, {contract.name}")
        if advice := converter.expander.engine.advice:
            self._progress.say(f"warning  {advice}")
        return converter

    def _convert_all(self, converter: Converter, book: Book) -> None:
        begun = self._begun
        ahead = open_ahead(self._plan.jobs, converter, self._options, book, dropped=self._dropped)
        with closing(ahead), closing(self._expanding(converter, ahead)) as expanding:
            try:
                # What is in work is finished even after another frame has failed.
                for job, frame in expanding:
                    begun.append((job, frame))
                    self._over |= self._stops(frame) or self._ends_with(book, converter.expander)
                while begun:
                    self._end(book)
            finally:
                for _, frame in begun:
                    if isinstance(frame, Begun):
                        frame.abandon()

    def _expanding(self, converter: Converter, ahead: Iterable[Opened]) -> Results[tuple[Job, Begun | FrameReport]]:
        """Yield frames that are begun, in their order, until the batch is over."""

        def calls() -> Iterator[tuple[float, Callable[[], tuple[Job, Begun | FrameReport]]]]:
            for job, prepared in ahead:
                share = share_of(prepared, converter) if isinstance(prepared, Prepared) else 0.0
                yield share, partial(self._begin, converter, job, prepared)
                fails = isinstance(prepared, BaseException) and self._options["on_error"] == "stop"
                if self._over or fails:
                    return

        return within(calls(), room=1.0, count=most_expanded(converter), dropped=self._dropped)

    def _begin(self, converter: Converter, job: Job, prepared: Any) -> tuple[Job, Begun | FrameReport]:
        if prepared is None:
            return job, FrameReport(input=str(job.source.path), output=str(job.output), status="skipped")
        if isinstance(prepared, BaseException):
            return job, self._failure(job, prepared)
        try:
            advance = partial(self._advance, job)
            return job, converter.begin(prepared, job.output, preview=job.preview, progress=advance)
        except FRAME_FAILURES as error:
            return job, self._failure(job, error)

    def _ends_with(self, book: Book, expander: Expander) -> bool:
        """Finish frames until no more are begun than may be; return whether the batch ends with one of them."""
        while self._begun and (isinstance(self._begun[0][1], FrameReport) or self._too_many(expander)):
            if self._stops(self._end(book)):
                return True
        return False

    def _too_many(self, expander: Expander) -> bool:
        """Tell whether more frames are on their way to disk than may be."""
        waiting = [frame.waiting for _, frame in self._begun if isinstance(frame, Begun)]
        if expander.engine.device == "cpu":
            return len(self._begun) > 1
        too_large = sum(waiting) > WRITTEN_SHARE * expander.settings.memory
        return len(waiting) > 1 and (len(waiting) > expander.engine.threads or too_large)

    def _end(self, book: Book) -> FrameReport:
        """Finish the frame that was begun first, and report it."""
        job, frame = self._begun[0]
        try:
            report = frame.finish() if isinstance(frame, Begun) else frame
        except FRAME_FAILURES as error:
            report = self._failure(job, error)
        # Not before: what an interruption leaves in it is abandoned.
        self._begun.popleft()
        record = book.record_of(job.source.path, job.number)
        if self._seen is not None and record is not None and job.number is not None and report.glimpse is not None:
            self._seen(record, job.number, report.glimpse)
        self.report.add(report, record, job.number)
        with self._lock:
            self._shares.pop(job.output, None)
            self._progress.frame(report)
        return report

    def _stops(self, frame: Begun | FrameReport) -> bool:
        """Tell whether the batch ends with this frame."""
        return isinstance(frame, FrameReport) and frame.status == "failed" and self._options["on_error"] == "stop"

    def _advance(self, job: Job, share: float) -> None:
        if self._dropped.is_set():
            raise DroppedError
        self._memory.check()
        with self._lock:
            self._shares[job.output] = share
            self._progress.advance(sum(self._shares.values()))

    def _failure(self, job: Job, error: BaseException) -> FrameReport:
        text = failure_text(error, job.source.path)
        return FrameReport(input=str(job.source.path), output=str(job.output), status="failed", error=text)

    def _finish(self) -> None:
        path: Path | None = self._options["report"]
        self.report.seconds = time.perf_counter() - self._started
        self.report.missing = [str(missing) for missing in self._plan.left_out]
        self._progress.finish(self.report)
        if path is not None:
            self.report.save(path)
