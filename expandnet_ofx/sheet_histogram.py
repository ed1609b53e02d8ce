"""The histogram on the preview sheet: pixels by stops of luminance, plate filled, result outlined."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

Color = tuple[int, int, int]

STOPS_SHOWN = 12
"""The histogram spans this many stops to either side of white."""
BINS_PER_STOP = 8
BIN_COUNT = 2 * STOPS_SHOWN * BINS_PER_STOP + 1
"""Bins are centered on multiples of 1/8 stop, so that white and its rounding errors fall into one; the two end bins
also hold everything beyond them."""
SMALLEST_SHARE = -5
"""Decimal exponent of the share of pixels at the foot of the histogram."""

PANEL: Color = (0x26, 0x26, 0x26)
PANEL_ABOVE_WHITE: Color = (0x2E, 0x2E, 0x2E)
GRID: Color = (0x3C, 0x3C, 0x3C)
TEXT: Color = (0xE4, 0xE4, 0xE4)
FAINT_TEXT: Color = (0xA6, 0xA6, 0xA6)
PLATE_FILL: Color = (0x78, 0x78, 0x78)
RESULT_LINE: Color = (0x56, 0xB4, 0xE9)
"""Sky blue of the palette of M. Okabe and K. Ito, "Color Universal Design" (2008)."""

LABEL_SIZE, TICK_SIZE = 16, 13
HEADING_BAND, PLOT_HEIGHT, TICK_BAND, SHARE_BAND = 33, 220, 24, 58


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Where the histogram stands, in pixels; its heading, ticks and shares stand outside, in the bands named above."""

    left: int
    right: int
    top: int

    @property
    def foot(self) -> int:
        """Lower edge, which is also the axis of stops."""
        return self.top + PLOT_HEIGHT

    def stop_x(self, stop: float) -> int:
        """Return the x of a stop."""
        half = 0.5 / BINS_PER_STOP
        share = (stop + STOPS_SHOWN + half) / (2 * (STOPS_SHOWN + half))
        return round(self.left + share * (self.right - self.left))

    def share_y(self, share: float) -> int:
        """Return the y of a share of pixels; a share below the axis that is not 0 still shows as a line."""
        if share <= 0:
            return self.foot
        return self.foot - max(2, round(PLOT_HEIGHT * (1 - math.log10(share) / SMALLEST_SHARE)))


def draw_histogram(
    draw: ImageDraw, panel: Panel, plate_stops: npt.NDArray[np.int64], light_stops: npt.NDArray[np.int64]
) -> None:
    """Draw the histogram with its axes and legend. Counts are (BIN_COUNT,) each; shares are of the plate's pixels."""
    pixels = max(1, int(plate_stops.sum()))
    plate, light = ([panel.share_y(n / pixels) for n in counts.tolist()] for counts in (plate_stops, light_stops))
    _draw_axes(draw, panel)
    _draw_bars(draw, panel, plate, light)
    _draw_legend(draw, panel)


def font(size: int) -> Any:
    """Return Pillow's own font: the same on every machine, but little beyond ASCII, hence the plain signs in labels."""
    from PIL import ImageFont

    return ImageFont.load_default(size=size)


def signed(stops: int) -> str:
    """Return stops as a label: with their sign, but 0 without."""
    return f"{stops:+d}" if stops else "0"


def _draw_axes(draw: ImageDraw, panel: Panel) -> None:
    left, right, top, foot, small = panel.left, panel.right, panel.top, panel.foot, font(TICK_SIZE)
    draw.rectangle((left, top, right, foot), fill=PANEL)
    draw.rectangle((panel.stop_x(0), top, right, foot), fill=PANEL_ABOVE_WHITE)
    for exponent in range(SMALLEST_SHARE, 1):
        y = panel.share_y(10.0**exponent) if exponent > SMALLEST_SHARE else foot
        draw.line((left, y, right, y), fill=GRID)
        draw.text((left - 8, y), f"{100 * 10.0**exponent:g}%", font=small, fill=FAINT_TEXT, anchor="rm")
    ends = {-STOPS_SHOWN: (f"<={-STOPS_SHOWN}", "ls"), STOPS_SHOWN: (f">={STOPS_SHOWN:+d}", "rs")}
    for stop in range(-STOPS_SHOWN, STOPS_SHOWN + 1, 2):
        x = panel.stop_x(stop)
        draw.line((x, top, x, foot + 4), fill=GRID)
        text, anchor = ends.get(stop, (signed(stop), "ms"))
        draw.text((x, foot + 20), text, font=small, fill=FAINT_TEXT, anchor=anchor)


def _draw_bars(draw: ImageDraw, panel: Panel, plate: list[int], light: list[int]) -> None:
    """Draw both counts; `plate` and `light` are the upper edges of the bins, from the darkest."""
    foot, white = panel.foot, panel.stop_x(0)
    edges = [panel.stop_x((i - 0.5) / BINS_PER_STOP - STOPS_SHOWN) for i in range(BIN_COUNT + 1)]
    for y, (x0, x1) in zip(plate, pairwise(edges), strict=True):
        if y < foot:
            draw.rectangle((x0, y, x1 - 1, foot), fill=PLATE_FILL)
    draw.line((white, panel.top, white, foot), fill=TEXT)
    for y, (x0, x1) in zip(light, pairwise(edges), strict=True):
        if y < foot:
            draw.line((x0, y, x1, y), fill=RESULT_LINE, width=2)
    for x, (y0, y1) in zip(edges, pairwise([foot, *light, foot]), strict=True):
        if y0 != y1:
            draw.line((x, y0, x, y1), fill=RESULT_LINE, width=2)


def _draw_legend(draw: ImageDraw, panel: Panel) -> None:
    baseline, small = panel.top - 14, font(TICK_SIZE)
    heading = (panel.left - SHARE_BAND, baseline)
    draw.text(heading, "pixels by stops of luminance", font=font(LABEL_SIZE), fill=TEXT, anchor="ls")
    draw.text((panel.stop_x(0), baseline), "white", font=small, fill=TEXT, anchor="ms")
    x = panel.right + 1
    styles: dict[str, dict[str, Any]] = {"result": {"outline": RESULT_LINE, "width": 2}, "plate": {"fill": PLATE_FILL}}
    for label, style in styles.items():
        x -= math.ceil(small.getlength(label))
        draw.text((x, baseline), label, font=small, fill=FAINT_TEXT, anchor="ls")
        box = (x - 26, baseline - 10, x - 8, baseline)
        draw.rectangle(box, **style)
        x -= 46
