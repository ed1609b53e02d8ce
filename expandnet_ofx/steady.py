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
from expandnet_ofx.smoothing import Maps, constants_of, maps_of, smooth_cut, smooth_maps
from expandnet_ofx.workers import in_parallel, usable_processors

Progress = Callable[[int, int], None]

WIDEST = 499
"""Most frames that may be smoothed over: of each some 0.3 MB are held by each thread. Longer, a locked frame serves."""

MOST_HELD = 64
"""Analyses with their maps that are held at a time, some 5 MB each; those of a wider window are read again."""


@dataclass(frozen=True, kw_only=True)
class Steadying:
    """How analyses are made steady; validated on construction, raises `UsageError`."""

    window: int = WINDOW
    """Frames that are smoothed over, odd; 1 leaves each frame its own numbers and maps."""
    lock_frame: int | None = None
    """Frame whose analysis all frames of its cut take, maps included: for locked-off cameras."""
    cuts: tuple[int, ...] | None = None
    """First frames of new shots; None finds them."""
    tiles: bool = False
    """Frames are no time but parts of one picture (UDIM tiles, views): one set of numbers for all, maps of their own."""

    def __post_init__(self) -> None:
        if not 1 <= self.window <= WIDEST or self.window % 2 == 0:
            raise UsageError(f"window: need an odd number of frames, 1 to {WIDEST}")
        if self.tiles and (self.lock_frame is not None or self.cuts is not None):
            raise UsageError("tiles: hold no time, so no lock frame and no cuts")

    @property
    def record(self) -> dict[str, Any]:
        """The same as plain data."""
        cuts = None if self.cuts is None else list(self.cuts)
        return {"window": self.window, "lock_frame": self.lock_frame, "tiles": self.tiles, "cuts": cuts}

    @property
    def span(self) -> int:
        """Frames that are smoothed over: tiles hold no time."""
        return 1 if self.tiles else self.window


def find_shots(frames: Mapping[int, ShotFrame], how: Steadying) -> list[list[int]]:
    """Return the cuts of a shot: numbers of frames that belong together, each list consecutive, of one size, window and look.

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
        starts += [i for i in range(1, len(run)) if _extent(frames[run[i]]) != _extent(frames[run[i - 1]])]
        for start in sorted({*starts, len(run)}):
            found.append(run[first:start])
            first = start
    return found


def _extent(frame: ShotFrame) -> tuple[int, int, tuple[int, int, int, int]]:
    return frame.numbers.width, frame.numbers.height, frame.numbers.window


@dataclass(frozen=True, kw_only=True)
class SteadyShot:
    """The steady analyses of a shot: the numbers of all frames, and what makes the maps of one.

    Maps are made when a frame is asked for, from those of its neighbors, so that frames which are expanded side by side,
    or on many machines, are smoothed there as well.
    """

    smoothing: Mapping[str, Any]
    """How, see `Steadying.record`; and `shots`, first and last frame of each cut."""
    numbers: Mapping[int, Analysis]
    """Of each frame, without maps."""
    maps: Mapping[int, Callable[[], Maps]]

    def load(self, number: int) -> Analysis:
        """Return the steady analysis of a frame; raise `InputError` if maps of one that it takes are missing."""
        return replace(self.numbers[number], **self.maps[number]())


def make_steady(
    frames: Mapping[int, ShotFrame],
    how: Steadying,
    *,
    beside: Sequence[Mapping[int, ShotFrame]] = (),
    kept: Mapping[int, ShotFrame] | None = None,
) -> SteadyShot:
    """Make the analyses of a shot steady.

    Args:
        frames: all frames of the shot, see `shots.merge_shots`.
        how: window, cuts.
        beside: frames of other views of the same shot, with which it shares what is global.
        kept: steady analyses that stay as they are, of frames that have not changed; others join their constants.
    """
    if how.lock_frame is not None and how.lock_frame not in frames:
        raise UsageError(f"lock-frame {how.lock_frame}: not a frame of the shot")
    # A frame that one view lacks is no cut: views that were cut unlike each other would come out unlike.
    shots = [shot for shot in find_shots(_all_views([frames, *beside]), how) if not frames.keys().isdisjoint(shot)]
    smoothing = {**how.record, "shots": [[shot[0], shot[-1]] for shot in shots]}
    settled = {
        number: frame
        for number, frame in (kept or {}).items()
        if number in frames and frames[number].identity == frame.identity
    }
    numbers = {n: found for shot in shots for n, found in _numbers([frames, *beside], shot, how, settled).items()}
    own = [[number for number in shot if number in frames] for shot in shots]
    maps = _smoothed(own, lambda number: frames[number].load(), how.span)
    if how.lock_frame is not None:
        locked = next(shot for shot in shots if how.lock_frame in shot)
        maps |= dict.fromkeys(frames.keys() & set(locked), partial(_stored, frames[how.lock_frame]))
    maps |= {number: partial(_stored, frame) for number, frame in settled.items()}
    return SteadyShot(smoothing=smoothing, numbers=numbers, maps=maps)


def make_steady_views(views: Sequence[Mapping[int, ShotFrame]], how: Steadying) -> list[SteadyShot]:
    """Make the analyses of all views of a shot steady: cut where the first view is, see `make_steady`."""
    if not how.tiles:
        how = replace(how, cuts=tuple(shot[0] for shot in find_shots(_all_views(views), how)))
    return [make_steady(frames, how, beside=[other for other in views if other is not frames]) for frames in views]


def _all_views(views: Sequence[Mapping[int, ShotFrame]]) -> dict[int, ShotFrame]:
    """Return the frames of all views, each of the first one that has it."""
    return {number: frame for view in reversed(views) for number, frame in view.items()}


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
    """Write the steady analyses of a shot, maps and all, and return them.

    Args:
        frames, how, beside, kept: see `make_steady`.
        settings: what their analyses were made with.
        target: the file to write.
        progress: called with the number of frames that are done, and of all.
    """
    made = make_steady(frames, how, beside=beside, kept=kept)
    with ShotWriter(target, settings, smoothing=made.smoothing) as writer:

        def add(number: int) -> None:
            writer.add(number, frames[number].identity, frames[number].look, made.load(number))

        with closing(in_parallel(partial(add, number) for number in made.numbers)) as added:
            for done, _ in enumerate(added, 1):
                if progress is not None:
                    progress(done, len(frames))
        return writer.commit()


def keep_numbers(made: SteadyShot, frames: Mapping[int, ShotFrame], settings: Mapping[str, Any], target: Path) -> Shot:
    """Write the numbers of a shot's steady analyses, for `take_up` elsewhere; maps stay where those of the frames are."""
    writer = ShotWriter(target, settings, smoothing=made.smoothing)
    for number, numbers in made.numbers.items():
        writer.add_numbers(number, frames[number].identity, frames[number].look, numbers)
    return writer.commit()


