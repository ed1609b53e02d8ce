"""Perceptually uniform encodings of luminance, so that metrics made for displays of their time say something of HDR."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

PU21_PEAK = 595.39
"""PU21 value of 10,000 cd/m2."""

_PU21 = (0.353487901, 0.3734658629, 8.277049286e-05, 0.9062562627, 0.09150303166, 0.9099517204, 596.3148142)


def pu21(luminance: NDArray[np.floating]) -> NDArray[np.float64]:
    """Encode luminance in cd/m2, held to 0.005 to 10,000, so that equal steps look equally large.

    Mantiuk and Azimi, "PU21: A novel perceptually uniform encoding for adapting existing quality metrics for HDR",
    Picture Coding Symposium 2021; variant banding_glare. 100 cd/m2 is 256.
    """
    p1, p2, p3, p4, p5, p6, p7 = _PU21
    y = np.clip(np.asarray(luminance, np.float64), 0.005, 10000) ** p4
    return np.maximum(p7 * (((p1 + p2 * y) / (1 + p3 * y)) ** p5 - p6), 0)


def pu2(luminance: NDArray[np.floating]) -> NDArray[np.float64]:
    """Encode luminance in cd/m2, held to 1e-5 to 1e10, so that equal steps look equally large; 80 cd/m2 is 255.

    Aydin, Mantiuk, Seidel, "Extending quality metrics to full luminance range images", Human Vision and Electronic Imaging
    2008, with the sensitivity of HDR-VDP-2 (Mantiuk et al. 2011): S(L) = 30.162 ((4.0627 / L)^1.6596 + 1)^-0.2712,
    integrated over ln L and set to 0 at 0.8 and to 255 at 80 cd/m2.
    """
    at, values = _pu2_table()
    result: NDArray[np.float64] = np.interp(np.log10(np.maximum(np.asarray(luminance, np.float64), 1e-5)), at, values)
    return result


@lru_cache(maxsize=1)
def _pu2_table() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    at = np.linspace(-5, 10, 4096)
    sensitivity = 30.162 * ((4.0627 / 10**at) ** 1.6596 + 1) ** -0.2712 * np.log(10)
    steps = np.diff(at) * (sensitivity[1:] + sensitivity[:-1]) / 2
    values = np.concatenate((np.zeros(1), np.cumsum(steps)))
    low, high = 31.9270, 149.9244
    return at, 255 * (values - low) / (high - low)


def psnr(first: NDArray[np.floating], second: NDArray[np.floating], peak: float) -> float:
    """Return the peak signal-to-noise ratio in dB of encoded pictures."""
    error = np.mean((np.asarray(first, np.float64) - second) ** 2)
    return float(10 * np.log10(peak**2 / max(float(error), 1e-12)))


LEAST_EDGE = 161
"""Shortest edge of a picture that five scales of 11 pixels fit into."""


def ssim(first: NDArray[np.floating], second: NDArray[np.floating], peak: float, *, scales: int = 1) -> float:
    """Return SSIM (one scale) or MS-SSIM (five) of encoded pictures (H, W) or (H, W, C).

    Wang et al. 2004 and 2003, by the package pytorch-msssim: Gaussian window of 11 pixels, channels averaged. NaN where a
    picture is too small for five scales.
    """
    import torch
    from pytorch_msssim import ms_ssim
    from pytorch_msssim import ssim as one_scale

    if scales > 1 and min(first.shape[:2]) < LEAST_EDGE:
        return float("nan")
    pair = [torch.from_numpy(np.asarray(x, np.float32)) for x in (first, second)]
    pair = [(x[None] if x.ndim == 2 else x.permute(2, 0, 1))[None] for x in pair]
    return float((one_scale if scales == 1 else ms_ssim)(*pair, data_range=peak))
