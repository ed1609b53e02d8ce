"""Shots: what belongs together, what is smoothed and how, and that chunks make no difference."""

from __future__ import annotations

import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path

import fakes
import numpy as np
import OpenImageIO as oiio
import pytest
from commands import batch, invoke, pixels_of, replace_network, save
from expandnet_batch.tools import command as tools
from fakes import decode_srgb
from hypothesis import given, settings
from hypothesis import strategies as st
from steadied import steady_cut

from expandnet_ofx import Analysis, Expander
from expandnet_ofx.analysis import MAPS
from expandnet_ofx.convert import Converter
from expandnet_ofx.errors import InputError, UsageError
from expandnet_ofx.looks import Look, distance, find_cuts, look_at
from expandnet_ofx.maps import as_half
from expandnet_ofx.recovered import RecoveredLight
from expandnet_ofx.rise import Rise
from expandnet_ofx.shots import Shot, ShotWriter, merge_shots, runs
from expandnet_ofx.smoothing import smooth_numbers, window_weights
from expandnet_ofx.sources import Identity
from expandnet_ofx.steady import Steadying, find_shots, keep_numbers, make_steady, steady, take_up
from expandnet_ofx.swing import MeasuredLight

# Looks and cuts


def scenery(seed: int, width: int = 600) -> np.ndarray:
    """A wide picture with structure at the scale of objects: (256, width, 3) codes in [0, 1]."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((9, width // 30 + 2))
    rows, columns = np.linspace(0, 8, 256), np.linspace(0, coarse.shape[1] - 1, width)
    across = np.stack([np.interp(columns, np.arange(coarse.shape[1]), row) for row in coarse])
    picture = np.stack([np.interp(rows, np.arange(9), column) for column in across.T], 1)
    return np.clip(picture, 0, 1)[:, :, None].repeat(3, 2).astype(np.float32)


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
    flat = look_at(np.full((256, 256, 3), 0.4, np.float32))
    assert distance(flat, look_at(np.full((256, 256, 3), 0.41, np.float32))) < 0.05


def test_cuts_are_found_and_pans_flashes_and_fades_are_none() -> None:
    pan = [seen(0, shift=2 * k, noise=0.01) for k in range(12)]
    fade = [seen(1, gain=1 - k / 30) for k in range(10)]
    whip = [seen(2, shift=14 * k) for k in range(8)]
    assert find_cuts(pan) == find_cuts(fade) == find_cuts(whip) == []
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


def identity(number: int) -> Identity:
    return Identity(source=f"shot.{number}.png", source_bytes=3, source_sha256=f"{number:064}")


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


# The commands


@pytest.fixture
def footage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six frames of a pan over scenery with a clipped window, then three of another place."""
    replace_network(monkeypatch)
    monkeypatch.chdir(tmp_path)
    for k in range(9):
        picture = scenery(0 if k < 6 else 7)[::2, 4 * k : 4 * k + 200].copy()
        picture[30:60, 80 - 4 * k : 120 - 4 * k] = 1
        noise = np.random.default_rng(k).normal(size=picture.shape)
        save(tmp_path / "in" / f"shot.{1001 + k}.png", np.clip(np.rint(255 * picture + noise), 0, 255).astype(np.uint8))
    return tmp_path


def run(*words: object) -> str:
    ran = invoke(tools, *words)
    assert ran.code == 0, ran.err
    return ran.out


def clip_levels_of(path: Path) -> str:
    source = oiio.ImageInput.open(str(path))
    found = source.spec().getattribute("expandnet/clipLevels")
    source.close()
    return str(found)


def test_any_chunks_give_the_same_pixels(footage: Path) -> None:
    assert batch("in/shot.####.png", "-o", "whole", "--steady", "5").code == 0
    run("analyze", "in/shot.####.png", "--frames", "1006-1009", "-o", "late.json")
    run("analyze", "in/shot.####.png", "--frames", "1001-1005", "-o", "early.json")
    said = run("smooth", "late.json", "early.json", "-o", "steady.json", "--window", "5")
    assert "frames 1001 to 1006" in said
    assert "frames 1007 to 1009" in said
    for chunk in ("1004-1009", "1001,1003", "1002"):
        ran = batch("in/shot.####.png", "--frames", chunk, "-o", "parts", "--analysis", "steady.json")
        assert ran.code == 0, ran.err
    alone = batch("in/shot.####.png", "-o", "alone")
    assert alone.code == 0
    differ = 0
    for number in range(1001, 1010):
        one, other, single = (pixels_of(Path(folder) / f"shot.{number}.exr") for folder in ("whole", "parts", "alone"))
        np.testing.assert_array_equal(one, other)
        differ += not np.array_equal(one, single)
    assert differ > 3


