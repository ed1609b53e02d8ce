"""The paper's comparison: the networks beside ExpandNet, the command end to end."""

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
from compared import CHOICES, case_of, row_of
from expandnet_comparison import main, sheets
from expandnet_comparison.choices import Choices
from expandnet_comparison.main import command
from expandnet_comparison.methods import BASE, Reproduced, rows
from expandnet_comparison.networks import NETWORKS
from expandnet_comparison.operators import OPERATORS
from expandnet_comparison.quality import Judge
from expandnet_comparison.store import Store
from expandnet_comparison.summary import OURS
from expandnet_training import losses, plots, pu
from expandnet_training.hdr_images import LUMINANCE, HDRImage, clean
from expandnet_training.loop import Trainer
from expandnet_training.recipe import Recipe, load_recipe
from panoramas import CONFIGS, save, scene, seeded
from PIL import Image

from expandnet_ofx.errors import UsageError, WeightsError
from expandnet_ofx.weights import DEFAULT_WEIGHTS

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


def test_the_loss_of_hdrcnn_splits_light_as_its_paper_does() -> None:
    """Reckoned by SciPy's Gaussian: 13 x 13 pixels, sigma 2; pixels of which one channel clipped count."""
    ndimage = pytest.importorskip("scipy.ndimage")
    found, true = (torch.exp2(2 * torch.randn(1, 3, 24, 30, generator=seeded(k))) for k in range(2))
    clipped = torch.rand(1, 3, 24, 30, generator=seeded(2)) < 0.2
    logarithms, low = [], []
    for light in (found, true):
        picture = light[0].double().numpy()
        logarithms.append(np.log(picture + 1 / 255))
        luminance = np.tensordot([0.2126, 0.7152, 0.0722], picture, 1)
        low.append(ndimage.gaussian_filter(np.log(luminance + 1 / 255), 2, radius=6, mode="nearest"))
    chosen = clipped[0].any(0).numpy()
    broad = ((low[0] - low[1]) ** 2)[chosen].mean()
    fine = (((logarithms[0] - low[0]) - (logarithms[1] - low[1])) ** 2).mean(0)[chosen].mean()
    expected = 0.5 * broad + 0.5 * fine
    assert float(losses.illumination(found, true, clipped)) == pytest.approx(expected, rel=1e-4)


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
