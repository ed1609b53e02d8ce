"""Losses: the paper's, and those of the product's recipe in the logarithm of light."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

LOG_SCALE = 256.0
"""log2(1 + 256 light): stops above a level of 1/256 of white, linear below, where plates hold nothing but noise."""


def paper(prediction: Tensor, target: Tensor) -> Tensor:
    """Return L1 + 5 (1 - cosine of the angle between colors), as published (Marnerides et al. 2018, section 4.2).

    Args:
        prediction, target: (N, 3, H, W) in [0, 1].
    """
    cosine = functional.cosine_similarity(prediction, target, dim=1, eps=1e-20)
    return functional.l1_loss(prediction, target) + 5 * (1 - cosine).mean()


def stops(light: Tensor) -> Tensor:
    """Return log2(1 + 256 light)."""
    return torch.log2(1 + LOG_SCALE * light.clamp(min=0))


def highlights(
    prediction: Tensor, target: Tensor, clipped: Tensor, *, beta: float, clipped_weight: float, color_weight: float
) -> Tensor:
    """Return smooth-L1 in stops, clipped channels weighted up, plus the angle between colors.

    Args:
        prediction, target: light over white, (N, 3, H, W).
        clipped: where a channel clipped, same shape.
        beta: stops up to which an error counts by its square: the conditional mean there, the median beyond.
        clipped_weight: weight of a clipped channel; others weigh 1, since the merge keeps the plate there.
        color_weight: weight of 1 - cosine, where a channel clipped.
    """
    weight = 1 + (clipped_weight - 1) * clipped
    error = functional.smooth_l1_loss(stops(prediction), stops(target), beta=beta, reduction="none")
    loss = (weight * error).sum() / weight.sum()
    some = clipped.any(1)
    if color_weight and some.any():
        cosine = functional.cosine_similarity(prediction, target, dim=1, eps=1e-6)
        loss = loss + color_weight * (1 - cosine)[some].mean()
    return loss


def pinball(prediction: Tensor, target: Tensor, clipped: Tensor, quantile: Tensor) -> Tensor:
    """Return the pinball loss in stops of clipped channels: its minimum is the conditional quantile.

    Koenker and Bassett, "Regression quantiles", Econometrica 46(1), 1978.

    Args:
        prediction, target: light over white, (N, 3, H, W).
        clipped: where a channel clipped.
        quantile: (N,) in (0, 1).
    """
    error = stops(target) - stops(prediction)
    q = quantile.view(-1, 1, 1, 1)
    loss = torch.maximum(q * error, (q - 1) * error)
    return (loss * clipped).sum() / clipped.sum().clamp(min=1)
