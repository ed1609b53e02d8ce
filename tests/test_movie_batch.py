"""Movies through the batch command: numbered results, their light, rate and sheets."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest
from commands import batch, files_in, pixels_of, replace_network

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


def test_a_range_of_frames_is_made_and_kept() -> None:
    words = ("clip.mkv", "-o", "out/clip.####.exr", "--frames", "2-4x2", "--existing", "skip")
    assert batch(*words).code == 0
    assert files_in(Path("out")) == ["clip.0002.exr", "clip.0004.exr"]
    before = [Path("out", name).stat().st_ino for name in files_in(Path("out"))]
    assert "2 up to date" in batch(*words).out
    assert [Path("out", name).stat().st_ino for name in files_in(Path("out"))] == before


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
