"""Movies through the batch command: numbered results, their light, rate and sheets."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest
from commands import batch, files_in, invoke, pixels_of, replace_network, save
from expandnet_batch.tools import command as tools

from expandnet_ofx.movie_frames import MovieFrames
from expandnet_ofx.movies import Movie
from expandnet_ofx.timecode import time_code

av = pytest.importorskip("av")

GRAYS = (16, 60, 120, 180, 200)
"""8-bit limited-range luma of five frames (ITU-R BT.709-6, item 4.6: black 16, white 235)."""


@pytest.fixture(autouse=True)
def movie(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A lossless clip of five gray frames with a white corner, 24000/1001 frames per second."""
    replace_network(monkeypatch)
    monkeypatch.chdir(tmp_path)
    with av.open("clip.mkv", "w") as container:
        stream = container.add_stream("ffv1", rate=Fraction(24000, 1001))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv444p"
        for luma in GRAYS:
            frame = av.VideoFrame(64, 48, "yuv444p")
            for number, (plane, code) in enumerate(zip(frame.planes, (luma, 128, 128), strict=True)):
                rows = np.full((48, plane.line_size), code, np.uint8)
                if number == 0:
                    rows[:8, :8] = 235
                plane.update(rows.tobytes())
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def test_frames_are_numbered_and_hold_display_light() -> None:
    """Graded video is meant for a display: ITU-R BT.1886, code^2.4."""
    assert batch("clip.mkv", "-o", "out/clip.####.exr", "--first-frame", "1001").code == 0
    assert files_in(Path("out")) == [f"clip.{1001 + i}.exr" for i in range(5)]
    for number, luma in enumerate(GRAYS):
        light = pixels_of(Path(f"out/clip.{1001 + number}.exr"))
        np.testing.assert_allclose(light[24, 32], ((luma - 16) / 219) ** 2.4, rtol=2e-3, atol=1e-4)
        assert light[2, 2, 0] > 1, "white is expanded"
    spec = oiio.ImageInput.open("out/clip.1001.exr").spec()
    assert tuple(spec.getattribute("FramesPerSecond")) == (24000, 1001)


def test_another_first_frame_or_rate_makes_frames_anew() -> None:
    words = ("clip.mkv", "-o", "out/clip.####.exr", "--existing", "skip", "--steady", "off")
    assert batch(*words).code == 0
    assert "5 up to date" in batch(*words).out
    assert "0 up to date" in batch(*words, "--first-frame", "3").out
    for number, luma in enumerate(GRAYS):
        light = pixels_of(Path(f"out/clip.{3 + number:04d}.exr"))
        np.testing.assert_allclose(light[24, 32], ((luma - 16) / 219) ** 2.4, rtol=2e-3, atol=1e-4)
    assert "0 up to date" in batch(*words, "--first-frame", "3", "--fps", "25").out
    assert oiio.ImageInput.open("out/clip.0003.exr").spec().getattribute("FramesPerSecond") == (25, 1)


def test_the_passes_of_a_movie_give_what_the_batch_gives() -> None:
    assert invoke(tools, "analyze", "clip.mkv", "-o", "a.json").code == 0
    assert invoke(tools, "smooth", "a.json", "-o", "shot.json").code == 0
    assert batch("clip.mkv", "-o", "out/clip.####.exr", "--analysis", "shot.json").code == 0
    assert batch("clip.mkv", "-o", "once/clip.####.exr").code == 0
    for name in files_in(Path("once")):
        np.testing.assert_array_equal(pixels_of(Path("out", name)), pixels_of(Path("once", name)))
    ran = batch("clip.mkv", "-o", "later/clip.####.exr", "--analysis", "shot.json", "--first-frame", "2")
    assert ran.code == 1
    assert "another picture" in ran.err


def test_a_range_of_frames_is_made_and_kept() -> None:
    words = ("clip.mkv", "-o", "out/clip.####.exr", "--frames", "2-4x2", "--existing", "skip")
    assert batch(*words).code == 0
    assert files_in(Path("out")) == ["clip.0002.exr", "clip.0004.exr"]
    before = [Path("out", name).stat().st_ino for name in files_in(Path("out"))]
    assert "2 up to date" in batch(*words).out
    assert [Path("out", name).stat().st_ino for name in files_in(Path("out"))] == before


