"""Inputs and outputs of a batch: every notation of the field, on folders with odd names."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expandnet_ofx.errors import UsageError
from expandnet_ofx.partials import partial_name
from expandnet_ofx.patterns import FramePattern
from expandnet_ofx.placing import names_a_file, place_outputs, refuse_collisions
from expandnet_ofx.sequences import Source, find_sources, frame_number, parse_frames, without_number


@pytest.fixture
def shots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a shot of frames 1001 to 1004 and 1006, a shot in sub-folders, a still, and what is no input."""
    for frame in (1001, 1002, 1003, 1004, 1006):
        (tmp_path / f"shot.{frame}.png").touch()
    for view in ("left", "right"):
        (tmp_path / view).mkdir()
        for frame in (1, 2):
            (tmp_path / view / f"eye.{frame:04d}.exr").touch()
    (tmp_path / "still_v003.png").touch()
    (tmp_path / ".hidden.1005.png").touch()
    (tmp_path / "notes.txt").touch()
    partial_name(tmp_path / "shot.1005.png").touch()
    partial_name(tmp_path / "left" / "eye.0003.exr").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def frames(*arguments: str, **options: object) -> list[int | None]:
    return [source.frame for source in find_sources(arguments, **options)]  # type: ignore[arg-type]


def names(*arguments: str, **options: object) -> list[str]:
    return [source.path.as_posix() for source in find_sources(arguments, **options)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1001-1005", [1001, 1002, 1003, 1004, 1005]),
        ("1-9x4", [1, 5, 9]),
        ("1-9:4", [1, 5, 9]),
        ("5", [5]),
        ("1,5,9-10", [1, 5, 9, 10]),
        ("-3--1", [-3, -2, -1]),
        ("3-1", [3, 2, 1]),
        ("1-3,2-4", [1, 2, 3, 4]),
    ],
)
def test_ranges(text, expected):
    assert parse_frames(text) == expected


@pytest.mark.parametrize("text", ["a-b", "1-", "1001..1005", "1-10x", "1-10x0", "1-10:0", " ", "1-2-3", "1001-1100xx2"])
def test_malformed_ranges_are_refused(text):
    with pytest.raises(UsageError, match="--frames"):
        parse_frames(text)


@given(st.integers(0, 5000), st.integers(0, 60), st.integers(1, 9), st.sampled_from("x:"))
def test_a_step_is_that_of_python(first, length, step, mark):
    assert parse_frames(f"{first}-{first + length}{mark}{step}") == list(range(first, first + length + 1, step))


@pytest.mark.parametrize("pattern", ["shot.####.png", "shot.#.png", "shot.%04d.png", "shot.@@@@.png", "shot.$F4.png"])
def test_notations_without_a_range_span_what_is_on_disk(shots, pattern):
    sources = find_sources([pattern])
    assert [source.frame for source in sources] == [1001, 1002, 1003, 1004, 1005, 1006]
    assert [source.missing for source in sources] == [False] * 4 + [True, False]
    assert [source.path.as_posix() for source in sources][::5] == ["shot.1001.png", "shot.1006.png"]


@pytest.mark.parametrize(
    "pattern",
    ["shot.1001-1004#.png", "shot.1001-1004####.png", "shot.1001-1004@@@@.png", "shot.1001-1004%04d.png"],
)
def test_ranges_inside_a_pattern(shots, pattern):
    assert names(pattern) == [f"shot.{frame}.png" for frame in range(1001, 1005)]


@pytest.mark.parametrize("pattern", ["shot.1001-1006x2#.png", "shot.1001-1006:2#.png"])
def test_steps_inside_a_pattern(shots, pattern):
    assert frames(pattern) == [1001, 1003, 1005]
    assert [source.missing for source in find_sources([pattern])] == [False, False, True]


