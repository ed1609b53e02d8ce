"""The node in a host: buttons run end to end with a real worker, real files and the shipped weights. No Nuke takes part."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio
import pytest
from commands import pixels_of, plate, save
from fakes import decode_srgb
from nuke_comp import FRAMES, RGB, codes_of, expected
from nuke_nodes import Refused


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


def test_the_report_of_a_run_lies_with_its_results(comp):
    comp.build()
    job = comp.press("render_frame")
    report = json.loads(Path(job.plan.folder.report).read_text())
    assert report["node"] == "ExpandNet1"
    assert [(frame["frame"], frame["status"]) for frame in report["frames"]] == [(1001, "done")]


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


def test_a_color_that_clips_in_one_channel_is_whole_in_another_working_space(comp, monkeypatch):
    """A channel of the plate has a part in all channels of the working space."""
    from test_linearized import ACESCG

    comp.host.working = ACESCG
    comp.host.root_node["colorManagement"].setValue("OCIO")
    comp.host.root_node["workingSpaceLUT"].setValue("scene_linear (ACES - ACEScg)")
    monkeypatch.setenv("OCIO", "ocio://default")
    y, x = np.mgrid[:64, :64]
    glow = np.clip(1.6 - np.hypot(y - 30, x - 30) / 14, 0, 1.6)[..., None] * np.array([255, 150, 70])
    picture = np.clip(np.maximum(plate(1, 64, 64) * 0.4, glow), 0, 255).astype(np.uint8)
    save(comp.folder / "in" / "lamp.1001.png", picture)
    read = comp.host.create("Read", file=str(comp.folder / "in" / "lamp.%04d.png"))
    comp.add(read, encoding="srgb", frames="1001", saturated_max_stops=4.0)
    job = comp.press("render_range")
    assert job.error is None, job.error
    made = pixels_of(Path(job.plan.folder.result(1001)))
    light, matte = made[..., :3], made[..., 3:6]
    some = (matte > 0).any(2) & ~(matte > 0).all(2)
    assert some.sum() > 50
    np.testing.assert_allclose(comp.shown()[some], light[some], rtol=2e-3, atol=1e-4)
    # What clips nowhere is the stream itself.
    before = comp.read_picture(read)
    untouched = ~(matte > 0).any(2)
    np.testing.assert_array_equal(comp.shown()[untouched], before[untouched])
    # With mix in between, channels that a small working space makes negative are no accident.
    comp.node["mix"].setValue(0.5)
    assert np.isfinite(comp.shown()).all()


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
    assert "1001 not as part of the shot" in comp.status
    comp.press("render_range")
    assert comp.status == "3 of 3 frames computed (1001-1003)"


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


def test_a_part_of_a_shot_that_is_rendered_again_stays_part_of_it(comp):
    comp.build(steady="window", steady_window=3)
    comp.press("render_range")
    before = [comp.shown(frame) for frame in FRAMES]
    comp.node["frames"].setValue("1002")
    job = comp.press("render_range")
    assert job.error is None, job.error
    assert [report["status"] for report in job.reports] == ["skipped"]
    for frame, shown in zip(FRAMES, before, strict=True):
        np.testing.assert_array_equal(comp.shown(frame), shown)
    # A frame that is another picture by now changes the analysis of all; what was made under the one before is told.
    picture = codes_of(comp, 1003)
    picture[:20] //= 2
    save(comp.folder / "in" / "shot.1003.png", picture)
    comp.node["frames"].setValue("1003")
    assert comp.press("render_range").error is None
    comp.node["frames"].setValue("1001-1003")
    assert "1001-1002 not as part of the shot" in comp.status
    job = comp.press("render_range")
    assert [report["status"] for report in job.reports] == ["done", "done", "skipped"]
    assert comp.status == "3 of 3 frames computed (1001-1003)"
    shown = [comp.shown(frame) for frame in FRAMES]
    comp.press("clear_cache")
    comp.press("render_range")
    for frame, whole in zip(FRAMES, shown, strict=True):
        np.testing.assert_array_equal(comp.shown(frame), whole)


def test_a_part_of_a_shot_knows_the_plates_of_that_shot_alone(comp):
    comp.build(steady="window", steady_window=3)
    comp.press("render_range")
    before = [comp.shown(frame) for frame in FRAMES]
    for frame in FRAMES:
        save(comp.folder / "in" / f"next.{frame}.png", plate(3, 40, 64))
    comp.node.setInput(0, comp.host.create("Read", file=str(comp.folder / "in" / "next.%04d.png")))
    assert comp.press("render_range").error is None
    comp.node.setInput(0, comp.read)
    comp.node["frames"].setValue("1002")
    for lost in (False, True):
        if lost:
            # A farm job took them, or a quota.
            Path(comp.plugin.folder_of(comp.node).plate(1001)).unlink()
        job = comp.press("render_range")
        assert [report["status"] for report in job.reports] == ["skipped"]
        for frame, shown in zip(FRAMES, before, strict=True):
            np.testing.assert_array_equal(comp.shown(frame), shown)


def test_an_analysis_that_was_damaged_is_made_anew(comp):
    comp.build(steady="window", steady_window=3)
    job = comp.press("render_range")
    before = comp.shown(1002)
    maps = sorted(Path(job.plan.folder.settings).glob("*.maps.exr"))
    assert maps
    maps[1].unlink()
    Path(job.plan.folder.result(1002)).unlink()
    assert comp.press("render_range").error is None
    np.testing.assert_array_equal(comp.shown(1002), before)


def test_frames_of_an_earlier_analysis_are_told_after_a_cancel(comp):
    comp.build(steady="window", steady_window=3)
    comp.press("render_range")
    picture = codes_of(comp, 1001)
    picture[:20] //= 2
    save(comp.folder / "in" / "shot.1001.png", picture)

    def cancel(_: int, text: str) -> None:
        if text.endswith("frame 1002"):
            next(iter(comp.plugin.running.values())).cancel()

    comp.host.on_progress = cancel
    assert comp.press("render_range").cancelled
    assert "1003 not as part of the shot" in comp.status


def test_a_copy_on_another_plate_shows_that_plate(comp):
    comp.build()
    comp.press("render_range")
    for frame in FRAMES:
        save(comp.folder / "in" / f"next.{frame}.png", plate(3, 40, 64))
    other = comp.host.create("Read", file=str(comp.folder / "in" / "next.%04d.png"))
    comp.node.setInput(0, other)
    assert comp.status.startswith("0 of 3")
    np.testing.assert_array_equal(comp.shown(1001), comp.read_picture(other))
    comp.node.setInput(0, comp.read)
    assert comp.status == "3 of 3 frames computed (1001-1003)"
    assert comp.shown(1001).max() > 1.3
    # A Read that is pointed elsewhere is another plate as well.
    comp.read["file"].setValue(str(comp.folder / "in" / "next.%04d.png"))
    assert comp.status.startswith("0 of 3")


def test_a_view_that_is_added_has_nothing_computed(comp):
    comp.build()
    comp.press("render_range")
    comp.host.view_names = ["left", "right"]
    comp.host.root_node.add("views", "String_Knob", "")
    comp.host.root_node["views"].setValue("left right")
    assert comp.status.startswith("0 of 3")
    assert comp.shown(1001).max() == 1.0


def test_results_that_come_from_elsewhere_are_read_again(comp):
    comp.build()
    comp.press("render_range")
    reader = comp.node.node("ResultRead")
    before = reader.reloads
    comp.node["check_cache"].execute()
    assert reader.reloads == before + 1
    kept = Path(comp.plugin.folder_of(comp.node).result(1002))
    held = kept.read_bytes()
    kept.unlink()
    comp.plugin.refresh(comp.node)
    assert "2 of 3" in comp.status
    kept.write_bytes(held)
    comp.plugin.refresh(comp.node)
    comp.plugin.refresh(comp.node)
    assert reader.reloads == before + 3
    assert comp.status.startswith("3 of 3")


def test_what_the_node_does_by_itself_is_nothing_to_take_back(comp):
    comp.build()
    comp.press("render_frame")
    comp.host.save(comp.folder / "comp.nk")
    assert {knob for node, knob in comp.host.undo if node.startswith("ExpandNet")} == set()
    comp.host.undo.clear()
    comp.node["stops"].setValue(0.5)
    comp.press("render_range")
    assert comp.host.undo == [("ExpandNet1", "stops")]
    assert comp.host.records
