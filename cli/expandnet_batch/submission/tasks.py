"""What a farm runs: one step of a job, for some of its frames.

Every task may be run again, also beside a copy of itself that a farm has lost: files appear only when complete, and the
same work gives the same bytes.
"""

from __future__ import annotations

import itertools
import platform
import secrets
import shlex
import shutil
import subprocess
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click

from expandnet_batch.batch import run_plan
from expandnet_batch.book import Book
from expandnet_batch.failures import failure_text
from expandnet_batch.jobs import Job
from expandnet_batch.opening import open_converter
from expandnet_batch.planning import JobPlan, output_options
from expandnet_batch.progress import JsonProgress, PlainProgress, open_progress
from expandnet_batch.resume import made_from
from expandnet_batch.runtime import tune_process
from expandnet_batch.steadying import analyzed
from expandnet_batch.submission.analyses import collected, how_steady, is_analyzed, raw_file, steady_book, steady_file
from expandnet_batch.submission.job import THEN, FarmJob
from expandnet_batch.submission.summary import forget_glimpses, keep_glimpse, save_report
from expandnet_ofx import __version__
from expandnet_ofx.convert import Converter
from expandnet_ofx.errors import InputError, UsageError
from expandnet_ofx.partials import sweep
from expandnet_ofx.shots import ShotWriter
from expandnet_ofx.steady import keep_numbers, make_steady_views


def run_task(job: FarmJob, step: str, frames: Sequence[int], *, progress: str, keep_scratch: bool = False) -> int:
    """Run one step for some frames; return the exit code.

    Raises:
        ExpandNetError: what the step needs is not there.
    """
    tune_process()
    options = {**BATCH_DEFAULTS, **job.options, "progress": progress}
    _sweep(job)
    _say(options, f"expandnet-ofx {__version__}  {job.name} {step}  on {platform.node()}, {_versions()}")
    if step == "smooth":
        return _smooth(job, options)
    if step == "expand":
        return _expand(job, frames, options)
    if step == THEN:
        return _then(job, frames, options)
    if step == "check":
        return _check(job, options, keep_scratch=keep_scratch)
    return _analyze(job, frames, options)


def _say(options: Mapping[str, Any], text: str) -> None:
    """Show a line before a step's own progress begins: a farm's log has it in any case."""
    (JsonProgress if options["progress"] == "json" else PlainProgress)(None).say(text)


def _sweep(job: FarmJob) -> None:
    """Remove what tasks of this host that were killed left beside the job's file."""
    for folder in (job.folder, job.scratch, job.scratch / "analyses", job.reports):
        if folder.is_dir():
            sweep(folder)


def _then(job: FarmJob, frames: Sequence[int], options: Mapping[str, Any]) -> int:
    """Run what waits for the results; return its exit code."""
    if not job.then:
        raise UsageError(f"{job.folder / 'job.json'}: has no last step; submit with --then")
    words = job.last_words(frames)
    _say(options, shlex.join(words))
    try:
        child = subprocess.Popen(words)
    except OSError as error:
        raise UsageError(f"{words[0]}: cannot be started ({error.strerror or error})") from error
    try:
        return child.wait()
    except BaseException:
        # A farm gives notice, which is the command's as well.
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            child.wait(timeout=NOTICE)
        raise
    finally:
        child.kill()
        child.wait()


NOTICE = 20.0
"""Seconds in which the command of the last step may end by itself once its task is told to."""

BATCH_DEFAULTS: dict[str, Any] = {
    "analysis": None, "dry_run": False, "existing": "skip", "first_frame": 1, "fps": None, "frames": None, "mask": None,
    "missing": "error", "quiet": False, "report": None, "steady": "off", "verbose": True, "views": "",
}  # fmt: skip
"""Options of `expandnet-batch` that a job decides by itself."""


def _versions() -> str:
    """Return what results may depend on, for the log."""
    found = [f"Python {platform.python_version()}"]
    for name in ("torch", "openvino", "numpy", "openimageio"):
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return ", ".join(found)


def _converter(job: FarmJob, options: dict[str, Any]) -> Converter:
    converter = open_converter(options, output_options(options))
    engine = converter.expander.engine
    _say(options, f"{engine.name} on {engine.device}, {engine.precision}, weights {engine.weights.contract.name}")
    return converter


