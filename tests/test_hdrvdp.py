"""HDR-VDP 2.2 against values of the released program, and its parts against other programs and identities."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from expandnet_comparison.hdrvdp import HDRVDP, observer, taps
from expandnet_comparison.hdrvdp.pyramid import height, steerable_pyramid
from expandnet_comparison.hdrvdp.resize import resized
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

BT709 = np.array((0.2126, 0.7152, 0.0722))

PPD = {"30": 30.0, "32.452952": 32.4529519503}
"""As the tables write them, and as they were: the second is a 24 inch display of 1920 x 1080 at half a meter."""


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@cache
def pair(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(path) as held:
        return held["test"], held["reference"]


PAIRS = (
    "p1_bottles_AkyuzEO", "p2_nancy_BanterleEO", "p3_pecklake_HuoPhysEO", "p4_oxford_MasiaEO", "p5_warwick_blur1p5",
    "p6_nancy_mulnoise10", "p7_warwick_culling10_gamma", "p8_bottles_identical",
)  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_quality_and_every_band_are_those_of_the_released_program(shared: Path, name: str) -> None:
    folder = shared / "data" / "hdrvdp"
    bands = table(folder / "bands.csv")
    rows = [row for row in table(folder / "table.csv") if row["pair"] == name]
    assert len(rows) == 3
    for row in rows:
        test, reference = pair(folder / f"{name}.npz")
        if row["mode"] == "luminance":
            test, reference = (light.astype(np.float64) @ BT709 for light in (test, reference))
        found = HDRVDP(pixels_per_degree=PPD[row["ppd"]])(test, reference)
        assert found.q == pytest.approx(float(row["Q"]), abs=0.005)
        expected = [band for band in bands if all(band[key] == row[key] for key in ("pair", "mode", "ppd"))]
        for band in expected:
            own = next(b for b in found.bands if (b.number, b.orientation) == (int(band["band"]), int(band["orient"])))
            assert own.frequency == pytest.approx(float(band["band_freq_cpd"]), rel=1e-4)
            assert own.weight == pytest.approx(float(band["w_f"]), abs=1e-4)
            assert own.msre == pytest.approx(float(band["msre_Dp"]), rel=0.01, abs=1e-12)


def scene(seed: int, *, height: int = 48, width: int = 64) -> np.ndarray:
    rng = np.random.default_rng(seed)
    light = np.exp2(np.cumsum(rng.standard_normal((height, width, 1)), 1) * 0.3 + rng.standard_normal((1, 1, 3)) * 0.2)
    return (20 * light / light.mean()).astype(np.float32)


@pytest.mark.parametrize(
    ("mode", "ppd", "expected"),
    [("color", 30, 55.12538688), ("color", 60, 51.58493264), ("luminance", 30, 55.17476588)],
)
def test_quality_of_a_picture_by_formula_is_that_of_the_released_program(
    mode: str, ppd: float, expected: float
) -> None:
    """Of release 2.2.2 under GNU Octave 7.3."""
    y, x = np.mgrid[:64, :80]
    light = 30 * np.exp2(2.5 * np.sin(x / 9.0) * np.cos(y / 7.0))
    truth = np.stack((light, 0.9 * light, 0.7 * light + 2), 2)
    truth[20:30, 50:60] *= 12
    test = truth * np.exp2(0.3 * np.sin(x / 1.7 + y / 2.3))[:, :, None]
    if mode == "luminance":
        test, truth = test @ BT709, truth @ BT709
    assert HDRVDP(pixels_per_degree=ppd)(test, truth).q == pytest.approx(expected, abs=1e-3)


@given(seed=st.integers(0, 10**6), step=st.floats(0.02, 0.3))
@settings(max_examples=15, deadline=None)
def test_the_same_is_100_and_more_noise_is_less(seed: int, step: float) -> None:
    truth = scene(seed)
    noise = np.random.default_rng(seed).standard_normal(truth.shape)
    metric = HDRVDP()
    seen = metric.see(truth)
    found = [metric((truth * np.exp2(a * noise)).astype(np.float32), seen).q for a in (0.0, step, 3 * step)]
    assert found[0] == 100
    assert 100 > found[1] > found[2]


def test_noise_is_seen_less_from_afar() -> None:
    truth = scene(1)
    noise = np.random.default_rng(1).standard_normal(truth.shape)
    test = (truth * np.exp2(0.1 * noise)).astype(np.float32)
    near, far = (HDRVDP(pixels_per_degree=ppd)(test, truth).q for ppd in (30, 110))
    assert far > near


def test_a_reference_seen_once_serves_many() -> None:
    truth, test = scene(2), scene(3)
    metric = HDRVDP()
    assert metric(test, metric.see(truth)) == metric(test, truth)


def test_nan_counts_as_black() -> None:
    truth, test, black = scene(4), scene(4), scene(4)
    test[5, 5], black[5, 5] = np.nan, 1e-5
    assert HDRVDP()(test, truth) == HDRVDP()(black, truth)


@pytest.mark.parametrize("shape", [(16, 40, 3), (40, 40, 4), (40,), (40, 40, 1)])
def test_wrong_pictures_are_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="HDR-VDP takes"):
        HDRVDP()(np.ones(shape), np.ones(shape))


def test_pictures_of_two_shapes_are_named() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        HDRVDP()(np.ones((40, 40, 3)), np.ones((40, 41, 3)))


# The observer


def test_optics_keep_what_is_even() -> None:
    frequency = np.linspace(0, 60, 50)
    passed = observer.glare(frequency)
    assert passed[0] == pytest.approx(1)
    assert (np.diff(passed) < 0).all()


def test_sensitivity_peaks_at_a_few_cycles_and_rises_with_light() -> None:
    frequency = np.geomspace(0.1, 50, 300)
    dim, bright = (observer.contrast_sensitivity(frequency, level) for level in (0.02, 150))
    assert 0.5 < frequency[dim.argmax()] < frequency[bright.argmax()] < 8
    assert bright.max() > dim.max()
    assert observer.contrast_sensitivity(0.0, 100.0) == 0
    np.testing.assert_allclose(
        observer.contrast_sensitivity(frequency, 1e5), observer.contrast_sensitivity(frequency, 150), rtol=1e-12
    )


def test_responses_rise_with_light_and_rods_saturate() -> None:
    at, cones, rods = observer.responses()
    assert (np.diff(cones) > 0).all()
    assert (np.diff(rods) >= 0).all()
    daylight = at > 3
    assert np.ptp(rods[daylight]) < 0.01 * np.ptp(cones[daylight])


# The pyramid


def test_filters_pass_every_frequency_once() -> None:
    """A tight frame, so that bands hold what the picture holds: Simoncelli and Freeman 1995."""

    def power(kernel: np.ndarray) -> np.ndarray:
        return np.abs(np.fft.fft2(kernel, (64, 64))) ** 2

    levels = sum(power(kernel) for kernel in taps.ORIENTED) + power(taps.LOW) / 4
    whole = power(taps.HIGH) + power(taps.LOW_FIRST) * levels
    np.testing.assert_allclose(whole, 1, atol=0.03)


@pytest.mark.parametrize(("angle", "strongest"), [(0, 0), (45, 3), (90, 2), (135, 1)])
def test_a_grating_is_found_by_its_orientation(angle: float, strongest: int) -> None:
    y, x = np.meshgrid(*(np.arange(96.0),) * 2, indexing="ij")
    turned = x * np.cos(np.radians(angle)) + y * np.sin(np.radians(angle))
    bands = steerable_pyramid(torch.from_numpy(np.sin(turned * 0.25 * 2 * np.pi)).float())
    energy = bands[1][:, 20:-20, 20:-20].square().mean((1, 2))
    assert int(energy.argmax()) == strongest
    assert energy[strongest] > 1.5 * energy[energy.argsort()[-2]]


@pytest.mark.parametrize(
    ("size", "levels"), [((16, 99), 0), ((17, 99), 1), ((33, 99), 1), ((34, 99), 2), ((256, 256), 4)]
)
def test_a_pyramid_is_as_high_as_its_widest_filter_allows(size: tuple[int, int], levels: int) -> None:
    assert height(*size) == levels


# Resampling


@pytest.mark.parametrize("size", [(20, 30), (33, 70), (80, 61)])
def test_resampling_is_that_of_another_program(size: tuple[int, int]) -> None:
    """Pillow's bicubic filter is the same but for how it treats borders."""
    x = np.random.default_rng(0).random((40, 60)).astype(np.float32)
    found = resized(torch.from_numpy(x), size).numpy()
    expected = np.asarray(Image.fromarray(x).resize(size[::-1], Image.Resampling.BICUBIC))
    np.testing.assert_allclose(found[6:-6, 6:-6], expected[6:-6, 6:-6], atol=1e-5)


@given(seed=st.integers(0, 1000), rows=st.integers(3, 40), columns=st.integers(3, 40))
@settings(max_examples=30, deadline=None)
def test_resampling_keeps_constants_and_mirrors(seed: int, rows: int, columns: int) -> None:
    x = torch.from_numpy(np.random.default_rng(seed).random((2, 17, 23))).float()
    found = resized(x, (rows, columns))
    assert found.shape == (2, rows, columns)
    np.testing.assert_allclose(resized(torch.full((9, 11), 0.7), (rows, columns)), 0.7, rtol=1e-5)
    np.testing.assert_allclose(resized(x.flip(2), (rows, columns)), found.flip(2), atol=1e-5)
