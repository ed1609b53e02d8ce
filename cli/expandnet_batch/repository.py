"""What lies elsewhere in a clone than in an installation: training, evaluation, the folder for Nuke."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import click

import expandnet_ofx
from expandnet_batch.edge import USAGE
from expandnet_ofx.errors import UsageError


def train() -> None:
    """Run `expandnet-train`."""
    _run("expandnet_training.main", "expandnet-train")


def evaluate() -> None:
    """Run `expandnet-evaluate`."""
    _run("expandnet_training.evaluate", "expandnet-evaluate")


def compare() -> None:
    """Run `expandnet-compare`."""
    _run("expandnet_comparison.main", "expandnet-compare")


def nuke_plugin() -> Path:
    """Return the folder for NUKE_PATH: inside the package where it is installed, beside it in a clone.

    Raises:
        UsageError: it is in neither place.
    """
    package = Path(expandnet_ofx.__file__).parent
    for folder in (package / "nuke_plugin", package.parent / "nuke_plugin"):
        if (folder / "ExpandNet.gizmo").is_file():
            return folder
    raise UsageError(f"{package}: holds no nuke_plugin; install the package again")


def _run(module: str, name: str) -> None:
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        click.echo(f"{name}: {error}; run it from a clone of the repository: pip install -e '.[training]'", err=True)
        sys.exit(USAGE)
    found.main()
