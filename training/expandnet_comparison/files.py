"""Pictures in files: codes in for operators, EXR out."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_comparison.operators import Operator
from expandnet_ofx.errors import InputError, UsageError
from expandnet_ofx.images import open_image, to_array
from expandnet_ofx.output_options import OutputOptions
from expandnet_ofx.placing import names_a_file
from expandnet_ofx.transfer import full_scale
from expandnet_ofx.writer import PartLayout, image_writer


def codes_of(path: Path) -> NDArray[np.float64]:
    """Return a picture's codes (H, W, 3) from 0 to 1; raise `InputError` if it holds no such picture."""
    with open_image(path) as plate:
        pixels = to_array(plate)[:, :, :3]
    if pixels.shape[2] < 3:
        raise InputError(f"{path}: has fewer than three channels; operators take color pictures")
    scale = full_scale(pixels.dtype) if np.issubdtype(pixels.dtype, np.integer) else 1.0
    codes: NDArray[np.float64] = np.clip(np.nan_to_num(pixels / np.float64(scale)), 0, 1)
    return codes


def target_of(image: Path, output: Path, *, alone: bool) -> Path:
    """Return where a picture's result goes: the file that is named, or one in the folder that is."""
    if names_a_file(str(output)):
        if output.suffix.lower() != ".exr":
            raise UsageError(f"{output}: operators write EXR; name an .exr, or a folder")
        if not alone:
            raise UsageError(f"{output}: one file for several pictures; name a folder")
        return output
    return output / f"{image.stem}.exr"


def parameters(operator: Operator, changes: Sequence[str]) -> dict[str, Any]:
    """Return an operator's parameters written NAME=VALUE; raise `UsageError` for what it does not take."""
    known = {
        name: entry.default
        for name, entry in inspect.signature(operator.expand).parameters.items()
        if name not in ("codes", "gamma", "peak")
    }
    found: dict[str, Any] = {}
    for text in changes:
        name, _, value = text.partition("=")
        if name not in known:
            raise UsageError(f"--set {name}: {operator.name} takes {', '.join(known) or 'no parameters'}")
        try:
            found[name] = _value(value, known[name])
        except ValueError:
            raise UsageError(f"--set {text}: need a value such as {known[name]}") from None
    return found


def _value(text: str, default: Any) -> Any:
    if isinstance(default, bool):
        if text not in ("yes", "no"):
            raise ValueError(text)
        return text == "yes"
    return type(default)(text)


def expand_file(
    image: Path, target: Path, operator: Operator, *, gamma: float, peak: float | None, **given: Any
) -> None:
    """Expand one picture; the file appears only when it is complete."""
    light = operator(codes_of(image), gamma=gamma, peak=peak, **given).astype(np.float32)
    height, width = light.shape[:2]
    layout = PartLayout(
        width=width,
        height=height,
        channels=("R", "G", "B"),
        formats=("float",) * 3,
        attributes={"expandnet/operator": f"{operator.name}, {operator.title}"},
    )
    with image_writer(target, [layout], OutputOptions(pixel="float")) as writer:
        writer.write(0, light)
        writer.commit()
