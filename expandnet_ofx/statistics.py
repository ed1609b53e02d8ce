"""What a render reports about itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.arrays import count, namespace, set_at, to_host
from expandnet_ofx.pixels import any_channel

Array = NDArray[np.float32]

BIN_STOPS = 1 / 64
"""Width of a bin of the gain histogram."""

MAX_STOPS = 24


@dataclass(kw_only=True)
class RenderStatistics:
    """Filled while bands of one frame pass."""

    tiles: int = 0
    """Tiles run."""
    splits: int = 0
    """Tiles that did not fit on the device and were split."""
    pixels: int = 0
    clipped: int = 0
    """Pixels with a channel whose matte is above one half."""
    gains: NDArray[np.int64] = field(default_factory=lambda: np.zeros(int(MAX_STOPS / BIN_STOPS) + 1, np.int64))
    """Histogram of log2(result / plate) over channels whose matte is above one half."""
    _lock: Lock = field(default_factory=Lock, init=False, repr=False, compare=False)

    def add(self, plate: Array, light: Array, matte: Array) -> None:
        """Count finished rows (n, W, 3); may be called from several threads."""
        xp, pixels, clipped = namespace(plate), plate.shape[0] * plate.shape[1], 0
        gains: NDArray[np.int64] | int = 0
        chosen = matte > 0.5
        at = set_at(chosen)
        if len(at):
            clipped = count(any_channel(chosen))
            before, after = plate.reshape(-1)[at], light.reshape(-1)[at]
            both = (before > 0) & (after > 0)
            stops = xp.clip(xp.log2(after[both] / before[both]), 0, MAX_STOPS)
            bins = xp.asarray(stops / BIN_STOPS, dtype=xp.int64)
            gains = to_host(xp.bincount(bins, minlength=len(self.gains)))
        with self._lock:
            self.pixels += pixels
            self.clipped += clipped
            self.gains += gains

    def add_splits(self, count: int) -> None:
        """Count tiles that were split; may be called from several threads."""
        with self._lock:
            self.splits += count

    @property
    def clipped_share(self) -> float:
        """Share of pixels in the matte."""
        return self.clipped / max(1, self.pixels)

    @property
    def stops_gained(self) -> float:
        """99th percentile of log2(result / plate) in the matte, in stops; 0 where there is no matte."""
        total = int(self.gains.sum())
        if total == 0:
            return 0.0
        return float(np.searchsorted(np.cumsum(self.gains), 0.99 * total)) * BIN_STOPS
