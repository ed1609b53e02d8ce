"""Training: what it makes of HDR images, checked against other programs, geometry and identities; and that it learns."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest
import torch
from expandnet_training import losses, responses, tonemappers, views
from expandnet_training.batches import Batches, reduce
from expandnet_training.camera import CLIPPED, Camera, CameraRanges, blur, exposure
from expandnet_training.hdr_images import HDRImage, clean, find_images, load_folder, read_split
from expandnet_training.jpeg import jpeg
from expandnet_training.loop import Trainer
from expandnet_training.recipe import Recipe, load_recipe
from fakes import encode_srgb
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from expandnet_ofx.errors import InputError, UsageError
from expandnet_ofx.weights import load_weights

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
    assert read_split(path, ["a", "b", "c"]) == (["a", "c"], ["b"])
    with pytest.raises(InputError, match="b is not in the folder"):
        read_split(path, ["a"])
    path.write_text("train = 3")
    with pytest.raises(InputError, match="not a split"):
        read_split(path, ["a"])


def test_the_split_of_the_reference_images(shared: Path) -> None:
    names = [path.stem for path in sorted((shared / "data" / "hdr").glob("*.jxl"))]
    train, held = read_split(shared / "data" / "hdr" / "SPLIT.toml", names)
    assert (len(train), len(held)) == (52, 16)


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
    found = shot.light[shot.clipped]
    np.testing.assert_allclose(found.numpy(), over[shot.clipped].numpy(), rtol=1e-5)
    assert (found > 1).all()


def test_a_wild_camera_keeps_its_promises() -> None:
    light = torch.from_numpy(np.stack([scene(seed=i) for i in range(16)])).permute(0, 3, 1, 2)
    shot = Camera(CameraRanges(graphics=0.5))(light, seeded(3))
    assert shot.codes.min() >= 0
    assert shot.codes.max() <= 1
    assert torch.isfinite(shot.light).all()
    assert (shot.light[shot.clipped] >= 1).all()
    assert (shot.codes[shot.clipped] >= CLIPPED).all()
    own = responses.srgb_light(shot.codes)
    np.testing.assert_allclose(shot.light[~shot.clipped].numpy(), own[~shot.clipped].numpy(), atol=1e-6)
    assert shot.light[~shot.clipped].max() <= 1 + 1e-6, "graphics and what did not clip hold no light above white"
    again = Camera(CameraRanges(graphics=0.5))(light, seeded(3))
    assert torch.equal(shot.codes, again.codes)


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
def test_pinball_is_least_at_the_quantile(quantile: float) -> None:
    target = torch.exp2(torch.randn(1, 3, 40, 40, generator=seeded(0)).abs())
    clipped = torch.ones_like(target, dtype=torch.bool)
    level = torch.linspace(0, 3, 301)
    scores = [float(losses.pinball(torch.exp2(v) * torch.ones_like(target), target, clipped, torch.tensor([quantile])))
              for v in level]  # fmt: skip
    assert 2 ** float(level[int(np.argmin(scores))]) == pytest.approx(
        float(np.quantile(target.numpy(), quantile)), rel=0.03
    )


def test_clipped_channels_weigh_more() -> None:
    target, near = torch.full((1, 3, 2, 2), 2.0), torch.full((1, 3, 2, 2), 1.5)
    mixed = target.clone()
    mixed[0, 0, 0, 0] = 1.5
    clipped = torch.zeros_like(target, dtype=torch.bool)
    clipped[0, 0, 0, 0] = True
    settings_ = {"beta": 2.0, "color_weight": 0.0}
    light, heavy = (losses.highlights(mixed, target, clipped, clipped_weight=w, **settings_) for w in (1.0, 8.0))
    assert heavy == pytest.approx(float(light) * 8 * 12 / 19, rel=1e-4)
    assert losses.highlights(near, near, clipped, clipped_weight=8.0, **settings_) == 0


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
    [("stepz = 3", "stepz"), ("crop = 4", "crop"), ('loss = "paper"', "loss"), ("[camera]\nfog = 1", "fog"),
     ("batch = 3", "batch"), ("not toml", "not a recipe")],
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

    def stop_after_three(step: int, loss: float, rate: float) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Trainer(images, small(), tmp_path / "again").run(report=stop_after_three)
    rest = Trainer(images, small(), tmp_path / "again")
    assert rest.step == 3
    rest.run()
    for name, value in whole.average.items():
        assert torch.equal(value, rest.average[name]), name
    weights = load_weights(tmp_path / "again" / "small.safetensors")
    assert weights.contract == small().contract
    np.testing.assert_array_equal(weights.state["end_net.1.bias"], whole.average["end_net.1.bias"].numpy())


def test_another_recipe_does_not_go_on(tmp_path: Path, images: list[HDRImage]) -> None:
    Trainer(images, small(steps=1), tmp_path).run()
    with pytest.raises(InputError, match="another rate"):
        Trainer(images, small(rate=2e-3), tmp_path)
    (tmp_path / "optimizer.pt").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"optimizer\.pt"):
        Trainer(images, small(), tmp_path)


@pytest.mark.parametrize("recipe", ["vfx", "paper"])
def test_it_learns(tmp_path: Path, images: list[HDRImage], recipe: str) -> None:
    if recipe == "paper":
        pytest.importorskip("cv2")
        chosen = load_recipe(CONFIGS / "paper.toml", steps=12, batch=2, crop=64)
        chosen = Recipe(**{**chosen.to_dict(), "view": (64, 64), "rate": 1e-3, "camera": chosen.camera})
    else:
        chosen = small(steps=25, rate=2e-3)
    trainer = Trainer(images, chosen, tmp_path)
    batch = trainer._batches(0)
    with torch.no_grad():
        before = float(trainer._loss(trainer.predict(batch), batch))
    for _ in range(chosen.steps):
        trainer.train_step(batch)
    with torch.no_grad():
        after = float(trainer._loss(trainer.predict(batch), batch))
    assert after < 0.85 * before
