"""From the analyses of a shot to steady ones: cuts are found, then each is smoothed by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from expandnet_ofx.analysis import Analysis
from expandnet_ofx.errors import UsageError
from expandnet_ofx.looks import find_cuts
from expandnet_ofx.shots import Shot, ShotFrame, ShotWriter, runs
from expandnet_ofx.smoothing import WINDOW, constants_of, smooth_cut

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Steadying:
    """How analyses are made steady; validated on construction, raises `UsageError`."""

    window: int = WINDOW
    """Frames that are smoothed over, odd; 1 leaves each frame its own numbers and maps."""
    lock_frame: int | None = None
    """Frame whose analysis all frames take, maps included: for locked-off cameras."""
    cuts: tuple[int, ...] | None = None
    """First frames of new shots; None finds them."""
    tiles: bool = False
    """Frames are no time but parts of one picture (UDIM tiles, views): one set of numbers for all, maps of their own."""

    def __post_init__(self) -> None:
        if self.window < 1 or self.window % 2 == 0:
            raise UsageError("window: need an odd number of frames, 1 or more")
        if self.tiles and (self.lock_frame is not None or self.cuts is not None):
            raise UsageError("tiles: hold no time, so no lock frame and no cuts")


def find_shots(frames: Mapping[int, ShotFrame], how: Steadying) -> list[list[int]]:
    """Return the cuts of a shot: numbers of frames that belong together, each list consecutive, of one size and look.

    Raises:
        UsageError: a cut that is named is not a frame.
    """
    if how.tiles:
        return [sorted(frames)]
    if absent := [cut for cut in how.cuts or () if cut not in frames]:
        raise UsageError(f"cuts: {absent[0]} is not a frame of the shot")
    found = []
    for run in runs(frames):
        first = 0
        if how.cuts is None:
            starts = find_cuts([frames[number].look for number in run])
        else:
            starts = [position for position, number in enumerate(run) if position and number in how.cuts]
        starts += [i for i in range(1, len(run)) if _size(frames[run[i]]) != _size(frames[run[i - 1]])]
        for start in sorted({*starts, len(run)}):
            found.append(run[first:start])
            first = start
    return found


def _size(frame: ShotFrame) -> tuple[int, int]:
    return frame.numbers.width, frame.numbers.height


def steady(
    frames: Mapping[int, ShotFrame],
    settings: Mapping[str, Any],
    target: Path,
    how: Steadying,
    *,
    progress: Progress | None = None,
) -> Shot:
    """Write the steady analyses of a shot and return them.

    Args:
        frames: all frames of the shot, see `shots.merge_shots`.
        settings: what their analyses were made with.
        target: the file to write.
        how: window, cuts.
        progress: called with the number of frames that are done, and of all.
    """
    shots = find_shots(frames, how)
    smoothing = {
        "window": how.window,
        "lock_frame": how.lock_frame,
        "tiles": how.tiles,
        "shots": [[shot[0], shot[-1]] for shot in shots],
    }
    writer = ShotWriter(target, settings, smoothing=smoothing)
    done = 0
    for shot in shots:
        for number, make in zip(shot, _makers(frames, shot, how), strict=True):
            frame = frames[number]
            writer.add(number, frame.identity, frame.look, make())
            done += 1
            if progress is not None:
                progress(done, len(frames))
    return writer.commit()


def _makers(frames: Mapping[int, ShotFrame], shot: Sequence[int], how: Steadying) -> Sequence[Callable[[], Analysis]]:
    numbers = [frames[number].numbers for number in shot]
    if how.lock_frame is not None:
        return [_locked(frames, how.lock_frame, number) for number in shot]
    if how.tiles:
        return [_shared(frames, shot, number) for number in shot]

    @lru_cache(maxsize=how.window + 1)
    def load(position: int) -> Analysis:
        return frames[shot[position]].load()

    return smooth_cut(numbers, load, how.window)


def _locked(frames: Mapping[int, ShotFrame], lock: int, number: int) -> Callable[[], Analysis]:
    if lock not in frames:
        raise UsageError(f"lock-frame {lock}: not a frame of the shot")
    if _size(frames[lock]) != _size(frames[number]):
        raise UsageError(f"lock-frame {lock}: frame {number} has another size; lock plates of one size")
    return frames[lock].load


def _shared(frames: Mapping[int, ShotFrame], shot: Sequence[int], number: int) -> Callable[[], Analysis]:
    numbers = [frames[n].numbers for n in shot]
    constants = constants_of(numbers)
    columns = zip(*(a.features for a in numbers), strict=True)
    features = tuple(sum(column) / len(numbers) for column in columns)

    def make() -> Analysis:
        return replace(frames[number].load(), features=features, **constants)

    return make