def test_the_report_says_what_was_a_shot(footage: Path) -> None:
    assert batch("in/shot.####.png", "-o", "out", "--steady", "auto", "--json", "report.json").code == 0
    report = json.loads(Path("report.json").read_text())
    assert [shot["frames"] for shot in report["shots"]] == [[1001, 1006], [1007, 1009]]
    assert report["shots"][0]["window"] == 9
    assert batch("in/shot.1001.png", "in/shot.1005.png", "-o", "out", "--steady", "auto").code == 0


def test_results_of_one_shot_stay_until_the_shot_changes(footage: Path) -> None:
    words = ("in/shot.####.png", "-o", "out", "--steady", "5", "--existing", "skip")
    assert "9 done" in batch(*words).out
    assert "9 up to date" in batch(*words).out
    assert "9 done" in batch(*words[:4], "3", *words[5:]).out
    assert "9 done" in batch(*words[:3], "--existing", "skip").out, "a frame by itself is another result"


def test_results_that_can_stay_are_not_analyzed_again(footage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("in/shot.####.png", "-o", "out", "--existing", "skip")
    assert batch(*words).code == 0
    analyzed = []
    original = Converter.analyze
    monkeypatch.setattr(Converter, "analyze", lambda self, p: analyzed.append(p.source.name) or original(self, p))
    assert "9 up to date" in batch(*words).out
    assert not analyzed
    # A frame more of the second shot changes that one, not the first.
    picture = np.clip(np.rint(255 * scenery(7)[::2, 36:236]), 0, 255).astype(np.uint8)
    save(Path("in/shot.1010.png"), picture)
    ran = batch(*words)
    assert "4 done, 6 up to date" in ran.out
    assert len(analyzed) > 9


def test_views_share_what_is_global_and_keep_their_maps(footage: Path) -> None:
    for k in range(4):
        picture = scenery(0)[::2, 4 * k : 4 * k + 200].copy()
        picture[30:60, 80 - 4 * k : 120 - 4 * k] = 1
        for view, level in (("left", 1.0), ("right", 0.96)):
            codes = np.clip(np.rint(255 * level * np.roll(picture, 3 * (view == "right"), 1)), 0, 255)
            save(Path("in") / f"{view}.{1001 + k}.png", codes.astype(np.uint8))
    words = ("in/%V.####.png", "--views", "left,right", "--frames", "1001-1004", "-o", "out/%V.####.exr")
    assert batch(*words, "--existing", "skip", "--json", "r.json").code == 0
    levels = {
        name: clip_levels_of(Path("out") / f"{name}.exr")
        for name in ("left.1001", "right.1001", "left.1003", "right.1004")
    }
    assert len(set(levels.values())) == 1
    report = json.loads(Path("r.json").read_text())
    assert [shot["frames"] for shot in report["shots"]] == [[1001, 1004]] * 2
    assert "8 up to date" in batch(*words, "--existing", "skip").out
    assert batch("in/left.####.png", "--frames", "1001-1004", "-o", "alone").code == 0
    assert clip_levels_of(Path("alone/left.1001.exr")) != levels["left.1001"]


def test_tiles_share_what_is_global_and_are_not_smoothed_over_their_numbers(footage: Path) -> None:
    for number, level in ((1001, 1.0), (1002, 0.97), (1011, 0.95)):
        picture = scenery(number)[::2, :200].copy()
        picture[30:60, 80:120] = 1
        save(Path("in") / f"wall.{number}.png", np.rint(255 * level * picture.clip(0, 1)).astype(np.uint8))
    assert batch("in/wall.<UDIM>.png", "-o", "out/wall.<UDIM>.exr", "--json", "r.json").code == 0
    assert sorted(p.name for p in Path("out").iterdir()) == [f"wall.{n}.exr" for n in (1001, 1002, 1011)]
    levels = {clip_levels_of(path) for path in Path("out").iterdir()}
    assert len(levels) == 1
    shots = json.loads(Path("r.json").read_text())["shots"]
    assert [(shot["frames"], shot["because"], shot["flicker_rms"]) for shot in shots] == [
        ([1001, 1011], "tiles of one picture", None)
    ]


def test_frames_that_clip_nowhere_are_a_shot_too(footage: Path) -> None:
    for number in (1, 2, 3):
        code = 255 if number == 2 else 128
        save(Path("in") / f"flat.{number:04d}.png", np.full((32, 48, 3), [code, 128, 128], np.uint8))
    for frames in ("1-1", "1-2", "1-3"):
        ran = batch("in/flat.####.png", "--frames", frames, "-o", f"{frames}/flat.####.exr")
        assert ran.code == 0, ran.err
    for number in (1, 3):
        light = pixels_of(Path("1-3") / f"flat.{number:04d}.exr")
        np.testing.assert_allclose(light, decode_srgb(np.float64(128 / 255)), rtol=1e-3)


def test_an_analysis_can_be_frozen_when_frames_are_added(footage: Path) -> None:
    run("analyze", "in/shot.####.png", "--frames", "1001-1004", "-o", "a.json")
    run("smooth", "a.json", "-o", "s.json")
    before = {number: frame.record for number, frame in Shot.load("s.json").frames.items()}
    run("analyze", "in/shot.####.png", "--frames", "1005-1006", "-o", "b.json")
    assert invoke(tools, "smooth", "a.json", "-o", "t.json", "--freeze-analysis").code == 2
    run("smooth", "a.json", "b.json", "-o", "s.json", "--freeze-analysis")
    frozen = Shot.load("s.json").frames
    assert {number: frozen[number].record for number in before} == before
    assert sorted(frozen) == list(range(1001, 1007))
    assert frozen[1006].numbers.clip_levels == frozen[1001].numbers.clip_levels
    assert frozen[1006].numbers.anchor == frozen[1001].numbers.anchor
    # What is frozen must be there, and made alike.
    ran = invoke(tools, "smooth", "b.json", "-o", "s.json", "--freeze-analysis")
    assert ran.code == 2
    assert "4 frames that are not given, from 1001 on" in ran.err
    run("analyze", "in/shot.####.png", "--frames", "1001-1006", "-o", "c.json", "--white", "0.9")
    ran = invoke(tools, "smooth", "c.json", "-o", "s.json", "--freeze-analysis")
    assert ran.code == 2
    assert "another white" in ran.err
    assert {n: frame.record for n, frame in Shot.load("s.json").frames.items()} == {
        n: frame.record for n, frame in frozen.items()
    }
    ran = invoke(tools, "smooth", "a.json", "-o", "s.json")
    assert ran.code == 0
    assert "2 frames that are not given, from 1005 on" in ran.err
    ran = invoke(tools, "smooth", "a.json", "b.json", "-o", "s.json")
    assert ran.code == 0
    assert "2 frames are new, from 1005 on" in ran.err
    assert Shot.load("s.json").frames[1004].record != before[1004]


def test_flicker_is_printed_and_reported(footage: Path) -> None:
    figures = {}
    for steady_ in ("off", "auto"):
        ran = batch("in/shot.####.png", "-o", steady_, "--steady", steady_, "--json", "r.json")
        assert "stops rms from frame to frame" in ran.out
        shots = json.loads(Path("r.json").read_text())["shots"]
        figures[steady_] = shots[0]["flicker_rms"]
        assert shots[0]["frames"][0] == 1001
    assert 0 <= figures["auto"] <= figures["off"] + 0.01


def test_two_files_of_one_number_are_stills(footage: Path) -> None:
    save(Path("in/shot.01001.png"), np.full((40, 40, 3), 9, np.uint8))
    ran = batch("in", "-o", "out", "--json", "r.json")
    assert ran.code == 0, ran.err
    assert json.loads(Path("r.json").read_text())["shots"] == []


def test_an_analysis_that_does_not_fit_is_named(footage: Path) -> None:
    run("analyze", "in/shot.####.png", "--frames", "1001-1004", "-o", "raw.json")
    run("smooth", "raw.json", "-o", "a.json")
    for words, what in (
        (("--analysis", "raw.json"), "expandnet smooth"),
        (("--analysis", "absent.json"), "absent.json"),
        (("--analysis", "a.json", "--steady", "off"), "drop one"),
    ):
        ran = batch("in/shot.1001.png", "-o", "out", *words)
        assert ran.code == 2
        assert what in ran.complaint
        assert "done" not in ran.out
    ran = batch("in/shot.####.png", "--frames", "1004-1005", "-o", "out", "--analysis", "a.json")
    assert ran.code == 1
    assert "frame 1005 is not in a.json" in ran.complaint
    assert batch("in/shot.1001.png", "-o", "out", "--analysis", "a.json", "--stops", "1").code == 0
    ran = batch("in/shot.1001.png", "-o", "out", "--analysis", "a.json", "--threshold", "0.9")
    assert ran.code == 2
    assert "another threshold" in ran.complaint
    save(Path("in/shot.1002.png"), np.full((40, 40, 3), 9, np.uint8))
    ran = batch("in/shot.1002.png", "-o", "out", "--analysis", "a.json")
    assert ran.code == 1
    assert "another picture" in ran.complaint


def test_a_frame_that_cannot_be_read_costs_itself(footage: Path) -> None:
    Path("in/shot.1003.png").write_bytes(b"nonsense")
    ran = batch("in/shot.####.png", "-o", "out", "--steady", "5")
    assert ran.code == 1
    assert len(list(Path("out").iterdir())) == 8
    ran = invoke(tools, "analyze", "in/shot.####.png", "-o", "a.json")
    assert ran.code == 1
    assert "shot.1003.png" in ran.complaint
    assert sorted(Shot.load("a.json").frames) == [1001, 1002, *range(1004, 1010)]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("analyze", "in/absent.png", "-o", "a.json"), "absent"),
        (("analyze", "in/shot.####.png", "--frames", "1001-1020", "-o", "a.json"), "1010"),
        (("analyze", "still.png", "-o", "a.json"), "no frame number"),
        (("smooth", "absent.json", "-o", "s.json"), "absent.json"),
        (("smooth", "in/shot.1001.png", "-o", "s.json", "--window", "4"), "window"),
        (("smooth", "in/shot.1001.png", "-o", "s.json", "--cuts", "foo"), "--cuts foo"),
    ],
)
def test_wrong_words_end_before_any_work(footage: Path, words: tuple[str, ...], what: str) -> None:
    save(footage / "still.png", np.full((20, 20, 3), 9, np.uint8))
    ran = invoke(tools, *words)
    assert ran.code in (1, 2)
    assert what in ran.complaint
    assert not list(footage.glob("*.json"))


