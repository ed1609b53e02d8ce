"""What is compared: no method at all, a global curve, and weights, raw and as the product delivers them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx import Expander, Settings
from expandnet_ofx.transfer import named_encoding
from expandnet_ofx.weights import load_weights
from expandnet_training.cases import Case

Array = NDArray[np.float32]
Method = Callable[[NDArray[np.uint8]], Array]

PLATE = "plate linearized"
"""Row without a method."""


def linearized(plate: NDArray[np.uint8]) -> Array:
    """Return the plate's own light: what everybody has without a method."""
    return named_encoding("srgb").decode(plate)


class GlobalCurve:
    """One curve from code to light for all pictures: the median truth of each code, which no method should lose to."""

    def __init__(self, cases: Iterable[Case]) -> None:
        stops: list[list[Array]] = [[] for _ in range(256)]
        rng = np.random.default_rng(0)
        for case in cases:
            chosen = rng.integers(0, case.plate.size, 20000)
            codes, light = case.plate.ravel()[chosen], np.log2(np.maximum(case.truth.ravel()[chosen], 2**-14))
            for code in np.unique(codes):
                stops[code].append(light[codes == code].astype(np.float32))
        known = [code for code in range(256) if stops[code]]
        medians = [float(np.median(np.concatenate(stops[code]))) for code in known]
        rising = np.maximum.accumulate(medians)
        self.table = np.exp2(np.interp(np.arange(256), known, rising)).astype(np.float32)

    def __call__(self, plate: NDArray[np.uint8]) -> Array:
        """Return light of a plate (H, W, 3)."""
        return self.table[plate]


CONSERVATIVE, BOLD = 0.3, 0.9
"""Positions of the boldness knob beside its default."""


def methods(weights: Mapping[str, Path], curve: GlobalCurve, *, device: str = "cpu") -> dict[str, Method]:
    """Return the rows of the table: the plate, the curve, and each set of weights raw (anchored) and delivered.

    Weights with a boldness knob have rows for a conservative and a bold position too.
    """
    rows: dict[str, Method] = {PLATE: linearized, "global curve": curve}
    for name, path in weights.items():
        loaded = load_weights(path)
        knob = {} if loaded.contract.boldness is None else {" conservative": CONSERVATIVE, " bold": BOLD}
        for suffix, boldness in ({"": None} | knob).items():
            settings = Settings(boldness=boldness)
            rows[f"{name}{suffix} raw"] = Expander(replace(settings, merge="full"), weights=loaded, device=device)
            rows[f"{name}{suffix}"] = Expander(settings, weights=loaded, device=device)
    return rows
