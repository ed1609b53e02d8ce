"""Predicted light of one render, kept so that another result of the same prediction needs no network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.arrays import to_host

Array = NDArray[np.float32]
Passing = tuple[int, NDArray[Any], Array]
"""First row in the plate, codes with a margin at both ends, anchored light (n, W, 3); see `TilePredictor.bands`."""


class Predicted:
    """Bands of predicted light: filled by the first render that comes to its end, given back to those after it.

    Whoever keeps it sees to it that plate, analysis, region, engine and the settings of the prediction stay the same; what
    `dependence.OF_THE_MERGE` names may change.

    Args:
        limit: bytes to keep at most; of a larger render nothing is kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: list[tuple[int, Array]] = []
        self.complete = False
        """True if the next render needs no network."""

    def keep(self, passing: Iterable[Passing], pixels: int) -> Iterator[Passing]:
        """Hand on what a predictor yields, and keep its light if that of so many pixels may be kept."""
        if 3 * 4 * pixels > self._limit:
            yield from passing
            return
        kept = []
        for y, codes, light in passing:
            # In the processor's memory: a device is given back when it has nothing to do.
            own = to_host(light)
            # What is kept must be what was made, whoever gets it.
            own.flags.writeable = False
            kept.append((y, own))
            yield y, codes, light
        self._kept, self.complete = kept, True

    def replay(self, rows: Iterable[tuple[int, NDArray[Any]]], margin: int) -> Iterator[Passing]:
        """Yield what the first render did, with its codes read again.

        Args:
            rows: rows of tiles with `margin` more at both ends, as the predictor reads them.
            margin: rows.
        """
        for (_, codes), (y, light) in zip(rows, self._kept, strict=True):
            yield y, codes[: len(light) + 2 * margin], light
