"""`expandnet-evaluate`: weights and held-out places in, tables, plots and picture sheets out.

Everything runs the product's own `Expander`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
from expandnet_batch.edge import run_command

from expandnet_ofx.errors import UsageError

SHEET_SHARE = 0.15
"""Share of clipped pixels of the pictures that sheets show."""

LARGE_PLATES = 6
"""Plates that a quick run expands at three sizes."""


@click.command("expandnet-evaluate", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder of HDR images (EXR, Radiance).")
@click.option("--split", type=click.Path(path_type=Path), required=True, help="TOML that names what is held out.")
@click.option("--weights", "named", multiple=True, metavar="NAME=FILE", help="Weights to compare; may be given again.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder of the report.")
@click.option("--quick", is_flag=True, help="One view per place, 7 and 15 percent clipped, no JPEG, one drift.")
@click.option("--limit", type=click.IntRange(1), default=None, help="So many places at most.")
@click.option("--device", default="cpu", show_default=True)
def command(
    data: Path, split: Path, named: tuple[str, ...], output: Path, quick: bool, limit: int | None, device: str
) -> None:
    """Measure weights on held-out places, beside the bare plate and a global curve fitted on the others."""
    from expandnet_ofx.weights import load_weights
    from expandnet_training.cases import held_out_cases, large_plate
    from expandnet_training.hdr_images import find_images, load_folder, read_split
    from expandnet_training.methods import GlobalCurve, methods
    from expandnet_training.named import named_files

    weights = named_files("--weights", named)
    paths = {path.stem: path for path in find_images(data)}
    chosen = read_split(split, list(paths))
    if not chosen.held or not chosen.train:
        raise UsageError(f"{split}: needs places that are held out, and others to fit the curve on")
    load = partial(load_folder, kinds=chosen.kinds)
    # Weights that cannot be read end the run before an hour of work, not after.
    for path in weights.values():
        load_weights(path)
    curve = GlobalCurve(held_out_cases(load([paths[name] for name in chosen.train]), quick=True))
    compared = methods(weights, curve, device=device)
    places = load([paths[name] for name in chosen.held[:limit]])
    cases = list(held_out_cases(places, quick=quick))
    large = [large_plate(image) for image in places[: LARGE_PLATES if quick else None]]
    click.echo(_report(cases, large, compared, output, quick=quick), nl=False)


def _report(
    cases: Sequence[Any], large: Sequence[Any], compared: Mapping[str, Any], output: Path, *, quick: bool
) -> str:
    """Measure all methods on all cases, write the report, return its text."""
    from tqdm import tqdm

    from expandnet_training import figures, patches, plots, requirements, scales, tables
    from expandnet_training.jod import open_jod
    from expandnet_training.methods import PLATE

    output.mkdir(parents=True, exist_ok=True)
    jod, rows, sheets = open_jod(), [], set()
    if jod is None:
        click.echo("ColorVideoVDP is not installed, so there is no JOD: see the README", err=True)
    for number, case in enumerate(tqdm(cases, unit=" plates")):
        setting = {"place": case.place, "share": case.share, "response": case.response, "storage": case.storage}
        for name, method in compared.items():
            rows.append(
                {"method": name, **setting, **figures.measure(case, method, number=number, quick=quick, jod=jod)}
            )
        if case.share == SHEET_SHARE and case.response == "known" and case.place not in sheets:
            sheets.add(case.place)
            shown = {name: method(case.plate) for name, method in compared.items() if not name.endswith(" raw")}
            plots.write_sheet(output / f"{case.place}.png", {**shown, "truth": case.truth})
    delivered = {name: method for name, method in compared.items() if not name.endswith(" raw") and name != PLATE}
    bases = [PLATE, *(name for name in compared if name == "authors")]
    summary = figures.summarize(rows, bases=bases)
    discs = {
        name: [
            scales.measure_disc(method, profile, radius) for profile in ("flat", "gaussian") for radius in scales.RADII
        ]
        for name, method in delivered.items()
    }
    apart = {
        name: figures.mean([scales.disagreement(method, plate) for plate in large])
        for name, method in delivered.items()
    }
    lifts = {name: patches.lifts(method) for name, method in delivered.items()}
    others = [name for name in ("global curve", "authors") if name in delivered]
    judged = {
        name: requirements.judge(name, summary, plate=PLATE, others=others, discs=discs[name], lifts=lifts[name])
        for name in delivered
        if name not in others
    }
    text = "\n".join(
        (
            tables.as_text(summary, bases=bases),
            tables.discs_as_text(discs, apart),
            tables.lifts_as_text(lifts),
            requirements.as_text(judged),
        )
    )
    tables.write_tables(output, rows, summary, text, {"discs": discs, "sizes apart": apart, "lifts": lifts})
    plots.write_plots(output, rows, base=PLATE)
    return text


def main() -> None:
    """Run `expandnet-evaluate`."""
    sys.exit(run_command(command))


if __name__ == "__main__":
    main()
