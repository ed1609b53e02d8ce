"""What a frame looks like, small enough to keep, and where one shot ends and the next begins."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.arrays import cleaned
from expandnet_ofx.pixels import sum_of_channels

Array = NDArray[np.float32]

THUMBNAIL = 16
"""Edge of a thumbnail in pixels."""

BINS = 32
"""Bins of a histogram of codes."""

SURE_CUT = 0.8
"""Distance from which two neighbors belong to different shots, whatever happens around them."""

LIKELY_CUT = 0.35
"""Distance from which they do if it stands out."""

MARGIN = 3.0
"""How far above the median of its neighbors a likely cut stands: a whip pan is fast all the time."""

NEIGHBORS = 4
"""Distances on each side that a likely cut is compared with."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """A thumbnail and a histogram of a plate's codes."""

    thumbnail: bytes
    """16 x 16 codes of brightness."""
    histogram: bytes
    """32 shares of pixels, little-endian uint16 of 65535."""

    def to_dict(self) -> dict[str, str]:
        """Return plain data."""
        return {"thumbnail": self.thumbnail.hex(), "histogram": self.histogram.hex()}

    @classmethod
    def from_dict(cls, data: dict[str, str]) -> Look:
        """Read what `to_dict` wrote; raise `ValueError` if it is not that."""
        look = cls(thumbnail=bytes.fromhex(data["thumbnail"]), histogram=bytes.fromhex(data["histogram"]))
        if len(look.thumbnail) != THUMBNAIL**2 or len(look.histogram) != 2 * BINS:
            raise ValueError("a look of another size")
        return look


def look_at(proxy: Array) -> Look:
    """Return the look of a reduced plate (256, 256, 3), encoded, 1 = white."""
    codes = sum_of_channels(cleaned(proxy, 0, 1)) / np.float32(3)
    step = codes.shape[0] // THUMBNAIL
    small = codes.reshape(THUMBNAIL, step, THUMBNAIL, step).mean((1, 3))
    counts, _ = np.histogram(codes, BINS, (0, 1))
    return Look(
        thumbnail=np.rint(255 * small).astype(np.uint8).tobytes(),
        histogram=np.rint(65535 * counts / codes.size).astype("<u2").tobytes(),
    )


def distance(a: Look, b: Look) -> float:
    """Return how different two frames look: 0 for the same, about 1 for two unrelated pictures.

    One minus the correlation of their thumbnails, which a change of exposure leaves alone, plus the earth mover's
    distance of their histograms as a share of the scale, which a small move leaves alone.
    """
    x, y = (np.frombuffer(look.thumbnail, np.uint8).astype(np.float64) for look in (a, b))
    x, y = x - x.mean(), y - y.mean()
    # Two codes of noise, so that two flat frames are alike.
    floor = 4.0 * len(x)
    structure = 1 - (x @ y + floor) / np.sqrt((x @ x + floor) * (y @ y + floor))
    p, q = (np.frombuffer(look.histogram, "<u2").astype(np.float64) for look in (a, b))
    tone = np.abs(np.cumsum(p / max(p.sum(), 1) - q / max(q.sum(), 1))).sum() / BINS
    return float(structure + tone)


def find_cuts(looks: Sequence[Look]) -> list[int]:
    """Return the positions whose frame begins a new shot, the first frame's left out."""
    apart = np.array([distance(a, b) for a, b in itertools.pairwise(looks)])
    cuts = []
    for i, value in enumerate(apart):
        around = np.concatenate((apart[max(0, i - NEIGHBORS) : i], apart[i + 1 : i + 1 + NEIGHBORS]))
        stands_out = len(around) > 0 and value > MARGIN * max(float(np.median(around)), 1e-3)
        if value > SURE_CUT or (value > LIKELY_CUT and stands_out):
            cuts.append(i + 1)
    return cuts
