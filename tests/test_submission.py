"""Tasks of farm jobs, which give the pixels of a batch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import farms
import numpy as np
import pytest
from commands import batch, invoke, needs_torch, pixels_of, plate, replace_network, save
from expandnet_batch.submission.job import FarmJob
from expandnet_batch.tools import command as tools
from farms import FRAMES, NAMES, PROGRAM, QUIET, run_all, same_as_a_batch, task, written

from expandnet_ofx.partials import partial_name

shot = farms.shot


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the network's arithmetic, for tasks that run inside the test."""
    replace_network(monkeypatch)


def test_stills_have_no_analyses_and_movies_are_refused(shot: Path, light: None) -> None:
    save(shot / "art" / "one.png", plate(1))
    save(shot / "art" / "two.png", plate(2))
    words = ("-o", "job", "--to", "slurm", "--output", "out", "--threads", 1)
    assert invoke(tools, "submit", "art", *words).code == 0
    job = FarmJob.load(Path("job/job.json"))
    assert job.steps == ("expand", "check")
    assert job.frames == [1, 2]
    assert task("task", "job/job.json", "expand").code == 0
    assert task("check", "job/job.json").code == 0
    (shot / "clip.mov").write_bytes(b"")
    ran = invoke(tools, "submit", "clip.mov", *words)
    assert (ran.code, "a movie" in ran.complaint) == (2, True)


def test_a_job_takes_no_options_that_it_would_not_heed(shot: Path) -> None:
    for words in (("--existing", "overwrite"), ("--existing", "skip"), ("--dry-run",), ("--json", "r.json")):
        ran = invoke(tools, "submit", "in/shot.####.png", "--output", "out", "-o", "job", "--to", "slurm", *words)
        assert ran.code == 2
        assert f"{words[0]}: not for a farm job" in ran.err
        assert not Path("job").exists()


def test_tasks_give_the_pixels_of_a_batch_and_leave_only_what_is_asked(shot: Path, light: None) -> None:
    written()
    run_all()
    ran = task("check", "job/job.json")
    assert ran.code == 0
    assert "7 of 7 results are complete" in ran.out
    same_as_a_batch("out")
    left = sorted(str(p.relative_to("job")) for p in Path("job").rglob("*") if p.is_file())
    assert [name for name in left if name.startswith("scratch")] == ["scratch/steady.0.json"]
    report = json.loads(Path("job/report.json").read_text())
    assert report["complete"] is True
    assert [Path(frame["output"]).name for frame in report["frames"]] == NAMES
    assert all(frame["status"] == "done" for frame in report["frames"])
    (found,) = report["shots"]
    assert found["frames"] == [1001, 1007]
    # Chunks are joined: the figures are those of one batch over the whole shot.
    ran_whole = batch("in/shot.####.png", "-o", "whole", "--json", "whole.json")
    assert ran_whole.code == 0
    (whole,) = json.loads(Path("whole.json").read_text())["shots"]
    assert whole["flicker_pixels"] > 0
    assert {name: found[name] for name in whole} == whole
    assert f"95 % by less than {whole['flicker_95']:.3f}" in ran.out
    assert not list(Path("job").rglob("*.npz"))
    assert task("check", "job/job.json").code == 0
    assert json.loads(Path("job/report.json").read_text()) == report, "looking again changes nothing"
    # What a farm made is up to date for a batch as well.
    assert "7 up to date" in batch("in/shot.####.png", "-o", "out", "--existing", "skip").out


