"""The paper's comparison: its protocol, its measures and its tables."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from compared import CHOICES, case_of, row_of
from expandnet_comparison import measure, quality, report
from expandnet_comparison.choices import Choices
from expandnet_comparison.methods import BASE, OURS_SAMPLES
from expandnet_comparison.operators import OPERATORS
from expandnet_comparison.page import as_page
from expandnet_comparison.protocol import comparison_cases, in_nits, moved, optimal_white, photograph
from expandnet_comparison.quality import Judge
from expandnet_comparison.summary import sign, summarize
from expandnet_training import pu
from expandnet_training.hdr_images import LUMINANCE, HDRImage, clean
from hypothesis import given, settings
from hypothesis import strategies as st
from panoramas import scene

from expandnet_ofx.errors import UsageError
from expandnet_ofx.weights import DEFAULT_WEIGHTS

# Encodings


def test_pu2_meets_published_values() -> None:
    """Values of the toolbox's pu2_encode; 80 cd/m2 is 255 by definition."""
    luminance = np.array([0.005, 0.1, 1, 10, 80, 100, 1000, 4000, 10000])
    expected = [-62.3308, -42.0966, 7.2079, 121.6178, 255.0, 269.5216, 419.5577, 509.9181, 569.6437]
    np.testing.assert_allclose(pu.pu2(luminance), expected, atol=2e-3)


@pytest.mark.parametrize("encoding", [pu.pu2, pu.pu21])
def test_encodings_rise(encoding: Any) -> None:
    assert (np.diff(encoding(np.geomspace(0.006, 9000, 500))) > 0).all()


# LDR pictures


@pytest.fixture(scope="module")
def places() -> list[HDRImage]:
    return [HDRImage(f"place{i}", clean(scene(64, 128, seed=i)), True) for i in range(2)]


@given(seed=st.integers(0, 10**6), window=st.floats(1, 10))
@settings(max_examples=25, deadline=None)
def test_no_other_exposure_holds_more(seed: int, window: float) -> None:
    rng = np.random.default_rng(seed)
    light = np.exp2(rng.normal(size=(20, 30, 1)) * 4 + rng.uniform(-5, 5)).astype(np.float32) * np.ones(3, np.float32)
    stops = np.log2(light @ LUMINANCE)

    def held(white: float) -> int:
        top = np.log2(white)
        return int(((stops <= top + 1e-6) & (stops >= top - window - 1e-6)).sum())

    best = held(optimal_white(light, window))
    assert all(held(2.0**top) <= best + 1 for top in np.linspace(stops.min(), stops.max(), 60))


def test_the_share_that_is_culled_is_clipped_at_both_ends(places: list[HDRImage]) -> None:
    choices = Choices(culled=0.2)
    case = next(iter(comparison_cases(places, choices, makers=["culling"])))
    assert (case.maker, case.response) == ("culling", "known")
    assert np.mean(case.plate == 255) == pytest.approx(0.2, abs=0.02)
    assert np.mean(case.plate == 0) == pytest.approx(0.2, abs=0.02)
    assert np.mean(case.truth > 1) == pytest.approx(0.2, abs=0.01)


def test_a_known_response_is_the_gamma_that_methods_are_told() -> None:
    light = np.linspace(0, 1.2, 64, dtype=np.float32).reshape(8, 8, 1) * np.ones(3, np.float32)
    plate = photograph(light, 0, 1, "known", CHOICES, torch.Generator().manual_seed(0))
    np.testing.assert_allclose((plate / 255.0) ** 2.2, np.minimum(light, 1), atol=0.006)
    other = photograph(light, 0, 1, "random", CHOICES, torch.Generator().manual_seed(0))
    assert np.abs(other.astype(int) - plate).max() > 3
    assert (np.diff(other.reshape(-1, 3)[:, 0].astype(int)) >= 0).all()


def test_cases_are_every_maker_under_both_responses(places: list[HDRImage]) -> None:
    cases = list(comparison_cases(places, CHOICES, makers=["optimal", "culling", "series"]))
    makers = ["optimal", "culling", "-2 stops", "+2 stops"]
    assert [(case.place, case.maker, case.response) for case in cases] == [
        (place.name, maker, response) for place in places for maker in makers for response in ("known", "random")
    ]
    optimal, _, _, _, dark, _, bright, _ = cases[:8]
    np.testing.assert_allclose(dark.truth * 4, optimal.truth, rtol=1e-5)
    np.testing.assert_allclose(bright.truth / 4, optimal.truth, rtol=1e-5)
    assert dark.share <= optimal.share <= bright.share


# Scaling


