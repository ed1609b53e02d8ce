"""Light of a sigmoid's output."""

from __future__ import annotations

import torch
from torch import Tensor

from expandnet_ofx.weights import Contract

_CURVE = Contract(name="log")


def logarithmic_light(y: Tensor) -> Tensor:
    """Return light over white of y in [0, 1] on the product's `log` curve, so that all networks have the same range."""
    light: Tensor = _CURVE.to_light(y, torch)
    return light
