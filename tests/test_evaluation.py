"""Evaluation: figures against published values and cases whose answer is known; the command end to end."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pictures
import pytest
from commands import invoke
from expandnet_batch import repository
from expandnet_training import evaluate, metrics
from expandnet_training.cases import held_out_cases
from expandnet_training.hdr_images import HDRImage, clean
from expandnet_training.methods import GlobalCurve, linearized
from fakes import decode_srgb
from test_training import save, scene

from expandnet_ofx.weights import DEFAULT_WEIGHTS


def test_pu21_meets_published_values() -> None:
    """Values of the authors' pu21_encoder, banding_glare."""
    luminance = np.array([0.005, 0.1, 1, 10, 80, 100, 1000, 4000, 10000])
    expected = [0, 5.7171, 36.5439, 123.6475, 242.0360, 256.3839, 420.0969, 527.4939, 595.3939]
    np.testing.assert_allclose(metrics.pu21(luminance), expected, atol=2e-3)
    assert metrics.pu21(np.array([1e-9, 1e9])) == pytest.approx([0, 595.3939], abs=2e-3)


def test_psnr_of_a_known_difference() -> None:
    truth = np.ones((4, 4, 3), np.float32)
    light = truth.copy()
    light[0, 0, 0] = 10
    step = 420.0969 - 256.3839
    assert metrics.pu21_psnr(light, truth) == pytest.approx(10 * np.log10(595.39**2 / (step**2 / 48)), abs=1e-3)
    assert metrics.pu21_psnr(truth, truth) > 150


def test_figures_of_a_known_picture() -> None:
    truth = np.ones((1, 4, 3), np.float32)
    truth[0, :, 0] = 2, 4, 8, 1
    light = truth.copy()
    light[0, :, 0] = 2, 2, 2, 1
    clipped = truth > 1
    np.testing.assert_allclose(metrics.errors_in_stops(light, truth, clipped), [0, -1, -2])
    assert metrics.bias_above(light, truth, clipped, stops=1) == pytest.approx(-1.5)
    assert metrics.bias_above(light, truth, clipped, stops=2) == pytest.approx(-2)
    assert np.isnan(metrics.bias_above(light, truth, clipped, stops=3))
    assert metrics.energy(light, truth, clipped) == pytest.approx(3 / 11)
    bright = np.where(clipped, 1000, truth)
    assert metrics.energy(bright, bright, clipped, cap=256) == pytest.approx(1)


def test_hue_is_the_one_that_pictures_are_judged_by() -> None:
    """Two programs of one standard, written apart."""
    rng = np.random.default_rng(0)
    light, truth = (np.exp2(rng.normal(size=(20, 20, 3))).astype(np.float32) for _ in range(2))
    np.testing.assert_allclose(metrics.ictcp(light), pictures.ictcp(light), atol=2e-4)
    clipped = np.ones(light.shape, bool)
    expected = np.median(pictures.hue_errors(light.reshape(-1, 3), truth.reshape(-1, 3)))
    assert metrics.hue_error(light, truth, clipped) == pytest.approx(expected, abs=0.2)


def test_an_interval_holds_the_mean_and_narrows() -> None:
    pytest.importorskip("scipy")
    rng = np.random.default_rng(0)
    few, many = rng.normal(1, 1, 12), rng.normal(1, 1, 400)
    for values in (few, many):
        low, high = metrics.bca_interval(values)
        assert low < values.mean() < high
    low, high = metrics.bca_interval(many)
    # 95 percent of a mean of 400: plus and minus 1.96 / 20.
    assert high - low == pytest.approx(2 * 1.96 / 20, rel=0.15)
    assert metrics.bca_interval(np.array([2.0, 2.0, 2.0])) == (2.0, 2.0)


@pytest.fixture(scope="module")
def places() -> list[HDRImage]:
    return [HDRImage(f"place{i}", clean(scene(128, 256, seed=i)), True) for i in range(2)]


