"""Plates that training makes: the camera, checked against other programs and identities, and the tone mappers of the paper."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from expandnet_training import responses, tonemappers
from expandnet_training.camera import CLIPPED, Camera, CameraRanges, blur, exposure
from expandnet_training.draw import Draw
from expandnet_training.graphics import graphics
from expandnet_training.jpeg import jpeg
from fakes import encode_srgb
from hypothesis import given, settings
from hypothesis import strategies as st
from panoramas import scene, seeded
from PIL import Image

from expandnet_ofx.transfer import srgb_decode, srgb_encode

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
    np.testing.assert_allclose(srgb_decode(srgb_encode(light)).numpy(), light.numpy(), atol=1e-6)


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
    own = srgb_decode(shot.codes)
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
