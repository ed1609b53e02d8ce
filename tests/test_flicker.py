"""The flicker of a shot, against jumps that are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expandnet_ofx.errors import InputError
from expandnet_ofx.flicker import EDGE, Flicker, Glimpse, GlimpseBuilder, jumps_between


def scene(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Light with a recovered area of a few stops, and its matte: (80, 160)."""
    rng = np.random.default_rng(seed)
    light = np.kron(rng.uniform(0.02, 0.8, (10, 20)), np.ones((8, 8)))
    matte = np.zeros_like(light)
    light[20:60, 50:110] = 2 + 6 * rng.random((40, 60))
    matte[20:60, 50:110] = 1
    return light.astype(np.float32), matte.astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(stops=st.floats(-2, 2))
def test_a_jump_is_found_as_large_as_it_is(stops: float) -> None:
    light, matte = scene()
    after = np.where(matte > 0, light * np.float32(2**stops), light)
    flicker = Flicker()
    flicker.add(Glimpse(light, matte, 1), Glimpse(after.astype(np.float32), matte, 1))
    assert flicker.rms == pytest.approx(abs(stops), abs=1e-3)
    assert flicker.high == pytest.approx(abs(stops), rel=0.03, abs=2e-3)


@pytest.mark.parametrize("shift", [(0, 1), (2, -3), (-4, 0)])
def test_a_camera_that_moves_is_no_flicker(shift: tuple[int, int]) -> None:
    light, matte = scene(1)
    before = Glimpse(light[10:70, 20:140], matte[10:70, 20:140], 1)
    rows, columns = slice(10 + shift[0], 70 + shift[0]), slice(20 + shift[1], 140 + shift[1])
    jumps = jumps_between(before, Glimpse(light[rows, columns], matte[rows, columns], 1))
    assert jumps.size > 1000
    np.testing.assert_allclose(jumps, 0, atol=1e-6)


def test_edges_of_the_matte_and_other_pictures_have_no_say() -> None:
    light, matte = scene()
    changed = light.copy()
    changed[20:22, 50:110] *= 8
    assert not jumps_between(Glimpse(light, matte, 1), Glimpse(changed, matte, 1)).any()
    other, other_matte = scene(7)
    assert jumps_between(Glimpse(light, matte, 1), Glimpse(1 - np.minimum(other, 1), other_matte, 1)).size == 0
    assert jumps_between(Glimpse(light, matte, 1), Glimpse(light[:40], matte[:40], 1)).size == 0
    assert (Flicker().rms, Flicker().high) == (None, None)


@pytest.mark.parametrize(("width", "height"), [(100, 60), (EDGE + 1, 200), (300, 3 * EDGE)])
def test_a_glimpse_is_every_nth_pixel_however_bands_fall(width: int, height: int) -> None:
    rng = np.random.default_rng(0)
    light, matte = rng.random((2, height, width, 3), np.float32)
    builder = GlimpseBuilder(width, height)
    for part in np.split(np.arange(height), [7, 8, 31]):
        builder.add(light[part], matte[part])
    glimpse = builder.finish()
    assert max(glimpse.light.shape) <= EDGE
    np.testing.assert_array_equal(glimpse.light, light[:: glimpse.step, :: glimpse.step].mean(2))
    np.testing.assert_array_equal(glimpse.matte, matte[:: glimpse.step, :: glimpse.step].min(2))


def test_a_glimpse_survives_its_file(tmp_path):
    before = Glimpse(*scene(), 3)
    before.save(tmp_path / "a.npz")
    after = Glimpse.load(tmp_path / "a.npz")
    assert after.step == 3
    np.testing.assert_array_equal(after.light, before.light)
    np.testing.assert_array_equal(after.matte, before.matte)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
    for text in (b"", b"no zip", (tmp_path / "a.npz").read_bytes()[:200]):
        (tmp_path / "b.npz").write_bytes(text)
        with pytest.raises(InputError, match=r"b\.npz"):
            Glimpse.load(tmp_path / "b.npz")


def test_light_below_black_does_not_hide_the_camera():
    """Light of other primaries may be negative; frames are laid on each other all the same."""
    rng = np.random.default_rng(3)
    picture = np.kron(rng.uniform(0.05, 0.9, (12, 20)), np.ones((10, 10))).astype(np.float32)
    matte = (np.hypot(*(np.mgrid[:120, :200] - np.array([60, 100])[:, None, None])) < 25).astype(np.float32)
    picture = np.where(matte > 0, picture * 4 + 2, picture)
    before = Glimpse(light=picture, matte=matte, step=1)
    after = Glimpse(light=np.roll(picture, 6, 1), matte=np.roll(matte, 6, 1), step=1)
    clean = jumps_between(before, after)
    spoiled = picture.copy()
    spoiled[3, 3] = -0.03
    found = jumps_between(replace(before, light=spoiled), after)
    assert len(clean) > 500
    assert np.abs(clean).max() < 1e-3
    np.testing.assert_array_equal(found, clean)
