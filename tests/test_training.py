"""Training: what it makes of HDR images, checked against other programs, geometry and identities; and that it learns."""

from __future__ import annotations

import io
import json
import math
import signal
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest
import torch
from expandnet_training import losses, responses, tonemappers, views
from expandnet_training.batches import Batches, reduce, reduced
from expandnet_training.camera import CLIPPED, Camera, CameraRanges, blur, exposure
from expandnet_training.draw import Draw
from expandnet_training.graphics import graphics
from expandnet_training.hdr_images import HDRImage, Split, clean, find_images, load_folder, load_image, read_split
from expandnet_training.jpeg import jpeg
from expandnet_training.loop import Report, Trainer
from expandnet_training.models import LAST_LAYER
from expandnet_training.recipe import Recipe, load_recipe
from expandnet_training.sheet import sheet
from fakes import encode_srgb
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from expandnet_ofx.errors import InputError, UsageError
from expandnet_ofx.weights import DEFAULT_WEIGHTS, load_weights

CONFIGS = Path(__file__).parents[1] / "training" / "configs"


def seeded(number: int) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def scene(height: int = 64, width: int = 128, *, seed: int = 0) -> np.ndarray:
    """A panorama with texture, a warm window and a small bright lamp; median luminance near 1."""
    rng = np.random.default_rng(seed)
    x = np.arange(width)[None]
    light = np.exp2(rng.normal(size=(height, width, 1)) * 0.3 + np.sin(x / 9)[..., None]) * np.ones(3)
    light[10:30, 20:50] *= np.array([12, 9, 6])
    light[40:43, 90:93] = 400
    return light.astype(np.float32)


@pytest.fixture(scope="module")
def images() -> list[HDRImage]:
    return [HDRImage(f"place{i}", clean(scene(seed=i)), True) for i in range(2)]


def save(path: Path, pixels: np.ndarray) -> Path:
    buffer = oiio.ImageBuf(np.ascontiguousarray(pixels, np.float32))
    assert buffer.write(str(path), oiio.FLOAT)
    return path


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


def test_the_split_of_the_reference_images(shared: Path) -> None:
    names = [path.stem for path in sorted((shared / "data" / "hdr").glob("*.jxl"))]
    split = read_split(shared / "data" / "hdr" / "SPLIT.toml", names)
    assert (len(split.train), len(split.held)) == (52, 16)


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


# The camera


def test_jpeg_is_what_a_jpeg_library_makes() -> None:
    y, x = np.mgrid[:96, :112]
    smooth = 128 + 90 * np.sin(x / 11)[..., None] * np.cos(y / 17)[..., None] * np.array([1, 0.8, -0.6])
    codes = np.clip(np.rint(smooth), 0, 255).astype(np.uint8)
    codes[30:50, 40:70] = 255, 250, 240
    for quality in (50, 75, 95):
        held = io.BytesIO()
        Image.fromarray(codes).save(held, "JPEG", quality=quality, subsampling=2)
        expected = np.asarray(Image.open(held).convert("RGB")).astype(float)
        tensor = torch.from_numpy(codes / 255.0).float().permute(2, 0, 1)[None]
        ours = jpeg(tensor, torch.tensor([float(quality)]))[0].permute(1, 2, 0).numpy() * 255
        error = np.abs(ours - expected)
        loss = np.abs(codes - expected)
        assert error.mean() < 0.8, quality
        assert error.mean() < 0.5 * loss.mean() + 0.3, quality


