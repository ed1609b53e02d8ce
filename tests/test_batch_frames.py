"""Frames that overlap in a batch, its report and its progress."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import OpenImageIO as oiio
import pytest
from commands import ROOT, SHOT, batch, files_in, pixels_of, plate, results, save, start
from expandnet_batch.ahead import _analyzed
from expandnet_batch.expanding import share_of
from fakes import PointEngine, decode_srgb

from expandnet_ofx import Expander, Settings
from expandnet_ofx.convert import Begun, Converter, FrameReport
from expandnet_ofx.errors import OutputError
from expandnet_ofx.expander import FIXED_BYTES
from expandnet_ofx.images import ImagePlate
from expandnet_ofx.sources import Prepared
from expandnet_ofx.tiles import Plan
from expandnet_ofx.writer import ImageWriter

pytestmark = pytest.mark.usefixtures("light_network")


def _order(monkeypatch: pytest.MonkeyPatch, fails: int = -1) -> list[str]:
    """Keep when frames begin and finish; one of them cannot be completed."""
    order: list[str] = []
    begin, finish, commit = Converter.begin, Begun.finish, ImageWriter.commit

    def begun(self: Converter, prepared: Prepared, *words: Any, **more: Any) -> Begun:
        order.append(f"+{prepared.source.stem[-1]}")
        return begin(self, prepared, *words, **more)

    def finished(self: Begun) -> FrameReport:
        order.append(f"-{Path(self._source).stem[-1]}")
        return finish(self)

    def committed(self: ImageWriter) -> None:
        if self.path.stem.endswith(str(fails)):
            raise OutputError("no room")
        commit(self)

    monkeypatch.setattr(Converter, "begin", begun)
    monkeypatch.setattr(Begun, "finish", finished)
    monkeypatch.setattr(ImageWriter, "commit", committed)
    return order


def test_a_frame_is_written_while_the_next_is_expanded(shot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = _order(monkeypatch)
    assert batch("in", "-o", "a").code == 0
    assert order == ["+1", "+2", "-1", "+3", "-2", "+4", "-3", "-4"]
    order.clear()
    monkeypatch.setattr(PointEngine, "device", "elsewhere")
    monkeypatch.setattr(PointEngine, "threads", 4)
    for number in (5, 6, 7):
        save(shot / f"shot.100{number}.png", plate(number))
    assert batch("in", "-o", "b").code == 0
    assert order == "+1 +2 +3 +4 +5 -1 +6 -2 +7 -3 -4 -5 -6 -7".split()
    assert results(Path("b")) == list(range(1001, 1008))
    order.clear()
    # Of half floats of 24 x 32 pixels, in which two frames have room.
    monkeypatch.setattr("expandnet_batch.batch.WRITTEN_SHARE", 2.5 * 24 * 32 * 3 * 2 / (1 << 30))
    assert batch("in", "-o", "c").code == 0
    assert order == "+1 +2 +3 -1 +4 -2 +5 -3 +6 -4 +7 -5 -6 -7".split()


def test_beside_a_device_frames_are_written_side_by_side(shot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    four, commit = threading.Barrier(4, timeout=20), ImageWriter.commit

    def together(self: ImageWriter) -> None:
        if self.path.name.startswith("shot."):
            four.wait()
        commit(self)

    monkeypatch.setattr(ImageWriter, "commit", together)
    monkeypatch.setattr(PointEngine, "device", "elsewhere")
    monkeypatch.setattr(PointEngine, "threads", 4)
    assert batch("in", "-o", "a", "--steady", "off").code == 0
    assert results(Path("a")) == [1001, 1002, 1003, 1004]


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


def test_an_interruption_leaves_only_complete_frames(shot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PointEngine, "device", "elsewhere")
    finish = Begun.finish

    def interrupted(self: Begun) -> FrameReport:
        if Path(self._source).stem.endswith("2"):
            raise KeyboardInterrupt
        return finish(self)

    monkeypatch.setattr(Begun, "finish", interrupted)
    write = ImageWriter.write

    def third_waits(self: ImageWriter, start: int, pixels: np.ndarray) -> None:
        time.sleep(0.3 if self.path.stem.endswith("3") else 0)
        write(self, start, pixels)

    monkeypatch.setattr(ImageWriter, "write", third_waits)
    assert batch("in", "-o", "a", "--steady", "off").code == 130
    # The third was not complete, and is gone.
    assert set(results(Path("a"))) in ({1001, 1002}, {1001, 1002, 1004})


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


def test_a_batch_that_fails_is_reported_and_was_not_interrupted(shot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr("expandnet_batch.batch.open_book", fail)
    ran = batch("in", "-o", "out", "--json", "r.json")
    assert ran.code == 1
    assert "a fault of ours" in ran.err
    report = json.loads(Path("r.json").read_text())
    assert (report["interrupted"], report["left"]) == (False, 4)


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
    ran = batch("in", "-o", "out", "-v", "-q")
    assert (ran.code, "choose one" in ran.complaint) == (2, True)


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


@pytest.fixture
def many_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let as many frames be expanded at once as a shot has."""
    monkeypatch.setattr(PointEngine, "threads", 4)
    monkeypatch.setattr(PointEngine, "workers", 4)


