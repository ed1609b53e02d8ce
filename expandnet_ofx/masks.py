"""Masks: numbers as they are stored, laid over a plate by their place in the picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from expandnet_ofx.images import ImagePlate
from expandnet_ofx.plates import Codes
from expandnet_ofx.settings import Settings


class PlacedMask:
    """A mask whose data window is another than that of its plate; beyond it nothing is kept."""

    def __init__(self, mask: ImagePlate, over: ImagePlate) -> None:
        self._mask = mask
        self._right, self._down = over.spec.x - mask.spec.x, over.spec.y - mask.spec.y
        self.path = mask.path
        self.width, self.height = over.width, over.height
        self.color: tuple[int, int, int] = (0, 0, 0)
        self.alpha: int | None = None
        self.encoding = mask.encoding
        self.window: tuple[int, int, int, int] = (0, 0, self.width, self.height)

    @property
    def held(self) -> int:
        """Bytes of pixels that are held in memory."""
        return self._mask.held

    @property
    def pixel_bytes(self) -> int:
        """Bytes of a pixel as it is read."""
        return self._mask.pixel_bytes

    def close(self) -> None:
        """Close the file."""
        self._mask.close()

    def rows(self, start: int, stop: int) -> Codes:
        """Return rows [start, stop) of the plate: (n, W, 1)."""
        first, last = max(start + self._down, 0), min(stop + self._down, self._mask.height)
        left, right = max(self._right, 0), min(self._right + self.width, self._mask.width)
        held = self._mask.rows(first, last)[:, left:right, :1] if first < last and left < right else None
        result: Codes = np.zeros((stop - start, self.width, 1), np.float32 if held is None else held.dtype)
        if held is not None:
            result[first - start - self._down :, left - self._right :][: len(held), : held.shape[1]] = held
        return result


Mask = ImagePlate | PlacedMask


def open_mask(path: Path | str, settings: Settings, *, over: ImagePlate | None = None) -> Mask:
    """Open a mask, not divided by alpha; raises what `open_image` does.

    Args:
        over: the plate that it belongs to. Where both show the same picture in data windows of their own, it is laid there.
    """
    mask = ImagePlate(Path(path), replace(settings, input_space="linear", linearized=None), as_stored=True)
    if over is None or mask.turned or over.turned or _picture(mask) != _picture(over):
        return mask
    places = [(one.spec.x, one.spec.y, one.width, one.height) for one in (mask, over)]
    return mask if places[0] == places[1] else PlacedMask(mask, over)


def _picture(plate: ImagePlate) -> tuple[int, ...]:
    """Return the display window: x, y, width, height."""
    spec = plate.spec
    return spec.full_x, spec.full_y, spec.full_width, spec.full_height
