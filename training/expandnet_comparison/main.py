"""`expandnet-compare`: the paper's comparison on a folder of HDR images, and its operators and metrics by themselves."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from expandnet_batch.edge import run_command

from expandnet_ofx.errors import InputError, OutputError, UsageError
from expandnet_ofx.partials import write_text

if TYPE_CHECKING:
    from expandnet_training.cases import Case

    from expandnet_comparison.measure import Plan

SMALLEST = 17
"""Edge in pixels below which metrics have no windows."""

PATH = click.Path(path_type=Path)


def _positive(_: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """Return a luminance; raise `UsageError` of a value that is none."""
    if value is not None and not 0 < value < math.inf:
        raise UsageError(f"--{parameter.name} {value:g}: is no luminance; use a number above 0")
    return value


@click.group("expandnet-compare", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Compare ExpandNet with expansion operators and other networks, as its paper did."""


@command.command("run")
@click.option("--data", type=PATH, required=True, help="Folder of HDR images (EXR, Radiance).")
@click.option("--split", type=PATH, default=None, help="TOML that names what is held out; without it all are compared.")
@click.option("-o", "--output", type=PATH, required=True, help="Folder of the report; single results are kept there.")
@click.option("--weights", type=PATH, default=None, help="The product's weights; by default those that ship.")
@click.option("--authors", type=PATH, default=None, help="Weights released with the paper, imported.")
@click.option("--network", "networks", multiple=True, metavar="NAME=FILE", help="UNT, COL or EIL trained here.")
@click.option("--makers", default="optimal,culling,series", show_default=True, help="How LDR pictures are made.")
@click.option("--metrics", default="all", show_default=True, help="Metrics, divided by commas.")
@click.option("--again", default="", metavar="METRICS", help="Measure these once more although they are known.")
@click.option("--set", "changes", multiple=True, metavar="NAME=VALUE", help="Another choice than the default.")
@click.option("--limit", type=click.IntRange(1), default=None, help="So many places at most.")
@click.option("--device", default="cpu", show_default=True, help="Where networks run.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes beside each other.")
@click.option("--page", type=PATH, default=None, help="Write the page of results here too.")
def run(data: Path, split: Path | None, output: Path, **options: Any) -> None:
    """Measure all methods on all pictures, and write tables, plots and sheets.

    What was measured before is not measured again, unless the program, the weights or a choice has changed.
    """
    from expandnet_training.hdr_images import find_images, load_folder, read_split
    from expandnet_training.named import named_files

    from expandnet_comparison.choices import Choices
    from expandnet_comparison.measure import Plan
    from expandnet_comparison.protocol import MAKERS, comparison_cases
    from expandnet_comparison.quality import METRICS
    from expandnet_ofx.weights import DEFAULT_WEIGHTS

    metrics = _measurable(METRICS if options["metrics"] == "all" else _names(options["metrics"], METRICS, "--metrics"))
    makers = _names(options["makers"], MAKERS, "--makers")
    plan = Plan(
        choices=Choices.of(options["changes"]),
        weights=options["weights"] or DEFAULT_WEIGHTS,
        authors=options["authors"],
        networks=named_files("--network", options["networks"]),
        device=options["device"],
        metrics=metrics,
        again=frozenset(_names(options["again"], metrics, "--again")),
        cache=output / "cache",
        sheets=output,
    )
    # Weights that cannot be read end the run before an hour of work, not after.
    plan.rows()
    paths = {path.stem: path for path in find_images(data)}
    chosen = read_split(split, list(paths)) if split else None
    names = (chosen.held if chosen else list(paths))[: options["limit"]]
    if not names:
        raise UsageError(f"{split}: holds out no image of {data}; nothing to compare on")
    images = load_folder([paths[name] for name in names], kinds=chosen.kinds if chosen else None)
    output.mkdir(parents=True, exist_ok=True)
    cases = partial(comparison_cases, images, plan.choices, makers=makers)
    held_out = chosen is not None
    click.echo(_report(plan, cases, output, options["workers"], options["page"], held_out=held_out), nl=False)


def _measurable(metrics: tuple[str, ...]) -> tuple[str, ...]:
    """Return metrics without ColorVideoVDP where its package is not installed, so that its absence is not kept."""
    from expandnet_training.jod import open_jod

    if "cvvdp_jod" not in metrics or open_jod() is not None:
        return metrics
    click.echo("ColorVideoVDP is not installed, so there is no JOD: see the README", err=True)
    return tuple(name for name in metrics if name != "cvvdp_jod")


