"""From the analyses of a shot to steady ones: cuts are found, then each is smoothed by itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import Any

from expandnet_ofx.analysis import Analysis
from expandnet_ofx.defaults import WINDOW
from expandnet_ofx.errors import UsageError
from expandnet_ofx.looks import find_cuts
from expandnet_ofx.shots import Shot, ShotFrame, ShotWriter, runs
from expandnet_ofx.smoothing import constants_of, smooth_cut
from expandnet_ofx.workers import in_parallel, usable_processors

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
    beside: Sequence[Mapping[int, ShotFrame]] = (),
    kept: Mapping[int, ShotFrame] | None = None,
    progress: Progress | None = None,
) -> Shot:
    """Write the steady analyses of a shot and return them.

    Args:
        frames: all frames of the shot, see `shots.merge_shots`.
        settings: what their analyses were made with.
        target: the file to write.
        how: window, cuts.
        beside: frames of other views of the same shot, with which it shares what is global.
        kept: steady analyses that stay as they are, of frames that have not changed; others join their constants.
        progress: called with the number of frames that are done, and of all.
    """
    shots = find_shots(frames, how)
    smoothing = {
        "window": how.window,
        "lock_frame": how.lock_frame,
        "tiles": how.tiles,
        "shots": [[shot[0], shot[-1]] for shot in shots],
    }
    settled = {
        number: frame
        for number, frame in (kept or {}).items()
        if number in frames and frames[number].identity == frame.identity
    }
    writer = ShotWriter(target, settings, smoothing=smoothing)

    def add(number: int, make: Callable[[], Analysis]) -> None:
        writer.add(number, frames[number].identity, frames[number].look, make())

    calls = [
        partial(add, number, make)
        for shot in shots
        for number, make in zip(shot, _makers([frames, *beside], shot, how, settled), strict=True)
    ]
    with closing(in_parallel(calls)) as added:
        for done, _ in enumerate(added, 1):
            if progress is not None:
                progress(done, len(frames))
    return writer.commit()


def steady_views(
    views: Sequence[Mapping[int, ShotFrame]],
    settings: Mapping[str, Any],
    targets: Sequence[Path],
    how: Steadying,
    *,
    progress: Progress | None = None,
) -> list[Shot]:
    """Write the steady analyses of all views of a shot and return them: cut where the first view is, see `steady`."""
    made: list[Shot] = []
    for frames, target in zip(views, targets, strict=True):
        own = how
        if made and not how.tiles:
            assert made[0].smoothing is not None
            own = replace(how, cuts=tuple(first for first, _ in made[0].smoothing["shots"] if first in frames))
        beside = [other for other in views if other is not frames]
        made.append(steady(frames, settings, target, own, beside=beside, progress=progress))
    return made


def _makers(
    views: Sequence[Mapping[int, ShotFrame]], shot: Sequence[int], how: Steadying, settled: Mapping[int, ShotFrame]
) -> Sequence[Callable[[], Analysis]]:
    frames = views[0]
    known = [[view[number].numbers for view in views if number in view] for number in shot]
    constants = constants_of([settled[n].numbers for n in shot if n in settled] or list(chain.from_iterable(known)))
    features = [_mean_features(analyses) for analyses in known]

    @lru_cache(maxsize=how.window + usable_processors())
    def load(position: int) -> Analysis:
        return frames[shot[position]].load()

    if how.lock_frame is not None:
        made = [_locked(frames, how.lock_frame, number) for number in shot]
    elif how.tiles:
        all_features = _mean_features(list(chain.from_iterable(known)))
        made = smooth_cut([all_features] * len(shot), constants, load, 1)
    else:
        made = smooth_cut(features, constants, load, how.window)
    return [settled[n].load if n in settled else make for n, make in zip(shot, made, strict=True)]


def _mean_features(analyses: Sequence[Analysis]) -> list[float]:
    # The exact sum: views come in another order for each of them.
    return [math.fsum(column) / len(analyses) for column in zip(*(a.features for a in analyses), strict=True)]


def _locked(frames: Mapping[int, ShotFrame], lock: int, number: int) -> Callable[[], Analysis]:
    if lock not in frames:
        raise UsageError(f"lock-frame {lock}: not a frame of the shot")
    if _size(frames[lock]) != _size(frames[number]):
        raise UsageError(f"lock-frame {lock}: frame {number} has another size; lock plates of one size")
    return frames[lock].load
