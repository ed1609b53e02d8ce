"""The batch command: words in, files and exit codes out."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest
from commands import ROOT, batch, files_in, invoke, pixels_of, plate, results, save, start
from expandnet_batch.tools import command as tools
from fakes import decode_srgb

from expandnet_ofx.sequences import Source

pytestmark = pytest.mark.usefixtures("light_network")


def test_help_loads_nothing_heavy() -> None:
    heavy = ("torch", "numpy", "OpenImageIO", "openvino", "av", "PIL", "safetensors", "fileseq")
    check = f"import atexit, sys; atexit.register(lambda: print(set(sys.modules) & set({heavy})));"
    for flag in ("--help", "--version"):
        process = start(flag, cwd=ROOT, before=check)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert "expandnet-batch" in out
        assert out.endswith("\nset()\n")


def test_without_its_engine_torch_is_not_loaded(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    save(tmp_path / "x.png", plate())
    check = "import atexit, sys; atexit.register(lambda: print('torch' in sys.modules));"
    process = start("x.png", "-o", "out", "--engine", "openvino", cwd=tmp_path, before=check)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.endswith("\nFalse\n")
    assert pixels_of(tmp_path / "out" / "x.exr").max() > 1


def test_version_names_the_shipped_weights() -> None:
    shipped = next((ROOT / "expandnet_ofx" / "weights").glob("*.safetensors"))
    ran = batch("--version")
    assert ran.code == 0
    assert hashlib.sha256(shipped.read_bytes()).hexdigest() in ran.out


@pytest.mark.parametrize(
    ("words", "frames"),
    [
        (["in/shot.1001.png", "in/shot.1003.png"], [1001, 1003]),
        (["in/shot.*.png"], [1001, 1002, 1003, 1004]),
        (["in/shot.100[12].png"], [1001, 1002]),
        (["in/shot.####.png"], [1001, 1002, 1003, 1004]),
        (["in/shot.@@@@.png"], [1001, 1002, 1003, 1004]),
        (["in/shot.%04d.png"], [1001, 1002, 1003, 1004]),
        (["in/shot.1002-1003#.png"], [1002, 1003]),
        (["in/shot.####.png", "--frames", "1001-1004x2"], [1001, 1003]),
        (["in/shot.####.png", "--frames", "1001-1004:3"], [1001, 1004]),
        (["in/shot.####.png", "--frames", "1004,1002"], [1002, 1004]),
        (["in"], [1001, 1002, 1003, 1004]),
        (["in/", "--frames", "1002-1003"], [1002, 1003]),
        (["in/shot.1001.png", "in/shot.1001.png"], [1001]),
        ([*(f"in/shot.{n}.png" for n in range(1001, 1005)), "--frames", "1002-1003"], [1002, 1003]),
    ],
)
def test_notations_of_inputs(shot: Path, words: list[str], frames: list[int]) -> None:
    ran = batch(*words, "-o", "out")
    assert ran.code == 0, ran.err
    assert results(Path("out")) == frames


@pytest.mark.parametrize(
    "words",
    [
        ["in/nothing.png"],
        ["in/other.####.png"],
        ["in/*.tif"],
        ["in/shot.####.png", "--frames", "1001-"],
        ["in/shot.1001.png", "--frames", "7"],
        ["in/shot.1001.png", "in/shot.1002.png", "--frames", "7"],
        ["in/shot.####.png", "--frames", "1001.5"],
        ["in/shot.##.##.png"],
        ["empty"],
        [],
    ],
)
def test_nothing_matched(shot: Path, words: list[str]) -> None:
    Path("empty").mkdir()
    ran = batch(*words, "-o", "out")
    assert ran.code == 2
    assert ran.complaint
    assert not Path("out").exists()


def test_output_patterns_files_and_mirrored_folders(shot: Path) -> None:
    assert batch("in/shot.####.png", "-o", "a/b.%03d.exr", "--frames", "1001,1002").code == 0
    assert files_in(Path("a")) == ["b.1001.exr", "b.1002.exr"]
    assert batch("in/shot.1001.png", "-o", "c/one.exr").code == 0
    assert files_in(Path("c")) == ["one.exr"]
    save(Path("shots/x/same.png"), plate(1))
    save(Path("shots/y/deep/same.png"), plate(2))
    assert batch("shots", "-o", "d").code == 0
    assert batch("shots/x/same.png", "shots/y/deep/same.png", "-o", "e").code == 0
    assert files_in(Path("d")) == files_in(Path("e")) == ["x/same.exr", "y/deep/same.exr"]


def test_views(tmp_path: Path) -> None:
    for view in ("left", "right"):
        save(tmp_path / f"{view}.0001.png", plate(len(view)))
    assert batch("%V.####.png", "--views", "left,right", "-o", "out/%V/x.####.exr").code == 0
    assert files_in(Path("out")) == ["left/x.0001.exr", "right/x.0001.exr"]
    assert batch("%V.####.png", "-o", "out").code == 2


def test_one_name_for_two_results_is_refused_before_any_work(shot: Path) -> None:
    save(Path("in/shot.1001.jpg"), plate(9))
    for words in (["in", "-o", "out"], ["in/shot.1001.png", "in/shot.1002.png", "-o", "out.exr"]):
        ran = batch(*words)
        assert ran.code == 2
        assert "both" in ran.complaint
    assert not Path("out").exists()
    assert not Path("out.exr").exists()


def test_a_result_never_replaces_an_input(tmp_path: Path) -> None:
    source = save(tmp_path / "a.exr", plate().astype(np.float32) / 255)
    before = source.read_bytes()
    for output in (".", "a.exr", str(tmp_path)):
        assert batch("a.exr", "-o", output).code == 2
    assert source.read_bytes() == before


def test_a_lone_version_number_is_no_frame(tmp_path: Path) -> None:
    save(tmp_path / "still_v003.png", plate())
    assert batch("still_v003.png", "-o", "out").code == 0
    assert files_in(Path("out")) == ["still_v003.exr"]
    assert batch("still_v003.png", "-o", "x.####.exr").code == 2


def test_dry_run_says_what_the_run_does_and_writes_nothing(shot: Path) -> None:
    before = files_in(Path())
    dry = batch("in", "-o", "out", "--dry-run", "--json", "r.json", "--preview", "all")
    assert dry.code == 0
    assert files_in(Path()) == before
    assert not Path("out").exists()
    assert batch("in", "-o", "out").code == 0
    promised = sorted(line.split(" -> ")[1] for line in dry.out.splitlines())
    assert promised == [str(Path("out") / name) for name in files_in(Path("out"))]


@pytest.mark.parametrize(
    "words", ["--threshold 0.99 --full 0.5", "--stops 99", "--memory 1MiB", "--existing error", "-o out/a.png"]
)
def test_dry_run_refuses_what_the_run_would_refuse(shot: Path, words: str) -> None:
    Path("out").mkdir()
    Path("out/shot.1003.exr").write_text("mine")
    output = [] if "-o" in words else ["-o", "out"]
    dry, ran = (batch("in", *output, *words.split(), *more) for more in (["--dry-run"], []))
    assert dry.code == ran.code == 2
    assert dry.complaint == ran.complaint


@pytest.mark.parametrize("words", [("", "-o", "out"), ("in", "", "-o", "out"), ("in", "-o", ""), ("in", "-o", " ")])
def test_an_empty_word_is_no_folder(shot: Path, words: tuple[str, ...]) -> None:
    before = files_in(Path())
    ran = batch(*words)
    assert ran.code == 2
    assert "empty word" in ran.complaint
    assert files_in(Path()) == before


def test_a_dry_run_tells_missing_frames(shot: Path) -> None:
    ran = batch("in/shot.####.png", "--frames", "1004-1005", "-o", "out/x.####.exr", "--dry-run", "--progress", "none")
    assert ran.code == 1
    assert ran.out.splitlines()[1].endswith("shot.1005.png -> missing")
    assert batch("in", "-o", "out", "--dry-run", "--weights", "absent.safetensors").code == 2


def test_frames_left_out_are_named(shot: Path) -> None:
    words = (
        "in/shot.####.png",
        "--frames",
        "1004-1005",
        "-o",
        "out/x.####.exr",
        "--missing",
        "skip",
        "--json",
        "r.json",
    )
    ran = batch(*words)
    assert ran.code == 0
    assert "shot.1005.png: missing, left out" in ran.out
    assert json.loads(Path("r.json").read_text())["missing"] == ["in/shot.1005.png"]


@pytest.mark.parametrize("words", [("-o", "file"), ("-o", "file/x.####.exr"), ("-o", "out", "--json", "file/r.json")])
def test_places_that_cannot_be_made_end_a_batch_before_any_work(shot: Path, words: tuple[str, ...]) -> None:
    Path("file").write_text("mine")
    ran = batch("in/shot.####.png", *words)
    assert ran.code == 2
    assert "not a folder" in ran.complaint
    assert not Path("out").exists()


@pytest.mark.parametrize("option", ["--json", "--save-config"])
@pytest.mark.parametrize("name", ["in/shot.1002.png", "in/../in/shot.1002.png", "linked.png", "old/shot.1001.exr"])
def test_what_is_written_beside_results_replaces_no_picture(shot: Path, option: str, name: str) -> None:
    assert batch("in/shot.1001.png", "-o", "old").code == 0
    Path("linked.png").symlink_to("in/shot.1002.png")
    before = Path(name).read_bytes()
    ran = batch("in/shot.####.png", "-o", "old", option, name)
    assert ran.code == 2, ran.err
    assert name in ran.err
    assert Path(name).read_bytes() == before
    ran = invoke(tools, "analyze", "in/shot.####.png", "-o", "in/shot.1002.png")
    assert ran.code == 2
    assert "input" in ran.complaint


def test_linked_folders_are_searched_once(shot: Path) -> None:
    Path("published").mkdir()
    Path("published/v002").symlink_to(shot)
    Path("in/loop").symlink_to(shot.parent / "published")
    # A folder that is there keeps its own name, and one above is not searched again.
    Path("published/v003").mkdir()
    save(Path("published/v003/new.png"), plate())
    Path("published/latest").symlink_to(shot.parent / "published" / "v003")
    Path("published/up").symlink_to(shot.parent)
    ran = batch("published", "-o", "out", "--dry-run")
    assert ran.code == 0, ran.err
    assert [line.split(" -> ")[1] for line in ran.out.splitlines()] == [
        *(f"out/v002/shot.{number}.exr" for number in range(1001, 1005)),
        "out/v003/new.exr",
    ]


def test_a_folder_that_may_not_be_read_is_told(shot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> list[Source]:
        raise PermissionError(errno.EACCES, "Permission denied")

    # As for a user who may not enter it; whoever runs the tests may be allowed everything.
    monkeypatch.setattr("expandnet_ofx.sequences._expand", refuse)
    ran = batch("in", "-o", "out")
    assert ran.code == 2, ran.err
    assert "in: cannot be looked at (Permission denied)" in ran.complaint


def test_missing_frames(shot: Path) -> None:
    (shot / "shot.1002.png").unlink()
    failed = batch("in/shot.####.png", "--frames", "1001-1003", "-o", "a")
    assert failed.code == 1
    assert "shot.1002.png" in failed.complaint
    assert results(Path("a")) == [1001, 1003]
    assert batch("in/shot.####.png", "-o", "b").code == 1
    assert batch("in/shot.####.png", "--missing", "skip", "-o", "c").code == 0
    assert results(Path("b")) == results(Path("c")) == [1001, 1003, 1004]
    assert batch("in/shot.####.png", "--frames", "7-8", "--missing", "skip", "-o", "d").code == 2


def test_one_bad_frame_stops_only_if_asked(shot: Path) -> None:
    (shot / "shot.1002.png").write_bytes(b"nothing")
    (shot / "shot.1004.png").write_bytes(b"")
    go_on = batch("in", "-o", "a", "--json", "r.json")
    assert go_on.code == 1
    assert results(Path("a")) == [1001, 1003]
    final = go_on.err.split("2 of 4 frames failed:")[1]
    assert "shot.1002.png" in final
    assert "shot.1004.png" in final
    statuses = [frame["status"] for frame in json.loads(Path("r.json").read_text())["frames"]]
    assert statuses == ["done", "failed", "done", "failed"]
    stop = batch("in", "-o", "b", "--on-error", "stop")
    assert stop.code == 1
    assert results(Path("b")) == [1001]


def test_previews(shot: Path) -> None:
    save(shot / "shot.1005.png", plate(5))
    for choice, wanted in {"none": [], "some": [1001, 1003, 1005], "all": [1001, 1002, 1003, 1004, 1005]}.items():
        assert batch("in", "-o", choice, "--preview", choice).code == 0
        sheets = [name for name in files_in(Path(choice)) if name.endswith(".png")]
        assert sheets == [f"shot.{frame}.preview.png" for frame in wanted]
        for sheet in sheets:
            assert min(pixels_of(Path(choice, sheet)).shape[:2]) > 100


@pytest.mark.parametrize("output", ["in/exr", "in"])
def test_a_folder_that_holds_its_own_results_is_gone_on_with(shot: Path, output: str) -> None:
    assert batch("in", "-o", output).code == 0
    ran = batch("in", "-o", output, "--existing", "skip")
    assert ran.code == 0, ran.err
    assert "0 done" in ran.out
    # Of somebody else: it is neither left out nor replaced.
    before = Path(output, "shot.1001.exr")
    oiio.ImageBuf(np.full((24, 32, 3), 0.5, np.float32)).write(str(before))
    kept = before.read_bytes()
    assert batch("in", "-o", output).code == 2
    assert before.read_bytes() == kept


def test_mask_keeps_the_plate(shot: Path) -> None:
    mask = np.zeros((24, 32, 1), np.uint8)
    mask[:, :8] = 255
    save(Path("mask.png"), mask)
    for frame in (1001, 1002, 1003, 1004):
        save(Path(f"m/mask.{frame}.png"), mask)
    truth = decode_srgb(plate(0) / 255)
    assert batch("in/shot.####.png", "-o", "plain").code == 0
    for name, words in {"still": "mask.png", "moving": "m/mask.####.png"}.items():
        assert batch("in/shot.####.png", "-o", name, "--mask", words).code == 0
        kept = pixels_of(Path(name, "shot.1001.exr"))
        np.testing.assert_allclose(kept[:, :8], truth[:, :8], rtol=6e-4, atol=1e-6)
        assert (kept[2:8, 10:14] > 1.5).all()
    Path("m/mask.1003.png").unlink()
    for absent in ("m/mask.####.png", "no.png"):
        ran = batch("in/shot.####.png", "-o", "x", "--mask", absent)
        assert ran.code == 2
        assert "--mask" in ran.complaint
    assert not Path("x").exists()


def test_matte_tells_where_light_was_added(shot: Path) -> None:
    assert batch("in/shot.1001.png", "-o", "out", "--matte").code == 0
    buffer = oiio.ImageBuf("out/shot.1001.exr")
    names = list(buffer.spec().channelnames)
    matte = pixels_of(Path("out/shot.1001.exr"))[:, :, [names.index(f"matte.{channel}") for channel in "RGB"]]
    light = pixels_of(Path("out/shot.1001.exr"))[:, :, [names.index(channel) for channel in "RGB"]]
    assert (matte[3:9, 3:13] == 1).all()
    assert (matte[12:, 16:] == 0).all()
    np.testing.assert_allclose(light[matte == 0], decode_srgb(plate(0) / 255)[matte == 0], rtol=6e-4, atol=1e-6)


def test_matte_of_an_aces_file_goes_beside_it(shot: Path) -> None:
    assert batch("in/shot.1001.png", "-o", "out", "--matte", "--output-space", "aces2065-1").code == 0
    assert files_in(Path("out")) == ["shot.1001.exr", "shot.1001.matte.exr"]
    assert oiio.ImageBuf("out/shot.1001.exr").spec().channelnames == ("R", "G", "B")


@pytest.mark.parametrize("option", ["--json", "--save-config"])
def test_files_of_others_are_not_replaced_by_a_slip(shot: Path, option: str) -> None:
    """Nor by one that fails: what a config held is there still."""
    Path("picture.exr").write_bytes(b"\x76\x2f\x31\x01 a picture")
    Path("project.toml").write_text('[project]\nname = "mine"\n')
    Path("notes.json").write_text("not for you")
    Path("studio.toml").write_text("stops = 0.5\n")
    kept = {name: Path(name).read_bytes() for name in ("picture.exr", "project.toml", "notes.json", "studio.toml")}
    for name in ("picture.exr", "project.toml", "notes.json"):
        ran = batch("in/shot.1001.png", "-o", "out", option, name)
        assert ran.code == 2
        assert name in ran.err
        assert invoke(tools, "analyze", "in/shot.####.png", "-o", name).code == 2
    assert batch("in/shot.1001.png", "-o", "out", "--save-config", "studio.toml", "--stops", "99").code == 2
    assert {name: Path(name).read_bytes() for name in kept} == kept
    assert not Path("out").exists()


def test_a_report_may_replace_a_file_without_anything_in_it(shot: Path) -> None:
    Path("r.json").touch()
    assert batch("in/shot.1001.png", "-o", "out", "--json", "r.json").code == 0
    assert json.loads(Path("r.json").read_text())["done"] == 1


def test_a_report_goes_into_a_pipe_and_leaves_it_one(shot: Path) -> None:
    os.mkfifo("pipe")
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.append(Path("pipe").read_text()), daemon=True)
    reader.start()
    assert batch("in/shot.1001.png", "-o", "out", "--json", "pipe").code == 0
    reader.join(10)
    assert json.loads(said[0])["done"] == 1
    assert Path("pipe").is_fifo()


@pytest.mark.parametrize("words", ["-o {}/x.exr", "-o x --json {}", "-o x --mask {}"])
def test_a_name_that_is_too_long_is_told_in_one_line(shot: Path, words: str) -> None:
    name = "n" * 300
    ran = batch("in/shot.1001.png", *words.format(name).split())
    assert ran.code == 2
    assert name in ran.complaint
    assert "internal fault" not in ran.complaint


def test_dots_blanks_and_odd_letters_in_names(tmp_path: Path) -> None:
    names = ["a b.png", "Ünïcødé.png", "x.y.z.png", "100%.png", "-dash.png", "(1).png"]
    for name in names:
        save(tmp_path / "in" / name, plate())
    ran = batch("in", "-o", "out put")
    assert ran.code == 0, ran.err
    assert set(files_in(Path("out put"))) == {name.replace(".png", ".exr") for name in names}


def test_masks_are_no_results(shot: Path) -> None:
    mask = np.zeros((24, 32, 1), np.uint8)
    for frame in (1001, 1002, 1003, 1004):
        save(Path(f"m/shot.{frame}.exr"), mask)
    before = {name: Path("m", name).read_bytes() for name in files_in(Path("m"))}
    for words in (["in/shot.####.png", "-o", "m", "--mask", "m/shot.####.exr"],
                  ["in/shot.1001.png", "-o", "m/shot.1001.exr", "--mask", "m/shot.1001.exr"]):  # fmt: skip
        ran = batch(*words)
        assert ran.code == 2
        assert "input" in ran.complaint
    assert {name: Path("m", name).read_bytes() for name in files_in(Path("m"))} == before