def test_cases_clip_what_they_say(places: list[HDRImage]) -> None:
    cases = list(held_out_cases(places[:1]))
    assert len(cases) == 2 * 4 * 2 * 2
    assert {case.storage for case in cases} == {"8-bit", "jpeg"}
    for case in cases:
        assert case.plate.dtype == np.uint8
        over = (case.truth > 1).any(2).mean()
        assert over == pytest.approx(case.share, abs=0.03)
        if case.response == "known" and case.storage == "8-bit":
            own = decode_srgb(case.plate / 255.0)
            assert np.median(np.abs(own - np.clip(case.truth, 0, 1))) < 0.01
    known, unknown = (next(c for c in cases if c.response == r and c.storage == "8-bit") for r in ("known", "unknown"))
    assert not np.array_equal(known.plate, unknown.plate)
    assert len(list(held_out_cases(places, quick=True))) == 2 * 2 * 2


def test_the_global_curve_is_the_median_of_each_code(places: list[HDRImage]) -> None:
    curve = GlobalCurve(held_out_cases(places, quick=True))
    assert (np.diff(curve.table) >= 0).all()
    assert curve.table[255] > 1, "clipped light is brighter than white"
    assert 0.1 < curve.table[128] / decode_srgb(128 / 255) < 5
    plate = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    assert np.array_equal(curve(plate), curve.table[plate])


def test_the_command_measures_rows_and_says_where_the_plate_loses(tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    data = tmp_path / "hdr"
    data.mkdir()
    for number in range(2):
        save(data / f"place{number}.exr", scene(128, 256, seed=number))
    (tmp_path / "split.toml").write_text('validation = ["place1"]')
    words = ("--data", data, "--split", tmp_path / "split.toml", "-o", tmp_path / "out", "--quick")
    ran = invoke(evaluate.command, *words, "--weights", f"ours={DEFAULT_WEIGHTS}")
    assert ran.code == 0, ran.err
    rows = json.loads((tmp_path / "out" / "summary.json").read_text())
    methods = ["plate linearized", "global curve", "ours raw", "ours"]
    assert [row["method"] for row in rows] == methods * 4
    for row in rows:
        if row["method"] == "plate linearized":
            assert row["energy"] == 0
            assert row["error"] > 0.05
            assert row["error_gain"] == [0, 0]
        if row["method"] == "ours" and row["response"] == "known":
            assert row["kept"] == 0, "measured channels come back bit for bit"
            assert row["energy"] > 0.05
    cases = (tmp_path / "out" / "cases.csv").read_text().splitlines()
    assert len(cases) == 1 + 4 * 4
    assert "7 percent clipped, response known" in ran.out


@pytest.mark.parametrize("words", [("--weights", "ours"), ("--weights", "ours=absent.safetensors")])
def test_wrong_weights_are_named(tmp_path: Path, words: tuple[str, ...]) -> None:
    data = tmp_path / "hdr"
    data.mkdir()
    for number in range(2):
        save(data / f"place{number}.exr", scene(32, 64, seed=number))
    (tmp_path / "split.toml").write_text('validation = ["place1"]')
    ran = invoke(
        evaluate.command, "--data", data, "--split", tmp_path / "split.toml", "-o", tmp_path / "out", "--quick", *words
    )
    assert ran.code == 2
    assert words[1].partition("=")[2] in ran.complaint
    assert not (tmp_path / "out").exists()


def test_the_bare_plate_is_linearized() -> None:
    codes = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    np.testing.assert_allclose(linearized(codes), decode_srgb(codes / 255.0), atol=1e-6)


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_without_the_repository_the_commands_say_where_they_live(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as there:
        monkeypatch.setattr("sys.argv", [name, "--help"])
        getattr(repository, name)()
    assert there.value.code == 0
    assert "--data" in capsys.readouterr().out
    for module in ("expandnet_training", "expandnet_training.main", "expandnet_training.evaluate"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SystemExit) as absent:
        getattr(repository, name)()
    assert absent.value.code == 2
    assert "clone of the repository" in capsys.readouterr().err
