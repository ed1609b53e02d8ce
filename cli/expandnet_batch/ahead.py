"""Frames opened and analyzed ahead of what is done with them, as many at a time as processors and memory allow.

A frame's first pass holds steps that keep one processor busy, such as decoding; of several frames some are always at
another step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from typing import Any

from expandnet_batch.failures import FRAME_FAILURES
from expandnet_batch.jobs import Analyses, Job
from expandnet_ofx.convert import Converter
from expandnet_ofx.declared import declared
from expandnet_ofx.plates import prefetch
from expandnet_ofx.sources import Prepared
from expandnet_ofx.workers import MOST_BESIDE, Results, within

Opened = tuple[Job, Prepared | BaseException | None]
"""A frame's job with its source, or the failure to open or analyze it, or None where the result that exists can stay."""

LEAST = 2
"""Frames even on one processor, so that it does not wait for files."""

MOST_ON_DEVICE = 4
"""Frames at most beside a device: each may have its reduced plate there."""

ROOM_SHARE = 1 / 4
"""Share of the memory that is planned for which they may take."""

ANALYSIS_BYTES = 32 << 20
"""What an analysis takes beside the plate: rows as they are read, reduced plates, maps and what they are made from."""


def open_ahead(
    jobs: Iterable[Job], converter: Converter, options: dict[str, Any], analyses: Analyses | None = None
) -> Results[Opened]:
    """Yield the frames of all jobs, in their order, opened and analyzed.

    An analysis that takes a render is not made: two at once would need the memory of two, and could not be interrupted.

    Args:
        analyses: gives those of frames of a shot, see `Job.open`.
    """
    engine, settings = converter.expander.engine, converter.expander.settings
    most = MOST_BESIDE if engine.device == "cpu" else MOST_ON_DEVICE
    calls = _calls(jobs, converter, options, analyses)
    yield from within(calls, room=ROOM_SHARE * settings.memory, count=min(most, max(LEAST, engine.threads)))


def _calls(
    jobs: Iterable[Job], converter: Converter, options: dict[str, Any], analyses: Analyses | None
) -> Iterator[tuple[int, Callable[[], Opened]]]:
    """Yield what opens and analyzes each frame; frames of a movie are read in a thread of their own, others by the call."""

    def opened(job: Job) -> Iterator[Opened]:
        try:
            yield from job.open(converter, options, analyses)
        except FRAME_FAILURES as error:
            yield job, error

    def analyzed(frames: Iterator[Opened]) -> Opened:
        job, prepared = next(frames)
        return job, _analyzed(converter, prepared) if isinstance(prepared, Prepared) else prepared

    for job in jobs:
        if not job.source.is_movie:
            yield _weight(job, converter.expander.settings.memory), partial(analyzed, opened(job))
            continue
        with closing(prefetch(partial(opened, job), depth=1)) as frames:
            for frame in frames:
                held = frame[1].held if isinstance(frame[1], Prepared) else 0
                yield held + ANALYSIS_BYTES, partial(analyzed, iter([frame]))


def _weight(job: Job, memory: int) -> int:
    found = [declared(path) for path in (job.source.path, job.mask) if path is not None]
    return ANALYSIS_BYTES + sum(size.held(memory) for size in found if size is not None)


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
