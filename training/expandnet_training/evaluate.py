"""`expandnet-evaluate`: weights and held-out places in, tables out; everything runs the product's own `Expander`."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from expandnet_batch.edge import run_command

from expandnet_ofx.errors import UsageError

FIGURES = ("error", "error95", "psnr", "bias1", "bias2", "bias4", "energy", "hue", "kept")
"""Mean and 95th percentile error in stops of clipped channels; PU21-PSNR in dB; mean error in stops where the truth lies 1, 2
and 4 stops above white; recovered over missing light; hue error in degrees; largest change of a measured channel."""

Row = dict[str, Any]


def measure(case: Any, method: Any) -> dict[str, float]:
    """Return the figures of one method on one case."""
    from expandnet_training import metrics
    from expandnet_training.methods import linearized

    light, truth, clipped = method(case.plate), case.truth, case.clipped
    errors = np.abs(metrics.errors_in_stops(light, truth, clipped))
    measured = case.plate < 0.94 * 250
    return {
        "error": float(errors.mean()) if errors.size else float("nan"),
        "error95": float(np.percentile(errors, 95)) if errors.size else float("nan"),
        "psnr": metrics.pu21_psnr(light, truth),
        **{f"bias{n}": metrics.bias_above(light, truth, clipped, stops=n) for n in (1, 2, 4)},
        "energy": metrics.energy(light, truth, clipped),
        "hue": metrics.hue_error(light, truth, clipped),
        "kept": float(np.abs(light - linearized(case.plate))[measured].max(initial=0.0)),
    }


def summarize(rows: Sequence[Row], *, base: str = "plate linearized") -> list[Row]:
    """Return one row per method and setting: means over places, and the BCa interval of the gain over `base`."""
    from expandnet_training.metrics import bca_interval

    def places(method: str, key: tuple[Any, ...], figure: str) -> dict[str, float]:
        found: dict[str, list[float]] = {}
        for row in rows:
            if row["method"] == method and (row["share"], row["response"], row["storage"]) == key:
                found.setdefault(row["place"], []).append(row[figure])
        return {place: _mean(values) for place, values in found.items()}

    keys = sorted({(row["share"], row["response"], row["storage"]) for row in rows})
    summary = []
    for key in keys:
        for method in dict.fromkeys(row["method"] for row in rows):
            entry: Row = {"share": key[0], "response": key[1], "storage": key[2], "method": method}
            for figure in FIGURES:
                own, other = places(method, key, figure), places(base, key, figure)
                entry[figure] = _mean(list(own.values()))
                if figure in ("error", "psnr"):
                    entry[f"{figure}_gain"] = bca_interval(np.array([own[place] - other[place] for place in own]))
            summary.append(entry)
    return summary


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def as_text(summary: Sequence[Row]) -> str:
    """Return the summary as a table for people."""
    lines, before = [], None
    names = "".join(f"{name:>7}" for name in ("error", "95 %", "PSNR", "b>1", "b>2", "b>4"))
    head = f"{'':28}{names}{'energy':>8}{'hue':>6}  gain in stops, in dB"
    for row in summary:
        key = (row["share"], row["response"], row["storage"])
        if key != before:
            lines += ["", f"{100 * key[0]:.0f} percent clipped, response {key[1]}, {key[2]}", head]
            before = key
        low, high = row["error_gain"]
        down, up = row["psnr_gain"]
        lines.append(
            f"{row['method']:28}{row['error']:7.3f}{row['error95']:7.2f}{row['psnr']:7.2f}{row['bias1']:7.2f}"
            f"{row['bias2']:7.2f}{row['bias4']:7.2f}{row['energy']:8.2f}{row['hue']:6.1f}"
            f"  [{low:+.3f} {high:+.3f}] [{down:+.2f} {up:+.2f}]"
        )
    return "\n".join(lines).strip() + "\n"


def write_tables(folder: Path, rows: Sequence[Row], summary: Sequence[Row]) -> None:
    """Write summary.txt, summary.json and cases.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "summary.txt").write_text(as_text(summary), encoding="utf-8")
    (folder / "summary.json").write_text(json.dumps(list(summary), indent=1) + "\n", encoding="utf-8")
    with (folder / "cases.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@click.command("expandnet-evaluate", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder of HDR images (EXR, Radiance).")
@click.option("--split", type=click.Path(path_type=Path), required=True, help="TOML that names what is held out.")
@click.option("--weights", "named", multiple=True, metavar="NAME=FILE", help="Weights to compare; may be given again.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder of the tables.")
@click.option("--quick", is_flag=True, help="One view per place, 7 and 15 percent clipped, no JPEG.")
@click.option("--limit", type=int, default=None, help="So many places at most.")
@click.option("--device", default="cpu", show_default=True)
def command(
    data: Path, split: Path, named: tuple[str, ...], output: Path, quick: bool, limit: int | None, device: str
) -> None:
    """Measure weights on held-out places, beside the bare plate and a global curve fitted on the others."""
    from tqdm import tqdm

    from expandnet_training.cases import held_out_cases
    from expandnet_training.hdr_images import find_images, load_folder, read_split
    from expandnet_training.methods import GlobalCurve, methods

    weights = _weights(named)
    paths = {path.stem: path for path in find_images(data)}
    train, held = read_split(split, list(paths))
    if not held or not train:
        raise UsageError(f"{split}: needs places that are held out, and others to fit the curve on")
    held = held[:limit]
    curve = GlobalCurve(held_out_cases(load_folder(paths[name] for name in train), quick=True))
    compared = methods(weights, curve, device=device)
    rows: list[Row] = []
    cases = list(held_out_cases(load_folder(paths[name] for name in held), quick=quick))
    for case in tqdm(cases, unit=" plates"):
        for name, method in compared.items():
            setting = {"place": case.place, "share": case.share, "response": case.response, "storage": case.storage}
            rows.append({"method": name, **setting, **measure(case, method)})
    summary = summarize(rows)
    write_tables(output, rows, summary)
    click.echo(as_text(summary), nl=False)


def _weights(named: Sequence[str]) -> Mapping[str, Path]:
    found = {}
    for text in named:
        name, _, path = text.partition("=")
        if not name or not path:
            raise UsageError(f"--weights {text}: write NAME=FILE")
        found[name] = Path(path)
    return found


def main() -> None:
    """Run `expandnet-evaluate`."""
    sys.exit(run_command(command))


if __name__ == "__main__":
    main()
