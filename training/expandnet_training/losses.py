"""Losses: the paper's, and those of the product's recipe in the logarithm of light."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from expandnet_training.camera import blur
from expandnet_training.hdr_images import LUMINANCE

LOG_SCALE = 256.0
"""log2(1 + 256 light): stops above a level of 1/256 of white, linear below, where plates hold nothing but noise."""

ENOUGH = 0.02
"""Share of a crop that must be chosen for the crop to count in full."""


def paper(prediction: Tensor, target: Tensor) -> Tensor:
    """Return L1 + 5 (1 - cosine of the angle between colors), as published (Marnerides et al. 2018, section 4.2).

    Args:
        prediction, target: (N, 3, H, W) in [0, 1].
    """
    cosine = functional.cosine_similarity(prediction, target, dim=1, eps=1e-20)
    return functional.l1_loss(prediction, target) + 5 * (1 - cosine).mean()


def illumination(prediction: Tensor, target: Tensor, clipped: Tensor) -> Tensor:
    """Return half the squared error of illumination plus half that of reflectance, in logarithms, where a pixel clipped.

    Eilertsen et al. 2017 (HDRCNN): illumination is the logarithm of luminance through a Gaussian, reflectance what it
    leaves of each channel. Their program takes 13 x 13 pixels and starts logarithms at 1 / 255; the sigma of 2 is ours.

    Args:
        prediction, target: light over white, (N, 3, H, W).
        clipped: where a channel clipped, same shape.
    """
    found, true = (torch.log(light.clamp(min=0) + 1 / 255) for light in (prediction, target))
    weights = torch.from_numpy(LUMINANCE).to(prediction.device).view(1, 3, 1, 1)
    sigma = torch.full((len(prediction),), 2.0, device=prediction.device)
    low_found, low_true = (
        blur(torch.log((light.clamp(min=0) * weights).sum(1, keepdim=True) + 1 / 255), sigma, radius=6)
        for light in (prediction, target)
    )
    chosen = clipped.any(1, keepdim=True)
    count = chosen.sum().clamp(min=1)
    broad = ((low_found - low_true).square() * chosen).sum() / count
    fine = (((found - low_found) - (true - low_true)).square().mean(1, keepdim=True) * chosen).sum() / count
    loss: Tensor = 0.5 * broad + 0.5 * fine
    return loss


def stops(light: Tensor) -> Tensor:
    """Return log2(1 + 256 light)."""
    return torch.log2(1 + LOG_SCALE * light.clamp(min=0))


def highlights(
    prediction: Tensor,
    target: Tensor,
    clipped: Tensor,
    *,
    beta: float,
    clipped_weight: float,
    color_weight: float,
    quantile: Tensor | None = None,
) -> Tensor:
    """Return smooth-L1 in stops of clipped channels and, weighed less, of others, plus the angle between colors.

    Each crop counts alike however much of it clips, so that one white wall does not outweigh many lamps. With a quantile
    q, what is too dark counts 2 q and what is too bright 2 (1 - q) in clipped channels: with a small beta the minimum is
    the conditional quantile (pinball loss, Koenker and Bassett, "Regression quantiles", Econometrica 46(1), 1978), with a
    large one the expectile (Newey and Powell, Econometrica 55(4), 1987).

    Args:
        prediction, target: light over white, (N, 3, H, W).
        clipped: where a channel clipped, same shape.
        beta: stops up to which an error counts by its square: the conditional mean there, the median beyond.
        clipped_weight: weight of clipped channels over that of the others, where the merge keeps the plate.
        color_weight: weight of 1 - cosine, where a channel clipped.
        quantile: (N,) in (0, 1).
    """
    found, true = stops(prediction), stops(target)
    error = functional.smooth_l1_loss(found, true, beta=beta, reduction="none")
    if quantile is not None:
        q = quantile.view(-1, 1, 1, 1)
        error = error * torch.where(clipped, 2 * torch.where(found < true, q, 1 - q), 1.0)
    loss = _over_crops(error, clipped) + _over_crops(error, ~clipped) / clipped_weight
    if color_weight:
        cosine = functional.cosine_similarity(prediction, target, dim=1, eps=1e-6)
        loss = loss + color_weight * _over_crops((1 - cosine)[:, None], clipped.any(1, keepdim=True))
    return loss


def _over_crops(error: Tensor, chosen: Tensor) -> Tensor:
    """Return the mean over crops of the mean of what is chosen; a crop with next to nothing chosen counts less."""
    count = chosen.sum((1, 2, 3))
    means = (error * chosen).sum((1, 2, 3)) / count.clamp(min=1)
    believed = (count / (ENOUGH * chosen[0].numel())).clamp(max=1)
    return (believed * means).sum() / believed.sum().clamp(min=1e-6)


def slopes(prediction: Tensor, target: Tensor, clipped: Tensor) -> Tensor:
    """Return how far differences between neighbors are from the truth's, in stops, where one of them clipped.

    It counts what a loss of single pixels does not see: rims and steps at the edge of clipping.
    """
    error = stops(prediction) - stops(target)
    total, count = error.new_zeros(()), error.new_zeros(())
    for axis in (2, 3):
        size = error.shape[axis] - 1
        near, far = (clipped.narrow(axis, k, size) for k in (0, 1))
        either = near | far
        total = total + (error.diff(dim=axis).abs() * either).sum()
        count = count + either.sum()
    return total / count.clamp(min=1)


def steadiness(first: Tensor, second: Tensor, clipped: Tensor) -> Tensor:
    """Return how far two predictions of the same light are apart, in stops, where a channel clipped.

    Eilertsen, Mantiuk, Unger, "Single-frame regularization for temporally stable CNNs", CVPR 2019, equation 5, in stops.
    """
    apart = (stops(first) - stops(second)).abs()
    return (apart * clipped).sum() / clipped.sum().clamp(min=1)
