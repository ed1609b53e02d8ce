"""Analyses of one cut made steady: numbers, maps, and what stays as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from steadied import analysis, smoothed

from expandnet_ofx import Analysis
from expandnet_ofx.analysis import MAPS
from expandnet_ofx.lamps import BroadAreas
from expandnet_ofx.maps import as_half
from expandnet_ofx.recovered import RecoveredLight
from expandnet_ofx.rise import Rise
from expandnet_ofx.smoothing import smooth_numbers, window_weights
from expandnet_ofx.surround import SurroundColor
from expandnet_ofx.swing import MeasuredLight


@settings(max_examples=50, deadline=None)
@given(
    start=st.floats(-10, 10), slope=st.floats(-1, 1), count=st.integers(1, 30),
    window=st.integers(0, 8).map(lambda k: 2 * k + 1)
)  # fmt: skip
def test_a_drift_passes_through_also_at_the_ends(start: float, slope: float, count: int, window: int) -> None:
    values = start + slope * np.arange(count)[:, None] * np.array([1.0, -2.0])
    np.testing.assert_allclose(smooth_numbers(values, window), values, atol=1e-9)


def test_noise_is_averaged_without_lag() -> None:
    impulse = np.zeros((21, 1))
    impulse[10] = 1
    answer = smooth_numbers(impulse, 9)[:, 0]
    np.testing.assert_allclose(answer, answer[::-1], atol=1e-12)
    assert answer.sum() == pytest.approx(1, abs=1e-6)
    assert answer[10] < 0.3
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(400, 1))
    assert smooth_numbers(noise, 9).std() < 0.5 * noise.std()
    np.testing.assert_array_equal(smooth_numbers(noise, 1), noise)


def test_windows_end_where_the_shot_does() -> None:
    assert window_weights(1, 0, 9)[0] == 0
    first, weights = window_weights(20, 2, 9)
    assert (first, len(weights)) == (0, 7)
    assert weights.sum() == pytest.approx(1)
    assert np.argmax(weights) == 2


def test_what_is_too_wide_for_a_lamp_is_known_in_a_steady_shot() -> None:
    broad = BroadAreas(as_half(np.ones((6, 8, 1), np.float32)))
    assert all(found.broad == broad for found in smoothed([replace(analysis(k, 2.0), broad=broad) for k in range(5)]))


def test_a_page_stays_one_in_a_cut() -> None:
    assert {found.scene for found in smoothed([replace(analysis(k, None), scene=0.0) for k in range(3)])} == {0.0}


def test_colors_that_tremble_are_averaged() -> None:
    rng = np.random.default_rng(0)
    maps = [SurroundColor(as_half(rng.normal(scale=0.03, size=(6, 8, 4)).astype(np.float32))) for _ in range(20)]
    found = [a.surround for a in smoothed([replace(analysis(k, 2.0), surround=m) for k, m in enumerate(maps)], 9)]
    before, after = (np.std(np.diff([m.values[..., :2] for m in some], axis=0)) for some in (maps, found))
    assert after < 0.5 * before


def test_a_cut_has_one_clip_level_and_one_anchor() -> None:
    frames = [analysis(k, None) for k in range(7)]
    found = smoothed(frames)
    assert len({(a.clip_levels, a.anchor) for a in found}) == 1
    assert found[0].clip_levels == pytest.approx((0.903,) * 3)
    assert found[0].anchor == pytest.approx(0.03)
    for before, after in zip(frames, found, strict=True):
        np.testing.assert_allclose(after.features, before.features, atol=1e-6)


def test_maps_that_tremble_are_averaged() -> None:
    rng = np.random.default_rng(0)
    tremble = [analysis(k, 2 + 0.1 * float(rng.normal())) for k in range(40)]
    values = [[a.recovered.values[2, 2, 0] for a in frames] for frames in (tremble, smoothed(tremble, 9))]
    assert np.std(np.diff(values[1])) < 0.45 * np.std(np.diff(values[0]))


def test_a_steady_map_is_heard_of_where_one_of_its_frames_is() -> None:
    silent = [analysis(k, 3.0, wide=0.0) for k in range(5)]
    assert not any(a.recovered.values[:, :, 3].any() for a in smoothed(silent))
    loud = [*silent[:2], analysis(2, 3.0, wide=1.0), *silent[3:]]
    assert all((a.recovered.values[:, :, 3] > 0).all() for a in smoothed(loud))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), wide=st.lists(st.booleans(), min_size=2, max_size=7), latlong=st.booleans())
def test_steady_maps_are_numbers_whatever_the_frames_have_in_common(seed: int, wide: list[bool], latlong: bool) -> None:
    """Also where frames show other things, so that no neighbor has a say."""
    rng = np.random.default_rng(seed)
    frames = []
    for number, has in enumerate(wide):
        light = rng.random((12, 16, 1)).astype(np.float32)
        own = replace(
            analysis(number, None),
            latlong=latlong,
            measured=MeasuredLight(as_half(np.concatenate((light, np.ones_like(light)), 2))),
            rise=Rise(as_half(rng.uniform(0, 20, (12, 16, 3)).astype(np.float32))),
        )
        recovered = RecoveredLight(as_half(rng.uniform(0, 1, (12, 16, 4)).astype(np.float32)))
        frames.append(replace(own, recovered=recovered) if has else own)
    for made in smoothed(frames):
        for name in MAPS:
            found = getattr(made, name)
            assert found is None or np.isfinite(found.values).all(), name


@pytest.mark.parametrize("turn", [5, 30, 59])
def test_steady_maps_of_a_panorama_turn_with_it(turn: int) -> None:
    """A camera that turns, wherever the seam lies."""
    rng = np.random.default_rng(turn)
    picture = np.kron(rng.uniform(0.05, 1, (6, 10, 1)), np.ones((6, 6, 1))).astype(np.float32)
    limits = np.kron(rng.uniform(1, 4, (6, 10, 3)), np.ones((6, 6, 1))).astype(np.float32)

    def frames(start: int) -> list[Analysis]:
        return [
            replace(
                analysis(k, None),
                latlong=True,
                measured=MeasuredLight(as_half(np.roll(np.repeat(picture, 2, 2), start + 4 * k, 1))),
                rise=Rise(as_half(np.roll(limits, start + 4 * k, 1))),
            )
            for k in range(3)
        ]

    for plain, turned in zip(smoothed(frames(0)), smoothed(frames(turn)), strict=True):
        np.testing.assert_allclose(np.roll(turned.rise.values, -turn, 1), plain.rise.values, atol=5e-3)
    # The camera's motion is found, so nothing is blurred.
    for own, found in zip(frames(0), smoothed(frames(0)), strict=True):
        np.testing.assert_allclose(found.rise.values, own.rise.values, atol=0.05)


def test_levels_of_a_cut_are_levels_that_a_frame_has() -> None:
    for count in (2, 3, 4, 5):
        frames = [analysis(k, None) for k in range(count)]
        assert smoothed(frames)[0].clip_levels in {frame.clip_levels for frame in frames}


def test_an_area_that_is_wide_now_and_then_fades() -> None:
    frames = [analysis(k, 2.0 if k % 2 else None) for k in range(12)]
    covers = np.array([a.recovered.values[2, 2, 3] for a in smoothed(frames, 9)])
    assert 0.3 < covers.min() <= covers.max() < 0.7
    np.testing.assert_allclose([a.recovered.values[2, 2, 0] for a in smoothed(frames, 9)], 2, atol=0.01)
    assert all(a.recovered is None for a in smoothed([analysis(k, None) for k in range(4)]))


def test_a_window_of_one_keeps_maps() -> None:
    frames = [analysis(k, float(k)) for k in range(4)]
    for before, after in zip(frames, smoothed(frames, 1), strict=True):
        assert after.recovered == before.recovered
        assert after.features == before.features
