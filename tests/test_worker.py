"""The worker at work: its pixels are those of a batch, and what cannot be done is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import batch, files_in, invoke, pixels_of, plate, replace_network, save
from expandnet_batch.tools import command as tools
from expandnet_batch.worker.describe import describe, parse_settings
from expandnet_batch.worker.protocol import WAITING_LIMIT
from fakes import PointEngine
from served import Running, render, serving

from expandnet_ofx import Expander
from expandnet_ofx.errors import UsageError
from expandnet_ofx.settings import Settings
from expandnet_ofx.weights import save_weights


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    replace_network(monkeypatch)
    with serving() as run:
        yield run


@pytest.fixture
def worker(start: Any) -> Running:
    return start()


def test_a_rendered_frame_is_that_of_a_batch(worker, tmp_path):
    save(tmp_path / "a.png", plate(1, 40, 48))
    host = worker.host()
    answer = host.ask(**render(tmp_path, settings={"stops": 0.5, "saturation": 0.7, "boldness": 0.4}))
    assert answer["ok"], answer
    assert answer["result"]["status"] == "done"
    assert host.events[-1]["share"] == 1
    made = batch(
        tmp_path / "a.png", "-o", tmp_path / "batch", "--stops", 0.5, "--saturation", 0.7, "--boldness", 0.4,
        "--matte", "--compression", "none",
    )  # fmt: skip
    assert made.code == 0
    assert (tmp_path / "a.exr").read_bytes() == (tmp_path / "batch" / "a.exr").read_bytes()
    again = host.ask(**render(tmp_path, settings={"stops": 0.5, "saturation": 0.7, "boldness": 0.4}, existing="skip"))
    assert again["result"]["status"] == "skipped"
    other = host.ask(**render(tmp_path, settings={"stops": 0.6}, existing="skip"))
    assert other["result"]["status"] == "done"


def test_a_region_is_a_window_of_the_whole(worker, tmp_path):
    import OpenImageIO as oiio

    save(tmp_path / "a.png", plate(2, 60, 80))
    host = worker.host()
    assert host.ask(**render(tmp_path))["ok"]
    whole = pixels_of(tmp_path / "a.exr")
    assert host.ask(**render(tmp_path, region=[10, 5, 50, 45], output=str(tmp_path / "part.exr")))["ok"]
    np.testing.assert_array_equal(pixels_of(tmp_path / "part.exr"), whole[5:45, 10:50])
    spec = oiio.ImageBuf(str(tmp_path / "part.exr")).spec()
    assert (spec.x, spec.y, spec.full_width, spec.full_height) == (10, 5, 80, 60)
    for bad in ([0, 0, 81, 60], [5, 5, 5, 9], [0, 0, 1], ["a", 0, 1, 1], [0, 0, 1.5, 1]):
        answer = host.ask(**render(tmp_path, region=bad, output=str(tmp_path / "bad.exr")))
        assert not answer["ok"]
    assert "bad.exr" not in files_in(tmp_path)


def test_a_region_is_rendered_where_the_whole_is_there(worker, tmp_path):
    save(tmp_path / "a.png", plate(2, 60, 80))
    host = worker.host()
    assert host.ask(**render(tmp_path, existing="skip"))["result"]["status"] == "done"
    assert host.ask(**render(tmp_path, existing="skip", region=[10, 5, 50, 45]))["result"]["status"] == "done"
    assert pixels_of(tmp_path / "a.exr").shape[:2] == (40, 40)


def test_a_mask_keeps_the_plate_as_in_a_batch(worker, tmp_path):
    save(tmp_path / "a.png", plate(2, 40, 48))
    mask = np.zeros((40, 48, 3), np.uint8)
    mask[:, :10] = 255
    save(tmp_path / "mask.png", mask)
    answer = worker.host().ask(**render(tmp_path, mask=str(tmp_path / "mask.png")))
    assert answer["ok"], answer
    words = ("--mask", tmp_path / "mask.png", "--matte", "--compression", "none")
    assert batch(tmp_path / "a.png", "-o", tmp_path / "batch", *words).code == 0
    assert (tmp_path / "a.exr").read_bytes() == (tmp_path / "batch" / "a.exr").read_bytes()
    assert not pixels_of(tmp_path / "a.exr")[:, :10, 3:].any(), "no matte under the mask"


def test_other_weights_are_another_network(worker, tmp_path, default_weights):
    save(tmp_path / "a.png", plate(2, 40, 48))
    state = {name: value * np.float32(1.001) for name, value in default_weights.state.items()}
    save_weights(tmp_path / "other.safetensors", state, default_weights.contract)
    host = worker.host()
    assert host.ask(**render(tmp_path))["ok"]
    before = (tmp_path / "a.exr").read_bytes()
    assert host.ask(**render(tmp_path, settings={"weights": str(tmp_path / "other.safetensors")}))["ok"]
    words = ("--weights", tmp_path / "other.safetensors", "--matte", "--compression", "none")
    assert batch(tmp_path / "a.png", "-o", tmp_path / "batch", *words).code == 0
    assert (tmp_path / "a.exr").read_bytes() == (tmp_path / "batch" / "a.exr").read_bytes() != before


def test_a_plate_that_was_analyzed_is_not_analyzed_again(worker, tmp_path, monkeypatch):
    """Knobs of the result and regions need no new pass over a plate; another plate, or a knob of the analysis, does."""
    save(tmp_path / "a.png", plate(2, 40, 48))
    save(tmp_path / "b.png", plate(3, 40, 48))
    surveyed: list[str] = []
    before = Expander.survey

    def counted(self: Expander, source: Any) -> Any:
        surveyed.append(source.path.stem)
        return before(self, source)

    monkeypatch.setattr(Expander, "survey", counted)
    host = worker.host()
    assert host.ask(**render(tmp_path))["ok"]
    first = host.ask(**render(tmp_path, settings={"stops": 0.5}))["result"]
    assert host.ask(**render(tmp_path, region=[4, 4, 20, 30], output=str(tmp_path / "part.exr")))["ok"]
    assert surveyed == ["a"]
    made = batch(
        tmp_path / "a.png", "-o", tmp_path / "batch", "--stops", 0.5, "--matte", "--compression", "none"
    )  # fmt: skip
    assert made.code == 0
    assert (tmp_path / "a.exr").read_bytes() == (tmp_path / "batch" / "a.exr").read_bytes()
    assert first["clip_levels"] and first["clipped_share"] > 0
    surveyed.clear()
    assert host.ask(**render(tmp_path, "b"))["ok"]
    assert host.ask(**render(tmp_path, settings={"white": 0.9}))["ok"]
    assert surveyed == ["b", "a"]
    save(tmp_path / "a.png", plate(4, 40, 48))
    assert host.ask(**render(tmp_path))["ok"]
    assert surveyed == ["b", "a", "a"]
    for number in range(20):
        save(tmp_path / f"c{number}.png", plate(number, 24, 24))
        assert host.ask(**render(tmp_path, f"c{number}"))["ok"]
    assert len(worker.service._analyses) == 16


def test_another_knob_of_the_result_needs_no_network(worker, tmp_path, monkeypatch):
    """A result that is merged anew from a kept prediction is the file that a batch makes; what decides the prediction is
    predicted again."""
    save(tmp_path / "a.png", plate(2, 40, 48))
    tiles: list[int] = []
    before = PointEngine.expand

    def counted(self: PointEngine, *words: Any) -> Any:
        tiles.append(1)
        return before(self, *words)

    monkeypatch.setattr(PointEngine, "expand", counted)
    host = worker.host()
    assert host.ask(**render(tmp_path))["ok"]
    assert tiles
    knobs = {"stops": 0.7, "saturation": 0.3, "max_stops": 2.0, "output_space": "acescg"}
    tiles.clear()
    assert host.ask(**render(tmp_path, settings=knobs))["ok"]
    assert not tiles
    words = [part for name, value in knobs.items() for part in (f"--{name.replace('_', '-')}", value)]
    made = batch(tmp_path / "a.png", "-o", tmp_path / "batch", *words, "--matte", "--compression", "none")
    assert made.code == 0, made.err
    assert (tmp_path / "a.exr").read_bytes() == (tmp_path / "batch" / "a.exr").read_bytes()
    for change in ({"settings": {"threshold": 0.8}}, {"region": [0, 0, 40, 30]}, {"settings": {"sun_stops": 2.0}}, {}):
        tiles.clear()
        assert host.ask(**render(tmp_path, **change))["ok"]
        assert tiles, change
    monkeypatch.setattr("expandnet_batch.worker.service.PREDICTION_SHARE", 1e-9)
    assert host.ask(**render(tmp_path, settings={"feather": 4}))["ok"]
    tiles.clear()
    assert host.ask(**render(tmp_path, settings={"feather": 4}))["ok"]
    assert tiles, "a plate too large for the memory is predicted each time"


def test_a_steady_shot_is_that_of_the_commands(worker, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {n: str(save(tmp_path / f"shot.{n}.png", plate(7, 40, 48) // 2 + n % 3)) for n in range(1001, 1005)}
    for n in names:
        picture = plate(7, 40, 48)
        picture[20:30, n % 7 : n % 7 + 8] = 255
        save(Path(names[n]), picture)
    host = worker.host()
    answer = host.ask(
        request="analyze",
        frames=[[n, names[n]] for n in names],
        output=str(tmp_path / "shot.json"),
        steady={"window": 3},
        settings={},
    )
    assert answer["ok"], answer
    assert answer["result"]["frames"] == 4
    assert not list(tmp_path.glob(".expandnet-*"))
    for n in names:
        analysis = {"shot": str(tmp_path / "shot.json"), "frame": n}
        assert host.ask(**render(tmp_path, f"shot.{n}", analysis=analysis))["ok"]
    assert invoke(tools, "analyze", "shot.####.png", "--threads", 1, "-o", "c/raw.json").code == 0
    assert invoke(tools, "smooth", "c/raw.json", "-o", "c/shot.json", "--window", 3).code == 0
    ran = batch("shot.####.png", "-o", "c", "--analysis", "c/shot.json", "--matte", "--compression", "none")
    assert ran.code == 0, ran.err
    for n in names:
        np.testing.assert_array_equal(
            pixels_of(tmp_path / f"shot.{n}.exr"), pixels_of(tmp_path / "c" / f"shot.{n}.exr")
        )
    save(Path(names[1002]), plate(8, 40, 48))
    stale = host.ask(**render(tmp_path, "shot.1002", analysis={"shot": str(tmp_path / "shot.json"), "frame": 1002}))
    assert "another picture" in stale["error"]["message"]


def test_a_frame_by_itself_does_not_take_the_analysis_of_its_shot(worker, tmp_path):
    frames = []
    for n in (1001, 1002, 1003):
        picture = plate(7, 40, 48)
        picture[20:30, n % 7 : n % 7 + 8] = 255
        # Each frame clips at a level of its own, which a shot has in common.
        picture = np.minimum(picture, 255 - 6 * (n - 1001)).astype(np.uint8)
        frames.append([n, str(save(tmp_path / f"s.{n}.png", picture))])
    host = worker.host()
    shot = str(tmp_path / "shot.json")
    made = host.ask(request="analyze", frames=frames, output=shot, steady={"window": 3}, settings={})
    assert made["result"]["shots"] == [[1001, 1003]]
    assert host.ask(**render(tmp_path, "s.1003", analysis={"shot": shot, "frame": 1003}))["ok"]
    steady = pixels_of(tmp_path / "s.1003.exr")
    assert host.ask(**render(tmp_path, "s.1003"))["ok"]
    words = ("--matte", "--compression", "none", "--steady", "off")
    assert batch(tmp_path / "s.1003.png", "-o", tmp_path / "batch", *words).code == 0
    alone = pixels_of(tmp_path / "batch" / "s.1003.exr")
    np.testing.assert_array_equal(pixels_of(tmp_path / "s.1003.exr"), alone)
    assert not np.array_equal(steady, alone)


def test_an_analysis_of_other_settings_is_refused(worker, tmp_path):
    frames = [[n, str(save(tmp_path / f"s.{n}.png", plate(7, 40, 48)))] for n in (1, 2)]
    host = worker.host()
    shot = str(tmp_path / "shot.json")
    assert host.ask(request="analyze", frames=frames, output=shot, settings={})["ok"]
    answer = host.ask(**render(tmp_path, "s.1", settings={"white": 0.9}, analysis={"shot": shot, "frame": 1}))
    assert "made with another white" in answer["error"]["message"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"source": "a.png"}, "absolute"),
        ({"source": "/nowhere/a.png"}, "cannot be read"),
        ({"output": "/proc/a.exr"}, "cannot be"),
        ({"settings": {"stops": 99}}, "stops: need -16 to 16"),
        ({"settings": {"stops": "much"}}, "stops"),
        ({"settings": {"stop": 1}}, "not known"),
        ({"settings": {"latlong": 1}}, "true or false"),
        ({"settings": {"merge": "x"}}, "merge"),
        ({"settings": [1]}, "object"),
        ({"analysis": {"shot": "/nowhere.json", "frame": 1}}, "is not there; run expandnet analyze"),
        ({"request": "fly"}, "not known"),
    ],
)
def test_what_cannot_be_done_is_one_line(worker, tmp_path, change, word):
    save(tmp_path / "a.png", plate())
    host = worker.host()
    answer = host.ask(**{**render(tmp_path), **change})
    assert not answer["ok"]
    assert word in answer["error"]["message"]
    assert "internal fault" not in answer["error"]["message"]
    assert files_in(tmp_path) == ["a.png"]
    assert host.ask(request="describe")["ok"]


class Gate(PointEngine):
    """An engine that waits before each tile until it may go on."""

    def __init__(self) -> None:
        super().__init__(gain=4)
        self.entered, self.open = threading.Event(), threading.Event()

    def expand(self, tile, features):
        self.entered.set()
        assert self.open.wait(20)
        return super().expand(tile, features)


@pytest.fixture
def gate(worker, monkeypatch, default_weights) -> Gate:
    engine = Gate()
    engine.weights = default_weights
    monkeypatch.setattr("expandnet_ofx.expander.open_engine", lambda *_, **__: engine)
    return engine


def test_a_request_can_be_taken_back_while_it_runs_and_while_it_waits(worker, gate, tmp_path):
    save(tmp_path / "a.png", plate(1, 80, 400))
    save(tmp_path / "b.png", plate(1, 80, 400))
    host = worker.host()
    running = host.post(**render(tmp_path, "a", settings={"tile": 32, "feather": 0}))
    assert gate.entered.wait(10)
    waiting = host.post(**render(tmp_path, "b"))
    shown = host.ask(request="progress")["result"]["requests"]
    assert [entry["id"] for entry in shown] == [running, waiting]
    asked = [host.post(request="cancel", target=number) for number in (waiting, running)]
    told = {answer["id"]: answer for answer in (host.next() for _ in range(3))}
    assert all(told[number]["result"]["cancelled"] for number in asked)
    assert told[waiting]["error"]["kind"] == "CancelledError"
    gate.open.set()
    assert host.next()["error"]["kind"] == "CancelledError"
    assert files_in(tmp_path) == ["a.png", "b.png"]
    assert not host.ask(request="cancel", target=running)["result"]["cancelled"]
    assert host.ask(**render(tmp_path))["ok"]


def test_an_analysis_that_is_taken_back_ends_at_once_and_leaves_nothing(worker, gate, tmp_path):
    picture = plate(1, 80, 400)
    picture[:, :300] = 255
    frames = [[n, str(save(tmp_path / f"f.{n}.png", picture))] for n in range(1001, 1040)]
    host = worker.host()
    running = host.post(request="analyze", frames=frames, output=str(tmp_path / "a" / "shot.json"), settings={})
    assert gate.entered.wait(10)
    assert host.ask(request="cancel", target=running)["result"]["cancelled"]
    gate.open.set()
    answer = host.next()
    assert answer["error"] == {"kind": "CancelledError", "message": "cancelled"}
    assert not [event for event in host.events if event["share"] > 0.1]
    assert not list((tmp_path / "a").iterdir())


def test_what_a_lost_host_asked_for_is_dropped(worker, gate, tmp_path):
    for name in "abc":
        save(tmp_path / f"{name}.png", plate(1, 80, 400))
    lost, other = worker.host(), worker.host()
    lost.post(**render(tmp_path, "a", settings={"tile": 32, "feather": 0}))
    assert gate.entered.wait(10)
    lost.post(**render(tmp_path, "b"))
    asked = other.post(**render(tmp_path, "c"))
    lost.close()
    time.sleep(0.2)
    gate.open.set()
    answer = other.next()
    assert answer["id"] == asked
    assert answer["ok"]
    assert files_in(tmp_path) == ["a.png", "b.png", "c.exr", "c.png"]


def test_only_so_many_requests_wait(worker, gate, tmp_path, monkeypatch):
    assert WAITING_LIMIT >= 16
    monkeypatch.setattr("expandnet_batch.worker.server.WAITING_LIMIT", 4)
    save(tmp_path / "a.png", plate())
    host = worker.host()
    for _ in range(4):
        host.post(**render(tmp_path))
    assert "wait already" in host.ask(**render(tmp_path))["error"]["message"]
    gate.open.set()
    assert all(host.next()["ok"] for _ in range(4))


def test_it_hands_memory_back_when_idle_and_goes_on(start, tmp_path):
    save(tmp_path / "a.png", plate())
    running = start(warm=0.3)
    host = running.host()
    assert host.ask(**render(tmp_path))["ok"]
    assert running.service.warm
    time.sleep(1.0)
    assert not running.service.warm
    assert host.ask(**render(tmp_path))["ok"]


def test_networks_that_stay_warm_are_few(worker, tmp_path):
    save(tmp_path / "a.png", plate())
    host = worker.host()
    for precision in ("fp32", "mixed", "half", "fp32"):
        assert host.ask(**render(tmp_path, settings={"precision": precision}))["ok"]
    assert len(worker.service._engines) == 2


def test_describe_tells_the_ranges_that_settings_hold():
    found = {entry["name"]: entry for entry in describe()["settings"]}
    assert found["stops"]["tooltip"]
    assert all(entry["tooltip"] for entry in found.values())
    for name, entry in found.items():
        if entry["minimum"] is None:
            continue
        for value in (entry["minimum"], entry["maximum"]):
            if name not in ("threshold", "full", "tile"):
                assert getattr(Settings(**{name: value}), name) == value
        for value in (entry["minimum"] - 0.01, entry["maximum"] + 0.01):
            with pytest.raises(UsageError, match=name.split("_")[0]):
                Settings(**{name: value})
    defaults = Settings()
    for name, entry in found.items():
        if name in Settings.__dataclass_fields__ and entry["type"] != "text":
            assert entry["default"] == getattr(defaults, name), name
    assert parse_settings({})["matte"] is False
