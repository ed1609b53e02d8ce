"""Shots in files: merged from chunks, replaced whole, smoothed into steady ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from steadied import analysis, identity, seen

from expandnet_ofx import Analysis
from expandnet_ofx.errors import InputError, OutputError, UsageError
from expandnet_ofx.shots import Shot, ShotWriter, merge_shots, runs
from expandnet_ofx.steady import Steadying, find_shots, keep_numbers, make_steady, steady, take_up


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
