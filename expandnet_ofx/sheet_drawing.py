"""Drawing of the preview sheet: layout, exposures, false color.

title                                                    facts
plate            result, 0 stops       result, -2 stops
result, -4       result, -6 stops      stops above white, legend
histogram of stops, plate and result
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from expandnet_ofx.grade import LUMA
from expandnet_ofx.pixels import brightest_channel
from expandnet_ofx.sheet_histogram import (
    FAINT_TEXT,
    HEADING_BAND,
    LABEL_SIZE,
    PLOT_HEIGHT,
    SHARE_BAND,
    TEXT,
    TICK_BAND,
    TICK_SIZE,
    Color,
    Panel,
    draw_histogram,
    font,
    signed,
)
from expandnet_ofx.transfer import srgb_encode

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

FloatArray = npt.NDArray[np.floating[Any]]
ByteArray = npt.NDArray[np.uint8]

EXPOSURES = (0, -2, -4, -6)
"""Stops at which the result is shown."""

CLASS_COLORS: tuple[Color, ...] = (
    (0x46, 0x03, 0x9F),
    (0x72, 0x01, 0xA8),
    (0x9C, 0x17, 0x9E),
    (0xBD, 0x37, 0x86),
    (0xD8, 0x57, 0x6B),
    (0xED, 0x79, 0x53),
    (0xFB, 0x9F, 0x3A),
    (0xFD, 0xCA, 0x26),
    (0xF0, 0xF9, 0x21),
)
"""One color per stop above white, the last for 8 and more: `plasma` by S. van der Walt and N. Smith (matplotlib 1.5,
2015), sampled at 1/9, 2/9 ... 1. Its lightness rises steadily for normal and color-deficient sight alike."""
DIM = 0.3
"""Brightness of the plate where the result is not above white, as a share of its display code."""

BACKGROUND: Color = (0x1D, 0x1D, 0x1D)
MARGIN = 28
GAP = 20
TITLE_SIZE = 24
TITLE_BAND, LABEL_BAND, LEGEND_BAND = 48, 28, 44
SMALLEST_SLOT = 280
"""Narrowest column, in pixels: the legend's labels need it, however narrow the plate."""


@dataclass(frozen=True, kw_only=True)
class SheetContent:
    """What one sheet shows. Pictures are scene-linear Rec.709, 1.0 = plate white, already reduced to a cell."""

    title: str
    facts: str
    """One short line beside the title."""
    plate: FloatArray
    """(rows, columns, 3)."""
    light: FloatArray
    """(rows, columns, 3)."""
    plate_stops: npt.NDArray[np.int64]
    """(BIN_COUNT,) pixels of the plate by stops of luminance."""
    light_stops: npt.NDArray[np.int64]
    """(BIN_COUNT,) pixels of the result by stops of luminance."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where things stand on a sheet, in pixels, from the size of a cell."""

    rows: int
    columns: int

    @property
    def slot(self) -> int:
        """Width of one of the three columns."""
        return max(self.columns, SMALLEST_SLOT)

    @property
    def width(self) -> int:
        """Width of the sheet."""
        return 2 * MARGIN + 3 * self.slot + 2 * GAP

    @property
    def height(self) -> int:
        """Height of the sheet."""
        return self.plot_top + PLOT_HEIGHT + TICK_BAND + MARGIN

    @property
    def legend_top(self) -> int:
        """Upper edge of the false-color legend."""
        return self.cell(5)[1] + self.rows + 10

    @property
    def plot_top(self) -> int:
        """Upper edge of the histogram's panel."""
        return self.legend_top + LEGEND_BAND + GAP + HEADING_BAND

    @property
    def plot_left(self) -> int:
        """Left edge of the histogram's panel."""
        return MARGIN + SHARE_BAND

    @property
    def panel(self) -> Panel:
        """Where the histogram stands."""
        return Panel(left=self.plot_left, right=self.width - MARGIN - 1, top=self.plot_top)

    def cell(self, index: int) -> tuple[int, int]:
        """Return x, y of the upper left corner of cell 0 to 5, in reading order."""
        row, column = divmod(index, 3)
        y = MARGIN + TITLE_BAND + LABEL_BAND + row * (self.rows + GAP + LABEL_BAND)
        return MARGIN + column * (self.slot + GAP), y

    def stop_x(self, stop: float) -> int:
        """Return the x of a stop on the histogram's axis."""
        return self.panel.stop_x(stop)


