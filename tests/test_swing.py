"""Light of clipped areas over time: what the light around them tells, and how frames are laid on each other."""

from __future__ import annotations

import numpy as np
import pytest
from commands import needs_torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from steadied import steady_cut

from expandnet_ofx import Expander
from expandnet_ofx.swing import MeasuredLight, alignment, brightening, measured_light, moved, put_back
from expandnet_ofx.transfer import srgb_decode, srgb_encode

ROWS, COLUMNS = np.mgrid[:108, :192].astype(np.float64)


def ground(seed: int, level: float = 0.3) -> np.ndarray:
    """Flat patches with edges, like a room: (108, 192)."""
    rng = np.random.default_rng(seed)
    picture = np.full(ROWS.shape, level)
    for _ in range(12):
        top, left = rng.integers(0, 100), rng.integers(0, 180)
        picture[top : top + rng.integers(10, 60), left : left + rng.integers(10, 60)] = rng.uniform(0.5, 1.5) * level
    return picture


def glow(gain: float = 1.0) -> np.ndarray:
    """A lamp of 8 times white with a glow that falls off: (108, 192)."""
    r = np.hypot(ROWS - 54, COLUMNS - 96) / 10
    return gain * (8 / (1 + r**4) + 0.3 / (1 + r**2))


def measured(light: np.ndarray, seed: int = 0, noise: float = 0.0, *, wrap: bool = False) -> np.ndarray:
    """What a plate of this light measures, as gray RGB, 8-bit noise in codes."""
    rng = np.random.default_rng(seed)
    codes = np.clip(srgb_encode(np.clip(light, 0, 1)) + noise / 255 * rng.standard_normal(light.shape), 0, 1)
    linear = np.repeat(srgb_decode(codes.astype(np.float32))[:, :, None], 3, 2)
    return measured_light(linear.astype(np.float32), np.full(3, 0.9, np.float32), wrap=wrap).values


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), stops=st.floats(-0.7, 0.7), level=st.floats(0.1, 0.45))
def test_a_glow_tells_how_a_lamp_changes_whatever_it_lights(seed: int, stops: float, level: float) -> None:
    room = ground(seed, level)
    found = brightening(measured(room + glow()), measured(room + glow(2**stops)))
    assert found[54, 96, 0] == pytest.approx(stops, abs=0.05 + 0.2 * abs(stops))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), stops=st.floats(-0.4, 0.4))
def test_an_exposure_changes_all_alike(seed: int, stops: float) -> None:
    scene = ground(seed, 0.25) + glow()
    found = brightening(measured(scene), measured(scene * 2**stops))
    assert found[54, 96, 0] == pytest.approx(stops, abs=0.02 + 0.1 * abs(stops))


def test_noise_and_still_light_tell_nothing() -> None:
    scene = ground(3) + glow()
    assert not brightening(measured(scene), measured(scene)).any()
    found = brightening(measured(scene, 1, noise=1.0), measured(scene, 2, noise=1.0))
    assert np.abs(found[40:68, 80:112]).max() < 0.05
    assert np.abs(found).mean() < 0.01
    dark = np.full((40, 60, 2), (0.2, 0.0), np.float32)
    assert not brightening(dark, dark).any()