def test_response_curves_meet_published_values() -> None:
    half = torch.full((5, 3, 1, 1), 0.5)
    # sRGB, Rec.709, gamma 2.2 (drawn 2/3 into its range), the sigmoid with n = 0.9 and s = 0.6, a shoulder of 8.
    found = responses.apply(half, torch.arange(5), torch.tensor([0, 0, 2 / 3, 0.5, 1]), torch.full((5,), 0.5))
    power = 0.5**0.9
    expected = [
        0.7354,
        0.7055,
        0.5 ** (1 / 2.2),
        1.6 * power / (power + 0.6),
        float(encode_srgb(math.log(5) / math.log(9))),
    ]
    np.testing.assert_allclose(found[:, 0, 0, 0].numpy(), expected, atol=2e-4)
    ends = torch.stack((torch.zeros(3, 1, 1), torch.ones(3, 1, 1))).repeat(5, 1, 1, 1)
    family = torch.arange(5).repeat_interleave(2)
    codes = responses.apply(ends, family, torch.rand(10), torch.rand(10))
    np.testing.assert_allclose(codes[::2].numpy(), 0, atol=1e-2)
    np.testing.assert_allclose(codes[1::2].numpy(), 1, atol=1e-6)
    light = torch.linspace(0, 1, 50)
    np.testing.assert_allclose(responses.srgb_light(responses.srgb(light)).numpy(), light.numpy(), atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(share=st.floats(0.01, 0.5), seed=st.integers(0, 99))
def test_exposure_clips_the_share_that_is_asked_for(share: float, seed: int) -> None:
    light = torch.exp2(3 * torch.randn(2, 3, 40, 40, generator=seeded(seed)))
    white = exposure(light, torch.tensor([share, share / 2]))
    over = (light > white.view(2, 1, 1, 1)).any(1).float().mean((1, 2))
    np.testing.assert_allclose(over.numpy(), [share, share / 2], atol=2 / 1600)


def test_blur_keeps_light_and_leaves_sharp_pictures_alone() -> None:
    x = torch.rand(3, 3, 20, 20, generator=seeded(0))
    soft = blur(x, torch.tensor([0.0, 0.7, 1.5]))
    np.testing.assert_allclose(soft[0].numpy(), x[0].numpy(), atol=1e-6)
    flat = torch.ones(1, 3, 9, 9)
    np.testing.assert_allclose(blur(flat, torch.tensor([1.2])).numpy(), 1, atol=1e-6)
    assert soft[2].std() < soft[1].std() < soft[0].std()


def test_a_plain_camera_gives_the_plate_of_the_standard() -> None:
    """With nothing but exposure and sRGB, codes are those of the curve, and truth is the light itself."""
    ranges = CameraRanges(
        clipped=(0.1, 0.1), white_balance=0, saturation=(1, 1), noise=(0, 0), known_response=1, white_level=(1, 1),
        blur=(0, 0), sharpen=(0, 0), jpeg=(100, 100), graphics=0,
    )  # fmt: skip
    y, x = torch.meshgrid(torch.arange(48), torch.arange(64), indexing="ij")
    one = torch.stack([torch.exp2(3 * torch.sin(x / 9 + k) * torch.cos(y / 11)) for k in (0.0, 0.2, 0.4)])
    light = one.repeat(4, 1, 1, 1)
    shot = Camera(ranges)(light, seeded(2))
    over = light / exposure(light, torch.full((4,), 0.1)).view(4, 1, 1, 1)
    expected = torch.from_numpy(np.rint(encode_srgb(over.clamp(0, 1).numpy()) * 255) / 255).float()
    exact = [(shot.codes[i] - expected[i]).abs().max() < 1e-5 for i in range(4)]
    assert sum(exact) >= 1, "half of the pictures pass through a JPEG"
    assert (shot.codes - expected).abs().mean() < 0.02
    bright = shot.clipped & (over > 1)
    np.testing.assert_allclose(shot.light[bright].numpy(), over[bright].numpy(), rtol=1e-5)
    assert bright.sum() > 0.8 * shot.clipped.sum()


def test_a_wild_camera_keeps_its_promises() -> None:
    light = torch.from_numpy(np.stack([scene(seed=i) for i in range(16)])).permute(0, 3, 1, 2)
    shot = Camera(CameraRanges(graphics=0.5))(light, seeded(3))
    assert shot.codes.min() >= 0
    assert shot.codes.max() <= 1
    assert torch.isfinite(shot.light).all()
    assert torch.equal(shot.clipped, shot.codes >= CLIPPED)
    assert (shot.light[shot.clipped] > 0.98).all()
    own = responses.srgb_light(shot.codes)
    np.testing.assert_allclose(shot.light[~shot.clipped].numpy(), own[~shot.clipped].numpy(), atol=1e-6)
    assert shot.light[~shot.clipped].max() <= 1 + 1e-6, "graphics and what did not clip hold no light above white"
    again = Camera(CameraRanges(graphics=0.5))(light, seeded(3))
    assert torch.equal(shot.codes, again.codes)


@pytest.mark.parametrize("seed", range(4))
def test_graphics_are_flat_and_hold_no_light(seed: int) -> None:
    codes = torch.rand(24, 3, 90, 160, generator=seeded(seed)) * 0.5 + 0.2
    draw = Draw(len(codes), seeded(seed), codes.device)
    painted, covered = graphics(codes, draw, 0.6)
    assert torch.equal(painted[~covered.expand_as(codes)], codes[~covered.expand_as(codes)])
    assert painted.min() >= 0
    assert painted.max() <= 1
    touched = covered.flatten(1).any(1)
    assert 0.2 < touched.float().mean() < 0.95
    assert (painted[touched].amin(1) == 1).any(), "white among them"
    # A slate has few codes; a scene of noise has none twice.
    whole = covered.flatten(1).all(1)
    assert whole.any()
    for slate in painted[whole]:
        assert len(torch.unique((slate * 255).round())) < 130


def test_light_under_graphics_is_not_found() -> None:
    """Where a picture is laid over, what is asked for is what lies there, not the window behind."""
    light = torch.full((32, 3, 48, 64), 0.2)
    light[:, :, 10:40] = 30
    shot = Camera(CameraRanges(graphics=1.0, clipped=(0.5, 0.5), jpeg=(100, 100)))(light, seeded(5))
    flat = (shot.codes.amax(1) - shot.codes.amin(1)) > 0.9
    assert flat.any()
    colored = shot.light.amax(1)[flat]
    assert (colored <= 1 + 1e-6).all()


# The paper's tone mappers


@pytest.mark.parametrize("operator", tonemappers.OPERATORS)
def test_tone_mappers_brighten_shadows_and_keep_order(operator: object) -> None:
    if operator is not tonemappers.percentile_exposure:
        pytest.importorskip("cv2")
    light = scene(96, 96)
    rng = np.random.default_rng(0)
    made = operator(light, lambda low, high: float(rng.uniform(low, high)))  # type: ignore[operator]
    assert (~np.isfinite(made)).mean() < 0.001
    plate = tonemappers.stretch(tonemappers.repaired(made))
    assert plate.min() == 0
    assert plate.max() == 1
    before, after = (np.argsort(np.argsort(picture[..., 1].ravel())) for picture in (light, plate))
    assert np.corrcoef(before, after)[0, 1] > 0.8
    assert np.median(plate) > np.median(tonemappers.stretch(light)) + 0.02


def test_no_plate_holds_nan() -> None:
    pytest.importorskip("cv2")
    rng = np.random.default_rng(4)
    for seed in range(20):
        light = scene(seed=seed)
        light[::7] = 0
        plate = tonemappers.random_plate(light, rng)
        assert np.isfinite(plate).all()
        assert plate.min() >= 0
        assert plate.max() <= 1
    assert tonemappers.repaired(np.full((8, 8, 3), np.nan, np.float32)) is None


# Losses


def test_the_papers_loss_is_zero_for_the_truth_and_counts_angles_five_times() -> None:
    target = torch.rand(2, 3, 5, 5, generator=seeded(0)) + 0.1
    assert losses.paper(target, target) == pytest.approx(0, abs=1e-5)
    red, green = torch.zeros(1, 3, 1, 1), torch.zeros(1, 3, 1, 1)
    red[0, 0], green[0, 1] = 0.6, 0.6
    assert losses.paper(red, green) == pytest.approx(2 * 0.6 / 3 + 5, abs=1e-5)


@pytest.mark.parametrize("quantile", [0.2, 0.5, 0.9])
def test_a_small_beta_finds_the_quantile_and_a_large_one_the_mean(quantile: float) -> None:
    target = torch.exp2(torch.randn(1, 3, 40, 40, generator=seeded(0)).abs())
    clipped = torch.ones_like(target, dtype=torch.bool)
    levels = torch.linspace(0, 3, 301)

    def best(beta: float, q: torch.Tensor | None) -> float:
        scores = [
            float(losses.highlights(2**level * torch.ones_like(target), target, clipped, beta=beta, clipped_weight=1.0,
                                    color_weight=0.0, quantile=q))
            for level in levels
        ]  # fmt: skip
        return 2 ** float(levels[int(np.argmin(scores))])

    found = best(1e-3, torch.tensor([quantile]))
    assert found == pytest.approx(float(np.quantile(target.numpy(), quantile)), rel=0.03)
    assert np.log2(best(20.0, None)) == pytest.approx(float(target.log2().mean()), abs=0.02)


def test_a_rim_costs_slope_and_a_constant_error_none() -> None:
    target = torch.full((1, 3, 12, 12), 8.0)
    target[:, :, :4] = 0.5
    clipped = target > 1
    assert losses.slopes(target, target, clipped) == 0
    everywhere = (torch.exp2(losses.stops(target) + 1) - 1) / losses.LOG_SCALE
    assert losses.slopes(everywhere, target, clipped) == pytest.approx(0, abs=1e-4)
    rim = target.clone()
    rim[:, :, 4] = 16
    assert losses.slopes(rim, target, clipped) > 0.05


def test_steadiness_is_the_distance_of_two_predictions_where_light_is_found() -> None:
    first = torch.full((1, 3, 4, 4), 4.0)
    clipped = torch.zeros_like(first, dtype=torch.bool)
    clipped[:, :, 0] = True
    second = first * 2
    second[:, :, 1:] = 100
    assert losses.steadiness(first, second, clipped) == pytest.approx(1, abs=2e-3)
    assert losses.steadiness(first, first, clipped) == 0


def test_clipped_channels_weigh_more_and_crops_alike() -> None:
    target = torch.full((2, 3, 10, 10), 2.0)
    clipped = torch.zeros_like(target, dtype=torch.bool)
    # Of the first crop all clips, of the second a twentieth; both miss by the same.
    clipped[0] = True
    clipped[1, :, 0, :5] = True
    missed = (torch.exp2(losses.stops(target) - 1) - 1) / losses.LOG_SCALE

    def loss(prediction: torch.Tensor, weight: float) -> float:
        settings_ = {"beta": 2.0, "color_weight": 0.0, "clipped_weight": weight}
        return float(losses.highlights(prediction, target, clipped, **settings_))

    wrong = 0.5 * 1**2 / 2
    assert loss(target, 8) == 0
    assert loss(torch.where(clipped, missed, target), 8) == pytest.approx(wrong, rel=1e-3)
    assert loss(torch.where(clipped, target, missed), 8) == pytest.approx(wrong / 8, rel=1e-3)
    first, second = missed.clone(), missed.clone()
    first[1], second[0] = 2, 2
    first[~clipped], second[~clipped] = 2, 2
    assert loss(first, 8) == pytest.approx(loss(second, 8), rel=1e-3) == pytest.approx(wrong / 2, rel=1e-3)


# Recipes and the loop


def small(**changes: object) -> Recipe:
    settings_: dict[str, object] = {"name": "small", "steps": 6, "batch": 4, "crops_per_view": 2, "crop": 16, "view": (40, 48),
                                    "warm_up": 2, **changes}  # fmt: skip
    return Recipe(**settings_)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["paper", "vfx"])
