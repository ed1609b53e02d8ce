"""Shots: what belongs together, what is smoothed and how, and their files."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import scenery
from steadied import identity, steady_cut

from expandnet_ofx import Analysis
from expandnet_ofx.analysis import MAPS
from expandnet_ofx.errors import InputError, OutputError, UsageError
from expandnet_ofx.lamps import BroadAreas
from expandnet_ofx.looks import LIKELY_CUT, SURE_CUT, Look, distance, find_cuts, look_at
from expandnet_ofx.maps import as_half
from expandnet_ofx.recovered import RecoveredLight
from expandnet_ofx.rise import Rise
from expandnet_ofx.shots import Shot, ShotWriter, merge_shots, runs
from expandnet_ofx.smoothing import smooth_numbers, window_weights
from expandnet_ofx.steady import Steadying, find_shots, keep_numbers, make_steady, steady, take_up
from expandnet_ofx.surround import SurroundColor
from expandnet_ofx.swing import MeasuredLight

# Looks and cuts


def seen(seed: int, shift: int = 0, gain: float = 1.0, noise: float = 0.0) -> Look:
    picture = scenery(seed)[:, shift : shift + 256] * np.float32(gain)
    return look_at(picture + noise * np.random.default_rng(shift).standard_normal(picture.shape).astype(np.float32))


def test_a_frame_is_near_itself_its_neighbors_and_its_exposures_and_far_from_others() -> None:
    own = seen(0)
    assert distance(own, own) == 0
    assert distance(own, seen(0, noise=0.01)) < 0.01
    assert distance(own, seen(0, shift=2)) < 0.05
    assert distance(own, seen(0, gain=0.9)) < 0.1
    for other in range(1, 6):
        assert distance(own, seen(other)) == distance(seen(other), own) > 0.5
    dark, bright = (look_at(np.full((256, 256, 3), value, np.float32)) for value in (0.1, 0.9))
    assert distance(dark, bright) > 0.5, "by their tones"
    flat = look_at(np.full((256, 256, 3), 0.4, np.float32))
    assert distance(flat, look_at(np.full((256, 256, 3), 0.41, np.float32))) < 0.05


def test_cuts_are_found_and_pans_flashes_and_fades_are_none() -> None:
    pan = [seen(0, shift=2 * k, noise=0.01) for k in range(12)]
    fade = [seen(1, gain=1 - k / 30) for k in range(10)]
    whip = [seen(2, shift=14 * k) for k in range(8)]
    assert find_cuts(pan) == find_cuts(fade) == find_cuts(whip) == []
    fast = [seen(2, shift=26 * k) for k in range(8)]
    assert min(distance(*pair) for pair in pairwise(fast)) > LIKELY_CUT
    assert find_cuts(fast) == [], "each step is as far as the others"
    mixed = look_at((0.4 * scenery(0) + 0.6 * scenery(1))[:, :256].astype(np.float32))
    assert LIKELY_CUT < distance(seen(0), mixed) < SURE_CUT
    assert find_cuts([seen(0)] * 5 + [mixed] * 5) == [5], "it stands out"
    flash = [seen(3, gain=1.2 if k == 4 else 0.8) for k in range(9)]
    assert find_cuts(flash) == []
    assert find_cuts(pan + fade + whip) == [12, 22]
    assert find_cuts([seen(k) for k in range(6)]) == [1, 2, 3, 4, 5], "photographs are no shot"
    assert find_cuts(pan[:1]) == find_cuts([]) == []


def test_a_look_survives_its_file() -> None:
    look = seen(4)
    assert Look.from_dict(json.loads(json.dumps(look.to_dict()))) == look
    with pytest.raises(ValueError, match="another size"):
        Look.from_dict({"thumbnail": "00", "histogram": "00"})


# Smoothing


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


def analysis(frame: int, light: float | None, wide: float = 1.0) -> Analysis:
    map_ = None
    if light is not None:
        map_ = RecoveredLight(as_half(np.full((6, 8, 4), (light, light, light, wide), np.float32)))
    return Analysis(
        width=80, height=60, window=(0, 0, 80, 60), latlong=False,
        features=(float(frame),) * 64, boldness=None, low=(0.0,) * 3, high=(1.0,) * 3,
        clip_levels=(0.9 + frame / 1000,) * 3, anchor=frame / 100, anchor_samples=5, scene=1.0, output_range=None,
        recovered=map_, nan=0, infinite=0, negative=0, weights="w",
    )  # fmt: skip


def smoothed(frames: list[Analysis], window: int = 5) -> list[Analysis]:
    return steady_cut(frames, window)


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


def test_frames_of_other_data_windows_are_not_one_shot(tmp_path: Path) -> None:
    writer = ShotWriter(tmp_path / "s.json", {})
    for k in range(6):
        own = replace(analysis(k, 2.0), window=(max(0, k - 2), 0, 80, 60))
        writer.add(k, identity(k), seen(0), own)
    frames = writer.commit().frames
    assert find_shots(frames, Steadying()) == [[0, 1, 2], [3], [4], [5]]


def test_a_locked_frame_keeps_what_was_counted_in_it(tmp_path: Path) -> None:
    writer = ShotWriter(tmp_path / "s.json", {})
    for k in range(2):
        writer.add(k, identity(k), seen(0), replace(analysis(k, 2.0), nan=k))
    made = make_steady(writer.commit().frames, Steadying(lock_frame=0))
    assert [made.load(k).nan for k in range(2)] == [0, 1]


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


# Files


def shot_file(
    path: Path, numbers: list[int], *, light: float = 2.0, seed: int = 0, settings_: dict | None = None
) -> Shot:
    writer = ShotWriter(path, settings_ or {"threshold": 0.94})
    for number in numbers:
        writer.add(number, identity(number), seen(seed, shift=number % 50), analysis(number, light + number / 1000))
    return writer.commit()


def test_a_shot_survives_its_file(tmp_path: Path) -> None:
    shot = shot_file(tmp_path / "a.json", [1003, 1001, 1002])
    assert list(shot.frames) == [1001, 1002, 1003]
    again = Shot.load(tmp_path / "a.json")
    for number in shot.frames:
        assert again.frames[number].load() == analysis(number, 2 + number / 1000)
        assert again.frames[number].key == shot.frames[number].key
    assert len({frame.key for frame in shot.frames.values()}) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *sorted(str(frame.map_file) for frame in shot.frames.values()),
        "a.json",
    ]


def test_an_earlier_shot_can_be_read_until_the_next_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    before = shot_file(path, [1, 2, 3])
    writer = ShotWriter(path, {"threshold": 0.94})
    for number in (2, 3):
        writer.add(number, identity(number), seen(0), analysis(number, 5.0))
    assert Shot.load(path).frames.keys() == before.frames.keys()
    assert all(frame.load() == analysis(n, 2 + n / 1000) for n, frame in Shot.load(path).frames.items())
    after = writer.commit()
    assert [frame.load() for frame in after.frames.values()] == [analysis(number, 5.0) for number in (2, 3)]
    assert {p.name for p in tmp_path.iterdir()} == {"a.json", *(str(f.map_file) for f in after.frames.values())}


def test_what_ends_early_takes_nothing_from_a_copy_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with ShotWriter(path, {}) as lost, ShotWriter(path, {}) as copy:
        for number in (1, 2, 3):
            copy.add(number, identity(number), seen(0), analysis(number, 2.0))
            lost.add(number, identity(number), seen(0), analysis(number, 2.0))
        shot = copy.commit()
    assert all(frame.load() == analysis(number, 2.0) for number, frame in shot.frames.items())
    assert {p.name for p in tmp_path.iterdir()} == {"a.json", *(str(f.map_file) for f in shot.frames.values())}


def test_chunks_may_overlap_where_they_say_the_same(tmp_path: Path) -> None:
    parts = [shot_file(tmp_path / f"{name}.json", numbers) for name, numbers in (("a", [1, 2, 3]), ("b", [3, 4]))]
    assert list(merge_shots(parts)) == [1, 2, 3, 4]
    other = shot_file(tmp_path / "c.json", [3], light=4.0)
    with pytest.raises(UsageError, match="frame 3 differs"):
        merge_shots([*parts, other])


def test_a_locked_frame_holds_its_own_cut_alone(tmp_path: Path) -> None:
    writer = ShotWriter(tmp_path / "a.json", {})
    for number in range(6):
        writer.add(number, identity(number), seen(number // 3), analysis(number, 2.0 + number))
    frames = writer.commit().frames
    plain, locked = (make_steady(frames, Steadying(lock_frame=lock)) for lock in (None, 1))
    assert locked.smoothing["shots"] == [[0, 2], [3, 5]]
    assert {locked.load(number).features for number in range(3)} == {frames[1].load().features}
    assert all(locked.load(number).recovered == frames[1].load().recovered for number in range(3))
    assert all(locked.load(number) == plain.load(number) for number in range(3, 6))


def test_files_that_are_no_shots_are_named(tmp_path: Path) -> None:
    shot_file(tmp_path / "good.json", [1])
    good = json.loads((tmp_path / "good.json").read_text())
    path = tmp_path / "a.json"
    for content in ("", "[]", "3", "{}", json.dumps(good | {"schema": 9}), json.dumps(good | {"frames": {"x": {}}}),
                    json.dumps(good | {"frames": {"1": {}}}),
                    json.dumps({k: v for k, v in good.items() if k != "settings"})):  # fmt: skip
        path.write_text(content)
        with pytest.raises(InputError, match=r"a\.json"):
            Shot.load(path)
    next(tmp_path.glob("good.0001.*.maps.exr")).unlink()
    with pytest.raises(InputError, match="maps"):
        Shot.load(tmp_path / "good.json").frames[1].load()


def test_chunks_are_a_shot_and_what_does_not_belong_is_refused(tmp_path: Path) -> None:
    whole = shot_file(tmp_path / "all.json", [1, 2, 3, 4])
    parts = [shot_file(tmp_path / "a.json", [3, 4]), shot_file(tmp_path / "b.json", [1, 2])]
    assert {n: f.load() for n, f in merge_shots(parts).items()} == {n: f.load() for n, f in whole.frames.items()}
    merge_shots([whole, whole])
    with pytest.raises(UsageError, match="another threshold"):
        merge_shots([whole, shot_file(tmp_path / "c.json", [5], settings_={"threshold": 0.9})])
    with pytest.raises(UsageError, match="frame 2 differs"):
        merge_shots([whole, shot_file(tmp_path / "d.json", [2], light=3.0)])
    made = steady(whole.frames, whole.settings, tmp_path / "s.json", Steadying())
    with pytest.raises(UsageError, match="steady already"):
        merge_shots([made])
    with pytest.raises(UsageError, match="twice"):
        shot_file(tmp_path / "e.json", [1, 1])


@pytest.mark.parametrize("how", [Steadying(window=3), Steadying(window=1), Steadying(tiles=True)])
def test_numbers_that_were_kept_are_taken_up_with_maps_of_few_frames(tmp_path: Path, how: Steadying) -> None:
    shot = shot_file(tmp_path / "a.json", list(range(1, 8)))
    whole = steady(shot.frames, shot.settings, tmp_path / "whole.json", how)
    numbers = keep_numbers(make_steady(shot.frames, how), shot.frames, shot.settings, tmp_path / "numbers.json")
    assert numbers.smoothing == whole.smoothing
    for number, frame in numbers.frames.items():
        asked: set[int] = set()

        def load(n: int, asked: set[int] = asked) -> Analysis:
            asked.add(n)
            return shot.frames[n].load()

        assert take_up(numbers, load).load(number) == whole.frames[number].load()
        reach = 0 if how.tiles else how.window // 2
        assert asked == {n for n in shot.frames if abs(n - number) <= reach}
        with pytest.raises(InputError, match="numbers alone"):
            frame.load()


def test_shots_end_at_gaps_cuts_and_other_sizes(tmp_path: Path) -> None:
    writer = ShotWriter(tmp_path / "a.json", {})
    for number in (1, 2, 3, 7, 8, 9, 10):
        own = analysis(number, None)
        own = replace(own, width=40) if number >= 9 else own
        writer.add(number, identity(number), seen(1 if number >= 3 else 0), own)
    frames = writer.commit().frames
    assert runs(frames) == [[1, 2, 3], [7, 8, 9, 10]]
    assert find_shots(frames, Steadying()) == [[1, 2], [3], [7, 8], [9, 10]]
    assert find_shots(frames, Steadying(cuts=(2, 8))) == [[1], [2, 3], [7], [8], [9, 10]]
    assert find_shots(frames, Steadying(tiles=True)) == [[1, 2, 3, 7, 8, 9, 10]]
    with pytest.raises(UsageError, match="6 is not a frame"):
        find_shots(frames, Steadying(cuts=(6,)))


def test_a_lock_frame_gives_all_and_tiles_share_what_is_global(tmp_path: Path) -> None:
    shot = shot_file(tmp_path / "a.json", [1, 2, 3])
    locked = steady(shot.frames, {}, tmp_path / "l.json", Steadying(lock_frame=2))
    assert [frame.load() for frame in locked.frames.values()] == [shot.frames[2].load()] * 3
    tiles = steady(shot.frames, {}, tmp_path / "t.json", Steadying(tiles=True))
    for number, frame in tiles.frames.items():
        loaded = frame.load()
        assert loaded.recovered == shot.frames[number].load().recovered
        assert loaded.features == pytest.approx((2.0,) * 64)
        assert loaded.anchor == pytest.approx(0.02)
    with pytest.raises(UsageError, match="lock-frame 9"):
        steady(shot.frames, {}, tmp_path / "x.json", Steadying(lock_frame=9))
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize("wrong", [{"window": 0}, {"window": 4}, {"tiles": True, "lock_frame": 3}])
def test_steadying_out_of_range_is_a_usage_error(wrong: dict) -> None:
    with pytest.raises(UsageError):
        Steadying(**wrong)


def test_maps_without_their_shot_are_not_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"

    def written(light: float) -> ShotWriter:
        with ShotWriter(path, {}) as writer:
            writer.add(1, identity(1), seen(1), analysis(1, light))
            writer.commit()
        return writer

    def full(*_: object) -> None:
        raise OutputError("no space")

    with monkeypatch.context() as patch:
        patch.setattr("expandnet_ofx.shots.write_text", full)
        with pytest.raises(OutputError):
            written(1.0)
    assert list(tmp_path.iterdir()) == []
    # What an earlier one holds stays.
    written(1.0)
    before = sorted(tmp_path.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr("expandnet_ofx.shots.write_text", full)
        for light in (1.0, 2.0):
            with pytest.raises(OutputError):
                written(light)
    assert sorted(tmp_path.iterdir()) == before
    assert Shot.load(path).frames[1].load() == replace(analysis(1, 1.0))