def _report(
    plan: Plan,
    cases: Callable[[], Iterator[Case]],
    output: Path,
    workers: int,
    page: Path | None,
    *,
    held_out: bool,
) -> str:
    """Measure, write everything, return the tables."""
    from tqdm import tqdm

    from expandnet_comparison import pictures, report
    from expandnet_comparison.measure import in_order, measured
    from expandnet_comparison.page import as_page
    from expandnet_comparison.summary import summarize

    rows = plan.rows()
    total = sum(1 for _ in cases())
    records = [
        record
        for found in tqdm(measured(plan, cases(), workers=workers), total=total, unit=" pictures")
        for record in found
    ]
    records = in_order(records, [row.name for row in rows])
    summary = summarize(records, rows, plan.metrics)
    text = report.as_text(summary, plan.metrics)
    report.write_csv(output / "pictures.csv", records)
    report.write_csv(output / "summary.csv", summary)
    whole = as_page(summary, records, rows, plan.choices, plan.metrics, held_out=held_out)
    texts = {output / "tables.txt": text, output / "tables.tex": report.as_latex(summary, plan.metrics)}
    for path, content in (texts | {output / "results.md": whole} | ({page: whole} if page else {})).items():
        write_text(path, content)
    pictures.write_boxes(output, records, rows, plan.metrics)
    return text


@command.command("expand")
@click.argument("images", nargs=-1, required=True, type=PATH)
@click.option("--operator", "name", required=True, help="LAN, BNT, AKY, REM, MAS, KOV, HUO, KUO or MEY.")
@click.option("-o", "--output", type=PATH, required=True, help="An EXR file, or a folder.")
@click.option("--gamma", type=float, default=2.2, show_default=True, help="Encoding of the pictures; 0 for light.")
@click.option(
    "--peak",
    type=float,
    default=None,
    callback=_positive,
    help="Peak of the display in cd/m2, instead of the operator's own.",
)
@click.option("--set", "changes", multiple=True, metavar="NAME=VALUE", help="Another parameter of the operator.")
def expand(
    images: Sequence[Path], name: str, output: Path, gamma: float, peak: float | None, changes: Sequence[str]
) -> None:
    """Expand pictures with an operator; EXR out, light in the operator's own scale."""
    from expandnet_batch.planning import check_apart

    from expandnet_comparison.files import expand_file, parameters, target_of
    from expandnet_comparison.operators import OPERATORS

    operator = OPERATORS.get(name.upper())
    if operator is None:
        raise UsageError(f"--operator {name}: use one of {', '.join(OPERATORS)}")
    if peak is not None and not operator.takes_peak:
        raise UsageError(f"--peak: {operator.name} has no such parameter, its range is fixed")
    given = parameters(operator, changes)
    targets = [target_of(image, output, alone=len(images) == 1) for image in images]
    if len(set(targets)) < len(targets):
        raise UsageError("two pictures share a name; give their results folders of their own")
    for target in targets:
        check_apart(target, "-o", others=images)
    failed = 0
    for image, target in zip(images, targets, strict=True):
        try:
            expand_file(image, target, operator, gamma=gamma, peak=peak, **given)
            click.echo(f"{image} -> {target}")
        except (InputError, OutputError) as error:
            click.echo(str(error), err=True)
            failed += 1
    if failed:
        raise click.exceptions.Exit(1)


@command.command("judge")
@click.argument("picture", type=PATH)
@click.argument("reference", type=PATH)
@click.option(
    "--nits",
    type=float,
    default=100.0,
    show_default=True,
    callback=_positive,
    help="Luminance in cd/m2 of the value 1.",
)
@click.option("--metrics", default="all", show_default=True, help="Metrics, divided by commas.")
@click.option("--set", "changes", multiple=True, metavar="NAME=VALUE", help="Another choice than the default.")
def judge(picture: Path, reference: Path, nits: float, metrics: str, changes: Sequence[str]) -> None:
    """Measure an HDR picture against its reference, as it is: nothing is scaled by percentiles."""
    from expandnet_training.hdr_images import read_light

    from expandnet_comparison.choices import Choices
    from expandnet_comparison.quality import METRICS, Judge

    wanted = METRICS if metrics == "all" else _names(metrics, METRICS, "--metrics")
    found, truth = read_light(picture) * nits, read_light(reference) * nits
    if found.shape != truth.shape:
        raise UsageError(
            f"{picture}: {found.shape[1]} x {found.shape[0]}, the reference is {truth.shape[1]} x {truth.shape[0]}"
        )
    if min(found.shape[:2]) < SMALLEST:
        raise UsageError(
            f"{picture}: {found.shape[1]} x {found.shape[0]}, smaller than the {SMALLEST} that metrics need"
        )
    measure = Judge(Choices.of(changes), wanted)
    for metric in wanted:
        click.echo(f"{metric:16}{measure(found, truth, metric, referred='display'):10.4f}")


def _names(text: str, known: Sequence[str], option: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if text.strip() and not names:
        raise UsageError(f"{option} {text}: names none; use some of {', '.join(known)}")
    for name in names:
        if name not in known:
            raise UsageError(f"{option} {name}: use some of {', '.join(known)}")
    return names


def main() -> None:
    """Run `expandnet-compare`."""
    sys.exit(run_command(command))


if __name__ == "__main__":
    main()
