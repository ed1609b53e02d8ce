"""The matte of one plate under one analysis: how much each channel takes of the prediction."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx import grade
from expandnet_ofx.analysis import Analysis
from expandnet_ofx.plates import Plate, take_color
from expandnet_ofx.settings import Settings
from expandnet_ofx.transfer import HALF_MAX, full_scale

Array = NDArray[np.float32]


class PlateMatte:
    """Makes mattes of rows and tiles of one plate."""

    def __init__(self, plate: Plate, analysis: Analysis, settings: Settings) -> None:
        self._plate = plate
        self._clips = np.array(analysis.clip_levels, np.float32)
        self._scene = np.float32(analysis.scene)
        self._settings = settings.merging

    def pointwise(self, codes: NDArray[Any]) -> Array | None:
        """Return the pointwise matte (H, W, 3) of codes (H, W, C); None if it is 0 everywhere."""
        color = take_color(codes, self._plate)
        scale = full_scale(codes.dtype)
        if self._scene == 0 or not float(np.nanmax(color)) > self._settings.threshold * self._clips.min() * scale:
            return None
        values = np.nan_to_num(color.astype(np.float32) * np.float32(1 / scale), nan=0.0)
        values = np.clip(values, -HALF_MAX, HALF_MAX)
        matte = grade.pointwise_matte(values, self._clips, self._settings)
        if self._plate.alpha is not None:
            matte = matte * (codes[:, :, self._plate.alpha, None] > 0)
        return matte

    def steady(self, codes: NDArray[Any]) -> Array:
        """Return the delivered matte (H, W, 3) of codes read with `grade.MATTE_RADIUS` pixels more on all sides."""
        matte = self.pointwise(codes)
        if matte is None:
            margin = 2 * grade.MATTE_RADIUS
            return np.zeros((codes.shape[0] - margin, codes.shape[1] - margin, 3), np.float32)
        return grade.steady_matte(matte) * self._scene