def test_flicker_is_that_of_the_last_results_however_often_tasks_ran(shot: Path, light: None) -> None:
    def figures() -> tuple[dict, dict]:
        assert task("check", "job/job.json", "--keep-scratch").code == 0
        report = json.loads(Path("job/report.json").read_text())
        assert not {"interrupted", "left", "seconds"} & report.keys()
        assert batch("in/shot.####.png", "-o", "whole", "--json", "whole.json").code == 0
        return report["shots"][0], json.loads(Path("whole.json").read_text())["shots"][0]

    written()
    for k in range(3):
        assert task("task", "job/job.json", "analyze", "--chunk", k).code == 0
    assert task("task", "job/job.json", "smooth").code == 0
    # Killed after two frames, and run again.
    assert task("task", "job/job.json", "expand", "--frames", "1001-1002").code == 0
    for k in range(3):
        assert task("task", "job/job.json", "expand", "--chunk", k).code == 0
    found, whole = figures()
    assert whole["flicker_changes"] == 6
    assert {name: found[name] for name in whole} == whole
    # A lost copy was told to end when all was done.
    last = sorted(Path("job/reports").glob("expand.*.json"), key=lambda path: path.stat().st_mtime)[-1]
    said = json.loads(last.read_text())
    Path("job/reports/expand.1001-1003.0badf00d.json").write_text(json.dumps({**said, "interrupted": True, "left": 3}))
    # A plate was rendered again.
    save(Path("in/shot.1003.png"), (pixels_of(Path("in/shot.1003.png")) * 0.8 * 255).astype(np.uint8))
    run_all()
    before = whole
    found, whole = figures()
    assert whole != before
    assert {name: found[name] for name in whole} == whole
    # A frame of which nothing was kept is told, unless the figures of all are known.
    Path("job/report.json").unlink()
    next(Path("job/reports").glob("glimpse.*.1004.npz")).write_bytes(b"damaged")
    assert "4 of 6 changes were looked at" in task("check", "job/job.json").out


def test_tasks_that_run_again_take_nothing_from_the_report(shot: Path, light: None) -> None:
    written()
    for _ in range(2):
        run_all()
    assert task("check", "job/job.json").code == 0
    frames = json.loads(Path("job/report.json").read_text())["frames"]
    assert [frame["status"] for frame in frames] == ["done"] * 7


def test_a_frame_that_is_made_again_after_all_is_told_beside_the_flicker_of_before(shot: Path, light: None) -> None:
    written()
    run_all()
    assert task("check", "job/job.json").code == 0
    (before,) = json.loads(Path("job/report.json").read_text())["shots"]
    Path("out/shot.1004.exr").unlink()
    run_all()
    for _ in range(2):
        ran = task("check", "job/job.json")
        assert ran.code == 0
        assert "frames that were made since: 1" in ran.out
        (after,) = json.loads(Path("job/report.json").read_text())["shots"]
        assert {**before, "flicker_since": 1} == after


def test_tasks_speak_json_alone_where_that_is_asked(shot: Path, light: None) -> None:
    written("--then", "true")
    for words in (
        *(("task", "job/job.json", "analyze", "--chunk", k) for k in range(3)),
        ("task", "job/job.json", "smooth"),
        *(("task", "job/job.json", "expand", "--chunk", k) for k in range(3)),
        ("check", "job/job.json"),
        ("task", "job/job.json", "then"),
    ):
        ran = task(*words, "--progress", "json")
        assert ran.code == 0
        assert all("event" in json.loads(line) for line in ran.out.splitlines())


def test_what_killed_tasks_leave_beside_the_job_is_swept(shot: Path, light: None) -> None:
    written()
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    left = []
    for folder in ("job", "job/reports", "job/scratch", "job/scratch/analyses", "shots"):
        Path(folder).mkdir(exist_ok=True, parents=True)
        name = partial_name(Path(folder, "a.json"))
        left.append(name.with_name(name.name.replace(f"-{os.getpid()}-", f"-{int(gone.stdout)}-")))
        left[-1].touch()
    assert task("task", "job/job.json", "analyze", "--chunk", 0).code == 0
    assert task("analyze", "in/shot.####.png", "-o", "shots/a.json", "--frames", "1001").code == 0
    assert not [path for path in left if path.exists()]


