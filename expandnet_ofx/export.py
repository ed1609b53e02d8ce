"""Files for hosts that run models by themselves: TorchScript for Nuke, ONNX with a sidecar for Flame and others."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from expandnet_ofx.errors import MissingExtraError, OutputError, WeightsError
from expandnet_ofx.export_model import ExpandNetModel, load
from expandnet_ofx.partials import new_file, write_text
from expandnet_ofx.settings import Settings, chosen_boldness
from expandnet_ofx.weights import DEFAULT_WEIGHTS, load_weights

MERGES = {"highlights": 0, "full": 1}
"""What the attribute `merge` means."""

OPSET = 17
"""ONNX operator set, which Flame 2025 and Houdini 20.5 read as well as new runtimes."""


def model(weights: Path | None, knobs: Mapping[str, Any]) -> ExpandNetModel:
    """Return the module with its knobs set; None in `knobs` leaves the default.

    Raises:
        UsageError: a knob is out of its range, or the weights have none.
        WeightsError: the weights cannot be read, or are of another curve.
    """
    path = weights or DEFAULT_WEIGHTS
    # Checked as everywhere; the module itself reads the file by what an old environment has.
    contract = load_weights(path).contract
    try:
        made = load(str(path))
    except ValueError as error:
        raise WeightsError(str(error)) from error
    given = {name: value for name, value in knobs.items() if value is not None}
    chosen_boldness(contract, Settings(**given))
    for name, value in given.items():
        setattr(made, name, MERGES[value] if name == "merge" else value)
    return made


def write_torchscript(target: Path, weights: Path | None, knobs: Mapping[str, Any]) -> None:
    """Write TorchScript of this environment's PyTorch, whose attributes a host may set.

    Raises:
        OutputError: it cannot be written. And see `model`.
    """
    import torch

    made = model(weights, knobs)
    with warnings.catch_warnings():
        # Hosts read nothing newer.
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted: Any = torch.jit.script(made)
        # Not saved by itself: on a full disk PyTorch's writer ends the process.
        _complete(target, lambda path: path.write_bytes(scripted.save_to_buffer()))


def write_onnx(target: Path, weights: Path | None, knobs: Mapping[str, Any]) -> Path:
    """Write ONNX of any height and width, and Flame's sidecar beside it; return the sidecar.

    Knobs are part of the model: ONNX has no attributes that a host could set.

    Raises:
        MissingExtraError: the package onnx is not installed.
        OutputError: it cannot be written. And see `model`.
    """
    import torch

    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError("ONNX needs a package: pip install 'expandnet-ofx[onnx]'") from error
    sidecar = target.with_suffix(".json")
    _check_sidecar(sidecar)
    made = model(weights, knobs)
    # Without bands of rows: runtimes plan the memory of a graph, and some hosts know no loops.
    made.pixels = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.freeze(torch.jit.script(made))
        sizes = {2: "height", 3: "width"}
        _complete(
            target,
            lambda path: torch.onnx.export(
                scripted,
                (torch.zeros(1, 3, 64, 96),),
                str(path),
                input_names=["plate"],
                output_names=["light"],
                dynamic_axes={"plate": sizes, "light": sizes},
                opset_version=OPSET,
                dynamo=False,
            ),
            check=lambda path: onnx.checker.check_model(str(path)),
        )
    write_text(sidecar, json.dumps(flame_description(target.stem), indent=2) + "\n")
    return sidecar


def _check_sidecar(path: Path) -> None:
    """Raise `OutputError` if what lies where Flame's sidecar goes is something else."""
    if not path.exists():
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        known = isinstance(found, dict) and "ModelDescription" in found
    except (OSError, ValueError, RecursionError):
        known = False
    if not known:
        raise OutputError(f"{path}: is no sidecar of a model, and would be replaced by one; choose another name")


def flame_description(name: str) -> dict[str, Any]:
    """Return what Flame reads beside a model (Autodesk Flame 2025, "Inference Builder")."""
    return {
        "ModelDescription": {
            "MinimumVersion": "2025.1",
            "Name": name,
            "Description": "Light of a display-referred plate. In: sRGB codes, 0 to 1. Out: scene-linear Rec.709.",
            "SupportsSceneLinear": False,
            "KeepAspectRatio": True,
            "Padding": 1,
            "Inputs": [{"Name": "plate", "Description": "sRGB plate", "Type": "Front", "Gain": 1.0, "Channels": "RGB"}],
            "Outputs": [
                {
                    "Name": "light",
                    "Description": "Light",
                    "Type": "Result",
                    "InverseGain": 1.0,
                    "ScalingFactor": 1.0,
                    "Channels": "RGB",
                }
            ],
            "Attributes": [],
        }
    }


def _complete(target: Path, write: Any, check: Any = None) -> None:
    """Write a file under another name first; it appears only when complete and checked."""
    try:
        with new_file(target) as partial:
            write(partial)
            if check is not None:
                check(partial)
    except (OSError, RuntimeError) as error:
        raise OutputError(f"{target}: cannot be written ({str(error).splitlines()[0]})") from error
