"""Models for hosts that run them by themselves: the numbers of the product at one scale, in every form."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import ROOT, invoke
from expandnet_batch.tools import command as tools
from nuke_tcl import read_script, user_knob_options

from expandnet_ofx import Expander, Settings
from expandnet_ofx.export import flame_description, model
from expandnet_ofx.weights import DEFAULT_WEIGHTS

SIZES = ((48, 64), (33, 131), (150, 40))


def plate(height: int, width: int) -> np.ndarray:
    """Return an 8-bit plate with soft tones, a clipped area at its edge, saturated color and speckle."""
    rng = np.random.default_rng(height)
    y, x = np.mgrid[:height, :width]
    codes = 90 + 60 * np.sin(y / 9)[..., None] * np.cos(x / 13)[..., None] * np.array([1, 0.9, 0.7])
    codes = codes + rng.normal(0, 2, codes.shape)
    codes[height // 4 : height // 2, width // 3 : width] = 255
    codes[-9:-3, 4:20] = (255, 20, 20)
    codes[2:4, 2:4] = 255
    codes[12:18, 2:22] = np.linspace(200, 255, 20)[:, None]
    return np.clip(np.rint(codes), 0, 255).astype(np.uint8)


def product(codes: np.ndarray, **settings: object) -> np.ndarray:
    """Return what the product gives at one scale, without what it finds in a plate."""
    expander = Expander(Settings(**settings), device="cpu", threads=1)
    analysis = replace(
        expander.analyze(codes), recovered=None, rise=None, surround=None, broad=None, anchor=0.0,
        clip_levels=(1.0, 1.0, 1.0),
    )  # fmt: skip
    return expander.render(codes, analysis)


def tensor(codes: np.ndarray) -> torch.Tensor:
    shares = codes / 255 if codes.dtype == np.uint8 else codes
    return torch.from_numpy(shares.astype(np.float32).transpose(2, 0, 1)[None])


def run(network, codes: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return network(tensor(codes))[0].float().permute(1, 2, 0).numpy()


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory):
    target = tmp_path_factory.mktemp("export") / "ExpandNet.pt"
    ran = invoke(tools, "export", "torchscript", "-o", target)
    assert ran.code == 0, ran.err
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.load(str(target))


@pytest.mark.parametrize("size", SIZES)
def test_torchscript_gives_the_product_at_one_scale(scripted, size):
    codes = plate(*size)
    expected = product(codes)
    assert (expected > 1.1).any()
    np.testing.assert_allclose(run(scripted, codes), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "knobs",
    [
        {"stops": 1.5},
        {"threshold": 0.8, "full": 0.9},
        {"boldness": 0.3},
        {"saturated_max_stops": 0.5, "stops": 3.0},
        {"merge": "full"},
        {"merge": "full", "stops": -1.0},
    ],
)
def test_attributes_are_the_knobs_of_the_product(scripted, knobs):
    codes = plate(*SIZES[0])
    before = {name: getattr(scripted, name) for name in knobs}
    try:
        for name, value in knobs.items():
            setattr(scripted, name, {"highlights": 0, "full": 1}.get(value, value))
        found = run(scripted, codes)
    finally:
        for name, value in before.items():
            setattr(scripted, name, value)
    np.testing.assert_allclose(found, product(codes, **knobs), rtol=1e-4, atol=1e-5)
    assert np.abs(found - run(scripted, codes)).max() > 1e-3


def test_two_pictures_at_once_are_refused_and_boldness_held_to_its_range(scripted):
    with pytest.raises(torch.jit.Error, match="one picture at a time"):
        scripted(torch.zeros(2, 3, 32, 32))
    codes, before = plate(*SIZES[0]), scripted.boldness
    try:
        scripted.boldness = 5.0
        found = run(scripted, codes)
    finally:
        scripted.boldness = before
    np.testing.assert_allclose(found, product(codes, boldness=0.95), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_sample_that_is_no_number_harms_no_other(scripted, bad):
    codes = (plate(*SIZES[0]) / 255).astype(np.float32)
    codes[20, 30, 1] = bad
    found = run(scripted, codes)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, product(codes), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("white", [0.75, 0.8, 1.0])
def test_a_page_does_not_glow(scripted, white):
    codes = np.full((60, 80, 3), 60, np.uint8)
    codes[:, : round(white * 80)] = 255
    found, expected = run(scripted, codes), product(codes)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert (found.max() > 1.01) == (white < 0.9)


def test_bands_of_rows_are_the_whole(scripted):
    codes = plate(*SIZES[2])
    whole, pixels = run(scripted, codes), scripted.pixels
    try:
        for scripted.pixels in (0, 40 * 37):
            np.testing.assert_allclose(run(scripted, codes), whole, rtol=1e-5)
    finally:
        scripted.pixels = pixels


def test_half_input_gives_half_output_near_the_same(scripted):
    codes = plate(*SIZES[0])
    with torch.no_grad():
        found = scripted(tensor(codes).half())
    assert found.dtype == torch.half
    light = found[0].float().permute(1, 2, 0).numpy()
    expected = product(codes)
    # A code of half precision is off by 1/4096, so light by a thousandth, and the matte by a little more.
    assert np.abs(np.log2(light / expected))[expected > 0.05].max() < 0.03


def test_onnx_gives_the_product_at_one_scale_and_flame_its_sidecar(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    target = tmp_path / "ExpandNet.onnx"
    ran = invoke(tools, "export", "onnx", "-o", target, "--stops", 0.5)
    assert ran.code == 0, ran.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ExpandNet.json", "ExpandNet.onnx"]
    session = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
    for size in SIZES:
        codes = plate(*size)
        light = session.run(None, {"plate": tensor(codes).numpy()})[0][0].transpose(1, 2, 0)
        np.testing.assert_allclose(light, product(codes, stops=0.5), rtol=1e-4, atol=1e-5)
    described = json.loads((tmp_path / "ExpandNet.json").read_text())["ModelDescription"]
    operations = {node.op_type for node in onnx.load(target).graph.node}
    assert not operations & {"Loop", "If", "SequenceEmpty", "SequenceInsert", "ConcatFromSequence"}
    assert described == flame_description("ExpandNet")["ModelDescription"]
    assert [entry["Name"] for entry in described["Inputs"]] == [entry.name for entry in session.get_inputs()]
    assert [entry["Name"] for entry in described["Outputs"]] == [entry.name for entry in session.get_outputs()]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("torchscript", "-o", "a.onnx"), ".pt"),
        (("torchscript", "-o", "a.pt", "--stops", "40"), "stops"),
        (("torchscript", "-o", "a.pt", "--threshold", "0.999"), "threshold"),
        (("torchscript", "-o", "a.pt", "--weights", "absent.safetensors"), "absent"),
        (("torchscript", "-o", "/proc/a.pt"), "cannot be"),
    ],
)
def test_what_cannot_be_exported_is_one_line_and_leaves_nothing(tmp_path, monkeypatch, words, what):
    monkeypatch.chdir(tmp_path)
    ran = invoke(tools, "export", *words)
    assert ran.code in (1, 2)
    assert what in ran.err
    assert "Traceback" not in ran.err
    assert not list(tmp_path.iterdir())


def test_a_file_of_the_user_is_no_sidecar(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("shot.json").write_text('{"mine": 1}')
    ran = invoke(tools, "export", "onnx", "-o", "shot.onnx")
    assert ran.code == 1
    assert "shot.json" in ran.complaint
    assert [path.name for path in tmp_path.iterdir()] == ["shot.json"]
    assert Path("shot.json").read_text() == '{"mine": 1}'


def test_weights_of_another_curve_are_refused(authors_weights, tmp_path_factory):
    from expandnet_ofx.errors import WeightsError
    from expandnet_ofx.weights import save_weights

    path = tmp_path_factory.mktemp("w") / "authors.safetensors"
    save_weights(path, authors_weights.state, authors_weights.contract)
    with pytest.raises(WeightsError, match="log curve"):
        model(path, {})


def test_the_module_runs_by_itself_and_is_read_by_an_old_compiler(tmp_path):
    source = ROOT / "expandnet_ofx" / "export_model.py"
    tree = ast.parse(source.read_text(encoding="utf-8"), feature_version=(3, 8))
    imported = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    imported |= {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert imported == {"json", "math", "sys", "typing", "torch", "torch.nn", "safetensors"}
    target = tmp_path / "model.pt"
    # Elsewhere, so that the package cannot be found.
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-S", "-c", BARE, str(source), str(DEFAULT_WEIGHTS), str(target)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "SITE": os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["torch"] == torch.__version__
    assert target.stat().st_size > 1 << 20


BARE = """
import os, runpy, sys
sys.path += os.environ["SITE"].split(os.pathsep)
sys.modules["expandnet_ofx"] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_the_cattery_folder_fits_the_model(scripted):
    folder = ROOT / "nuke_plugin" / "Cattery" / "ExpandNet"
    listed = json.loads((folder / "cat.json").read_text())
    assert (folder / listed["cats"][0]["icon"]).is_file()
    script = (folder / "ExpandNet_CatFileCreator.nk").read_text(encoding="utf-8")
    pairs = next(found for kind, found in read_script(script) if kind == "CatFileCreator")
    values = dict(pairs)
    assert Path(values["catFile"]).name == listed["cats"][0]["filepath"]
    import tkinter

    for name, text in pairs:
        words = [str(word) for word in tkinter.Tcl().splitlist(text)]
        if name == "addUserKnob" and words[0] != "20":
            assert float(values.get(words[1], 0)) == getattr(scripted, words[1]), words[1]
            assert user_knob_options(words[2:])["t"].endswith(".")