@settings(max_examples=25, deadline=None)
@given(down=st.floats(-5, 5), right=st.floats(-8, 8), seed=st.integers(0, 10**6))
def test_a_camera_that_moved_is_found_between_pixels(down: float, right: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    spots = rng.uniform(0, 1, (90, 3)) * (108, 192, 1)

    def view(y: float, x: float) -> np.ndarray:
        light = np.full(ROWS.shape, 0.05)
        for row, column, level in spots:
            light += level * np.exp(-((ROWS - row - y) ** 2 + (COLUMNS - column - x) ** 2) / 6)
        return np.minimum(light, 1).astype(np.float32)

    assume(abs(down) + abs(right) > 0.3)
    shift, agreement = alignment(view(down, right), view(0, 0))
    np.testing.assert_allclose(shift, (down, right), atol=0.4)
    assert agreement > 0.9


def test_other_pictures_do_not_agree_and_flat_ones_do() -> None:
    rng = np.random.default_rng(0)
    a, b = (np.kron(rng.uniform(0.02, 1, (9, 12)), np.ones((12, 16))).astype(np.float32) for _ in range(2))
    assert alignment(a, b)[1] < 0.2
    assert alignment(a, a) == ((0.0, 0.0), 1.0)
    flat = np.full((108, 192), 0.5, np.float32)
    assert alignment(flat, flat)[1] == 1.0


@settings(max_examples=50, deadline=None)
@given(shift=st.tuples(st.floats(-6, 6), st.floats(-6, 6)))
def test_moving_a_parabola_is_exact(shift: tuple[float, float]) -> None:
    def field(y: np.ndarray, x: np.ndarray) -> np.ndarray:
        return (0.01 * y**2 - 0.3 * y + 0.02 * x * y + 0.005 * x**2)[:, :, None]

    rows, columns = np.mgrid[:30, :40].astype(np.float64)
    found = moved(field(rows, columns).astype(np.float32), shift)
    inner = np.s_[8:-8, 8:-8]
    np.testing.assert_allclose(found[inner], field(rows - shift[0], columns - shift[1])[inner], atol=1e-3)


def test_whole_moves_shift_and_replicate() -> None:
    values = np.random.default_rng(0).random((6, 7, 2), np.float32)
    found = moved(values, (1.0, -2.0))
    np.testing.assert_array_equal(found[1:, :-2], values[:-1, 2:])
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(moved(values, (0.0, 0.0)), values)


@settings(max_examples=30, deadline=None)
@given(right=st.floats(-6, 6), turn=st.integers(0, 63), seed=st.integers(0, 10**6))
def test_a_panorama_is_compared_and_moved_alike_wherever_its_seam_lies(right: float, turn: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    coarse = np.tile(rng.uniform(0, 1, (5, 8)), (1, 3))
    picture = np.kron(coarse, np.ones((8, 8)))[:, 64:128]
    light = np.stack((picture, rng.uniform(0.5, 1, picture.shape)), 2).astype(np.float32)
    # Between pixels it overshoots, which light does not.
    other = np.maximum(moved(light, (0.0, right), wrap=True), 0)

    def turned(values: np.ndarray) -> np.ndarray:
        return np.roll(values, turn, 1)

    again = np.maximum(moved(turned(light), (0.0, right), wrap=True), 0)
    np.testing.assert_allclose(again, turned(other), atol=1e-6)
    shift, agreement = alignment(light[:, :, 0], other[:, :, 0], wrap=True)
    shifted, as_much = alignment(turned(light)[:, :, 0], turned(other)[:, :, 0], wrap=True)
    np.testing.assert_allclose((*shifted, as_much), (*shift, agreement), atol=1e-3)
    assert moved(light, (0.0, 64.0), wrap=True) == pytest.approx(light)


def test_a_gain_in_a_panorama_is_told_across_its_seam() -> None:
    scene = ground(3) + glow()

    def found(turn: int) -> np.ndarray:
        before, after = (measured(np.roll(gain * scene, turn, 1), wrap=True) for gain in (1.0, 1.2))
        return np.roll(brightening(before, after, wrap=True), -turn, 1)

    for turn in (-64, 96):
        # The lamp beside the seam, and on it; not in the middle.
        seen = measured(np.roll(scene, turn, 1), wrap=True)
        np.testing.assert_allclose(np.roll(seen, -turn, 1), measured(scene, wrap=True), atol=1e-3)
        np.testing.assert_allclose(found(turn), found(0), atol=1e-4)


def test_only_light_that_rises_above_the_plate_changes() -> None:
    plate, swing, wide = np.zeros((3, 3), np.float32), np.full((3, 1), 0.4, np.float32), np.array([[1], [1], [0]])
    light = np.array([[2.0] * 3, [0.0] * 3, [2.0] * 3], np.float32)
    np.testing.assert_allclose(put_back(light, plate, swing, wide.astype(np.float32)), [[2.4] * 3, [0] * 3, [2] * 3])


@needs_torch
def test_a_lamp_that_flickers_keeps_flickering_in_a_steady_shot() -> None:
    room = ground(5, 0.2)[:, :, None] * np.array([1, 0.9, 0.7])
    rng = np.random.default_rng(0)
    levels = 0.5 * np.sin(2 * np.pi * np.arange(10) / 5)
    lights = [room + glow(2**level)[:, :, None] * np.array([1, 0.85, 0.6]) for level in levels]
    codes = [255 * srgb_encode(np.clip(light, 0, 1)) + rng.standard_normal(light.shape) for light in lights]
    plates = [np.clip(np.rint(c), 0, 255).astype(np.uint8) for c in codes]
    expander = Expander()
    analyses = [expander.analyze(plate) for plate in plates]
    made = steady_cut(analyses, 9)
    inside = np.hypot(ROWS - 54, COLUMNS - 96) < 8

    def amplitude(pictures: list[np.ndarray]) -> float:
        return float(np.std([np.log2(p[inside]).mean() for p in pictures]))

    kept = amplitude([expander.render(p, a) for p, a in zip(plates, made, strict=True)]) / amplitude(lights)
    assert 0.9 < kept < 1.3
    assert all(a.measured is None and a.swing is not None for a in made)
    assert isinstance(analyses[0].measured, MeasuredLight)


@needs_torch
def test_bits_do_not_depend_on_the_number_of_threads() -> None:
    import torch

    plate = np.clip(np.rint(255 * srgb_encode(np.clip(ground(2) + glow(), 0, 1))), 0, 255).astype(np.uint8)
    plate = np.repeat(plate[:, :, None], 3, 2)
    before = torch.get_num_threads()
    results = []
    try:
        for own, threads in ((1, 1), (2, 1), (2, 2), (1, 3)):
            torch.set_num_threads(own)
            expander = Expander(threads=threads)
            analysis = expander.analyze(plate)
            results.append((analysis, expander.render(plate, analysis)))
    finally:
        torch.set_num_threads(before)
    for analysis, light in results[1:]:
        assert analysis == results[0][0]
        np.testing.assert_array_equal(light, results[0][1])


def test_a_camera_does_not_jump_by_a_quarter_of_the_picture() -> None:
    own = np.kron(np.random.default_rng(0).uniform(0.05, 1, (9, 16)), np.ones((12, 12))).astype(np.float32)
    assert alignment(own, np.roll(own, 48, 1), wrap=True) == ((0.0, 0.0), 0.0)
