"""The passes of a shot as commands of their own: `expandnet analyze` and `expandnet smooth`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from expandnet_batch.book import FrameSequence
from expandnet_batch.failures import failure_text
from expandnet_batch.jobs import Job
from expandnet_batch.opening import open_converter, picture_settings
from expandnet_batch.planning import check_apart, check_folder, check_replaceable, views_of
from expandnet_batch.progress import open_progress
from expandnet_batch.runtime import tune_process
from expandnet_batch.steadying import analyze_frames
from expandnet_ofx.dependence import differing
from expandnet_ofx.errors import UsageError
from expandnet_ofx.partials import sweep
from expandnet_ofx.sequences import find_sources, parse_frames
from expandnet_ofx.shots import Shot, ShotFrame, merge_shots
from expandnet_ofx.steady import Steadying, find_shots, steady


def analyze(inputs: Sequence[str], output: Path, options: dict[str, Any]) -> int:
    """Analyze the frames of one shot, or a chunk of it; return the exit code.

    Raises:
        UsageError: before any work, with nothing written.
    """
    sources = find_sources(inputs, frames=options["frames"], views=views_of(options))
    missing = [source for source in sources if source.missing]
    if missing and options["missing"] == "error":
        raise UsageError(f"{missing[0].path}: missing frame of the range; render it, or pass --missing skip")
    jobs = [Job(source=source, output=Path()) for source in sources if not source.missing]
    unnumbered = [job.source.path for job in jobs if job.number is None and not job.source.is_movie]
    if unnumbered:
        raise UsageError(f"{unnumbered[0]}: has no frame number, so it is no frame of a shot")
    first: dict[int, Path] = {}
    for job in jobs:
        if not job.source.is_movie and first.setdefault(job.number or 0, job.source.path) != job.source.path:
            other = first[job.number or 0]
            raise UsageError(f"{job.source.path}: has the number of {other}; analyze one view of one shot at a time")
    check_folder(output.parent, of=output)
    check_apart(output, "-o", others=[*(source.path for source in sources), *options["configs"]])
    check_replaceable(output, "-o")
    sweep(output.parent)
    picture_settings(options)
    tune_process()
    converter = open_converter(options)
    with open_progress("none" if options["quiet"] else options["progress"], total=len(jobs)) as progress:
        sequence = FrameSequence(name=inputs[0], jobs=jobs)
        failures: dict[Path, BaseException] = {}
        shot = analyze_frames(sequence, converter, options, output, progress, failures=failures)
        for path, error in failures.items():
            click.echo(f"failed  {failure_text(error, path)}", err=True)
        progress.say(f"{output}  {len(shot.frames)} frames")
    return 1 if failures else 0


def smooth(paths: Sequence[Path], output: Path, options: dict[str, Any]) -> int:
    """Make the analyses of a shot steady; return the exit code."""
    cuts = options["cuts"]
    how = Steadying(
        window=options["window"],
        lock_frame=options["lock_frame"],
        cuts=tuple(sorted(parse_frames(cuts, option="--cuts"))) if cuts else None,
        tiles=options["tiles"],
    )
    check_apart(output, "-o", others=[*paths, *options["beside"]])
    shots = [Shot.load(path) for path in paths]
    frames = merge_shots(shots)
    beside = [Shot.load(path) for path in options["beside"]]
    for other in beside:
        if changed := differing(shots[0].settings, other.settings):
            raise UsageError(f"{other.path}: made with another {changed} than {shots[0].path}; analyze with the same")
    check_folder(output.parent, of=output)
    sweep(output.parent)
    kept = _earlier(output, frames, shots[0].settings, how, freeze=options["freeze_analysis"])
    with open_progress("none" if options["quiet"] else options["progress"], total=len(frames)) as progress:
        shown = partial(progress.stage, f"smoothing {output}")
        views = [other.frames for other in beside]
        shot = steady(frames, shots[0].settings, output, how, beside=views, kept=kept, progress=shown)
        assert shot.smoothing is not None
        for first, last in shot.smoothing["shots"]:
            progress.say(f"{output}  frames {first} to {last}")
    return 0


def _check_alike(output: Path, shot: Shot, how: Steadying) -> None:
    """Raise `UsageError` if frozen frames were smoothed in another way than the others are going to be."""
    assert shot.smoothing is not None
    for name in ("window", "lock_frame", "tiles"):
        if (was := shot.smoothing[name]) != getattr(how, name):
            called = name.replace("_", " ")
            raise UsageError(f"--freeze-analysis: {output} was smoothed with {called} {was}; smooth with the same")
    if how.cuts is None and shot.smoothing.get("cuts") is None:
        return
    # Cuts of frames that are added are not the frozen ones' concern.
    cuts = None if how.cuts is None else tuple(cut for cut in how.cuts if cut in shot.frames)
    spans = [[found[0], found[-1]] for found in find_shots(shot.frames, replace(how, cuts=cuts))]
    if spans != shot.smoothing["shots"]:
        starts = " ".join(str(first) for first, _ in shot.smoothing["shots"])
        raise UsageError(f"--freeze-analysis: {output} has shots from frames {starts} on; give the same --cuts")


def _earlier(
    output: Path, frames: Mapping[int, ShotFrame], settings: Mapping[str, Any], how: Steadying, *, freeze: bool
) -> Mapping[int, ShotFrame]:
    """Return the steady analyses that are there already and stay; say what happens to them if they do not."""
    if not output.exists():
        if freeze:
            raise UsageError(f"--freeze-analysis: {output} is not there yet; smooth the shot once without it")
        return {}
    shot = Shot.load(output)
    if shot.smoothing is None:
        raise UsageError(f"{output}: holds analyses that are not smoothed; choose another -o")
    earlier = shot.frames
    lost = [number for number in earlier if number not in frames]
    left_out = f"{output}: holds {len(lost)} frames that are not given, from {min(lost, default=0)} on"
    if freeze:
        if changed := differing(shot.settings, settings):
            raise UsageError(f"--freeze-analysis: {output} was made with another {changed}; analyze with the same")
        _check_alike(output, shot, how)
        if lost:
            raise UsageError(f"--freeze-analysis: {left_out}; give the analyses of all its frames")
        return earlier
    if lost:
        click.echo(f"warning  {left_out}; they are in it no more", err=True)
    added = [number for number in frames if number not in earlier]
    if added and len(added) < len(frames):
        click.echo(
            f"warning  {output}: {len(added)} frames are new, from {min(added)} on, and change the analyses of frames "
            "that were there; pass --freeze-analysis to keep those",
            err=True,
        )
    return {}
