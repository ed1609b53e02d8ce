"""The batch command: words in, files, lines and exit codes out."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import threading
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import OpenImageIO as oiio
import pytest
from commands import ROOT, batch, files_in, pixels_of, plate, replace_network, save, start
from expandnet_batch.batch import _analyzed
from fakes import PointEngine, decode_srgb

from expandnet_ofx.convert import Begun, Converter, FrameReport
from expandnet_ofx.errors import OutputError
from expandnet_ofx.images import ImagePlate
from expandnet_ofx.sources import Prepared

SHOT = [f"shot.{frame}.png" for frame in (1001, 1002, 1003, 1004)]


@pytest.fixture(autouse=True)
def _light(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    replace_network(monkeypatch)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def shot(tmp_path: Path) -> Path:
    """A folder with four frames."""
    for number, name in enumerate(SHOT):
        save(tmp_path / "in" / name, plate(number))
    return tmp_path / "in"


def results(folder: Path) -> list[int]:
    """Return the frame numbers of the results in a folder; fails on any other file."""
    return [int(name.removeprefix("shot.").removesuffix(".exr")) for name in files_in(folder)]


def test_help_loads_nothing_heavy() -> None:
    heavy = ("torch", "numpy", "OpenImageIO", "openvino", "av", "PIL", "safetensors", "fileseq")
    check = f"import atexit, sys; atexit.register(lambda: print(set(sys.modules) & set({heavy})));"
    for flag in ("--help", "--version"):
        process = start(flag, cwd=ROOT, before=check)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert "expandnet-batch" in out
        assert out.endswith("\nset()\n")


def test_version_names_the_shipped_weights() -> None:
    shipped = next((ROOT / "expandnet_ofx" / "weights").glob("*.safetensors"))
    ran = batch("--version")
    assert ran.code == 0
    assert hashlib.sha256(shipped.read_bytes()).hexdigest() in ran.out


@pytest.mark.parametrize(
    ("words", "frames"),
    [
        (["in/shot.1001.png", "in/shot.1003.png"], [1001, 1003]),
        (["in/shot.*.png"], [1001, 1002, 1003, 1004]),
        (["in/shot.100[12].png"], [1001, 1002]),
        (["in/shot.####.png"], [1001, 1002, 1003, 1004]),
        (["in/shot.@@@@.png"], [1001, 1002, 1003, 1004]),
        (["in/shot.%04d.png"], [1001, 1002, 1003, 1004]),
        (["in/shot.1002-1003#.png"], [1002, 1003]),
        (["in/shot.####.png", "--frames", "1001-1004x2"], [1001, 1003]),
        (["in/shot.####.png", "--frames", "1001-1004:3"], [1001, 1004]),
        (["in/shot.####.png", "--frames", "1004,1002"], [1002, 1004]),
        (["in"], [1001, 1002, 1003, 1004]),
        (["in/", "--frames", "1002-1003"], [1002, 1003]),
        (["in/shot.1001.png", "in/shot.1001.png"], [1001]),
    ],
)
def test_notations_of_inputs(shot: Path, words: list[str], frames: list[int]) -> None:
    ran = batch(*words, "-o", "out")
    assert ran.code == 0, ran.err
    assert results(Path("out")) == frames


@pytest.mark.parametrize(
    "words",
    [
        ["in/nothing.png"],
        ["in/other.####.png"],
        ["in/*.tif"],
        ["in/shot.####.png", "--frames", "1001-"],
        ["in/shot.1001.png", "--frames", "7"],
        ["empty"],
        [],
    ],
)
def test_nothing_matched(shot: Path, words: list[str]) -> None:
    Path("empty").mkdir()
    ran = batch(*words, "-o", "out")
    assert ran.code == 2
    assert ran.complaint
    assert not Path("out").exists()


def test_output_patterns_files_and_mirrored_folders(shot: Path) -> None:
    assert batch("in/shot.####.png", "-o", "a/b.%03d.exr", "--frames", "1001,1002").code == 0
    assert files_in(Path("a")) == ["b.1001.exr", "b.1002.exr"]
    assert batch("in/shot.1001.png", "-o", "c/one.exr").code == 0
    assert files_in(Path("c")) == ["one.exr"]
    save(Path("shots/x/same.png"), plate(1))
    save(Path("shots/y/deep/same.png"), plate(2))
    assert batch("shots", "-o", "d").code == 0
    assert batch("shots/x/same.png", "shots/y/deep/same.png", "-o", "e").code == 0
    assert files_in(Path("d")) == files_in(Path("e")) == ["x/same.exr", "y/deep/same.exr"]


def test_views(tmp_path: Path) -> None:
    for view in ("left", "right"):
        save(tmp_path / f"{view}.0001.png", plate(len(view)))
    assert batch("%V.####.png", "--views", "left,right", "-o", "out/%V/x.####.exr").code == 0
    assert files_in(Path("out")) == ["left/x.0001.exr", "right/x.0001.exr"]
    assert batch("%V.####.png", "-o", "out").code == 2


def test_one_name_for_two_results_is_refused_before_any_work(shot: Path) -> None:
    save(Path("in/shot.1001.jpg"), plate(9))
    for words in (["in", "-o", "out"], ["in/shot.1001.png", "in/shot.1002.png", "-o", "out.exr"]):
        ran = batch(*words)
        assert ran.code == 2
        assert "both" in ran.complaint
    assert not Path("out").exists()
    assert not Path("out.exr").exists()


def test_a_result_never_replaces_an_input(tmp_path: Path) -> None:
    source = save(tmp_path / "a.exr", plate().astype(np.float32) / 255)
    before = source.read_bytes()
    for output in (".", "a.exr", str(tmp_path)):
        assert batch("a.exr", "-o", output).code == 2
    assert source.read_bytes() == before


def test_a_lone_version_number_is_no_frame(tmp_path: Path) -> None:
    save(tmp_path / "still_v003.png", plate())
    assert batch("still_v003.png", "-o", "out").code == 0
    assert files_in(Path("out")) == ["still_v003.exr"]
    assert batch("still_v003.png", "-o", "x.####.exr").code == 2


def test_dry_run_says_what_the_run_does_and_writes_nothing(shot: Path) -> None:
    before = files_in(Path())
    dry = batch("in", "-o", "out", "--dry-run", "--json", "r.json", "--preview", "all")
    assert dry.code == 0
    assert files_in(Path()) == before
    assert not Path("out").exists()
    assert batch("in", "-o", "out").code == 0
    promised = sorted(line.split(" -> ")[1] for line in dry.out.splitlines())
    assert promised == [str(Path("out") / name) for name in files_in(Path("out"))]


@pytest.mark.parametrize(
    "words", ["--threshold 0.99 --full 0.5", "--stops 99", "--memory 1MiB", "--existing error", "-o out/a.png"]
)
def test_dry_run_refuses_what_the_run_would_refuse(shot: Path, words: str) -> None:
    Path("out").mkdir()
    Path("out/shot.1003.exr").write_text("mine")
    output = [] if "-o" in words else ["-o", "out"]
    dry, ran = (batch("in", *output, *words.split(), *more) for more in (["--dry-run"], []))
    assert dry.code == ran.code == 2
    assert dry.complaint == ran.complaint


@pytest.mark.parametrize("words", [("", "-o", "out"), ("in", "", "-o", "out"), ("in", "-o", ""), ("in", "-o", " ")])
def test_an_empty_word_is_no_folder(shot: Path, words: tuple[str, ...]) -> None:
    before = files_in(Path())
    ran = batch(*words)
    assert ran.code == 2
    assert "empty word" in ran.complaint
    assert files_in(Path()) == before


@pytest.mark.parametrize("words", ["--output-space acescg", "--stops 1", "--max-stops 2", "--saturation 0"])
def test_the_authors_preset_refuses_what_it_would_ignore(shot: Path, words: str) -> None:
    ran = batch("in", "-o", "out", "--preset", "authors", *words.split())
    assert ran.code == 2
    assert words.split()[0] in ran.complaint


def test_a_dry_run_tells_missing_frames(shot: Path) -> None:
    ran = batch("in/shot.####.png", "--frames", "1004-1005", "-o", "out/x.####.exr", "--dry-run", "--progress", "none")
    assert ran.code == 1
    assert ran.out.splitlines()[1].endswith("shot.1005.png -> missing")
    assert batch("in", "-o", "out", "--dry-run", "--weights", "absent.safetensors").code == 2


def test_frames_left_out_are_named(shot: Path) -> None:
    words = (
        "in/shot.####.png",
        "--frames",
        "1004-1005",
        "-o",
        "out/x.####.exr",
        "--missing",
        "skip",
        "--json",
        "r.json",
    )
    ran = batch(*words)
    assert ran.code == 0
    assert "shot.1005.png: missing, left out" in ran.out
    assert json.loads(Path("r.json").read_text())["missing"] == ["in/shot.1005.png"]


@pytest.mark.parametrize("words", [("-o", "file"), ("-o", "file/x.####.exr"), ("-o", "out", "--json", "file/r.json")])
def test_places_that_cannot_be_made_end_a_batch_before_any_work(shot: Path, words: tuple[str, ...]) -> None:
    Path("file").write_text("mine")
    ran = batch("in/shot.####.png", *words)
    assert ran.code == 2
    assert "not a folder" in ran.complaint
    assert not Path("out").exists()


def test_a_saved_config_holds_nothing_of_one_shot(shot: Path) -> None:
    words = ("in/shot.####.png", "--frames", "1001", "-o", "out", "--json", "r.json", "-v", "--stops", "1")
    assert batch(*words, "--save-config", "studio.toml").code == 0
    saved = Path("studio.toml").read_text()
    assert "stops = 1.0\n" in saved
    assert not any(word in saved for word in ("frames", "json", "verbose"))


def test_existing_error_stops_before_any_work(shot: Path) -> None:
    Path("out").mkdir()
    Path("out/shot.1003.exr").write_text("mine")
    ran = batch("in", "-o", "out", "--existing", "error")
    assert ran.code == 2
    assert "shot.1003.exr" in ran.complaint
    assert files_in(Path("out")) == ["shot.1003.exr"]
    assert Path("out/shot.1003.exr").read_text() == "mine"


def test_existing_overwrite_is_the_default_and_reruns_are_identical(shot: Path) -> None:
    Path("out").mkdir()
    Path("out/shot.1001.exr").write_text("old")
    assert batch("in", "-o", "out").code == 0
    first = {name: Path("out", name).read_bytes() for name in files_in(Path("out"))}
    assert batch("in", "-o", "out").code == 0
    assert {name: Path("out", name).read_bytes() for name in files_in(Path("out"))} == first


class Made:
    """One converted frame, and whether a rerun with `--existing skip` left it alone."""

    def __init__(self, *words: str, source: str = "a.ppm", result: str = "out/a.exr") -> None:
        self.words = words
        self.source, self.result = Path(source), Path(result)
        if not self.source.exists():
            save(self.source, plate(1, 64, 40))
        assert batch(self.source, "-o", "out", *words).code == 0
        self.good = self.result.read_bytes()

    def kept_by(self, *words: str) -> bool:
        """A file that is written again gets another inode, because it is renamed into place."""
        before = self.result.stat().st_ino
        ran = batch(self.source, "-o", "out", "--existing", "skip", *words, "--json", "report.json")
        assert ran.code == 0, ran.err
        kept = self.result.stat().st_ino == before
        frame = json.loads(Path("report.json").read_text())["frames"][0]
        assert frame["status"] == ("skipped" if kept else "done")
        return kept


def test_skip_keeps_what_is_the_same() -> None:
    made = Made()
    assert made.kept_by()
    os.utime(made.source, (1, 1))
    assert made.kept_by()
    assert made.kept_by("--progress", "json", "-v", "--memory", "2GiB")
    shutil.copy(made.source, "b.ppm")
    Path("b.ppm").replace(made.source)
    assert made.kept_by()


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 0.9, 0.999])
def test_skip_redoes_a_cut_result(share: float) -> None:
    made = Made()
    made.result.write_bytes(made.good[: int(share * len(made.good))])
    assert not made.kept_by()
    assert made.result.read_bytes() == made.good


def test_skip_redoes_a_cut_result_of_several_parts() -> None:
    specs = []
    for name in ("left", "right"):
        spec = oiio.ImageSpec(40, 64, 3, "half")
        spec.attribute("name", name)
        specs.append(spec)
    output = oiio.ImageOutput.create("two.exr")
    assert output.open("two.exr", tuple(specs))
    for index, spec in enumerate(specs):
        assert not index or output.open("two.exr", spec, "AppendSubimage")
        assert output.write_image(plate(index, 64, 40).astype(np.float32) / 255)
    output.close()
    made = Made(source="two.exr", result="out/two.exr")
    assert made.kept_by()
    for share in (0.6, 0.8, 0.99):
        made.result.write_bytes(made.good[: int(share * len(made.good))])
        assert not made.kept_by(), share


def test_skip_redoes_a_result_with_damaged_rows() -> None:
    made = Made("--compression", "zips")
    middle = len(made.good) * 2 // 3
    made.result.write_bytes(made.good[:middle] + b"\xff" * 64 + made.good[middle + 64 :])
    assert not made.kept_by("--compression", "zips")


@pytest.mark.parametrize(
    "words",
    [
        ["--stops", "1"],
        ["--threshold", "0.9"],
        ["--white", "0.9"],
        ["--float"],
        ["--matte"],
        ["--compression", "piz"],
        ["--output-space", "acescg"],
        ["--input-space", "bt1886"],
        ["--mask", "mask.png"],
    ],
)
def test_skip_redoes_with_other_settings(words: list[str]) -> None:
    save(Path("mask.png"), np.full((64, 40, 1), 255, np.uint8))
    made = Made()
    assert not made.kept_by(*words)
    assert made.kept_by(*words)
    assert not made.kept_by()
    assert made.result.read_bytes() == made.good


def test_skip_redoes_a_replaced_source_of_same_size_and_time() -> None:
    made = Made()
    stat = made.source.stat()
    save(made.source, plate(2, 64, 40))
    assert made.source.stat().st_size == stat.st_size
    os.utime(made.source, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert not made.kept_by()


def test_skip_redoes_with_another_mask_of_same_name() -> None:
    save(Path("mask.ppm"), np.full((64, 40, 3), 255, np.uint8))
    made = Made("--mask", "mask.ppm")
    assert made.kept_by("--mask", "mask.ppm")
    save(Path("mask.ppm"), np.full((64, 40, 3), 0, np.uint8))
    assert not made.kept_by("--mask", "mask.ppm")


def test_skip_redoes_with_other_weights(default_weights: object) -> None:
    from safetensors import safe_open
    from safetensors.numpy import save_file

    shipped = next((ROOT / "expandnet_ofx" / "weights").glob("*.safetensors"))
    with safe_open(shipped, "numpy") as file:
        state, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    name = sorted(state)[0]
    state[name] = state[name] + np.float32(1e-3)
    save_file(state, "other.safetensors", metadata)
    made = Made()
    assert made.kept_by("--weights", str(shipped))
    assert not made.kept_by("--weights", "other.safetensors")


def test_skip_works_for_tiff() -> None:
    save(Path("a.ppm"), plate(1, 64, 40))
    inodes = []
    for _ in range(2):
        assert batch("a.ppm", "-o", "out/a.tif", "--existing", "skip").code == 0
        inodes.append(Path("out/a.tif").stat().st_ino)
    assert inodes[0] == inodes[1]
    good = Path("out/a.tif").read_bytes()
    Path("out/a.tif").write_bytes(good[: len(good) // 2])
    assert batch("a.ppm", "-o", "out/a.tif", "--existing", "skip").code == 0
    assert Path("out/a.tif").read_bytes() == good


def test_skip_makes_up_for_what_is_missing_beside_a_result() -> None:
    made = Made("--preview", "all")
    sheet = Path("out/a.preview.png")
    assert made.kept_by("--preview", "all")
    sheet.unlink()
    assert made.kept_by(), "no sheet was asked for"
    assert not made.kept_by("--preview", "all")
    assert sheet.stat().st_size
    words = ("--matte", "--output-space", "aces2065-1")
    container = Made(*words)
    matte = Path("out/a.matte.exr")
    good = matte.read_bytes()
    assert container.kept_by(*words)
    matte.write_bytes(good[:-200])
    assert not container.kept_by(*words)
    assert matte.read_bytes() == good


def test_skip_does_not_keep_the_sheet_of_another_result() -> None:
    made = Made("--stops", "0", "--preview", "all")
    sheet = Path("out/a.preview.png")
    before = sheet.read_bytes()
    assert batch(made.source, "-o", "out", "--stops", "4").code == 0
    assert not made.kept_by("--stops", "4", "--preview", "all")
    assert sheet.read_bytes() != before
    assert made.kept_by("--stops", "4", "--preview", "all")
    sheet.write_bytes(sheet.read_bytes()[:-300])
    assert not made.kept_by("--stops", "4", "--preview", "all")


ACES = ("--matte", "--output-space", "aces2065-1")


@pytest.mark.parametrize(
    ("names", "words", "lost"),
    [
        (("in/a.png", "in/a.matte.png"), ACES, "a.matte.exr"),
        (("in/a.png", "in/b.preview.png", "in/b.png"), ("--preview", "all", "-o", "in"), "b.preview.png"),
    ],
)
def test_what_lies_beside_a_result_replaces_nothing(names: tuple[str, ...], words: tuple[str, ...], lost: str) -> None:
    for name in names:
        save(Path(name), plate(1, 32, 32))
    output = () if "-o" in words else ("-o", "out")
    before = {name: Path(name).read_bytes() for name in names}
    ran = batch(*names, *output, *words)
    assert ran.code == 2
    assert lost in ran.complaint
    assert {name: Path(name).read_bytes() for name in names} == before


@pytest.mark.parametrize(("mine", "words"), [("a.matte.exr", ACES), ("a.preview.png", ("--preview", "some"))])
def test_existing_error_looks_beside_the_result(mine: str, words: tuple[str, ...]) -> None:
    save(Path("a.png"), plate(1, 32, 32))
    Path("out").mkdir()
    Path("out", mine).write_text("mine")
    ran = batch("a.png", "-o", "out", "--existing", "error", *words)
    assert ran.code == 2
    assert mine in ran.complaint
    assert files_in(Path("out")) == [mine]


def test_sheets_of_an_earlier_run_are_no_plates() -> None:
    Path("plates").mkdir()
    save(Path("plates/a.ppm"), plate(1, 64, 40))
    for source in ("plates", "plates/*"):
        assert batch(source, "-o", "plates", "--preview", "all").code == 0
        Path("plates/a.exr").unlink()
    assert files_in(Path("plates")) == ["a.ppm", "a.preview.png"]


def test_skip_never_trusts_a_result_that_cannot_say_how_it_was_made() -> None:
    save(Path("a.ppm"), plate(1, 64, 40))
    for stops in ("0", "1", "0"):
        assert batch("a.ppm", "-o", f"want{stops}.hdr", "--stops", stops).code == 0
        assert batch("a.ppm", "-o", "a.hdr", "--existing", "skip", "--stops", stops).code == 0
        assert Path("a.hdr").read_bytes() == Path(f"want{stops}.hdr").read_bytes()


def test_missing_frames(shot: Path) -> None:
    (shot / "shot.1002.png").unlink()
    failed = batch("in/shot.####.png", "--frames", "1001-1003", "-o", "a")
    assert failed.code == 1
    assert "shot.1002.png" in failed.complaint
    assert results(Path("a")) == [1001, 1003]
    assert batch("in/shot.####.png", "-o", "b").code == 1
    assert batch("in/shot.####.png", "--missing", "skip", "-o", "c").code == 0
    assert results(Path("b")) == results(Path("c")) == [1001, 1003, 1004]
    assert batch("in/shot.####.png", "--frames", "7-8", "--missing", "skip", "-o", "d").code == 2


def test_one_bad_frame_stops_only_if_asked(shot: Path) -> None:
    (shot / "shot.1002.png").write_bytes(b"nothing")
    (shot / "shot.1004.png").write_bytes(b"")
    go_on = batch("in", "-o", "a", "--json", "r.json")
    assert go_on.code == 1
    assert results(Path("a")) == [1001, 1003]
    final = go_on.err.split("2 of 4 frames failed:")[1]
    assert "shot.1002.png" in final
    assert "shot.1004.png" in final
    statuses = [frame["status"] for frame in json.loads(Path("r.json").read_text())["frames"]]
    assert statuses == ["done", "failed", "done", "failed"]
    stop = batch("in", "-o", "b", "--on-error", "stop")
    assert stop.code == 1
    assert results(Path("b")) == [1001]


def _order(monkeypatch: pytest.MonkeyPatch, fails: int = -1) -> list[str]:
    """Keep when frames begin and finish; one of them cannot be finished."""
    order: list[str] = []
    begin, finish = Converter.begin, Begun.finish

    def begun(self: Converter, prepared: Prepared, *words: Any, **more: Any) -> Begun:
        order.append(f"+{prepared.source.stem[-1]}")
        return begin(self, prepared, *words, **more)

    def finished(self: Begun) -> FrameReport:
        order.append(f"-{Path(self._source).stem[-1]}")
        if order[-1] == f"-{fails}":
            self.abandon()
            raise OutputError("no room")
        return finish(self)

    monkeypatch.setattr(Converter, "begin", begun)
    monkeypatch.setattr(Begun, "finish", finished)
    return order


def test_a_frame_is_written_while_the_next_is_expanded(shot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = _order(monkeypatch)
    assert batch("in", "-o", "a").code == 0
    assert order == ["+1", "+2", "-1", "+3", "-2", "+4", "-3", "-4"]
    order.clear()
    monkeypatch.setattr(PointEngine, "device", "elsewhere")
    for number in (5, 6, 7):
        save(shot / f"shot.100{number}.png", plate(number))
    assert batch("in", "-o", "b").code == 0
    assert order == "+1 +2 +3 +4 +5 -1 +6 -2 +7 -3 -4 -5 -6 -7".split()
    assert results(Path("b")) == list(range(1001, 1008))


def test_beside_a_device_several_frames_are_opened_at_once(shot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert batch("in", "-o", "a", "--steady", "off").code == 0
    pair, prepare = threading.Barrier(2, timeout=20), Converter.prepare

    def together(self: Converter, *words: Any, **more: Any) -> Prepared:
        pair.wait()
        return prepare(self, *words, **more)

    monkeypatch.setattr(Converter, "prepare", together)
    monkeypatch.setattr(PointEngine, "device", "elsewhere")
    monkeypatch.setattr(PointEngine, "threads", 8)
    assert batch("in", "-o", "b", "--steady", "off").code == 0
    for name in files_in(Path("a")):
        assert np.array_equal(pixels_of(Path("a") / name), pixels_of(Path("b") / name))


def test_frames_that_are_begun_are_finished_after_another_has_failed(
    shot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = _order(monkeypatch, fails=1)
    ran = batch("in", "-o", "a", "--on-error", "stop")
    assert ran.code == 1
    assert order == ["+1", "+2", "-1", "-2"]
    assert results(Path("a")) == [1002]
    assert "no room" in ran.complaint


def test_an_interruption_leaves_nothing_of_frames_that_are_begun(shot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PointEngine, "device", "elsewhere")
    finish = Begun.finish

    def interrupted(self: Begun) -> FrameReport:
        if Path(self._source).stem.endswith("2"):
            raise KeyboardInterrupt
        return finish(self)

    monkeypatch.setattr(Begun, "finish", interrupted)
    assert batch("in", "-o", "a", "--steady", "off").code == 130
    assert results(Path("a")) == [1001]


def test_progress_of_frames_that_overlap_never_goes_back(shot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PointEngine, "device", "elsewhere")
    ran = batch("in", "-o", "a", "--steady", "off", "--progress", "openjd")
    told = [float(line.split()[1]) for line in ran.out.splitlines() if line.startswith("openjd_progress: ")]
    assert told == sorted(told)
    assert len(set(told)) > 1
    assert told[-1] == 100


def test_a_frame_that_must_not_be_expanded_is_closed_and_stops_no_other(shot: Path) -> None:
    bright = Path("bright.exr")
    assert oiio.ImageBuf(np.full((20, 30, 3), 3, np.float32)).write(str(bright), "half")
    with mock.patch.object(ImagePlate, "close", autospec=True, side_effect=ImagePlate.close) as closed:
        ran = batch("in/shot.1001.png", bright, "in/shot.1002.png", "-o", "exr", "--steady", "off")
    assert ran.code == 1
    assert "already HDR" in ran.err
    assert sorted(path.name for path in Path("exr").rglob("*.exr")) == ["shot.1001.exr", "shot.1002.exr"]
    assert bright.name in {call.args[0].path.name for call in closed.call_args_list}


@pytest.mark.parametrize(("relative", "ahead"), [(False, True), (True, False)])
def test_an_analysis_that_takes_a_render_is_not_made_ahead(relative: bool, ahead: bool) -> None:
    converter, prepared = mock.Mock(), mock.Mock()
    converter.expander.settings.relative = relative
    assert _analyzed(converter, prepared) is prepared
    assert converter.analyze.called == ahead
    assert not prepared.close.called


def test_a_report_counts_the_time_of_an_analysis_made_ahead(shot: Path) -> None:
    analyze = Converter.analyze

    def slow(converter: Converter, prepared: Prepared) -> object:
        made = analyze(converter, prepared)
        prepared.seconds = 100.0
        return made

    with mock.patch.object(Converter, "analyze", slow):
        assert batch("in/shot.1001.png", "-o", "out", "--json", "r.json").code == 0
    assert json.loads(Path("r.json").read_text())["frames"][0]["seconds"] >= 100


def test_report_says_what_was_made(shot: Path) -> None:
    ran = batch("in/shot.1001.png", "-o", "out", "--json", "logs/r.json", "--stops", "0.5", "--float")
    assert ran.code == 0
    report = json.loads(Path("logs/r.json").read_text())
    shipped = next((ROOT / "expandnet_ofx" / "weights").glob("*.safetensors"))
    assert report["weights_sha256"] == hashlib.sha256(shipped.read_bytes()).hexdigest()
    assert report["settings"]["stops"] == 0.5
    assert (report["done"], report["skipped"], report["failed"]) == (1, 0, 0)
    assert report["seconds"] > 0
    (frame,) = report["frames"]
    assert (frame["input"], frame["output"]) == ("in/shot.1001.png", "out/shot.1001.exr")
    assert (frame["width"], frame["height"]) == (32, 24)
    assert frame["warnings"] == []
    assert frame["seconds"] > 0
    codes = plate(0) / 255
    clipped = (codes == 1).any(2)
    assert frame["clipped_share"] == pytest.approx(clipped.mean(), abs=0.02)
    gained = np.log2(pixels_of(Path("out/shot.1001.exr")) / decode_srgb(codes))[clipped]
    assert frame["stops_gained"] == pytest.approx(np.percentile(gained, 99), abs=0.05)


def test_report_of_a_run_that_cannot_write_it_fails(shot: Path) -> None:
    Path("file").write_text("")
    ran = batch("in", "-o", "out", "--json", "file/r.json", "-q")
    assert ran.code in (1, 2)
    assert "file/r.json" in ran.complaint


def test_progress_plain_and_auto_are_a_line_per_frame(shot: Path) -> None:
    for words in (["--progress", "plain"], []):
        lines = batch("in", "-o", "out", *words).out.splitlines()
        assert lines.pop(0) == "analyzing in/shot.#.png: 4/4 frames"
        lines = [line for line in lines if "rms from frame to frame" not in line]
        assert len(lines) == 5
        assert [name.removesuffix(".png") in line for name, line in zip(SHOT, lines, strict=False)] == [True] * 4


def test_progress_json_is_an_object_per_line(shot: Path) -> None:
    (shot / "shot.1002.png").write_bytes(b"nothing")
    ran = batch("in", "-o", "out", "--progress", "json")
    events = [json.loads(line) for line in ran.out.splitlines()]
    frames = [event for event in events if event["event"] == "frame"]
    assert [frame["status"] for frame in frames] == ["done", "failed", "done", "done"]
    assert [frame["number"] for frame in frames] == [1, 2, 3, 4]
    assert events[-1]["event"] == "finished"
    assert (events[-1]["done"], events[-1]["failed"]) == (3, 1)


def test_quiet_and_none_show_failures_only(shot: Path) -> None:
    for words in (["-q"], ["--progress", "none"], ["-q", "--progress", "json"]):
        assert batch("in", "-o", "out", *words)[1:] == ("", "")
    (shot / "shot.1002.png").write_bytes(b"nothing")
    ran = batch("in", "-o", "out", "-q")
    assert ran.out == ""
    assert "shot.1002.png" in ran.complaint
    assert len(batch("in", "-o", "out", "-v").out) > len(batch("in", "-o", "out").out)
    assert batch("in", "-o", "out", "-v", "-q").code == 2


def test_bar_on_a_terminal(shot: Path) -> None:
    pty, fcntl, termios = (pytest.importorskip(name) for name in ("pty", "fcntl", "termios"))
    main, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("4H", 24, 120, 0, 0))
    with start("in", "-o", "out", cwd=shot.parent, stdin=end, stdout=end, stderr=end) as process:
        os.close(end)
        shown = b""
        try:
            while block := os.read(main, 4096):
                shown += block
        except OSError:
            # The terminal of a process that ended reads as an error on Linux.
            pass
        os.close(main)
    assert process.returncode == 0
    text = shown.decode()
    assert "frames" in text
    assert "left" in text
    assert "shot.1004" in text
    assert "4 done" in text


def test_config_gives_defaults_and_flags_win(shot: Path) -> None:
    Path("studio.toml").write_text('stops = 1.0\ncompression = "piz"\nmatte = true\nquiet = true\n')
    words = ["in/shot.1001.png", "-o", "out"]
    made = {}
    for name, more in {
        "config": ["--config", "studio.toml"],
        "flags": ["--stops", "1", "--compression", "piz", "--matte"],
        "flag wins": ["--config", "studio.toml", "--stops", "0"],
        "zero": ["--compression", "piz", "--matte"],
    }.items():
        ran = batch(*words, *more)
        assert ran.code == 0, ran.err
        made[name] = Path("out/shot.1001.exr").read_bytes()
    assert made["config"] == made["flags"]
    assert made["flag wins"] == made["zero"] != made["config"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("stops = 1\nstpos = 2\n", "stpos"),
        ("inputs = 'x'\n", "inputs"),
        ("stops = \n", "TOML"),
        ("stops = 'many'\n", "many"),
        ("stops = [1]\n", "stops"),
        ("merge = 'sideways'\n", "sideways"),
        ("threshold = 0.999\n", "threshold"),
        ("\xff", "TOML"),
    ],
)
def test_bad_config(shot: Path, text: str, word: str) -> None:
    Path("bad.toml").write_bytes(text.encode("latin-1"))
    ran = batch("in", "-o", "out", "--config", "bad.toml")
    assert ran.code == 2
    assert word in ran.err
    assert "Traceback" not in ran.err
    assert not Path("out").exists()
    assert batch("in", "-o", "out", "--config", "absent.toml").code == 2


def test_saved_config_makes_the_same_file(shot: Path) -> None:
    flags = "--stops 1.5 --white 0.95 --matte --float --compression zips --max-stops 6 --merge-channels together --memory 2GiB"
    assert batch("in/shot.1001.png", "-o", "out", *flags.split(), "--save-config", "studio.toml").code == 0
    first = Path("out/shot.1001.exr").read_bytes()
    Path("out/shot.1001.exr").unlink()
    again = batch("in/shot.1001.png", "-o", "out", "--config", "studio.toml", "--save-config", "second.toml")
    assert again.code == 0, again.err
    assert Path("out/shot.1001.exr").read_bytes() == first
    assert sorted(Path("second.toml").read_text().split("\n")) == sorted(Path("studio.toml").read_text().split("\n"))


def test_previews(shot: Path) -> None:
    save(shot / "shot.1005.png", plate(5))
    for choice, wanted in {"none": [], "some": [1001, 1003, 1005], "all": [1001, 1002, 1003, 1004, 1005]}.items():
        assert batch("in", "-o", choice, "--preview", choice).code == 0
        sheets = [name for name in files_in(Path(choice)) if name.endswith(".png")]
        assert sheets == [f"shot.{frame}.preview.png" for frame in wanted]
        for sheet in sheets:
            assert min(pixels_of(Path(choice, sheet)).shape[:2]) > 100


def test_mask_keeps_the_plate(shot: Path) -> None:
    mask = np.zeros((24, 32, 1), np.uint8)
    mask[:, :8] = 255
    save(Path("mask.png"), mask)
    for frame in (1001, 1002, 1003, 1004):
        save(Path(f"m/mask.{frame}.png"), mask)
    truth = decode_srgb(plate(0) / 255)
    assert batch("in/shot.####.png", "-o", "plain").code == 0
    for name, words in {"still": "mask.png", "moving": "m/mask.####.png"}.items():
        assert batch("in/shot.####.png", "-o", name, "--mask", words).code == 0
        kept = pixels_of(Path(name, "shot.1001.exr"))
        np.testing.assert_allclose(kept[:, :8], truth[:, :8], rtol=6e-4, atol=1e-6)
        assert (kept[2:8, 10:14] > 1.5).all()
    Path("m/mask.1003.png").unlink()
    for absent in ("m/mask.####.png", "no.png"):
        ran = batch("in/shot.####.png", "-o", "x", "--mask", absent)
        assert ran.code == 2
        assert "--mask" in ran.complaint
    assert not Path("x").exists()


def test_matte_tells_where_light_was_added(shot: Path) -> None:
    assert batch("in/shot.1001.png", "-o", "out", "--matte").code == 0
    buffer = oiio.ImageBuf("out/shot.1001.exr")
    names = list(buffer.spec().channelnames)
    matte = pixels_of(Path("out/shot.1001.exr"))[:, :, [names.index(f"matte.{channel}") for channel in "RGB"]]
    light = pixels_of(Path("out/shot.1001.exr"))[:, :, [names.index(channel) for channel in "RGB"]]
    assert (matte[3:9, 3:13] == 1).all()
    assert (matte[12:, 16:] == 0).all()
    np.testing.assert_allclose(light[matte == 0], decode_srgb(plate(0) / 255)[matte == 0], rtol=6e-4, atol=1e-6)


def test_matte_of_an_aces_file_goes_beside_it(shot: Path) -> None:
    assert batch("in/shot.1001.png", "-o", "out", "--matte", "--output-space", "aces2065-1").code == 0
    assert files_in(Path("out")) == ["shot.1001.exr", "shot.1001.matte.exr"]
    assert oiio.ImageBuf("out/shot.1001.exr").spec().channelnames == ("R", "G", "B")


def test_authors_preset_needs_the_authors_weights(shot: Path) -> None:
    ran = batch("in", "-o", "out", "--preset", "authors")
    assert ran.code == 2
    assert "weights" in ran.complaint
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("--threshold 0.995", "threshold"),
        ("--threshold 0", "threshold"),
        ("--full 1.1", "full"),
        ("--threshold nan", "threshold"),
        ("--white 0", "white"),
        ("--white blue", "white"),
        ("--stops 99", "stops"),
        ("--stops nan", "stops"),
        ("--max-stops -1", "max-stops"),
        ("--saturated-max-stops -1", "saturated-max-stops"),
        ("--saturation -0.1", "saturation"),
        ("--boldness 1", "boldness"),
        ("--sun-stops -1", "sun-stops"),
        ("--merge sideways", "merge"),
        ("--tile 4", "tile"),
        ("--feather -1", "feather"),
        ("--feather 1000", "feather"),
        ("--memory 10MiB", "memory"),
        ("--memory lots", "memory"),
        ("--memory infGiB", "memory"),
        ("--input-space nowhere", "nowhere"),
        ("--output-space nowhere", "nowhere"),
        ("--ocio absent.ocio --output-space acescg", "absent.ocio"),
        ("--compression lzma", "compression"),
        ("--weights absent.safetensors", "absent.safetensors"),
        ("--output-space aces2065-1 --float", "aces2065-1"),
        ("--output-space aces2065-1 --compression zip", "aces2065-1"),
        ("--frames x", "frames"),
        ("--unknown", "--unknown"),
        ("--threads -1", "threads"),
    ],
)
def test_bad_settings_end_before_any_work(shot: Path, words: str, named: str) -> None:
    ran = batch("in", "-o", "out", *words.split())
    assert ran.code == 2, ran
    assert named in ran.err
    assert "Traceback" not in ran.err
    assert "internal fault" not in ran.err
    assert not Path("out").exists()


def test_a_device_that_is_not_there(shot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(shot.parent)
    for device in ("tpu", "cuda:99"):
        ran = batch("in", "-o", "out", "--device", device)
        assert ran.code == 2
        assert device in ran.complaint
    assert not Path("out").exists()


@pytest.mark.parametrize("output", ["out.png", "out/x.####.jpg", "out.mov"])
def test_outputs_that_cannot_hold_light(shot: Path, output: str) -> None:
    before = files_in(Path())
    ran = batch("in/shot.1001.png", "-o", output, "--frames", "1001")
    assert ran.code == 2
    assert Path(output).suffix in ran.complaint
    assert files_in(Path()) == before


def test_matte_in_a_format_without_channels(shot: Path) -> None:
    ran = batch("in/shot.1001.png", "-o", "out.hdr", "--matte")
    assert ran.code == 2
    assert ".exr" in ran.complaint
    assert not Path("out.hdr").exists()


def test_dots_blanks_and_odd_letters_in_names(tmp_path: Path) -> None:
    names = ["a b.png", "Ünïcødé.png", "x.y.z.png", "100%.png", "-dash.png", "(1).png"]
    for name in names:
        save(tmp_path / "in" / name, plate())
    ran = batch("in", "-o", "out put")
    assert ran.code == 0, ran.err
    assert set(files_in(Path("out put"))) == {name.replace(".png", ".exr") for name in names}
