"""`expandnet submit`: from a command line to a job that a farm runs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from expandnet_batch.batch import check_places
from expandnet_batch.jobs import Job
from expandnet_batch.opening import SETTING_OPTIONS, check_options
from expandnet_batch.planning import JobPlan, check_folder, plan_jobs
from expandnet_batch.steadying import sequences, window_of
from expandnet_batch.submission import deadline, opencue, openjd, slurm
from expandnet_batch.submission.job import FarmJob, FrameSet, Item
from expandnet_batch.submission.paths import parse_rule
from expandnet_ofx.color import BUILT_IN_CONFIG, uses_config
from expandnet_ofx.errors import UsageError
from expandnet_ofx.systems import on_windows


@dataclass(frozen=True)
class Engine:
    """One kind of farm."""

    write: Any
    """Writes its files: (job, folder, words of the program that workers run) -> their paths."""
    needs: str
    """Program of the farm that hands them over."""
    submit: Callable[[FarmJob], tuple[str, ...]]
    """What does so, in the job's folder."""


ENGINES = {
    "openjd": Engine(openjd.write, "deadline", lambda _: ("deadline", "bundle", "submit", ".")),
    "slurm": Engine(slurm.write, "sbatch", lambda _: ("sh", "submit.sh")),
    "deadline": Engine(deadline.write, "deadlinecommand", lambda _: (sys.executable, "submit.py")),
    "opencue": Engine(opencue.write, "pycuerun", lambda job: ("pycuerun", opencue.outline_name(job))),
}

RESULT_OPTIONS = (
    *SETTING_OPTIONS, "preset", "matte", "pixel", "compression", "preview", "weights", "engine", "device", "precision",
    "threads", "on_error",
)  # fmt: skip
"""Options of `expandnet-batch` that go along with a job."""


def submit(inputs: Sequence[str], folder: Path, options: dict[str, Any]) -> int:
    """Write a job's folder, and hand it to the farm if asked; return the exit code.

    Raises:
        UsageError: before anything is written.
    """
    folder = folder.absolute()
    plan = plan_jobs(inputs, options["output"], options)
    missing = [job.source.path for job in plan.jobs if job.source.missing]
    if missing:
        raise UsageError(f"{missing[0]}: missing frame of the range; render it, or pass --missing skip")
    if movie := next((job.source.path for job in plan.jobs if job.source.is_movie), None):
        raise UsageError(
            f"{movie}: a movie is read from its start, so it is one task; run expandnet-batch as a job of its own"
        )
    check_places(plan, options)
    check_folder(folder)
    if options["chunk"] < 1:
        raise UsageError("--chunk: need 1 frame or more")
    window = window_of(options["steady"])
    if options["gpu"]:
        if options["device"] == "cpu":
            raise UsageError("--gpu: not with --device cpu, whose tasks would hold a GPU and not use it; drop one")
        # A task that asked for a GPU must fail without one, not take a hundred times as long.
        options = {**options, "device": "cuda" if options["device"] == "auto" else options["device"]}
    settings = check_options(options)
    called = options["name"] or folder.name
    _check_words(plan, called, options)
    program = ENGINES[options["to"]].needs
    beside = os.environ.get("DEADLINE_PATH") if program == "deadlinecommand" else None
    if options["now"] and shutil.which(program) is None and shutil.which(program, path=beside or "") is None:
        raise UsageError(
            f"--now: {program} is not on this machine; submit without it, and hand the job over where it is"
        )
    if unproven := next((job.output for job in plan.jobs if job.output.suffix.lower() == ".hdr"), None):
        raise UsageError(
            f"{unproven}: .hdr cannot say what it was made from, which a farm's check asks; use .exr or .tif"
        )
    carried = {name: _plain(options[name]) for name in RESULT_OPTIONS}
    # Workers may have another one, also where there is none here.
    built_in = BUILT_IN_CONFIG if uses_config(settings) else None
    carried["ocio"] = carried["ocio"] or os.environ.get("OCIO") or built_in
    for name in ("weights", "ocio"):
        if carried[name] and Path(carried[name]).exists():
            carried[name] = str(Path(carried[name]).absolute())
    found = _sequences(plan.jobs)
    steady = window is not None and not settings.relative and any(sequence.shot for sequence in found)
    job = FarmJob(
        name=called,
        options=carried,
        window=window if steady else None,
        chunk=options["chunk"],
        gpu=options["gpu"],
        sequences=tuple(found),
        then=_words(options["then"], "--then"),
        rules=tuple(parse_rule(text) for text in options["map"]),
        folder=folder,
    )
    return _write(job, folder, options)