@pytest.mark.parametrize("steady_", ["4", "often", "0"])
def test_a_window_that_is_none_is_a_usage_error(footage: Path, steady_: str) -> None:
    ran = batch("in/shot.####.png", "-o", "out", "--steady", steady_)
    assert ran.code == 2
    assert "steady" in ran.complaint or "window" in ran.complaint
    assert not Path("out").exists()


def test_a_moving_camera_flickers_less(footage: Path) -> None:
    """With an engine whose maps tremble: its light depends on where a window falls on the reduced plate."""
    expander = Expander(engine=fakes.BoxEngine(gain=6))
    numbers = range(1001, 1007)
    plates = [scenery(0)[::2, 4 * k : 4 * k + 200].copy() for k in range(6)]
    for k, plate in enumerate(plates):
        plate[30:60, 80 - 4 * k : 120 - 4 * k] = 1
    codes = [np.rint(255 * plate).astype(np.uint8) for plate in plates]
    writer = ShotWriter(footage / "a.json", {})
    for number, plate in zip(numbers, codes, strict=True):
        survey = expander.survey(plate)
        writer.add(number, identity(number), look_at(survey.proxy), expander.analyze(plate, survey))
    shot = writer.commit()
    made = steady(shot.frames, {}, footage / "s.json", Steadying(window=5))
    jumps = {}
    for name, frames in (("alone", shot.frames), ("steady", made.frames)):
        maps = [frames[number].load().rise for number in numbers]
        jumps[name] = np.mean(
            [np.abs(np.expm1(-a.values) - np.expm1(-b.values)).mean() for a, b in itertools.pairwise(maps)]
        )
    assert jumps["steady"] < jumps["alone"]


