"""`expandnet-train` and `expandnet-evaluate`: commands that live in the repository and are not part of the wheel."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from expandnet_batch.edge import USAGE


def train() -> None:
    """Run `expandnet-train`."""
    _run("main", "expandnet-train")


def evaluate() -> None:
    """Run `expandnet-evaluate`."""
    _run("evaluate", "expandnet-evaluate")


def _run(module: str, name: str) -> None:
    try:
        found = import_module(f"expandnet_training.{module}")
    except ModuleNotFoundError as error:
        click.echo(f"{name}: {error}; run it from a clone of the repository: pip install -e '.[training]'", err=True)
        sys.exit(USAGE)
    found.main()