def take_up(shot: Shot, load: Callable[[int], Analysis]) -> SteadyShot:
    """Return the steady analyses of a shot whose numbers `keep_numbers` wrote.

    Args:
        load: returns the analysis of a frame with its maps, as it was made.
    """
    assert shot.smoothing is not None
    how = Steadying(window=shot.smoothing["window"], tiles=shot.smoothing["tiles"])
    cuts = [sorted(n for n in shot.frames if first <= n <= last) for first, last in shot.smoothing["shots"]]
    numbers = {number: frame.numbers for number, frame in shot.frames.items()}
    return SteadyShot(smoothing=shot.smoothing, numbers=numbers, maps=_smoothed(cuts, load, how.span))


def _smoothed(
    shots: Sequence[Sequence[int]], load: Callable[[int], Analysis], window: int
) -> dict[int, Callable[[], Maps]]:
    """Return what makes the steady maps of each frame."""
    held = lru_cache(maxsize=min(window + usable_processors(), MOST_HELD))(load)

    def of(shot: Sequence[int], at: int) -> Maps:
        return smooth_maps(lambda k: held(shot[k]), len(shot), at, window)

    return {number: partial(of, shot, at) for shot in shots for at, number in enumerate(shot)}


def _stored(frame: ShotFrame) -> Maps:
    return maps_of(frame.load())


def _numbers(
    views: Sequence[Mapping[int, ShotFrame]], shot: Sequence[int], how: Steadying, settled: Mapping[int, ShotFrame]
) -> dict[int, Analysis]:
    """Return the steady numbers of those frames of a cut that the first view has."""
    frames = views[0]
    known = [[view[number].numbers for view in views if number in view] for number in shot]
    constants = constants_of([settled[n].numbers for n in shot if n in settled] or list(chain.from_iterable(known)))
    if how.lock_frame is not None and how.lock_frame in shot:
        found = {number: _locked(frames, how.lock_frame, number) for number in shot if number in frames}
    else:
        alike = [list(chain.from_iterable(known))] * len(shot) if how.tiles else known
        features = [_mean_features(analyses) for analyses in alike]
        steady_ = smooth_cut([analyses[0] for analyses in known], features, constants, how.span)
        found = dict(zip(shot, steady_, strict=True))
    return {n: (settled[n].numbers if n in settled else found[n]) for n in shot if n in frames}


def _mean_features(analyses: Sequence[Analysis]) -> list[float]:
    # The exact sum: views come in another order for each of them.
    return [math.fsum(column) / len(analyses) for column in zip(*(a.features for a in analyses), strict=True)]


def _locked(frames: Mapping[int, ShotFrame], lock: int, number: int) -> Analysis:
    own = frames[number].numbers
    return replace(frames[lock].numbers, nan=own.nan, infinite=own.infinite, negative=own.negative)
