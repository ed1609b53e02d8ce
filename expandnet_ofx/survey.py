"""First pass over a plate: what must be known of the whole before any pixel is rendered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.architecture import GLOBAL_SIZE
from expandnet_ofx.arrays import as_float, copied, count, namespace
from expandnet_ofx.engine import Engine
from expandnet_ofx.grade import LOWEST_CLIP
from expandnet_ofx.pixels import any_channel
from expandnet_ofx.plates import Codes, Plate, hidden, needed, take_color
from expandnet_ofx.recovered import WORKING_EDGE
from expandnet_ofx.reduction import Reduction
from expandnet_ofx.surround import evidence
from expandnet_ofx.tallies import BINS, Reach, histograms, peaks
from expandnet_ofx.transfer import full_scale

Array = NDArray[np.float32]

NARROW = 6
"""Bytes of a pixel of three channels of 16 bits; of wider ones fewer are in work at a time."""

ROWS_PIXELS = 1 << 20
"""Pixels of that size read at a time: large enough to amortize calls, small enough to stay out of the memory budget."""

LOOKED_PIXELS = 1 << 18
"""Pixels looked at at a time, by each thread: they and what is made of them take some 30 MB."""

EVIDENCE_SAMPLES = 2
"""Pixels per pixel of the working plate that the color of the surround is read from, along each axis, about."""

EVIDENCE_ROWS = 64
"""Rows of it at a time: evidence takes more room than the pixels it is taken from."""

WHITE_EXCESS = 1.1
"""Codes above this are light that the plate already holds; see `Survey.above_white`."""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What one pass over a plate gathers, before weights are involved; pixels without alpha are black to it."""

    width: int
    height: int
    proxy: Array
    """The plate as the network sees it, unstretched, reduced to (256, 256, 3)."""
    working: Array
    """The same with its aspect kept and its longest edge at most 384: (h, w, 3)."""
    surround: Array
    """What its pixels say of the color of light, same size, see `surround.evidence`: (h, w, 12), first of those below
    the lowest level that a plate may clip at, then of those between it and full scale."""
    peak: Array
    """Largest code, 1 = full scale, that reaches each proxy pixel: (256, 256, 3); +inf where alpha is 0, and where a code is
    NaN or infinite."""
    histograms: NDArray[np.int64]
    """Counts of codes per channel (3, bins), alpha 0 left out; the last bin holds full scale and above."""
    levels: int
    """Bins per unit of code: code 1.0 falls into bin `levels`."""
    low: float
    high: float
    """Smallest and largest value the network would see, over all channels of what is visible; 0 where nothing is."""
    nan: int
    infinite: int
    negative: int
    """Samples that are NaN, infinite, below 0; of a gray plate each counts once."""
    above_white: float
    """Visible pixels with a channel above 1.1, as a share of all pixels of the window."""


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """What a block of rows adds to a survey."""

    low: float
    high: float
    nan: int
    infinite: int
    negative: int
    above: int
    proxy: tuple[slice, Array]
    working: tuple[slice, Array]
    surround: list[tuple[slice, Array]]
    peak: tuple[slice, Array]
    histograms: NDArray[np.int64]


