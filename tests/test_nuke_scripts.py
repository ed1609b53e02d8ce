"""Scripts with the node in them: opened again, in versions, without interface, on a farm; scratch folders and quotas."""

from __future__ import annotations

import itertools
import os
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import invoke, plate, save
from nuke_comp import FRAMES, Comp, expected


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


@pytest.fixture
def handed(comp, monkeypatch) -> list[list[str]]:
    """Words of `expandnet submit`, which is not run."""
    said: list[list[str]] = []

    def run_program(words, what):
        said.append(words)
        return "submit it with: sh submit.sh"

    monkeypatch.setattr(comp.plugin.expandnet_farm, "run_program", run_program)
    return said


def test_a_farm_job_is_asked_for_as_the_node_says(comp, handed):
    comp.build(command="rez-env 'my pkg' --", device="custom", device_name="cuda:1", farm="deadline", farm_chunk=2)
    comp.node["latlong"].setValue(True)
    comp.node["farm_render"].setValue("nuke -x -F {frames} /c.nk")
    assert comp.press("send_to_farm").error is None
    (words,) = handed
    assert words[:5] == ["rez-env", "my pkg", "--", "expandnet", "submit"]
    after = dict(itertools.pairwise(words))
    assert shlex.split(after["--executable"]) == ["rez-env", "my pkg", "--", "expandnet"]
    assert (after["--to"], after["--chunk"], after["--steady"]) == ("deadline", "2", "off")
    assert (after["--device"], after["--then"]) == ("cuda:1", "nuke -x -F {frames} /c.nk")
    assert {"--gpu", "--latlong", "--matte"} <= set(words)
    assert "--force" not in words
    assert after["--frames"] == "1001,1002,1003"


def test_what_a_farm_job_cannot_hold_is_told(comp, handed):
    comp.build(stops={1001: 0.0, 1003: 2.0})
    assert comp.press("send_to_farm") is None
    assert "stops is animated" in comp.status
    assert not handed


def test_a_farm_job_that_is_refused_leaves_nothing(comp, monkeypatch):
    farm = comp.plugin.expandnet_farm

    def run_program(words, what):
        raise farm.ExpandNetError("expandnet submit: no")

    monkeypatch.setattr(farm, "run_program", run_program)
    comp.build()
    job = comp.press("send_to_farm")
    assert job.error == "expandnet submit: no"
    assert not list((comp.folder / "scratch").rglob("job-*"))


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


def test_the_studios_scratch_folder_comes_before_the_hosts(comp, monkeypatch):
    monkeypatch.setenv("EXPANDNET_SCRATCH", "/studio")
    monkeypatch.setenv("NUKE_TEMP_DIR", "/host")
    assert comp.plugin.expandnet_scratch.default_folder().startswith("/studio/expandnet-")
    monkeypatch.delenv("EXPANDNET_SCRATCH")
    assert comp.plugin.expandnet_scratch.default_folder().startswith("/host/expandnet-")


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


def test_the_quota_spares_nodes_at_work_and_jobs_that_wait_for_a_while(comp, tmp_path):
    scratch = comp.plugin.expandnet_scratch
    own, other, idle = (scratch.NodeFolder(str(tmp_path), "n" + c * 16, "k1", "1") for c in "abc")
    for folder in (own, other, idle):
        folder.make()
        for path in (folder.result(1001), folder.plate(1001)):
            Path(path).write_bytes(bytes(1000))
            os.utime(path, (1, 1))
    waits, late = (Path(idle.path, key, "job-1") for key in ("k2", "k3"))
    for job in (waits, late):
        job.mkdir(parents=True)
        (job / "job.json").write_text("{}")
    old = scratch.time.time() - 15 * 86400
    os.utime(late / "job.json", (old, old))
    # The folder of a job that waits was not used for longest, were it not for its own file.
    gone = scratch.hold_to_quota(own, 1, [other])
    assert all(Path(folder.result(1001)).exists() and Path(folder.plate(1001)).exists() for folder in (own, other))
    assert not Path(idle.result(1001)).exists()
    assert waits.exists()
    assert not late.exists()
    assert idle.settings in gone


