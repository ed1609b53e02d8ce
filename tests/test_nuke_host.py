"""The node in a host: buttons run end to end with a real worker, real files and the shipped weights. No Nuke takes part."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio
import pytest
from commands import ROOT, files_in, invoke, pixels_of, plate, save
from expandnet_batch.worker.address import Address
from expandnet_batch.worker.main import command as worker_command
from fake_nuke import Host, Node, Refused
from fakes import decode_srgb

from expandnet_ofx import Expander, Settings

PLUGIN = ROOT / "nuke_plugin"
BIN = Path(sys.executable).parent
FRAMES = (1001, 1002, 1003)
RGB = ("rgba.red", "rgba.green", "rgba.blue")


@pytest.fixture(scope="module")
def runtime() -> Iterator[Path]:
    """One worker for all tests of this file."""
    with tempfile.TemporaryDirectory(prefix="w") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPANDNET_RUNTIME", folder)
        patch.setenv("OMP_NUM_THREADS", "1")
        yield Path(folder)
        invoke(worker_command, "--stop", "--device", "cpu")


class Comp:
    """A script with plates, a Read and an ExpandNet, and the artist before it."""

    def __init__(self, folder: Path, *, gui: bool = True) -> None:
        self.folder = folder
        self.host = Host(gui=gui)
        self.host.add_gizmo(PLUGIN / "ExpandNet.gizmo")
        sys.modules["nuke"] = self.host.module()
        for path in PLUGIN.glob("expandnet_*.py"):
            sys.modules.pop(path.stem, None)
        self.plugin: Any = importlib.import_module("expandnet_nuke")
        if gui:
            exec(compile((PLUGIN / "menu.py").read_text(encoding="utf-8"), "menu.py", "exec"), {})
        self.node: Node

    def build(self, **knobs: Any) -> Node:
        """Write three plates of a pan, and connect them to a node."""
        for k, frame in enumerate(FRAMES):
            picture = plate(1, 40, 80)[:, 3 * k : 3 * k + 64]
            save(self.folder / "in" / f"shot.{frame}.png", picture)
        self.read = self.host.create("Read", file=str(self.folder / "in" / "shot.%04d.png"))
        return self.add(self.read, **knobs)

    def add(self, source: Node | None, mask: Node | None = None, **knobs: Any) -> Node:
        chosen = {"command": str(BIN), "scratch": str(self.folder / "scratch"), "device": "cpu", "steady": "off"}
        self.node = self.host.create("ExpandNet", **{**chosen, **knobs})
        with self.host.quiet():
            self.node.setInput(0, source)
            self.node.setInput(1, mask)
        return self.host.created(self.node)

    def press(self, button: str, node: Node | None = None) -> Any:
        """Press a button and be the interface until all is done."""
        (node or self.node)[button].execute()
        jobs = list(self.plugin._jobs.values())
        self.host.pump(lambda: not self.plugin._jobs)
        assert all(job.wait(10) for job in jobs)
        return jobs[-1] if jobs else None

    def shown(self, frame: int = 1001, node: Node | None = None) -> np.ndarray:
        """Return what the node shows."""
        picture = (node or self.node).picture(frame, "main")
        assert picture is not None
        return np.stack([picture.channel(name) for name in RGB], 2)

    @property
    def status(self) -> str:
        return str(self.node["status"].value())

    def close(self) -> None:
        self.plugin._pool.close()


@pytest.fixture
def comp(runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Comp]:
    monkeypatch.syspath_prepend(str(PLUGIN))
    made = Comp(tmp_path)
    yield made
    made.close()
    sys.modules.pop("nuke", None)


def expected(codes: np.ndarray, **settings: Any) -> np.ndarray:
    """What the product makes of the plate itself."""
    return Expander(Settings(**settings), device="cpu")(codes)


def codes_of(comp: Comp, frame: int) -> np.ndarray:
    return (pixels_of(comp.folder / "in" / f"shot.{frame}.png") * 255).round().astype(np.uint8)


def test_a_frame_comes_out_as_the_product_makes_it(comp):
    comp.build()
    light = comp.shown(node=comp.read)
    np.testing.assert_array_equal(comp.shown(), light)
    assert "0 of 3 frames" in comp.status
    assert "show the plate" in comp.status
    job = comp.press("render_frame")
    assert job.error is None, job.error
    assert "1 of 3 frames computed (1001)" in comp.status
    found, truth = comp.shown(), expected(codes_of(comp, 1001))
    untouched = (codes_of(comp, 1001) < 230).all(2)
    np.testing.assert_array_equal(found[untouched], light[untouched])
    np.testing.assert_allclose(found, truth, rtol=6e-3)
    assert (found > 1.3).any()
    np.testing.assert_array_equal(comp.shown(1002), comp.shown(1002, comp.read))


def test_a_range_is_computed_once_and_anew_when_the_plate_changes(comp):
    comp.build()
    first = comp.press("render_range")
    assert [r["status"] for r in first.reports] == ["done"] * 3
    assert comp.status == "3 of 3 frames computed (1001-1003)"
    assert first.plan.folder.frames() == list(FRAMES)
    assert [task.title for task in comp.host.tasks] == ["ExpandNet"]
    percents = [percent for percent, _ in comp.host.tasks[0].shown]
    assert percents == sorted(percents)
    again = comp.press("render_range")
    assert [r["status"] for r in again.reports] == ["skipped"] * 3
    picture = codes_of(comp, 1002)
    picture[30:, :] = 200
    save(comp.folder / "in" / "shot.1002.png", picture)
    third = comp.press("render_range")
    assert [r["status"] for r in third.reports] == ["skipped", "done", "skipped"]


def test_a_knob_leads_to_other_results_and_back_to_the_first(comp):
    comp.build()
    comp.press("render_frame")
    before = comp.shown()
    comp.node["stops"].setValue(1.0)
    assert "0 of 3" in comp.status
    assert comp.shown().max() == 1.0
    comp.press("render_frame")
    bolder = comp.shown()
    np.testing.assert_allclose(bolder, expected(codes_of(comp, 1001), stops=1.0), rtol=6e-3)
    assert bolder.max() > 1.5 * before.max()
    comp.node["stops"].setValue(0.0)
    assert "1 of 3" in comp.status
    np.testing.assert_array_equal(comp.shown(), before)


def test_an_animated_knob_has_its_value_at_each_frame(comp):
    comp.build(stops={1001: 0.0, 1003: 2.0})
    job = comp.press("render_range")
    assert [job.plan.settings[f]["stops"] for f in FRAMES] == [0.0, 1.0, 2.0]
    for frame, stops in zip(FRAMES, (0.0, 1.0, 2.0), strict=True):
        np.testing.assert_allclose(comp.shown(frame), expected(codes_of(comp, frame), stops=stops), rtol=6e-3)


def test_a_steady_shot_is_that_of_the_batch(comp):
    comp.build(steady="window", steady_window=3)
    job = comp.press("render_range")
    assert job.error is None, job.error
    plates = comp.folder / "plates"
    plates.mkdir()
    for frame in FRAMES:
        shutil.copy(job.plan.folder.plate(frame), plates / f"plate.{frame}.exr")
    from commands import batch

    ran = batch(
        plates, "-o", comp.folder / "batch", "--linearized", "linear-rec709", "--input-space", "srgb", "--steady", 3,
        "--boldness", comp.node["boldness"].value(), "--matte",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    for frame in FRAMES:
        np.testing.assert_array_equal(
            pixels_of(Path(job.plan.folder.result(frame))), pixels_of(comp.folder / "batch" / f"plate.{frame}.exr")
        )
    moving = comp.node["threshold"]
    moving.setValueAt(0.9, 1001)
    moving.setValueAt(0.95, 1003)
    assert comp.press("render_range") is None
    assert "threshold is animated" in comp.status


def test_a_frame_of_an_analyzed_shot_is_that_of_the_range(comp):
    comp.build(steady="window", steady_window=3)
    job = comp.press("render_frame")
    assert "by itself" in comp.status
    alone = comp.shown()
    comp.press("analyze_range")
    job = comp.press("render_frame")
    assert job.reports[0]["status"] == "done"
    assert "by itself" not in comp.status
    one = comp.shown()
    comp.press("render_range")
    np.testing.assert_array_equal(comp.shown(), one)
    assert np.abs(one - alone).max() > 0
    picture = codes_of(comp, 1001)
    picture[30:, :] = 200
    save(comp.folder / "in" / "shot.1001.png", picture)
    assert comp.press("render_frame").error is None
    assert "by itself" in comp.status


def test_a_locked_frame_lends_its_analysis(comp):
    comp.build(steady="lock frame", lock_frame=1002)
    job = comp.press("render_range")
    assert job.error is None, job.error
    comp.node["lock_frame"].setValue(1077)
    job = comp.press("analyze_range")
    assert "1077" in job.error
    assert "1077" in comp.status


def test_mask_and_mix_act_without_the_worker(comp):
    comp.build()
    comp.press("render_frame")
    full, bare = comp.shown(), decode_srgb(codes_of(comp, 1001) / 255)
    comp.node["mix"].setValue(0.5)
    np.testing.assert_allclose(comp.shown(), np.sqrt(full * bare), rtol=1e-4, atol=1e-6)
    comp.node["mix"].setValue(0.0)
    np.testing.assert_allclose(comp.shown(), bare, rtol=1e-6)
    comp.node["mix"].setValue(1.0)
    white = np.zeros((40, 64, 4), np.float32)
    white[:, :32, 3] = 1
    save(comp.folder / "mask.exr", white.astype(np.float16))
    comp.node.setInput(1, comp.host.create("Read", file=str(comp.folder / "mask.exr"), raw=True))
    found = comp.shown()
    np.testing.assert_allclose(found[:, :32], full[:, :32], rtol=1e-6)
    np.testing.assert_allclose(found[:, 32:], bare[:, 32:], rtol=1e-6)
    comp.node["invert_mask"].setValue(True)
    np.testing.assert_allclose(comp.shown()[:, 32:], full[:, 32:], rtol=1e-6)
    assert "1 of 3" in comp.status


def exr_plate(path: Path, extra: dict[str, np.ndarray], **how: Any) -> np.ndarray:
    """Write a linear plate with more channels; return its codes."""
    codes = plate(2, 40, 64)
    light = decode_srgb(codes / 255.0).astype(np.float32)
    spec = oiio.ImageSpec(64, 40, 3 + len(extra), "float")
    spec.channelnames = ("R", "G", "B", *extra)
    spec.x, spec.y, spec.full_width, spec.full_height = how.get("window", (0, 0, 64, 40))
    spec.attribute("PixelAspectRatio", how.get("aspect", 1.0))
    path.parent.mkdir(parents=True, exist_ok=True)
    output = oiio.ImageOutput.create(str(path))
    assert output.open(str(path), spec)
    stack = np.concatenate((light, *(value[:, :, None] for value in extra.values())), 2)
    assert output.write_image(np.ascontiguousarray(stack, np.float32))
    assert output.close()
    return codes


def test_other_channels_windows_and_pixel_aspect_survive(comp):
    rng = np.random.default_rng(3)
    extra = {"A": rng.uniform(0, 1, (40, 64)).astype(np.float32), "Z": rng.uniform(1, 9, (40, 64)).astype(np.float32)}
    codes = exr_plate(comp.folder / "p.exr", extra, window=(-4, -2, 56, 36), aspect=2.0)
    source = comp.host.create("Read", file=str(comp.folder / "p.exr"), raw=True)
    comp.add(source, encoding="srgb", frames="1001", output_matte=True)
    job = comp.press("render_range")
    assert job.error is None, job.error
    picture = comp.node.picture(1001, "main")
    np.testing.assert_array_equal(picture.channel("rgba.alpha"), extra["A"])
    np.testing.assert_array_equal(picture.channel("other.Z"), extra["Z"])
    assert (picture.origin, picture.display, picture.aspect) == ((-4, -2), (56, 36), 2.0)
    assert picture.channel("expandnet_matte.red").max() == 1
    assert not [name for name in picture.channels if name.startswith("expandnet_light")]
    spec = oiio.ImageBuf(job.plan.folder.result(1001)).spec()
    assert (spec.x, spec.y, spec.full_width, spec.full_height) == (-4, -2, 56, 36)
    assert spec.get_float_attribute("PixelAspectRatio") == 2.0
    assert (comp.shown()[codes.min(2) == 255] > 1).all()
    comp.node["output_matte"].setValue(False)
    assert not [n for n in comp.node.picture(1001, "main").channels if n.startswith("expandnet")]


def test_a_premultiplied_plate_is_divided_and_multiplied_again(comp):
    cover = np.full((40, 64), 0.5, np.float32)
    codes = plate(2, 40, 64)
    light = decode_srgb(codes / 255.0).astype(np.float32)
    whole = np.concatenate((light * 0.5, cover[:, :, None]), 2)
    save(comp.folder / "p.exr", whole.astype(np.float32))
    comp.add(comp.host.create("Read", file=str(comp.folder / "p.exr"), raw=True), encoding="srgb", premultiplied=True)
    comp.press("render_frame")
    np.testing.assert_allclose(comp.shown() / 0.5, expected(codes), rtol=8e-3, atol=1e-4)


def test_plates_are_written_at_full_size_in_proxy_mode(comp):
    comp.build()
    comp.host.proxy_on = True
    job = comp.press("render_frame")
    assert comp.host.proxy_on
    assert oiio.ImageBuf(job.plan.folder.plate(1001)).spec().width == 64
    assert comp.shown().shape == (20, 32, 3)
    assert comp.shown().max() > 1.3


def test_an_opencolorio_script_gives_light_in_its_working_space(comp):
    from test_linearized import ACESCG

    comp.host.working = ACESCG
    comp.host.root_node["colorManagement"].setValue("OCIO")
    comp.host.root_node["workingSpaceLUT"].setValue("scene_linear (ACES - ACEScg)")
    comp.host.root_node["customOCIOConfigPath"].setValue("")
    os.environ["OCIO"] = "ocio://default"
    try:
        comp.build(encoding="srgb")
        job = comp.press("render_frame")
        assert job.error is None, job.error
        assert job.plan.settings[1001]["output_space"] == "acescg"
        np.testing.assert_allclose(comp.shown(), expected(codes_of(comp, 1001)) @ ACESCG.T, rtol=6e-3, atol=1e-4)
    finally:
        del os.environ["OCIO"]


def test_cancelling_in_the_middle_leaves_complete_frames(comp):
    comp.build()
    pressed = []

    def watch(percent: int, text: str) -> None:
        if "1002" in text and not pressed:
            pressed.append(text)
            next(iter(comp.plugin._jobs.values())).cancel()

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
    assert len(comp.plugin._jobs) == 2
    comp.host.pump(lambda: not comp.plugin._jobs)
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
    jobs = list(comp.plugin._jobs.values())
    comp.host.pump(lambda: not comp.plugin._jobs)
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


def reopened(comp: Comp, *, gui: bool, name: str = "comp.nk") -> Comp:
    script = comp.folder / name
    comp.host.save(script)
    other = Comp(comp.folder, gui=gui)
    other.host.scriptOpen(str(script))
    other.node = other.host.toNode("ExpandNet1")
    return other


def test_a_script_that_is_opened_again_shows_what_was_computed(comp):
    comp.build(stops={1001: 0.0, 1003: 1.0}, frames="1001-1002")
    comp.press("render_range")
    shown = [comp.shown(frame) for frame in FRAMES]
    other = reopened(comp, gui=True)
    assert other.status == "2 of 2 frames computed (1001-1002)"
    for frame, before in zip(FRAMES, shown, strict=True):
        np.testing.assert_array_equal(other.shown(frame), before)
    job = other.press("render_range")
    assert [r["status"] for r in job.reports] == ["skipped"] * 2
    other.close()


def test_versions_of_a_script_share_results_and_other_scripts_do_not(comp):
    comp.build(frames="1001-1002")
    comp.host.save(comp.folder / "sh010_v001.nk")
    comp.press("render_range")
    identifier, before = comp.node["node_id"].value(), comp.shown(1001)
    comp.host.save(comp.folder / "sh010_v002.nk")
    assert comp.node["node_id"].value() == identifier
    other = reopened(comp, gui=True, name="sh010_v003.nk")
    assert other.node["node_id"].value() == identifier
    other.host.save(other.folder / "sh020_v001.nk")
    assert other.node["node_id"].value() != identifier
    # It shows what it showed, and what it computes from now on is its own.
    np.testing.assert_array_equal(other.shown(1001), before)
    other.read = other.host.create("Read", file=str(comp.folder / "in" / "next.%04d.png"))
    for frame in FRAMES:
        save(comp.folder / "in" / f"next.{frame}.png", plate(3, 40, 64))
    other.node.setInput(0, other.read)
    assert other.press("render_range").error is None
    np.testing.assert_allclose(other.shown(1001), expected(plate(3, 40, 64)), rtol=6e-3)
    np.testing.assert_array_equal(comp.shown(1001), before)
    other.close()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("sh010/nuke/comp_v001.nk", "sh020/nuke/comp_v001.nk", False),
        ("sh010/nuke/comp_v001.nk", "sh010/nuke/comp_v012.nk", True),
        ("sh010/v001/comp.nk", "sh010/v002/comp.nk", True),
        ("INV010/comp.nk", "INV020/comp.nk", False),
    ],
)
def test_scripts_are_told_by_their_folders_and_not_by_their_versions(comp, one, other, same):
    comp.build()
    seen = []
    for name in (one, other):
        (comp.folder / name).parent.mkdir(parents=True, exist_ok=True)
        comp.host.save(comp.folder / name)
        seen.append(comp.node["node_id"].value())
    assert (seen[0] == seen[1]) == same


def test_a_script_with_other_colors_shows_other_results(comp):
    comp.build(frames="1001")
    comp.press("render_range")
    shown = comp.node["result_file"].value()
    for value in ("rec709", "linear"):
        comp.host.root_node["workingSpaceLUT"].setValue(value)
    assert comp.node["result_file"].value() == shown
    comp.host.root_node["colorManagement"].setValue("OCIO")
    # Which results hold cannot be told without the config; those of before do not.
    assert comp.node["failed"].value() or comp.node["result_file"].value() != shown


def test_a_node_that_is_loaded_before_its_inputs_keeps_what_it_showed(comp):
    comp.build(frames="1001")
    comp.press("render_range")
    before = {name: comp.node[name].value() for name in ("status", "result_file", "node_id", "failed")}
    with comp.host.quiet():
        comp.node.setInput(0, None)
    comp.host.created(comp.node)
    assert {name: comp.node[name].value() for name in before} == before


def test_a_render_without_interface_reads_and_names_the_frame_that_is_missing(comp):
    comp.build(frames="1001-1002")
    comp.press("render_range")
    shown = comp.shown(1002)
    farm = reopened(comp, gui=False)
    np.testing.assert_array_equal(farm.shown(1002), shown)
    with pytest.raises(RuntimeError, match=r"light\.1003\.exr"):
        farm.shown(1003)


def test_a_knob_that_is_set_before_a_render_leads_to_no_other_folder(comp, monkeypatch):
    comp.build(frames="1001", scratch="")
    comp.press("render_range")
    farm = reopened(comp, gui=False)
    monkeypatch.setenv("EXPANDNET_SCRATCH", str(comp.folder / "elsewhere"))
    shown = farm.node["result_file"].value()
    farm.node["saturation"].setValue(0.5)
    farm.node.setInput(0, farm.host.toNode("Read1"))
    assert farm.node["result_file"].value() == shown


def test_nodes_that_are_made_without_interface_have_folders_of_their_own(comp):
    comp.build()
    comp.host.save(comp.folder / "comp.nk")
    terminal = Comp(comp.folder, gui=False)
    terminal.host.scriptOpen(str(comp.folder / "comp.nk"))
    terminal.node = terminal.host.toNode("ExpandNet1")
    for identifier in ("", "n", "scratch"):
        terminal.node["node_id"].setValue(identifier)
        terminal.press("render_frame")
        assert terminal.plugin.expandnet_scratch.NODE.match(terminal.node["node_id"].value())
        assert terminal.node["node_id"].value() in terminal.node["result_file"].value()
    terminal.close()


def test_a_terminal_computes_what_a_render_reads(comp, capsys):
    comp.build()
    comp.host.save(comp.folder / "comp.nk")
    terminal = Comp(comp.folder, gui=False)
    assert terminal.plugin.main([str(comp.folder / "comp.nk"), "--frames=1001-1002"]) == 0
    assert "ExpandNet1: done" in capsys.readouterr().out
    farm = reopened(comp, gui=False)
    assert farm.shown(1002).max() > 1.3
    shutil.rmtree(comp.folder / "in")
    assert terminal.plugin.main([str(comp.folder / "comp.nk"), "--frames=1003"]) == 1
    assert "failed" in capsys.readouterr().out
    assert terminal.plugin.main([str(comp.folder / "comp.nk"), "--frames=1003", "Nobody"]) == 2
    assert terminal.plugin.main([]) == 2
    terminal.close()


def test_a_terminal_computes_nothing_that_the_script_does_not_read(comp, capsys, monkeypatch):
    monkeypatch.setenv("EXPANDNET_SCRATCH", str(comp.folder / "here"))
    comp.build(scratch="")
    comp.host.save(comp.folder / "comp.nk")
    monkeypatch.setenv("EXPANDNET_SCRATCH", str(comp.folder / "elsewhere"))
    terminal = Comp(comp.folder, gui=False)
    assert terminal.plugin.main([str(comp.folder / "comp.nk"), "--frames=1001"]) == 1
    assert "the script reads" in capsys.readouterr().out
    assert not (comp.folder / "elsewhere").exists()


def test_a_farm_job_waits_for_plates_and_the_comp_for_it(comp):
    from expandnet_batch.submission.job import FarmJob
    from expandnet_batch.tools import command as tools

    comp.build(farm_render=f"{sys.executable} -c pass {{frames}}", farm_chunk=2, steady="window", steady_window=3)
    comp.press("send_to_farm")
    assert "submit it with" in comp.status, comp.status
    file = next((comp.folder / "scratch").rglob("job.json"))
    job = FarmJob.load(file)
    assert job.steps == ("analyze", "smooth", "expand", "check", "then")
    assert job.chunks == [[1001, 1002], [1003]]
    # What the node writes from now on is no plate of that job.
    assert all(str(file.parent) in item.source for sequence in job.sequences for item in sequence.items)
    folder = comp.plugin.folder_of(comp.node)
    gone = comp.plugin.expandnet_scratch.hold_to_quota(folder, 1, [])
    assert not any(path.startswith(folder.settings) for path in gone)
    assert all(Path(item.source).is_file() for sequence in job.sequences for item in sequence.items)
    for words in (["task", file, "analyze"], ["task", file, "smooth"], ["task", file, "expand"], ["check", file]):
        assert invoke(tools, *words).code == 0
    assert invoke(tools, "task", file, "then", "--chunk", 1).code == 0
    assert comp.shown(1003).max() > 1.3
    fresh = comp.shown(1002)
    assert job.options["device"] == comp.node["device"].value() == "cpu"
    comp.press("render_range")
    np.testing.assert_allclose(comp.shown(1002), fresh, rtol=2e-3)
    comp.node["steady"].setValue("lock frame")
    comp.press("send_to_farm")
    assert "not for a farm job" in comp.status


@pytest.mark.parametrize("scratch", ["[getenv SHOT]/x", ""])
def test_scratch_folders_may_be_expressions_and_scripts_unsaved(comp, monkeypatch, scratch):
    monkeypatch.setenv("SHOT", str(comp.folder / "shot"))
    monkeypatch.setenv("NUKE_TEMP_DIR", str(comp.folder / "temp"))
    monkeypatch.delenv("EXPANDNET_SCRATCH", raising=False)
    assert comp.host.root_node["name"].value() == ""
    comp.build(scratch=scratch)
    job = comp.press("render_frame")
    assert job.error is None, job.error
    assert job.plan.folder.path.startswith(str(comp.folder / ("shot/x" if scratch else "temp")))
    assert comp.shown().max() > 1.3


def test_each_view_has_files_of_its_own(comp):
    comp.host.view_names = ["left", "right"]
    for view in comp.host.view_names:
        save(comp.folder / "in" / f"{view}.1001.png", plate(len(view), 40, 64))
    read = comp.host.create("Read", file=str(comp.folder / "in" / "%V.%04d.png"))
    comp.add(read, frames="1001")
    job = comp.press("render_range")
    assert job.error is None, job.error
    assert comp.status == "1 of 1 frames computed (1001)"
    for view in comp.host.view_names:
        picture = comp.node.picture(1001, view)
        found = np.stack([picture.channel(name) for name in RGB], 2)
        np.testing.assert_allclose(found, expected(plate(len(view), 40, 64)), rtol=6e-3)


def test_a_view_that_is_not_computed_is_not_counted(comp):
    comp.host.view_names = ["left", "right"]
    for view in comp.host.view_names:
        save(comp.folder / "in" / f"{view}.1001.png", plate(len(view), 40, 64))
    comp.add(comp.host.create("Read", file=str(comp.folder / "in" / "%V.%04d.png")), frames="1001")
    written: list[str] = []

    def stop_at_second(_: int, text: str) -> None:
        written.append(text)
        comp.host.artist_cancels = sum("writing the plate" in t for t in written) > 1

    comp.host.on_progress = stop_at_second
    job = comp.press("render_range")
    assert job.plan.folder.frames("left") == [1001]
    assert "0 of 1 frames computed" in comp.status


def test_a_frame_by_itself_is_told_until_it_is_part_of_the_shot(comp):
    comp.build(steady="window", steady_window=3)
    comp.press("render_range")
    assert comp.status == "3 of 3 frames computed (1001-1003)"
    picture = codes_of(comp, 1001)
    picture[:8] //= 2
    save(comp.folder / "in" / "shot.1001.png", picture)
    comp.press("render_frame")
    assert "analyze" in comp.status
    comp.node["mix"].setValue(0.5)
    comp.node["frames"].setValue("1001-1003")
    assert "1001 by itself" in comp.status
    comp.press("render_range")
    assert comp.status == "3 of 3 frames computed (1001-1003)"


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


def test_a_quota_holds_for_the_settings_of_one_node_and_spares_others_at_work(comp):
    comp.build(frames="1001")
    for stops in (0.0, 0.5, 1.0):
        comp.node["stops"].setValue(stops)
        comp.press("render_range")
    mine = comp.plugin.folder_of(comp.node)
    fresh = comp.folder / "scratch" / "n0123456789abcdef" / "k0123456789abcdef"
    fresh.mkdir(parents=True)
    (fresh / "light.1001.exr").write_bytes(bytes(1000))
    comp.node["quota"].setValue(1e-9)
    comp.press("render_range")
    assert [path.name for path in Path(mine.path).iterdir() if path.name.startswith("k")] == [Path(mine.settings).name]
    assert comp.shown().max() > 1.3
    assert fresh.exists()


def test_the_scratch_folder_is_held_to_its_quota(comp):
    other = comp.folder / "scratch" / "n0123456789abcdef" / "plates"
    other.mkdir(parents=True)
    (other / "plate.1001.exr").write_bytes(bytes(2 << 20))
    os.utime(other / "plate.1001.exr", (1, 1))
    precious = comp.folder / "scratch" / "precious"
    precious.mkdir()
    (precious / "x").write_bytes(bytes(2 << 20))
    comp.build(quota=1 / 1024)
    comp.press("render_frame")
    assert not other.exists()
    assert (precious / "x").exists()
    assert comp.shown().max() > 1.3


def test_the_fake_host_refuses_what_nuke_forbids(comp):
    comp.build()
    seen = []

    def off_main() -> None:
        try:
            comp.node["stops"].value()
        except Refused as error:
            seen.append(str(error))

    thread = threading.Thread(target=off_main)
    thread.start()
    thread.join()
    assert "main thread" in seen[0]
    with pytest.raises(Refused, match="waits for itself"):
        comp.host.executeInMainThreadWithResult(print)
    comp.host._executing = True
    with pytest.raises(Refused, match="already executing"):
        comp.host.execute(comp.node.node("PlateWrite"), 1001, 1001)
