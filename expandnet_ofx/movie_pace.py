"""Whether frames of a movie follow one another evenly, by their time stamps, and what is said where they do not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class Pace:
    """Tells whether frames follow one another evenly, from their time stamps in ticks."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._shortest: int | None = None
        self._longest = 0

    def add(self, stamp: int | None) -> bool:
        """Take the next frame's stamp; return False once durations differ by more than a tick or a tenth of a frame."""
        if stamp is None:
            return True
        if self._last is not None:
            step = stamp - self._last
            self._shortest = step if self._shortest is None else min(self._shortest, step)
            self._longest = max(self._longest, step)
        self._last = stamp
        # Containers that count milliseconds round 1/24 s to 41 or 42: a tick is no change, unless it is a whole frame.
        shortest = self._shortest or 0
        rounding = 1 if shortest > 1 else 0
        return self._longest - shortest <= max(shortest / 10, rounding)


def hole_of(stamps: Sequence[int]) -> tuple[int, int] | None:
    """Return the frame before the first gap between time stamps that are even otherwise, and the frames all gaps lack.

    None where stamps are uneven in another way, or lack none.
    """
    steps = np.diff(stamps)
    usual = max(1, int(np.median(steps)))
    frames = np.rint(steps / usual).astype(int)
    off = np.abs(steps - frames * usual) > np.maximum(frames, 0) * max(1, usual / 10)
    if off.any() or frames.min() < 1 or frames.max() == 1:
        return None
    return int(np.argmax(frames > 1)), int((frames - 1).sum())


def lacking(hole: tuple[int, int] | None) -> str:
    """Return what a gap may mean, to be said behind a variable frame rate; nothing without one, see `hole_of`."""
    return "" if hole is None else f", or {hole[1]} frames are missing, the first after frame {hole[0]}"


def uneven(path: str, hole: tuple[int, int] | None) -> str:
    """Return what is said of a movie whose frames do not follow evenly."""
    advice = "" if hole is None else "copy or export it again, or "
    return f"{path}: variable frame rate{lacking(hole)}; {advice}pass --fps, for example --fps 24, to take all that are there"
