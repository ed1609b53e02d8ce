"""The page of results: what was compared, on what, with what outcome, and what that can tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from expandnet_comparison import report
from expandnet_comparison.choices import Choices
from expandnet_comparison.measure import Record
from expandnet_comparison.methods import BASE, Row
from expandnet_comparison.quality import TITLES
from expandnet_comparison.summary import OURS, sign


def as_page(
    summary: Sequence[Mapping[str, Any]],
    records: Sequence[Record],
    rows: Sequence[Row],
    choices: Choices,
    metrics: Sequence[str],
    *,
    held_out: bool,
) -> str:
    """Return the page in Markdown, made from the run alone.

    Args:
        held_out: whether a split named the places, as held out from training.
    """
    unseen = (
        "that no network trained here has seen" if held_out else "(no split was given: networks may have seen them)"
    )
    places = sorted({record["place"] for record in records})
    return "\n".join(
        (
            "# The paper's comparison",
            "",
            f"Made by `expandnet-compare run` on {len(places)} places {unseen}, one view each.",
            "",
            "## What the numbers can tell, and what not",
            "",
            *(f"- {line}" for line in _reading(summary, records, rows, metrics, len(places))),
            "",
            "## Methods",
            "",
            "Seconds are medians over the pictures, one thread per process, on the machine of the run.",
            "",
            report.methods_as_markdown(rows, records),
            "## Results",
            "",
            report.LEGEND,
            "",
            report.as_markdown(summary, metrics),
            "## Choices",
            "",
            "What no source documents is a setting (`--set NAME=VALUE`):",
            "",
            report.choices_as_markdown(choices),
            "## Places",
            "",
            ", ".join(places) + ".",
            "",
        )
    )


def _reading(
    summary: Sequence[Mapping[str, Any]],
    records: Sequence[Record],
    rows: Sequence[Row],
    metrics: Sequence[str],
    places: int,
) -> list[str]:
    """Return what follows from the run, in sentences."""
    lines = [
        f"{places} places tell differences of about twice the spread over the root of {places}; signs in the tables are those "
        "that hold in 95 of 100 drawings of places, one by one: of twenty comparisons without a difference one has a sign.",
        "People call a difference of PU21-PSNR one only from about 3.5 dB on (Hanji et al. 2022); smaller ones order means.",
        "The paper's own tables were not found, nor its pictures: nothing here repeats one of its numbers. What repeats is "
        "the protocol, as far as its authors described it, with the choices listed below. Whether the released weights "
        "have seen any of these places is not known.",
    ]
    for maker in ("optimal", "culling"):
        for response in ("known", "random"):
            line = _verdict(summary, maker, response, metrics)
            if line:
                lines.append(line)
    clipped = {
        maker: float(np.median([record["clipped"] for record in records if record["maker"] == maker]))
        for maker in ("optimal", "culling")
        if any(record["maker"] == maker for record in records)
    }
    lines.append(
        "Pixels with a clipped channel, median: "
        + ", ".join(f"{100 * share:.1f} percent under {report.MAKER_TITLES[maker]}" for maker, share in clipped.items())
        + ". Percentile scaling moves a result by one straight line, so it forgives any exposure and offset, and a method "
        "that only stretches (AKY) becomes the bare picture."
    )
    apart = [f"{row.name} ({row.samples:,} samples)" for row in rows if row.apart]
    if apart:
        lines.append(
            f"{', '.join(apart)}: our reproductions, trained on too few samples. They show that the programs run; they say "
            "nothing of how good those networks are, and have neither rank nor significance."
        )
    return lines


def _verdict(summary: Sequence[Mapping[str, Any]], maker: str, response: str, metrics: Sequence[str]) -> str:
    """Return who is best in a setting by each metric, display-referred, and how ours compares with no method."""
    entries = [
        entry
        for entry in summary
        if (entry["maker"], entry["response"], entry["referred"]) == (maker, response, "display") and not entry["apart"]
    ]
    if not entries:
        return ""
    best: dict[str, list[str]] = {}
    for metric in metrics:
        for entry in entries:
            if entry[f"{metric} rank"] == 1:
                best.setdefault(entry["method"], []).append(TITLES[metric])
    ours = next((entry for entry in entries if entry["method"] == OURS), None)
    text = f"{report.MAKER_TITLES[maker].capitalize()}, {response} response, display-referred: best mean "
    text += "; ".join(f"{name} by {', '.join(titles)}" for name, titles in best.items())
    if ours is not None:
        words = {"+": "better than", "-": "worse than", "": "not told from"}
        told: dict[str, list[str]] = {}
        for metric in metrics:
            if np.isfinite(ours[metric]):
                told.setdefault(words[sign(ours[f"{metric} over {BASE}"])], []).append(TITLES[metric])
        text += f". {OURS} is " + "; ".join(f"{word} {BASE} by {', '.join(titles)}" for word, titles in told.items())
    return text + "."
