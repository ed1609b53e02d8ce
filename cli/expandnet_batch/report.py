"""The report of a batch: every frame, and what was asked."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from expandnet_ofx import __version__
from expandnet_ofx.convert import FrameReport
from expandnet_ofx.errors import OutputError
from expandnet_ofx.partials import partial_name


class Report:
    """Collects frame reports; `save` writes them as JSON."""

    def __init__(self) -> None:
        self.frames: list[FrameReport] = []
        self.seconds = 0.0
        self.missing: list[str] = []
        self.shots: list[dict[str, Any]] = []
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

    def add(self, frame: FrameReport) -> None:
        """Add a frame."""
        self.frames.append(frame)

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
        return {**counts, "seconds": round(self.seconds, 3)}

    @property
    def summary(self) -> str:
        """One line for people."""
        totals = self.totals
        return (
            f"{totals['done']} done, {totals['skipped']} up to date, {totals['failed']} failed in {self.seconds:.1f} s"
        )

    def save(self, path: Path) -> None:
        """Write the report; it appears under its name only when complete."""
        data = {
            **self._run,
            **self.totals,
            "missing": self.missing,
            "shots": self.shots,
            "frames": [frame.to_dict() for frame in self.frames],
        }
        partial = partial_name(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
            partial.replace(path)
        except OSError as error:
            with suppress(OSError):
                partial.unlink()
            raise OutputError(f"{path}: report cannot be written ({error.strerror or error})") from error
