"""Metrics of the comparison: a result and its truth in cd/m2 in, one number out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from expandnet_training import pu
from expandnet_training.hdr_images import LUMINANCE
from expandnet_training.jod import open_jod
from numpy.typing import NDArray

from expandnet_comparison.choices import Choices, Referred
from expandnet_comparison.hdrvdp import HDRVDP, Seen

Array = NDArray[np.float32]

METRICS = (
    "pu2_psnr", "pu2_ssim", "pu2_ms_ssim", "pu21_psnr", "pu21_ssim", "pu21_ms_ssim", "hdrvdp_q", "cvvdp_jod",
)  # fmt: skip
"""PSNR in dB, SSIM and MS-SSIM of luminance under PU2 and PU21; quality of HDR-VDP 2.2 (100 is the same); ColorVideoVDP in
JOD (10 is the same), display-referred only. More is better in all of them."""

TITLES = {
    "pu2_psnr": "PU2-PSNR", "pu2_ssim": "PU2-SSIM", "pu2_ms_ssim": "PU2-MS-SSIM", "pu21_psnr": "PU21-PSNR",
    "pu21_ssim": "PU21-SSIM", "pu21_ms_ssim": "PU21-MS-SSIM", "hdrvdp_q": "HDR-VDP-2.2 Q", "cvvdp_jod": "ColorVideoVDP",
}  # fmt: skip

DIGITS = {
    "pu2_psnr": 2, "pu2_ssim": 3, "pu2_ms_ssim": 3, "pu21_psnr": 2, "pu21_ssim": 3, "pu21_ms_ssim": 3, "hdrvdp_q": 2,
    "cvvdp_jod": 2,
}  # fmt: skip


class Judge:
    """Measures results; opened once, it keeps its tables and what it knows of the last truth of either scaling.

    Args:
        choices: of the protocol.
        metrics: those that will be asked for, of `METRICS`; `cvvdp_jod` stays NaN where its package is not installed.
    """

    def __init__(self, choices: Choices, metrics: Sequence[str] = METRICS) -> None:
        self._choices = choices
        self._vdp = HDRVDP(pixels_per_degree=choices.pixels_per_degree)
        self._jod = open_jod() if "cvvdp_jod" in metrics else None
        self._seen: dict[Referred, tuple[Array, Seen]] = {}

    def __call__(self, found: Array, truth: Array, metric: str, *, referred: Referred) -> float:
        """Return one metric of a result (H, W, 3) in cd/m2 against its truth."""
        if metric == "hdrvdp_q":
            return self._vdp(found, self._reference(truth, referred)).q
        if metric == "cvvdp_jod":
            return self._jod.compare(found, truth) if self._jod is not None and referred == "display" else float("nan")
        encoding, _, kind = metric.partition("_")
        pair = [x @ LUMINANCE for x in (found, truth)]
        if encoding == "pu2":
            peak = float(pu.pu2(np.array(self._pu2_peak(pair[1], referred))))
            pair = [pu.pu2(x) for x in pair]
        else:
            peak, pair = self._choices.pu21_peak, [pu.pu21(x) for x in pair]
        if kind == "psnr":
            return pu.psnr(pair[0], pair[1], peak)
        return pu.ssim(pair[0], pair[1], peak, scales=5 if kind == "ms_ssim" else 1)

    def _pu2_peak(self, truth: NDArray[np.floating], referred: Referred) -> float:
        if self._choices.pu2_peak:
            return self._choices.pu2_peak
        return self._choices.display_peak if referred == "display" else float(truth.max())

    def _reference(self, truth: Array, referred: Referred) -> Seen:
        held = self._seen.get(referred)
        if held is None or held[0] is not truth:
            held = self._seen[referred] = (truth, self._vdp.see(truth))
        return held[1]