def test_frames_that_a_movie_has_not_are_told() -> None:
    ran = batch("clip.mkv", "-o", "out/clip.####.exr", "--frames", "4-9")
    assert ran.code == 1
    assert "has frames 1 to 5, not 6" in ran.err
    assert files_in(Path("out")) == ["clip.0004.exr", "clip.0005.exr"]
    assert batch("clip.mkv", "-o", "none/c.####.exr", "--frames", "50-60").code == 1
    ran = batch("clip.mkv", "-o", "none/c.####.exr", "--frames", "50-60", "--missing", "skip")
    assert (ran.code, "no movie has a frame of the range" in ran.complaint) == (2, True)
    assert batch("clip.mkv", "-o", "out/clip.####.exr", "--frames", "4-9", "--missing", "skip").code == 0


def test_what_comes_after_the_last_frame_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, original = [], MovieFrames.__iter__
    monkeypatch.setattr(MovieFrames, "__iter__", lambda self: (seen.append(n) or (n, c) for n, c in original(self)))
    assert batch("clip.mkv", "-o", "out/clip.####.exr", "--frames", "1-2").code == 0
    assert set(seen) == {1, 2}


def walk(text: str, rate: int) -> Iterator[str]:
    """Yield time codes from one on, as a clock counts them."""
    drop = ";" in text
    hours, minutes, seconds, frame = (int(part) for part in text.replace(";", ":").split(":"))
    while True:
        yield f"{hours:02}:{minutes:02}:{seconds:02}{';' if drop else ':'}{frame:02}"
        frame += 1
        if frame == rate:
            frame, seconds = 0, seconds + 1
        if seconds == 60:
            seconds, minutes = 0, minutes + 1
            frame = 2 if drop and minutes % 10 else 0
        if minutes == 60:
            minutes, hours = 0, (hours + 1) % 24


@pytest.mark.parametrize(
    ("first", "fps"),
    [
        ("00:58:59;28", Fraction(30000, 1001)),
        ("01:09:58;00", Fraction(30000, 1001)),
        ("01:09:58:00", Fraction(30)),
        ("23:59:30:10", Fraction(24000, 1001)),
    ],
)
def test_time_code_counts_on(first: str, fps: Fraction) -> None:
    """Against a clock that is counted frame by frame, and read by the image library (digits of ST 12-1)."""
    for frame, expected in zip(range(40_000), walk(first, round(fps)), strict=False):
        code = time_code(first, frame, fps)
        assert code is not None
        fields = [code >> 24 & 63, code >> 16 & 127, code >> 8 & 127, code & 63]
        text = [f"{field >> 4}{field & 15}" for field in fields]
        assert f"{':'.join(text[:3])}{';' if code >> 6 & 1 else ':'}{text[3]}" == expected
    assert time_code("nonsense", 0, fps) is None
    assert time_code("00:00:00:00", 0, Fraction(60)) is None


def test_results_of_a_movie_carry_its_time_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("expandnet_ofx.movie_info._timecode", lambda *_: "10:20:30:22")
    assert batch("clip.mkv", "-o", "out/clip.####.exr", "--first-frame", "1001", "--frames", "1002-1003").code == 0
    for number, expected in ((1002, "10:20:30:23"), (1003, "10:20:31:00")):
        spec = oiio.ImageInput.open(f"out/clip.{number}.exr").spec()
        assert spec.get_string_attribute("smpte:TimeCode") == expected


def test_results_beside_a_movie_are_no_plates() -> None:
    assert batch(".", "-o", ".").code == 0
    ran = batch(".", "-o", ".", "--existing", "skip")
    assert ran.code == 0, ran.err
    assert "5 up to date" in ran.out
    ran = batch(".", "-o", "elsewhere")
    assert "5 results of earlier runs in folders that were named are no inputs" in ran.out
    assert "5 done" in ran.out
    ran = batch("elsewhere", "-o", "again")
    assert ran.code == 2
    assert "holds results of earlier runs alone" in ran.complaint
    assert batch("elsewhere/clip.0001.exr", "-o", "again", "--input-space", "srgb", "--force").code == 0, "it was named"