def test_shipped_recipes_are_valid_and_say_what_their_weights_are(name: str) -> None:
    recipe = load_recipe(CONFIGS / f"{name}.toml", steps=3)
    assert recipe.steps == 3
    if name == "paper":
        assert (recipe.rate, recipe.batch, recipe.crop, recipe.decay, recipe.lowest_rate) == (7e-5, 12, 256, 0.8, 1e-7)
        assert recipe.contract.input_stretch
        assert not recipe.contract.absolute
    else:
        assert recipe.contract.absolute
        assert (recipe.contract.output_peak, recipe.contract.output_stops) == (4096, 20)


@pytest.mark.parametrize(
    ("text", "what"),
    [('network = "unt"\nhalo = false\ntail = true', "tail"),
     ("stepz = 3", "stepz"), ("crop = 4", "crop"), ('loss = "paper"', "loss"), ("[camera]\nfog = 1", "fog"),
     ("batch = 3", "batch"),
     ("boldness = [0.9, 0.1]", "boldness"), ("pyramid = 2", "pyramid"),
     ("edge_weight = -1", "edge"), ("not toml", "not a recipe"),
     ('optimizer = "sgd"', "optimizer: need one of adamw, adam"), ('precision = "half"', "precision"),
     ('schedule = "linear"', "schedule"), ('halo = "no"', "halo: need true or false"), ("view = [48]", "view: need 2 of"),
     ("crops_per_view = 0", "crops_per_view"), ('clip_gradient = "x"', "clip_gradient: need a number"),
     ("steps = 2.5", "steps: need a whole number"), ("seed = -1", "seed"), ('name = "a/b"', "name"),
     ("boldness = 3", "boldness"), ('[camera]\nnoise = [0, "x"]', "camera.noise"), ("[camera]\nblur = 1.0", "camera.blur")],
)  # fmt: skip
def test_wrong_recipes_are_named(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=what):
        load_recipe(path)


