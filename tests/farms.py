"""A shot to submit to farms, and the jobs that are written for it."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import Outcome, batch, invoke, pixels_of, plate, save
from expandnet_batch.submission.job import FarmJob
from expandnet_batch.tools import command as tools

FRAMES = range(1001, 1008)
NAMES = [f"shot.{frame}.exr" for frame in FRAMES]
PROGRAM = shutil.which("expandnet", path=str(Path(sys.executable).parent))
QUIET = {**os.environ, "OMP_NUM_THREADS": "1"}


def needed(present: bool, what: str) -> None:
    """Skip a test where a farm's programs are missing; where they must be there, fail."""
    if not present and os.environ.get("EXPANDNET_FARM_TESTS") == "required":
        pytest.fail(f"{what} is missing")
    if not present:
        pytest.skip(f"{what} is missing")


@pytest.fixture
def shot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Seven frames of a pan across a clipped window."""
    monkeypatch.chdir(tmp_path)
    scene = plate(0, 48, 128)
    scene[:24, :32] = 120
    scene[12:36, 50:76] = 255
    for k, frame in enumerate(FRAMES):
        noise = np.random.default_rng(k).integers(-1, 2, (48, 64, 3))
        picture = np.clip(scene[:, 3 * k : 3 * k + 64].astype(int) + noise, 0, 255).astype(np.uint8)
        save(tmp_path / "in" / f"shot.{frame}.png", picture)
    return tmp_path


def submit(*words: object, to: str = "slurm", job: str = "job", chunk: int = 3) -> Outcome:
    fixed = ("in/shot.####.png", "--output", "out", "-o", job, "--to", to, "--chunk", chunk, "--threads", 1)
    return invoke(tools, "submit", *fixed, "--executable", PROGRAM or "expandnet", *words)


def written(*words: object, to: str = "slurm", job: str = "job", chunk: int = 3) -> FarmJob:
    ran = submit(*words, to=to, job=job, chunk=chunk)
    assert ran.code == 0, ran.err
    return FarmJob.load(Path(job) / "job.json")


def task(*words: object) -> Outcome:
    return invoke(tools, *words)


def run_all(chunks: int = 3, file: str = "job/job.json") -> None:
    for words in (
        *(("task", file, "analyze", "--chunk", k) for k in range(chunks)),
        ("task", file, "smooth"),
        *(("task", file, "expand", "--chunk", k) for k in range(chunks)),
    ):
        ran = task(*words)
        assert ran.code == 0, ran.err


def same_as_a_batch(folder: str, *words: object) -> None:
    assert batch("in/shot.####.png", "-o", "batch", *words).code == 0
    for name in NAMES:
        np.testing.assert_array_equal(pixels_of(Path(folder) / name), pixels_of(Path("batch") / name))
