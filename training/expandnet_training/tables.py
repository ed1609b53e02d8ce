"""Tables of an evaluation: text for people, JSON and CSV for programs."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from expandnet_ofx.finite import finite
from expandnet_training.figures import Row
from expandnet_training.scales import Disc

COLUMNS = (
    ("error", 7, 3), ("error95", 8, 2), ("bias1", 7, 2), ("bias2", 7, 2), ("bias4", 7, 2), ("energy", 8, 2), ("hue", 6, 1),
    ("psnr", 7, 2), ("ssim", 7, 3), ("ms_ssim", 8, 3), ("jod", 6, 2), ("exposed", 8, 3),
    ("unsteady", 9, 3), ("unsteady95", 11, 3),
)  # fmt: skip
"""Figures of the text, each with its width and digits."""

METHOD_WIDTH = 28


def as_text(summary: Sequence[Row], *, bases: Sequence[str]) -> str:
    """Return the summary as a table for people."""
    lines: list[str] = []
    before: tuple[Any, ...] | None = None
    head = " " * METHOD_WIDTH + "".join(f"{name:>{width}}" for name, width, _ in COLUMNS)
    for row in summary:
        key = (row["share"], row["response"], row["storage"])
        if key != before:
            share = row["share"] if isinstance(row["share"], str) else f"{100 * row['share']:.0f}"
            lines += ["", f"{share} percent clipped, response {key[1]}, {key[2]}", head]
            before = key
        numbers = "".join(f"{row[name]:>{width}.{digits}f}" for name, width, digits in COLUMNS)
        lines.append(f"{_cell(row['method'])}{numbers}")
    for base in bases:
        lines += ["", f"Difference to {base}, 95 percent interval over places (7 and 15 percent, known, 8-bit)"]
        for row in (row for row in summary if row["share"] == "7 and 15" and row["method"] != base):
            texts = (_interval(row[f"{name} over {base}"], name) for name in ("error", "psnr", "jod"))
            lines.append(f"{_cell(row['method'])}{'  '.join(texts)}")
    return "\n".join(lines).strip() + "\n"


def _cell(method: str) -> str:
    return f"{method[:METHOD_WIDTH]:{METHOD_WIDTH}}"


def _interval(limits: tuple[float, float], name: str) -> str:
    return f"{name} [{limits[0]:+.3f} {limits[1]:+.3f}]"


def discs_as_text(discs: Mapping[str, Sequence[Disc]], apart: Mapping[str, float]) -> str:
    """Return what methods make of clipped discs, and of one plate at three sizes."""
    lines = ["Clipped discs, in stops: light at the center (truth), most that it falls towards the center, rim"]
    for method, found in discs.items():
        for disc in found:
            what = f"{disc.profile:>9} radius {disc.radius:3}: {disc.peak:5.2f} ({disc.truth:.2f})"
            lines.append(f"{_cell(method)}{what}, falls {disc.fall:.3f}, rim {disc.rim:.3f}")
    lines += ["", "Full, half and quarter size apart, mean in stops where all channels clip"]
    lines += [f"{_cell(method)}{value:6.3f}" for method, value in apart.items()]
    return "\n".join(lines) + "\n"


def lifts_as_text(lifts: Mapping[str, Mapping[str, float]]) -> str:
    """Return how far methods lift pictures that hold no light."""
    lines = ["Pictures without light: brightest result, in stops above white"]
    for name in next(iter(lifts.values()), {}):
        lines.append(f"{name:24}" + "".join(f"  {method} {found[name]:.2f}" for method, found in lifts.items()))
    return "\n".join(lines) + "\n"


def write_tables(
    folder: Path, rows: Sequence[Row], summary: Sequence[Row], text: str, extra: Mapping[str, Any]
) -> None:
    """Write summary.txt, summary.json (null for what could not be told) and cases.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "summary.txt").write_text(text, encoding="utf-8")
    plain = {name: _plain(value) for name, value in extra.items()}
    (folder / "summary.json").write_text(
        json.dumps(finite({"rows": list(summary), **plain}), indent=1, allow_nan=False) + "\n", encoding="utf-8"
    )
    with (folder / "cases.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _plain(value: Any) -> Any:
    if isinstance(value, Disc):
        return asdict(value)
    if isinstance(value, Mapping):
        return {name: _plain(entry) for name, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, (list, tuple)) else value
