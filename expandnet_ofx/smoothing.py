"""Analyses of a shot made steady: constants per cut, numbers and maps smoothed over time, without lag.

A frame's result depends on its plate and on analyses of frames around it, never on a result that came before; so frames
may be rendered in any order, on any machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.analysis import Analysis, Triple
from expandnet_ofx.lamps import BroadAreas
from expandnet_ofx.maps import as_half
from expandnet_ofx.recovered import RecoveredLight
from expandnet_ofx.rise import FREE, Rise
from expandnet_ofx.surround import SurroundColor

Array = NDArray[np.float32]

WINDOW = 9
"""Frames that a default window spans."""

STOPS_APART = 0.25
"""Standard deviation in stops beyond which a neighbor's map says something else: a lamp that flickers keeps doing so."""

SHARE_APART = 0.3
"""The same for shares of light that a rise lets through."""

COLOR_APART = 0.15
"""The same for log ratios of color."""

KNEE = 4.0
"""Stops around which limits of a rise are averaged."""

Load = Callable[[int], Analysis]


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
    """Return what all frames of a cut have in common, by the name of its field: medians over the frames."""

    def median(values: Sequence[Triple]) -> Triple:
        red, green, blue = (float(x) for x in np.median(np.array(values), 0))
        return red, green, blue

    return {
        "clip_levels": median([a.clip_levels for a in analyses]),
        "low": median([a.low for a in analyses]),
        "high": median([a.high for a in analyses]),
        "anchor": float(np.median([a.anchor for a in analyses])),
        "anchor_samples": int(np.median([a.anchor_samples for a in analyses])),
        "scene": float(np.median([a.scene for a in analyses])),
    }


def smooth_cut(numbers: Sequence[Analysis], load: Load, window: int) -> list[Callable[[], Analysis]]:
    """Return, for each frame of a cut, what makes its steady analysis; maps are read only then.

    Args:
        numbers: analyses of the frames, whose maps may be left out.
        load: returns the analysis of a frame of the cut with its maps.
        window: frames, odd.
    """
    constants = constants_of(numbers)
    features = smooth_numbers(np.array([a.features for a in numbers], np.float64), window)

    def make(at: int) -> Analysis:
        first, weights = window_weights(len(numbers), at, window)
        around = [load(first + k) for k in range(len(weights))]
        own = around[at - first]
        return replace(
            own,
            features=tuple(float(np.float32(x)) for x in features[at]),
            **constants,
            recovered=_recovered([a.recovered for a in around], at - first, weights),
            rise=_rise([a.rise for a in around], at - first, weights),
            surround=_surround([a.surround for a in around], at - first, weights),
            broad=_broad([a.broad for a in around], at - first, weights),
        )

    return [partial(make, at) for at in range(len(numbers))]


def _alike(values: Array, own: Array, sigma: float) -> Array:
    """Return how far a neighbor's values (h, w, C) say the same as a frame's own: (h, w, 1) in [0, 1]."""
    apart = np.abs(values - own).max(2, keepdims=True)
    result: Array = np.exp(-0.5 * (apart / np.float32(sigma)) ** 2)
    return result


def _recovered(maps: Sequence[RecoveredLight | None], own: int, weights: NDArray[np.float64]) -> RecoveredLight | None:
    known = [(m.values, w) for m, w in zip(maps, weights, strict=True) if m is not None]
    if not known:
        return None
    mine = maps[own]
    light = np.zeros((*known[0][0].shape[:2], 3), np.float32)
    cover, share = np.zeros_like(light[:, :, :1]), np.zeros_like(light[:, :, :1])
    for values, weight in known:
        part = np.float32(weight) * np.ones((*values.shape[:2], 1), np.float32)
        if mine is not None:
            # Where one of the two sees no wide area, its light is a guess that has no say.
            both = np.minimum(values[:, :, 3:], mine.values[:, :, 3:])
            part = part * (1 + both * (_alike(values[:, :, :3], mine.values[:, :, :3], STOPS_APART) - 1))
        held = np.maximum(values[:, :, 3:], np.float32(1e-3))
        light = light + part * held * values[:, :, :3]
        cover = cover + part * held
        share = share + part
    absent = np.float32(sum(weights) - sum(weight for _, weight in known))
    wide = (cover / (share + absent)).clip(0, 1)
    return RecoveredLight(as_half(np.concatenate((light / cover, wide), 2)))


def _averaged(maps: Sequence[Array], own: Array, weights: Sequence[float], sigma: float, *, guide: int) -> Array:
    """Average maps over time as far as their first `guide` channels say what a frame's own say."""
    total, share = np.zeros_like(own), np.zeros_like(own[:, :, :1])
    for values, weight in zip(maps, weights, strict=True):
        part = np.float32(weight) * _alike(values[:, :, :guide], own[:, :, :guide], sigma)
        total, share = total + part * values, share + part
    return np.asarray(total / share, np.float32)


def _rise(maps: Sequence[Rise | None], own: int, weights: NDArray[np.float64]) -> Rise | None:
    """Average limits as the share of light that they let through: above `KNEE` stops one is as good as another."""
    mine = maps[own]
    if mine is None:
        return None
    known = [(-np.expm1(-m.values / KNEE), float(w)) for m, w in zip(maps, weights, strict=True) if m is not None]
    through = _averaged(
        [v for v, _ in known], -np.expm1(-mine.values / KNEE), [w for _, w in known], SHARE_APART, guide=3
    )
    limit = -KNEE * np.log(np.maximum(1 - through, math.exp(-FREE / KNEE)))
    return Rise(as_half(np.minimum(limit, np.float32(FREE)).astype(np.float32)))


def _surround(maps: Sequence[SurroundColor | None], own: int, weights: NDArray[np.float64]) -> SurroundColor | None:
    mine = maps[own]
    if mine is None:
        return None
    known = [(m.values, float(w)) for m, w in zip(maps, weights, strict=True) if m is not None]
    values = _averaged([v for v, _ in known], mine.values, [w for _, w in known], COLOR_APART, guide=2)
    return SurroundColor(as_half(values))


def _broad(maps: Sequence[BroadAreas | None], own: int, weights: NDArray[np.float64]) -> BroadAreas | None:
    known = [(m.values, float(w)) for m, w in zip(maps, weights, strict=True) if m is not None]
    if maps[own] is None or not known:
        return None
    return BroadAreas(as_half(np.average([v for v, _ in known], 0, weights=[w for _, w in known]).astype(np.float32)))
