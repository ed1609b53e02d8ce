"""Pointwise decisions: clip levels, anchor, matte and merge.

The merge is per channel, in the plate's own encoding and primaries: a channel that did not clip is a measurement and
comes back bit for bit, even beside a clipped one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.arrays import as_float, beside, cleaned, copied, namespace, set_at
from expandnet_ofx.pixels import any_channel, brightest_channel, darkest_channel, picked, put_picked

Array = NDArray[np.float32]

LUMA = np.array([0.2126, 0.7152, 0.0722])
"""Luminance of the primaries of Rec.709 (ITU-R BT.709-6, item 3.2)."""

MATTE_RADIUS = 2
"""Reach of the matte's low-pass in pixels: the 5-tap binomial below."""

LOW_PASS = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)

LOWEST_CLIP = 0.85
"""Whites clip at 0.90 to 0.97 in graded, scanned and JPEG plates; a spike further down is a flat surface."""

FEWEST = 16
"""Samples from which codes at a level say anything."""

ANCHOR_RANGE = (0.35, 0.9)
"""Display-linear range, relative to white, in which plate and prediction are compared: where the merge happens."""

ANCHOR_SHRINK = 2000
"""Samples at which an absolute prediction's own scale and the measured one weigh the same."""

ANCHOR_LIMIT = 0.5
"""Largest correction of an absolute prediction, in stops."""

SATURATED = (0.25, 0.5)
"""Smallest code over white below which a pixel is a saturated color, and above which it is not."""

PAGE = (0.7, 0.9)
"""Share of pixels white in all channels from which a plate is a page rather than a scene, and is one for sure."""


@dataclass(frozen=True, kw_only=True)
class MergeSettings:
    """How prediction and plate meet; see `Settings` for the meaning of each field."""

    threshold: float
    full: float
    stops: float
    max_stops: float | None
    saturated_max_stops: float
    saturation: float
    channels: Literal["separate", "together"]


def smoothstep(low: float | Array, high: float | Array, x: Array) -> Array:
    """Return 0 up to `low`, 1 from `high`, and 3t^2 - 2t^3 between: cubic Hermite, zero slope at both ends."""
    if isinstance(low, np.ndarray):
        low, span = beside(x, low), beside(x, np.maximum(np.subtract(high, low), np.float32(1e-9)))
    else:
        span = max(float(high) - low, 1e-9)
    t = as_float(namespace(x).clip((x - low) / span, 0, 1))
    result: Array = t * t * (3 - 2 * t)
    return result


