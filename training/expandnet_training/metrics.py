"""What tells a good expansion from a bad one; every figure takes light over the plate's white."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.primaries import REC2020, to_rec709
from expandnet_training import pu
from expandnet_training.pu import PU21_PEAK, pu21

Array = NDArray[np.float32]

WHITE = 100.0
"""Luminance of the plate's white in cd/m2."""

FLOOR = np.float32(2**-12)
"""Light below it counts as this much, so that its logarithm exists."""


def pu21_psnr(light: Array, truth: Array) -> float:
    """Return the peak signal-to-noise ratio in dB of PU21-encoded channels, white shown at 100 cd/m2."""
    return pu.psnr(pu21(WHITE * light), pu21(WHITE * truth), PU21_PEAK)


def pu21_ssim(light: Array, truth: Array, *, scales: int = 1) -> float:
    """Return SSIM (one scale) or MS-SSIM (five) of PU21-encoded channels, white shown at 100 cd/m2."""
    return pu.ssim(pu21(WHITE * light), pu21(WHITE * truth), PU21_PEAK, scales=scales)


def errors_in_stops(light: Array, truth: Array, clipped: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return log2(light / truth) of clipped channels."""
    found, real = (np.log2(np.maximum(x[clipped], FLOOR)) for x in (light, truth))
    return (found - real).astype(np.float32)


def bias_above(light: Array, truth: Array, clipped: NDArray[np.bool_], *, stops: float) -> float:
    """Return the mean error in stops of clipped channels whose truth lies more than so many stops above white."""
    errors = errors_in_stops(light, truth, clipped)
    bright = truth[clipped] > 2.0**stops
    return float(errors[bright].mean()) if bright.any() else float("nan")


def energy(light: Array, truth: Array, clipped: NDArray[np.bool_], *, cap: float = 256.0) -> float:
    """Return recovered over missing light above white in clipped channels, both held to `cap` times white."""
    found, real = (np.clip(x[clipped], 1, cap) - 1 for x in (light, truth))
    missing = float(real.sum(dtype=np.float64))
    return float(found.sum(dtype=np.float64)) / missing if missing > 0 else float("nan")


def error_by_brightness(
    light: Array, truth: Array, clipped: NDArray[np.bool_], edges: Sequence[float]
) -> list[tuple[float, float, int]]:
    """Return mean error, mean absolute error and number of clipped channels between edges in stops above white."""
    errors = errors_in_stops(light, truth, clipped)
    above = np.log2(np.maximum(truth[clipped], FLOOR))
    found = []
    for low, high in itertools.pairwise(edges):
        some = errors[(above >= low) & (above < high)]
        found.append((float(some.mean()), float(np.abs(some).mean()), some.size) if some.size else (np.nan, np.nan, 0))
    return found


def exposed_error(light: Array, truth: Array, measured: NDArray[np.bool_]) -> float:
    """Return the mean absolute error in stops of channels that were measured: 0 but for noise with a known response."""
    some = measured & (truth > 2.0**-7)
    return float(np.abs(np.log2(np.maximum(light[some], FLOOR) / truth[some])).mean()) if some.any() else float("nan")


def without_response(light: Array, truth: Array) -> Array:
    """Take out the camera's response before pictures are compared: a cubic in PQ luminance, fitted to the truth.

    Hanji et al., "Comparison of single image HDR reconstruction methods: the caveats of quality assessment", SIGGRAPH
    2022. Their fit of chromaticities is left out: responses here act on all channels alike.
    """
    weights = np.array([0.2126, 0.7152, 0.0722])
    own, real = (np.maximum(x @ weights, 2.0**-14) for x in (light, truth))
    x, y = (pq(WHITE * luminance) for luminance in (own, real))
    fitted = np.polynomial.Polynomial.fit(x.ravel(), y.ravel(), 3)(x)
    corrected = pq_luminance(np.clip(fitted, 0, 1)) / WHITE
    result: Array = (light * (corrected / own)[:, :, None]).astype(np.float32)
    return result


def pq(luminance: NDArray[np.floating]) -> NDArray[np.float64]:
    """Encode luminance in cd/m2: SMPTE ST 2084:2014, 5.2, the inverse EOTF."""
    power = (np.clip(np.asarray(luminance, np.float64), 0, 10000) / 10000) ** (2610 / 16384)
    result: NDArray[np.float64] = ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)
    return result


def pq_luminance(code: NDArray[np.floating]) -> NDArray[np.float64]:
    """Decode to luminance in cd/m2: SMPTE ST 2084:2014, 5.1, the EOTF."""
    power = np.asarray(code, np.float64) ** (32 / 2523)
    ratio = np.maximum(power - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * power)
    result: NDArray[np.float64] = 10000 * ratio ** (16384 / 2610)
    return result


def ictcp(light: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return ICtCp (ITU-R BT.2100-2, table 7, PQ) of linear Rec.709 light, white at 203 cd/m2 (ITU-R BT.2408-7)."""
    to_2020 = np.linalg.inv(to_rec709(REC2020))
    to_lms = np.array([[1688, 2146, 262], [683, 2951, 462], [99, 309, 3688]]) / 4096
    to_ictcp = np.array([[2048, 2048, 0], [6610, -13613, 7003], [17933, -17390, -543]]) / 4096
    lms = np.maximum(np.asarray(light, np.float64) @ to_2020.T @ to_lms.T, 0) * 203
    result: NDArray[np.float64] = pq(lms) @ to_ictcp.T
    return result


def hue_error(light: Array, truth: Array, clipped: NDArray[np.bool_], *, least_chroma: float = 0.02) -> float:
    """Return the median hue error in degrees, in the CtCp plane, of pixels with a clipped channel and a chromatic truth."""
    some = clipped.any(2)
    found, real = (ictcp(x[some])[:, 1:] @ np.array([0.5, 1j]) for x in (light, truth))
    chromatic = np.abs(real) >= least_chroma
    if not chromatic.any():
        return float("nan")
    return float(np.degrees(np.median(np.abs(np.angle(found[chromatic] * np.conj(real[chromatic]))))))


def bca_interval(differences: NDArray[np.floating], *, seed: int = 0) -> tuple[float, float]:
    """Return the 95 percent BCa bootstrap interval of a mean over places (Efron 1987); NaN where it cannot be told."""
    from scipy.stats import bootstrap

    values = np.asarray(differences, np.float64)
    values = values[np.isfinite(values)]
    if len(values) < 3:
        return float("nan"), float("nan")
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    found = bootstrap((values,), np.mean, method="BCa", rng=np.random.default_rng(seed)).confidence_interval
    return float(found.low), float(found.high)
