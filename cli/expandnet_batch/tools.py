"""`expandnet`: what belongs around the batch: weights, and a look at the machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from expandnet_batch.edge import run_command, version_text
from expandnet_batch.options import CONFIG, EXPANDING, FILE, FRAMES, PICTURE, RUNNING, SHOWING, TASK
from expandnet_ofx.defaults import WINDOW

SHOT_FILE = click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE.json",
    help="The shot's file; its maps go beside it.",
)


@click.group("expandnet", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(message=version_text(), package_name="expandnet-ofx")
def command() -> None:
    """Tools around expandnet-batch."""


@command.group()
def weights() -> None:
    """Import and describe weights."""


@weights.command("import")
@click.argument("source", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), default=None, help="Else beside the source.")
def import_(source: Path, output: Path | None) -> None:
    """Convert the authors' weights.pth to safetensors with a contract.

    The pickle is read with PyTorch's restricted unpickler: tensors are built, nothing else in it is run.
    """
    from expandnet_ofx.weights_import import import_pth

    target = output or source.with_suffix(".safetensors")
    loaded = import_pth(source, target)
    click.echo(f"{target}  {loaded.contract.name}  sha256:{loaded.sha256}")


@weights.command()
@click.argument("path", type=click.Path(path_type=Path), required=False)
def show(path: Path | None) -> None:
    """Print the contract of a file, or of the weights that ship with the package."""
    from dataclasses import asdict

    from expandnet_ofx.weights import load_weights

    loaded = load_weights(path)
    for name, value in {**asdict(loaded.contract), "sha256": loaded.sha256}.items():
        click.echo(f"{name:16} {value}")


@command.command(context_settings={"max_content_width": 110})
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@SHOT_FILE
@CONFIG
@PICTURE
@RUNNING
@FRAMES
@SHOWING
def analyze(inputs: tuple[str, ...], output: Path, **options: Any) -> None:
    """Analyze the frames of one shot, or of a chunk of it, into a file.

    First of three passes: analyze in chunks, smooth once, expand in chunks with expandnet-batch --analysis. Frames come
    out the same however they are divided.
    """
    from expandnet_batch.passes import analyze as run

    click.get_current_context().exit(run(inputs, output, options))


@command.command()
@click.argument("shots", nargs=-1, required=True, type=FILE, metavar="SHOT.json...")
@SHOT_FILE
@click.option("--window", type=int, default=WINDOW, show_default=True, help="Frames to smooth over, odd; 1 for none.")
@click.option(
    "--lock-frame", type=int, default=None, help="Take this frame's analysis for all of its cut (locked-off camera)."
)
@click.option("--cuts", default=None, metavar="FRAMES", help="First frames of new shots, instead of finding them.")
@click.option(
    "--tiles", is_flag=True, help="Frames are parts of one picture (UDIM tiles, views): share what is global."
)
@click.option(
    "--beside",
    multiple=True,
    type=FILE,
    metavar="SHOT.json",
    help="Analyses of another view of the shot, which share what is global; may be repeated.",
)
@click.option(
    "--freeze-analysis",
    is_flag=True,
    help="Keep the analyses that the output holds, smoothed in the same way; new frames join them.",
)
@SHOWING
def smooth(shots: tuple[Path, ...], output: Path, **options: Any) -> None:
    """Make the analyses of a shot steady: all chunks of expandnet analyze in, one file out.

    Cuts are found. Within each, anchor and clip levels become constant, numbers and maps are smoothed without lag.
    """
    from expandnet_batch.passes import smooth as run

    click.get_current_context().exit(run(shots, output, options))


@command.command(context_settings={"max_content_width": 110})
@click.argument("inputs", nargs=-1, metavar="INPUT...")
@click.option("--output", required=True, metavar="FOLDER|PATTERN", help="Where results go.")
@click.option(
    "-o",
    "--job",
    "folder",
    type=click.Path(path_type=Path),
    required=True,
    metavar="JOBDIR",
    help="The job's folder, where all workers reach it.",
)
@click.option(
    "--to", type=click.Choice(["openjd", "slurm", "deadline", "opencue"]), required=True, help="Kind of farm."
)
@click.option("--chunk", type=int, default=10, show_default=True, help="Frames per task.")
@click.option("--gpu", is_flag=True, help="Ask for a GPU per task, and fail without one.")
@click.option("--name", default=None, help="Name of the job; else its folder's.")
@click.option("--executable", default=None, metavar="COMMAND", help="What workers run; else expandnet from their PATH.")
@click.option("--map", multiple=True, metavar="FROM=TO", help="Where a folder lies on workers; may be repeated.")
@click.option(
    "--then",
    default=None,
    metavar="COMMAND",
    help="Last step, once all results are there, such as 'nuke -x -F {frames} comp.nk'; with {frames} it is divided too.",
)
@click.option("--now", is_flag=True, help="Hand the job to the farm as well.")
@CONFIG
@EXPANDING
def submit(inputs: tuple[str, ...], folder: Path, **options: Any) -> None:
    """Write a farm job that does what expandnet-batch would: analyze in chunks, smooth, expand in chunks, check.

    Options are those of expandnet-batch, but for the short -o, which is the job's folder here. A job keeps what is done
    already and reports by itself: --existing, --analysis, --dry-run, --json, --progress, -q and -v are not for it.
    """
    from click.core import ParameterSource

    from expandnet_batch.submission.submit import submit as run

    if click.get_current_context().get_parameter_source("existing") is ParameterSource.COMMANDLINE:
        raise click.UsageError("--existing: not for a farm job, which keeps what is done already")
    for name in ("analysis", "report", "dry_run"):
        if options[name]:
            raise click.UsageError(f"--{'json' if name == 'report' else name.replace('_', '-')}: not for a farm job")
    click.get_current_context().exit(run(inputs, folder, options))


@command.command()
@click.argument("job", type=FILE, metavar="JOB.json")
@click.argument("step", type=click.Choice(["analyze", "smooth", "expand", "then"]))
@TASK
@click.option("--frames", default=None, metavar="RANGE", help="Frames of this task; else all.")
@click.option("--chunk", type=int, default=None, metavar="N", help="Or the number of a chunk, from 0 on.")
def task(job: Path, step: str, frames: str | None, chunk: int | None, **options: Any) -> None:
    """Run a step of a farm job, for some of its frames; the scripts that submit writes call it.

    It may be run again at any time: what is done already stays.
    """
    _run_task(job, step, frames=frames, chunk=chunk, **options)


@command.command()
@click.argument("job", type=FILE, metavar="JOB.json")
@TASK
@click.option("--keep-scratch", is_flag=True, help="Leave the maps of the analyses where they are.")
def check(job: Path, **options: Any) -> None:
    """Look at every result of a farm job, write the job's report, and remove what it needed on the way.

    Exit code 1 if a result is missing, damaged, or not of these plates and settings.
    """
    _run_task(job, "check", **options)


def _run_task(path: Path, step: str, **options: Any) -> None:
    from expandnet_batch.submission.job import FarmJob
    from expandnet_batch.submission.paths import read_rules
    from expandnet_batch.submission.tasks import run_task

    rules = [] if options["path_map"] is None else read_rules(options["path_map"])
    job = FarmJob.load(path, rules=rules)
    frames = job.select(options.get("frames"), options.get("chunk"))
    keep = options.get("keep_scratch", False)
    click.get_current_context().exit(run_task(job, step, frames, progress=options["progress"], keep_scratch=keep))


@command.command(context_settings={"max_content_width": 110})
@click.argument("kind", type=click.Choice(["torchscript", "onnx"]))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, metavar="FILE", help="Such as ExpandNet.pt."
)
@click.option("--weights", type=click.Path(path_type=Path), default=None, help="Weights instead of the shipped ones.")
@click.option("--stops", type=float, default=None, help="Gain of the recovered light, in stops.")
@click.option("--threshold", type=float, default=None, help="Code where the matte starts; 0.94.")
@click.option("--full", type=float, default=None, help="Code where the matte is complete; 0.992.")
@click.option("--saturated-max-stops", type=float, default=None, help="Most stops that a saturated color may gain; 2.")
@click.option("--boldness", type=float, default=None, help="From careful to bold; else the weights' own.")
@click.option("--merge", type=click.Choice(["highlights", "full"]), default=None, help="As in expandnet-batch.")
def export(kind: str, output: Path, weights: Path | None, **knobs: Any) -> None:
    """Write the model as one file for hosts that run it by themselves: one scale, whole frames; see docs/export.md.

    In TorchScript the knobs are attributes that a host may set later; in ONNX they are part of the model.
    """
    from expandnet_ofx.export import write_onnx, write_torchscript

    suffix = ".pt" if kind == "torchscript" else ".onnx"
    if output.suffix != suffix:
        raise click.UsageError(f"-o {output}: {kind} files end with {suffix}")
    if kind == "torchscript":
        write_torchscript(output, weights, knobs)
        click.echo(output)
    else:
        click.echo(f"{output}\n{write_onnx(output, weights, knobs)}")


@command.command("nuke-path")
def nuke_path() -> None:
    """Print the folder that goes into NUKE_PATH."""
    from expandnet_batch.repository import nuke_plugin

    click.echo(nuke_plugin())


@command.command()
@click.option("--ocio", default=None, metavar="CONFIG", help="OpenColorIO config; else $OCIO, else the built-in.")
def doctor(ocio: str | None) -> None:
    """Print versions, devices, memory, color config, weights and formats, and try the network once."""
    from expandnet_batch.doctor import examine

    click.get_current_context().exit(examine(click.echo, ocio=ocio))


def main() -> None:
    """Run `expandnet`."""
    sys.exit(run_command(command))