def _analyze(job: FarmJob, frames: Sequence[int], options: dict[str, Any]) -> int:
    converter = _converter(job, options)
    wanted = [
        (sequence, frame)
        for sequence in job.sequences
        if sequence.shot
        for frame in sorted({item.frame for item in sequence.items} & set(frames))
    ]
    failed = 0
    with open_progress(options["progress"], total=len(wanted)) as progress:
        done, waiting = itertools.count(1), deque[Path]()

        def told() -> None:
            progress.stage(f"analyzing {job.name}", next(done), len(wanted))

        def missing() -> Iterator[Job]:
            for sequence, number in wanted:
                target, frame = raw_file(job, sequence, number), job.here(sequence, [number]).jobs[0]
                if is_analyzed(target, frame, converter):
                    told()
                else:
                    waiting.append(target)
                    yield frame

        with closing(analyzed(missing(), converter, options)) as found:
            for frame, made in found:
                target = waiting.popleft()
                if isinstance(made, BaseException):
                    # What is there stays: a lost copy of this task, whose disk has gone, must not take it away, and
                    # what expands frames looks whether it is of their plates.
                    click.echo(f"failed  {failure_text(made, frame.source.path)}", err=True)
                    failed += 1
                else:
                    with ShotWriter(target, converter.expander.analyses_depend_on) as writer:
                        writer.add(frame.number or 0, *made)
                        writer.commit()
                told()
    return 1 if failed else 0


def _smooth(job: FarmJob, options: dict[str, Any]) -> int:
    """Find cuts, and make steady what is one for a shot or a few numbers per frame; maps are smoothed where frames are
    expanded, on many nodes instead of one."""
    with open_progress(options["progress"], total=len(job.frames)) as progress:
        for views in job.views():
            if not views[0].shot:
                continue
            found = [collected(job, view) for view in views]
            made = make_steady_views([frames for frames, _ in found], how_steady(job, views[0]))
            for view, steady, (frames, settings) in zip(views, made, found, strict=True):
                keep_numbers(steady, frames, settings, steady_file(job, view))
                for first, last in steady.smoothing["shots"]:
                    progress.say(f"{view.name}  frames {first} to {last}")
    return 0


def _expand(job: FarmJob, frames: Sequence[int], options: dict[str, Any]) -> int:
    jobs = [frame for sequence in job.sequences for frame in job.here(sequence, frames).jobs]
    # A task that runs again finds most of its work done: its report must not take the place of the first.
    name = f"expand.{min(frames):04d}-{max(frames):04d}"
    report = job.reports / f"{name}.{secrets.token_hex(4)}.json"
    plan = JobPlan(jobs=jobs, options=output_options(options), left_out=[])

    def open_book(converter: Converter) -> Book:
        return steady_book(job, converter.expander.analyses_depend_on, frames)

    return run_plan(plan, {**options, "report": report}, open_book=open_book, seen=partial(keep_glimpse, job))


def _check(job: FarmJob, options: dict[str, Any], *, keep_scratch: bool) -> int:
    """Look at every result, write the job's report, and clean up if all is well."""
    # Whatever made the results, looking at them needs no accelerator.
    plain = {**options, "device": "cpu", "precision": "fp32", "threads": 1}
    converter = open_converter(plain, output_options(options))
    book = steady_book(job, converter.expander.analyses_depend_on, None)
    wrong: list[str] = []
    jobs = [frame for sequence in job.sequences for frame in job.here(sequence).jobs]
    with open_progress(options["progress"], total=len(jobs)) as progress:
        for done, frame in enumerate(jobs, 1):
            if (text := _fault(frame, converter, book)) is not None:
                wrong.append(text)
            progress.stage(f"checking {job.name}", done, len(jobs))
        lines = save_report(job, wrong, progress)
    for line in lines:
        _say(options, line)
    for text in wrong:
        click.echo(f"failed  {text}", err=True)
    _say(options, f"{len(jobs) - len(wrong)} of {len(jobs)} results are complete  {job.folder / 'report.json'}")
    if not wrong and not keep_scratch:
        shutil.rmtree(job.scratch / "analyses", ignore_errors=True)
        forget_glimpses(job)
    return 1 if wrong else 0


def _fault(frame: Job, converter: Converter, book: Book) -> str | None:
    try:
        identity = converter.identify(frame.source.path, frame.mask)
        given = book(frame.source.path, frame.number, identity)
    except InputError as error:
        return str(error)
    for path in frame.files(converter.options):
        if not path.exists():
            return f"{path}: is not there; run the expand task of frame {frame.number} again"
    key = None if given is None else given.key
    if not made_from(converter, identity, frame.output, analysis=key, preview=frame.preview):
        return (
            f"{frame.output}: is damaged, or not of this plate and these settings, or what is stored beside it is; run its "
            "expand task again"
        )
    return None