class Surveyor:
    """Accumulates a `Survey`: `look` at blocks of a plate's rows in any threads, `add` what they say."""

    def __init__(
        self, plate: Plate, dtype: np.dtype[Any], *, antialias: bool, white: float | None = None, wrap: bool = False
    ) -> None:
        x0, y0, x1, y1 = plate.window
        self._plate = plate
        self._levels = 255 if dtype == np.uint8 else BINS
        self._proxy = Reduction(y1 - y0, x1 - x0, GLOBAL_SIZE, GLOBAL_SIZE, antialias=antialias, wrap=wrap)
        shrink = min(1.0, WORKING_EDGE / max(y1 - y0, x1 - x0))
        height, width = (max(1, round(length * shrink)) for length in (y1 - y0, x1 - x0))
        self._working = Reduction(y1 - y0, x1 - x0, height, width, antialias=True, wrap=wrap)
        # Odd, so that the pixel that is read is the middle of those that it stands for, and no side is preferred.
        self._stride = max(y1 - y0, x1 - x0) // (2 * EVIDENCE_SAMPLES * WORKING_EDGE) * 2 + 1
        samples_y, samples_x = (len(range(self._middle(n), n, self._stride)) for n in (y1 - y0, x1 - x0))
        self._surround = Reduction(samples_y, samples_x, height, width, antialias=True, channels=12, wrap=wrap)
        whites = np.array([LOWEST_CLIP, 1], np.float32) * np.float32(1 if white is None else white)
        self._tops = plate.encoding.encode_for_network(whites[:, None].repeat(3, 1)).min(1).tolist()
        self._down, self._across = Reach(y1 - y0), Reach(x1 - x0, wrap=wrap)
        self._peak = np.full((GLOBAL_SIZE, GLOBAL_SIZE, 3), -np.inf, np.float32)
        self._histograms = np.zeros((3, self._levels + 1), np.int64)
        self._low, self._high = np.inf, -np.inf
        self._nan = self._infinite = self._negative = self._above = 0

    def look(self, y: int, codes: Codes) -> _Rows:
        """Return what rows (n, W, C) say that start at row `y` of the plate's window."""
        x0, _, x1, _ = self._plate.window
        codes = codes[:, x0:x1]
        color = take_color(codes, self._plate)
        xp, isfloat = namespace(color), full_scale(color.dtype) == 1
        # Every question asked of half floats would convert them again.
        color = as_float(color) if isfloat else color
        seen = self._plate.encoding.encode_for_network(color)
        unseen = hidden(codes, self._plate)
        floats = color if isfloat else color[:0]
        # The channels of a gray plate are one.
        samples = floats[..., : len(set(self._plate.color))]
        over = any_channel(floats > WHITE_EXCESS)
        low, high = seen, seen
        if unseen is not None:
            low, high = (xp.where(unseen[:, :, None], end, seen) for end in (np.inf, -np.inf))
            # What files keep under no alpha differs from one format to another, and nobody sees it.
            seen = xp.where(unseen[:, :, None], 0.0, seen)
            over = over & ~unseen[: len(over)]
        return _Rows(
            low=float(low.min()),
            high=float(high.max()),
            nan=count(xp.isnan(samples)),
            infinite=count(xp.isinf(samples)),
            negative=count(samples < 0),
            above=count(over),
            proxy=self._proxy.part(y, seen),
            working=self._working.part(y, seen),
            surround=self._evidence(y, seen, unseen),
            peak=peaks(y, color, unseen, self._down, self._across),
            histograms=histograms(color, unseen, self._levels),
        )

    def add(self, rows: _Rows) -> None:
        """Add what a block of rows says; each row of the window once."""
        self._low = min(self._low, rows.low)
        self._high = max(self._high, rows.high)
        self._nan += rows.nan
        self._infinite += rows.infinite
        self._negative += rows.negative
        self._above += rows.above
        self._histograms += rows.histograms
        self._proxy.add(rows.proxy)
        self._working.add(rows.working)
        for part in rows.surround:
            self._surround.add(part)
        at, cells = rows.peak
        self._peak[at] = np.maximum(self._peak[at], cells)

    def _middle(self, length: int) -> int:
        """Return the first pixel of an axis that evidence is read from."""
        return min(self._stride, length) // 2

    def _evidence(self, y: int, seen: Array, unseen: NDArray[np.bool_] | None) -> list[tuple[slice, Array]]:
        x0, y0, x1, y1 = self._plate.window
        parts, step, left = [], EVIDENCE_ROWS * self._stride, self._middle(x1 - x0)
        for first in range((self._middle(y1 - y0) - y) % self._stride, len(seen), step):
            part = np.s_[first : first + step : self._stride, left :: self._stride]
            said = evidence(copied(seen[part]), self._tops)
            if unseen is not None:
                said[unseen[part]] = 0
            parts.append(self._surround.part((y + first) // self._stride, said))
        return parts

    def finish(self) -> Survey:
        """Return the survey of the rows added."""
        x0, y0, x1, y1 = self._plate.window
        # A plate of which nothing is visible has none.
        low, high = (self._low, self._high) if self._low <= self._high else (0.0, 0.0)
        return Survey(
            width=self._plate.width,
            height=self._plate.height,
            proxy=self._proxy.result,
            working=self._working.result,
            surround=self._surround.result,
            peak=self._peak,
            histograms=self._histograms,
            levels=self._levels,
            low=low,
            high=high,
            nan=self._nan,
            infinite=self._infinite,
            negative=self._negative,
            above_white=self._above / ((x1 - x0) * (y1 - y0)),
        )


def pixels_read(pixel_bytes: int) -> int:
    """Return how many pixels a survey reads at a time, at least one row of them."""
    return ROWS_PIXELS * NARROW // max(NARROW, pixel_bytes)


def survey(
    plate: Plate,
    *,
    antialias: bool,
    white: float | None = None,
    wrap: bool = False,
    engine: Engine | None = None,
    beside: Callable[[Iterator[Callable[[], _Rows]]], Iterator[_Rows]] | None = None,
) -> Survey:
    """Read a plate once, by rows, and return its survey.

    Args:
        antialias: how the proxy is reduced, a part of the weights' contract.
        white: code that all channels clip at, as a share of full scale; None if it is still to be found.
        wrap: the plate continues beyond its sides: what reaches a proxy pixel there comes from the other side too.
        engine: what it looks at is brought to its device; None for the CPU.
        beside: makes the calls that look at blocks of rows, and gives their results in order; None for here, in turn.
    """
    _, y0, _, y1 = plate.window
    step, some = (max(1, pixels // plate.width) for pixels in (pixels_read(plate.pixel_bytes), LOOKED_PIXELS))
    surveyor: Surveyor | None = None

    def looks() -> Iterator[Callable[[], _Rows]]:
        nonlocal surveyor
        for start in range(y0, y1, step):
            codes = plate.rows(start, min(start + step, y1))
            surveyor = surveyor or Surveyor(plate, codes.dtype, antialias=antialias, white=white, wrap=wrap)
            held = codes if engine is None else engine.to_device(needed(codes, plate))
            size = some if namespace(held) is np else len(codes)
            for at in range(0, len(codes), size):
                yield partial(surveyor.look, start - y0 + at, held[at : at + size])

    made = (look() for look in looks()) if beside is None else beside(looks())
    for rows in made:
        assert surveyor is not None
        surveyor.add(rows)
    assert surveyor is not None
    return surveyor.finish()