def test_no_analysis_that_is_read_is_replaced(footage: Path) -> None:
    for name in ("a", "b"):
        run("analyze", "in/shot.####.png", "--frames", "1001-1003", "-o", f"{name}.json")
    before = {path.name: path.read_bytes() for path in footage.glob("*.*")}
    (footage / "deeper").mkdir()
    for words in (("a.json", "-o", "deeper/../a.json"), ("a.json", "--beside", "b.json", "-o", "b.json")):
        ran = invoke(tools, "smooth", *words)
        assert ran.code == 2
        assert "choose another name" in ran.complaint
    assert {path.name: path.read_bytes() for path in footage.glob("*.*")} == before


def test_frames_of_two_views_are_no_one_shot(footage: Path) -> None:
    for view in ("left", "right"):
        save(Path(view, "s.0001.png"), np.full((20, 20, 3), 9, np.uint8))
    ran = invoke(tools, "analyze", "%V/s.####.png", "--views", "left,right", "-o", "a.json")
    assert ran.code == 2
    assert "right/s.0001.png" in ran.complaint
    assert "one view" in ran.complaint
    assert not list(footage.glob("a.*"))


def test_each_sequence_in_the_folders_of_views_is_a_shot(footage: Path) -> None:
    frames = sorted(Path("in").iterdir())[:3]
    for view in ("left", "right"):
        for name in ("a", "b") if view == "left" else ("b",):
            for number, frame in enumerate(frames, 1):
                Path(view).mkdir(exist_ok=True)
                shutil.copy(frame, Path(view, f"{name}.{number:04d}.png"))
    assert batch("%V/", "--views", "left,right", "-o", "out/%V", "--json", "r.json").code == 0
    found = json.loads(Path("r.json").read_text())["shots"]
    assert sorted((shot["sequence"], shot["frames"]) for shot in found) == [
        (f"{name}.#.png", [1, 3]) for name in ("left/a", "left/b", "right/b")
    ]
