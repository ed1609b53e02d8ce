"""How many frames of a batch are expanded side by side.

At the end of a frame some workers have no tile left; those of the next frame keep them busy. Small frames have fewer tiles
than a large machine has workers.
"""

from __future__ import annotations

from expandnet_ofx.convert import Converter
from expandnet_ofx.expander import FIXED_BYTES, band_bytes
from expandnet_ofx.sources import Prepared
from expandnet_ofx.workers import MOST_BESIDE


def most_expanded(converter: Converter) -> int:
    """Return the number of frames at most: one on a device, which it keeps busy, and one for relative output, whose render
    for the range cannot be interrupted."""
    engine = converter.expander.engine
    alone = engine.device != "cpu" or converter.expander.settings.relative
    return 1 if alone else min(MOST_BESIDE, engine.workers)


def share_of(prepared: Prepared, converter: Converter) -> float:
    """Return which share of all that may be in work one frame takes: of the workers, with one frame more than they need,
    or of the memory, if that is more."""
    expander, plate = converter.expander, prepared.main.plate
    plan = expander.plan((0, 0, plate.width, plate.height), plate.pixel_bytes)
    rows = min(plate.height, plan.rows_in_work(expander.engine.workers) * len(plan.rows[0]))
    taken = rows * plate.width * band_bytes(plate.pixel_bytes) + prepared.held
    tiles = plan.tiles / (2 * (plan.tiles + expander.engine.workers))
    return max(tiles, taken / max(1, expander.settings.memory - FIXED_BYTES))
