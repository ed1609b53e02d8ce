"""Preview sheets: one PNG that shows what became of a plate, built while its rows stream past."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from expandnet_ofx.errors import OutputError
from expandnet_ofx.partials import flush, new_file
from expandnet_ofx.pixels import brightest_channel
from expandnet_ofx.sheet_drawing import SheetContent, draw_sheet, luminance
from expandnet_ofx.sheet_histogram import BIN_COUNT, BINS_PER_STOP, STOPS_SHOWN

FloatArray = npt.NDArray[np.floating[Any]]

LARGEST_MAGNIFICATION = 4
"""Plates smaller than a cell are repeated this often at most, in each direction."""
THINNEST_SIDE = 24
"""Pixels of a cell's shorter side below which an extremely long plate is shown wider than it is, to be seen at all."""
PROVENANCE = "expandnet/provenance-sha256"
"""Text in a sheet that names the result it shows."""
_PIXELS_AT_ONCE = 1 << 20


def cell_size(width: int, height: int, *, limit: int) -> tuple[int, int]:
    """Return the columns and rows of a cell that shows a plate of `width` x `height` pixels.

    The cell has the plate's aspect to the pixel, fits into a square of `limit` pixels, and magnifies by whole numbers.
    Only where that would leave a side under `THINNEST_SIDE` pixels is that side made longer, up to
    `LARGEST_MAGNIFICATION`.
    """
    longest = max(width, height)
    if longest <= limit:
        factor = min(LARGEST_MAGNIFICATION, limit // longest)
        scaled = [width * factor, height * factor]
    else:
        scaled = [max(1, round(side * limit / longest)) for side in (width, height)]
        thinnest = min(THINNEST_SIDE, limit)
        for i, side in enumerate((width, height)):
            if scaled[i] < thinnest:
                scaled[i] = thinnest if side >= thinnest else side * min(LARGEST_MAGNIFICATION, thinnest // side)
    return scaled[0], scaled[1]


def count_stops(linear: FloatArray) -> npt.NDArray[np.int64]:
    """Count pixels by log2 of their Rec.709 luminance.

    `linear` is (..., 3); black and negative luminance fall into the lowest bin. Returns (BIN_COUNT,) counts whose sum
    is the number of pixels; bin i is centered on i / BINS_PER_STOP - STOPS_SHOWN stops.
    """
    positive = np.maximum(luminance(linear), 2.0 ** -(STOPS_SHOWN + 1))
    stops = np.clip(np.log2(positive), -STOPS_SHOWN, STOPS_SHOWN)
    bins = np.rint((stops + STOPS_SHOWN) * BINS_PER_STOP).astype(np.int64)
    return np.bincount(bins.ravel(), minlength=BIN_COUNT)


class AreaAverage:
    """Averages a picture over the area of each cell pixel while its rows stream past; holds one row of it and the cell.

    On a ruler of `size * cells` steps a source pixel is `cells` steps long and a cell pixel `size`, so that every
    overlap is a whole number, weights sum without rounding, and a constant picture keeps its value. Rows enter one by
    one, in order: the sums do not depend on the bands they came in.
    """

    def __init__(self, width: int, height: int, *, columns: int, rows: int) -> None:
        self.cells = np.zeros((rows, columns, 3), np.float64)
        """(rows, columns, 3) averages, complete once the last row was added."""
        edges = np.union1d(np.arange(width + 1) * columns, np.arange(columns) * width)
        self._lengths = np.diff(edges)[:, None].astype(np.float64)
        self._sources = edges[:-1] // columns
        self._starts = np.searchsorted(edges, np.arange(columns) * width)
        self._height = height
        self._area = float(width * height)
        self._open = np.zeros((width, 3), np.float64)

    def add_row(self, y: int, row: FloatArray) -> None:
        """Add row `y`, (width, 3); rows come in order, each once."""
        rows = len(self.cells)
        here, end = y * rows, (y + 1) * rows
        while here < end:
            cell = here // self._height
            cell_end = (cell + 1) * self._height
            stop = min(end, cell_end)
            self._open += row.astype(np.float64) * (stop - here)
            if stop == cell_end:
                sums = np.add.reduceat(self._open[self._sources] * self._lengths, self._starts, axis=0)
                self.cells[cell] = sums / self._area
                self._open[:] = 0.0
            here = stop


class SheetBuilder:
    """Builds the preview sheet of one plate and its result from bands of rows; memory does not grow with their number.

    `width` and `height` are the plate's pixels; `title` is the sheet's headline, usually the file name; a cell fits
    into `cell_width` pixels both ways. Raises ValueError on sizes below 1.
    """

    def __init__(self, width: int, height: int, *, title: str, cell_width: int = 480) -> None:
        if min(width, height, cell_width) < 1:
            raise ValueError(f"sheet of {width} x {height} in cells of {cell_width}: every size must be 1 or more")
        self._width, self._height, self._title = width, height, title
        columns, rows = cell_size(width, height, limit=cell_width)
        self._plate = AreaAverage(width, height, columns=columns, rows=rows)
        self._light = AreaAverage(width, height, columns=columns, rows=rows)
        self._plate_stops = np.zeros(BIN_COUNT, np.int64)
        self._light_stops = np.zeros(BIN_COUNT, np.int64)
        self._peak, self._above_white, self._next_row = 0.0, 0, 0

    def add(self, y: int, plate: FloatArray, light: FloatArray) -> None:
        """Add rows `y`, `y + 1` ... of the linearized plate and of the result.

        Both are (n, width, 3) scene-linear Rec.709, 1.0 = plate white, without NaN. Bands come in order and without
        gaps, in any heights. Raises ValueError for another shape or place.
        """
        if plate.shape != light.shape or plate.ndim != 3 or plate.shape[1:] != (self._width, 3):
            raise ValueError(f"band of {plate.shape} and {light.shape}: both must be (n, {self._width}, 3)")
        if y != self._next_row or y + len(plate) > self._height:
            raise ValueError(
                f"{len(plate)} rows from row {y}: row {self._next_row} of {self._height} comes next, add bands in order"
            )
        step = max(1, _PIXELS_AT_ONCE // self._width)
        for start in range(0, len(plate), step):
            self._count(plate[start : start + step], light[start : start + step])
        for offset in range(len(plate)):
            self._plate.add_row(y + offset, plate[offset])
            self._light.add_row(y + offset, light[offset])
        self._next_row = y + len(plate)

    def _count(self, plate: FloatArray, light: FloatArray) -> None:
        self._plate_stops += count_stops(plate)
        self._light_stops += count_stops(light)
        brightest = brightest_channel(light)
        self._peak = max(self._peak, float(brightest.max()))
        self._above_white += int(np.count_nonzero(brightest > 1.0))

    def image(self) -> npt.NDArray[np.uint8]:
        """Return the sheet, (rows, columns, 3) sRGB codes. Raises ValueError while rows are missing."""
        if self._next_row != self._height:
            raise ValueError(f"sheet has {self._next_row} of {self._height} rows: add the rest first")
        content = SheetContent(
            title=self._title,
            facts=self._facts(),
            plate=self._plate.cells,
            light=self._light.cells,
            plate_stops=self._plate_stops,
            light_stops=self._light_stops,
        )
        return draw_sheet(content)

    def _facts(self) -> str:
        share = 100.0 * self._above_white / (self._width * self._height)
        shown = "under 0.01" if 0 < share < 0.01 else f"{share:.2f}"
        peak = f"peak {math.log2(self._peak):+.1f} stops" if self._peak > 0 else "black"
        return f"{self._width} x {self._height}   {shown}% above white   {peak}"

    def save(self, path: str | os.PathLike[str], *, provenance: str | None = None) -> None:
        """Write the sheet; see `saved`."""
        with self.saved(path, provenance=provenance):
            pass

    @contextmanager
    def saved(self, path: str | os.PathLike[str], *, provenance: str | None = None) -> Iterator[None]:
        """Write the sheet as an sRGB PNG, which gets its name when the block is left well; equal sheets give equal bytes.

        `provenance` says which result it shows; `shows` compares it.
        Raises OutputError when it cannot be written, ValueError while rows are missing.
        """
        from PIL import Image, PngImagePlugin

        target = Path(path)
        info = PngImagePlugin.PngInfo()
        info.add(b"sRGB", b"\x00")  # perceptual intent: PNG, third edition (W3C, 2025), 11.3.2.5
        if provenance is not None:
            info.add_text(PROVENANCE, _digest(provenance))
        image = Image.fromarray(self.image())
        try:
            with new_file(target) as partial:
                image.save(partial, format="PNG", pnginfo=info)
                # What may fail for want of space has not, before other files get their names in the block.
                flush(partial)
                yield
        except OSError as error:
            reason = error.strerror or str(error)
            raise OutputError(
                f"{target}: cannot write the preview ({reason}); check the folder and its space"
            ) from error


def shows(path: Path, provenance: str) -> bool:
    """Tell whether a file is the complete sheet of the result of this provenance."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.load()
            return image.info.get(PROVENANCE) == _digest(provenance)
    except (OSError, SyntaxError, ValueError):
        return False


def _digest(provenance: str) -> str:
    return hashlib.sha256(provenance.encode()).hexdigest()
