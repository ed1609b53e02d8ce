"""Work that runs side by side: in order, within its room, frames opened ahead of what is done with them; what is said where
one fails."""

from __future__ import annotations

import errno
import gc
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio
import pytest
from commands import batch, files_in, invoke, results
from expandnet_batch import ahead
from expandnet_batch.failures import failure_text
from expandnet_batch.tools import command as tools
from fakes import BoxEngine, PointEngine
from hypothesis import given, settings
from hypothesis import strategies as st

from expandnet_ofx import Expander, Settings
from expandnet_ofx.convert import Converter
from expandnet_ofx.declared import declared
from expandnet_ofx.errors import InputError, OutputError
from expandnet_ofx.errors import OutOfMemoryError as DeviceMemoryError
from expandnet_ofx.images import open_image
from expandnet_ofx.workers import Workers, within


class Counter:
    """Counts what is in work at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.now = self.most = 0

    def add(self, by: int) -> None:
        with self._lock:
            self.now += by
            self.most = max(self.most, self.now)


@settings(max_examples=30, deadline=None)
@given(weights=st.lists(st.integers(0, 9), max_size=12), room=st.integers(0, 20), count=st.integers(1, 4))
def test_calls_keep_their_order_and_take_no_more_than_their_room(weights, room, count):
    held = Counter()

    def call(number: int) -> int:
        held.add(weights[number])
        time.sleep(1e-4 * (number % 3))
        return number

    results = []
    for number in within(((w, lambda k=k: call(k)) for k, w in enumerate(weights)), room=room, count=count):
        held.add(-weights[number])
        results.append(number)
    assert results == list(range(len(weights)))
    # Beside the one that the caller is given.
    assert held.most <= max(room, *weights, 0) + max([0, *weights])


@pytest.mark.parametrize("weight", [3, 9])
def test_the_next_call_is_in_work_while_the_caller_goes_on_with_one_result(weight):
    started = [threading.Event() for _ in range(3)]
    results = within(((weight, started[k].set) for k in range(3)), room=5, count=3)
    next(results)
    assert started[1].wait(20)
    assert not started[2].wait(0.05)
    assert len(list(results)) == 2


def test_a_failure_lets_go_of_what_others_made():
    class Made:
        pass

    made: list[weakref.ref[Made]] = []

    def make() -> Made:
        found = Made()
        made.append(weakref.ref(found))
        return found

    def fail() -> None:
        while len(made) < 2:
            time.sleep(1e-3)
        raise ValueError

    gc.disable()
    try:
        with pytest.raises(ValueError):
            list(within(iter([(0, fail), (0, make), (0, make)]), room=0, count=3))
        assert [found() for found in made] == [None, None]
    finally:
        gc.enable()


def test_calls_that_are_dropped_are_waited_for_or_never_made():
    made, entered, leave = [], threading.Event(), threading.Event()

    def slow() -> None:
        entered.set()
        leave.wait()
        made.append("slow")

    results = within(iter([(0, lambda: 0), (0, slow), *[(0, lambda: made.append("late"))] * 20]), room=0, count=2)
    assert next(results) == 0
    entered.wait()
    threading.Timer(0.05, leave.set).start()
    results.close()
    until_closed = list(made)
    time.sleep(0.05)
    assert made == until_closed
    assert "slow" in made
    assert len(made) < 21


def test_all_who_ask_share_the_threads_beside_the_engine(monkeypatch):
    monkeypatch.setattr(BoxEngine, "threads", 3)
    workers, working = Workers(BoxEngine()), Counter()

    def call(k: int) -> int:
        working.add(1)
        time.sleep(2e-3)
        working.add(-1)
        return k

    found: dict[int, list[int]] = {}

    def ask(who: int) -> None:
        found[who] = list(workers.beside([lambda k=k: call(k) for k in range(12)]))

    asking = [threading.Thread(target=ask, args=(who,)) for who in range(4)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert found == {who: list(range(12)) for who in range(4)}
    assert 1 < working.most <= 3


def test_a_failure_comes_in_its_turn():
    def fail() -> None:
        raise ValueError("third")

    results = within(iter([(0, lambda: 1), (0, lambda: 2), (0, fail), (0, lambda: 4)]), room=0, count=3)
    assert (next(results), next(results)) == (1, 2)
    with pytest.raises(ValueError, match="third"):
        next(results)


@pytest.mark.parametrize(
    ("name", "kind", "channels"),
    [
        ("a.png", "uint8", 3),
        ("a.tif", "uint16", 4),
        ("a.exr", "mixed", 4),
        ("a.exr", "half", 3),
        ("a.exr", "float", 5),
        ("a.jpg", "uint8", 3),
    ],
)
def test_a_header_tells_what_a_plate_takes(tmp_path, name, kind, channels):
    path = tmp_path / name
    spec = oiio.ImageSpec(37, 21, channels, "half" if kind == "mixed" else kind)
    if kind == "mixed":
        spec.channelformats = tuple(oiio.TypeDesc(name) for name in ("half", "half", "half", "float"))
    spec.attribute("oiio:ColorSpace", "sRGB")
    out = oiio.ImageOutput.create(str(path))
    assert out.open(str(path), spec)
    assert out.write_image(np.zeros((21, 37, channels), np.float32))
    out.close()
    found = declared(path)
    assert found is not None
    assert (found.width, found.height) == (37, 21)
    with open_image(path, Settings(input_space="srgb")) as opened:
        assert found.held(1 << 30) == opened.held


@pytest.mark.parametrize("name", ["a.png", "a.exr", "a.webp", "turned.tif"])
def test_a_header_tells_whether_a_large_plate_is_held(tmp_path, name):
    path = tmp_path / name
    picture = oiio.ImageBuf(oiio.ImageSpec(4000, 3500, 3, "uint8"))
    picture.specmod().attribute("Orientation", 6 if "turned" in name else 1)
    assert picture.write(str(path))
    found, plan = declared(path), Settings(input_space="srgb", memory=1 << 29)
    assert found is not None
    with open_image(path, plan) as opened:
        assert found.held(plan.memory) == opened.held
        assert (opened.held == 0) == (name in ("a.png", "a.exr"))


def test_a_header_tells_of_all_parts(tmp_path):
    path = tmp_path / "parts.exr"
    specs = [oiio.ImageSpec(20, 10, channels, "half") for channels in (3, 1)]
    for number, spec in enumerate(specs):
        spec.attribute("oiio:subimagename", f"part{number}")
    out = oiio.ImageOutput.create(str(path))
    assert out.open(str(path), tuple(specs))
    for number, spec in enumerate(specs):
        assert not number or out.open(str(path), spec, "AppendSubimage")
        assert out.write_image(np.zeros((10, 20, spec.nchannels), np.float16))
    out.close()
    found = declared(path)
    assert found is not None
    assert found.held(1 << 30) == 20 * 10 * 4 * 2


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_declares_nothing(tmp_path, content):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    assert declared(path) is None
    assert declared(tmp_path / "absent.png") is None
    assert declared(tmp_path) is None


@pytest.fixture
def analyzing(monkeypatch: pytest.MonkeyPatch) -> Counter:
    """Counts frames that are analyzed at once, on as many processors as there may be frames."""
    counter, analyze = Counter(), Converter.analyze

    def counted(converter: Converter, prepared: Any) -> Any:
        if prepared.main.analysis is not None:
            return analyze(converter, prepared)
        counter.add(1)
        # Long enough for the others to come to this point, if they may.
        time.sleep(0.05)
        found = analyze(converter, prepared)
        counter.add(-1)
        return found

    monkeypatch.setattr(Converter, "analyze", counted)
    monkeypatch.setattr(PointEngine, "threads", 3)
    return counter


@pytest.mark.usefixtures("light_network")
@pytest.mark.parametrize(
    "words",
    [
        ["batch", "in", "-o", "out"],
        ["batch", "in", "-o", "out", "--steady", "off"],
        ["analyze", "in/shot.####.png", "-o", "a.json"],
    ],
)
def test_frames_are_analyzed_side_by_side(
    shot: Path, analyzing: Counter, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair, survey = threading.Barrier(2, timeout=20), Expander.survey

    def together(expander: Expander, picture: Any) -> Any:
        pair.wait()
        return survey(expander, picture)

    monkeypatch.setattr(Expander, "survey", together)
    ran = batch(*words[1:]) if words[0] == "batch" else invoke(tools, *words)
    assert ran.code == 0
    assert analyzing.most <= 3


@pytest.mark.usefixtures("light_network")
def test_frames_that_need_all_the_room_are_analyzed_one_by_one(
    shot: Path, analyzing: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "ROOM_SHARE", 0.0)
    assert invoke(tools, "analyze", "in/shot.####.png", "-o", "a.json").code == 0
    assert analyzing.most == 1


@pytest.mark.usefixtures("light_network")
def test_a_shot_is_the_same_however_many_frames_are_analyzed_at_once(
    shot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for threads in (1, 4):
        monkeypatch.setattr(PointEngine, "threads", threads)
        assert invoke(tools, "analyze", "in/shot.####.png", "-o", f"{threads}/a.json").code == 0
    assert files_in(Path("1")) == files_in(Path("4"))
    for name in files_in(Path("1")):
        assert (Path("1") / name).read_bytes() == (Path("4") / name).read_bytes()


@pytest.mark.usefixtures("light_network")
def test_a_damaged_frame_among_frames_that_are_opened_at_once_is_named(
    shot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PointEngine, "threads", 4)
    damaged = shot / "shot.1002.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    ran = invoke(tools, "analyze", "in/shot.####.png", "-o", "a.json")
    assert ran.code == 1
    assert "shot.1002.png" in ran.err
    ran = batch("in", "-o", "out")
    assert ran.code == 1
    assert results(Path("out")) == [1001, 1003, 1004]


class _Torch:
    """Errors of the names that PyTorch's have."""

    OutOfMemoryError = type("OutOfMemoryError", (RuntimeError,), {})


