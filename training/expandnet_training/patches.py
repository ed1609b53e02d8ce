"""Pictures of no scene: flat primaries, text, slates and white pages, which hold no light that could be recovered."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Method = Callable[[NDArray[np.uint8]], Array]

SIZE = (270, 480)

COLORS = {
    "white": (255, 255, 255), "red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255),
    "cyan": (0, 255, 255), "magenta": (255, 0, 255), "yellow": (255, 255, 0),
}  # fmt: skip

MOST = 2.0
"""Stops above white that a patch may come out at: 4 times white."""


def patches() -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield names and plates (270, 480, 3)."""
    height, width = SIZE
    for name, color in COLORS.items():
        plate = np.full((height, width, 3), 60, np.uint8)
        plate[70:200, 140:340] = color
        yield f"{name} field", plate
    bars = np.zeros((height, width, 3), np.uint8)
    for number, color in enumerate(COLORS.values()):
        bars[:, number * width // 7 : (number + 1) * width // 7] = color
    yield "color bars", bars
    yield "white page", np.full((height, width, 3), 255, np.uint8)
    page = np.full((height, width, 3), 255, np.uint8)
    page[_lettering()] = 0
    yield "black text on white", page
    for name, ground in (("black", 0), ("gray", 110)):
        title = np.full((height, width, 3), ground, np.uint8)
        title[_lettering()] = 255
        yield f"white text on {name}", title
    slate = np.full((height, width, 3), 25, np.uint8)
    slate[30:90, 40:440] = 255
    slate[120:124, 40:440] = 255
    yield "slate", slate


def _lettering() -> NDArray[np.bool_]:
    """Return lines of letters of three sizes, drawn as strokes of a font does: (270, 480)."""
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.new("L", (SIZE[1], SIZE[0]), 0)
    canvas = ImageDraw.Draw(picture)
    top = 12
    for size in (11, 22, 44):
        font = ImageFont.load_default(size)
        for words in ("SHOT 1010 TAKE 3", "0123456789 HMIW"):
            canvas.text((20, top), words, fill=255, font=font)
            top += round(1.4 * size)
    found: NDArray[np.bool_] = np.asarray(picture) > 127
    return found


def lifts(method: Method) -> dict[str, float]:
    """Return the brightest light that a method makes of each patch, in stops above white."""
    return {name: float(np.log2(max(float(method(plate).max()), 2**-12))) for name, plate in patches()}
