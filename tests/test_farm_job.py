"""The file of a farm job, and the paths in it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import farms
import pytest
from expandnet_batch.submission.job import FarmJob, FrameSet, Item
from expandnet_batch.submission.paths import PathRule, mapped, parse_rule, read_rules
from farms import submit, written
from hypothesis import given
from hypothesis import strategies as st

from expandnet_ofx.errors import InputError, UsageError

shot = farms.shot


@pytest.mark.parametrize(
    ("rule", "path", "here"),
    [
        ("Z:\\shots=/mnt/shots", "Z:\\shots\\a\\b.png", "/mnt/shots/a/b.png"),
        ("z:/Shots/=/mnt/shots/", "Z:\\SHOTS\\a.png", "/mnt/shots/a.png"),
        ("\\\\server\\art=/art", "\\\\server\\art\\x.exr", "/art/x.exr"),
        ("/Volumes/job=/job", "/Volumes/job", "/job"),
        ("/Volumes/job=/job", "/Volumes/jobs/a.png", "/Volumes/jobs/a.png"),
        ("/a=/b", "/A/x.png", "/A/x.png"),
    ],
)
def test_paths_lie_where_rules_say(rule: str, path: str, here: str) -> None:
    assert mapped(path, [parse_rule(rule)]) == Path(here)


def test_the_longest_rule_decides_and_windows_paths_need_one() -> None:
    rules = [PathRule("/a", "/short"), PathRule("/a/b", "/long")]
    assert mapped("/a/b/c.png", rules) == mapped("/a/b/c.png", rules[::-1]) == Path("/long/c.png")
    with pytest.raises(UsageError, match="--map"):
        mapped("C:\\x.png", rules)
    for wrong in ("Z:\\x", "=b", "a="):
        with pytest.raises(UsageError, match="--map"):
            parse_rule(wrong)


def test_two_slashes_are_no_drive_of_windows() -> None:
    assert mapped("//mnt/show/a.png", []) == Path("//mnt/show/a.png")


def test_rules_of_a_session_are_read(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    rule = {"source_path_format": "WINDOWS", "source_path": "Z:\\a", "destination_path": "/b"}
    path.write_text(json.dumps({"version": "pathmapping-1.0", "path_mapping_rules": [rule]}))
    assert read_rules(path) == [PathRule("Z:\\a", "/b")]
    for empty in ("", "{}"):
        path.write_text(empty)
        assert read_rules(path) == []
    path.write_text("[1]")
    with pytest.raises(InputError, match=r"rules\.json"):
        read_rules(path)


# The file of a job


@given(st.sets(st.integers(-5, 2000), min_size=1, max_size=40), st.integers(1, 12))
def test_chunks_hold_each_frame_once(frames: set[int], chunk: int) -> None:
    items = tuple(Item(frame=frame, source="/a", output="/b") for frame in frames)
    sequences = (FrameSet(name="a", items=items, group=0),)
    job = FarmJob(name="x", options={"memory": 0}, window=9, chunk=chunk, gpu=False, sequences=sequences)
    assert [frame for part in job.chunks for frame in part] == sorted(frames)
    assert all(1 <= len(part) <= chunk for part in job.chunks)
    if min(frames) >= 0:
        assert job.select(job.frame_range, None) == sorted(frames)


def test_a_job_survives_its_file_and_others_are_refused(shot: Path) -> None:
    job = written("--stops", "1", "--map", "/a=/b", "--gpu")
    assert FarmJob.load(Path("job/job.json")) == job
    assert job.options["stops"] == 1.0
    assert job.options["device"] == "cuda"
    assert job.rules == (PathRule("/a", "/b"),)
    assert job.frame_range == "1001-1007"
    assert job.select("1006-1012", None) == [1006, 1007]
    with pytest.raises(UsageError, match="none is a frame"):
        job.select("1-9", None)
    with pytest.raises(UsageError, match="3 chunks"):
        job.select(None, 3)
    for text in ("{}", "nonsense", '{"kind": "expandnet-job", "schema": 99}'):
        Path("job/job.json").write_text(text)
        with pytest.raises(UsageError, match=r"job\.json"):
            FarmJob.load(Path("job/job.json"))


def test_chunks_are_counted_from_the_first(shot: Path) -> None:
    job = written()
    assert job.select(None, 0) == [1001, 1002, 1003]
    with pytest.raises(UsageError, match="3 chunks"):
        job.select(None, -1)


def test_files_of_options_lie_where_workers_see_them(shot: Path) -> None:
    job = written()
    options = {**job.options, "weights": "/show/w.safetensors", "ocio": "/show/config.ocio"}
    replace(job, options=options, rules=(PathRule("/show", "/mnt/show"),)).save(Path("job/other.json"))
    there = FarmJob.load(Path("job/other.json")).options
    assert (there["weights"], there["ocio"]) == ("/mnt/show/w.safetensors", "/mnt/show/config.ocio")
    replace(job, options={**options, "ocio": "ocio://default"}).save(Path("job/other.json"))
    assert FarmJob.load(Path("job/other.json")).options["ocio"] == "ocio://default"


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--chunk", "0"), "chunk"),
        (("--steady", "4"), "odd number"),
        (("--analysis", "in/shot.1001.png"), "--analysis"),
        (("--device", "tpu"), "--device"),
        (("--engine", "openvino", "--precision", "mixed"), "--precision mixed"),
        (("--ocio", "absent.ocio"), "--ocio"),
        (("--input-space", "foo"), "--input-space"),
        (("--linearized", "foo"), "foo"),
        (("--json", "a.json"), "--json"),
        (("--dry-run",), "--dry-run"),
        (("--threshold", "7"), "threshold"),
        (("--map", "x"), "--map"),
        (("--then", "it's"), "quotes"),
        (("--frames", "1001-1020"), "missing"),
        (("--weights", "absent.safetensors"), "absent"),
        (("--now",), "is not on this machine"),
    ],
)
def test_wrong_words_write_no_job(
    shot: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], what: str
) -> None:
    monkeypatch.setenv("PATH", str(shot))
    ran = submit(*words, to="opencue")
    assert ran.code == 2
    assert what in ran.err
    assert not Path("job").exists()
