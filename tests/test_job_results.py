"""Results of farm jobs: with masks, of tiles, and which of them are good though the job or its place is another."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import farms
import numpy as np
import pytest
from commands import batch, pixels_of, plate, save
from expandnet_batch.submission.job import FarmJob
from expandnet_batch.submission.paths import PathRule
from fakes import PointEngine
from farms import FRAMES, NAMES, run_all, same_as_a_batch, task, written

from expandnet_ofx.weights import Weights, save_weights

shot = farms.shot
pytestmark = pytest.mark.usefixtures("light_network")


def test_masks_go_along_with_a_job(shot: Path) -> None:
    for frame in FRAMES:
        mask = np.zeros((48, 64, 3), np.uint8)
        mask[:, : 4 * (frame - 1000)] = 255
        save(shot / "masks" / f"m.{frame}.png", mask)
    written("--mask", "masks/m.####.png")
    run_all()
    assert task("check", "job/job.json").code == 0
    same_as_a_batch("out", "--mask", "masks/m.####.png")
    light = pixels_of(Path("out") / NAMES[6])
    assert light[:20, 16:26].max() <= 1 < light[:20, 32:44].max(), "a clipped square, to the left of which a mask lies"
    # Where workers see them.
    job = replace(FarmJob.load(Path("job/job.json")), rules=(PathRule(str(shot), "/there"),))
    assert job.here(job.sequences[0], [1002]).jobs[0].mask == Path("/there/masks/m.1002.png")
    # Another mask under the same name is another result.
    save(shot / "masks" / "m.1003.png", np.zeros((48, 64, 3), np.uint8))
    ran = task("check", "job/job.json")
    assert ran.code == 1
    assert "shot.1003.exr" in ran.err


def test_tiles_of_a_job_are_those_of_a_batch(shot: Path) -> None:
    for tile in (1001, 1002, 1011):
        save(shot / "uv" / f"wall.{tile}.png", plate(tile, 48, 64))
    fixed = ("--output", "out/wall.<UDIM>.exr", "-o", "job", "--to", "slurm", "--chunk", 2, "--threads", 1)
    ran = task("submit", "uv/wall.<UDIM>.png", *fixed)
    assert ran.code == 0, ran.err
    run_all(2)
    assert task("check", "job/job.json").code == 0
    ran = batch("uv/wall.<UDIM>.png", "-o", "batch/wall.<UDIM>.exr", "--json", "batch.json")
    assert ran.code == 0, ran.err
    for tile in (1001, 1002, 1011):
        name = f"wall.{tile}.exr"
        np.testing.assert_array_equal(pixels_of(Path("out") / name), pixels_of(Path("batch") / name))
    told = [json.loads(Path(name).read_text())["shots"] for name in ("job/report.json", "batch.json")]
    assert [one["because"] for one in told[0]] == [one["because"] for one in told[1]] == ["tiles of one picture"]


def test_analyses_of_other_settings_are_made_anew(shot: Path) -> None:
    """A job's file was edited, or workers have another version by now."""
    job = written(chunk=7)
    assert task("task", "job/job.json", "analyze").code == 0
    replace(job, options={**job.options, "white": 0.9}).save(Path("job/job.json"))
    run_all(1)
    same_as_a_batch("out", "--white", 0.9)


def test_results_of_another_machine_are_good_and_of_other_weights_are_not(
    shot: Path, monkeypatch: pytest.MonkeyPatch, default_weights: Weights
) -> None:
    written("--steady", "off")
    with monkeypatch.context() as other:
        for name in ("device", "name", "precision"):
            other.setattr(PointEngine, name, "elsewhere")
        assert task("task", "job/job.json", "expand").code == 0
    ran = task("check", "job/job.json")
    assert ran.code == 0, ran.err
    state = {name: value * np.float32(1.001) for name, value in default_weights.state.items()}
    save_weights(shot / "other.safetensors", state, default_weights.contract)
    assert batch("in/shot.1002.png", "-o", "out", "--steady", "off", "--weights", "other.safetensors").code == 0
    ran = task("check", "job/job.json")
    assert ran.code == 1
    assert "shot.1002.exr" in ran.err
