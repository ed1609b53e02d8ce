"""Maps averaged over the frames of a window: laid on each other, and as if light did not change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.analysis import Analysis
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


@dataclass(frozen=True, eq=False)
class Neighbor:
    """What a frame of the window around another one has to do with it."""

    weight: float
    shift: tuple[float, float]
    """What moves its maps onto those of the frame."""
    change: Array
    """Stops by which its light is brighter, (h, w, 1), or one 0 where nothing tells."""

    @classmethod
    def of(cls, own: Analysis, other: Analysis, weight: float) -> Neighbor:
        """Compare a frame of the window, which counts for so much, with the one in its middle."""
        if other is own or own.measured is None or other.measured is None:
            return cls(weight, (0.0, 0.0), np.zeros((1, 1, 1), np.float32))
        wrap = own.latlong
        shift, agreement = alignment(own.measured.values[:, :, 0], other.measured.values[:, :, 0], wrap=wrap)
        seen = moved(other.measured.values, shift, wrap=wrap)
        if own.recovered is None or other.recovered is None or not agreement:
            return cls(weight * agreement, shift, np.zeros((1, 1, 1), np.float32))
        return cls(weight * agreement, shift, brightening(own.measured.values, seen, wrap=wrap))


def _mean_change(seen: Sequence[Neighbor]) -> Array:
    """Return by how many stops the mean over time is brighter than a frame: (h, w, 1), or one number."""
    total = np.zeros((1, 1, 1), np.float32)
    for neighbor in seen:
        total = total + np.float32(neighbor.weight) * neighbor.change
    return np.asarray(total / np.float32(sum(neighbor.weight for neighbor in seen)), np.float32)


def _alike(values: Array, own: Array, sigma: float) -> Array:
    """Return how far a neighbor's values (h, w, C) say the same as a frame's own: (h, w, 1) in [0, 1]."""
    apart = brightest_channel(np.abs(values - own))[:, :, None]
    result: Array = np.exp(-0.5 * (apart / np.float32(sigma)) ** 2)
    return result


class Averages:
    """Averages of the maps of a window, to which its frames are added one after the other.

    Args:
        own: the frame in the middle.
        seen: all of the window.
    """

    def __init__(self, own: Analysis, seen: Sequence[Neighbor]) -> None:
        self._own = own
        self._mean = _mean_change(seen)
        self._light = _Light(self._mean, sum(neighbor.weight for neighbor in seen))
        self._rise = None if own.rise is None else _Average(_through(own.rise.values, 0), SHARE_APART, guide=3)
        self._surround = None if own.surround is None else _Average(own.surround.values, COLOR_APART, guide=2)
        self._broad: tuple[Any, float] = (0.0, 0.0)

    def add(self, analysis: Analysis, neighbor: Neighbor) -> None:
        """Add a frame."""

        def values(name: str) -> Array | None:
            found: PlateMap | None = getattr(analysis, name)
            return None if found is None else moved(found.values, neighbor.shift, wrap=analysis.latlong)

        # Where a frame has none of its own, its neighbors may all be of another picture, and say nothing either.
        if neighbor.weight > 0 and (found := values("recovered")) is not None:
            self._light.add(found, neighbor)
        if self._rise is not None and (found := values("rise")) is not None:
            self._rise.add(_through(found, neighbor.change), neighbor.weight)
        if self._surround is not None and (found := values("surround")) is not None:
            self._surround.add(found, neighbor.weight)
        if self._own.broad is not None and (found := values("broad")) is not None:
            total, weight = self._broad
            self._broad = total + neighbor.weight * found.astype(np.float64), weight + neighbor.weight

    def maps(self) -> dict[str, Any]:
        """Return the steady maps, by the names of their fields."""
        recovered, (broad, weight) = self._light.result(), self._broad
        return {
            "recovered": recovered,
            "rise": self._limits(recovered),
            "broad": BroadAreas(as_half((broad / weight).astype(np.float32))) if weight else None,
            "surround": None if self._surround is None else SurroundColor(as_half(self._surround.result())),
            "measured": None,
            "swing": Swing(as_half(-self._mean)) if recovered is not None and self._mean.size > 1 else None,
        }

    def _limits(self, recovered: RecoveredLight | None) -> Rise | None:
        """Average limits as the share of light that they let through: above `KNEE` stops one is as good as another."""
        if self._rise is None:
            return None
        limit = -KNEE * np.log(np.maximum(1 - self._rise.result(), math.exp(-FREE / KNEE)))
        if recovered is not None:
            # Where light is put back to how it changes, the limit is that of its mean.
            limit = np.where(limit < FREE, np.maximum(limit + recovered.values[:, :, 3:] * self._mean, 0), limit)
        return Rise(as_half(np.minimum(limit, np.float32(FREE)).astype(np.float32)))


def _through(values: Array, change: Array | float) -> Array:
    """Return the share of light that limits let through, of a frame that is brighter by so many stops."""
    return np.asarray(-np.expm1(-np.where(values < FREE, np.maximum(values - change, 0), FREE) / KNEE), np.float32)


class _Light:
    """The average of light as if it did not change: each frame's less by how much brighter it is than the mean over time.

    Args:
        mean: see `_mean_change`.
        weight: of all frames together.
    """

    def __init__(self, mean: Array, weight: float) -> None:
        self._mean, self._weight = mean, weight
        self._sums: tuple[Any, Any, Any] | None = None

    def add(self, values: Array, neighbor: Neighbor) -> None:
        """Add what a frame says, moved."""
        if self._sums is None:
            light = np.zeros((*values.shape[:2], 3), np.float32)
            self._sums = light, np.zeros_like(light[:, :, :1]), np.zeros((*values.shape[:2], 1), np.bool_)
        light, cover, heard = self._sums
        part = np.float32(neighbor.weight)
        held = np.maximum(values[:, :, 3:], np.float32(1e-3))
        light = light + part * held * (values[:, :, :3] - neighbor.change + self._mean)
        self._sums = light, cover + part * held, heard | (values[:, :, 3:] > 0)

    def result(self) -> RecoveredLight | None:
        """Return the average; None where no frame has any."""
        if self._sums is None:
            return None
        light, cover, heard = self._sums
        wide = (cover / np.float32(self._weight)).clip(0, 1)
        return RecoveredLight(as_half(np.concatenate((light / cover, wide * heard), 2)))


class _Average:
    """The average of maps over time, as far as their first `guide` channels say what a frame's own say."""

    def __init__(self, own: Array, sigma: float, *, guide: int) -> None:
        self._own, self._sigma, self._guide = own[:, :, :guide], sigma, guide
        self._total, self._share = np.zeros_like(own), np.zeros_like(own[:, :, :1])

    def add(self, values: Array, weight: float) -> None:
        """Add what a frame says, moved."""
        part = np.float32(weight) * _alike(values[:, :, : self._guide], self._own, self._sigma)
        self._total, self._share = self._total + part * values, self._share + part

    def result(self) -> Array:
        """Return the average."""
        return np.asarray(self._total / self._share, np.float32)
