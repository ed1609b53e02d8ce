"""ColorVideoVDP, where its package is installed: how far a result looks from the truth on an HDR display.

Mantiuk et al., "ColorVideoVDP: A visual difference predictor for image, video and display distortions", ACM TOG 43(4),
2024; package `cvvdp`. 10 JOD is no visible difference, one less is seen by three in four people.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_training.metrics import WHITE

Array = NDArray[np.float32]

DISPLAY = "standard_hdr_linear"
"""The package's HDR display fed with light in cd/m2: peak 1,500, 75.4 pixels per degree."""

PEAK = 1500.0


class ColorVideoVDP:
    """Measures pictures; opened once, it keeps its tables.

    Raises:
        ImportError: the package is not installed.
    """

    def __init__(self) -> None:
        _declare_missing_operators()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pycvvdp

            self._metric: Any = pycvvdp.cvvdp(display_name=DISPLAY, heatmap=None, device=_cpu())

    def __call__(self, light: Array, truth: Array) -> float:
        """Return the quality in JOD of light (H, W, 3) against the truth; the plate's white is shown at 100 cd/m2."""
        return self.compare(WHITE * light, WHITE * truth)

    def compare(self, found: Array, truth: Array) -> float:
        """Return the quality in JOD of light in cd/m2 (H, W, 3) against the truth, shown up to the display's peak."""
        shown, real = (np.clip(x, 0, PEAK).astype(np.float32) for x in (found, truth))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            quality, _ = self._metric.predict(shown, real, dim_order="HWC")
        return float(quality)


def open_jod() -> ColorVideoVDP | None:
    """Return the metric, None where its package is not installed."""
    try:
        return ColorVideoVDP()
    except ImportError:
        return None


def _cpu() -> Any:
    import torch

    return torch.device("cpu")


def _declare_missing_operators() -> None:
    """Let torchvision load beside a torch of another build: it registers kernels of operators that nothing declared.

    See pytorch/vision#9077. The metric needs none of the two.
    """
    import torch

    for schema in (
        "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
        "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    ):
        name = schema.partition("(")[0]
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(f"torchvision::{name}", schema.removeprefix(name))
