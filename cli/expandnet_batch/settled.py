"""Shots whose results all exist and can stay, and what tells one steady analysis from another."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from expandnet_batch.book import Book, FrameSequence
from expandnet_batch.resume import up_to_date
from expandnet_ofx.convert import Converter
from expandnet_ofx.errors import InputError
from expandnet_ofx.results import read_provenance
from expandnet_ofx.shots import ShotFrame
from expandnet_ofx.steady import Steadying


def steady_keys(
    spans: Sequence[Sequence[int]],
    views: Sequence[Mapping[int, ShotFrame]],
    settings: Mapping[str, Any],
    how: Steadying,
) -> dict[int, str]:
    """Return for each frame what its steady analysis was made from: span, plates, settings, and the plates beyond its ends.

    Those say that there was a cut, where the frames of a part of a shot just end.
    """
    plates = [{number: frame.identity.source_sha256 for number, frame in view.items()} for view in views]
    return {n: key for first, last in spans for n, key in _span_keys(first, last, plates, settings, how).items()}


def _span_keys(
    first: int, last: int, plates: Sequence[Mapping[int, str]], settings: Mapping[str, Any], how: Steadying
) -> dict[int, str]:
    numbers = sorted({n for view in plates for n in view if first <= n <= last})
    made_from = [[[n, view.get(n)] for n in numbers] for view in plates]
    beyond = [[n, view[n]] for view in plates for n in (first - 1, last + 1) if n in view]
    record = json.dumps([made_from, settings, how.window, how.tiles, *([] if how.tiles else beyond)], sort_keys=True)
    key = f"{first}-{last} {hashlib.sha256(record.encode()).hexdigest()}"
    return {number: key for number in numbers if number in plates[0]}


def is_settled(
    book: Book, views: Sequence[FrameSequence], converter: Converter, settings: Mapping[str, Any], how: Steadying
) -> bool:
    """Tell whether all results of a sequence exist and can stay, and if so settle it.

    A result says from which frames its analysis was made. Where those are the same plates still, and no other frame is
    there, an analysis would come out the same again.
    """
    if any(job.source.is_movie for view in views for job in view.jobs):
        return False
    try:
        identities = [
            {job.number or 0: converter.identify(job.source.path, job.mask) for job in view.jobs} for view in views
        ]
    except InputError:
        return False
    plates = [{number: identity.source_sha256 for number, identity in view.items()} for view in identities]
    settled: list[tuple[FrameSequence, dict[int, str], list[tuple[int, int]]]] = []
    for k, view in enumerate(views):
        keys: dict[int, str] = {}
        spans: list[tuple[int, int]] = []
        own = [plates[k], *(other for other in plates if other is not plates[k])]
        for job in view.jobs:
            number = job.number or 0
            if number not in keys:
                span = _span_of(job.output)
                if span is None:
                    return False
                spans.append(span)
                keys |= _span_keys(*span, own, settings, how)
            identity = replace(identities[k][number], analysis_sha256=keys.get(number))
            if not up_to_date(converter, identity, job.output, preview=job.preview):
                return False
        settled.append((view, keys, spans))
    for view, keys, spans in settled:
        book.settle(view, keys)
        book.note(view, spans, window=how.window)
    return True


def _span_of(output: Path) -> tuple[int, int] | None:
    """Return first and last frame of the shot that a result was made in, as it says itself."""
    record = read_provenance(output) if output.exists() else None
    span = re.match(r"(-?\d+)-(-?\d+) ", str((record or {}).get("analysis_sha256")))
    return None if span is None else (int(span[1]), int(span[2]))