@pytest.mark.parametrize("step", ["x", ":"])
def test_frames_expand_a_pattern(shots, step):
    sources = find_sources(["shot.####.png"], frames=f"1002-1006{step}2")
    assert [(source.frame, source.missing) for source in sources] == [(1002, False), (1004, False), (1006, False)]
    assert frames("shot.####.png", frames="2001-2002") == [2001, 2002]
    assert all(source.missing for source in find_sources(["shot.####.png"], frames="2001-2002"))


def test_frames_reduce_globs_and_folders(shots):
    assert names("shot.*.png", frames="1002-1003,1005") == ["shot.1002.png", "shot.1003.png"]
    assert frames("shot.*.png", frames="1002-1003") == [1002, 1003]
    assert names(".", frames="2") == ["left/eye.0002.exr", "right/eye.0002.exr"]


def test_padding_counts(shots):
    (shots / "pad.7.png").touch()
    (shots / "pad.0008.png").touch()
    assert names("pad.####.png") == ["pad.0008.png"]
    assert names("pad.%04d.png") == ["pad.0008.png"]


def test_globs_that_the_shell_left_alone(shots):
    assert names("shot.*.png") == [f"shot.{frame}.png" for frame in (1001, 1002, 1003, 1004, 1006)]
    assert names("shot.100[12].png") == ["shot.1001.png", "shot.1002.png"]
    assert names("**/*.exr") == [f"{view}/eye.{frame:04d}.exr" for view in ("left", "right") for frame in (1, 2)]
    assert names(str(shots / "s*_v003.png")) == [(shots / "still_v003.png").as_posix()]
    assert set(frames("shot.*.png")) == {None}


def test_a_folder_gives_its_pictures_and_nothing_else(shots):
    found = names(".")
    assert "still_v003.png" in found
    assert len(found) == 5 + 4 + 1
    assert not [name for name in found if ".partial" in name or "hidden" in name or "notes" in name]


def test_leftovers_are_never_inputs(shots):
    for argument in (".", "shot.####.png", "*.png", ".*", "left/eye.####.exr", "**/.*.exr"):
        try:
            found = names(argument)
        except UsageError:
            continue
        assert not [name for name in found if "partial" in name], argument


def test_a_lone_numbered_file_is_a_still(shots):
    (source,) = find_sources(["still_v003.png"])
    assert (source.frame, source.missing, source.is_movie) == (None, False, False)
    assert place_outputs([source], "exr") == [Path("exr/still_v003.exr")]
    with pytest.raises(UsageError, match=r"still_v003\.png: a still has no frame number"):
        place_outputs([source], "out.####.exr")


def test_names_with_marks_of_patterns_are_files_if_they_exist(shots):
    for name in ("a#1.png", "b%d.png", "c[1].png", "100%.png", "shot@home.png", "d*.png"):
        (shots / name).touch()
        assert names(name) == [name]


@pytest.mark.parametrize("folder", ["user@corp", "a#b", "%d", "$F4", "<UDIM>", "[old]", "1:2"])
def test_marks_in_folders_are_no_pattern(shots, folder):
    (shots / folder).mkdir()
    for frame in (1001, 1002):
        (shots / folder / f"shot.{frame}.png").touch()
    assert frames(f"{folder}/shot.####.png") == [1001, 1002]
    assert names(f"{folder}/shot.1002.png") == [f"{folder}/shot.1002.png"]
    sources = find_sources([f"{folder}/shot.%04d.png"])
    assert place_outputs(sources, f"{folder}/exr/x.####.exr")[1] == Path(folder, "exr", "x.1002.exr")
    assert place_outputs(sources, f"{folder}/exr/")[1] == Path(folder, "exr", "shot.1002.exr")
    assert place_outputs(sources, folder)[1] == Path(folder, "shot.1002.exr")
    assert place_outputs(sources[:1], f"{folder}/one.exr") == [Path(folder, "one.exr")]


def test_a_name_has_one_place_for_numbers(shots):
    for name in ("%d#x.exr", "a@b#.exr", "####.####.exr", "shot.%04d.####.exr"):
        with pytest.raises(UsageError, match="write shot"):
            place_outputs(find_sources(["shot.####.png"], frames="1001-1002"), f"out/{name}")


