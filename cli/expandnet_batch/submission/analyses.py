"""Analyses of a farm job: where its tasks keep them, and what they say of each frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from expandnet_batch.book import Book
from expandnet_batch.jobs import Job
from expandnet_batch.settled import steady_keys
from expandnet_batch.submission.job import FarmJob, FrameSet
from expandnet_ofx.analysis import Analysis
from expandnet_ofx.convert import Converter
from expandnet_ofx.dependence import differing
from expandnet_ofx.errors import InputError
from expandnet_ofx.shots import Shot, ShotFrame
from expandnet_ofx.steady import Steadying, take_up

REPLACED = "was replaced since it was analyzed; run all analyze tasks of the job again, then smooth, then this one"


def raw_file(job: FarmJob, sequence: FrameSet, frame: int) -> Path:
    """Return where the analyze task of a frame keeps what it finds."""
    return job.scratch / "analyses" / f"{job.sequences.index(sequence)}.{frame:04d}.json"


def steady_file(job: FarmJob, sequence: FrameSet) -> Path:
    """Return where the smooth task keeps a shot's steady numbers."""
    return job.scratch / f"steady.{job.sequences.index(sequence)}.json"


def how_steady(job: FarmJob, sequence: FrameSet) -> Steadying:
    """Return how a shot of the job is made steady."""
    return Steadying(window=job.window or 1, tiles=sequence.tiles)


def is_analyzed(path: Path, frame: Job, converter: Converter) -> bool:
    """Tell whether an analysis is there already, of this plate and these settings."""
    try:
        shot = Shot.load(path)
        found = shot.frames[frame.number or 0]
        found.load()
        if differing(shot.settings, converter.expander.analyses_depend_on) is not None:
            return False
        return found.identity == converter.identify(frame.source.path, frame.mask)
    except (InputError, KeyError):
        return False


def collected(job: FarmJob, sequence: FrameSet) -> tuple[dict[int, ShotFrame], Mapping[str, Any]]:
    """Return the frames of a shot as they were analyzed, and the settings that they were analyzed under.

    Raises:
        InputError: a frame is not analyzed yet.
    """
    frames: dict[int, ShotFrame] = {}
    settings: Mapping[str, Any] = {}
    for item in sequence.items:
        path = raw_file(job, sequence, item.frame)
        if not path.exists():
            raise InputError(f"{item.source}: frame {item.frame} is not analyzed; run its analyze task again")
        shot = Shot.load(path)
        frames |= shot.frames
        settings = shot.settings
    return frames, settings


def steady_book(job: FarmJob, settings: Mapping[str, Any], frames: Sequence[int] | None) -> Book:
    """Return the steady analyses of a job, for some of its frames or all."""
    book = Book()
    for views in job.views():
        if job.window is None or not views[0].shot:
            for view in views:
                numbers = [item.frame for item in view.items]
                if numbers and view.shot:
                    book.note(job.here(view, frames), [(min(numbers), max(numbers))], window=None)
            continue
        shots = [_smoothed(job, view) for view in views]
        for view, shot in zip(views, shots, strict=True):
            if changed := differing(shot.settings, settings):
                raise InputError(f"{shot.path}: made with another {changed}; run the job again from its first step")
            steady = take_up(shot, partial(_as_analyzed, job, view, shot))
            spans = steady.smoothing["shots"]
            beside = [other.frames for other in shots if other is not shot]
            here = job.here(view, frames)
            keys = steady_keys(spans, [shot.frames, *beside], settings, how_steady(job, view))
            book.add(here, shot.frames, steady, keys, replaced=REPLACED)
            book.note(here, spans, window=job.window)
    return book


def _smoothed(job: FarmJob, sequence: FrameSet) -> Shot:
    path = steady_file(job, sequence)
    if not path.exists():
        raise InputError(f"{path}: is not there yet; run the job's analyze tasks and its smooth task, then this one")
    return Shot.load(path)


def _as_analyzed(job: FarmJob, sequence: FrameSet, steady: Shot, frame: int) -> Analysis:
    """Return what an analyze task made of a frame; raise `InputError` if it is gone or of another plate by now."""
    path = raw_file(job, sequence, frame)
    if not path.exists():
        raise InputError(
            f"{path}: is not there, as after a job is complete; run all analyze tasks of the job again, then this one"
        )
    found = Shot.load(path).frames.get(frame)
    if found is None or found.identity != steady.frames[frame].identity:
        raise InputError(f"{path}: made from another plate than {steady.path}; run the job's smooth task again")
    return found.load()