def test_batches_follow_from_seed_and_step_alone(images: list[HDRImage]) -> None:
    make = Batches(images, small(), torch.device("cpu"))
    one, other, next_ = make(3), make(3), make(4)
    assert torch.equal(one.crops, other.crops)
    assert not torch.equal(one.crops, next_.crops)
    assert one.crops.shape == (4, 3, 32, 32)
    assert one.light.shape == one.clipped.shape == (4, 3, 16, 16)
    assert one.proxies.shape == (2, 3, 256, 256)
    inner = responses.srgb_light(one.crops[:, :, 8:-8, 8:-8])
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


def test_a_stopped_run_goes_on_bit_for_bit(tmp_path: Path, images: list[HDRImage]) -> None:
    whole = Trainer(images, small(), tmp_path / "whole")
    whole.run()

    with pytest.raises(KeyboardInterrupt):
        Trainer(images, small(), tmp_path / "again").run(report=_interrupt_at(3))
    rest = Trainer(images, small(), tmp_path / "again")
    assert rest.step == 3
    rest.run()
    for name, value in whole.average.items():
        assert torch.equal(value, rest.average[name]), name
    weights = load_weights(tmp_path / "again" / "small.safetensors")
    assert weights.contract == small().contract
    np.testing.assert_array_equal(weights.state["end_net.1.bias"], whole.average["end_net.1.bias"].numpy())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_end_of_a_step(
    tmp_path: Path, images: list[HDRImage], number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Trainer(images, small(), tmp_path / "whole")
    whole.run()
    again = Trainer(images, small(), tmp_path / "again")
    take = again.optimizer.step

    def step(*arguments: object) -> None:
        take(*arguments)
        if again.step == 2:
            # Weights have moved, their average has not, and the step is not counted.
            signal.raise_signal(number)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(again.optimizer, "step", step)
    before = signal.signal(number, stop)
    try:
        with pytest.raises(KeyboardInterrupt):
            again.run()
        assert signal.getsignal(number) is stop
    finally:
        signal.signal(number, before)
    rest = Trainer(images, small(), tmp_path / "again")
    assert rest.step == 3
    rest.run()
    for name, value in whole.average.items():
        assert torch.equal(value, rest.average[name]), name


def test_a_run_without_a_finite_loss_is_given_up(
    tmp_path: Path, images: list[HDRImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("expandnet_training.loop.MOST_LOST", 2)
    trainer = Trainer(images, small(), tmp_path)
    monkeypatch.setattr(trainer, "loss", lambda _: torch.tensor(math.nan))
    with pytest.raises(UsageError, match="not finite for 2 steps"):
        trainer.run()


def test_other_images_do_not_go_on(tmp_path: Path, images: list[HDRImage]) -> None:
    Trainer(images[:1], small(steps=1), tmp_path).run()
    with pytest.raises(InputError, match="other images"):
        Trainer(images, small(), tmp_path)
    Trainer(images[:1], small(steps=2), tmp_path).run()


def test_a_run_of_before_goes_on_with_what_it_does_not_know_of(tmp_path: Path, images: list[HDRImage]) -> None:
    Trainer(images, small(steps=1), tmp_path).run()
    state = torch.load(tmp_path / "optimizer.pt", weights_only=True)
    recipe = json.loads(state["recipe"])
    del state["images"], recipe["hold"]
    torch.save({**state, "recipe": json.dumps(recipe)}, tmp_path / "optimizer.pt")
    assert Trainer(images, small(), tmp_path).step == 1


def test_codes_of_a_display_are_no_light(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match="not scene-linear light"):
        load_image(tmp_path / "a.tif")


def test_a_rate_is_held_and_then_falls_on_a_plateau(tmp_path: Path, images: list[HDRImage]) -> None:
    recipe = small(schedule="plateau", rate=1e-3, warm_up=0, hold=6, patience=2, decay=0.5)
    trainer = Trainer(images, recipe, tmp_path)
    rates = []
    for trainer.step in range(1, 14):
        # It gets worse while the rate is held, and then no better.
        trainer._note_loss(1.0 if trainer.step < 5 else 2.0)
        rates.append(trainer.plateau["rate"])
    assert rates[:7] == [1e-3] * 7
    assert rates[-1] < 1e-3
    assert sorted(rates, reverse=True) == rates


def test_another_recipe_does_not_go_on(tmp_path: Path, images: list[HDRImage]) -> None:
    Trainer(images, small(steps=1), tmp_path).run()
    with pytest.raises(InputError, match="another rate"):
        Trainer(images, small(rate=2e-3), tmp_path)
    (tmp_path / "optimizer.pt").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"optimizer\.pt"):
        Trainer(images, small(), tmp_path)


def test_a_run_starts_from_weights_that_are_told_less(tmp_path: Path, images: list[HDRImage]) -> None:
    first = Trainer(images, small(boldness=(0.2, 0.9)), tmp_path / "first")
    first.run()
    start = tmp_path / "first" / "small.safetensors"
    recipe = small(boldness=(0.2, 0.9), tail=True)
    second = Trainer(images, recipe, tmp_path / "second", start=start)
    batch = second.batches(0)
    first.network.load_state_dict(first.average)
    with torch.no_grad():
        before, after = (each.predict(batch.crops, batch.proxies, batch.boldness) for each in (first, second))
    assert torch.equal(before, after)
    second.run()
    assert np.abs(load_weights(tmp_path / "second" / "small.safetensors").state["tail.weight"]).max() > 0
    again = Trainer(images, recipe, tmp_path / "second", start=start)
    assert again.step == second.step
    assert torch.equal(again.average["tail.weight"], second.average["tail.weight"])


def test_only_what_is_named_is_trained(tmp_path: Path, images: list[HDRImage]) -> None:
    recipe = small(boldness=(0.2, 0.9), tail=True, only=("tail", "boldness"))
    trainer = Trainer(images, recipe, tmp_path)
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    trainer.run()
    moved = {name for name, value in trainer.network.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"tail.weight", "boldness.weight"}
    with pytest.raises(UsageError, match="nothing"):
        Trainer(images, small(only=("nothing",)), tmp_path / "other")


@pytest.mark.parametrize(
    ("recipe", "what"),
    [
        (small(loss="paper", curve="linear", stretch=True, makes="tonemap"), "input_stretch"),
        (small(antialias=False), "antialias"),
        (small(), r"boldness\.weight"),
        (small(network="unt", halo=False), "another network"),
    ],
)
def test_weights_of_another_kind_are_no_start(
    tmp_path: Path, images: list[HDRImage], recipe: Recipe, what: str
) -> None:
    with pytest.raises(UsageError, match=what):
        Trainer(images, recipe, tmp_path, start=DEFAULT_WEIGHTS)


def test_a_view_reduced_keeps_codes_as_light_and_stops_as_stops() -> None:
    codes = torch.rand(2, 3, 8, 8, generator=seeded(0)) * 0.5
    light = responses.srgb_light(codes)
    clipped = torch.zeros_like(codes, dtype=torch.bool)
    codes[:, :, :4], clipped[:, :, :4] = 1.0, True
    light[:, :, :4] = torch.exp2(4 * torch.rand(2, 3, 4, 8, generator=seeded(1)))
    small, found, over = reduced(codes, light, clipped)
    assert torch.equal(over[:, :, :2], torch.ones(2, 3, 2, 4, dtype=torch.bool))
    assert not over[:, :, 2:].any()
    np.testing.assert_allclose(found[~over], responses.srgb_light(small)[~over], rtol=1e-6)
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


@pytest.mark.parametrize("precision", ["fp32", "mixed"])
def test_a_run_with_everything_goes_on_bit_for_bit(tmp_path: Path, images: list[HDRImage], precision: str) -> None:
    recipe = small(steps=4, boldness=(0.2, 0.9), steady_weight=0.5, edge_weight=0.5, pyramid=0.5, precision=precision)
    whole = Trainer(images, recipe, tmp_path / "whole")
    whole.run()
    with pytest.raises(KeyboardInterrupt):
        Trainer(images, recipe, tmp_path / "again").run(report=_interrupt_at(2))
    rest = Trainer(images, recipe, tmp_path / "again")
    rest.run()
    for name, value in whole.average.items():
        assert torch.equal(value, rest.average[name]), name
    weights = load_weights(tmp_path / "again" / "small.safetensors")
    assert weights.contract.boldness == recipe.default_boldness
    assert np.abs(weights.state["boldness.weight"]).max() > 0


def test_a_start_keeps_signals_alive(tmp_path: Path, images: list[HDRImage]) -> None:
    network = Trainer(images, small(), tmp_path).network
    for name, layer in network.named_modules():
        if isinstance(layer, torch.nn.Conv2d):
            fan_in = layer.weight[0].numel()
            size = LAST_LAYER if name == "end_net.1" else 1
            assert float(layer.weight.detach().var()) * fan_in == pytest.approx(size**2, rel=0.25), name
            assert not layer.bias.any()
    signal = torch.randn(1, 3, 96, 96, generator=seeded(0))
    with torch.no_grad():
        for name in ("local_net.0", "local_net.1"):
            signal = network.get_submodule(name)(signal)
            assert 0.5 < float(signal[:, :, 8:-8, 8:-8].std()) < 1.5, "SELU keeps the variance near 1"


def test_a_sheet_shows_plate_prediction_and_truth(tmp_path: Path, images: list[HDRImage]) -> None:
    trainer = Trainer(images, small(boldness=(0.2, 0.9)), tmp_path)
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    picture = sheet(trainer)
    assert picture.dtype == np.uint8
    assert picture.shape == (4 * 16, 3 * 16, 3)
    batch = trainer.batches(0)
    shown = (responses.srgb((batch.light / 4).clamp(0, 1)) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(picture[:, 32:], shown.reshape(64, 16, 3))
    assert all(torch.equal(value, before[name]) for name, value in trainer.network.state_dict().items())


def test_a_sheet_is_not_seen_by_a_network_that_counts(tmp_path: Path, images: list[HDRImage]) -> None:
    trainer = Trainer(images, small(network="unt", halo=False, batch=2, crop=256, view=(256, 264)), tmp_path)
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    assert any("running_mean" in name for name in before)
    sheet(trainer)
    assert all(torch.equal(value, before[name]) for name, value in trainer.network.state_dict().items())
    assert trainer.network.training


def _interrupt_at(last: int) -> Report:
    def report(step: int, loss: float, rate: float) -> None:
        if step == last:
            raise KeyboardInterrupt

    return report


@pytest.mark.parametrize("recipe", ["vfx", "paper"])
def test_it_learns(tmp_path: Path, images: list[HDRImage], recipe: str) -> None:
    if recipe == "paper":
        pytest.importorskip("cv2")
        chosen = load_recipe(CONFIGS / "paper.toml", steps=12, batch=2, crop=64)
        chosen = Recipe(**{**chosen.to_dict(), "view": (64, 64), "rate": 1e-3, "camera": chosen.camera})
    else:
        chosen = small(steps=25, rate=2e-3)
    trainer = Trainer(images, chosen, tmp_path)
    batch = trainer.batches(0)
    with torch.no_grad():
        before = float(trainer.loss(batch))
    for _ in range(chosen.steps):
        trainer.train_step(batch)
    with torch.no_grad():
        after = float(trainer.loss(batch))
    assert after < 0.85 * before
