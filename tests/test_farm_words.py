"""What a farm job says and hears: paths of other systems, last steps, ranges, names; retries, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import ROOT, Outcome, invoke, plate, replace_network, save
from expandnet_batch.submission import opencue, openjd
from expandnet_batch.submission.job import FarmJob, FrameSet, Item, stepped_text
from expandnet_batch.submission.paths import PathRule, mapped, parse_rule
from expandnet_batch.tools import command as tools
from hypothesis import given, settings
from hypothesis import strategies as st

from expandnet_ofx.errors import UsageError
from expandnet_ofx.partials import partial_name, sweep


def job_of(frames: list[int], **more: object) -> FarmJob:
    items = tuple(Item(frame=frame, source="/a", output="/b") for frame in frames)
    fixed = {"name": "x", "options": {"memory": 0}, "window": 9, "chunk": 3, "gpu": False}
    return FarmJob(**{**fixed, "sequences": (FrameSet(name="a", items=items, group=0),), **more})  # type: ignore[arg-type]


@pytest.fixture
def shot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four stills of one sequence, without the network's arithmetic."""
    replace_network(monkeypatch)
    monkeypatch.chdir(tmp_path)
    for frame in range(1001, 1005):
        save(tmp_path / "in" / f"shot.{frame}.png", plate(frame, 24, 32))
    return tmp_path


def submit(*words: object, to: str = "slurm", output: str = "out") -> Outcome:
    return invoke(tools, "submit", "in/shot.####.png", "--output", output, "-o", "job", "--to", to, *words)


def run(*steps: str) -> None:
    for step in steps:
        ran = invoke(tools, "task", "job/job.json", step)
        assert ran.code == 0, ran.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--gpu", "--device", "cpu"], "--device cpu"),
        (["--gpu", "--engine", "openvino"], "openvino"),
        (["--map", "plates=/x"], "not an absolute folder"),
        (["--name", "x\nPool=evil"], "cannot be printed"),
    ],
)
def test_what_no_farm_could_honor_is_refused(shot: Path, words: list[str], told: str) -> None:
    ran = submit(*words)
    assert ran.code == 2
    assert told in ran.complaint
    assert not Path("job").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
def test_names_that_are_no_text_are_refused_before_anything_is_written(shot: Path) -> None:
    name = os.fsdecode(b"in/shot.\xff.1001.png")
    Path("in/shot.1001.png").rename(name)
    ran = invoke(tools, "submit", name, "--output", "out", "-o", "job", "--to", "openjd")
    assert ran.code == 2
    assert "not UTF-8" in ran.complaint
    assert not Path("job").exists()


def test_tasks_out_of_turn_say_which_comes_first(shot: Path) -> None:
    assert submit().code == 0
    ran = invoke(tools, "task", "job/job.json", "expand")
    assert ran.code != 0
    assert "smooth task" in ran.err
    run("analyze", "smooth", "expand")
    save(shot / "in" / "shot.1002.png", plate(9, 24, 32))
    ran = invoke(tools, "task", "job/job.json", "expand")
    assert ran.code == 1
    assert f"{shot}/in/shot.1002.png" in ran.err
    assert "run all analyze tasks" in ran.err


@pytest.mark.parametrize("change", [{"chunk": 0}, {"options": {}}, {"options": {"memory": "much"}}])
def test_a_damaged_job_is_told(shot: Path, change: dict[str, object]) -> None:
    assert submit().code == 0
    job = json.loads(Path("job/job.json").read_text())
    Path("job/job.json").write_text(json.dumps({**job, **change}))
    ran = invoke(tools, "task", "job/job.json", "analyze")
    assert ran.code == 2
    assert "not a job of expandnet submit" in ran.err


@pytest.mark.parametrize(
    ("words", "named"),
    [(["--then", ""], "--then"), (["--name", "{{x"], "{{x"), (["--frames", "1001 1002"], "1001 1002")],
)
def test_words_that_a_job_cannot_hold_are_told_when_it_is_made(shot: Path, words: list[str], named: str) -> None:
    ran = invoke(tools, "submit", "in/shot.####.png", "--output", "out", "-o", "job", "--to", "openjd", *words)
    assert ran.code == 2
    assert named in ran.err
    assert not Path("job").exists()


def test_a_drive_may_be_named_without_a_slash() -> None:
    rules = [parse_rule("Z:=/mnt/z")]
    assert mapped("Z:\\shots\\a.png", rules) == mapped("z:/shots/a.png", rules) == Path("/mnt/z/shots/a.png")


