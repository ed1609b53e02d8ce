"""HDR images to train with: folders and splits, views, batches."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from expandnet_training import losses, views
from expandnet_training.batches import Batches, reduce, reduced
from expandnet_training.hdr_images import HDRImage, Split, find_images, load_folder, load_image, read_split
from panoramas import save, scene, seeded, small
from PIL import Image

from expandnet_ofx.errors import InputError
from expandnet_ofx.transfer import srgb_decode

# Images and splits


def test_a_folder_is_cleaned_and_told_by_shape(tmp_path: Path) -> None:
    wild = scene()
    wild[0, 0], wild[0, 1], wild[0, 2] = np.nan, np.inf, -5
    save(tmp_path / "a.exr", 37 * wild)
    save(tmp_path / "b.exr", scene(64, 96))
    panorama, photograph = load_folder(find_images(tmp_path))
    assert (panorama.latlong, photograph.latlong) == (True, False)
    pixels = panorama.pixels.astype(np.float32)
    assert np.isfinite(pixels).all()
    assert pixels.min() == 0
    assert np.median(pixels[1:] @ np.array([0.2126, 0.7152, 0.0722])) == pytest.approx(1, rel=0.01)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("black.exr", lambda path: save(path, np.zeros((8, 8, 3)))),
        ("gray.exr", lambda path: save(path, np.ones((8, 8, 1)))),
        ("broken.exr", lambda path: path.write_bytes(b"v/1\x01 nonsense")),
    ],
)
def test_an_image_without_light_is_named(tmp_path: Path, name: str, write: object) -> None:
    write(tmp_path / name)  # type: ignore[operator]
    with pytest.raises(InputError, match=name):
        load_folder(find_images(tmp_path))


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.97])
def test_a_damaged_image_is_named(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "cut.exr"
    save(path, np.random.default_rng(0).random((64, 48, 3)).astype(np.float32))
    whole = path.read_bytes()
    assert len(load_folder([path])) == 1
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(InputError, match=r"cut\.exr"):
        load_folder([path])


@pytest.mark.parametrize("entry", ['validation = [["a"]]', "validation = [1]", 'validation = []\npanoramas = "a"'])
def test_a_split_of_other_things_is_named(tmp_path: Path, entry: str) -> None:
    (tmp_path / "split.toml").write_text(entry)
    with pytest.raises(InputError, match=r"split\.toml: not a split"):
        read_split(tmp_path / "split.toml", ["a"])


def test_an_empty_folder_and_doubles_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no HDR images"):
        find_images(tmp_path)
    save(tmp_path / "a.exr", scene())
    save(tmp_path / "a.hdr", scene())
    with pytest.raises(InputError, match="two formats"):
        find_images(tmp_path)


def test_a_split_holds_out_places(tmp_path: Path) -> None:
    path = tmp_path / "split.toml"
    path.write_text('validation = ["b"]')
    assert read_split(path, ["a", "b", "c"]) == Split(train=["a", "c"], held=["b"], kinds={})
    path.write_text('validation = ["b"]\nphotographs = ["a"]\npanoramas = ["c"]')
    assert read_split(path, ["a", "b", "c"]).kinds == {"a": False, "c": True}
    with pytest.raises(InputError, match="b is not in the folder"):
        read_split(path, ["a", "c"])
    for text in ("train = 3", 'validation = "a"'):
        path.write_text(text)
        with pytest.raises(InputError, match="not a split"):
            read_split(path, ["a"])


def test_a_split_says_what_is_a_panorama_and_three_channels_are_light(tmp_path: Path) -> None:
    light = np.concatenate((scene(64, 96), np.full((64, 96, 1), 7, np.float32)), 2)
    save(tmp_path / "a.exr", light)
    save(tmp_path / "b.EXR", scene(64, 128))
    first, second = load_folder(find_images(tmp_path), kinds={"a": True, "b": False})
    assert (first.name, first.latlong, second.name, second.latlong) == ("a", True, "b", False)
    ratio = first.pixels.astype(np.float32) / scene(64, 96)
    np.testing.assert_allclose(ratio, ratio[0, 0, 0], rtol=2e-3)


def test_the_split_of_the_reference_images(shared: Path) -> None:
    names = [path.stem for path in sorted((shared / "data" / "hdr").glob("*.jxl"))]
    split = read_split(shared / "data" / "hdr" / "SPLIT.toml", names)
    assert (len(split.train), len(split.held)) == (52, 16)


def test_codes_of_a_display_are_no_light(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match="not scene-linear light"):
        load_image(tmp_path / "a.tif")


# Views


@pytest.mark.parametrize(("yaw", "pitch"), [(0.0, 0.0), (1.0, 0.3), (3.1, -0.5), (-2.0, 1.2)])
def test_the_middle_of_a_view_is_where_the_camera_aims(yaw: float, pitch: float) -> None:
    """A panorama whose light says where it is: direction as color."""
    rows, columns = 256, 512
    latitude = (0.5 - (np.arange(rows) + 0.5) / rows) * math.pi
    longitude = ((np.arange(columns) + 0.5) / columns - 0.5) * 2 * math.pi
    lat, lon = np.meshgrid(latitude, longitude, indexing="ij")
    direction = np.stack((np.cos(lat) * np.sin(lon), np.sin(lat), np.cos(lat) * np.cos(lon)))
    panorama = torch.from_numpy((direction + 2).astype(np.float32))
    aim = views.Aim(yaw=yaw, pitch=pitch, fov=math.radians(60))
    seen = views.perspective(panorama, aim, height=65, width=65).numpy() - 2
    expected = (math.cos(pitch) * math.sin(yaw), math.sin(pitch), math.cos(pitch) * math.cos(yaw))
    np.testing.assert_allclose(seen[:, 32, 32], expected, atol=0.01)
    # Rectilinear: the angle to the edge is half the field of view (of pixel centers, so a little less).
    edge = seen[:, 32, -1] / np.linalg.norm(seen[:, 32, -1])
    assert math.acos(float(edge @ np.array(expected))) == pytest.approx(
        math.atan(math.tan(aim.fov / 2) * 64 / 65), abs=0.01
    )


def test_a_view_across_the_seam_is_the_view_of_a_turned_panorama() -> None:
    panorama = torch.from_numpy(scene()).permute(2, 0, 1)
    across = views.perspective(panorama, views.Aim(yaw=math.pi, pitch=0.1, fov=1.0), height=40, width=60)
    ahead = views.perspective(panorama.roll(64, 2), views.Aim(yaw=0.0, pitch=0.1, fov=1.0), height=40, width=60)
    np.testing.assert_allclose(across.numpy(), ahead.numpy(), rtol=2e-3)


@pytest.mark.parametrize("latlong", [True, False])
def test_views_are_light_of_the_image(latlong: bool) -> None:
    image = torch.from_numpy(scene()).permute(2, 0, 1).half()
    for number in range(8):
        view = views.random_view(image, seeded(number), latlong=latlong, height=48, width=80)
        assert view.shape == (3, 48, 80)
        assert view.min() >= 0
        assert view.max() <= image.max() * 1.01


# Batches


def test_batches_follow_from_seed_and_step_alone(images: list[HDRImage]) -> None:
    make = Batches(images, small(), torch.device("cpu"))
    one, other, next_ = make(3), make(3), make(4)
    assert torch.equal(one.crops, other.crops)
    assert not torch.equal(one.crops, next_.crops)
    assert one.crops.shape == (4, 3, 32, 32)
    assert one.light.shape == one.clipped.shape == (4, 3, 16, 16)
    assert one.proxies.shape == (2, 3, 256, 256)
    inner = srgb_decode(one.crops[:, :, 8:-8, 8:-8])
    np.testing.assert_allclose(one.light[~one.clipped].numpy(), inner[~one.clipped].numpy(), atol=1e-6)
    # Crops differ through images, views and cameras, not through the network's start alone.
    assert not torch.equal(Batches(images, small(seed=2), torch.device("cpu"))(3).crops, one.crops)
    sums = [float(make(step).clipped.float().mean()) for step in range(8)]
    assert max(sums) > 0.02, "crops must hold light to find"


def test_the_reduction_is_the_products(natural_plate: np.ndarray) -> None:
    from expandnet_ofx import ArrayPlate
    from expandnet_ofx.survey import survey
    from expandnet_ofx.transfer import named_encoding

    codes = torch.from_numpy(natural_plate / 255.0).float().permute(2, 0, 1)[None]
    for antialias in (True, False):
        seen = survey(ArrayPlate(natural_plate, named_encoding("srgb")), antialias=antialias).proxy
        ours = reduce(codes, antialias=antialias)[0].permute(1, 2, 0).numpy()
        np.testing.assert_allclose(ours, seen, atol=1e-6)


def test_a_view_reduced_keeps_codes_as_light_and_stops_as_stops() -> None:
    codes = torch.rand(2, 3, 8, 8, generator=seeded(0)) * 0.5
    light = srgb_decode(codes)
    clipped = torch.zeros_like(codes, dtype=torch.bool)
    codes[:, :, :4], clipped[:, :, :4] = 1.0, True
    light[:, :, :4] = torch.exp2(4 * torch.rand(2, 3, 4, 8, generator=seeded(1)))
    small, found, over = reduced(codes, light, clipped)
    assert torch.equal(over[:, :, :2], torch.ones(2, 3, 2, 4, dtype=torch.bool))
    assert not over[:, :, 2:].any()
    np.testing.assert_allclose(found[~over], srgb_decode(small)[~over], rtol=1e-6)
    blocks = losses.stops(light[:, :, :4]).unfold(2, 2, 2).unfold(3, 2, 2).mean((-1, -2))
    np.testing.assert_allclose(losses.stops(found[:, :, :2]), blocks, atol=1e-5)


def test_a_batch_holds_a_second_look_and_a_knob(images: list[HDRImage]) -> None:
    recipe = small(boldness=(0.2, 0.9), steady_weight=1.0, pyramid=0.5)
    make = Batches(images, recipe, torch.device("cpu"))
    knobs = torch.cat([make(step).boldness for step in range(20)])
    assert 0.2 <= knobs.min() < 0.35
    assert 0.75 < knobs.max() <= 0.9
    for step in range(4):
        batch = make(step)
        assert batch.again is not None
        crops, proxies = batch.again
        first = batch.crops[::2]
        assert crops.shape == first.shape
        assert proxies.shape == batch.proxies.shape
        assert 0 < (crops - first).abs().mean() < 0.02
        assert not torch.equal(proxies, batch.proxies)
    assert make(0).boldness.shape == (2,)
    assert Batches(images, small(), torch.device("cpu"))(0).again is None