def test_frames_are_expanded_side_by_side_and_are_the_same(
    shot: Path, many_workers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair, begin = threading.Barrier(2, timeout=20), Converter.begin

    def together(self: Converter, *words: Any, **more: Any) -> Begun:
        pair.wait()
        return begin(self, *words, **more)

    with mock.patch.object(Converter, "begin", together):
        assert batch("in", "-o", "a", "--json", "a.json").code == 0
    monkeypatch.setattr(PointEngine, "workers", 1)
    assert batch("in", "-o", "b").code == 0
    assert results(Path("a")) == [1001, 1002, 1003, 1004]
    for name in files_in(Path("a")):
        assert (Path("a") / name).read_bytes() == (Path("b") / name).read_bytes()
    frames = json.loads(Path("a.json").read_text())["frames"]
    assert [frame["input"] for frame in frames] == [f"in/{name}" for name in SHOT]


@pytest.mark.usefixtures("many_workers")
def test_an_interruption_ends_all_frames_that_are_expanded(shot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin, three, ended = Converter.begin, threading.Barrier(3, timeout=20), []

    def interrupted(self: Converter, prepared: Prepared, *words: Any, **more: Any) -> Begun:
        number = prepared.source.stem[-1]
        if number == "1":
            return begin(self, prepared, *words, **more)
        three.wait()
        if number == "2":
            while not Path("a/shot.1001.exr").exists():
                time.sleep(1e-3)
            raise KeyboardInterrupt
        try:
            while True:
                more["progress"](0.5)
                time.sleep(1e-3)
        finally:
            ended.append(number)

    monkeypatch.setattr(Converter, "begin", interrupted)
    assert batch("in", "-o", "a", "--steady", "off").code == 130
    assert results(Path("a")) == [1001]
    assert sorted(ended) == ["3", "4"]


@pytest.mark.usefixtures("many_workers")
def test_a_batch_that_stops_reports_all_that_it_leaves(shot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = Converter.begin

    def failing(self: Converter, prepared: Prepared, *words: Any, **more: Any) -> Begun:
        if prepared.source.stem.endswith("1"):
            raise OutputError("no room")
        return begin(self, prepared, *words, **more)

    for number in range(5, 40):
        save(shot / f"shot.{1000 + number}.png", plate(number))
    monkeypatch.setattr(Converter, "begin", failing)
    assert batch("in", "-o", "a", "--on-error", "stop", "--steady", "off", "--json", "r.json").code == 1
    frames = json.loads(Path("r.json").read_text())["frames"]
    assert frames[0]["status"] == "failed"
    assert [f"a/shot.{number}.exr" for number in results(Path("a"))] == [frame["output"] for frame in frames[1:]]
    assert len(frames) < 20


@pytest.mark.usefixtures("many_workers")
def test_progress_of_frames_side_by_side_never_goes_back(shot: Path) -> None:
    ran = batch("in", "-o", "a", "--steady", "off", "--progress", "openjd")
    told = [float(line.split()[1]) for line in ran.out.splitlines() if line.startswith("openjd_progress: ")]
    assert told == sorted(told)
    assert told[-1] == 100


@pytest.mark.parametrize("size", [(40, 30), (1920, 1080), (3840, 2160), (24000, 16000)])
@pytest.mark.parametrize("workers", [1, 4, 32])
@pytest.mark.parametrize("pixel_bytes", [3, 16])
def test_frames_side_by_side_keep_all_workers_busy_within_the_memory(
    size: tuple[int, int], workers: int, pixel_bytes: int
) -> None:
    converter, prepared, engine = mock.Mock(), mock.Mock(held=size[0] * size[1] * 3), PointEngine()
    prepared.main.plate.width, prepared.main.plate.height = size
    prepared.main.plate.pixel_bytes = pixel_bytes
    engine.workers, engine.tile = workers, 256

    def count_and_plan(memory: int) -> tuple[int, Plan]:
        converter.expander = Expander(Settings(memory=memory), engine=engine)
        return int(max(1, 1 / share_of(prepared, converter))), converter.expander.plan((0, 0, *size), pixel_bytes)

    count, plan = count_and_plan(1 << 40)
    assert workers <= (count - 1) * plan.tiles
    assert (count - 2) * plan.tiles <= 2 * workers
    count, plan = count_and_plan(1 << 30)
    # Light of rows in work, their codes as read and as cut for it, and what is held; the rest may not be touched.
    rows = min(size[1], plan.rows_in_work(workers) * len(plan.rows[0]))
    needed = prepared.held + rows * size[0] * (24 + 2 * pixel_bytes)
    assert count == 1 or count * needed <= (1 << 30) - FIXED_BYTES


@pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="names are text there")
def test_a_file_whose_name_is_no_text_costs_one_frame(shot: Path) -> None:
    assert batch("in/shot.1001.png", "-o", "exr").code == 0
    good = Path("exr", "shot.1001.exr")
    for name in (b"a\xff.exr", b"b\xff.png"):
        Path(os.fsdecode(b"odd/" + name)).parent.mkdir(exist_ok=True)
        Path(os.fsdecode(b"odd/" + name)).write_bytes(good.read_bytes())
    save(Path("odd", "good.png"), plate(1))
    ran = batch("odd", "-o", "out")
    assert ran.code == 1
    assert Path("out", "good.exr").exists()
    assert "internal fault" not in ran.err
    assert all(f"{name}: its name is not UTF-8" in ran.err for name in (r"a\udcff.exr", r"b\udcff.png"))
    for words in (("-o", os.fsdecode(b"o\xff")), ("-o", "o", "--ocio", os.fsdecode(b"c\xff"), "--input-space", "x")):
        ran = batch("in/shot.1001.png", *words)
        assert ran.code in (1, 2)
        assert "not UTF-8" in ran.err
