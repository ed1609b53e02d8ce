"""What is written of a part, piece by piece: light with its alpha, channels that are carried over, the matte."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.arrays import beside, namespace, to_half, to_host
from expandnet_ofx.bands import Band
from expandnet_ofx.images import ImagePlate
from expandnet_ofx.output_options import OutputOptions
from expandnet_ofx.plates import LEAST_ALPHA, Plate
from expandnet_ofx.sources import carried_channels
from expandnet_ofx.transfer import HALF_MAX, full_scale

Array = NDArray[np.float32]


def passed_on(plate: Plate, options: OutputOptions) -> Iterator[tuple[int, Array]]:
    """Yield first row and channels (n, W, C) of a part without color, as the plate has them."""
    carried, step = carried_channels(plate, options), max(1, (1 << 20) // plate.width)
    for start in range(0, plate.height, step):
        codes = plate.rows(start, min(start + step, plate.height))
        yield start, _normalized(codes, carried)


def columns(plate: Plate, band: Band, options: OutputOptions, *, halves: bool) -> NDArray[Any]:
    """Return what is written of a band (n, W, C), in memory of the host; half floats leave a device as such."""
    carried = carried_channels(plate, options)
    made: list[Any] = [band.light]
    if carried:
        extra = _normalized(band.codes, carried)
        if plate.alpha is not None:
            glows = isinstance(plate, ImagePlate) and plate.associated
            made = [_associate(band.light, beside(band.light, extra[:, :, :1]), glows=glows)]
        made.append(extra)
    if options.matte_channels:
        made.append(band.matte)
    if halves and namespace(band.light) is not np:
        # Half as much to bring; on the CPU the writer does it.
        made = [to_half(column) for column in made]
    made = [to_host(column) for column in made]
    return np.concatenate(made, 2) if len(made) > 1 else np.asarray(made[0])


def _associate(light: Array, cover: Array, *, glows: bool) -> Array:
    """Multiply light by alpha (n, W, 1); light without cover, as flames have, stays where the source divided none."""
    xp = namespace(light)
    cover = xp.nan_to_num(cover, nan=0.0, posinf=1.0, neginf=0.0)
    if glows:
        cover = xp.where(cover >= LEAST_ALPHA, cover, 1.0)
    result: Array = xp.clip(light * cover, -HALF_MAX, HALF_MAX)
    return result


def _normalized(codes: NDArray[Any], channels: Sequence[int] | range) -> Array:
    picked = codes[:, :, list(channels)]
    scale = full_scale(codes.dtype)
    # Floats pass on as they are: arithmetic would touch the bits of what is no number.
    return picked.astype(np.float32, copy=False) if scale == 1 else picked.astype(np.float32) / np.float32(scale)