# The first example pays for the import.
@settings(deadline=None)
@given(st.sets(st.integers(0, 3000), min_size=1, max_size=60))
def test_ranges_for_openjd_hold_each_frame_once(frames: set[int]) -> None:
    """Read by the reference implementation."""
    model = pytest.importorskip("openjd.model")
    assert list(model.IntRangeExpr.from_str(stepped_text(sorted(frames)))) == sorted(frames)


def test_a_shot_on_twos_is_short_and_scattered_frames_are_refused(tmp_path: Path) -> None:
    assert stepped_text(range(1001, 1702, 2)) == "1001-1701:2"
    assert stepped_text([1, 2, 4, 9, 10, 11]) == "1-2,4,9-11"
    with pytest.raises(UsageError, match="scattered"):
        openjd.write(job_of([k * k for k in range(600)]), tmp_path, "expandnet")
    assert not list(tmp_path.iterdir())


def test_names_of_jobs_are_what_each_farm_takes(tmp_path: Path) -> None:
    made = openjd.write(job_of([1], name="{{x}}" * 60), tmp_path, "expandnet")
    name = json.loads(made[0].read_text())["name"]
    assert "{{" not in name
    assert len(name) <= 128
    assert opencue.outline_name(job_of([1], name="sh 010/comp é")) == "sh_010_comp__.py"


def test_a_folder_called_frames_stays_itself(tmp_path: Path) -> None:
    folder = tmp_path / "SHOW_FRAMES"
    code = opencue.write(job_of([1001]), folder, "expandnet")[0].read_text()
    said: list[list[str]] = []

    class Task:
        def __init__(self, *, code: str, **_: object) -> None:
            exec(code, {"frames": [1001, 1002], "self": self})

        def system(self, words: list[str]) -> None:
            said.append(words)

        def depend_all(self, _: Task) -> None:
            pass

    exec(code.replace("from outline.modules.shell import PyEval", ""), {"PyEval": Task})
    assert said[0][-2:] == ["--frames", "1001,1002"]
    assert str(folder / "job.json") in said[0]


def test_words_of_the_last_step_are_those_that_were_meant(shot: Path) -> None:
    (shot / "comp.nk").write_text("")
    assert (
        submit("--then", r"nuke -x -F {frames} comp.nk 'Z:\shots\my comp.nk' -o=x.{frames}", "--map", "Z:=/z").code == 0
    )
    job = FarmJob.load(Path("job/job.json"))
    assert job.last_words([1001, 1002, 1004]) == [
        "nuke", "-x", "-F", "1001-1002", "-F", "1004", str(shot / "comp.nk"), "/z/shots/my comp.nk", "-o=x.1001-1002,1004",
    ]  # fmt: skip
    paths = job_of([1], then=("ffmpeg", "-i", "/shots/x.{frames}.exr"), rules=(PathRule("/shots", "/mnt/shots"),))
    assert paths.last_words([7]) == ["ffmpeg", "-i", "/mnt/shots/x.7.exr"]


@pytest.mark.parametrize(
    ("then", "divided"),
    [(("nuke", "-F", "{frames}"), True), (("ffmpeg", "x.{frames}.exr"), True), (("touch", "x"), False)],
)
def test_a_last_step_is_divided_wherever_frames_stand_in_its_words(then: tuple[str, ...], divided: bool) -> None:
    assert job_of([1, 2, 3, 4], then=then).chunked("then") is divided


def test_a_job_in_a_folder_stays_what_it_is(shot: Path) -> None:
    assert submit().code == 0
    assert submit().code == 0
    ran = submit("--stops", 1)
    assert ran.code == 2
    assert "another job" in ran.complaint
    assert FarmJob.load(Path("job/job.json")).options["stops"] == 0


def test_results_that_cannot_say_what_they_are_are_refused(shot: Path) -> None:
    ran = submit(output="out/s.####.hdr")
    assert ran.code == 2
    assert ".hdr" in ran.complaint


