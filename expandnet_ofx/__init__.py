"""Expand display-referred plates to scene-linear HDR.

>>> from expandnet_ofx import Expander
>>> light = Expander()(plate)                                   # doctest: +SKIP

`Expander` is the one path that every surface runs; `Settings` says what the picture should be; `Analysis` is everything
global about a plate; `open_image` reads a file as a plate. Importing the package loads none of its heavy libraries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "AlreadyHDRError",
    "Analysis",
    "ArrayPlate",
    "Band",
    "DeviceError",
    "ExpandNetError",
    "Expander",
    "InputError",
    "MissingExtraError",
    "OutOfMemoryError",
    "OutputError",
    "Settings",
    "UsageError",
    "Weights",
    "WeightsError",
    "load_weights",
    "open_image",
]

_HOMES = {
    "Analysis": "analysis",
    "ArrayPlate": "plates",
    "Band": "bands",
    "Expander": "expander",
    "Settings": "settings",
    "Weights": "weights",
    "load_weights": "weights",
    "open_image": "images",
}

if TYPE_CHECKING:
    from expandnet_ofx.analysis import Analysis
    from expandnet_ofx.bands import Band
    from expandnet_ofx.errors import (
        AlreadyHDRError,
        DeviceError,
        ExpandNetError,
        InputError,
        MissingExtraError,
        OutOfMemoryError,
        OutputError,
        UsageError,
        WeightsError,
    )
    from expandnet_ofx.expander import Expander
    from expandnet_ofx.images import open_image
    from expandnet_ofx.plates import ArrayPlate
    from expandnet_ofx.settings import Settings
    from expandnet_ofx.weights import Weights, load_weights


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"expandnet_ofx.{_HOMES.get(name, 'errors')}"), name)
