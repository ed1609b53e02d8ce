from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import OpenImageIO
import plates
import pytest
import scenes
from numpy.typing import NDArray


@pytest.fixture(scope="module")
def lights() -> dict[str, NDArray[np.float32]]:
    return {scene: plates.render(scene) for scene in plates.SCENES}


def decode(codes: NDArray[np.floating]) -> NDArray[np.float64]:
    """Invert the sRGB curve, IEC 61966-2-1, written here on its own so that a slip in the encoder shows."""
    value = np.asarray(codes, np.float64) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def read(path: Path) -> tuple[OpenImageIO.ImageSpec, NDArray[np.float32]]:
    source = OpenImageIO.ImageInput.open(str(path))
    assert source is not None, OpenImageIO.geterror()
    pixels = source.read_image(OpenImageIO.FLOAT)
    assert pixels is not None, source.geterror()
    spec = source.spec()
    source.close()
    return spec, pixels


@pytest.mark.parametrize("scene", plates.SCENES)
def test_a_render_is_finite_light_and_the_same_every_time(scene, lights):
    light = lights[scene]
    assert light.shape == (270, 480, 3)
    assert light.dtype == np.float32
    assert np.isfinite(light).all()
    assert light.min() >= 0
    assert np.array_equal(light, plates.render(scene))


@pytest.mark.parametrize("scene", plates.SCENES)
def test_a_scene_paints_in_single_precision(scene):
    x, y = np.meshgrid(np.linspace(-1.7, 1.7, 40, dtype=np.float32), np.linspace(1, -1, 30, dtype=np.float32))
    light = scenes.PAINTERS[scene](x, y)
    assert light.dtype == np.float32
    assert light.shape == (3, 30, 40)


@pytest.mark.parametrize("scene", plates.SCENES)
def test_a_few_percent_of_each_plate_clip_many_in_some_channels_only(scene, lights):
    clipped = plates.expose(lights[scene]) == 255
    share = clipped.any(axis=-1).mean()
    measured = (clipped.any(axis=-1) & ~clipped.all(axis=-1)).sum() / clipped.any(axis=-1).sum()
    assert 0.03 <= share <= 0.15
    assert measured >= 0.25


@pytest.mark.parametrize(("scene", "low", "high"), [("window", 5, 6), ("sky", 8, 10), ("night", 6, 9), ("metal", 3, 6)])
def test_highlights_reach_their_stops_above_white(scene, low, high, lights):
    assert low <= np.log2(lights[scene].max()) <= high


def test_the_view_behind_the_window_has_structure(lights):
    # Through the middle panes: sky, cloud and hills, not one flat value.
    panes = lights["window"][72:160, 190:232]
    assert np.median(panes) > 4
    assert np.ptp(np.percentile(np.log2(panes[..., 1]), (5, 95))) > 2


@pytest.mark.parametrize("scene", plates.SCENES)
def test_a_plate_decodes_to_the_truth_where_nothing_clipped(scene, lights):
    light = lights[scene]
    plate = plates.expose(light, grain=0)
    open_codes = plate < 255
    # Half a code of quantization, and a hair for single precision.
    low, high = decode(np.maximum(plate - 0.501, 0)), decode(plate + 0.501)
    assert ((light >= low) & (light <= high))[open_codes].all()
    assert (light[~open_codes] >= decode(np.asarray(254.499))).all()


def test_grain_has_the_asked_strength_at_every_brightness():
    for code in (40, 128, 220):
        flat = np.full((200, 200, 3), decode(np.asarray(code)), np.float32)
        error = plates.expose(flat, grain=2.0).astype(np.float64) - code
        # Rounding adds 1/12 of variance to that of the grain.
        assert error.std() == pytest.approx(np.sqrt(4 + 1 / 12), rel=0.02)
        assert abs(error.mean()) < 0.05


def test_grain_is_drawn_from_the_seed(lights):
    light = lights["night"]
    assert np.array_equal(plates.expose(light, seed=3), plates.expose(light, seed=3))
    assert not np.array_equal(plates.expose(light, seed=3), plates.expose(light, seed=4))


def test_light_far_above_white_clips_through_any_grain():
    assert (plates.expose(np.full((32, 32, 3), 2, np.float32), grain=4) == 255).all()


@pytest.mark.parametrize("scene", plates.SCENES)
@pytest.mark.parametrize(("width", "height"), [(16, 16), (33, 17), (17, 40), (200, 16)])
def test_any_size_from_16_renders(scene, width, height):
    light = plates.render(scene, width=width, height=height)
    assert light.shape == (height, width, 3)
    assert np.isfinite(light).all()
    assert light.min() >= 0


def stops_apart(large: NDArray[np.float32], small: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average the large picture down to the small one's size and compare, with a floor for black."""
    height, width, _ = small.shape
    mean = large.reshape(height, large.shape[0] // height, width, large.shape[1] // width, 3).mean(axis=(1, 3))
    assert mean.mean() == pytest.approx(small.mean(), rel=0.02)
    return abs(np.log2((mean + 0.01) / (small + 0.01)))


@pytest.mark.parametrize("scene", plates.SCENES)
def test_a_small_render_shows_the_same_picture(scene, lights):
    stops = stops_apart(lights[scene], plates.render(scene, width=96, height=54))
    assert np.median(stops) < 0.02
    assert np.percentile(stops, 95) < 0.1


@pytest.mark.parametrize("scene", ["sky", "metal"])
def test_a_render_of_twice_the_size_averages_to_the_same_picture(scene, lights):
    stops = stops_apart(plates.render(scene, width=960, height=540), lights[scene])
    assert np.median(stops) < 0.02
    assert np.percentile(stops, 95) < 0.1


def test_another_aspect_ratio_crops_the_sides(lights):
    square = plates.render("sky", width=270, height=270)
    middle = lights["sky"][:, 105:375]
    # The vignette follows the frame; nothing else may differ.
    assert np.median(abs(square / middle - 1)) < 0.1


@pytest.mark.parametrize(("scene", "width", "height"), [("cave", 32, 32), ("sky", 15, 32), ("sky", 32, 15)])
def test_a_wrong_scene_or_size_is_refused(scene, width, height):
    with pytest.raises(ValueError, match=r"choose one of|at least 16"):
        plates.render(scene, width=width, height=height)


def test_written_pairs_hold_the_plate_and_the_truth(tmp_path):
    pairs = plates.write(tmp_path, width=64, height=36)
    assert pairs == [(tmp_path / f"{s}.png", tmp_path / "truth" / f"{s}.exr") for s in plates.SCENES]
    for seed, (scene, (plate, truth)) in enumerate(zip(plates.SCENES, pairs, strict=True)):
        light = plates.render(scene, width=64, height=36)
        spec, pixels = read(plate)
        assert str(spec.format) == "uint8"
        assert np.array_equal(np.rint(pixels * 255), plates.expose(light, seed=seed))
        spec, pixels = read(truth)
        assert str(spec.format) == "half"
        assert spec["compression"] == "zip"
        assert np.array_equal(pixels, light.astype(np.float16).astype(np.float32))
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == sorted(p.name for pair in pairs for p in pair)


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    plates.write(tmp_path, width=16, height=16)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def refuse(self: Path, target: Path) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="no space left"):
        plates.write(tmp_path, width=20, height=16)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_the_script_runs_from_any_folder(tmp_path):
    command = [sys.executable, plates.__file__, "out", "--width", "32", "--height", "18"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == len(plates.SCENES)
    assert (tmp_path / "out" / "truth" / "sky.exr").is_file()
    refused = subprocess.run([*command[:3], "--width", "3"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "at least 16" in refused.stderr
