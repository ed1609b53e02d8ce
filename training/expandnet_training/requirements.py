"""What weights must do before they ship, judged on held-out places at 7 and 15 percent clipped with a known response."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from expandnet_training.figures import Row
from expandnet_training.patches import MOST
from expandnet_training.scales import Disc

GROUP = "7 and 15"
"""Row of the summary that is judged."""


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """One requirement and what was measured."""

    what: str
    value: float
    met: bool | None
    """None where it could not be measured."""


def judge(
    method: str,
    summary: Sequence[Row],
    *,
    plate: str,
    others: Sequence[str],
    discs: Sequence[Disc],
    lifts: Mapping[str, float],
) -> list[Requirement]:
    """Judge one delivered method.

    Args:
        method: its row.
        summary: from `figures.summarize`, with intervals over `plate`, and over the authors' weights if they are there.
        plate: row of the bare plate.
        others: rows it must beat in error: the global curve, the authors' weights.
        discs, lifts: from `scales` and `patches`.
    """
    rows = {row["method"]: row for row in summary if row["share"] == GROUP}
    if method not in rows or plate not in rows:
        return []
    own, bare = rows[method], rows[plate]
    found = [_at_most("error over the plate's", own["error"] / bare["error"], 0.65)]
    found += [
        _below(f"error below that of {name}", own["error"] - rows[name]["error"], 0) for name in others if name in rows
    ]
    for name, least in ((plate, 2.0), ("authors", 0.5)):
        interval = own.get(f"psnr over {name}")
        if interval is not None and name in rows:
            gain = own["psnr"] - rows[name]["psnr"]
            # Of fewer than three places nothing is for sure.
            told = not np.isnan(interval[0])
            what = f"PSNR over {name}, at least {least:g} dB and for sure above 0"
            found.append(
                Requirement(what=what, value=gain, met=bool(gain >= least and interval[0] > 0) if told else None)
            )
    found += [
        _above("bias above 2 stops, better than -1.8", own["bias2"], -1.8),
        Requirement(what="recovered light, 0.7 to 1.3", value=own["energy"], met=bool(0.7 <= own["energy"] <= 1.3)),
        _above("JOD above the plate's", own["jod"] - bare["jod"], 0),
        _at_most("moves by, mean, at most 0.05", own["unsteady"], 0.05),
        _at_most("moves by, 95th percentile, at most 0.15", own["unsteady95"], 0.15),
        _at_most("discs fall by at most 0.1", max((disc.fall for disc in discs), default=np.nan), 0.1),
        _at_most("rims of at most 0.1", max((disc.rim for disc in discs), default=np.nan), 0.1),
        _at_most("light where there is none, at most 2 stops", max(lifts.values(), default=np.nan), MOST + 1e-3),
    ]
    return found


def _at_most(what: str, value: float, limit: float) -> Requirement:
    return Requirement(what=what, value=value, met=None if np.isnan(value) else bool(value <= limit))


def _below(what: str, value: float, limit: float) -> Requirement:
    return Requirement(what=what, value=value, met=None if np.isnan(value) else bool(value < limit))


def _above(what: str, value: float, limit: float) -> Requirement:
    return Requirement(what=what, value=value, met=None if np.isnan(value) else bool(value > limit))


def as_text(judged: Mapping[str, Sequence[Requirement]]) -> str:
    """Return the verdicts for people."""
    words = {True: "met", False: "NOT MET", None: "not measured"}
    lines = []
    for method, found in judged.items():
        lines += ["", f"Requirements, {method}"]
        lines += [f"  {words[entry.met]:13}{entry.what}: {entry.value:.3f}" for entry in found]
    return "\n".join(lines).strip() + "\n"
