"""The node's jobs: cancelled, side by side, meddled with; what fails is one message on the node."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from commands import files_in
from expandnet_batch.worker.address import Address
from nuke_comp import FRAMES, codes_of, expected


def test_cancelling_in_the_middle_leaves_complete_frames(comp):
    comp.build()
    pressed = []

    def watch(percent: int, text: str) -> None:
        if "1002" in text and not pressed:
            pressed.append(text)
            next(iter(comp.plugin.running.values())).cancel()

    comp.host.on_progress = watch
    job = comp.press("render_range")
    assert job.cancelled
    assert job.error is None
    assert comp.status.startswith("cancelled; 1 of 3")
    names = files_in(Path(job.plan.folder.results).parent)
    assert [name for name in names if name.endswith(".exr")] == ["light.1001.exr"]
    comp.host.on_progress = lambda *_: None
    assert not comp.press("render_range").cancelled
    comp.host.artist_cancels = True
    comp.node["stops"].setValue(0.5)
    assert comp.press("render_range").cancelled


def test_a_worker_that_dies_is_one_message_and_comes_back(comp, runtime):
    comp.build()
    comp.press("render_frame")
    address = Address.load(next(runtime.glob("*.json")))
    comp.node["stops"].setValue(0.25)
    killed = []

    def kill(percent: int, text: str) -> None:
        if "writing the plate" in text and not killed:
            killed.append(os.kill(address.pid, signal.SIGKILL))

    comp.host.on_progress = kill
    job = comp.press("render_range")
    assert "the worker has stopped" in job.error
    assert comp.status == job.error
    assert comp.node["tile_color"].value() != 0
    job = comp.press("render_range")
    assert job.error is None
    assert comp.status.startswith("3 of 3")
    assert comp.node["tile_color"].value() == 0


def test_a_full_disk_is_one_message_and_leaves_nothing_half(comp):
    comp.build()
    comp.host.disk_full = True
    job = comp.press("render_range")
    assert "No space left" in comp.status
    assert not [n for n in files_in(Path(job.plan.folder.path)) if n.endswith(".exr")]


@pytest.mark.parametrize(
    ("knobs", "word"),
    [
        ({"command": "/nowhere/bin"}, "cannot be started"),
        ({"command": "/tmp"}, "holds no expandnet-worker"),
        ({"device": "custom", "device_name": "cuda:9"}, "cuda:9"),
        ({"frames": "ten"}, "write them like"),
        ({"steady": "window", "cuts": "soon"}, "write them like"),
        ({"frames": "1005-1001"}, "holds none"),
        ({"scratch": "relative/folder"}, "not an absolute path"),
        ({"encoding": "custom"}, "needs a name"),
        ({"encoding": "custom", "encoding_name": "nonsense"}, "nonsense"),
        ({"threshold": 0.999}, "threshold"),
        ({"weights": "/nowhere.safetensors"}, "nowhere"),
    ],
)
def test_what_cannot_be_done_stands_on_the_node(comp, knobs, word):
    comp.build(**knobs)
    comp.press("render_range")
    assert word in comp.status
    assert "internal fault" not in comp.status
    assert "\n" not in comp.status
    assert comp.node["failed"].value()
    assert comp.shown().max() == 1.0


def test_without_a_plate_there_is_nothing_to_do(comp):
    comp.add(None, encoding="srgb")
    assert comp.press("render_frame") is None
    assert "connect one" in comp.status


def test_two_nodes_work_at_once_and_a_copy_has_files_of_its_own(comp):
    first = comp.build()
    comp.press("render_frame")
    copy = comp.host.create("ExpandNet", **{k: v.value() for k, v in first.knobs_by_name.items() if k in
                            ("command", "scratch", "device", "steady", "node_id", "plate_file", "result_file")})  # fmt: skip
    with comp.host.quiet():
        copy.setInput(0, comp.read)
    comp.host.created(copy)
    assert copy["node_id"].value() != first["node_id"].value()
    np.testing.assert_array_equal(comp.shown(node=copy), comp.shown(node=first))
    copy["stops"].setValue(1.0)
    first["render_range"].execute()
    copy["render_range"].execute()
    assert len(comp.plugin.running) == 2
    comp.host.pump(lambda: not comp.plugin.running)
    np.testing.assert_allclose(comp.shown(1003, first), expected(codes_of(comp, 1003)), rtol=6e-3)
    np.testing.assert_allclose(comp.shown(1003, copy), expected(codes_of(comp, 1003), stops=1.0), rtol=6e-3)
    comp.press("clear_cache", copy)
    assert comp.shown(1003, copy).max() == 1.0
    assert comp.shown(1003, first).max() > 1.3


def test_a_running_node_is_not_started_twice_and_may_be_deleted(comp):
    comp.build()
    comp.node["render_range"].execute()
    comp.node["render_range"].execute()
    assert "runs already" in comp.status
    comp.host.nodes.remove(comp.node)
    jobs = list(comp.plugin.running.values())
    comp.host.pump(lambda: not comp.plugin.running)
    assert "deleted" in jobs[0].error


def test_a_running_node_may_be_renamed_and_its_scratch_folder_changed(comp):
    comp.build()
    name, scratch = comp.node["name"], comp.node["scratch"]

    def meddle(_: int, text: str) -> None:
        if "1002: writing" in text:
            comp.host.on_progress = lambda *_: None
            comp.host.calls.put((name.setValue, ("Sun",), threading.Event()))
            comp.host.calls.put((scratch.setValue, (str(comp.folder / "new"),), threading.Event()))

    comp.host.on_progress = meddle
    job = comp.press("render_range")
    assert job.error is None, job.error
    assert job.plan.folder.frames() == list(FRAMES)
    assert comp.node.name() == "Sun"
    assert "0 of 3 frames" in comp.status
    assert comp.node["tile_color"].value() == 0
    comp.node["scratch"].setValue(str(comp.folder / "scratch"))
    assert comp.status == "3 of 3 frames computed (1001-1003)"
    np.testing.assert_allclose(comp.shown(1003), expected(codes_of(comp, 1003)), rtol=6e-3)


def test_a_job_does_not_take_the_node_of_another_script_for_its_own(comp):
    comp.build()
    comp.host.save(comp.folder / "other.nk")
    comp.node["node_id"].setValue(comp.plugin.expandnet_knobs.new_identifier())
    before = comp.node["node_id"].value()
    comp.press("render_range")

    def switch(_: int, text: str) -> None:
        if "1002: writing" in text:
            comp.host.on_progress = lambda *_: None
            comp.host.calls.put((comp.host.scriptOpen, (str(comp.folder / "other.nk"),), threading.Event()))

    comp.host.on_progress = switch
    job = comp.press("render_range")
    assert "script closed" in job.error
    node = comp.host.toNode("ExpandNet1")
    assert node["node_id"].value() not in ("", before)
    assert not node["failed"].value()
    assert not list((comp.folder / "scratch" / node["node_id"].value()).rglob("plate*"))


def test_a_plate_that_cannot_be_written_is_not_that_of_before(comp, monkeypatch):
    comp.build()
    comp.press("render_range")
    monkeypatch.setattr(sys.modules["nuke"], "execute", lambda *_: None)
    job = comp.press("render_frame")
    assert "was not written" in job.error


def test_what_cannot_be_told_leaves_no_result_of_other_settings(comp):
    comp.add(None)
    assert comp.status == "connect a plate"
    assert not comp.node["failed"].value()
    comp.build()
    comp.press("render_range")
    assert comp.shown(1001).max() > 1.3
    comp.node["frames"].setValue("1001-")
    comp.node["stops"].setValue(2.0)
    assert "write them like" in comp.status
    assert comp.shown(1001).max() == 1.0
    comp.node["stops"].setValue(0.0)
    assert comp.shown(1001).max() > 1.3
    comp.node["encoding"].setValue("custom")
    assert comp.node["failed"].value()
    assert comp.shown(1001).max() == 1.0


def test_a_job_waits_while_nuke_renders_something_else(comp):
    comp.build(frames="1001")
    sys.modules["expandnet_job"].WAIT = 0.01
    comp.host.renders = 4
    job = comp.press("render_range")
    assert job.error is None, job.error
    assert any("waiting for what Nuke renders" in text for _, text in comp.host.tasks[-1].shown)
    assert comp.shown().max() > 1.3
    comp.node["stops"].setValue(0.5)
    comp.host.renders = 10**9
    comp.host.on_progress = lambda _, text: setattr(comp.host, "artist_cancels", "waiting" in text)
    assert comp.press("render_range").cancelled


@pytest.mark.parametrize(("said", "cancelled"), [("Cancelled", True), ("Out of memory", False)])
def test_cancelling_in_nukes_own_bar_is_no_fault(comp, monkeypatch, said, cancelled):
    comp.build()

    def execute(*_):
        raise RuntimeError(said)

    monkeypatch.setattr(sys.modules["nuke"], "execute", execute)
    job = comp.press("render_frame")
    assert job.cancelled == cancelled
    assert (job.error is None) == cancelled
    assert comp.node.node("PlateWrite")["disable"].value()


def test_a_worker_that_hangs_can_be_cancelled(comp, runtime):
    comp.build()
    comp.press("render_frame")
    address = Address.load(next(runtime.glob("*.json")))
    sys.modules["expandnet_client"].PATIENCE = 1
    comp.node["stops"].setValue(0.25)

    def stop(_: int, text: str) -> None:
        if text.endswith("frame 1001: writing the plate"):
            os.kill(address.pid, signal.SIGSTOP)
            comp.host.on_progress = lambda *_: None
            threading.Timer(1.0, lambda: setattr(comp.host, "artist_cancels", True)).start()

    comp.host.on_progress = stop
    try:
        job = comp.press("render_frame")
        assert job.cancelled, job.error
        # Nor is the next one stuck before it begins.
        job = comp.press("render_frame")
        assert job.cancelled, job.error
    finally:
        os.kill(address.pid, signal.SIGCONT)
    comp.host.artist_cancels = False
    assert comp.press("render_frame").error is None


def test_a_node_that_was_turned_into_a_group_works_on(comp):
    comp.build()
    comp.node.kind = "Group"
    job = comp.press("render_frame")
    assert job.error is None, job.error
    assert comp.status.startswith("1 of 3")
    assert comp.shown().max() > 1.3


def test_clones_are_refused(comp):
    comp.build()
    comp.node.copies_that_are_clones = 1
    assert comp.press("render_frame") is None
    assert "declone" in comp.status
