"""One input of a batch and where its result goes; opened, it gives its frames one after the other."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from expandnet_batch.resume import up_to_date
from expandnet_ofx.analysis import Analysis
from expandnet_ofx.convert import Converter
from expandnet_ofx.errors import InputError, UsageError
from expandnet_ofx.movie_frames import MovieFrames
from expandnet_ofx.output_options import OutputOptions, matte_file
from expandnet_ofx.partials import sheet_file
from expandnet_ofx.patterns import FramePattern, as_pattern, is_pattern
from expandnet_ofx.sequences import Source, frame_number, parse_frames
from expandnet_ofx.sources import Identity, Prepared


@dataclass(frozen=True, kw_only=True)
class Given:
    """The analysis of a frame, made before."""

    key: str
    """What tells it from another one."""
    load: Callable[[], Analysis]


Analyses = Callable[[Path, "int | None", Identity], "Given | None"]
"""Gives the analysis of a frame by path, number and identity; None leaves it to be made."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One input and where its result goes; for a movie, one job per frame is derived while it is read."""

    source: Source
    output: Path
    mask: Path | None = None
    """Picture that keeps areas out; for a movie also the pattern of one for each frame."""
    sheet: bool = False
    """Whether the result gets a preview."""

    @property
    def preview(self) -> Path | None:
        """Where the sheet goes, None without one."""
        return sheet_file(self.output) if self.sheet else None

    @property
    def number(self) -> int | None:
        """Number of the frame, by its notation or else by its name."""
        return self.source.frame if self.source.frame is not None else frame_number(self.source.path)

    @property
    def _masks(self) -> Path | FramePattern | None:
        """The mask of all frames of a movie, or the pattern of one for each."""
        return None if self.mask is None else as_pattern(str(self.mask)) or self.mask

    def files(self, options: OutputOptions) -> list[Path]:
        """Return everything that is written for this job; of a movie the patterns."""
        matte = [matte_file(self.output)] if options.separate_matte else []
        return [self.output, *matte, *([] if self.preview is None else [self.preview])]

    def open(
        self, converter: Converter, options: dict[str, Any], analyses: Analyses | None = None
    ) -> Iterator[tuple[Job, Prepared | None]]:
        """Yield each frame's job with its prepared source, None where the result that exists can stay.

        Args:
            analyses: gives the analysis of a frame, where it comes from a shot.
        """
        skip = options["existing"] == "skip"
        if self.source.is_movie:
            yield from self._movie_frames(converter, options, skip, analyses)
            return
        if self.source.missing:
            raise InputError(f"{self.source.path}: missing frame of the range; render it, or pass --missing skip")
        if not self.source.path.is_file():
            yield self, converter.prepare(self.source.path, mask=self.mask)
            return
        own = converter.identify(self.source.path, self.mask)
        identity, frame = _given(analyses, self.source.path, self.number, own)
        if skip and up_to_date(converter, identity, self.output, preview=self.preview):
            yield self, None
        else:
            analysis = frame.load() if frame else None
            yield self, converter.prepare(self.source.path, mask=self.mask, identity=identity, analysis=analysis)

    def _movie_frames(
        self, converter: Converter, options: dict[str, Any], skip: bool, analyses: Analyses | None
    ) -> Iterator[tuple[Job, Prepared | None]]:
        first = options["first_frame"]
        with MovieFrames(
            converter, self.source.path, fps=frame_rate(options["fps"]), mask=self._masks, first=first
        ) as movie:
            wanted = set(parse_frames(options["frames"])) if options["frames"] else None
            number = first - 1
            # How long a movie is shows only at its end, so some previews means one of its first frame.
            sheets = itertools.repeat(True) if options["preview"] == "all" else iter([options["preview"] == "some"])
            for number, codes in movie:
                if wanted is not None and number not in wanted:
                    continue
                source = replace(self.source, frame=number)
                # An analysis has one file for all of them.
                output = numbered(self.output, number) if is_pattern(str(self.output)) else self.output
                job = replace(self, source=source, output=output, sheet=next(sheets, False))
                identity, frame = _given(analyses, self.source.path, number, movie.identity(number))
                if skip and up_to_date(converter, identity, job.output, preview=job.preview):
                    yield job, None
                else:
                    analysis = frame.load() if frame else None
                    yield job, movie.prepare(number, codes, identity=identity, analysis=analysis)
                if wanted is not None and number >= max(wanted):
                    break
            absent = sorted(n for n in wanted or () if not first <= n <= number)
            if absent and options["missing"] == "error":
                raise InputError(
                    f"{self.source.path}: has frames {first} to {number}, not {absent[0]}; change --frames, or pass "
                    "--missing skip"
                )


def _given(
    analyses: Analyses | None, path: Path, number: int | None, identity: Identity
) -> tuple[Identity, Given | None]:
    """Return what a result is identified by, and the analysis that a shot gives for it."""
    frame = analyses(path, number, identity) if analyses else None
    return (identity, None) if frame is None else (replace(identity, analysis_sha256=frame.key), frame)


def numbered(pattern: Path, frame: int) -> Path:
    """Return the path of one frame of a movie's output pattern."""
    return FramePattern(str(pattern), made=True).path(frame)


def frame_rate(fps: str | None) -> Fraction | None:
    """Return a frame rate such as 24 or 24000/1001; raise `UsageError` if it is none."""
    try:
        rate = None if fps is None else Fraction(fps)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate is not None and rate <= 0:
        raise UsageError(f"--fps {fps}: not a rate; write 24, 23.976 or 24000/1001")
    return rate
