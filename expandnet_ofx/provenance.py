"""What a result says about how it was made: the same words for the same source, settings and weights."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from expandnet_ofx import __version__
from expandnet_ofx.analysis import Analysis
from expandnet_ofx.dependence import OF_THE_MERGE, settings_record
from expandnet_ofx.expander import Expander
from expandnet_ofx.output_options import OutputOptions
from expandnet_ofx.sources import Identity


def provenance(expander: Expander, options: OutputOptions, identity: Identity) -> dict[str, Any]:
    """Return the provenance of a result; no time, host or path is in it, so that a rerun gives the same file."""
    engine = expander.engine
    return {
        "program": f"expandnet-ofx {__version__}",
        "weights": engine.weights.contract.name,
        "weights_sha256": engine.weights.sha256,
        "engine": engine.name,
        "precision": engine.precision,
        "device": engine.device.partition(":")[0],
        "settings": settings_record(expander.settings),
        "output": asdict(options),
        **asdict(identity),
        "synthesized": "channels at and near their clip level, where the matte is above 0",
    }


def as_text(record: dict[str, Any]) -> str:
    """Return a provenance as results hold it."""
    return json.dumps(record, sort_keys=True)


def prediction_settings(expander: Expander) -> dict[str, Any]:
    """Return what predictions of this expander depend on beside plate, analysis and region."""
    record, engine = settings_record(expander.settings), expander.engine
    for name in OF_THE_MERGE:
        del record[name]
    computes = {"engine": engine.name, "precision": engine.precision, "device": engine.device}
    return {**record, **computes, "weights_sha256": engine.weights.sha256}


def analysis_record(analysis: Analysis | None) -> dict[str, str]:
    """Return header attributes that tell what was found in a plate; none for a part without color."""
    if analysis is None:
        return {}
    levels = " ".join(f"{level:.5f}" for level in analysis.clip_levels)
    return {"expandnet/clipLevels": levels, "expandnet/anchorStops": f"{analysis.anchor:.5f}"}
