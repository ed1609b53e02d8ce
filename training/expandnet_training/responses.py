"""Camera response curves: scene light over white to display codes, on tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from expandnet_ofx.transfer import srgb_decode, srgb_encode

RESPONSES = ("srgb", "rec709", "gamma", "sigmoid", "filmic")
"""Names of the families that a virtual camera draws from."""


srgb = cast("Callable[[Tensor], Tensor]", srgb_encode)
"""The product's curve on tensors: light in [0, 1] to codes."""

srgb_light = cast("Callable[[Tensor], Tensor]", srgb_decode)
"""Its inverse."""


def rec709(light: Tensor) -> Tensor:
    """Encode light in [0, 1]: ITU-R BT.709-6, item 1.2."""
    return torch.where(light < 0.018, light * 4.5, 1.099 * light.clamp(min=0.018) ** 0.45 - 0.099)


def gamma(light: Tensor, power: Tensor) -> Tensor:
    """Encode light in [0, 1] as light^(1 / power)."""
    return light ** (1 / power)


def sigmoid(light: Tensor, power: Tensor, offset: Tensor) -> Tensor:
    """Encode light in [0, 1] with the two-parameter family (1 + s) x^n / (x^n + s).

    Eilertsen et al., "HDR image reconstruction from a single exposure using deep CNNs", ACM TOG 36(6), 2017, 4.2; they
    draw n from N(0.9, 0.1) and s from N(0.6, 0.1).
    """
    raised = light**power
    return (1 + offset) * raised / (raised + offset)


def filmic(light: Tensor, strength: Tensor) -> Tensor:
    """Encode light in [0, 1] through a logarithmic shoulder log(1 + a x) / log(1 + a), then sRGB."""
    return srgb(torch.log1p(strength * light) / torch.log1p(strength))


def apply(light: Tensor, family: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Encode a batch, each picture with a curve of its own.

    Args:
        light: (N, 3, H, W) in [0, 1].
        family: (N,) index into `RESPONSES`.
        first, second: (N,) in [0, 1], where the parameters lie in their ranges: gamma 1.8 to 2.4; n 0.7 to 1.1 and
            s 0.4 to 0.8; shoulder 0.5 to 8.

    Returns:
        (N, 3, H, W) codes in [0, 1]; 0 stays 0 and 1 stays 1.
    """
    shape = (-1, 1, 1, 1)
    one, two = first.view(shape), second.view(shape)
    curves = (
        srgb(light),
        rec709(light),
        gamma(light.clamp(min=1e-6), 1.8 + 0.6 * one),
        sigmoid(light.clamp(min=1e-6), 0.7 + 0.4 * one, 0.4 + 0.4 * two),
        filmic(light, 0.5 * 16**one),
    )
    codes = torch.zeros_like(light)
    for index, curve in enumerate(curves):
        codes = torch.where((family == index).view(shape), curve, codes)
    return codes.clamp(0, 1)