@pytest.mark.parametrize("stem", ["promo@2x", "take#2", "a_%d", "b.$F4"])
def test_a_movie_may_have_a_mark_in_its_name(shots, stem):
    (shots / f"{stem}.mov").touch()
    (output,) = place_outputs(find_sources([f"{stem}.mov"]), "exr")
    pattern = FramePattern(str(output), made=True)
    assert pattern.path(7) == Path("exr", f"{stem}.0007.exr")
    for name in (f"{stem}.0007.exr", f"{stem}.-001.exr", f"{stem}.x.exr"):
        (shots / "exr").mkdir(exist_ok=True)
        (shots / "exr" / name).touch()
    assert pattern.on_disk() == [-1, 7]


def test_a_date_is_no_frame(shots):
    (shots / "shot.20231015.png").touch()
    with pytest.raises(UsageError, match="1001 to 20231015, of which 6 are there"):
        find_sources(["shot.####.png"])
    assert len(find_sources(["shot.####.png"], frames="1001-1006")) == 6
    assert frames("shot.####.png", sparse=True) == [1001, 1002, 1003, 1004, 1006, 20231015]
    (shots / "shot.20231201123000123456.png").touch()
    with pytest.raises(UsageError, match="of which 7 are there"):
        find_sources(["shot.####.png"])


def test_views(shots):
    sources = find_sources(["%V/eye.####.exr"], views=("left", "right"))
    assert [(source.view, source.frame) for source in sources] == [("left", 1), ("left", 2), ("right", 1), ("right", 2)]
    placed = place_outputs(sources, "out/%V/x.####.exr")
    assert [path.as_posix() for path in placed] == [f"out/{v}/x.000{f}.exr" for v in ("left", "right") for f in (1, 2)]
    assert [path.as_posix() for path in place_outputs(sources, "out.%v.%04d.exr")][1:3] == [
        "out.l.0002.exr",
        "out.r.0001.exr",
    ]
    assert place_outputs(sources, "exr")[2] == Path("exr/right/eye.0001.exr")
    with pytest.raises(UsageError, match="would be written there"):
        place_outputs(sources, "x.####.exr")
    with pytest.raises(UsageError, match="--views"):
        find_sources(["%V/eye.####.exr"])


@pytest.mark.parametrize("argument", ["missing.png", "gone.####.png", "none*.png", "gone.%04d.png", "nowhere/"])
def test_nothing_that_matches_is_an_error(shots, argument):
    with pytest.raises(UsageError, match="check the path"):
        find_sources([argument])


def test_an_empty_folder_is_an_error(shots):
    (shots / "empty").mkdir()
    with pytest.raises(UsageError, match="nothing matches"):
        find_sources(["empty"])
    with pytest.raises(UsageError, match="and --frames"):
        find_sources(["shot.*.png"], frames="5000")


def test_a_file_named_twice_is_converted_once(shots):
    assert names("shot.1001.png", "shot.100*.png").count("shot.1001.png") == 1
    assert len(names(".", "still_v003.png")) == 10


def test_a_file_named_in_two_ways_is_converted_once(shots):
    found = names("shot.####.png", "shot.1001.png", "./shot.1002.png", str(shots / "shot.1003.png"))
    assert len(found) == 6


def test_order_is_that_of_the_arguments(shots):
    assert names("still_v003.png", "shot.1001-1002#.png") == ["still_v003.png", "shot.1001.png", "shot.1002.png"]


def test_one_folder_of_results_keeps_names(shots):
    placed = place_outputs(find_sources(["shot.1001-1002#.png"]), "exr/")
    assert placed == [Path("exr/shot.1001.exr"), Path("exr/shot.1002.exr")]
    assert place_outputs(find_sources(["still_v003.png"]), "x", suffix=".tif") == [Path("x/still_v003.tif")]


