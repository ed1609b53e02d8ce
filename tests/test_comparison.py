"""The paper's comparison: its protocol, the networks beside ExpandNet, its tables, the command end to end."""

from __future__ import annotations

import csv
import json
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio
import pytest
import torch
from commands import invoke
from expandnet_comparison import main, measure, quality, report, sheets
from expandnet_comparison.choices import Choices
from expandnet_comparison.main import command
from expandnet_comparison.methods import BASE, OURS_SAMPLES, Reproduced, Row, rows
from expandnet_comparison.networks import NETWORKS
from expandnet_comparison.operators import OPERATORS
from expandnet_comparison.page import as_page
from expandnet_comparison.protocol import comparison_cases, in_nits, moved, optimal_white, photograph
from expandnet_comparison.quality import Judge
from expandnet_comparison.store import Store
from expandnet_comparison.summary import OURS, sign, summarize
from expandnet_training import losses, plots, pu
from expandnet_training.cases import Case
from expandnet_training.hdr_images import LUMINANCE, HDRImage, clean
from expandnet_training.loop import Trainer
from expandnet_training.recipe import Recipe, load_recipe
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from test_training import CONFIGS, save, scene

from expandnet_ofx.errors import UsageError, WeightsError
from expandnet_ofx.weights import DEFAULT_WEIGHTS

CHOICES = Choices()


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


def case_of(seed: int = 0, *, size: tuple[int, int] = (40, 50)) -> Case:
    rng = np.random.default_rng(seed)
    truth = np.exp2(rng.normal(size=(*size, 3)) * 2 - 2).astype(np.float32)
    plate = (np.clip(truth, 0, 1) ** (1 / 2.2) * 255).round().astype(np.uint8)
    return Case(place="p", share=0.1, response="known", storage="8-bit", plate=plate, truth=truth, maker="optimal")


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


# Networks