def test_the_config_of_the_submitter_goes_along(shot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCIO", "ocio://default")
    assert submit().code == 0
    assert FarmJob.load(Path("job/job.json")).options["ocio"] == "ocio://default"
    monkeypatch.delenv("OCIO")
    run("analyze", "smooth", "expand")
    assert invoke(tools, "check", "job/job.json").code == 0


def test_analyses_outlive_a_copy_of_their_task_that_sees_no_plates(shot: Path) -> None:
    assert submit().code == 0
    run("analyze")
    kept = {path.name for path in Path("job/scratch/analyses").iterdir()}
    Path("in").rename("away")
    assert invoke(tools, "task", "job/job.json", "analyze").code == 1
    assert {path.name for path in Path("job/scratch/analyses").iterdir()} == kept
    Path("away").rename("in")
    run("smooth", "expand")


def test_check_looks_at_every_file_of_a_result(shot: Path) -> None:
    assert submit("--output-space", "aces2065-1", "--matte", "--preview", "all").code == 0
    run("analyze", "smooth", "expand")
    assert invoke(tools, "check", "job/job.json", "--keep-scratch").code == 0
    for lost in ("shot.1002.matte.exr", "shot.1003.preview.png"):
        there = Path("out", lost).read_bytes()
        Path("out", lost).unlink()
        ran = invoke(tools, "check", "job/job.json", "--keep-scratch")
        assert ran.code == 1
        assert lost in ran.err
        Path("out", lost).write_bytes(there)


def test_a_result_that_is_lost_after_all_was_well_can_be_made_again(shot: Path) -> None:
    assert submit().code == 0
    run("analyze", "smooth", "expand")
    assert invoke(tools, "check", "job/job.json").code == 0
    Path("out/shot.1002.exr").unlink()
    ran = invoke(tools, "task", "job/job.json", "expand", "--frames", "1002")
    assert ran.code == 1
    assert "run all analyze tasks of the job again" in ran.err
    run("analyze", "expand")
    assert invoke(tools, "check", "job/job.json").code == 0


def test_reports_of_tasks_never_take_each_others_place(shot: Path) -> None:
    assert submit("--steady", "off").code == 0
    there = Path("in/shot.1004.png").read_bytes()
    Path("in/shot.1004.png").write_bytes(b"nonsense")
    assert invoke(tools, "task", "job/job.json", "expand").code == 1
    Path("in/shot.1004.png").write_bytes(there)
    for _ in range(2):
        run("expand")
        assert invoke(tools, "check", "job/job.json").code == 0
    assert len(list(Path("job/reports").glob("*.json"))) == 3
    damaged = (
        "", "x", "[]", "{}", '{"frames": 3}', '{"frames": [3], "shots": []}', '{"frames": [{"output": "a"}], "shots": []}',
        '{"frames": [], "shots": [{"sequence": "a"}]}',
    )  # fmt: skip
    for number, text in enumerate(damaged):
        Path(f"job/reports/expand.0001-0002.{number}.json").write_text(text)
    ran = invoke(tools, "check", "job/job.json")
    assert ran.code == 0, ran.err
    assert ran.out.count("damaged") == len(damaged)
    frames = json.loads(Path("job/report.json").read_text())["frames"]
    assert {frame["status"] for frame in frames} <= {"done", "skipped"}
    assert len(frames) == 4


def test_the_last_steps_command_hears_that_it_is_to_end(shot: Path) -> None:
    (shot / "last.py").write_text(
        "import pathlib, signal, sys, time\n"
        "def end(*_):\n    pathlib.Path('heard').write_text('')\n    sys.exit(3)\n"
        "signal.signal(signal.SIGTERM, end)\npathlib.Path('ready').write_text('')\ntime.sleep(60)\n"
    )
    assert submit("--then", f"{sys.executable} last.py").code == 0
    words = [sys.executable, "-c", "from expandnet_batch.tools import main; main()", "task", "job/job.json", "then"]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "cli")])
    task = subprocess.Popen(words, env={**os.environ, "PYTHONPATH": paths})
    until = time.monotonic() + 60
    while not Path("ready").exists() and time.monotonic() < until:
        time.sleep(0.05)
    task.terminate()
    assert task.wait(30) == 143
    assert Path("heard").exists()


def test_files_of_other_machines_with_our_name_are_not_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers and cloned machines: the same name, other process numbers."""
    from expandnet_ofx import partials

    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    monkeypatch.setattr(partials.os, "getpid", lambda: int(gone.stdout))
    ours = partial_name(tmp_path / "a.exr")
    partials._host.cache_clear()
    monkeypatch.setattr(partials.os, "readlink", lambda _: "pid:[1]")
    theirs = partial_name(tmp_path / "b.exr")
    ours.touch()
    theirs.touch()
    assert sweep(tmp_path) == [theirs]
    partials._host.cache_clear()
    monkeypatch.undo()
    assert sweep(tmp_path) == [ours]


def test_a_task_is_of_frames_or_of_a_chunk(shot: Path) -> None:
    assert submit().code == 0
    ran = invoke(tools, "task", "job/job.json", "analyze", "--frames", "1001", "--chunk", "0")
    assert ran.code == 2
    assert "choose one" in ran.complaint