def test_folders_are_mirrored(shots):
    placed = place_outputs(find_sources(["."]), "exr")
    assert Path("exr/left/eye.0001.exr") in placed
    assert Path("exr/right/eye.0001.exr") in placed
    assert Path("exr/still_v003.exr") in placed
    two = place_outputs(find_sources(["left", "right"]), "exr")
    assert two[0] == Path("exr/left/eye.0001.exr")
    assert two[2] == Path("exr/right/eye.0001.exr")
    assert place_outputs(find_sources(["left"]), "exr")[0] == Path("exr/eye.0001.exr")
    assert place_outputs(find_sources(["left/*.exr", "right/*.exr"]), "exr") == two


def test_a_recursive_glob_is_mirrored(shots):
    placed = place_outputs(find_sources(["**/*.exr"]), "out")
    assert [path.as_posix() for path in placed] == [
        f"out/{v}/eye.000{f}.exr" for v in ("left", "right") for f in (1, 2)
    ]


def test_results_never_leave_the_folder_they_are_sent_to(shots, monkeypatch):
    monkeypatch.chdir(shots / "left")
    placed = place_outputs(find_sources(["../right", "../shot.1001.png", "eye.0001.exr"]), "out")
    assert len(set(placed)) == 4
    for path in placed:
        assert path.parts[0] == "out"
        assert ".." not in path.parts


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("out.####.exr", "out.1001.exr"),
        ("out.%06d.exr", "out.001001.exr"),
        ("a/b/@@@@@@.exr", "a/b/001001.exr"),
        ("out.$F4.exr", "out.1001.exr"),
    ],
)
def test_output_patterns(shots, output, expected):
    assert place_outputs(find_sources(["shot.1001-1004#.png"]), output)[0].as_posix() == expected
    assert place_outputs(find_sources(["shot.*.png"]), output)[0].as_posix() == expected


def test_one_output_for_several_inputs_is_refused(shots):
    for output in ("one.exr", "one.tif"):
        with pytest.raises(UsageError, match=r"both shot\.1001\.png and shot\.1002\.png"):
            place_outputs(find_sources(["shot.1001-1002#.png"]), output)
    assert place_outputs(find_sources(["still_v003.png"]), "one.exr") == [Path("one.exr")]


def test_two_names_that_differ_in_suffix_alone_collide(shots):
    (shots / "still_v003.jpg").touch()
    with pytest.raises(UsageError, match="would be written there"):
        place_outputs(find_sources(["still_v003.jpg", "still_v003.png"]), "exr")


def test_an_input_is_never_an_output(shots):
    with pytest.raises(UsageError, match="is an input as well"):
        place_outputs(find_sources(["left/eye.####.exr"]), "left")
    (shots / "link").symlink_to(shots / "left")
    with pytest.raises(UsageError, match="is an input as well"):
        place_outputs(find_sources(["left/eye.####.exr"]), "link/eye.####.exr")


@pytest.mark.parametrize("name", ["clip.0001.png", "clip.-002.tif", "clip.10000.png"])
def test_frames_of_a_movie_take_no_still_s_place(shots, name):
    (shots / "clip.mov").touch()
    (shots / name).touch()
    with pytest.raises(UsageError, match=r"both .*clip\.mov and .* would be written there"):
        place_outputs(find_sources(["clip.mov", name]), "exr")
    (shots / "clip.0003.exr").touch()
    with pytest.raises(UsageError, match=r"clip\.0003\.exr: is an input, and a frame of a movie"):
        refuse_collisions(find_sources(["clip.mov", "clip.0003.exr"]), [[Path("clip.####.exr")], [Path("x/y.exr")]])
    for other in ("clip.1.png", "clip.20240101.png", "xclip.0001.png"):
        (shots / other).touch()
        assert len(place_outputs(find_sources(["clip.mov", other]), "exr")) == 2


