"""What a host may set: the options of `expandnet-batch` about picture and running, as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from expandnet_batch.options import PICTURE, RUNNING, STORING
from expandnet_batch.worker.protocol import ProtocolError
from expandnet_ofx import __version__
from expandnet_ofx.engine import ENGINES, PRECISIONS
from expandnet_ofx.settings import RANGES
from expandnet_ofx.transfer import ENCODINGS
from expandnet_ofx.weights import load_weights

OF_THE_WORKER = ("device", "threads", "memory", "mask", "pixel", "preview")
"""Options that are decided when the worker starts, have a place of their own in a request, or are of no use to a host."""


@click.command("settings")
@PICTURE
@STORING
@RUNNING
def _command(**_: Any) -> None:
    """Hold the options that a host may set."""


def _options() -> dict[str, click.Option]:
    """Return what may be set by its name in a request: that of the option's long flag."""
    found = [parameter for parameter in _command.params if isinstance(parameter, click.Option)]
    return {_name(option): option for option in found if option.name not in OF_THE_WORKER}


def _name(option: click.Option) -> str:
    return max(option.opts, key=len).lstrip("-").replace("-", "_")


def parse_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a batch from a request's settings; null means the default.

    Raises:
        ProtocolError: a name is unknown.
        click.UsageError: a value is none of the option's.
    """
    known = _options()
    words: list[str] = []
    for name, value in values.items():
        option = known.get(name)
        if option is None:
            raise ProtocolError(f"setting {name!r}: not known; see describe")
        flag = max(option.opts, key=len)
        if option.is_flag:
            if not isinstance(value, bool):
                raise ProtocolError(f"setting {name}: true or false")
            words += [flag] if value else []
        elif value is not None:
            if isinstance(value, bool) or not isinstance(value, (int, float, str)):
                raise ProtocolError(f"setting {name}: a number or a text")
            words.append(f"{flag}={value}")
    return dict(_command.make_context("settings", words).params)


def describe() -> dict[str, Any]:
    """Return versions, devices, encodings, the shipped weights, and each setting with type, range, default and tooltip."""
    contract = load_weights(None).contract
    return {
        "version": __version__,
        "devices": _devices(),
        "engines": list(ENGINES),
        "precisions": list(PRECISIONS),
        "encodings": list(ENCODINGS),
        "weights": {"name": contract.name, "boldness": contract.boldness},
        "settings": [_described(name, option) for name, option in _options().items()],
    }


def _described(name: str, option: click.Option) -> dict[str, Any]:
    kind = "flag" if option.is_flag else {"float": "number", "integer": "whole"}.get(option.type.name, "text")
    choices = list(option.type.choices) if isinstance(option.type, click.Choice) else None
    low, high = RANGES.get(name, (None, None))
    plain = option.default if isinstance(option.default, (int, float, str)) else None
    return {
        "name": name,
        "type": "choice" if choices else kind,
        "default": option.default is True if option.is_flag else plain,
        "choices": choices,
        "minimum": low,
        "maximum": high,
        "tooltip": option.help,
    }


def _devices() -> list[str]:
    try:
        import torch
    except ImportError:
        # The other engine runs without it, on the processor.
        return ["cpu"]
    return ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