def test_existing_error_finds_one_frame() -> None:
    Path("out").mkdir()
    Path("out/clip.0003.exr").write_text("mine")
    ran = batch("clip.mkv", "-o", "out/clip.####.exr", "--existing", "error")
    assert ran.code == 2
    assert "clip.0003.exr" in ran.complaint
    assert files_in(Path("out")) == ["clip.0003.exr"]


@pytest.mark.parametrize(("choice", "sheets"), [("none", []), ("some", [1]), ("all", [1, 2, 3, 4, 5])])
def test_sheets_of_a_movie(choice: str, sheets: list[int]) -> None:
    assert batch("clip.mkv", "-o", "out/clip.####.exr", "--preview", choice).code == 0
    made = [name for name in files_in(Path("out")) if name.endswith(".png")]
    assert made == [f"clip.{number:04d}.preview.png" for number in sheets]


def test_a_lost_sheet_of_a_movie_is_made_again() -> None:
    words = ("clip.mkv", "-o", "out/clip.####.exr", "--preview", "all", "--existing", "skip", "--steady", "off")
    assert batch(*words).code == 0
    Path("out/clip.0003.preview.png").unlink()
    assert "1 done, 4 up to date" in batch(*words).out
    assert Path("out/clip.0003.preview.png").exists()


@pytest.mark.parametrize("fps", ["0", "fast", "1/0"])
def test_a_rate_that_is_none_is_named(fps: str) -> None:
    ran = batch("clip.mkv", "-o", "out/clip.####.exr", "--fps", fps)
    assert ran.code == 2
    assert "--fps" in ran.complaint
    assert not files_in(Path("out"))


def test_a_damaged_movie_is_one_line() -> None:
    Path("clip.mkv").write_bytes(Path("clip.mkv").read_bytes()[:300])
    ran = batch("clip.mkv", "-o", "out/clip.####.exr")
    assert ran.code == 1
    assert "clip.mkv" in ran.complaint


def test_what_holds_for_all_frames_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Movie, "complaint", property(lambda _: "a dropout", lambda *_: None))
        ran = batch("clip.mkv", "-o", "out/c.####.exr", "--fps", "25", "--frames", "2-4")
    assert [f"frame {n} may be damaged: a dropout" in ran.out for n in range(1, 6)] == [False, True, True, True, False]
    with av.open("alpha.mkv", "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuva444p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 4), 90, np.uint8), "rgba")))
        container.mux(stream.encode())
    assert batch("alpha.mkv", "-o", "out/a.####.exr").out.count("its alpha channel is left out") == 1


def test_each_frame_of_a_movie_has_its_mask() -> None:
    for number in range(1, 6):
        save(Path(f"m/mask.{number:04d}.png"), np.full((48, 64, 1), 255 * (number == 2), np.uint8))
    Path("clip.mkv").rename("clip_v2.mkv")
    words = ("clip_v2.mkv", "-o", "out/clip.####.exr", "--mask", "m/mask.####.png", "--existing", "skip")
    assert batch(*words).code == 0
    corner = [pixels_of(Path("out", name))[2, 2, 0] for name in files_in(Path("out"))]
    assert [light > 1.1 for light in corner] == [True, False, True, True, True]
    save(Path("m/mask.0004.png"), np.full((48, 64, 1), 255, np.uint8))
    assert "1 done, 4 up to date" in batch(*words).out
    assert pixels_of(Path("out/clip.0004.exr"))[2, 2, 0] <= 1
    Path("m/mask.0003.png").unlink()
    ran = batch(*words, "--existing", "overwrite")
    assert ran.code == 1
    assert "mask.0003.png" in ran.err


def test_masks_of_a_movie_count_from_its_first_frame() -> None:
    for number in range(1001, 1006):
        save(Path(f"m/mask.{number}.png"), np.full((48, 64, 1), 255 * (number == 1002), np.uint8))
    words = ("clip.mkv", "-o", "out/clip.####.exr", "--first-frame", "1001", "--mask", "m/mask.####.png")
    ran = batch(*words)
    assert ran.code == 0, ran.err
    corner = [pixels_of(Path(f"out/clip.{number}.exr"))[2, 2, 0] for number in range(1001, 1006)]
    assert [light > 1.1 for light in corner] == [True, False, True, True, True]
