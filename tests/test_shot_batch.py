"""Shots through the commands: chunks make no difference, what is shared, and what is refused."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import fakes
import numpy as np
import OpenImageIO as oiio
import pytest
from commands import batch, invoke, pixels_of, replace_network, save
from expandnet_batch.submission.job import FarmJob
from expandnet_batch.tools import command as tools
from fakes import decode_srgb
from pictures import scenery
from steadied import identity

from expandnet_ofx import Expander
from expandnet_ofx.convert import Converter
from expandnet_ofx.looks import look_at
from expandnet_ofx.shots import Shot, ShotWriter
from expandnet_ofx.steady import Steadying, steady

# The commands


@pytest.fixture
def footage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six frames of a pan over scenery with a clipped window, then three of another place."""
    replace_network(monkeypatch)
    monkeypatch.chdir(tmp_path)
    for k in range(9):
        picture = scenery(0 if k < 6 else 7)[::2, 4 * k : 4 * k + 200].copy()
        picture[30:60, 80 - 4 * k : 120 - 4 * k] = 1
        noise = np.random.default_rng(k).normal(size=picture.shape)
        save(tmp_path / "in" / f"shot.{1001 + k}.png", np.clip(np.rint(255 * picture + noise), 0, 255).astype(np.uint8))
    return tmp_path


def run(*words: object) -> str:
    ran = invoke(tools, *words)
    assert ran.code == 0, ran.err
    return ran.out


def clip_levels_of(path: Path) -> str:
    source = oiio.ImageInput.open(str(path))
    found = source.spec().getattribute("expandnet/clipLevels")
    source.close()
    return str(found)


def test_any_chunks_give_the_same_pixels(footage: Path) -> None:
    assert batch("in/shot.####.png", "-o", "whole", "--steady", "5").code == 0
    run("analyze", "in/shot.####.png", "--frames", "1006-1009", "-o", "late.json")
    run("analyze", "in/shot.####.png", "--frames", "1001-1005", "-o", "early.json")
    said = run("smooth", "late.json", "early.json", "-o", "steady.json", "--window", "5")
    assert "frames 1001 to 1006" in said
    assert "frames 1007 to 1009" in said
    for chunk in ("1004-1009", "1001,1003", "1002"):
        ran = batch("in/shot.####.png", "--frames", chunk, "-o", "parts", "--analysis", "steady.json")
        assert ran.code == 0, ran.err
    alone = batch("in/shot.####.png", "-o", "alone")
    assert alone.code == 0
    differ = 0
    for number in range(1001, 1010):
        one, other, single = (pixels_of(Path(folder) / f"shot.{number}.exr") for folder in ("whole", "parts", "alone"))
        np.testing.assert_array_equal(one, other)
        differ += not np.array_equal(one, single)
    assert differ > 3


def test_the_report_says_what_was_a_shot(footage: Path) -> None:
    assert batch("in/shot.####.png", "-o", "out", "--steady", "auto", "--json", "report.json").code == 0
    report = json.loads(Path("report.json").read_text())
    assert [shot["frames"] for shot in report["shots"]] == [[1001, 1006], [1007, 1009]]
    assert report["shots"][0]["window"] == 9
    assert batch("in/shot.1001.png", "in/shot.1005.png", "-o", "out", "--steady", "auto").code == 0


def test_results_of_one_shot_stay_until_the_shot_changes(footage: Path) -> None:
    words = ("in/shot.####.png", "-o", "out", "--steady", "5", "--existing", "skip")
    assert "9 done" in batch(*words).out
    assert "9 up to date" in batch(*words).out
    assert "9 done" in batch(*words[:4], "3", *words[5:]).out
    assert "9 done" in batch(*words[:3], "--existing", "skip").out, "a frame by itself is another result"


