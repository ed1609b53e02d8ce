"""How a batch shows that it works: a bar on a terminal, one line per frame elsewhere, JSON for machines."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from expandnet_batch.report import Report
    from expandnet_ofx.convert import FrameReport


class Progress:
    """Shows nothing; base of the others, and what `--progress none` gives. Failures are always shown."""

    def __init__(self, total: int | None) -> None:
        self.total = total
        self.count = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def say(self, text: str) -> None:
        """Show a line that is not about one frame."""

    def advance(self, frames: float) -> None:
        """Show how many frames are done beyond those that were reported, with the parts of those in work."""

    def stage(self, what: str, done: int, total: int | None) -> None:
        """Show how far a pass over frames before the expansion is."""

    def frame(self, report: FrameReport) -> None:
        """Show a finished frame."""
        self.count += 1
        if report.status == "failed":
            _to_stderr(f"failed  {report.error}")

    def finish(self, report: Report) -> None:
        """Name what failed, at the end, where it is read."""
        failed = report.failed
        if len(failed) > 1:
            _to_stderr(f"{len(failed)} of {self.count} frames failed:")
            for frame in failed:
                _to_stderr(f"  {frame.error}")


class PlainProgress(Progress):
    """One line per frame, flushed at once so that a farm's log is current."""

    def say(self, text: str) -> None:
        """Print the line."""
        print(text, flush=True)  # noqa: T201

    def stage(self, what: str, done: int, total: int | None) -> None:
        """Print a line now and then: at each tenth of many frames, and at the end."""
        step = max(10, (total or 1000) // 10)
        if done % step == 0 or done == total:
            self.say(f"{what}: {done}{f'/{total}' if total else ''} frames")

    def frame(self, report: FrameReport) -> None:
        """Print the frame's line."""
        super().frame(report)
        if report.status != "failed":
            of = f"/{self.total}" if self.total else ""
            self.say(f"{self.count}{of}  {_line(report)}")
        for warning in report.warnings:
            self.say(f"warning  {report.input}: {warning}")

    def finish(self, report: Report) -> None:
        """Print the totals."""
        super().finish(report)
        for shot in report.shots:
            if shot.line:
                self.say(shot.line)
        self.say(report.summary)


class JsonProgress(Progress):
    """One JSON object per line on standard output."""

    def say(self, text: str) -> None:
        """Print the text as an event."""
        self._event(event="message", text=text)

    def stage(self, what: str, done: int, total: int | None) -> None:
        """Print where the pass is as an event."""
        self._event(event="stage", text=what, done=done, total=total)

    def frame(self, report: FrameReport) -> None:
        """Print the frame's report as an event."""
        super().frame(report)
        self._event(event="frame", number=self.count, total=self.total, **report.to_dict())

    def finish(self, report: Report) -> None:
        """Print the totals as an event."""
        super().finish(report)
        self._event(event="finished", **report.totals, shots=[shot.to_dict() for shot in report.shots])

    def _event(self, **event: Any) -> None:
        print(json.dumps(event), flush=True)  # noqa: T201


class OpenJDProgress(PlainProgress):
    """Lines of a log, and progress as Open Job Description reads it from standard output."""

    def advance(self, frames: float) -> None:
        """Tell the share of all frames that is done."""
        if self.total:
            self._tell(min(100.0, 100 * (self.count + frames) / self.total))

    def stage(self, what: str, done: int, total: int | None) -> None:
        """Tell how far the pass is."""
        super().stage(what, done, total)
        if total:
            self._tell(100 * done / total)

    def frame(self, report: FrameReport) -> None:
        """Print the frame's line, and tell how many are done; frames after it may be further already."""
        super().frame(report)
        if self.total and 100 * self.count / self.total > self._told:
            self.advance(0.0)

    def _tell(self, percent: float) -> None:
        if int(percent) != self._told:
            self._told = int(percent)
            print(f"openjd_progress: {percent:.1f}", flush=True)  # noqa: T201

    _told = -1


class BarProgress(PlainProgress):
    """A bar with frame, rate and time left."""

    def __init__(self, total: int | None) -> None:
        super().__init__(total)
        from tqdm import tqdm

        layout = "{desc} {percentage:3.0f}%|{bar}| {n:.1f}/{total_fmt} frames  {rate_fmt}  {remaining} left"
        endless = "{desc} {n:.1f} frames  {rate_fmt}  {elapsed}"
        self._bar = tqdm(
            total=total, unit=" frames", bar_format=layout if total else endless, dynamic_ncols=True, file=sys.stderr
        )
        self._bar.set_description_str("expanding", refresh=True)
        self._stage: str | None = None

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def say(self, text: str) -> None:
        """Print above the bar."""
        self._bar.write(text, file=sys.stdout)

    def advance(self, frames: float) -> None:
        """Move the bar within the frame."""
        self._begin(None, self.total)
        self._bar.update(max(0.0, self.count + frames - 0.001 - self._bar.n))

    def stage(self, what: str, done: int, total: int | None) -> None:
        """Name the pass before the bar, and show how far it is: each pass has its own rate."""
        self._begin(what, total)
        self._bar.set_description_str(what.rpartition("/")[2][-32:], refresh=False)
        self._bar.update(done - self._bar.n)

    def _begin(self, stage: str | None, total: int | None) -> None:
        if stage != self._stage:
            self._stage = stage
            self._bar.reset()
            self._bar.total = total

    def frame(self, report: FrameReport) -> None:
        """Print the frame's line and move the bar."""
        self._bar.set_description_str(report.output.rpartition("/")[2][-32:], refresh=False)
        self._begin(None, self.total)
        self._bar.clear()
        super().frame(report)
        self._bar.update(max(0.0, self.count - self._bar.n))

    def finish(self, report: Report) -> None:
        """Close the bar, then print the totals."""
        self._bar.close()
        PlainProgress.finish(self, report)


def open_progress(kind: str, *, total: int | None) -> Progress:
    """Return the progress of a kind: auto, plain, json, openjd or none."""
    if kind == "auto":
        # A daemon's child may have none.
        shown = all(stream is not None and stream.isatty() for stream in (sys.stderr, sys.stdout))
        return BarProgress(total) if shown else PlainProgress(total)
    kinds = {"plain": PlainProgress, "json": JsonProgress, "openjd": OpenJDProgress, "none": Progress}
    return kinds[kind](total)


def _line(report: FrameReport) -> str:
    if report.status == "skipped":
        return f"{report.output}  up to date"
    return (
        f"{report.output}  {report.width}x{report.height}  {report.seconds:.1f} s  "
        f"clipped {100 * report.clipped_share:.1f} %  +{report.stops_gained:.1f} stops"
    )


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201
