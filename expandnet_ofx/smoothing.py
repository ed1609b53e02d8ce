"""Analyses of a shot made steady: constants per cut, numbers and maps smoothed over time, without lag.

A frame's result depends on its plate and on analyses of frames around it, never on a result that came before; so frames
may be rendered in any order, on any machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.analysis import MAPS, Analysis, Triple
from expandnet_ofx.lamps import BroadAreas
from expandnet_ofx.maps import PlateMap, as_half
from expandnet_ofx.pixels import brightest_channel
from expandnet_ofx.recovered import RecoveredLight
from expandnet_ofx.rise import FREE, Rise
from expandnet_ofx.surround import SurroundColor
from expandnet_ofx.swing import Swing, alignment, brightening, moved

Array = NDArray[np.float32]

SHARE_APART = 0.3
"""Standard deviation, of shares of light that a rise lets through, beyond which a neighbor's map says something else."""

COLOR_APART = 0.15
"""The same for log ratios of color."""

KNEE = 4.0
"""Stops around which limits of a rise are averaged."""

Load = Callable[[int], Analysis]
Maps = Mapping[str, Any]
"""Maps of an analysis by the names of their fields, None for one that it has not."""


def window_weights(count: int, at: int, window: int) -> tuple[int, NDArray[np.float64]]:
    """Return the first frame of a window around frame `at` of `count`, and Gaussian weights of its frames.

    Args:
        window: frames it spans, odd; those beyond the ends are not there.
    """
    reach = window // 2
    first, last = max(0, at - reach), min(count, at + reach + 1)
    weights = np.exp(-0.5 * ((np.arange(first, last) - at) / max(window / 4, 1e-9)) ** 2)
    return first, weights / weights.sum()


