"""Analyses of a shot made steady: constants per cut, numbers and maps smoothed over time, without lag.

A frame's result depends on its plate and on analyses of frames around it, never on a result that came before; so frames
may be rendered in any order, on any machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.analysis import MAPS, Analysis, Triple
from expandnet_ofx.averages import Averages, Neighbor

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
    own = load(at)
    if len(weights) == 1:
        return {**maps_of(own), "measured": None}
    # Twice through the window, a frame at a time: the maps of a wide one would not fit.
    seen = [
        Neighbor.of(own, own if number == at else load(number), float(weight))
        for number, weight in enumerate(weights, first)
    ]
    averages = Averages(own, seen)
    for number, neighbor in enumerate(seen, first):
        averages.add(own if number == at else load(number), neighbor)
    return averages.maps()


def maps_of(analysis: Analysis) -> Maps:
    """Return the maps of an analysis, by the names of their fields."""
    return {name: getattr(analysis, name) for name in MAPS}
