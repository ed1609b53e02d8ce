"""Frames opened and analyzed ahead of what is done with them, as many at a time as processors and memory allow.

A frame's first pass holds steps that keep one processor busy, such as decoding; of several frames some are always at
another step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from threading import Event
from typing import Any

from expandnet_batch.failures import FRAME_FAILURES
from expandnet_batch.jobs import Analyses, Job
from expandnet_ofx.convert import Converter
from expandnet_ofx.declared import declared
from expandnet_ofx.plates import prefetch
from expandnet_ofx.sources import Prepared
from expandnet_ofx.survey import pixels_read
from expandnet_ofx.workers import MOST_BESIDE, Results, within

Opened = tuple[Job, Prepared | BaseException | None]
"""A frame's job with its source, or the failure to open or analyze it, or None where the result that exists can stay."""

LEAST = 2
"""Frames even on one processor, so that it does not wait for files."""

MOST_ON_DEVICE = 4
"""Frames at most beside a device: each may have its reduced plate there."""

ROOM_SHARE = 1 / 4
"""Share of `--memory` that frames opened ahead may take."""

ANALYSIS_BYTES = 16 << 20
"""What an analysis takes beside the plate and its rows: reduced plates, maps and what they are made from."""

COPIES = 3
"""Copies of the rows that a survey reads: as stored, with alpha divided out, as numbers."""

DECODED_WHEN_OPENED = frozenset((".jp2", ".j2k", ".j2c", ".jxl", ".gif"))
"""Suffixes of formats that the image library decodes to tell their size; how large one is shows when it is opened."""

UNTOLD_SHARE = 1 / 8
"""Share of the memory that such a plate is taken for."""


class DroppedError(Exception):
    """A frame is not wanted any more; not one of the errors that cost a single frame."""


def open_ahead(
    jobs: Iterable[Job],
    converter: Converter,
    options: dict[str, Any],
    analyses: Analyses | None = None,
    *,
    dropped: Event | None = None,
) -> Results[Opened]:
    """Yield the frames of all jobs, in their order, opened and analyzed.

    An analysis that takes a render is not made: two at once would need the memory of two, and could not be interrupted.

    Args:
        analyses: gives those of frames of a shot, see `Job.open`.
        dropped: set where no more are wanted; those in work end at their next step.
    """
    dropped = dropped or Event()
    engine, settings = converter.expander.engine, converter.expander.settings
    most = MOST_BESIDE if engine.device == "cpu" else MOST_ON_DEVICE
    calls = _calls(jobs, converter, options, analyses, dropped)
    count = min(most, max(LEAST, engine.threads))
    yield from within(calls, room=ROOM_SHARE * settings.memory, count=count, dropped=dropped)


def _calls(
    jobs: Iterable[Job], converter: Converter, options: dict[str, Any], analyses: Analyses | None, dropped: Event
) -> Iterator[tuple[float, Callable[[], Opened]]]:
    """Yield what opens and analyzes each frame; frames of a movie are read in a thread of their own, others by the call."""

    def opened(job: Job) -> Iterator[Opened]:
        try:
            yield from job.open(converter, options, analyses)
        except FRAME_FAILURES as error:
            yield job, error

    def analyzed(frames: Iterator[Opened]) -> Opened:
        if dropped.is_set():
            raise DroppedError
        job, prepared = next(frames)
        if not isinstance(prepared, Prepared):
            return job, prepared
        if dropped.is_set():
            prepared.close()
            raise DroppedError
        return job, _analyzed(converter, prepared)

    for job in jobs:
        if not job.source.is_movie:
            yield _weight(job, converter.expander.settings.memory), partial(analyzed, opened(job))
            continue
        with closing(prefetch(partial(opened, job), depth=1)) as frames:
            for frame in frames:
                held = frame[1].held if isinstance(frame[1], Prepared) else 0
                yield held + ANALYSIS_BYTES, partial(analyzed, iter([frame]))


def _weight(job: Job, memory: int) -> float:
    weight: float = ANALYSIS_BYTES
    for path in (job.source.path, job.mask):
        if path is not None and path.suffix.lower() in DECODED_WHEN_OPENED:
            weight += UNTOLD_SHARE * memory
        elif path is not None and (size := declared(path)) is not None:
            rows = min(size.width * size.height, pixels_read(size.pixel_bytes)) * size.pixel_bytes
            weight += size.held(memory) + COPIES * rows
    return weight


def _analyzed(converter: Converter, prepared: Prepared) -> Prepared | BaseException:
    """Analyze what was opened; where that fails, close it and return the failure."""
    if converter.expander.settings.relative:
        return prepared
    try:
        converter.analyze(prepared)
    except BaseException as error:
        prepared.close()
        if isinstance(error, FRAME_FAILURES):
            return error
        raise
    return prepared