def _check_words(plan: JobPlan, name: str, options: dict[str, Any]) -> None:
    """Raise `UsageError` of names that the files of a job cannot hold."""
    for path in [path for job in plan.jobs for path in (job.source.path, job.output)]:
        try:
            str(path).encode("utf-8")
        except UnicodeEncodeError:
            shown = str(path).encode("utf-8", "backslashreplace").decode("utf-8")
            raise UsageError(f"{shown}: its name is not UTF-8, which a job's files need; rename it") from None
    if options["name"] and not options["name"].isprintable():
        raise UsageError(f"--name {options['name']!r}: holds what cannot be printed; choose another")
    if options["to"] == "openjd" and "{{" in name:
        raise UsageError(f"{name}: Open Job Description takes {{{{ for an expression; choose another --name")


def _write(job: FarmJob, folder: Path, options: dict[str, Any]) -> int:
    engine = ENGINES[options["to"]]
    executable = _words(options["executable"] or "expandnet", "--executable")
    if (folder / "job.json").exists() and _held(folder) != job:
        raise UsageError(f"{folder}: holds another job, which may be running; choose another folder, or remove it")
    for path in engine.write(job, folder, executable):
        click.echo(path)
    job.save(folder / "job.json")
    click.echo(f"{len(job.frames)} frames, {len(job.chunks)} chunks, steps: {', '.join(job.steps)}")
    if not options["now"]:
        # On Windows `cd` alone stays on its drive, and single quotes are part of a word.
        enter, joined = ("cd /d", subprocess.list2cmdline) if on_windows() else ("cd", shlex.join)
        click.echo(f"submit it with: {enter} {joined([str(folder)])} && {joined(engine.submit(job))}")
        return 0
    return subprocess.run(engine.submit(job), cwd=folder, check=False).returncode


def _held(folder: Path) -> FarmJob | None:
    """Return the job that a folder holds, None if its file is none that we know."""
    try:
        return FarmJob.load(folder / "job.json", localized=False)
    except UsageError:
        return None


def _words(command: str | None, option: str) -> tuple[str, ...]:
    """Return the words of a command; names of files that are here become absolute, for workers stand elsewhere."""
    if command is not None and not command.strip():
        raise UsageError(f"{option}: an empty command; check the variables of the call")
    if command is not None and _is_file(command, program=True):
        return (str(Path(command).absolute()),)
    if option == "--executable" and re.match(r"(/|\\|\w:)[^'\"]*\s", command or ""):
        # On workers it may be a file whose name has a space, or a launcher with its words.
        raise UsageError(f"{option} {command}: put its files in quotes, each by itself")
    lexer = shlex.shlex(command or "", posix=True, punctuation_chars=False)
    # Backslashes are those of Windows' paths.
    lexer.whitespace_split, lexer.commenters, lexer.escape = True, "", ""
    try:
        words = list(lexer)
    except ValueError as error:
        raise UsageError(f"{option}: quotes do not match ({error})") from error
    by_path = [option == "--executable" or not k for k in range(len(words))]
    return tuple(
        str(Path(word).absolute()) if _is_file(word, program=program) else word
        for word, program in zip(words, by_path, strict=True)
    )


def _is_file(word: str, *, program: bool) -> bool:
    """Tell whether a word of a command names a file; a program without a folder is looked for on each machine."""
    return (not program or "/" in word or os.sep in word) and Path(word).is_file()


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _sequences(jobs: Sequence[Job]) -> list[FrameSet]:
    """Return the sequences of a batch; stills that belong to none are numbered from 1 on."""
    made: list[FrameSet] = []
    taken: set[Path] = set()
    for group, views in enumerate(sequences(jobs)):
        for view in views:
            items = [_item(job, job.number or 0) for job in view.jobs]
            made.append(FrameSet(name=view.name, items=tuple(items), group=group, tiles=view.tiles))
            taken |= {job.source.path for job in view.jobs}
    loose = [job for job in jobs if job.source.path not in taken]
    if loose:
        items = [_item(job, number) for number, job in enumerate(loose, 1)]
        made.append(FrameSet(name="stills", items=tuple(items), group=len(made), shot=False))
    return made


def _item(job: Job, frame: int) -> Item:
    mask = None if job.mask is None else str(job.mask.absolute())
    source, output = str(job.source.path.absolute()), str(job.output.absolute())
    return Item(frame=frame, source=source, output=output, mask=mask, sheet=job.sheet)
