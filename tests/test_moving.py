"""Moving shots to measure by: what they show, and what of a method's movement is counted."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from expandnet_training import moving


def moving_shots() -> list[moving.MovingShot]:
    x = np.arange(120)[None] * np.ones((60, 1))
    scene = (0.3 + 0.2 * np.sin(x / 7))[:, :, None].repeat(3, 2).astype(np.float32)
    scene[20:40, 50:90] = 4
    return [moving.pan(scene, 6, width=100), moving.exposure_drift(scene, 6), moving.flickering_lamp(scene, 10)]


@pytest.mark.parametrize("number", range(3))
def test_the_truth_of_a_shot_does_not_flicker(number: int) -> None:
    shot = moving_shots()[number]
    assert moving.flicker(shot, shot.light) == pytest.approx((0, 0), abs=1e-5)
    assert moving.flicker(shot, [3 * light for light in shot.light]) == pytest.approx((0, 0), abs=1e-5)
    trembling = [light * np.float32(2 ** (0.2 * (k % 2))) for k, light in enumerate(shot.light)]
    assert moving.flicker(shot, trembling) == pytest.approx((0.2, 0.2), abs=1e-4)


def test_a_pan_shows_the_scene_moved_and_a_lamp_keeps_what_it_keeps() -> None:
    pan, _, lamp = moving_shots()
    for before, after in itertools.pairwise(pan.light):
        np.testing.assert_array_equal(before[:, 1:], after[:, :-1])
    assert moving.amplitude_kept(lamp, lamp.light) == pytest.approx(1)
    still = [np.full_like(light, 5) for light in lamp.light]
    assert moving.amplitude_kept(lamp, still) == 0
    half = [np.sqrt(light) for light in lamp.light]
    assert moving.amplitude_kept(lamp, half) == pytest.approx(0.5, abs=1e-3)


def test_an_aperture_opens_by_so_many_stops_over_a_shot() -> None:
    shot = moving.exposure_drift(np.full((8, 8, 3), 0.1, np.float32), 5, stops=0.5)
    np.testing.assert_allclose(
        [np.log2(light.mean() / 0.1) for light in shot.light], [0, 0.125, 0.25, 0.375, 0.5], atol=1e-5
    )
    assert len(np.unique(shot.plates[0])) > 1, "each frame has noise of its own"
    assert not np.array_equal(*moving.exposure_drift(np.full((8, 8, 3), 0.1, np.float32), 2, stops=0).plates)


def test_flicker_counts_where_all_channels_clip_less_the_edge() -> None:
    """A pan over a pattern: what a method adds to the scene itself moves with it, and what it does at the edge is left out."""
    scene = np.full((20, 40, 3), 0.2, np.float32)
    scene[5:15, 8:28] = 4
    scene[5:15, 30:38, 0] = 4
    shot = moving.pan(scene, 4, width=36)
    with_scene = [light * np.exp2(np.arange(k, k + 36) / 9)[None, :, None] for k, light in enumerate(shot.light)]
    assert moving.flicker(shot, with_scene) == pytest.approx((0, 0), abs=1e-5)
    still = moving.MovingShot(name="", plates=shot.plates[:1] * 3, light=shot.light[:1] * 3, drift=0)
    inside = np.zeros((20, 36), bool)
    inside[7:13, 10:26] = True
    jumping = [
        np.where(inside[..., None], light, light * 2**k).astype(np.float32) for k, light in enumerate(still.light)
    ]
    assert moving.flicker(still, jumping) == pytest.approx((0, 0), abs=1e-6)
    falling = [light * np.float32(2.0 ** (-0.3 * k)) for k, light in enumerate(still.light)]
    assert moving.flicker(still, falling) == pytest.approx((0.3, 0.3), abs=1e-5)


def test_amplitude_is_that_of_what_clips_throughout() -> None:
    light = [np.full((12, 12, 3), 4 * 2.0 ** (k % 2), np.float32) for k in range(4)]
    plates = [np.full((12, 12, 3), 255, np.uint8) for _ in range(4)]
    for k in range(4):
        # At times these columns do not clip, and what a method makes of them is no matter.
        plates[k][:, 6:] = 255 if k % 2 else 100
    shot = moving.MovingShot(name="", plates=plates, light=light, drift=0)
    found = [x.copy() for x in light]
    for x in found:
        x[:, 6:] = 1
    assert moving.amplitude_kept(shot, found) == pytest.approx(1)
