"""The report of a farm job, put together from those of its tasks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from expandnet_batch.report import Report, flicker_line, flicker_record
from expandnet_batch.submission.job import FarmJob
from expandnet_ofx.errors import InputError
from expandnet_ofx.flicker import Stretch, joined
from expandnet_ofx.partials import write_text


def keep_stretches(path: Path, report: Report) -> None:
    """Keep what the report of a task cannot say of its shots: how their first and last frames look.

    Args:
        path: the task's report; the files lie beside it, one per shot.
        report: the same.
    """
    for number, shot in enumerate(report.shots):
        if shot.stretch is not None:
            shot.stretch.save(_stretch_file(path, number))


def _stretch_file(report: Path, shot: int) -> Path:
    return report.with_name(f"{report.stem}.{shot}.npz")


def save_report(job: FarmJob, wrong: Sequence[str]) -> list[str]:
    """Put what the tasks reported into one file; return a line for each damaged report, and for each shot how steady it is.

    Of a frame that was done twice the later task's word counts.
    """
    frames: dict[str, Any] = {}
    shots: dict[str, dict[str, Any]] = {}
    stretches: dict[str, list[Stretch]] = {}
    run: dict[str, Any] = {}
    damaged: list[str] = []
    for path in sorted(job.reports.glob("expand.*.json"), key=lambda path: path.stat().st_mtime):
        try:
            report, done, spans = _taken_apart(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, AttributeError, KeyError, TypeError):
            damaged.append(f"{path}: damaged, so the report lacks what it said of its frames")
            continue
        for output, status, frame in done:
            # A task that ran again had nothing left to do, and knows less than the one before.
            if status != "skipped" or output not in frames:
                frames[output] = frame
        for number, (key, shot) in enumerate(spans):
            shots.setdefault(key, shot)
            stretches.setdefault(key, []).extend(_kept(_stretch_file(path, number)))
        run = {name: value for name, value in report.items() if name not in ("done", "skipped", "failed", "missing")}
    run.pop("seconds", None)
    data = {**run, "job": job.name, "complete": not wrong, "wrong": list(wrong)}
    target = job.folder / "report.json"
    before = _shots_of(target)
    for key, shot in shots.items():
        # Once a job is complete what its tasks kept is gone, and the report holds what came of it.
        known = before.get(key) if not stretches[key] else None
        shot |= flicker_record(joined(stretches[key])) if known is None else known
    data["shots"] = list(shots.values())
    data["frames"] = [frames[name] for name in sorted(frames)]
    write_text(target, json.dumps(data, indent=1) + "\n")
    lines = [flicker_line(shot) for shot in shots.values()]
    return damaged + [line for line in lines if line is not None]


def _taken_apart(
    report: dict[str, Any],
) -> tuple[dict[str, Any], list[tuple[str, str, dict[str, Any]]], list[tuple[str, dict[str, Any]]]]:
    """Return what the report of a task says of its run, its frames by result and status, and its shots by their key.

    Raises:
        AttributeError, KeyError, TypeError: it is no report.
    """
    frames = [(str(frame["output"]), str(frame["status"]), {**frame}) for frame in report.pop("frames")]
    shots = [(_key(shot), {**shot}) for shot in report.pop("shots")]
    return report, frames, shots


def _key(shot: Mapping[str, Any]) -> str:
    return f"{shot['sequence']} {shot['frames']}"


def _shots_of(report: Path) -> dict[str, dict[str, Any]]:
    """Return the shots of a report that was written before; nothing if there is none."""
    try:
        return {_key(shot): shot for shot in json.loads(report.read_text(encoding="utf-8"))["shots"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _kept(path: Path) -> list[Stretch]:
    """Return what a task kept of a shot: nothing where all its frames were there before, or where the file is damaged."""
    try:
        return [Stretch.load(path)] if path.exists() else []
    except InputError:
        return []
