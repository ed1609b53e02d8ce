"""Means over places, ranks, and which differences are more than chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from expandnet_training.figures import mean
from expandnet_training.metrics import bca_interval

from expandnet_comparison.measure import Record
from expandnet_comparison.methods import BASE, Row

OURS = "EXP (ours)"

Group = tuple[str, str, str]
"""Maker, response, referred."""


def groups(records: Sequence[Mapping[str, Any]]) -> list[Group]:
    """Return the settings that were measured, in the order they are printed."""
    makers = list(dict.fromkeys(("optimal", "culling", *sorted({record["maker"] for record in records}))))
    found = {(record["maker"], record["response"], record["referred"]) for record in records}
    return [
        (maker, response, referred)
        for maker in makers
        for response in ("known", "random")
        for referred in ("display", "scene")
        if (maker, response, referred) in found
    ]


def summarize(records: Sequence[Record], rows: Sequence[Row], metrics: Sequence[str]) -> list[dict[str, Any]]:
    """Return one entry per setting and method: means over places, ranks, intervals of differences.

    `METRIC rank` is 1 for the best; `METRIC over BASE` is the 95 percent BCa interval over places of the difference to
    another row, NaN where it cannot be told. Rows that stand apart have neither.
    """
    summary = []
    for group in groups(records):
        own = [record for record in records if (record["maker"], record["response"], record["referred"]) == group]
        places = {row.name: {record["place"]: record for record in own if record["method"] == row.name} for row in rows}
        entries = [_entry(group, row, places, metrics) for row in rows]
        for metric in metrics:
            ranked = [entry for entry in entries if not entry["apart"] and np.isfinite(entry[metric])]
            for rank, entry in enumerate(sorted(ranked, key=lambda entry: -entry[metric])):
                entry[f"{metric} rank"] = rank + 1
        summary += entries
    return summary


def _entry(group: Group, row: Row, places: dict[str, dict[str, Record]], metrics: Sequence[str]) -> dict[str, Any]:
    maker, response, referred = group
    entry: dict[str, Any] = {"maker": maker, "response": response, "referred": referred, "method": row.name}
    entry["apart"] = row.apart
    own = places[row.name]
    for metric in metrics:
        entry[metric] = mean([record[metric] for record in own.values()])
        entry[f"{metric} rank"] = None
        for base in (BASE, OURS):
            other = places.get(base, {})
            differences = [own[place][metric] - other[place][metric] for place in own if place in other]
            compared = not row.apart and row.name != base
            entry[f"{metric} over {base}"] = bca_interval(np.array(differences)) if compared else (np.nan, np.nan)
    return entry


def sign(interval: tuple[float, float]) -> str:
    """Return + or - where an interval of a difference leaves out 0, else nothing."""
    low, high = interval
    if not (np.isfinite(low) and np.isfinite(high)) or low == high:
        return ""
    return "+" if low > 0 else "-" if high < 0 else ""