def test_movies_get_patterns(shots):
    (shots / "one.mov").touch()
    assert place_outputs(find_sources(["one.mov"]), "x.exr") == [Path("x.####.exr")]
    (shots / "clip.mov").touch()
    (source,) = find_sources(["clip.mov"], frames="1-10")
    assert source.is_movie
    assert source.frame is None
    assert place_outputs([source], "exr") == [Path("exr/clip.####.exr")]
    assert place_outputs([source], "exr/x.####.exr") == [Path("exr/x.####.exr")]


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("a.0001.png", 1),
        ("a_v003.png", 3),
        ("a.png", None),
        ("0010.exr", 10),
        ("v2.shot.tif", None),
        ("a.1.2.png", 2),
        ("a.-2.exr", -2),
        ("a_-0010.exr", -10),
        ("a-1001.exr", 1001),
        ("-3.exr", 3),
    ],
)
def test_the_last_number_of_a_name(name, number):
    assert frame_number(Path(name)) == number


@pytest.mark.parametrize(
    ("pattern", "series"),
    [("a.####.v02.png", "a.####.v02.png"), ("a.v02.####.png", "a.v02.#.png")],
)
def test_frames_of_a_pattern_share_a_name_wherever_their_number_stands(tmp_path, pattern, series):
    for number in (2, 3, 4):
        (tmp_path / pattern.replace("####", f"{number:04}")).touch()
    sources = find_sources([str(tmp_path / pattern)])
    assert [source.frame for source in sources] == [2, 3, 4]
    assert {source.series for source in sources} == {series}


def test_a_sequence_through_zero_is_one(tmp_path):
    names = [f"a.{number}.png" for number in (-2, -1, 0, 1)]
    assert {without_number(Path(name)) for name in names} == {"a.#.png"}
    for name in names:
        (tmp_path / name).touch()
    sources = find_sources([str(tmp_path)], frames="-2-1")
    assert sorted(source.frame for source in sources) == [-2, -1, 0, 1]
    placed = place_outputs(sources, str(tmp_path / "x.@.exr"))
    assert {path.name for path in placed} == {"x.-2.exr", "x.-1.exr", "x.0.exr", "x.1.exr"}


def test_a_link_that_leads_nowhere_is_no_less_an_input(tmp_path):
    (tmp_path / "a.png").touch()
    (tmp_path / "b.png").symlink_to("gone.png")
    assert [source.path.name for source in find_sources([str(tmp_path)])] == ["a.png", "b.png"]


@pytest.mark.parametrize("argument", ["%V", "%V/*.png", "*/s.*%V*.png", "%V/s.%V.@.png"])
def test_views_share_what_their_names_share(tmp_path, argument):
    for view in ("left", "right"):
        (tmp_path / view).mkdir()
        for sequence in ("s", "t"):
            for frame in (1, 2):
                (tmp_path / view / f"{sequence}.{view}.{frame}.png").touch()
    sources = find_sources([f"{tmp_path}/{argument}"], views=["left", "right"])
    groups = {}
    for source in sources:
        groups.setdefault(source.notation, []).append(source.path.relative_to(tmp_path).as_posix())
    shared = sorted(map(sorted, groups.values()))
    expected = [
        [f"{view}/{name}.{view}.{frame}.png" for view in ("left", "right") for frame in (1, 2)] for name in "st"
    ]
    assert shared == (expected if "s." not in argument else expected[:1])


def test_a_mask_is_an_input_as_well(tmp_path):
    sources = [Source(path=tmp_path / "a.png", frame=None, root=tmp_path)]
    with pytest.raises(UsageError, match="input"):
        refuse_collisions(sources, [[tmp_path / "m.exr"]], also=[None, tmp_path / "." / "m.exr"])


def test_views_are_one_shot_by_their_initials(tmp_path):
    for view in ("left", "right"):
        (tmp_path / view[0]).mkdir()
        for frame in (1, 2):
            (tmp_path / view[0] / f"s.{view[0]}.{frame}.png").touch()
    sources = find_sources([f"{tmp_path}/%v"], views=["left", "right"])
    assert len(sources) == 4
    assert len({source.notation for source in sources}) == 1


def test_a_folder_may_be_named_like_a_file(tmp_path):
    (tmp_path / "takes.exr").mkdir()
    assert not names_a_file(str(tmp_path / "takes.exr"))
    assert names_a_file(str(tmp_path / "take.exr"))