@given(gain=st.floats(1e-3, 1e3), offset=st.floats(-5, 5))
@settings(max_examples=20, deadline=None)
def test_scaling_forgives_gain_and_offset(gain: float, offset: float) -> None:
    light = case_of().truth.astype(np.float64)
    first, second = (moved(x, (1.0, 999.0), CHOICES) for x in (light, gain * light + offset))
    np.testing.assert_allclose(first, second, rtol=2e-4, atol=2e-3)


def test_percentiles_land_where_the_authors_say() -> None:
    light = np.random.default_rng(0).permutation(np.arange(3000.0)).reshape(20, 50, 3)
    found = np.sort(moved(light, (1.0, 999.0), CHOICES).ravel())
    # 0.1 percent of 3,000 values is the third.
    assert found[2] == pytest.approx(1)
    assert found[-3] == pytest.approx(999)


@pytest.mark.parametrize("referred", ["display", "scene"])
def test_the_truth_scaled_is_the_truth(referred: Any) -> None:
    case = case_of()
    found, truth = in_nits(case, case.truth, referred, CHOICES)
    np.testing.assert_allclose(found, truth, rtol=1e-4)
    if referred == "scene":
        np.testing.assert_allclose(truth, np.maximum(case.truth * 100, 0.005), rtol=1e-6)


def test_a_method_that_only_stretches_is_the_bare_picture() -> None:
    """Akyuz is, by construction: evaluation of the paper's protocol, first lesson."""
    case = case_of(1)
    case.plate[0, 0] = 0
    bare = (case.plate / 255.0) ** 2.2
    stretched = OPERATORS["AKY"](case.plate, gamma=2.2, peak=1000)
    for referred in ("display", "scene"):
        first, second = (in_nits(case, light, referred, CHOICES)[0] for light in (bare, stretched))
        np.testing.assert_allclose(first, second, rtol=1e-3, atol=1e-3)


def test_light_without_range_is_no_fault() -> None:
    found, _ = in_nits(case_of(), np.ones((40, 50, 3)), "display", CHOICES)
    np.testing.assert_allclose(found, 1)


# Metrics


@pytest.mark.parametrize("metric", quality.METRICS)
def test_the_truth_is_best_and_noise_costs(metric: str) -> None:
    rng = np.random.default_rng(0)
    truth = (30 * np.exp2(np.cumsum(rng.normal(size=(176, 176, 1)), 1) * 0.15) * np.ones(3)).astype(np.float32)
    judge = Judge(CHOICES, [metric])
    noise = rng.normal(size=truth.shape)
    found = [
        judge((truth * np.exp2(a * noise)).astype(np.float32), truth, metric, referred="display") for a in (0, 0.1, 0.6)
    ]
    if metric == "cvvdp_jod" and math.isnan(found[0]):
        pytest.skip("ColorVideoVDP is not installed")
    assert found[0] > found[1] > found[2]
    best = {"hdrvdp_q": 100, "cvvdp_jod": 10}.get(metric, 1 if "ssim" in metric else None)
    assert best is None or found[0] == pytest.approx(best, abs=1e-3)


def test_colorvideovdp_is_that_of_its_package(shared: Path) -> None:
    judge = Judge(CHOICES, ["cvvdp_jod"])
    with (shared / "data" / "hdrvdp" / "cvvdp_jod.csv").open(encoding="utf-8") as file:
        expected = {name: float(jod) for name, jod in csv.reader(file)}
    assert len(expected) == 8
    for name in ("p2_nancy_BanterleEO", "p3_pecklake_HuoPhysEO", "p7_warwick_culling10_gamma", "p8_bottles_identical"):
        with np.load(shared / "data" / "hdrvdp" / f"{name}.npz") as held:
            found = judge(held["test"], held["reference"], "cvvdp_jod", referred="display")
        if math.isnan(found):
            pytest.skip("ColorVideoVDP is not installed")
        assert found == pytest.approx(expected[name], abs=0.02)


def test_psnr_has_the_peak_that_is_chosen() -> None:
    truth = np.full((8, 8, 3), 100, np.float32)
    test = truth.copy()
    test[0, 0] = 1000
    step = float(pu.pu21(np.array(1000.0)) - pu.pu21(np.array(100.0)))
    found = Judge(CHOICES, ["pu21_psnr"])(test, truth, "pu21_psnr", referred="display")
    assert found == pytest.approx(10 * np.log10(256**2 / (step**2 / 64)), abs=0.01)
    step = 419.5577 - 269.5216
    for referred, peak in (("display", 419.5577), ("scene", 269.5216)):
        found = Judge(CHOICES, ["pu2_psnr"])(test, truth, "pu2_psnr", referred=referred)  # type: ignore[arg-type]
        assert found == pytest.approx(10 * np.log10(peak**2 / (step**2 / 64)), abs=0.01)