def test_results_that_can_stay_are_not_analyzed_again(footage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("in/shot.####.png", "-o", "out", "--existing", "skip")
    assert batch(*words).code == 0
    analyzed = []
    original = Converter.analyze
    monkeypatch.setattr(Converter, "analyze", lambda self, p: analyzed.append(p.source.name) or original(self, p))
    assert "9 up to date" in batch(*words).out
    assert not analyzed
    # A frame more of the second shot changes that one, not the first.
    picture = np.clip(np.rint(255 * scenery(7)[::2, 36:236]), 0, 255).astype(np.uint8)
    save(Path("in/shot.1010.png"), picture)
    ran = batch(*words)
    assert "4 done, 6 up to date" in ran.out
    assert len(analyzed) > 9


def test_a_shot_whose_sheet_or_mask_is_another_is_made_anew(footage: Path) -> None:
    words = ("in/shot.####.png", "--frames", "1001-1003", "-o", "out", "--existing", "skip")
    light, sheet = Path("out/shot.1003.exr"), Path("out/shot.1003.preview.png")
    assert batch(*words, "--preview", "all").code == 0
    sheet.unlink()
    ran = batch(*words, "--preview", "all")
    assert ran.code == 0, ran.err
    assert sheet.exists()
    before = pixels_of(light)
    save(Path("mask.png"), np.full(before.shape, 255, np.uint8))
    ran = batch(*words, "--mask", "mask.png")
    assert ran.code == 0, ran.err
    assert not np.array_equal(pixels_of(light), before)


def test_parts_of_a_shot_are_not_taken_for_the_whole(footage: Path) -> None:
    for part in ("1001-1003", "1004-1006", "1007-1009"):
        assert batch("in/shot.####.png", "--frames", part, "-o", "out").code == 0
    ran = batch("in/shot.####.png", "-o", "out", "--existing", "skip")
    assert "9 done" in ran.out
    assert batch("in/shot.####.png", "-o", "whole").code == 0
    for number in range(1001, 1010):
        np.testing.assert_array_equal(*(pixels_of(Path(folder, f"shot.{number}.exr")) for folder in ("out", "whole")))
    assert "9 up to date" in batch("in/shot.####.png", "-o", "out", "--existing", "skip").out


def test_a_frame_that_was_not_analyzed_is_not_made_without_its_shot(
    footage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, path = Path("in/shot.1003.png").read_bytes(), Path("in/shot.1003.png")
    path.write_bytes(whole[: len(whole) // 2])
    commit = ShotWriter.commit

    def late(writer: ShotWriter) -> Shot:
        # As where plates are still being copied.
        path.write_bytes(whole)
        return commit(writer)

    monkeypatch.setattr(ShotWriter, "commit", late)
    ran = batch("in/shot.####.png", "-o", "out")
    assert ran.code == 1
    assert "shot.1003.png: damaged" in ran.complaint
    assert len(list(Path("out").iterdir())) == 8
    assert "6 done, 3 up to date" in batch("in/shot.####.png", "-o", "out", "--existing", "skip").out


def test_an_analysis_that_ends_early_leaves_no_maps(footage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("analyze", "in/shot.####.png", "-o", "a/a.json")
    before = {path.name for path in Path("a").iterdir()}

    def lost(*_: object) -> Shot:
        raise OSError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(ShotWriter, "commit", lost)
        assert invoke(tools, "analyze", "in/shot.####.png", "--threshold", "0.9", "-o", "a/a.json").code == 1
    assert {path.name for path in Path("a").iterdir()} == before
    assert all(frame.load().width == 200 for frame in Shot.load("a/a.json").frames.values())


def test_views_share_what_is_global_and_keep_their_maps(footage: Path) -> None:
    for k in range(4):
        picture = scenery(0)[::2, 4 * k : 4 * k + 200].copy()
        picture[30:60, 80 - 4 * k : 120 - 4 * k] = 1
        for view, level in (("left", 1.0), ("right", 0.96)):
            codes = np.clip(np.rint(255 * level * np.roll(picture, 3 * (view == "right"), 1)), 0, 255)
            save(Path("in") / f"{view}.{1001 + k}.png", codes.astype(np.uint8))
    words = ("in/%V.####.png", "--views", "left,right", "--frames", "1001-1004", "-o", "out/%V.####.exr")
    assert batch(*words, "--existing", "skip", "--json", "r.json").code == 0
    levels = {
        name: clip_levels_of(Path("out") / f"{name}.exr")
        for name in ("left.1001", "right.1001", "left.1003", "right.1004")
    }
    assert len(set(levels.values())) == 1
    report = json.loads(Path("r.json").read_text())
    assert [shot["frames"] for shot in report["shots"]] == [[1001, 1004]] * 2
    assert "8 up to date" in batch(*words, "--existing", "skip").out
    assert batch("in/left.####.png", "--frames", "1001-1004", "-o", "alone").code == 0
    assert clip_levels_of(Path("alone/left.1001.exr")) != levels["left.1001"]


def test_a_frame_that_one_view_lacks_leaves_views_alike(footage: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(1001, 1008):
        level, noise = 1.4 - 0.05 * (number - 1001), rng.normal(0, 0.01, (128, 200, 3))
        picture = np.clip(scenery(0)[::2, :200] * level + noise, 0, 1)
        for view in ("left", "right"):
            save(Path("in") / f"{view}.{number}.png", np.rint(255 * picture).astype(np.uint8))
    words = ("in/%V.####.png", "--views", "left,right", "--frames", "1001-1007", "--missing", "skip")
    for lacking, frame in (("right", 1004), ("left", 1001)):
        kept = Path("in", f"{lacking}.{frame}.png").read_bytes()
        Path("in", f"{lacking}.{frame}.png").unlink()
        out = f"{lacking}-out"
        assert batch(*words, "-o", f"{out}/%V.####.exr", "--json", "r.json").code == 0
        shots = json.loads(Path("r.json").read_text())["shots"]
        assert [shot["frames"] for shot in shots] == [[1001, 1007]] * 2
        for number in sorted({*range(1001, 1008)} - {frame}):
            levels = [clip_levels_of(Path(out, f"{view}.{number}.exr")) for view in ("left", "right")]
            assert levels[0] == levels[1]
            # Maps are a view's own, and lack what it lacks.
            one, other = (pixels_of(Path(out, f"{view}.{number}.exr")) for view in ("left", "right"))
            stops = np.log2(np.maximum(one, 1e-3) / np.maximum(other, 1e-3))
            assert np.sqrt((stops**2).mean()) < 0.02
        Path("in", f"{lacking}.{frame}.png").write_bytes(kept)


def test_tiles_share_what_is_global_and_are_not_smoothed_over_their_numbers(footage: Path) -> None:
    for number, level in ((1001, 1.0), (1002, 0.97), (1011, 0.95)):
        picture = scenery(number)[::2, :200].copy()
        picture[30:60, 80:120] = 1
        save(Path("in") / f"wall.{number}.png", np.rint(255 * level * picture.clip(0, 1)).astype(np.uint8))
    assert batch("in/wall.<UDIM>.png", "-o", "out/wall.<UDIM>.exr", "--json", "r.json").code == 0
    assert sorted(p.name for p in Path("out").iterdir()) == [f"wall.{n}.exr" for n in (1001, 1002, 1011)]
    levels = {clip_levels_of(path) for path in Path("out").iterdir()}
    assert len(levels) == 1
    shots = json.loads(Path("r.json").read_text())["shots"]
    assert [(shot["frames"], shot["because"], shot["flicker_rms"]) for shot in shots] == [
        ([1001, 1011], "tiles of one picture", None)
    ]


def test_frames_that_clip_nowhere_are_a_shot_too(footage: Path) -> None:
    for number in (1, 2, 3):
        code = 255 if number == 2 else 128
        save(Path("in") / f"flat.{number:04d}.png", np.full((32, 48, 3), [code, 128, 128], np.uint8))
    for frames in ("1-1", "1-2", "1-3"):
        ran = batch("in/flat.####.png", "--frames", frames, "-o", f"{frames}/flat.####.exr")
        assert ran.code == 0, ran.err
    for number in (1, 3):
        light = pixels_of(Path("1-3") / f"flat.{number:04d}.exr")
        np.testing.assert_allclose(light, decode_srgb(np.float64(128 / 255)), rtol=1e-3)


def test_an_analysis_can_be_frozen_when_frames_are_added(footage: Path) -> None:
    run("analyze", "in/shot.####.png", "--frames", "1001-1004", "-o", "a.json")
    run("smooth", "a.json", "-o", "s.json")
    before = {number: frame.record for number, frame in Shot.load("s.json").frames.items()}
    run("analyze", "in/shot.####.png", "--frames", "1005-1006", "-o", "b.json")
    assert invoke(tools, "smooth", "a.json", "-o", "t.json", "--freeze-analysis").code == 2
    run("smooth", "a.json", "b.json", "-o", "s.json", "--freeze-analysis")
    frozen = Shot.load("s.json").frames
    assert {number: frozen[number].record for number in before} == before
    assert sorted(frozen) == list(range(1001, 1007))
    assert frozen[1006].numbers.clip_levels == frozen[1001].numbers.clip_levels
    assert frozen[1006].numbers.anchor == frozen[1001].numbers.anchor
    # What is frozen must be there, and made alike, and smoothed alike.
    for words, what in ((("--window", "3"), "window 9"), (("--lock-frame", "1002"), "lock frame None")):
        ran = invoke(tools, "smooth", "a.json", "b.json", "-o", "s.json", "--freeze-analysis", *words)
        assert ran.code == 2
        assert f"was smoothed with {what}" in ran.complaint
    ran = invoke(tools, "smooth", "a.json", "b.json", "-o", "s.json", "--freeze-analysis", "--cuts", "1003")
    assert (ran.code, "give the same --cuts" in ran.complaint) == (2, True)
    # A cut among the frames that are added is none of the frozen ones' concern.
    shutil.copy("s.json", "u.json")
    run("smooth", "a.json", "-o", "u.json")
    run("smooth", "a.json", "b.json", "-o", "u.json", "--freeze-analysis", "--cuts", "1005")
    assert Shot.load("u.json").smoothing["shots"] == [[1001, 1004], [1005, 1006]]
    for words in (("--freeze-analysis",), ()):
        ran = invoke(tools, "smooth", "a.json", "-o", "b.json", *words)
        assert ran.code == 2
        assert "not smoothed" in ran.complaint
    ran = invoke(tools, "smooth", "b.json", "-o", "s.json", "--freeze-analysis")
    assert ran.code == 2
    assert "4 frames that are not given, from 1001 on" in ran.err
    run("analyze", "in/shot.####.png", "--frames", "1001-1006", "-o", "c.json", "--white", "0.9")
    ran = invoke(tools, "smooth", "c.json", "-o", "s.json", "--freeze-analysis")
    assert ran.code == 2
    assert "another white" in ran.err
    assert {n: frame.record for n, frame in Shot.load("s.json").frames.items()} == {
        n: frame.record for n, frame in frozen.items()
    }
    ran = invoke(tools, "smooth", "a.json", "-o", "s.json")
    assert ran.code == 0
    assert "2 frames that are not given, from 1005 on" in ran.err
    ran = invoke(tools, "smooth", "a.json", "b.json", "-o", "s.json")
    assert ran.code == 0
    assert "2 frames are new, from 1005 on" in ran.err
    assert Shot.load("s.json").frames[1004].record != before[1004]


def test_flicker_is_printed_and_reported(footage: Path) -> None:
    figures = {}
    for steady_ in ("off", "auto"):
        ran = batch("in/shot.####.png", "-o", steady_, "--steady", steady_, "--json", "r.json")
        assert "stops rms from frame to frame" in ran.out
        shots = json.loads(Path("r.json").read_text())["shots"]
        figures[steady_] = shots[0]["flicker_rms"]
        assert shots[0]["frames"][0] == 1001
    assert 0 <= figures["auto"] <= figures["off"] + 0.01


def test_two_files_of_one_number_are_stills(footage: Path) -> None:
    save(Path("in/shot.01001.png"), np.full((40, 40, 3), 9, np.uint8))
    ran = batch("in", "-o", "out", "--json", "r.json")
    assert ran.code == 0, ran.err
    assert json.loads(Path("r.json").read_text())["shots"] == []


def test_an_analysis_that_does_not_fit_is_named(footage: Path) -> None:
    run("analyze", "in/shot.####.png", "--frames", "1001-1004", "-o", "raw.json")
    run("smooth", "raw.json", "-o", "a.json")
    for words, what in (
        (("--analysis", "raw.json"), "expandnet smooth"),
        (("--analysis", "absent.json"), "absent.json"),
        (("--analysis", "a.json", "--steady", "off"), "drop one"),
    ):
        ran = batch("in/shot.1001.png", "-o", "out", *words)
        assert ran.code == 2
        assert what in ran.complaint
        assert "done" not in ran.out
    ran = batch("in/shot.####.png", "--frames", "1004-1005", "-o", "out", "--analysis", "a.json")
    assert ran.code == 1
    assert "frame 1005 is not in a.json" in ran.complaint
    assert batch("in/shot.1001.png", "-o", "out", "--analysis", "a.json", "--stops", "1").code == 0
    ran = batch("in/shot.1001.png", "-o", "out", "--analysis", "a.json", "--threshold", "0.9")
    assert ran.code == 2
    assert "another threshold" in ran.complaint
    save(Path("in/shot.1002.png"), np.full((40, 40, 3), 9, np.uint8))
    ran = batch("in/shot.1002.png", "-o", "out", "--analysis", "a.json")
    assert ran.code == 1
    assert "another picture" in ran.complaint


def test_a_frame_that_cannot_be_read_costs_itself(footage: Path) -> None:
    Path("in/shot.1003.png").write_bytes(b"nonsense")
    ran = batch("in/shot.####.png", "-o", "out", "--steady", "5")
    assert ran.code == 1
    assert len(list(Path("out").iterdir())) == 8
    ran = invoke(tools, "analyze", "in/shot.####.png", "-o", "a.json")
    assert ran.code == 1
    assert "shot.1003.png" in ran.complaint
    assert sorted(Shot.load("a.json").frames) == [1001, 1002, *range(1004, 1010)]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("analyze", "in/absent.png", "-o", "a.json"), "absent"),
        (("analyze", "in/shot.####.png", "--frames", "1001-1020", "-o", "a.json"), "1010"),
        (("analyze", "still.png", "-o", "a.json"), "no frame number"),
        (("smooth", "absent.json", "-o", "s.json"), "absent.json"),
        (("smooth", "in/shot.1001.png", "-o", "s.json", "--window", "4"), "window"),
        (("smooth", "in/shot.1001.png", "-o", "s.json", "--cuts", "foo"), "--cuts foo"),
    ],
)
def test_wrong_words_end_before_any_work(footage: Path, words: tuple[str, ...], what: str) -> None:
    save(footage / "still.png", np.full((20, 20, 3), 9, np.uint8))
    ran = invoke(tools, *words)
    assert ran.code in (1, 2)
    assert what in ran.complaint
    assert not list(footage.glob("*.json"))


@pytest.mark.parametrize("steady_", ["4", "often", "0"])
def test_a_window_that_is_none_is_a_usage_error(footage: Path, steady_: str) -> None:
    ran = batch("in/shot.####.png", "-o", "out", "--steady", steady_)
    assert ran.code == 2
    assert "steady" in ran.complaint or "window" in ran.complaint
    assert not Path("out").exists()


def test_a_moving_camera_flickers_less(footage: Path) -> None:
    """With an engine whose maps tremble: its light depends on where a window falls on the reduced plate."""
    expander = Expander(engine=fakes.BoxEngine(gain=6))
    numbers = range(1001, 1007)
    plates = [scenery(0)[::2, 4 * k : 4 * k + 200].copy() for k in range(6)]
    for k, plate in enumerate(plates):
        plate[30:60, 80 - 4 * k : 120 - 4 * k] = 1
    codes = [np.rint(255 * plate).astype(np.uint8) for plate in plates]
    writer = ShotWriter(footage / "a.json", {})
    for number, plate in zip(numbers, codes, strict=True):
        survey = expander.survey(plate)
        writer.add(number, identity(number), look_at(survey.proxy), expander.analyze(plate, survey))
    shot = writer.commit()
    made = steady(shot.frames, {}, footage / "s.json", Steadying(window=5))
    jumps = {}
    for name, frames in (("alone", shot.frames), ("steady", made.frames)):
        maps = [frames[number].load().rise for number in numbers]
        jumps[name] = np.mean(
            [np.abs(np.expm1(-a.values) - np.expm1(-b.values)).mean() for a, b in itertools.pairwise(maps)]
        )
    assert jumps["steady"] < jumps["alone"]


def test_no_analysis_that_is_read_is_replaced(footage: Path) -> None:
    for name in ("a", "b"):
        run("analyze", "in/shot.####.png", "--frames", "1001-1003", "-o", f"{name}.json")
    before = {path.name: path.read_bytes() for path in footage.glob("*.*")}
    (footage / "deeper").mkdir()
    for words in (("a.json", "-o", "deeper/../a.json"), ("a.json", "--beside", "b.json", "-o", "b.json")):
        ran = invoke(tools, "smooth", *words)
        assert ran.code == 2
        assert "choose another name" in ran.complaint
    assert {path.name: path.read_bytes() for path in footage.glob("*.*")} == before


def test_a_frame_number_in_the_middle_of_a_name_makes_a_shot_too(footage: Path) -> None:
    """The pattern says where it stands; the last number of the name is that of a version."""
    for number in range(1001, 1007):
        shutil.copy(Path("in", f"shot.{number}.png"), Path("in", f"a.{number}.v02.png"))
    outcomes = [
        batch(f"in/{name}.png", "-o", folder, "--json", f"{folder}.json")
        for name, folder in (("a.####.v02", "versions"), ("shot.1001-1006#", "plain"))
    ]
    assert [ran.code for ran in outcomes] == [0, 0], outcomes
    one, other = (json.loads(Path(f"{name}.json").read_text())["shots"] for name in ("versions", "plain"))
    assert [(shot["frames"], shot["window"]) for shot in one] == [([1001, 1006], other[0]["window"])]
    for number in range(1001, 1007):
        versioned, plain = Path("versions", f"a.{number}.v02.exr"), Path("plain", f"shot.{number}.exr")
        np.testing.assert_array_equal(pixels_of(versioned), pixels_of(plain))
    words = ("in/a.####.v02.png", "--output", "farm", "-o", "job", "--to", "slurm")
    assert invoke(tools, "submit", *words).code == 0
    job = FarmJob.load(Path("job/job.json"))
    assert job.frames == list(range(1001, 1007))
    assert job.steps == ("analyze", "smooth", "expand", "check")


def test_frames_of_two_views_are_no_one_shot(footage: Path) -> None:
    for view in ("left", "right"):
        save(Path(view, "s.0001.png"), np.full((20, 20, 3), 9, np.uint8))
    ran = invoke(tools, "analyze", "%V/s.####.png", "--views", "left,right", "-o", "a.json")
    assert ran.code == 2
    assert "right/s.0001.png" in ran.complaint
    assert "one view" in ran.complaint
    assert not list(footage.glob("a.*"))


def test_each_sequence_in_the_folders_of_views_is_a_shot(footage: Path) -> None:
    frames = sorted(Path("in").iterdir())[:3]
    for view in ("left", "right"):
        for name in ("a", "b") if view == "left" else ("b",):
            for number, frame in enumerate(frames, 1):
                Path(view).mkdir(exist_ok=True)
                shutil.copy(frame, Path(view, f"{name}.{number:04d}.png"))
    assert batch("%V/", "--views", "left,right", "-o", "out/%V", "--json", "r.json").code == 0
    found = json.loads(Path("r.json").read_text())["shots"]
    assert sorted((shot["sequence"], shot["frames"]) for shot in found) == [
        (f"{name}.#.png", [1, 3]) for name in ("left/a", "left/b", "right/b")
    ]
