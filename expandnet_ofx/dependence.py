"""What analyses and predictions depend on: settings as plain data, by which one knows whether they still fit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from expandnet_ofx.color import BUILT_IN_CONFIG, uses_config
from expandnet_ofx.config_files import config_record
from expandnet_ofx.settings import Settings, chosen_boldness
from expandnet_ofx.weights import Weights

OF_THE_MERGE = ("output_space", "stops", "max_stops", "saturated_max_stops", "saturation")
"""Settings that no prediction depends on."""

OF_THE_RESULT = (*OF_THE_MERGE, "tile", "feather")
"""Settings that no analysis depends on, but for the space of relative output, whose range is measured in it."""


def settings_record(settings: Settings) -> dict[str, Any]:
    """Return settings as plain data; a config is told by its content, memory has no say in any pixel."""
    record = asdict(settings)
    del record["memory"]
    config = settings.ocio or (os.environ.get("OCIO") or BUILT_IN_CONFIG if uses_config(settings) else None)
    if config and Path(config).exists():
        config = config_record(config)
    record["ocio"] = config
    return record


def of_analyses(settings: Settings, weights: Weights) -> dict[str, Any]:
    """Return what analyses depend on beside the plate; a boldness that is the weights' own is told by its value."""
    record = settings_record(settings)
    for name in OF_THE_RESULT:
        if not (settings.relative and name == "output_space"):
            del record[name]
    record["sun_stops"] = bool(record["sun_stops"])
    record["boldness"] = chosen_boldness(weights.contract, settings)
    return {**record, "weights_sha256": weights.sha256}


def differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> str | None:
    """Return the first setting that two records do not share, None if they agree."""
    return next((name for name in sorted({*a, *b}) if a.get(name) != b.get(name)), None)
