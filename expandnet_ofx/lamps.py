"""Suns and lamps: small sources that clip in all channels, lifted by hand.

A plate says that such a source is brighter than white, and nothing about how much: a lamp by 4 stops, the sun by 14. The
gain is the artist's. What is too wide to be one (a sky, a window, a wall) is told on the reduced plate and left alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.arrays import namespace
from expandnet_ofx.maps import PlateMap, as_half, extreme, gaussian, low_pass_whole
from expandnet_ofx.pixels import darkest_channel

Array = NDArray[np.float32]

BROAD = 1 / 16
"""Share of the plate's longer edge from which an area is too wide for a source, in its narrowest direction."""

CLIPPED = 0.9
"""Matte from which a pixel of the reduced plate counts as clipped."""


class BroadAreas(PlateMap):
    """(h, w, 1): 1 over clipped areas that are too wide for a sun or a lamp, and just beyond their edges; else 0."""


def broad_areas(matte: Array, *, wrap: bool) -> BroadAreas:
    """Find the whole of each clipped area that holds a square of `BROAD` (opening by reconstruction: Vincent 1993).

    Args:
        matte: pointwise matte (h, w, 3) of the reduced plate.
        wrap: the left edge continues the right one.
    """
    width = matte.shape[1]
    more = width // 4 if wrap else 0
    full: Any = np.pad(darkest_channel(matte)[:, :, None] > CLIPPED, ((0, 0), (more, more), (0, 0)), mode="wrap")
    square = max(3, round(BROAD * max(matte.shape[:2])) // 2 * 2 + 1)
    wide = extreme(full, square, np.minimum)
    grown = np.zeros_like(wide)
    while not np.array_equal(grown, wide):
        grown, wide = wide, extreme(wide, 3, np.maximum) & full
    # Edge pixels clip in part and belong to their area.
    soft = extreme(wide.astype(np.float32), 7, np.maximum)
    soft = low_pass_whole(soft, gaussian(0.8, 2), wrap=False)
    return BroadAreas(as_half(soft[:, more : more + width]))


def lift_lamps(log_light: Array, matte: Array, broad: Array, stops: float) -> Array:
    """Lift sources by a gain in stops, as far as a pixel clips in all channels and lies in no broad area.

    Args:
        log_light: log2 of recovered light, (..., 3).
        matte: as the merge takes it, same shape.
        broad: values of `BroadAreas` at these pixels, (..., 1).
        stops: gain.
    """
    small = namespace(broad).clip(1 - broad, 0, 1)
    result: Array = log_light + stops * darkest_channel(matte)[..., None] * small
    return result