def smooth_numbers(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Smooth numbers over time: a line fitted to each window, read at its frame (Cleveland, "Robust locally weighted
    regression", JASA 74, 1979, without the robustness).

    No phase: a symmetric window has no lag, and at the ends a line keeps a drift going where an average would stall.

    Args:
        values: (frames, numbers).
        window: frames, odd; 1 changes nothing.
    """
    out = np.empty_like(values)
    for at in range(len(values)):
        first, weights = window_weights(len(values), at, window)
        t = np.arange(first, first + len(weights)) - at
        part = values[first : first + len(weights)]
        center, mean = weights @ t, weights @ part
        spread = weights @ (t - center) ** 2
        slope = (weights * (t - center)) @ (part - mean) / spread if spread > 0 else 0.0
        out[at] = mean - center * slope
    return out


def constants_of(analyses: Sequence[Analysis]) -> dict[str, Any]:
    """Return what all frames of a cut have in common, by the name of its field: medians over the frames.

    Of two levels in the middle the lower one: a level between them may be one that no frame clips at.
    """

    def median(values: Sequence[Triple]) -> Triple:
        red, green, blue = (float(x) for x in np.sort(np.array(values), 0)[(len(values) - 1) // 2])
        return red, green, blue

    return {
        "clip_levels": median([a.clip_levels for a in analyses]),
        "low": median([a.low for a in analyses]),
        "high": median([a.high for a in analyses]),
        "anchor": float(np.median([a.anchor for a in analyses])),
        "anchor_samples": int(np.median([a.anchor_samples for a in analyses])),
        "scene": float(np.median([a.scene for a in analyses])),
    }


def smooth_cut(
    analyses: Sequence[Analysis], features: Sequence[Sequence[float]], constants: Mapping[str, Any], window: int
) -> list[Analysis]:
    """Return the analyses of a cut with steady numbers; maps stay as they are, see `smooth_maps`.

    Args:
        analyses: of its frames.
        features: their global vectors.
        constants: what all frames have in common, see `constants_of`.
        window: frames, odd.
    """
    smooth = smooth_numbers(np.array(features, np.float64), window)
    vectors = [tuple(float(np.float32(x)) for x in vector) for vector in smooth]
    return [replace(own, features=found, **constants) for own, found in zip(analyses, vectors, strict=True)]


def smooth_maps(load: Load, count: int, at: int, window: int) -> Maps:
    """Return the steady maps of frame `at` of a cut, by the names of their fields.

    Args:
        load: returns the analysis of a frame of the cut with its maps, as it was made.
        count: frames of the cut.
        window: frames, odd; only they are read.
    """
    first, weights = window_weights(count, at, window)
    around = [load(first + k) for k in range(len(weights))]
    own = around[at - first]
    if len(around) == 1:
        return {**maps_of(own), "measured": None}
    seen = [_Neighbor.of(own, other, float(weight)) for other, weight in zip(around, weights, strict=True)]
    mean = _mean_change(seen)
    recovered = _recovered(own, seen, mean)
    return {
        "recovered": recovered,
        "rise": _rise(own, seen, mean, recovered),
        "broad": _broad(own, seen),
        "surround": _surround(own, seen),
        "measured": None,
        "swing": Swing(as_half(-mean)) if recovered is not None and mean.size > 1 else None,
    }


def maps_of(analysis: Analysis) -> Maps:
    """Return the maps of an analysis, by the names of their fields."""
    return {name: getattr(analysis, name) for name in MAPS}


@dataclass(frozen=True, eq=False)
class _Neighbor:
    """A frame of the window around another one."""

    analysis: Analysis
    weight: float
    shift: tuple[float, float]
    """What moves its maps onto those of the frame."""
    change: Array
    """Stops by which its light is brighter, (h, w, 1), or one 0 where nothing tells."""

    @classmethod
    def of(cls, own: Analysis, other: Analysis, weight: float) -> _Neighbor:
        if other is own or own.measured is None or other.measured is None:
            return cls(other, weight, (0.0, 0.0), np.zeros((1, 1, 1), np.float32))
        wrap = own.latlong
        shift, agreement = alignment(own.measured.values[:, :, 0], other.measured.values[:, :, 0], wrap=wrap)
        seen = moved(other.measured.values, shift, wrap=wrap)
        if own.recovered is None or other.recovered is None or not agreement:
            return cls(other, weight * agreement, shift, np.zeros((1, 1, 1), np.float32))
        return cls(other, weight * agreement, shift, brightening(own.measured.values, seen, wrap=wrap))

    def values(self, name: str) -> Array | None:
        """Return the values of one of its maps, moved; None without it."""
        found: PlateMap | None = getattr(self.analysis, name)
        return None if found is None else moved(found.values, self.shift, wrap=self.analysis.latlong)


def _mean_change(seen: Sequence[_Neighbor]) -> Array:
    """Return by how many stops the mean over time is brighter than a frame: (h, w, 1), or one number."""
    total = np.zeros((1, 1, 1), np.float32)
    for neighbor in seen:
        total = total + np.float32(neighbor.weight) * neighbor.change
    return np.asarray(total / np.float32(sum(neighbor.weight for neighbor in seen)), np.float32)


def _known(seen: Sequence[_Neighbor], name: str) -> list[tuple[Array, _Neighbor]]:
    return [(values, neighbor) for neighbor in seen if (values := neighbor.values(name)) is not None]


def _alike(values: Array, own: Array, sigma: float) -> Array:
    """Return how far a neighbor's values (h, w, C) say the same as a frame's own: (h, w, 1) in [0, 1]."""
    apart = brightest_channel(np.abs(values - own))[:, :, None]
    result: Array = np.exp(-0.5 * (apart / np.float32(sigma)) ** 2)
    return result


def _recovered(own: Analysis, seen: Sequence[_Neighbor], mean: Array) -> RecoveredLight | None:
    """Average light as if it did not change: each frame's less by how much brighter it is than the mean over time."""
    # Where a frame has none of its own, its neighbors may all be of another picture, and say nothing either.
    known = [(values, neighbor) for values, neighbor in _known(seen, "recovered") if neighbor.weight > 0]
    if not known:
        return None
    light = np.zeros((*known[0][0].shape[:2], 3), np.float32)
    cover = np.zeros_like(light[:, :, :1])
    heard = np.zeros(cover.shape, np.bool_)
    for values, neighbor in known:
        part = np.float32(neighbor.weight)
        held = np.maximum(values[:, :, 3:], np.float32(1e-3))
        light = light + part * held * (values[:, :, :3] - neighbor.change + mean)
        cover = cover + part * held
        heard |= values[:, :, 3:] > 0
    wide = (cover / np.float32(sum(neighbor.weight for neighbor in seen))).clip(0, 1)
    return RecoveredLight(as_half(np.concatenate((light / cover, wide * heard), 2)))


def _averaged(known: Sequence[tuple[Array, float]], own: Array, sigma: float, *, guide: int) -> Array:
    """Average maps over time as far as their first `guide` channels say what a frame's own say."""
    total, share = np.zeros_like(own), np.zeros_like(own[:, :, :1])
    for values, weight in known:
        part = np.float32(weight) * _alike(values[:, :, :guide], own[:, :, :guide], sigma)
        total, share = total + part * values, share + part
    return np.asarray(total / share, np.float32)


def _rise(own: Analysis, seen: Sequence[_Neighbor], mean: Array, recovered: RecoveredLight | None) -> Rise | None:
    """Average limits as the share of light that they let through: above `KNEE` stops one is as good as another."""
    if own.rise is None:
        return None

    def through(values: Array, change: Array) -> Array:
        return np.asarray(-np.expm1(-np.where(values < FREE, np.maximum(values - change, 0), FREE) / KNEE), np.float32)

    known = [(through(values, n.change), n.weight) for values, n in _known(seen, "rise")]
    average = _averaged(known, through(own.rise.values, np.zeros(1, np.float32)), SHARE_APART, guide=3)
    limit = -KNEE * np.log(np.maximum(1 - average, math.exp(-FREE / KNEE)))
    if recovered is not None:
        # Where light is put back to how it changes, the limit is that of its mean.
        limit = np.where(limit < FREE, np.maximum(limit + recovered.values[:, :, 3:] * mean, 0), limit)
    return Rise(as_half(np.minimum(limit, np.float32(FREE)).astype(np.float32)))


def _surround(own: Analysis, seen: Sequence[_Neighbor]) -> SurroundColor | None:
    if own.surround is None:
        return None
    known = [(values, neighbor.weight) for values, neighbor in _known(seen, "surround")]
    return SurroundColor(as_half(_averaged(known, own.surround.values, COLOR_APART, guide=2)))


def _broad(own: Analysis, seen: Sequence[_Neighbor]) -> BroadAreas | None:
    known = _known(seen, "broad")
    if own.broad is None or not known:
        return None
    values, weights = [values for values, _ in known], [neighbor.weight for _, neighbor in known]
    return BroadAreas(as_half(np.average(values, 0, weights=weights).astype(np.float32)))