def clip_level(histogram: NDArray[np.int64], levels: int) -> float:
    """Find the code, as a share of full scale, that one channel of this plate clips at.

    The last histogram bin that towers over its neighbors below is the level, if little lies above it; else full scale.

    Args:
        histogram: counts per bin; bin `levels` holds full scale and above.
        levels: bins per unit of code.
    """
    total = int(histogram.sum())
    if total == 0:
        return 1.0
    step = max(1, levels // 255)
    coarse = np.add.reduceat(histogram[: levels + 1], np.arange(0, levels + 1, step))
    above = np.concatenate((np.cumsum(coarse[::-1])[::-1][1:], [0]))
    for bin_ in range(len(coarse) - 1, int(LOWEST_CLIP * len(coarse)), -1):
        below = np.median(coarse[bin_ - 12 : bin_ - 2])
        spike = coarse[bin_]
        # Noise around a flat tone fills neighboring bins alike; clipping piles codes up in one.
        alone = spike > 2 * coarse[bin_ - 5 : bin_ - 1].max()
        towers = alone and spike > max(FEWEST, 5e-4 * total, 6 * below) and spike >= coarse[bin_ - 2 : bin_ + 3].max()
        # Ringing of a compressor reaches full scale; light that clips there piles up.
        if towers and histogram[levels] < 0.1 * spike and above[min(bin_ + 2, len(above) - 1)] < 0.25 * spike:
            first = bin_ * step
            exact = first + int(np.argmax(histogram[first : first + step]))
            return min(1.0, exact / levels)
    return 1.0


def clip_levels(histograms: NDArray[np.int64], levels: int) -> tuple[float, float, float]:
    """Find the code that each channel clips at, as a share of full scale.

    A grade or a scanner cuts all channels at one code. A channel that few pixels clip in has no spike that could be told
    from a tone: it takes the level on which the two others agree, if its codes end there too.

    Args:
        histograms: counts per channel and bin, (3, levels + 1), as `clip_level` takes them.
        levels: bins per unit of code.
    """
    found = [clip_level(histogram, levels) for histogram in histograms]
    red, green, blue = (
        _shared(own, found[channel - 2], found[channel - 1], histograms[channel], levels)
        for channel, own in enumerate(found)
    )
    return red, green, blue


def _shared(own: float, one: float, other: float, histogram: NDArray[np.int64], levels: int) -> float:
    """Return a channel's own clip level, or that of the two others."""
    level, step = max(one, other), max(1, levels // 255)
    if own < 1 or level == 1 or abs(one - other) * levels > step:
        return own
    at = round(level * levels)
    reached, above = int(histogram[at - step : at + step + 1].sum()), int(histogram[at + step + 1 :].sum())
    return level if reached >= FEWEST and above < 0.25 * reached else own


def white_share(histograms: NDArray[np.int64], levels: int, clips: tuple[float, ...], threshold: float) -> float:
    """Return the largest share of pixels that can be white in all channels at once.

    Args:
        histograms, levels: see `Survey`.
        clips: the code that each channel clips at.
        threshold: share of it from which a channel counts as white.
    """
    shares = []
    for histogram, clip in zip(histograms, clips, strict=True):
        total = max(1, int(histogram.sum()))
        shares.append(histogram[math.ceil(threshold * clip * levels) :].sum() / total)
    return float(min(shares))


def anchor_samples(plate: Array, usable: NDArray[np.bool_], *, absolute: bool) -> NDArray[np.bool_]:
    """Return which samples of a plate tell the gain of a prediction: those just below clipping.

    Args:
        plate: display-linear light over white, any shape.
        usable: samples that no clipped or transparent pixel touched, same shape.
        absolute: True if a prediction of 1 already means white.
    """
    low, high = ANCHOR_RANGE
    chosen: NDArray[np.bool_] = usable & (plate >= low) & (plate <= high)
    if not absolute and chosen.sum() < 64:
        # A relative prediction has no scale of its own: any light at all beats none.
        chosen = usable & (plate > 0.02)
    return chosen


def anchor_stops(plate: Array, prediction: Array, chosen: NDArray[np.bool_], *, absolute: bool) -> tuple[float, int]:
    """Measure the gain, in stops, that puts a prediction on the plate just below clipping.

    Args:
        plate: display-linear light over white, any shape.
        prediction: predicted light over white, same shape; others than chosen ones may hold anything.
        chosen: see `anchor_samples`, same shape.
        absolute: True if a prediction of 1 already means white; then the measurement is shrunk to 0 by n / (n + 2000)
            and held to half a stop.

    Returns:
        The median of log2(plate / prediction) over those of these samples whose prediction is no 0, and their number.
    """
    chosen = chosen & (prediction > 0)
    count = int(chosen.sum())
    if count == 0:
        return 0.0, 0
    stops = float(np.median(np.log2(plate[chosen] / prediction[chosen])))
    if absolute:
        stops = float(np.clip(stops * count / (count + ANCHOR_SHRINK), -ANCHOR_LIMIT, ANCHOR_LIMIT))
    return stops, count


def pointwise_matte(codes: Array, clips: Array, settings: MergeSettings) -> Array:
    """Return how much each channel takes of the prediction: smoothstep from threshold to full of its clip level.

    Args:
        codes: (..., 3), 1 = full scale.
        clips: (3,) clip levels.
    """
    matte = smoothstep(settings.threshold * clips, settings.full * clips, codes)
    if settings.channels == "together":
        together: Array = namespace(matte).broadcast_to(brightest_channel(matte)[..., None], matte.shape)
        return together
    return matte


def steady_matte(matte: Array) -> Array:
    """Suppress speckle from single code values; the result is smaller by `MATTE_RADIUS` at each border.

    The low-pass of the matte, never above four times the pixel's own: a lone clipped pixel keeps little, a lone hole in
    a clipped area is filled, a flat area keeps its value, and where the matte is 0 it stays 0.

    Args:
        matte: (H + 4, W + 4, 3) pointwise matte with a margin of `MATTE_RADIUS`.
    """
    height, width = matte.shape[0] - 2 * MATTE_RADIUS, matte.shape[1] - 2 * MATTE_RADIUS
    smooth = LOW_PASS[0] * matte[:height]
    for k, weight in enumerate(LOW_PASS[1:], 1):
        smooth += weight * matte[k : k + height]
    rows, smooth = smooth, LOW_PASS[0] * smooth[:, :width]
    for k, weight in enumerate(LOW_PASS[1:], 1):
        smooth += weight * rows[:, k : k + width]
    own = matte[MATTE_RADIUS:-MATTE_RADIUS, MATTE_RADIUS:-MATTE_RADIUS]
    xp = namespace(matte)
    result: Array = xp.minimum(smooth, xp.clip(4 * own, None, 1))
    return result


def _limit(gain: Array, darkest: Array, settings: MergeSettings) -> Array:
    """Hold the gain in stops: a soft shoulder into `max_stops`, and a hard roof over saturated colors."""
    xp = namespace(gain)
    if settings.max_stops is not None:
        knee = settings.max_stops / 2
        room = max(settings.max_stops - knee, 1e-6)
        excess = xp.clip(gain - knee, 0, None)
        gain = xp.where(gain > knee, knee + room * (1 - xp.exp(-excess / room)), gain)
    roof = settings.saturated_max_stops + 16 * smoothstep(*SATURATED, darkest)
    result: Array = xp.minimum(gain, roof)
    return result


def merge(
    plate: Array,
    prediction: Array,
    codes: NDArray[Any],
    matte: Array,
    settings: MergeSettings,
    *,
    clips: Array,
    luma: NDArray[np.floating[Any]] = LUMA,
) -> Array:
    """Lay predicted light over a plate: out = plate * (max(prediction, plate) / plate)^matte, never below the plate.

    Args:
        plate: display-linear light (H, W, 3), own primaries.
        prediction: anchored predicted light (H, W, 3), same units.
        codes: of the plate (H, W, 3), any type.
        matte: (H, W, 3) in [0, 1].
        clips: (3,) the code that each channel clips at.
        luma: (3,) luminance of the plate's primaries.

    Returns:
        Light (H, W, 3) float32; equal to `plate` bit for bit where `matte` is 0.
    """
    xp, out = namespace(plate), copied(plate)
    chosen = set_at(any_channel(matte))
    if not len(chosen):
        return out
    plate, prediction, matte, codes = (picked(x, chosen) for x in (plate, prediction, matte, codes))
    if settings.saturation != 1:
        # Not as a product of matrices, whose last bits depend on how many pixels there are.
        red, green, blue = luma.tolist()
        luminance = red * prediction[:, 0] + green * prediction[:, 1] + blue * prediction[:, 2]
        prediction = xp.clip(luminance[:, None] + settings.saturation * (prediction - luminance[:, None]), 0, None)
    floor = xp.clip(plate, 2**-16, None)
    gain = xp.log2(xp.maximum(prediction * 2.0**settings.stops, floor) / floor)
    over = cleaned(codes, 0, 65535) / beside(plate, clips)
    darkest = darkest_channel(xp.clip(over, 0, 1))[:, None]
    gain = _limit(gain, darkest, settings)
    lifted = plate * xp.exp2(matte * gain)
    put_picked(out, chosen, xp.where(matte > 0, xp.maximum(lifted, plate), plate))
    return out
