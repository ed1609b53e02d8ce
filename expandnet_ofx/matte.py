"""The matte of one plate under one analysis: how much each channel takes of the prediction."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx import grade
from expandnet_ofx.analysis import Analysis
from expandnet_ofx.arrays import as_float, cleaned, set_at, zeros
from expandnet_ofx.pixels import any_channel, picked, put_picked
from expandnet_ofx.plates import Plate, hidden, take_color
from expandnet_ofx.settings import Settings
from expandnet_ofx.transfer import HALF_MAX, full_scale

Array = NDArray[np.float32]


class PlateMatte:
    """Makes mattes of rows and tiles of one plate."""

    def __init__(self, plate: Plate, analysis: Analysis, settings: Settings) -> None:
        self._plate = plate
        self._clips = np.array(analysis.clip_levels, np.float32)
        self._scene = analysis.scene
        self._settings = settings.merging

    def pointwise(self, codes: NDArray[Any]) -> Array | None:
        """Return the pointwise matte (H, W, 3) of codes (H, W, C); None if it is 0 everywhere."""
        if self._scene == 0:
            return None
        color, scale = take_color(codes, self._plate), full_scale(codes.dtype)
        # Most pixels lie below and cost no more than this question, asked in the codes' own type.
        lowest = self._settings.threshold * float(self._clips.min()) * scale * (1 - 1e-6)
        chosen = set_at(any_channel(color > (np.float32(lowest) if scale == 1 else math.floor(lowest))))
        if not len(chosen):
            return None
        values = cleaned(as_float(picked(color, chosen)) * (1 / scale), -HALF_MAX, HALF_MAX)
        pixels = grade.pointwise_matte(values, self._clips, self._settings)
        unseen = hidden(picked(codes, chosen), self._plate)
        if unseen is not None:
            pixels = pixels * ~unseen[:, None]
        matte = zeros(codes, (*codes.shape[:2], 3))
        put_picked(matte, chosen, pixels)
        return matte

    def steady(self, codes: NDArray[Any]) -> Array:
        """Return the delivered matte (H, W, 3) of codes read with `grade.MATTE_RADIUS` pixels more on all sides."""
        matte = self.pointwise(codes)
        if matte is None:
            margin = 2 * grade.MATTE_RADIUS
            return zeros(codes, (codes.shape[0] - margin, codes.shape[1] - margin, 3))
        return grade.steady_matte(matte) * self._scene
