"""How far recovered light jumps from frame to frame, from small pictures of results."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.arrays import to_host
from expandnet_ofx.errors import InputError
from expandnet_ofx.maps import extreme
from expandnet_ofx.partials import new_file
from expandnet_ofx.pixels import darkest_channel, sum_of_channels
from expandnet_ofx.swing import alignment

Array = NDArray[np.float32]

EDGE = 384
"""Longest edge of a glimpse in pixels."""

MATTE = 0.5
"""Matte in all channels from which a pixel counts."""

BORDER = 2
"""Pixels of the plate beside the edge of the matte that are left out: there the matte itself moves."""

BINS = np.concatenate(([0.0], np.geomspace(1e-3, 32.0, 512)))
"""Edges of the bins that jumps are counted in, in stops."""


@dataclass(frozen=True, eq=False)
class Glimpse:
    """Every n-th pixel of a result."""

    light: Array
    """(h, w) mean of the channels."""
    matte: Array
    """(h, w) least matte of the channels."""
    step: int
    """Pixels of the plate from one to the next."""

    def save(self, path: Path) -> None:
        """Write the glimpse; the file appears only when complete. Raises `OSError`."""
        with new_file(path) as partial:
            np.savez_compressed(partial, light=self.light, matte=self.matte, step=np.array(self.step))

    @classmethod
    def load(cls, path: Path) -> Glimpse:
        """Read a glimpse; raise `InputError` if it is none."""
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
                return cls(held["light"], held["matte"], int(held["step"]))
        except (OSError, EOFError, KeyError, ValueError, TypeError, BadZipFile, zlib.error) as error:
            raise InputError(f"{path}: cannot be read ({error}); run the task that wrote it again") from error


class GlimpseBuilder:
    """Picks the pixels of a glimpse while bands of a result pass, in order."""

    def __init__(self, width: int, height: int) -> None:
        self._light: list[Array] = []
        self._matte: list[Array] = []
        self._step = max(1, -(-max(width, height) // EDGE))
        self._row = 0

    def add(self, light: Array, matte: Array) -> None:
        """Take what falls on finished rows (n, W, 3)."""
        part = np.s_[-self._row % self._step :: self._step, :: self._step]
        self._light.append(sum_of_channels(to_host(light[part])) / np.float32(3))
        self._matte.append(darkest_channel(to_host(matte[part])))
        self._row += len(light)

    def finish(self) -> Glimpse:
        """Return the glimpse."""
        return Glimpse(np.concatenate(self._light), np.concatenate(self._matte), self._step)


@dataclass
class Flicker:
    """Jumps over the frames of a shot, counted."""

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(BINS) - 1, np.int64))
    squares: float = 0.0
    changes: int = 0
    """Times that two frames were compared."""

    def add(self, before: Glimpse, after: Glimpse) -> None:
        """Count how far light jumps between two frames, which are laid on each other first."""
        self.changes += 1
        jumps = jumps_between(before, after)
        self.counts += np.histogram(np.clip(np.abs(jumps), 0, BINS[-1]), BINS)[0]
        self.squares += float(np.sum(jumps.astype(np.float64) ** 2))

    @property
    def rms(self) -> float | None:
        """Root of the mean square of the jumps in stops; None where nothing was compared."""
        total = int(self.counts.sum())
        return (self.squares / total) ** 0.5 if total else None

    @property
    def high(self) -> float | None:
        """95th percentile of the jumps in stops; None where nothing was compared."""
        total = int(self.counts.sum())
        if not total:
            return None
        return float(BINS[1 + np.searchsorted(np.cumsum(self.counts), 0.95 * total)])


def jumps_between(before: Glimpse, after: Glimpse) -> Array:
    """Return by how many stops light changes where both frames are recovered, edges left out: (n,).

    True changes of light are among them: a lamp that flickers is no fault of the method. Frames that show different
    things are not compared.
    """
    if before.light.shape != after.light.shape:
        return np.zeros(0, np.float32)
    shift, agreement = alignment(*(np.clip(glimpse.light, 0, 1) for glimpse in (after, before)))
    if not agreement:
        return np.zeros(0, np.float32)
    width = 2 * -(-BORDER // after.step) + 1
    inside = [
        extreme((g.matte > MATTE).astype(np.float32)[:, :, None], width, np.minimum)[:, :, 0] for g in (before, after)
    ]
    down, right = (round(part) for part in shift)
    height, across = after.light.shape
    now = np.s_[max(0, down) : height + min(0, down), max(0, right) : across + min(0, right)]
    then = np.s_[max(0, -down) : height + min(0, -down), max(0, -right) : across + min(0, -right)]
    both = (inside[1][now] > 0) & (inside[0][then] > 0)
    old, new = before.light[then][both], after.light[now][both]
    result: Array = np.log2(np.maximum(new, np.float32(2**-12)) / np.maximum(old, np.float32(2**-12)))
    return result