def test_processes_beside_each_other_measure_the_same(tmp_path: Path, places: list[HDRImage]) -> None:
    cases = [case_of(n, size=(24, 32)) for n in range(3)]
    found = []
    for workers in (1, 2):
        plan = measure.Plan(
            choices=CHOICES, weights=DEFAULT_WEIGHTS, authors=None, networks={}, device="cpu",
            metrics=("pu21_psnr", "hdrvdp_q"), again=frozenset(), cache=tmp_path / str(workers),
        )  # fmt: skip
        records = [record for one in measure.measured(plan, cases, workers=workers) for record in one]
        assert len(list(plan.cache.iterdir())) == 3
        found.append(sorted((record["method"], record["referred"], record["pu21_psnr"]) for record in records))
    for first, second in zip(*found, strict=True):
        assert first[:2] == second[:2]
        assert first[2] == pytest.approx(second[2], abs=1e-3)


# Tables


def records_of(values: dict[str, list[float]]) -> list[dict[str, Any]]:
    common = {"maker": "optimal", "response": "known", "referred": "display", "clipped": 0.1, "seconds": 0.1}
    return [
        {**common, "method": name, "place": f"p{number}", "pu21_psnr": value}
        for name, found in values.items()
        for number, value in enumerate(found)
    ]


def test_means_ranks_and_signs() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(20, 5, 12)
    values = {
        BASE: base,
        "better": base + rng.normal(2, 0.5, 12),
        "same": base + rng.normal(0, 0.5, 12),
        "short": base + 9,
    }
    compared = [row_of(BASE), row_of("better"), row_of("same"), row_of("short", OURS_SAMPLES // 5)]
    records = records_of({name: list(found) for name, found in values.items()})
    summary = {entry["method"]: entry for entry in summarize(records, compared, ["pu21_psnr"])}
    assert summary["better"]["pu21_psnr"] == pytest.approx(values["better"].mean())
    assert summary["better"]["pu21_psnr rank"] == 1
    assert sign(summary["better"][f"pu21_psnr over {BASE}"]) == "+"
    assert sign(summary["same"][f"pu21_psnr over {BASE}"]) == ""
    assert summary["short"]["pu21_psnr rank"] is None, "printed apart"
    assert sign(summary["short"][f"pu21_psnr over {BASE}"]) == ""
    text = report.as_text(list(summary.values()), ["pu21_psnr"])
    lines = [line for line in text.splitlines() if line.strip().startswith(("better", "short"))]
    assert lines[0].startswith("better")
    assert "+." in lines[0]
    assert lines[1].startswith("  short"), "below the others"
    latex = report.as_latex(list(summary.values()), ["pu21_psnr"])
    assert rf"\textbf{{{values['better'].mean():.2f}}}" in latex
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 1
    page = as_page(list(summary.values()), records, compared, CHOICES, ["pu21_psnr"], held_out=True)
    assert "that no network trained here has seen" in page
    any_ = as_page(list(summary.values()), records, compared, CHOICES, ["pu21_psnr"], held_out=False)
    assert "may have seen them" in any_
    assert "best mean better by PU21-PSNR" in page
    assert "short (72,915 samples)" in page
    for name, _, why in CHOICES.reasons():
        assert f"`{name}`" in page
        assert why in page


def test_a_row_of_enough_samples_is_ranked() -> None:
    assert row_of("x", OURS_SAMPLES // 5).apart
    assert not row_of("x", OURS_SAMPLES // 4 + 1).apart
    assert not row_of("x").apart


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("peak=3", "peak"), ("culled=0.7", "culled"), ("culled=much", "culled=much"), ("percentiles=5", "percentiles"),
        ("gamma=1.8", "gamma"), ("kov_sigma=0", "kov_sigma"),
        ("display=5,1", "display"), ("culled_of=hue", "culled_of"), ("white=0", "0 or less"),
    ],
)  # fmt: skip
def test_wrong_choices_are_named(text: str, what: str) -> None:
    with pytest.raises(UsageError) as error:
        Choices.of([text])
    assert what in str(error.value)


def test_choices_are_given_as_text() -> None:
    found = Choices.of(["culled=0.05", "series=-1,1,3", "percentiles_of=luminance"])
    assert (found.culled, found.series, found.percentiles_of) == (0.05, (-1.0, 1.0, 3.0), "luminance")
    assert Choices.of([]) == Choices()