def srgb_codes(linear: FloatArray) -> ByteArray:
    """Encode linear light for display: clip to 0 .. 1, apply the curve of IEC 61966-2-1:1999, 5.2, round to 8 bits."""
    return np.rint(255.0 * srgb_encode(np.clip(linear, 0.0, 1.0))).astype(np.uint8)


def false_color(plate: FloatArray, light: FloatArray) -> ByteArray:
    """Color each pixel by the stops of its brightest channel above white; the dimmed gray plate where there are none.

    The brightest channel, not luminance: what has the color of k stops or more is then what still clips k stops down.
    Class k holds 2^k <= light < 2^(k+1), class 0 starts just above 1.0, the last has no end. (rows, columns, 3) both.
    """
    brightest = brightest_channel(light)
    classes = np.digitize(brightest, 2.0 ** np.arange(1, len(CLASS_COLORS)))
    gray = srgb_codes(luminance(plate)) * DIM
    colors = np.asarray(CLASS_COLORS, np.float64)[classes]
    return np.rint(np.where((brightest > 1.0)[..., None], colors, gray[..., None])).astype(np.uint8)


def luminance(linear: FloatArray) -> FloatArray:
    """Return the luminance of linear Rec.709 (..., 3)."""
    red, green, blue = LUMA.tolist()
    weighted: FloatArray = red * linear[..., 0] + green * linear[..., 1] + blue * linear[..., 2]
    return weighted


def draw_sheet(content: SheetContent) -> ByteArray:
    """Draw a sheet. Returns (height, width, 3) sRGB codes."""
    from PIL import Image, ImageDraw

    layout = Layout(rows=content.plate.shape[0], columns=content.plate.shape[1])
    image = Image.new("RGB", (layout.width, layout.height), BACKGROUND)
    draw = ImageDraw.Draw(image)
    _draw_title(draw, layout, content)
    cells = [("plate", srgb_codes(content.plate))]
    for stops in EXPOSURES:
        cells.append((f"result, {signed(stops)} stops", srgb_codes(content.light * 2.0**stops)))
    cells.append(("stops above white, brightest channel", false_color(content.plate, content.light)))
    for index, (label, codes) in enumerate(cells):
        x, y = layout.cell(index)
        draw.text((x, y - 9), label, font=font(LABEL_SIZE), fill=TEXT, anchor="ls")
        image.paste(Image.fromarray(codes), (x, y))
    _draw_class_legend(draw, layout)
    draw_histogram(draw, layout.panel, content.plate_stops, content.light_stops)
    return np.asarray(image)


def _draw_title(draw: ImageDraw, layout: Layout, content: SheetContent) -> None:
    right, baseline = layout.width - MARGIN, MARGIN + TITLE_SIZE
    small, large = font(LABEL_SIZE), font(TITLE_SIZE)
    draw.text((right, baseline), content.facts, font=small, fill=FAINT_TEXT, anchor="rs")
    room = right - MARGIN - small.getlength(content.facts) - 2 * GAP
    title = "".join(letter if letter.isprintable() else " " for letter in content.title)
    kept = min(len(title), 512)
    shown = title
    while kept > 2 and (len(shown) > 512 or large.getlength(shown) > room):
        kept -= 1
        # The middle goes: the head names the shot, the tail holds the frame number.
        shown = title[: kept - kept // 2] + "..." + title[-(kept // 2) :]
    draw.text((MARGIN, baseline), shown, font=large, fill=TEXT, anchor="ls")


def _draw_class_legend(draw: ImageDraw, layout: Layout) -> None:
    dim = round(255 * DIM)
    last = len(CLASS_COLORS) - 1
    labels = ["<=0", *(f"{k}-{k + 1}" for k in range(last)), f"{last}+"]
    left, top = layout.cell(5)[0], layout.legend_top
    edges = [left + round(i * layout.slot / len(labels)) for i in range(len(labels) + 1)]
    for label, color, (x0, x1) in zip(labels, [(dim, dim, dim), *CLASS_COLORS], pairwise(edges), strict=True):
        draw.rectangle((x0, top, x1 - 2, top + 15), fill=color)
        draw.text(((x0 + x1 - 2) / 2, top + 32), label, font=font(TICK_SIZE), fill=FAINT_TEXT, anchor="ms")