def test_networks_have_the_layers_that_they_say() -> None:
    """Counted from the published layers: a convolution of k x k from a to b has k k a b + b, a normalization 2 b."""

    def weights(pairs: list[tuple[int, int]], area: int) -> int:
        return sum(area * a * b for a, b in pairs)

    def outputs(pairs: list[tuple[int, int]]) -> int:
        return sum(b for _, b in pairs)

    down = [(3, 64), (64, 128), (128, 256), (256, 512), *[(512, 512)] * 4]
    up = [(512, 512), *[(1024, 512)] * 3, (1024, 256), (512, 128), (256, 64), (128, 3)]
    plain = 64 + 512 + 3
    unt = weights(down + up, 16) + plain + 2 * (outputs(down + up) - plain)
    low = [(3, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512)]
    blocks = [*low, (512, 512), (512, 256), *[(512, 512)] * 4, (256, 128), (128, 64), (64, 64), (64, 32)]
    dense = [(512 * 7 * 7, 1024), (1024, 512), (512, 256), (512, 256)]
    col = weights(blocks, 9) + weights(dense, 1) + 3 * outputs(blocks + dense) + 9 * 32 * 3 + 3
    vgg = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), *[(256, 256)] * 2, (256, 512), *[(512, 512)] * 5]
    decoder = [(512, 512), (512, 512), (512, 256), (256, 128), (128, 64)]
    fusions = [(2 * b, b) for _, b in decoder] + [(6, 3)]
    eil = weights([*vgg, (512, 512)], 9) + outputs(vgg) + 3 * 512 + weights(decoder, 16) + 2 * outputs(decoder)
    eil += weights(fusions, 1) + outputs(fusions) + 64 * 3 + 3 * 3
    counts = {name: sum(p.numel() for p in kind().parameters()) for name, kind in NETWORKS.items()}
    assert counts == {"unt": unt, "col": col, "eil": eil}
    encoder = sum(p.numel() for p in NETWORKS["eil"]().get_submodule("encoder").parameters())
    assert encoder == 14_714_688, "VGG16 without its dense layers"


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_networks_give_light_of_every_size_that_fits(name: str) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name]().eval()
    multiple = int(network.MULTIPLE)  # type: ignore[arg-type]
    codes = torch.rand(1, 3, multiple, 2 * multiple)
    light = network(codes)
    assert light.shape == codes.shape
    assert light.isfinite().all()
    assert (light >= 0).all()
    half = torch.rand(1, 3, multiple // 2, multiple)
    with suppress(RuntimeError):
        assert network(half).shape != half.shape


@torch.no_grad()
def test_hdrcnn_keeps_what_did_not_clip() -> None:
    torch.manual_seed(0)
    codes = 0.94 * torch.rand(1, 3, 32, 32)
    codes[:, :, :8] = 1
    light = NETWORKS["eil"]().eval()(codes)
    torch.testing.assert_close(light[:, :, 8:], codes[:, :, 8:] ** 2)
    assert not torch.allclose(light[:, :, :8], codes[:, :, :8] ** 2)


def test_the_loss_of_hdrcnn_counts_light_and_texture_by_half_where_it_clipped() -> None:
    true = torch.full((1, 3, 20, 20), 4.0)
    clipped = torch.ones_like(true, dtype=torch.bool)
    assert losses.illumination(true, true, clipped) == 0
    brighter = (true + 1 / 255) * math.e - 1 / 255
    assert float(losses.illumination(brighter, true, clipped)) == pytest.approx(0.5, abs=1e-5)
    clipped[:] = False
    clipped[:, :, 5:9, 5:9] = True
    elsewhere = true.clone()
    elsewhere[:, :, 18:] = 100
    assert float(losses.illumination(elsewhere, true, clipped)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_their_recipes_are_valid(name: str) -> None:
    recipe = load_recipe(CONFIGS / f"{name}.toml")
    assert recipe.network == name
    assert recipe.crop % int(NETWORKS[name].MULTIPLE) == 0  # type: ignore[arg-type]
    assert recipe.camera == load_recipe(CONFIGS / "vfx.toml").camera, "under the same data"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of COL after two steps; the smallest pictures that it takes."""
    folder = tmp_path_factory.mktemp("col")
    images = [HDRImage("place", clean(scene()), True)]
    recipe = Recipe(
        name="col",
        network="col",
        halo=False,
        steps=2,
        batch=2,
        crops_per_view=1,
        crop=32,
        view=(32, 32),
        precision="mixed",
    )
    trainer = Trainer(images, recipe, folder)
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    trainer.run()
    assert all(
        not torch.equal(before[name], value)
        for name, value in trainer.network.state_dict().items()
        if "running" in name
    )
    again = Trainer(images, recipe, folder)
    assert again.step == 2
    return folder / "col.safetensors"


def test_a_network_trains_in_the_same_loop_and_is_compared(trained: Path) -> None:
    network = Reproduced(trained)
    assert (network.network, network.samples) == ("col", 4)
    plate = (255 * np.random.default_rng(0).random((30, 45, 3))).astype(np.uint8)
    light = network(plate, "display")
    assert light.shape == plate.shape
    # Mirrored at the lower and right border: what is there already does not change.
    extended = np.pad(plate, ((0, 2), (0, 3), (0, 0)), mode="reflect")
    np.testing.assert_allclose(network(extended, "display")[:30, :45], light, rtol=1e-4)
    row = next(row for row in rows(CHOICES, networks={"COL": trained}) if row.name == "COL")
    assert row.apart
    assert "our reproduction, 4 samples" in row.what


@pytest.mark.parametrize("words", [{"halo": True}, {"halo": False, "boldness": (0.1, 0.9)}])
def test_what_only_expandnet_has_is_refused(words: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="only with ExpandNet"):
        Recipe(name="x", network="unt", crop=32, view=(64, 64), **words)


def test_weights_of_something_else_are_named(tmp_path: Path) -> None:
    for path in (DEFAULT_WEIGHTS, tmp_path / "absent.safetensors"):
        with pytest.raises(WeightsError, match=path.name):
            rows(CHOICES, networks={"UNT": path})


# Tables


def row_of(name: str, samples: int | None = None) -> Row:
    return Row(name=name, what="", licence="", expand=lambda plate, _: plate / 255.0, samples=samples)


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


# The command


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "hdr"
    folder.mkdir()
    for number in range(3):
        save(folder / f"place{number}.exr", scene(64, 128, seed=number))
    (tmp_path / "split.toml").write_text('validation = ["place1", "place2"]')
    return folder


def test_the_command_writes_everything_and_measures_once(
    tmp_path: Path, data: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("expandnet_training.cases.SIZE", (48, 64))
    out, page = tmp_path / "out", tmp_path / "RESULTS.md"
    words = (
        "run", "--data", data, "--split", tmp_path / "split.toml", "-o", out, "--makers", "optimal,culling", "--metrics",
        "pu21_psnr,hdrvdp_q", "--network", f"COL={trained}", "--page", page, "--limit", "1",
    )  # fmt: skip
    ran = invoke(command, *words)
    assert ran.code == 0, ran.err
    with (out / "pictures.csv").open(encoding="utf-8") as file:
        records = list(csv.DictReader(file))
    methods = [BASE, "LDR, gamma unknown", *OPERATORS, "COL", "EXP (ours, raw)", OURS]
    assert len(records) == 4 * 2 * len(methods), "two makers, two responses, two scalings"
    assert list(dict.fromkeys(record["method"] for record in records)) == methods
    assert {record["place"] for record in records} == {"place1"}
    assert all(np.isfinite(float(record["pu21_psnr"])) and float(record["hdrvdp_q"]) < 100 for record in records)
    stretched = {record["method"]: float(record["hdrvdp_q"]) for record in records[: len(methods)]}
    assert stretched["AKY"] == pytest.approx(stretched[BASE], abs=1.5)
    for name in (
        "tables.txt",
        "tables.tex",
        "summary.csv",
        "box_pu21_psnr.png",
        "box_hdrvdp_q.png",
        "place1.optimal.png",
    ):
        assert (out / name).stat().st_size > 500, name
    with Image.open(out / "place1.culling.png") as sheet:
        assert sheet.size == (240 * (len(methods) + 1), 18 + 3 * 180)
    assert "best mean" in page.read_text()
    assert ran.out == (out / "tables.txt").read_text()

    measured: list[str] = []
    drawn: list[str] = []
    before, draw = Judge.__call__, plots.write_sheet

    def counted(self: Judge, found: Any, truth: Any, metric: str, **rest: Any) -> float:
        measured.append(metric)
        return before(self, found, truth, metric, **rest)

    def told(path: Path, *words: Any, **rest: Any) -> None:
        drawn.append(path.name.split(".")[2])
        draw(path, *words, **rest)

    monkeypatch.setattr(Judge, "__call__", counted)
    monkeypatch.setattr(sheets, "write_sheet", told)
    tables = (out / "tables.txt").read_text()
    assert invoke(command, *words).code == 0
    assert not measured, "everything was known"
    assert invoke(command, *words, "--again", "pu21_psnr").code == 0
    assert set(measured) == {"pu21_psnr"}
    assert len(measured) == len(records)
    assert (out / "tables.txt").read_text() == tables
    assert not drawn, "sheets would have come out the same"
    measured.clear()
    less = ("--makers", "culling", "--metrics", "pu21_psnr")
    assert invoke(command, *words, *less, "--set", "culled=0.2").code == 0
    assert measured, "another choice is another measurement"
    assert drawn == ["culling"], "and another picture"


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


def test_a_damaged_cache_is_measured_anew(tmp_path: Path) -> None:
    case, row = case_of(), row_of(BASE)
    store = Store(tmp_path, case, CHOICES)
    store.get(row)["display"]["pu21_psnr"] = 12.5
    store.save()
    assert Store(tmp_path, case, CHOICES).get(row)["display"] == {"pu21_psnr": 12.5}
    assert Store(tmp_path, case, Choices(white=50.0)).get(row)["display"] == {}
    assert Store(tmp_path, case_of(1), CHOICES).get(row)["display"] == {}
    assert json.loads(store.path.read_text())
    store.path.write_text("{")
    assert Store(tmp_path, case, CHOICES).get(row)["display"] == {}


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--metrics", "psnr"), "--metrics psnr"),
        (("--makers", "best"), "--makers best"),
        (("--again", "hdrvdp_q", "--metrics", "pu2_ssim"), "--again hdrvdp_q"),
        (("--network", "UNT"), "NAME=FILE"),
        (("--network", "UNT=absent.safetensors"), "absent.safetensors"),
        (("--weights", "absent.safetensors"), "absent.safetensors"),
        (("--set", "culled=1"), "culled"),
    ],
)
def test_wrong_words_are_named(tmp_path: Path, data: Path, words: tuple[str, ...], what: str) -> None:
    ran = invoke(command, "run", "--data", data, "-o", tmp_path / "out", *words)
    assert ran.code == 2
    assert what in ran.complaint
    assert not (tmp_path / "out").exists()


def test_without_its_package_colorvideovdp_is_left_out_and_not_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("expandnet_training.jod.open_jod", lambda: None)
    assert main._measurable(("pu21_psnr", "cvvdp_jod")) == ("pu21_psnr",)
    assert "not installed" in capsys.readouterr().err
    assert main._measurable(("pu21_psnr",)) == ("pu21_psnr",)
    assert not capsys.readouterr().err


def test_a_picture_is_judged_as_it_is(tmp_path: Path) -> None:
    truth = scene(40, 60)
    first, second = save(tmp_path / "a.exr", truth), save(tmp_path / "b.exr", 2 * truth)
    same = invoke(command, "judge", first, first, "--metrics", "hdrvdp_q,pu21_ssim")
    assert same.code == 0, same.err
    assert [float(line.split()[1]) for line in same.out.splitlines()] == pytest.approx([100, 1])
    other = invoke(command, "judge", second, first, "--metrics", "pu21_psnr", "--nits", "10")
    luminance = 10 * truth @ LUMINANCE
    expected = pu.psnr(pu.pu21(2 * luminance), pu.pu21(luminance), 256)
    assert float(other.out.split()[1]) == pytest.approx(expected, abs=1e-3)
    small = save(tmp_path / "c.exr", truth[:20])
    wrong = invoke(command, "judge", small, first)
    assert wrong.code == 2
    assert "60 x 20" in wrong.complaint
    tiny = save(tmp_path / "d.exr", truth[:16])
    wrong = invoke(command, "judge", tiny, tiny)
    assert wrong.code == 2
    assert "smaller than" in wrong.complaint
    wrong = invoke(command, "judge", first, first, "--metrics", ",")
    assert wrong.code == 2
    assert "names none" in wrong.complaint


def test_an_image_of_the_wrong_kind_is_named(tmp_path: Path) -> None:
    gray = tmp_path / "gray.exr"
    buffer = oiio.ImageBuf(np.ones((4, 4, 1), np.float32))
    assert buffer.write(str(gray), oiio.FLOAT)
    ran = invoke(command, "judge", gray, gray)
    assert ran.code != 0
    assert "gray.exr" in ran.complaint
