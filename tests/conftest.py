"""Fixtures that the tests of the core share."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if "PYTEST_XDIST_WORKER" in os.environ:
    # Tests beside each other must not each take all processors; before PyTorch is loaded, which reads it once.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import commands
import numpy as np
import pytest

from expandnet_ofx import Expander, Weights, load_weights
from expandnet_ofx.weights import Contract

if TYPE_CHECKING:
    from expandnet_training.hdr_images import HDRImage
    from nuke_comp import Comp

NEEDS_TORCH = (
    "test_analyses.py",
    "test_arrays.py",
    "test_authors.py",
    "test_bad_files.py",
    "test_batch.py",
    "test_batch_frames.py",
    "test_batch_settings.py",
    "test_camera.py",
    "test_channels.py",
    "test_comparison.py",
    "test_comparison_measures.py",
    "test_convert.py",
    "test_evaluation.py",
    "test_existing.py",
    "test_expander.py",
    "test_export.py",
    "test_hdrvdp.py",
    "test_lamps.py",
    "test_metadata.py",
    "test_movie_batch.py",
    "test_network.py",
    "test_nuke_host.py",
    "test_nuke_jobs.py",
    "test_nuke_plugin.py",
    "test_nuke_scripts.py",
    "test_operators.py",
    "test_picture.py",
    "test_pixels.py",
    "test_recovered.py",
    "test_reliability.py",
    "test_surround.py",
    "test_survey.py",
    "test_tail.py",
    "test_tiling.py",
    "test_tools.py",
    "test_trainer.py",
    "test_training.py",
    "test_training_images.py",
    "test_weights.py",
    "test_worker.py",
    "test_worker_process.py",
)

if find_spec("torch") is None:
    collect_ignore = list(NEEDS_TORCH)


def pytest_report_header() -> str | None:
    return None if find_spec("torch") else f"no torch here, left out: {', '.join(NEEDS_TORCH)}"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data beside the project."""
    folder = Path(__file__).parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("needs the reference data in ../shared")
    return folder


@pytest.fixture(scope="session")
def default_weights() -> Weights:
    return load_weights()


@pytest.fixture(scope="session")
def authors_pth(shared: Path) -> Path:
    return shared / "data" / "weights" / "expandnet_authors.pth"


@pytest.fixture(scope="session")
def authors_weights(authors_pth: Path, tmp_path_factory: pytest.TempPathFactory) -> Weights:
    from expandnet_ofx.weights_import import import_pth

    return import_pth(authors_pth, tmp_path_factory.mktemp("weights") / "authors.safetensors")


@pytest.fixture(scope="session")
def random_weights() -> Weights:
    """Random parameters whose prediction is the sigmoid itself."""
    from plain_network import random_state

    state = {name: value.numpy() for name, value in random_state(3).items()}
    return Weights(state=state, contract=Contract(name="random", output_curve="linear"), sha256="1" * 64)


@pytest.fixture(scope="session")
def plain_expander(default_weights: Weights) -> Expander:
    """The expander with all settings at their defaults, in float32 on the CPU."""
    return Expander(weights=default_weights, device="cpu")


@pytest.fixture(scope="session")
def natural_plate() -> np.ndarray:
    """A small 8-bit plate with a texture of falling spectrum, gradients and a few percent of clipped light."""
    rng = np.random.default_rng(11)
    y, x = np.mgrid[:144, :192] / 144
    light = 0.18 * np.exp2(3 * y - 1 + 1.5 * np.sin(5 * x))[..., None] * np.array([1.1, 1.0, 0.85])
    for scale in (1, 2, 4, 8, 16):
        coarse = rng.normal(size=(-(-144 // scale), -(-192 // scale), 3)) * 0.12
        light *= np.exp2(coarse.repeat(scale, 0).repeat(scale, 1)[:144, :192])
    light[(x - 0.9) ** 2 + (y - 0.3) ** 2 < 0.01] = 40.0
    code = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.clip(code * 255 + 0.5, 0, 255).astype(np.uint8)


@pytest.fixture
def light_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run commands in a folder of their own, with a stand-in for the network."""
    commands.replace_network(monkeypatch)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def shot(tmp_path: Path) -> Path:
    """A folder with four frames."""
    for number, name in enumerate(commands.SHOT):
        commands.save(tmp_path / "in" / name, commands.plate(number))
    return tmp_path / "in"


@pytest.fixture(scope="module")
def images() -> list[HDRImage]:
    from expandnet_training.hdr_images import HDRImage, clean
    from panoramas import scene

    return [HDRImage(f"place{i}", clean(scene(seed=i)), True) for i in range(2)]


@pytest.fixture(scope="module")
def runtime() -> Iterator[Path]:
    """One worker for all tests of a file."""
    from expandnet_batch.worker.main import command as worker_command

    with tempfile.TemporaryDirectory(prefix="w") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPANDNET_RUNTIME", folder)
        patch.setenv("OMP_NUM_THREADS", "1")
        yield Path(folder)
        commands.invoke(worker_command, "--stop", "--device", "cpu")


@pytest.fixture
def comp(runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Comp]:
    from nuke_comp import PLUGIN, Comp

    monkeypatch.syspath_prepend(str(PLUGIN))
    made = Comp(tmp_path)
    yield made
    made.close()
    sys.modules.pop("nuke", None)
