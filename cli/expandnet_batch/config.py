"""Studio defaults from a TOML file, and the options in force back into one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from expandnet_ofx.errors import OutputError
from expandnet_ofx.partials import write_text
from expandnet_ofx.toml_files import read_toml

SKIPPED = ("output", "inputs", "configs", "save_config", "dry_run", "help", "version")
"""What belongs to one run and is no entry of a config."""

PIXELS = ("half", "float")

OF_ONE_RUN = ("frames", "views", "first_frame", "fps", "report", "mask", "verbose", "quiet")
"""What a config may hold, but is not saved: it belongs to a shot and not into a studio's defaults."""


def load(context: click.Context, _: click.Parameter, paths: tuple[Path, ...]) -> tuple[Path, ...]:
    """Read configs as defaults of the command's options, later ones over earlier; keys that no batch has are errors."""
    for path in paths:
        context.default_map = {**(context.default_map or {}), **_defaults(context, path)}
    return paths


def _defaults(context: click.Context, path: Path) -> dict[str, Any]:
    values = _read(path)
    from expandnet_batch.main import command as batch

    everywhere = {option_name(parameter): parameter for parameter in batch.params if _wanted(parameter)}
    known = {option_name(parameter): parameter for parameter in context.command.params if _wanted(parameter)}
    defaults: dict[str, Any] = {}
    names: set[str] = set()
    for key, value in values.items():
        name = key.replace("_", "-")
        if name in names:
            raise click.UsageError(f"--config {path}: {name} is there twice; leave one")
        names.add(name)
        if name not in everywhere:
            meant = "pixel = 'float' or 'half'" if name in ("float", "half") else "use long option names"
            raise click.UsageError(f"--config {path}: unknown key {key!r}; {meant}")
        if isinstance(value, (dict, list)):
            raise click.UsageError(f"--config {path}: {key} must be a single value")
        if (kind := _misfit(everywhere[name], value)) is not None:
            raise click.UsageError(f"--config {path}: {key} is {value}; use {kind}")
        if name == "pixel" and value not in PIXELS:
            raise click.UsageError(f"--config {path}: pixel is {value!r}; use 'half' or 'float'")
        # One studio's file serves commands of which some do not store anything.
        if name in known:
            defaults[str(known[name].name)] = value
    return defaults


def _misfit(parameter: click.Parameter, value: Any) -> str | None:
    """Return what an option takes instead of a value of this type, None if it takes it."""
    kind = parameter.type
    if getattr(parameter, "is_flag", False) and parameter.name != "pixel":
        return None if isinstance(value, bool) else "true or false"
    if isinstance(value, str):
        # Sizes such as memory are words; what is no number is told as on the command line.
        return None
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(kind, click.types.IntParamType):
        return None if number and not isinstance(value, float) else "a whole number"
    if isinstance(kind, click.types.FloatParamType):
        return None if number else "a number"
    if isinstance(kind, (click.Path, click.Choice)) or not number:
        return "a text in quotes"
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_toml(path)
    except OSError as error:
        raise click.UsageError(f"--config {path}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        hint = "; write paths with / or in single quotes" if "\\" in str(error) else ""
        raise click.UsageError(f"--config {path}: not TOML ({error}{hint})") from error


def _wanted(parameter: click.Parameter) -> bool:
    return isinstance(parameter, click.Option) and parameter.name not in SKIPPED


def option_name(parameter: click.Parameter) -> str:
    """Return the key of an option: its long name without dashes in front; `pixel` for half or float."""
    if parameter.name == "pixel":
        return "pixel"
    return max(parameter.opts, key=len).lstrip("-")


def save(context: click.Context, path: Path) -> None:
    """Write the options in force as TOML, those at their default left out."""
    lines = []
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        if (
            not _wanted(parameter)
            or parameter.name in OF_ONE_RUN
            or source in (None, click.core.ParameterSource.DEFAULT)
        ):
            continue
        value = context.params[str(parameter.name)]
        if value is None:
            continue
        value = str(value) if isinstance(value, Path) else value
        # JSON strings, numbers and booleans are TOML as well.
        line = f"{option_name(parameter)} = {json.dumps(value, ensure_ascii=False)}"
        if line not in lines:
            lines.append(line)
    text = "\n".join(lines) + "\n"
    if path.is_file() and not _is_config(path):
        raise click.UsageError(f"--save-config {path}: exists and is no config; choose another name")
    try:
        write_text(path, text)
    except OutputError as error:
        raise click.UsageError(f"--save-config {error}") from error


def _is_config(path: Path) -> bool:
    """Tell whether a file holds options of a batch, so that nothing else is lost by a slip."""
    from expandnet_batch.main import command as batch

    known = {option_name(parameter) for parameter in batch.params if _wanted(parameter)}
    try:
        return {key.replace("_", "-") for key in _read(path)} <= known
    except click.UsageError:
        return False
