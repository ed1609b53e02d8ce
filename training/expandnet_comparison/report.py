"""The report of a comparison: tables as text, CSV, LaTeX and Markdown."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from expandnet_comparison.choices import Choices
from expandnet_comparison.measure import Record
from expandnet_comparison.methods import BASE, LEAST_SHARE, OURS_SAMPLES, Row
from expandnet_comparison.quality import DIGITS, TITLES
from expandnet_comparison.summary import OURS, groups, sign
from expandnet_ofx.partials import new_file

Summary = Sequence[Mapping[str, Any]]

MAKER_TITLES = {"optimal": "optimal exposure", "culling": "culling"}

LEGEND = (
    f"Means over places. + and -: better or worse than {BASE} (first) and than {OURS} (second) where the 95 percent interval "
    "over places leaves out 0; a dot where it does not. Bold: best mean. Rows at the end (in italics, or below a line) saw "
    f"under {100 * LEAST_SHARE:.0f} percent of our {OURS_SAMPLES:,} training samples and are not ranked."
)


def title(group: tuple[str, str, str]) -> str:
    """Return the heading of a setting."""
    maker, response, referred = group
    return f"{MAKER_TITLES.get(maker, f'{maker} from optimal')}, {response} response, {referred}-referred"


def as_text(summary: Summary, metrics: Sequence[str]) -> str:
    """Return the tables for a terminal."""
    lines: list[str] = []
    for group in groups(summary):
        entries = _of(summary, group)
        shown = _shown(entries, metrics)
        lines += [title(group), " " * 20 + "".join(f"{TITLES[metric]:>17}" for metric in shown)]
        for entry in _ordered(entries):
            cells = "".join(f"{_number(entry, metric) + ' ' + _signs(entry, metric):>17}" for metric in shown)
            lines.append(f"{('  ' if entry['apart'] else '') + entry['method']:20}{cells}")
        lines.append("")
    return "\n".join((*lines, LEGEND.replace(" Bold: best mean.", ""))) + "\n"


def as_markdown(summary: Summary, metrics: Sequence[str]) -> str:
    """Return the tables for a page."""
    lines: list[str] = []
    for group in groups(summary):
        entries = _of(summary, group)
        shown = _shown(entries, metrics)
        lines += [f"### {title(group).capitalize()}", "", f"| | {' | '.join(TITLES[metric] for metric in shown)} |"]
        lines.append("|---" + "|---:" * len(shown) + "|")
        for entry in _ordered(entries):
            name = f"*{entry['method']}*" if entry["apart"] else entry["method"]
            lines.append(f"| {name} | {' | '.join(_cell(entry, metric, '**{}**') for metric in shown)} |")
        lines.append("")
    return "\n".join(lines)


def as_latex(summary: Summary, metrics: Sequence[str]) -> str:
    """Return the tables for a paper (package booktabs)."""
    blocks = []
    for group in groups(summary):
        entries = _of(summary, group)
        shown = _shown(entries, metrics)
        head = " & ".join(("", *(TITLES[metric] for metric in shown)))
        ranked = [entry for entry in entries if not entry["apart"]]
        rows = [_latex_row(entry, shown) for entry in ranked]
        apart = [_latex_row(entry, shown) for entry in entries if entry["apart"]]
        lines = [
            r"\begin{table}", rf"\caption{{{title(group).capitalize()}}}", rf"\begin{{tabular}}{{l{'r' * len(shown)}}}",
            r"\toprule", rf"{head} \\", r"\midrule", *rows, *([r"\midrule", *apart] if apart else []), r"\bottomrule",
            r"\end{tabular}", r"\end{table}",
        ]  # fmt: skip
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def _latex_row(entry: Mapping[str, Any], metrics: Sequence[str]) -> str:
    cells = (_cell(entry, metric, r"\textbf{{{}}}") for metric in metrics)
    return " & ".join((entry["method"], *cells)).replace("%", r"\%") + r" \\"


def _of(summary: Summary, group: tuple[str, str, str]) -> list[Mapping[str, Any]]:
    return [entry for entry in summary if (entry["maker"], entry["response"], entry["referred"]) == group]


def _ordered(entries: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return entries as they came, those that stand apart last."""
    return sorted(entries, key=lambda entry: bool(entry["apart"]))


def _shown(entries: Iterable[Mapping[str, Any]], metrics: Sequence[str]) -> list[str]:
    """Return the metrics that were measured at all."""
    return [metric for metric in metrics if any(np.isfinite(entry[metric]) for entry in entries)]


def _number(entry: Mapping[str, Any], metric: str) -> str:
    return f"{entry[metric]:.{DIGITS[metric]}f}" if np.isfinite(entry[metric]) else "-"


def _signs(entry: Mapping[str, Any], metric: str) -> str:
    """Return a sign against each base, a dot where it cannot be told."""
    if entry["apart"]:
        return ""
    return "".join(sign(entry[f"{metric} over {base}"]) or "." for base in (BASE, OURS))


def _cell(entry: Mapping[str, Any], metric: str, bold: str) -> str:
    number = _number(entry, metric)
    number = bold.format(number) if entry[f"{metric} rank"] == 1 else number
    return f"{number} {_signs(entry, metric)}".strip()


def methods_as_markdown(rows: Sequence[Row], records: Sequence[Record]) -> str:
    """Return the table of methods: source, run time, license, samples."""
    lines = ["| method | what | s per picture | license | samples |", "|---|---|---:|---|---:|"]
    for row in rows:
        times = [
            record["seconds"] for record in records if record["method"] == row.name and record["seconds"] is not None
        ]
        time = f"{np.median(times):.3f}" if times else "-"
        samples = f"{row.samples:,}" if row.samples is not None else "-"
        lines.append(f"| {row.name} | {row.what} | {time} | {row.license} | {samples} |")
    return "\n".join(lines) + "\n"


def choices_as_markdown(choices: Choices) -> str:
    """Return the table of choices with their reasons."""
    lines = ["| setting | value | what, and why |", "|---|---|---|"]
    lines += [f"| `{name}` | {value} | {why} |" for name, value, why in choices.reasons()]
    return "\n".join(lines) + "\n"


def write_csv(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Write records, one line each; intervals take two columns."""
    flat = [_flat(record) for record in records]
    with new_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(flat[0]))
        writer.writeheader()
        writer.writerows(flat)


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, tuple):
            flat |= {f"{name} low": value[0], f"{name} high": value[1]}
        else:
            flat[name] = value
    return flat
