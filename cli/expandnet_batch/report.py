"""The report of a batch: every frame, and what was asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from expandnet_ofx import __version__
from expandnet_ofx.convert import FrameReport
from expandnet_ofx.flicker import Flicker, Glimpse
from expandnet_ofx.partials import write_text


@dataclass(kw_only=True)
class ShotRecord:
    """What was taken for a shot: frames that follow each other and look alike."""

    sequence: str
    first: int
    last: int
    window: int | None
    """Frames that were smoothed over; None for frames that were left to themselves."""
    tiles: bool = False
    """Tiles of one picture, which share what is global."""
    locked: int | None = None
    """Frame whose analysis all of them took."""
    flicker: Flicker = field(default_factory=Flicker)
    _before: tuple[int, Glimpse] | None = None

    def add(self, number: int, glimpse: Glimpse) -> None:
        """Compare a frame with the one before it, if that was the last to come."""
        if not self.tiles and self._before is not None and self._before[0] == number - 1:
            self.flicker.add(self._before[1], glimpse)
        self._before = (number, glimpse)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        why = "consecutive numbers, one size, no cut between"
        if self.window is None:
            why = "consecutive numbers; cuts were not looked for"
        if self.tiles:
            why = "tiles of one picture"
        if self.locked is not None:
            why = f"{why}; all under the analysis of frame {self.locked}"
        return {
            "sequence": self.sequence,
            "frames": [self.first, self.last],
            "because": why,
            "window": self.window,
            "locked": self.locked,
            **flicker_record(self.flicker),
        }

    @property
    def line(self) -> str | None:
        """One line for people; None where nothing was compared."""
        return flicker_line(self.to_dict())


def flicker_line(shot: Mapping[str, Any]) -> str | None:
    """Return how steady a shot of a report came out, for people; None where nothing was compared."""
    if shot["flicker_rms"] is None:
        return None
    how = "left to themselves" if shot["window"] is None else f"steady over {shot['window']}"
    how = how if shot["locked"] is None else f"locked to frame {shot['locked']}"
    first, last = shot["frames"]
    # Frames that were there before are not looked at again.
    compared = shot["flicker_changes"]
    part = "" if compared == last - first else f"; {compared} of {last - first} changes were looked at"
    if since := shot.get("flicker_since"):
        part += f"; frames that were made since: {since}"
    return (
        f"{shot['sequence']} {first}-{last} ({how}): recovered light changes by "
        f"{shot['flicker_rms']:.3f} stops rms from frame to frame, 95 % by less than {shot['flicker_95']:.3f}{part}"
    )


def flicker_record(flicker: Flicker) -> dict[str, Any]:
    """Return flicker as plain data, in stops from frame to frame; None where nothing was compared."""
    rms, high = flicker.rms, flicker.high
    return {
        "flicker_rms": None if rms is None else round(rms, 4),
        "flicker_95": None if high is None else round(high, 4),
        "flicker_pixels": int(flicker.counts.sum()),
        "flicker_changes": flicker.changes,
    }


class Report:
    """Collects frame reports; `save` writes them as JSON."""

    def __init__(self) -> None:
        self.frames: list[FrameReport] = []
        self.seconds = 0.0
        self.missing: list[str] = []
        self.planned: int | None = None
        """Frames that there are, None where a movie's end is not known before it is read."""
        self.interrupted = False
        self.shots: list[ShotRecord] = []
        self._run: dict[str, Any] = {}

    def describe(self, converter: Any, options: dict[str, Any]) -> None:
        """Record what the whole batch has in common."""
        from dataclasses import asdict

        engine = converter.expander.engine
        self._run = {
            "program": f"expandnet-ofx {__version__}",
            "weights": engine.weights.contract.name,
            "weights_sha256": engine.weights.sha256,
            "engine": engine.name,
            "device": engine.device,
            "precision": engine.precision,
            "settings": asdict(converter.expander.settings),
            "output": asdict(converter.options),
            "preset": options["preset"],
        }

    def add(self, frame: FrameReport, shot: ShotRecord | None = None, number: int | None = None) -> None:
        """Add a frame, and compare it within its shot."""
        if shot is not None and number is not None and frame.glimpse is not None:
            shot.add(number, frame.glimpse)
        self.frames.append(replace(frame, glimpse=None))

    @property
    def failed(self) -> list[FrameReport]:
        """Frames that failed."""
        return [frame for frame in self.frames if frame.status == "failed"]

    @property
    def exit_code(self) -> int:
        """0 if all are done or skipped, 1 if some failed."""
        return 1 if self.failed else 0

    @property
    def totals(self) -> dict[str, Any]:
        """Counts by status, and seconds."""
        counts = {status: sum(f.status == status for f in self.frames) for status in ("done", "skipped", "failed")}
        left = 0 if self.planned is None else max(0, self.planned - len(self.frames))
        return {**counts, "left": left, "interrupted": self.interrupted, "seconds": round(self.seconds, 3)}

    @property
    def summary(self) -> str:
        """One line for people."""
        totals = self.totals
        ended = (", interrupted" if self.interrupted else "") + (f", {totals['left']} left" if totals["left"] else "")
        absent = f", {len(self.missing)} missing" if self.missing else ""
        return (
            f"{totals['done']} done, {totals['skipped']} up to date, {totals['failed']} failed{absent}{ended} "
            f"in {self.seconds:.1f} s"
        )

    def save(self, path: Path) -> None:
        """Write the report; it appears under its name only when complete."""
        data = {
            **self._run,
            **self.totals,
            "missing": self.missing,
            "shots": [shot.to_dict() for shot in self.shots],
            "frames": [frame.to_dict() for frame in self.frames],
        }
        write_text(path, json.dumps(data, indent=1) + "\n")