@pytest.mark.parametrize(
    ("error", "alone", "of_a_file"),
    [
        (InputError("m.png: damaged"), "m.png: damaged", "m.png: damaged"),
        (OutputError("a.exr: no space"), "a.exr: no space", "in.png: a.exr: no space"),
        (MemoryError(), "not enough memory;", "in.png: not enough memory;"),
        (
            _Torch.OutOfMemoryError("CUDA\nout"),
            "not enough memory on the device;",
            "in.png: not enough memory on the device;",
        ),
        (DeviceMemoryError("cuda: tile"), "cuda: tile", "in.png: cuda: tile"),
        (
            ValueError("a\nb"),
            "internal fault, ValueError: a b; please report it",
            "in.png: internal fault, ValueError: a b;",
        ),
        (KeyError(), "internal fault, KeyError: KeyError;", "in.png: internal fault,"),
        (OSError("in.png: gone"), "in.png: gone", "in.png: gone"),
        (
            OSError(errno.EIO, "Input/output error", "in.png"),
            "in.png: Input/output error; check its disk",
            "in.png: Input/output error; check its disk",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "m.png"),
            "m.png: Permission denied; check the path and permissions",
            "in.png: m.png: Permission denied;",
        ),
    ],
)
def test_a_failure_is_one_line_that_names_its_file(error: Exception, alone: str, of_a_file: str) -> None:
    for text, expected in ((failure_text(error), alone), (failure_text(error, Path("in.png")), of_a_file)):
        assert text.startswith(expected)
        assert "\n" not in text
