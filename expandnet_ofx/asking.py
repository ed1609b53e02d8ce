"""The network on reduced plates: asked for some of their pixels at once, while other things are found out."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.architecture import RADIUS
from expandnet_ofx.boxes import Box, cover, cut, grown
from expandnet_ofx.engine import Engine, box_margin, expand_splitting
from expandnet_ofx.workers import Workers

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Asked:
    """A reduced plate that the network works on."""

    shape: tuple[int, ...]
    boxes: Sequence[Box]
    parts: Sequence[Future[Array]]

    def result(self) -> Array:
        """Wait for the light (h, w, 3) where it was asked; elsewhere it is anything."""
        light = np.zeros(self.shape, np.float32)
        for box, part in zip(self.boxes, self.parts, strict=True):
            light[box] = part.result()
        return light


class Asking:
    """Asks the network for light of one plate under its global features; leaving the block gives up what has not begun.

    Args:
        features: (64,).
        wrap: the plate continues beyond its sides; otherwise its edge is replicated, as it is above and below.
    """

    def __init__(self, engine: Engine, workers: Workers, features: Array, *, wrap: bool) -> None:
        self._engine = engine
        self._workers = workers
        self._features = features
        self._sideways: Any = "wrap" if wrap else "edge"
        self._parts: list[Future[Array]] = []

    def __enter__(self) -> Asking:
        return self

    def __exit__(self, *_: object) -> None:
        for part in self._parts:
            part.cancel()

    def ask(self, seen: Array, wanted: NDArray[np.bool_]) -> Asked:
        """Start the network on a plate (h, w, 3) in [0, 1], border included, where it is wanted (h, w)."""
        padded = np.pad(seen, ((0, 0), (RADIUS, RADIUS), (0, 0)), mode=self._sideways)
        padded = np.pad(padded, ((RADIUS, RADIUS), (0, 0), (0, 0)), mode="edge")
        boxes = cut(cover(wanted, halo=box_margin(self._engine)), parts=self._workers.strips)
        parts = [self._workers.submit(self._light, padded[grown(box, 2 * RADIUS)]) for box in boxes]
        self._parts += parts
        return Asked(seen.shape, boxes, parts)

    def _light(self, part: Array) -> Array:
        return expand_splitting(self._engine, part, self._features)[0]
