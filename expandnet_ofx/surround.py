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

from expandnet_ofx.arrays import as_float, namespace, set_at, taken, zeros
from expandnet_ofx.grade import smoothstep
from expandnet_ofx.maps import PlateMap, as_half, running, spread
from expandnet_ofx.pixels import brightest_channel, darkest_channel, picked, sum_of_channels
from expandnet_ofx.transfer import srgb_decode

Array = NDArray[np.float32]

BRIGHT = (0.1, 0.5)
"""Largest code of a pixel over white, sRGB-encoded, from which it has a say in the color around, and a whole one."""

UNCLIPPED = 0.95
"""Share of a clip level up to which a code is surely measured; noise and ringing reach a little below the level."""

DARKEST = 2**-12
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
    xp, brightest = namespace(seen), brightest_channel(seen)
    chosen = set_at((brightest / tops[-1] > BRIGHT[0]) & (brightest < UNCLIPPED * tops[-1]))
    result = zeros(seen, (*seen.shape[:2], 5 * len(tops)))
    if len(chosen):
        light = as_float(xp.log2(xp.clip(srgb_decode(picked(seen, chosen)), DARKEST, None)))
        ratios = light[:, ::2] - light[:, 1:2]
        said = xp.concatenate((xp.ones_like(ratios[:, :1]), ratios, ratios**2), 1)
        code = taken(brightest.reshape(-1), chosen, 0)
        class_ = sum(xp.asarray(code >= UNCLIPPED * top, dtype=xp.int64) for top in tops)
        result.reshape(-1, 5)[chosen * len(tops) + class_] = said * smoothstep(*BRIGHT, code / tops[-1])[:, None]
    return result


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
    xp = namespace(matte)
    around = running(seen, 2 * MIXED + 1, xp.minimum)
    clips = running(matte, 2 * MIXED + 1, xp.maximum) > 0.9
    inner = slice(MIXED, -MIXED)
    falls = around < HALF_LIGHT * seen[inner, inner]
    result: NDArray[np.bool_] = clips & falls & (matte[inner, inner] <= 0.9)
    return result


def unlike(matte: Array) -> NDArray[np.bool_]:
    """Return where channels clip unlike each other, (..., 3) to (...): all that `complete` has a say about."""
    result: NDArray[np.bool_] = (matte[..., 0] != matte[..., 1]) | (matte[..., 1] != matte[..., 2])
    return result


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
        matte: as the merge takes it, same shape.
        surround: values of a `SurroundColor` at these pixels, (..., 4).
        mixed: channels that measure nothing, same shape as the light, see `mixtures`; None for none.

    Returns:
        log2 of light (..., 3); unchanged where no channel is measured.
    """
    xp = namespace(log_light)
    zero = xp.zeros_like(surround[..., 0])
    color = xp.stack((surround[..., 0], zero, surround[..., 1]), -1)
    variance = xp.stack((surround[..., 2], zero, surround[..., 3]), -1)
    log_plate = xp.log2(xp.clip(plate, DARKEST, None))
    told, trust = xp.zeros_like(log_plate), xp.zeros_like(log_plate)
    # As the merge gives it: a channel that is lifted in part would pass those that follow it.
    light, gray = xp.clip(plate, 0, None), log_plate + matte * xp.clip(log_light - log_plate, 0, None) - color
    for channel in range(3):
        # Only what a channel lost and another kept: equal channels, as of a gray plate, tell each other nothing.
        kept = xp.clip(matte[..., channel, None] - matte, 0, None)
        kept = kept if mixed is None else xp.where(mixed, 0.0, kept)
        sure = SPREAD**2 / (SPREAD**2 + variance + variance[..., channel, None])
        weight = light * kept
        sure = sure * weight
        total, believed = sum_of_channels(weight), sum_of_channels(sure)
        level = sum_of_channels(sure * gray) / xp.clip(believed, 1e-9, None)
        told[..., channel] = xp.where(believed > 0, level + color[..., channel], log_plate[..., channel])
        brightest = brightest_channel(seen * kept)
        trust[..., channel] = smoothstep(*MEASURED, brightest) * believed / xp.clip(total, 1e-9, None)
    agreed = smoothstep(*DISAGREEMENT, darkest_channel(matte * (told - log_plate))[..., None])
    result: Array = log_light + agreed * trust * (told - log_light)
    return result
