"""Light of wide clipped areas, from the plate at a reduced size.

Inside a clipped area wider than the network's receptive field the full-size prediction sees white all around and comes
out flat, with a rim where the field still reaches the edge. On a reduced plate the same area is small enough to be seen
whole. The light found there is kept as a small map; `sample` lays it over the full-size prediction where areas are wide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.arrays import as_float, namespace, zeros
from expandnet_ofx.maps import (
    PlateMap,
    as_half,
    enlarge,
    extreme,
    framed,
    gaussian,
    halve,
    low_pass,
    low_pass_whole,
    running,
)
from expandnet_ofx.pixels import darkest_channel

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

WORKING_EDGE = 384
"""Longest edge of the reduced plate in pixels."""

SMALLEST_LEVEL = 24
"""Shortest edge of a pyramid level in pixels: the receptive field covers it."""

SEEN_WIDTH = 9
"""Width in pixels from which a clipped area counts as wide.

The receptive field of 17 pixels sees out of slightly wider ones, but from 10 on its rim shows as a ring (measured on
generated discs: none falls by more than 0.02 stops with 9, some by 0.1 with 11 and by 0.2 with 13).
"""

CLIPPED = np.float32(0.8)
"""Matte in all channels from which a pixel of the reduced plate begins to count as clipped."""

SMOOTHING = 1.5
"""Sigma in pixels of the low-pass along recovered log light; see `smooth_log_light`."""

SMOOTHING_RADIUS = 4
"""Reach of that low-pass in pixels."""

ALONE = 1 - 1e-6
"""Share from which the light of wide areas has the only say, so that the network is not asked: 1 but for rounding."""

TAPS = 4
"""Pixels of a map along each axis that a place reads of it: those of a cubic B-spline."""

MOVING = 2
"""Pixels on each side that a map is read from where it is moved onto another frame."""

FLOOR = 2**-20
"""Smallest predicted light, so that its logarithm exists."""


class RecoveredLight(PlateMap):
    """(h, w, 4): log2 of predicted light per channel, and how far the map replaces the full-size prediction, 0 to 1.

    Where no pixel reads the map it holds the plate's own light.
    """


def smooth_log_light(log_light: Array, matte: Array) -> Array:
    """Low-pass log light within the matte, so that single predictions make no speckle and no rim; smaller by the reach.

    Normalized convolution (Knutsson and Westin, CVPR 1993): the light of pixels outside the matte has no say.

    Args:
        log_light: (H + 8, W + 8, 3) log2 of predicted light.
        matte: pointwise matte of the same shape.
    """
    weights = gaussian(SMOOTHING, SMOOTHING_RADIUS)
    certainty = low_pass(matte, weights)
    light = low_pass(log_light * matte, weights)
    xp = namespace(light)
    if xp is np:
        return np.divide(light, certainty, out=np.zeros_like(light), where=certainty > 0)
    mean: Array = xp.where(certainty > 0, light / certainty, 0.0)
    return mean


def laid_over(log_light: Array, wide: Array, anchor: float) -> Array:
    """Return predicted light with that of wide areas laid over it.

    Args:
        log_light: log2 of anchored predicted light, (..., 3).
        wide: values of a `RecoveredLight` at these pixels, (..., 4).
        anchor: stops that put its light on the plate.
    """
    anchored, share = wide[..., :3] + anchor, wide[..., 3:]
    mixed = as_float(log_light + share * (anchored - log_light))
    result: Array = namespace(wide).where(share < ALONE, mixed, anchored)
    return result


def heard(wide: Array) -> NDArray[np.bool_]:
    """Return where predicted light has a say in `laid_over` after its low-pass: (H + 8, W + 8).

    Args:
        wide: values of a `RecoveredLight`, (H, W, 4).
    """
    xp, reach = namespace(wide), 2 * SMOOTHING_RADIUS
    height, width = wide.shape[:2]
    share = zeros(wide, (height + 2 * reach, width + 2 * reach, 1))
    share[reach:-reach, reach:-reach] = as_float(wide[:, :, 3:] < ALONE)
    result: NDArray[np.bool_] = running(share, reach + 1, xp.maximum)[:, :, 0] > 0
    return result


def wide_areas(matte: Array, width: int, *, grow: int = 2) -> Array:
    """Return where all channels are clipped over a square of `width` pixels, grown by `grow` and softened: (H, W, 1)."""
    # Gray, not black and white: an edge that moves by a part of a pixel moves the result by as much.
    full = np.clip((darkest_channel(matte)[:, :, None] - CLIPPED) / (1 - CLIPPED), 0, 1).astype(np.float32)
    opened = extreme(extreme(full, width, np.minimum), width + 2 * grow, np.maximum)
    return low_pass_whole(opened, gaussian(1.2, 3), wrap=False)


@dataclass(frozen=True, eq=False)
class Level:
    """A level of the pyramid."""

    seen: Array
    """The plate at this size: (h, w, 3) in [0, 1]."""
    matte: Array
    unseen: Array
    """How far it leaves a pixel to the coarser level: (h, w, 1) in [0, 1]."""
    asked: Mask
    """Where its own light can reach the map, so that the network is asked: (h, w)."""


@dataclass(frozen=True, eq=False)
class Pyramid:
    """A reduced plate with wide clipped areas, at ever coarser sizes."""

    levels: list[Level]
    """From coarse to fine."""
    wide: Array
    """How far the map replaces the full-size prediction: (h, w, 1) in [0, 1]."""


def pyramid(seen: Array, matte_of: Callable[[Array], Array], *, reduction: float) -> Pyramid | None:
    """Return the sizes that light is looked for at; None where no clipped area is wide.

    Args:
        seen: reduced plate as the network sees it, (h, w, 3) in [0, 1].
        matte_of: pointwise matte of such a plate.
        reduction: plate pixels per pixel of `seen`, 1 or more.
    """
    wide = wide_areas(matte_of(seen), max(3, round(SEEN_WIDTH / reduction) // 2 * 2 + 1))
    return Pyramid(_levels(seen, matte_of, wide[:, :, 0] > 0), wide) if wide.any() else None


def recover(sizes: Pyramid, predicted: Iterable[Array]) -> RecoveredLight:
    """Find the light of wide clipped areas.

    From coarse to fine, each level keeps its own prediction where it sees past the clipped area, and takes the coarser
    level's where it does not.

    Args:
        sizes: the reduced plate.
        predicted: the network's light of each (h, w, 3), border included, where it is asked, and elsewhere the plate's own
            light in its units.
    """
    found: Array | None = None
    for level, light in zip(sizes.levels, predicted, strict=True):
        own = np.log2(np.maximum(light, FLOOR))
        # A trace of weight everywhere: beyond a clipped area the map continues with the light of what lies there.
        weight = np.maximum(level.matte, np.float32(1e-3))
        own = smooth_log_light(framed(own, SMOOTHING_RADIUS), framed(weight, SMOOTHING_RADIUS))
        if found is not None:
            coarser = enlarge(found, own.shape[0], own.shape[1])
            own = laid_over(own, np.concatenate((coarser, level.unseen), 2), 0.0)
        found = own
    assert found is not None
    return RecoveredLight(as_half(np.concatenate((found, sizes.wide), 2)))


def _levels(seen: Array, matte_of: Callable[[Array], Array], heard: Mask) -> list[Level]:
    """Return the levels, coarse to fine; few of their pixels are ever heard of, and the network is asked for no others.

    Args:
        seen, matte_of: see `pyramid`.
        heard: where the map has a say, (h, w).
    """
    levels: list[Level] = []
    # Who hears of one pixel of the map reads three more, and in a shot what moves it between pixels (`swing.moved`) two.
    needed = _grown(heard, TAPS - 1 + MOVING)
    while True:
        matte, last = matte_of(seen), min(seen.shape[:2]) < 2 * SMALLEST_LEVEL
        unseen = np.zeros_like(matte[:, :, :1]) if last else wide_areas(matte, SEEN_WIDTH)
        asked = _grown(needed & (unseen[:, :, 0] < ALONE), SMOOTHING_RADIUS)
        levels.insert(0, Level(seen, matte, unseen, asked))
        if last:
            return levels
        coarser = halve(seen)
        needed = _grown(_reduced(needed & (unseen[:, :, 0] > 0), coarser.shape[:2]), TAPS // 2)
        seen = coarser


def _grown(mask: Mask, by: int) -> Mask:
    """Return a mask (h, w) grown by so many pixels on all sides."""
    return extreme(as_float(mask[:, :, None]), 2 * by + 1, np.maximum)[:, :, 0] > 0


def _reduced(mask: Mask, shape: tuple[int, ...]) -> Mask:
    """Return the pixels of a coarser level in which those of a mask lie, as `enlarge` lays the one over the other."""
    result = np.zeros(shape, np.bool_)
    rows, columns = (
        (2 * at + 1) * coarse // (2 * fine) for at, fine, coarse in zip(mask.nonzero(), mask.shape, shape, strict=True)
    )
    result[rows, columns] = True
    return result
