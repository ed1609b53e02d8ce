"""The authors' preset against their program."""

from __future__ import annotations

import fakes
import numpy as np
import plain_network
import pytest
import torch
from fakes import noise
from torch.nn import functional

from expandnet_ofx import Expander, Settings
from expandnet_ofx.errors import UsageError

# The authors' program


def peer(state: dict[str, torch.Tensor], codes: np.ndarray) -> np.ndarray:
    """What the authors' program computes, in one patch: stretch, 10 pixels of zeros, prediction, stretch."""
    stretched = fakes.map_range(codes.astype(np.float32)).astype(np.float32)
    x = torch.from_numpy(stretched.transpose(2, 0, 1).copy())[None]
    with torch.inference_mode():
        proxy = functional.interpolate(x, (256, 256), mode="bilinear", align_corners=False)
        features = plain_network.plain_features(state, proxy)
        y = plain_network.plain_expand(state, functional.pad(x, (10, 10, 10, 10)), features)[0, :, 10:-10, 10:-10]
    return fakes.map_range(y.numpy().transpose(1, 2, 0))


@pytest.fixture(scope="module")
def authors(authors_weights) -> Expander:
    return Expander(Settings.preset("authors", tile=64), weights=authors_weights, device="cpu")


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (300, 40), (100, 130)])
def test_the_authors_preset_is_their_program(size, authors, authors_pth):
    state = torch.load(authors_pth, map_location="cpu", weights_only=True)
    codes = (noise(*size, 3) * 0.7 + 20).astype(np.uint8)
    light = authors(codes)
    assert np.abs(light - peer(state, codes)).max() <= 1e-4
    assert (light.min(), light.max()) == pytest.approx((0, 1), abs=1e-6)


@pytest.mark.parametrize("level", [0, 90, 255])
def test_the_authors_preset_of_a_constant_plate_is_their_program(level, authors, authors_pth):
    state = torch.load(authors_pth, map_location="cpu", weights_only=True)
    codes = np.full((40, 60, 3), level, np.uint8)
    assert np.abs(authors(codes) - peer(state, codes)).max() <= 1e-4


@pytest.mark.parametrize("name", ["bottles", "oxford"])
def test_the_authors_preset_equals_recorded_outputs_of_their_program(name, shared, authors):
    folder = shared / "data" / "operators"
    recorded = np.load(folder / f"{name}_expandnet.npz")["predict_patch256"].astype(np.float32)
    codes = np.load(folder / f"{name}_input.npz")["ldr_u8"]
    # Recorded in half precision before the last stretch.
    assert np.abs(authors(codes) - fakes.map_range(recorded)).max() <= 2**-9


def test_relative_output_is_between_zero_and_one_in_any_space(authors_weights):
    plate = noise(50, 60, 4)
    for options in ({"input_space": "display-p3"}, {"output_space": "acescg"}):
        chosen = Settings.preset("authors", **options)
        light = Expander(chosen, weights=authors_weights, device="cpu")(plate)
        assert (light.min(), light.max()) == pytest.approx((0, 1), abs=1e-5)


@pytest.mark.parametrize("level", [0, 255])
def test_the_authors_weights_take_a_constant_plate_in_any_preset(level, authors_weights):
    plate = np.full((40, 60, 3), level, np.uint8)
    expander = Expander(weights=authors_weights, device="cpu")
    analysis = expander.analyze(plate)
    assert np.isfinite(analysis.anchor)
    assert np.isfinite(expander.render(plate, analysis)).all()


def test_the_authors_preset_needs_weights_of_its_kind(default_weights):
    with pytest.raises(UsageError, match="authors"):
        Expander(Settings.preset("authors"), weights=default_weights, device="cpu")
