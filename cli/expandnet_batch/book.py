"""The analyses of a batch's frames, where shots give them, and what was taken for a shot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from expandnet_batch.jobs import Given, Job
from expandnet_batch.report import ShotRecord
from expandnet_ofx.analysis import Analysis
from expandnet_ofx.errors import InputError
from expandnet_ofx.shots import Shot, ShotFrame
from expandnet_ofx.sources import Identity
from expandnet_ofx.steady import SteadyShot


@dataclass(frozen=True, kw_only=True)
class FrameSequence:
    """Jobs whose names are numbered alike, in the order of their numbers; or one movie; of one view."""

    name: str
    jobs: list[Job]
    tiles: bool = False
    """Numbers are those of UDIM tiles."""


class Book:
    """Gives the analyses of a batch's frames, see `jobs.Analyses`, and remembers what was taken for a shot."""

    def __init__(self) -> None:
        self._given: dict[tuple[Path, int], Callable[[Identity], Given]] = {}
        self._records: dict[tuple[Path, int], ShotRecord] = {}
        self._failed: dict[Path, BaseException] = {}
        self.shot: Shot | None = None
        """One for all frames, by number alone."""
        self.records: list[ShotRecord] = []
        """What was taken for a shot, for the report."""

    def __call__(self, path: Path, number: int | None, identity: Identity) -> Given | None:
        """Return the analysis of a frame; None where it is no frame of a shot. Raises what its analysis failed with."""
        if self.shot is not None:
            frame = self.shot.frame(number, identity)
            return Given(key=frame.key, load=frame.load)
        found = self._given.get((path, number or 0))
        if found is None and path in self._failed:
            # It may be readable by now, but its neighbors were made steady without it.
            raise self._failed[path]
        return None if found is None else found(identity)

    def record_of(self, path: Path, number: int | None) -> ShotRecord | None:
        """Return the shot of a frame."""
        return self._records.get((path, number or 0))

    def note(
        self,
        sequence: FrameSequence,
        spans: Sequence[Sequence[int]],
        *,
        window: int | None,
        locked: int | None = None,
    ) -> None:
        """Remember what of a sequence is a shot, by first and last frame, and the frame that locks the one it is in."""
        for first, last in spans:
            record = ShotRecord(
                sequence=sequence.name,
                first=first,
                last=last,
                window=window,
                tiles=sequence.tiles,
                locked=locked if locked is not None and first <= locked <= last else None,
            )
            self.records.append(record)
            for path, number in _frames_of(sequence, range(first, last + 1)):
                self._records[path, number] = record

    def add(
        self,
        sequence: FrameSequence,
        frames: Mapping[int, ShotFrame],
        made: SteadyShot,
        keys: Mapping[int, str],
        *,
        replaced: str = "was replaced while the batch ran; run it again",
    ) -> None:
        """Add the steady analyses of a sequence, made from those of its frames.

        Args:
            replaced: what is said of a frame that is another picture by now.
        """

        def given(path: Path, number: int) -> Callable[[Identity], Given]:
            def check(identity: Identity) -> Given:
                if identity.source_sha256 != frames[number].identity.source_sha256:
                    raise InputError(f"{path}: {replaced}")
                return Given(key=keys[number], load=partial(made.load, number))

            return check

        for path, number in _frames_of(sequence, frames):
            self._given[path, number] = given(path, number)

    def fail(self, failures: Mapping[Path, BaseException]) -> None:
        """Remember why files could not be analyzed: frames of them that have no analysis fail too."""
        self._failed |= failures

    def settle(self, sequence: FrameSequence, keys: Mapping[int, str]) -> None:
        """Add a sequence whose results all exist and can stay: nothing of it is analyzed."""

        def load() -> Analysis:
            raise InputError(f"{sequence.name}: changed while the batch ran; run it again")

        def given(key: str) -> Callable[[Identity], Given]:
            return lambda _: Given(key=key, load=load)

        for path, number in _frames_of(sequence, keys):
            self._given[path, number] = given(keys[number])


def _frames_of(sequence: FrameSequence, numbers: Iterable[int]) -> Iterator[tuple[Path, int]]:
    wanted = set(numbers)
    for job in sequence.jobs:
        for number in wanted if job.source.is_movie else wanted & {job.number or 0}:
            yield job.source.path, number
