"""How many values of a plate lie just below white, per stop: what that tells of light above. Numpy or torch.

Where values thin out towards white, the few that clip lie far above it, a lamp or a window; where they crowd, most of what
clips is hardly brighter than white, a cloud or a wall. The network made no use of that until it was told; see
`training/EXPERIMENTS.md`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from expandnet_ofx.transfer import srgb_decode, srgb_encode

CLIPPED = 0.98
"""Code, 1 = white, from which a value of the reduced plate counts as clipped."""

BELOW = (0.15, 0.4, 1.0, 2.5)
"""Stops below it where the intervals end that values are counted in, each from the one before."""

RAMP = 0.02
"""Width in code that a value passes from one interval to the next over, so that noise moves no counts."""

FLOOR = 1e-3
"""Share, or share per stop, below which counts say nothing."""

SIZE = 3 * (1 + len(BELOW))
"""Numbers of a tail."""

_LIGHT = np.exp2(-np.array((0.0, *BELOW))) * float(srgb_decode(np.array(CLIPPED, np.float32)))
_EDGES = tuple(float(edge) for edge in srgb_encode(_LIGHT.astype(np.float32)))
_WIDTHS = tuple(float(width) for width in np.diff((0.0, *BELOW)))


def tail(seen: Any, xp: Any) -> Any:
    """Return logarithms of the share that clips and of the shares per stop below it, of order 1: (N, 15).

    First of each pixel's darkest channel, then of all its channels, then of its brightest one.

    Args:
        seen: reduced plates as the network sees them, codes in [0, 1], 1 = white: (N, 3, pixels).
        xp: numpy or torch.
    """
    counted = []
    for values in (xp.amin(seen, 1), seen.reshape(len(seen), -1), xp.amax(seen, 1)):
        above = [xp.clip((values - edge) / RAMP + 0.5, 0, 1).mean(1) for edge in _EDGES]
        counted.append(above[0])
        counted.extend(
            (more - fewer) / width for fewer, more, width in zip(above[:-1], above[1:], _WIDTHS, strict=True)
        )
    return (xp.log2(xp.stack(counted, 1) + FLOOR) + 5) / 5
