"""Color of the light around clipped areas, and what it says of a clipped channel beside a measured one.

Light of one source keeps its color across the edge of clipping. Where a pixel still holds a measured channel, that
channel and the color of the surround give the clipped ones, as in Zhang and Brainard, "Estimation of saturated pixel
values in digital color imaging" (JOSA A 21, 2004) and Masood, Zhu and Tappen, "Automatic correction of saturated regions
in photographs using cross-channel correlation" (Computer Graphics Forum 28, 2009). A pixel that lost all channels is left
to the network: whether it belongs to the light around it or to another one, the surround cannot tell.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.grade import smoothstep
from expandnet_ofx.maps import PlateMap, as_half, running, spread
from expandnet_ofx.pixels import brightest_channel
from expandnet_ofx.transfer import srgb_decode

Array = NDArray[np.float32]

BRIGHT = (0.1, 0.5)
"""Largest code of a pixel over white, sRGB-encoded, from which it has a say in the color around, and a whole one."""

UNCLIPPED = 0.95
"""Share of a clip level up to which a code is surely measured; noise and ringing reach a little below the level."""

DARKEST = np.float32(2**-12)
"""Light below half an 8-bit step: its logarithm means nothing."""

ENOUGH = 50.0
"""How fast near evidence outweighs far evidence, see `maps.spread`."""

SPREAD = 0.2
"""Standard deviation of a ratio of two channels, in stops, at which it is trusted by half."""

DISAGREEMENT = (-0.5, 0.0)
"""Stops by which a clipped channel may come out below the plate before the surround counts as another light."""

MIXED = 1
"""Pixels across which light and ground mix at an anti-aliased edge, on either side of its middle."""

HALF_LIGHT = 0.73
"""Ratio of sRGB codes whose light is as one to two: 2^(-1 / 2.2)."""

MEASURED = (0.05, 0.25)
"""Code of the brightest measured channel, sRGB-encoded, from which it says something, and from which it is trusted."""


class SurroundColor(PlateMap):
    """(h, w, 4): log2 of red over green and of blue over green, and the variance of each in stops squared."""


def evidence(seen: Array, tops: Sequence[float]) -> Array:
    """Return what each pixel says of the color of light: bright pixels that did not clip speak, in ratios as log2.

    Args:
        seen: plate as the network sees it, (H, W, 3) sRGB-encoded in [0, 1].
        tops: encoded clip levels, rising; a pixel counts under the first that it stays below.

    Returns:
        (H, W, 5 * tops): for each level weight, and weight times R/G, B/G and the square of each.
    """
    brightest = brightest_channel(seen)
    weight = smoothstep(*BRIGHT, brightest / np.float32(tops[-1]))
    chosen = (weight > 0) & (brightest < UNCLIPPED * tops[-1])
    result = np.zeros((*seen.shape[:2], len(tops), 5), np.float32)
    if chosen.any():
        light = np.log2(np.maximum(srgb_decode(seen[chosen]), DARKEST)).astype(np.float32)
        ratios = light[:, ::2] - light[:, 1:2]
        said = np.concatenate((np.ones_like(ratios[:, :1]), ratios, ratios**2), 1)
        class_ = np.searchsorted(UNCLIPPED * np.asarray(tops), brightest[chosen], side="right")
        at_y, at_x = np.nonzero(chosen)
        result[at_y, at_x, class_] = said * weight[chosen][:, None]
    return result.reshape(*seen.shape[:2], -1)


def surround_color(reduced: Array, *, wrap: bool = False) -> SurroundColor | None:
    """Spread the evidence over the whole plate; None where there is none.

    Args:
        reduced: evidence of one clip level, reduced to the working size: (h, w, 5).
        wrap: the left edge continues the right one.
    """
    if not (reduced[:, :, 0] > 0).any():
        return None
    found = spread(reduced, enough=ENOUGH, wrap=wrap)
    ratios = found[:, :, :2]
    variance = np.maximum(found[:, :, 2:] - ratios**2, 0)
    return SurroundColor(as_half(np.concatenate((ratios, variance), 2)))


def mixtures(matte: Array, seen: Array) -> NDArray[np.bool_]:
    """Return which channels are no measurement but part light, part ground, as at an anti-aliased edge.

    A channel is a mixture where it clips within `MIXED` pixels and falls to less than half its light as near by.

    Args:
        matte: pointwise matte with a margin of `MIXED` pixels, (H + 2, W + 2, 3).
        seen: the plate as the network sees it, same shape.

    Returns:
        (H, W, 3).
    """
    around = running(seen, 2 * MIXED + 1, np.minimum)
    clips = running(matte, 2 * MIXED + 1, np.maximum) > 0.9
    inner = slice(MIXED, -MIXED)
    falls = around < np.float32(HALF_LIGHT) * seen[inner, inner]
    return np.asarray(clips & falls & (matte[inner, inner] <= 0.9))


def complete(
    log_light: Array,
    plate: Array,
    seen: Array,
    matte: Array,
    surround: Array,
    mixed: NDArray[np.bool_] | None = None,
) -> Array:
    """Move predicted light of clipped channels to where measured channels and the surround's color put it.

    Args:
        log_light: log2 of anchored predicted light, (..., 3).
        plate: display-linear light of the plate, same shape and units.
        seen: the plate as the network sees it, same shape.
        matte: pointwise matte, same shape.
        surround: values of a `SurroundColor` at these pixels, (..., 4).
        mixed: channels that measure nothing, same shape as the light, see `mixtures`; None for none.

    Returns:
        log2 of light (..., 3); unchanged where no channel is measured.
    """
    zero = np.zeros_like(surround[..., 0])
    color = np.stack((surround[..., 0], zero, surround[..., 1]), -1)
    variance = np.stack((surround[..., 2], zero, surround[..., 3]), -1)
    log_plate = np.log2(np.maximum(plate, DARKEST))
    told, trust = log_plate.copy(), np.zeros_like(log_plate)
    for channel in range(3):
        # Only what a channel lost and another kept: equal channels, as of a gray plate, tell each other nothing.
        kept = np.maximum(matte[..., channel, None] - matte, 0)
        kept = kept if mixed is None else np.where(mixed, np.float32(0), kept)
        sure = SPREAD**2 / (SPREAD**2 + variance + variance[..., channel, None])
        weight = np.maximum(plate, 0) * kept
        total, believed = weight.sum(-1), (weight * sure).sum(-1)
        level = (weight * sure * (log_plate - color)).sum(-1) / np.maximum(believed, np.float32(1e-9))
        told[..., channel] = np.where(believed > 0, level + color[..., channel], log_plate[..., channel])
        trust[..., channel] = (
            smoothstep(*MEASURED, (seen * kept).max(-1)) * believed / np.maximum(total, np.float32(1e-9))
        )
    agreed = smoothstep(*DISAGREEMENT, (matte * (told - log_plate)).min(-1, keepdims=True))
    result: Array = (log_light + agreed * trust * (told - log_light)).astype(np.float32)
    return result
