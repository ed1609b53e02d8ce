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
from expandnet_ofx.pixels import brightest_channel, darkest_channel, sum_of_channels
from expandnet_ofx.transfer import srgb_decode

Array = NDArray[np.float32]

BRIGHT = (0.1, 0.5)
"""Larger code of two channels over white, sRGB-encoded, from which their ratio has a say in the color around, and a whole
one."""

UNCLIPPED = 0.95
"""Share of a clip level up to which a code is surely measured; noise and ringing reach a little below the level."""

DARKEST = 2**-12
"""Light below half an 8-bit step: its logarithm means nothing."""

ENOUGH = 50.0
"""How fast near evidence outweighs far evidence, see `maps.spread`."""

SPREAD = 0.2
"""Standard deviation of a ratio of two channels, in stops, at which it is trusted by half."""

UNKNOWN = 1e4
"""Variance of a ratio that no pixel tells."""

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
    """Return what each pixel says of the color of light: two bright channels that did not clip tell their ratio, as log2.

    Beside an area where all channels clip often lies one where two still measure; its ratio is the nearest there is.

    Args:
        seen: plate as the network sees it, (H, W, 3) sRGB-encoded in [0, 1].
        tops: encoded clip levels, rising; a ratio counts under the first that both channels stay below.

    Returns:
        (H, W, 6 * tops): for each level, of R/G and then of B/G, weight, and weight times ratio and its square.
    """
    xp, result = namespace(seen), zeros(seen, (*seen.shape[:2], 6 * len(tops)))
    green, rows = seen[..., 1], result.reshape(-1, 3)
    for number, other in enumerate((seen[..., 0], seen[..., 2])):
        code = xp.maximum(other, green)
        chosen = set_at((code / tops[-1] > BRIGHT[0]) & (code < UNCLIPPED * tops[-1]))
        if not len(chosen):
            continue
        code, *pair = (taken(values.reshape(-1), chosen, 0) for values in (code, other, green))
        light, of_green = (as_float(xp.log2(xp.clip(srgb_decode(values), DARKEST, None))) for values in pair)
        ratio = light - of_green
        said = xp.stack((xp.ones_like(ratio), ratio, ratio**2), 1) * smoothstep(*BRIGHT, code / tops[-1])[:, None]
        class_ = sum(xp.asarray(code >= UNCLIPPED * top, dtype=xp.int64) for top in tops)
        rows[(chosen * len(tops) + class_) * 2 + number] = said
    return result


def surround_color(reduced: Array, *, wrap: bool = False) -> SurroundColor | None:
    """Spread the evidence over the whole plate; None where there is none.

    Args:
        reduced: evidence of one clip level, reduced to the working size: (h, w, 6).
        wrap: the left edge continues the right one.
    """
    values = np.empty((*reduced.shape[:2], 4), np.float32)
    values[:, :, :2], values[:, :, 2:] = 0, UNKNOWN
    known = [number for number in range(2) if (reduced[:, :, 3 * number] > 0).any()]
    for number in known:
        ratio, square = np.moveaxis(spread(reduced[:, :, 3 * number :][:, :, :3], enough=ENOUGH, wrap=wrap), 2, 0)
        values[:, :, number], values[:, :, 2 + number] = ratio, np.maximum(square - ratio**2, 0)
    return SurroundColor(as_half(values)) if known else None


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
