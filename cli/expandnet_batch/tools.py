"""`expandnet`: what belongs around the batch: weights, and a look at the machine."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from expandnet_batch.edge import run_command, version_text


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


@command.command()
@click.option("--ocio", default=None, metavar="CONFIG", help="OpenColorIO config; else $OCIO, else the built-in.")
def doctor(ocio: str | None) -> None:
    """Print versions, devices, memory, color config, weights and formats, and try the network once."""
    from expandnet_batch.doctor import examine

    click.get_current_context().exit(examine(click.echo, ocio=ocio))


def main() -> None:
    """Run `expandnet`."""
    sys.exit(run_command(command))
