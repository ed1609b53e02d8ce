"""The report of a farm job, put together from those of its tasks."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from expandnet_batch.progress import Progress
from expandnet_batch.report import ShotRecord, flicker_line, flicker_record
from expandnet_batch.submission.job import FarmJob
from expandnet_ofx.errors import InputError
from expandnet_ofx.flicker import Flicker, Glimpse
from expandnet_ofx.partials import write_text

OF_ONE_RUN = ("done", "skipped", "failed", "missing", "left", "interrupted", "seconds")
"""What a task's report says of that run alone."""


def keep_glimpse(job: FarmJob, shot: ShotRecord, number: int, glimpse: Glimpse) -> None:
    """Keep how a frame of a shot looks until all are there, and light can be compared from frame to frame."""
    if not shot.tiles:
        # A report that lacks a frame is no reason to fail it.
        with suppress(OSError):
            job.reports.mkdir(parents=True, exist_ok=True)
            glimpse.save(_glimpse_file(job, shot.sequence, number))


def _glimpse_file(job: FarmJob, sequence: str, number: int) -> Path:
    return job.reports / f"glimpse.{zlib.crc32(sequence.encode()):08x}.{number:04d}.npz"


def forget_glimpses(job: FarmJob) -> None:
    """Remove what was kept for a report that is written."""
    for path in job.reports.glob("glimpse.*.npz"):
        with suppress(OSError):
            path.unlink()


def save_report(job: FarmJob, wrong: Sequence[str], progress: Progress) -> list[str]:
    """Put what the tasks reported into one file; return a line for each damaged report, and for each shot how steady it is.

    Of a frame that was done twice the later task's word counts.
    """
    frames: dict[str, Any] = {}
    made: dict[str, Any] = {}
    shots: dict[str, dict[str, Any]] = {}
    run: dict[str, Any] = {}
    damaged: list[str] = []
    for path in sorted(job.reports.glob("expand.*.json"), key=lambda path: path.stat().st_mtime):
        try:
            report, done, spans = _taken_apart(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, AttributeError, KeyError, TypeError):
            damaged.append(f"{path}: damaged, so the report lacks what it said of its frames")
            continue
        for output, status, frame in done:
            # A task that ran again had nothing left to do, and knows less than the one before that made the frame.
            if status == "done":
                made[output] = frame
            frames[output] = made.get(output, frame) if status == "skipped" else frame
        shots |= spans
        run = {name: value for name, value in report.items() if name not in OF_ONE_RUN}
    data = {**run, "job": job.name, "complete": not wrong, "wrong": list(wrong)}
    target = job.folder / "report.json"
    before = _shots_of(target)
    for key, shot in shots.items():
        flicker, seen = _flicker(job, shot, progress)
        # Once a job is complete what its tasks kept is gone, and the report holds what came of it.
        known = before.get(key, {"flicker_changes": 0})
        if flicker.changes >= known.get("flicker_changes", 0):
            shot |= flicker_record(flicker)
        else:
            shot |= known
            if seen:
                shot["flicker_since"] = max(seen, known.get("flicker_since", 0))
    data["shots"] = list(shots.values())
    data["frames"] = [frames[name] for name in sorted(frames)]
    write_text(target, json.dumps(data, indent=1) + "\n")
    lines = [flicker_line(shot) for shot in shots.values()]
    return damaged + [line for line in lines if line is not None]


def _taken_apart(
    report: dict[str, Any],
) -> tuple[dict[str, Any], list[tuple[str, str, dict[str, Any]]], dict[str, dict[str, Any]]]:
    """Return what the report of a task says of its run, its frames by result and status, and its shots by their key.

    Raises:
        AttributeError, KeyError, TypeError: it is no report.
    """
    frames = [(str(frame["output"]), str(frame["status"]), {**frame}) for frame in report.pop("frames")]
    shots = {_key(shot): {**shot} for shot in report.pop("shots")}
    return report, frames, shots


def _key(shot: Mapping[str, Any]) -> str:
    return f"{shot['sequence']} {shot['frames']}"


def _shots_of(report: Path) -> dict[str, dict[str, Any]]:
    """Return the shots of a report that was written before; nothing if there is none."""
    try:
        return {_key(shot): shot for shot in json.loads(report.read_text(encoding="utf-8"))["shots"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _flicker(job: FarmJob, shot: Mapping[str, Any], progress: Progress) -> tuple[Flicker, int]:
    """Compare the frames of a shot as they were made last; return that, and how many of them something was kept of."""
    first, last = shot["frames"]
    found, made, before = Flicker(), 0, None
    for number in range(first, last + 1):
        path = _glimpse_file(job, shot["sequence"], number)
        try:
            after = Glimpse.load(path) if path.exists() else None
        except InputError:
            after = None
        made += after is not None
        if before is not None and after is not None:
            found.add(before, after)
        before = after
        progress.stage(f"comparing {shot['sequence']}", number - first + 1, last - first + 1)
    return found, made