def test_a_node_that_is_pasted_into_another_script_has_a_folder_of_its_own(comp):
    comp.build(frames="1001-1002")
    comp.host.save(comp.folder / "sh010.nk")
    comp.press("render_range")
    shown, identifier = comp.shown(1001), comp.node["node_id"].value()
    for saved in (True, False):
        other = Comp(comp.folder)
        if saved:
            other.host.root_node["name"].setValue(str(comp.folder / "sh020.nk"))
        for frame in FRAMES:
            save(comp.folder / "in" / f"next.{frame}.png", plate(3, 40, 64))
        read = other.host.create("Read", file=str(comp.folder / "in" / "next.%04d.png"))
        names = (
            "command",
            "scratch",
            "device",
            "steady",
            "frames",
            "node_id",
            "of_script",
            "plate_file",
            "result_file",
        )
        carried = {name: comp.node[name].value() for name in names}
        other.node = other.host.create("ExpandNet", **carried)
        other.host.created(other.node)
        other.node.setInput(0, read)
        assert other.status.startswith("0 of 2")
        other.press("clear_cache")
        np.testing.assert_array_equal(comp.shown(1001), shown)
        assert other.press("render_range").error is None
        assert other.node["node_id"].value() != identifier
        np.testing.assert_allclose(other.shown(1001), expected(plate(3, 40, 64)), rtol=6e-3)
        np.testing.assert_array_equal(comp.shown(1001), shown)
        other.close()


def test_a_script_says_what_is_there_when_it_is_opened(comp):
    comp.build()
    comp.press("render_range")
    comp.host.save(comp.folder / "comp.nk")
    shutil.rmtree(comp.folder / "scratch")
    other = Comp(comp.folder)
    other.host.scriptOpen(str(comp.folder / "comp.nk"))
    assert other.host.toNode("ExpandNet1")["status"].value().startswith("0 of 3")


def test_another_users_files_are_left_to_them(comp, monkeypatch):
    comp.build(frames="1001")
    comp.press("render_range")
    identifier, shown = comp.node["node_id"].value(), comp.shown()
    theirs = comp.plugin.folder_of(comp.node)
    scratch = comp.plugin.expandnet_scratch

    def access(place, _):
        """Say what an artist would hear: root may write everywhere."""
        return not str(place).startswith(theirs.path)

    monkeypatch.setattr(scratch.os, "access", access)
    job = comp.press("render_range")
    assert job.error is None, job.error
    assert comp.node["node_id"].value() != identifier
    np.testing.assert_array_equal(comp.shown(), shown)
    # A quota counts what could not be removed.
    monkeypatch.setattr(scratch.shutil, "rmtree", lambda *_, **__: None)
    monkeypatch.setattr(scratch, "AT_WORK", 0)
    assert scratch.hold_to_quota(comp.plugin.folder_of(comp.node), 1, []) == []


def test_clearing_leaves_farm_jobs_that_wait(comp):
    comp.build(frames="1001-1002")
    comp.node["stops"].setValue(1.0)
    comp.press("render_range")
    comp.node["stops"].setValue(0.0)
    comp.press("render_range")
    comp.press("send_to_farm")
    comp.press("clear_cache")
    (job,) = (comp.folder / "scratch").rglob("job.json")
    assert "not complete stay, with their results: 1" in comp.status
    assert len(list((job.parent / "plates").iterdir())) == 2
    # What the job wrote is there; all else is gone.
    assert comp.status.startswith("2 of 2")
    assert len(list((comp.folder / "scratch").rglob("light.*.exr"))) == 2
    assert not list((comp.folder / "scratch").rglob("plates-*"))
    (job.parent / "report.json").write_text('{"complete": true}')
    comp.press("clear_cache")
    assert not list((comp.folder / "scratch").rglob("*.exr"))
    assert not job.exists()


def test_a_scratch_folder_is_no_pattern(comp):
    comp.build(scratch=str(comp.folder / "%V"))
    comp.press("render_frame")
    assert "no place for frames or views" in comp.status


def test_parts_of_a_range_in_a_terminal_are_told_and_made_one(comp, capsys):
    comp.build(steady="window", steady_window=3)
    comp.press("render_range")
    whole = [comp.shown(frame) for frame in FRAMES]
    comp.press("clear_cache")
    comp.host.save(comp.folder / "comp.nk")
    terminal = Comp(comp.folder, gui=False)
    for part in ("1001-1002", "1003"):
        assert terminal.plugin.main([str(comp.folder / "comp.nk"), f"--frames={part}"]) == 0
    assert "not as part of the shot" in capsys.readouterr().out
    assert terminal.plugin.main([str(comp.folder / "comp.nk"), "--frames=1001-1003"]) == 0
    terminal.close()
    farm = reopened(comp, gui=False)
    for frame, shown in zip(FRAMES, whole, strict=True):
        np.testing.assert_array_equal(farm.shown(frame), shown)