def test_tasks_take_the_config_of_the_submitter_also_if_there_was_none(
    shot: Path, light: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OCIO", raising=False)
    job = written("--input-space", "sRGB Encoded Rec.709 (sRGB)", "--steady", "off")
    assert job.options["ocio"] == "ocio://default"
    assert written(job="other").options["ocio"] is None
    monkeypatch.setenv("OCIO", "absent.ocio")
    assert task("task", "job/job.json", "expand").code == 0
    monkeypatch.delenv("OCIO")
    words = ("in/shot.####.png", "-o", "out", "--input-space", "sRGB Encoded Rec.709 (sRGB)", "--steady", "off")
    assert "7 up to date" in batch(*words, "--existing", "skip").out


def test_tasks_run_again_do_nothing_twice(shot: Path, light: None) -> None:
    written()
    run_all()
    before = {path: path.stat().st_mtime_ns for path in Path("out").iterdir()}
    raw = {path: path.stat().st_mtime_ns for path in Path("job/scratch/analyses").iterdir()}
    run_all()
    assert {path: path.stat().st_mtime_ns for path in Path("out").iterdir()} == before
    assert {path: path.stat().st_mtime_ns for path in Path("job/scratch/analyses").iterdir()} == raw
    assert task("check", "job/job.json").code == 0
    report = json.loads(Path("job/report.json").read_text())
    assert all(frame["status"] == "done" for frame in report["frames"])


def test_a_chunk_reads_the_maps_of_its_frames_and_their_neighbors_alone(shot: Path, light: None) -> None:
    written("--steady", 3)
    for words in (*(("analyze", "--chunk", k) for k in range(3)), ("smooth",)):
        assert task("task", "job/job.json", *words).code == 0
    assert not list(Path("job/scratch").glob("*.maps.exr")), "smoothing writes numbers alone"
    maps = Path("job/scratch/analyses")
    for frame in (1005, 1006, 1007):
        next(maps.glob(f"0.{frame}.{frame}.*.maps.exr")).unlink()
    assert task("task", "job/job.json", "expand", "--chunk", 0).code == 0
    for path in Path("out").iterdir():
        path.unlink()
    lost = next(maps.glob("0.1004.1004.*.maps.exr"))
    lost.unlink()
    ran = task("task", "job/job.json", "expand", "--chunk", 0)
    assert (ran.code, lost.name in ran.out + ran.err) == (1, True)
    assert sorted(path.name for path in Path("out").iterdir()) == NAMES[:2]


def test_a_plate_that_was_analyzed_again_needs_smoothing_again(shot: Path, light: None) -> None:
    written("--steady", 3)
    run_all()
    for path in Path("out").iterdir():
        path.unlink()
    save(Path("in/shot.1004.png"), plate(9, 48, 64))
    assert task("task", "job/job.json", "analyze", "--chunk", 1).code == 0
    ran = task("task", "job/job.json", "expand", "--chunk", 0)
    assert (ran.code, "0.1004.json: made from another plate" in ran.out + ran.err) == (1, True)
    assert task("task", "job/job.json", "smooth").code == 0
    assert task("task", "job/job.json", "expand", "--chunk", 0).code == 0


def test_check_finds_what_is_missing_damaged_or_of_other_plates(shot: Path, light: None) -> None:
    written()
    run_all()
    Path("out/shot.1001.exr").unlink()
    damaged = Path("out/shot.1002.exr")
    damaged.write_bytes(damaged.read_bytes()[:-300])
    assert batch("in/shot.1003.png", "-o", "out", "--stops", "1").code == 0
    save(Path("in/shot.1004.png"), plate(9, 48, 64))
    ran = task("check", "job/job.json")
    assert ran.code == 1
    assert "3 of 7" in ran.out
    for name in ("shot.1001.exr: is not there", "shot.1002.exr: is damaged", "shot.1003.exr", "shot.1004.png"):
        assert name in ran.err
    report = json.loads(Path("job/report.json").read_text())
    assert (report["complete"], len(report["wrong"])) == (False, 4)
    assert list(Path("job/scratch/analyses").glob("*.maps.exr")), "a job that is not done keeps what it needs"


def test_check_looks_beside_the_results(shot: Path, light: None) -> None:
    written("--output-space", "aces2065-1", "--matte", "--preview", "all")
    run_all()
    matte, sheet = Path("out/shot.1002.matte.exr"), Path("out/shot.1003.preview.png")
    matte.write_bytes(matte.read_bytes()[:2000])
    sheet.write_bytes(b"")
    ran = task("check", "job/job.json")
    assert ran.code == 1
    assert "5 of 7" in ran.out
    assert "shot.1002.exr: is damaged" in ran.err
    assert "shot.1003.exr: is damaged" in ran.err
    run_all()
    assert task("check", "job/job.json").code == 0


def test_a_frame_that_is_complete_after_all_is_not_called_failed(shot: Path, light: None) -> None:
    written()
    run_all()
    kept = Path("in/shot.1002.png").rename("away.png")
    assert task("task", "job/job.json", "expand", "--chunk", 0).code == 1
    kept.rename("in/shot.1002.png")
    assert task("task", "job/job.json", "expand", "--chunk", 0).code == 0
    assert task("check", "job/job.json").code == 0
    report = json.loads(Path("job/report.json").read_text())
    assert {frame["status"] for frame in report["frames"]} == {"done"}
    assert all(frame["width"] for frame in report["frames"])


def test_steps_that_come_too_early_say_what_is_missing(shot: Path, light: None) -> None:
    written()
    ran = task("task", "job/job.json", "smooth")
    assert (ran.code, "frame 1001 is not analyzed" in ran.complaint) == (1, True)
    assert task("task", "job/job.json", "expand").code == 1
    Path("in/shot.1002.png").write_bytes(b"nonsense")
    ran = task("task", "job/job.json", "analyze")
    assert (ran.code, "shot.1002.png" in ran.complaint) == (1, True)
    assert not Path("job/scratch/analyses/0.1002.json").exists()


def test_views_of_a_job_share_their_analysis(shot: Path, light: None) -> None:
    for frame in FRAMES:
        for view, level in (("left", 1.0), ("right", 0.97)):
            picture = pixels_of(Path(f"in/shot.{frame}.png")) * level
            save(Path(f"in/{view}.{frame}.png"), np.rint(255 * picture).astype(np.uint8))
    words = ("in/%V.####.png", "--views", "left,right")
    fixed = ("--output", "out/%V.####.exr", "-o", "job", "--to", "slurm", "--chunk", 3, "--threads", 1)
    assert invoke(tools, "submit", *words, *fixed).code == 0
    run_all()
    assert task("check", "job/job.json").code == 0
    assert batch(*words, "-o", "batch/%V.####.exr").code == 0
    for path in Path("batch").iterdir():
        np.testing.assert_array_equal(pixels_of(path), pixels_of(Path("out") / path.name))
    assert len(list(Path("batch").iterdir())) == 14


def test_a_job_of_windows_runs_here(shot: Path, light: None) -> None:
    written("--map", f"Z:\\show={shot}")
    path = Path("job/job.json")
    data = json.loads(path.read_text())
    for item in data["sequences"][0]["items"]:
        for name in ("source", "output"):
            item[name] = item[name].replace(str(shot), "z:\\SHOW").replace("/", "\\")
    path.write_text(json.dumps(data))
    run_all()
    assert sorted(p.name for p in Path("out").iterdir()) == NAMES
    data["rules"] = []
    path.write_text(json.dumps(data))
    assert task("task", "job/job.json", "expand").code == 2
    rules = {"path_mapping_rules": [{"source_path": "Z:\\show", "destination_path": str(shot)}]}
    Path("rules.json").write_text(json.dumps(rules))
    assert task("task", "job/job.json", "expand", "--path-map", "rules.json").code == 0


def test_a_last_step_that_fails_fails_its_task(shot: Path, light: None) -> None:
    (shot / "last.py").write_text("import sys\nsys.exit(3)\n")
    written("--then", f"{sys.executable} last.py")
    assert task("task", "job/job.json", "then").code == 3


def start_task(*words: object) -> subprocess.Popen[str]:
    command = [PROGRAM or "expandnet", *map(str, words)]
    return subprocess.Popen(command, env=QUIET, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def done(process: subprocess.Popen[str]) -> None:
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err


@needs_torch
def test_a_killed_task_and_one_beside_its_zombie_end_the_same(shot: Path) -> None:
    written()
    for step in ("analyze", "smooth"):
        assert task("task", "job/job.json", step).code == 0
    killed = start_task("task", "job/job.json", "expand")
    assert killed.stdout is not None
    while "out" not in killed.stdout.readline():
        assert killed.poll() is None
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    twins = [start_task("task", "job/job.json", "expand") for _ in range(2)]
    for twin in twins:
        done(twin)
    assert sorted(p.name for p in Path("out").iterdir() if not p.name.startswith(".")) == NAMES
    done(start_task("check", "job/job.json"))
    same_as_a_batch("out")


@needs_torch
def test_a_task_that_asked_for_a_gpu_does_not_run_without_one(shot: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    written("--gpu")
    ran = task("task", "job/job.json", "expand")
    assert ran.code == 2
    assert "cuda" in ran.complaint
    assert not Path("out").exists()


@needs_torch
def test_results_are_checked_without_the_accelerator_that_made_them(shot: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    written("--gpu", "--precision", "half", "--steady", "off")
    ran = task("check", "job/job.json")
    assert ran.code == 1
    assert "shot.1001.exr: is not there" in ran.err
