"""Bad inputs, bad places, bad weights, signals and sudden death: one line each, and only complete files."""

from __future__ import annotations

import ctypes
import json
import os
import pickle
import random
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import OpenImageIO as oiio
import pytest
from commands import LIGHT, ROOT, batch, files_in, pixels_of, plate, replace_network, save, start
from samples import FORMATS, peak_mib

from expandnet_ofx.partials import is_partial, partial_name


@pytest.fixture(autouse=True)
def _light(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    replace_network(monkeypatch)
    monkeypatch.chdir(tmp_path)


def refused(path: Path | str, *words: str) -> str:
    """Convert a bad file between two good ones; return its complaint, which must be one line that names it."""
    for name in ("a.png", "z.png"):
        if not Path(name).exists():
            save(Path(name), plate())
    ran = batch("a.png", path, "z.png", "-o", "out", "-q", *words)
    assert ran.code == 1, ran
    assert files_in(Path("out")) == ["a.exr", "z.exr"]
    assert Path(path).name in ran.complaint
    return ran.complaint


@pytest.mark.parametrize("name", FORMATS)
def test_cut_files(name: str) -> None:
    data = FORMATS[name]()[0]
    for number, size in enumerate((1, 8, 20)):
        Path(f"cut{number}.{name}").write_bytes(data[:size])
        refused(f"cut{number}.{name}", "--input-space", "srgb")


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"jxl", "fits"}))
def test_files_that_end_within_the_pixels(name: str) -> None:
    data = FORMATS[name]()[0]
    Path(f"half.{name}").write_bytes(data[: len(data) * 6 // 10])
    refused(f"half.{name}", "--input-space", "srgb")


@pytest.mark.parametrize("name", FORMATS)
def test_garbage_of_every_suffix(name: str) -> None:
    Path(f"x.{name}").write_bytes(random.Random(name).randbytes(5000))
    refused(f"x.{name}")
    Path(f"text.{name}").write_text("<html>404 not found</html>\n" * 50)
    refused(f"text.{name}")


def test_empty_file() -> None:
    Path("x.png").touch()
    assert "empty" in refused("x.png")


@pytest.mark.parametrize(
    ("name", "suffix"), [("png", "jpg"), ("jpg", "png"), ("tif", "dpx"), ("exr", "tif"), ("png", "")]
)
def test_content_decides_not_the_suffix(name: str, suffix: str) -> None:
    data = FORMATS[name]()[0]
    Path(f"right.{name}").write_bytes(data)
    wrong = Path("wrong" + ("." + suffix if suffix else ""))
    wrong.write_bytes(data)
    for path, output in ((Path(f"right.{name}"), "right.exr"), (wrong, "wrong.exr")):
        ran = batch(path, "-o", f"out/{output}")
        assert ran.code == 0, ran.err
    assert np.array_equal(pixels_of(Path("out/right.exr")), pixels_of(Path("out/wrong.exr")))


def test_files_that_cannot_be_read() -> None:
    Path("dangling.png").symlink_to("nowhere.png")
    assert "cannot be read" in refused("dangling.png")
    Path("loop.png").symlink_to("loop.png")
    assert "cannot be read" in refused("loop.png")
    if os.geteuid():
        save(Path("locked.png"), plate()).chmod(0)
        assert "cannot be read" in refused("locked.png")


def test_a_folder_that_is_named_like_a_picture() -> None:
    Path("x.png").mkdir()
    assert "folder" in refused("x.png")


def test_a_pipe_is_no_picture() -> None:
    os.mkfifo("x.png")
    assert "x.png" in refused("x.png")


def test_names_that_are_not_unicode(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", plate())
    save(tmp_path / "x.png", plate()).rename(os.fsdecode(os.fsencode(tmp_path / "in") + b"/caf\xe9.png"))
    ran = batch("in", "-o", "out")
    assert "internal fault" not in ran.err
    assert Path("out/a.exr").exists()


@pytest.mark.parametrize("name", ["tga", "jpg", "tif", "dpx", "png"])
def test_metadata_that_is_not_unicode(name: str) -> None:
    data = FORMATS[name]()[0]
    if name == "tga":
        # Truevision TGA 2.0, extension area: the author's name follows its size.
        at = data.rindex(b"TRUEVISION-XFILE") - 8
        extension = struct.unpack_from("<I", data, at)[0]
        data = data[: extension + 2] + b"Jos\xe9".ljust(41, b"\0") + data[extension + 43 :]
    else:
        assert b"Camera" in data or name in ("dpx", "png", "jpg")
        data = data.replace(b"Camera", b"Cam\xe9ra")
    Path(f"x.{name}").write_bytes(data)
    save(Path("z.png"), plate())
    ran = batch(f"x.{name}", "z.png", "-o", "out", "--input-space", "srgb")
    assert "internal fault" not in ran.err
    assert Path("out/z.exr").exists()


def _lying(name: str, size: int) -> bytes:
    """Return a few bytes that declare size x size pixels."""
    if name == "png":
        chunk = b"IHDR" + struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
        start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
        return start + struct.pack(">I", 99999) + b"IDAT" + bytes(500)
    if name == "tga":
        return struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, size, size, 24, 0) + bytes(500)
    if name == "ppm":
        return b"P6\n%d %d\n255\n" % (size, size) + bytes(500)
    if name == "bmp":
        head = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 554, 0, 0, 54, 40, size, size, 1, 24, 0, 0, 0, 0, 0, 0)
        return head + bytes(500)
    if name == "hdr":
        return b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y %d +X %d\n" % (size, size) + bytes(500)
    if name == "psd":
        return struct.pack(">4sH6xHIIHH12xH", b"8BPS", 1, 3, size, size, 8, 3, 0) + bytes(500)
    data = bytearray(FORMATS[name]()[0])
    if name == "sgi":
        data[6:10] = struct.pack(">HH", size, size)
    elif name == "dpx":
        order = "<" if data[:4] == b"XPDS" else ">"
        data[772:780] = struct.pack(f"{order}II", size, size)
    elif name == "exr":
        for window in (b"dataWindow\0box2i\0", b"displayWindow\0box2i\0"):
            at = data.index(window) + len(window) + 4
            data[at : at + 16] = struct.pack("<4i", 0, 0, size - 1, size - 1)
    elif name == "tif":
        offset = struct.unpack_from("<I", data, 4)[0]
        for entry in range(struct.unpack_from("<H", data, offset)[0]):
            at = offset + 2 + 12 * entry
            if struct.unpack_from("<H", data, at)[0] in (256, 257, 278):
                data[at + 2 : at + 12] = struct.pack("<HII", 4, 1, size)
    return bytes(data)


@pytest.mark.parametrize("size", [7000, 60000])
@pytest.mark.parametrize("name", ["png", "tga", "ppm", "bmp", "hdr", "psd", "sgi", "dpx", "exr", "tif"])
def test_files_too_short_for_their_size(name: str, size: int) -> None:
    """OpenImageIO refuses the larger size on its own account, not the smaller one."""
    # A first round takes what the program itself needs.
    Path("warm.png").write_bytes(b"x")
    refused("warm.png")
    Path(f"x.{name}").write_bytes(_lying(name, size))
    peak_mib()
    before = peak_mib()
    refused(f"x.{name}", "--input-space", "srgb")
    # The pixels of 7000 x 7000 would take 140 to 560 MiB.
    assert peak_mib() - before < 64


@pytest.mark.parametrize("order", ["<", ">"])
def test_cineon_headers_allocate_nothing(order: str) -> None:
    """OpenImageIO takes the length of the user's data (Kodak Cineon 4.5, bytes 16 to 19) at its word."""
    head = struct.pack(f"{order}6I8s", 0x802A5FD7, 2048, 1024, 1024, 0x7FFFFFFF, 4096, b"V4.5")
    Path("warm.png").write_bytes(b"x")
    refused("warm.png")
    Path("x.cin").write_bytes(head.ljust(4096, b"\0"))
    peak_mib()
    before = peak_mib()
    refused("x.cin", "--force")
    assert peak_mib() - before < 64


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_within_a_destructor_is_not_lost(name: str, code: int) -> None:
    """Python drops what is raised there (reference, 3.3.1, `object.__del__`)."""
    script = f"""
import signal, sys, time, click
from expandnet_batch.edge import run_command

class Dying:
    def __del__(self):
        signal.raise_signal(signal.{name})

@click.command()
def command():
    Dying()
    time.sleep(30)

sys.exit(run_command(command))
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=False)
    assert ran.returncode == code, ran.stderr
    assert "Exception ignored" not in ran.stderr


def test_what_killed_runs_kept_of_shots_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "tmp"
    monkeypatch.setattr("tempfile.tempdir", str(place))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    host = partial_name(Path("x")).name.split(".")[2].split("-")[0]
    left, living, foreign = (f"expandnet-{host}-{gone.pid}-a", f"expandnet-{host}-{os.getpid()}-b", "expandnet-user")
    for name in (left, living, foreign):
        (place / name).mkdir(parents=True)
        (place / name / "maps.exr").write_bytes(b"x")
    for number in (1, 2):
        save(Path(f"s.{number}.png"), plate())
    assert batch("s.%d.png", "-o", "out").code == 0
    assert sorted(path.name for path in place.iterdir()) == sorted((living, foreign))


def test_a_small_disk_for_temporary_files_is_told_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))

    def disk_usage(folder: Path) -> SimpleNamespace:
        return SimpleNamespace(free=1 << 10 if place in Path(folder).parents else 1 << 40)

    monkeypatch.setattr("shutil.disk_usage", disk_usage)
    for number in (1, 2):
        save(Path(f"s.{number}.png"), plate())
    ran = batch("s.%d.png", "-o", "out", "--frames", "1-2")
    assert ran.code == 2, ran.err
    assert "TMPDIR" in ran.complaint
    assert not list(place.iterdir())


@pytest.mark.parametrize("name", ["bmp", "dpx", "hdr", "exr", "ppm"])
def test_a_first_frame_that_lies_about_its_size_stops_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10 << 20))
    Path(f"a.{name}").write_bytes(_lying(name, 7000))
    save(Path("z.png"), plate())
    ran = batch(f"a.{name}", "z.png", "-o", "out", "-q", "--input-space", "srgb")
    assert ran.code == 1, ran
    assert Path("out/z.exr").exists()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (40, 1), (2, 3)])
def test_tiny_plates(height: int, width: int) -> None:
    save(Path("x.png"), np.full((height, width, 3), 255, np.uint8))
    assert batch("x.png", "-o", "out", "--preview", "all", "--matte").code == 0
    light = pixels_of(Path("out/x.exr"))
    assert light.shape == (height, width, 6)
    assert np.isfinite(light).all()
    assert (light[:, :, :3] >= 1).all()


@pytest.mark.parametrize("code", [0, 128, 255])
def test_constant_plates(code: int) -> None:
    save(Path("x.png"), np.full((20, 30, 3), code, np.uint8))
    ran = batch("x.png", "-o", "out", "--preview", "all")
    assert ran.code == 0, ran.err
    light = pixels_of(Path("out/x.exr"))
    assert np.isfinite(light).all()
    if code < 255:
        value = code / 255 / 12.92 if code < 11 else ((code / 255 + 0.055) / 1.055) ** 2.4
        np.testing.assert_allclose(light, value, rtol=6e-4)
    else:
        assert (light >= 1).all()


@pytest.mark.parametrize("suffix", ["exr", "tif"])
def test_floats_that_are_no_light(suffix: str) -> None:
    pixels = np.full((20, 30, 3), 0.25, np.float32)
    pixels[2, 3], pixels[4, 5], pixels[6, 7], pixels[8, 9] = np.nan, np.inf, -0.5, -np.inf
    save(Path(f"x.{suffix}"), pixels)
    ran = batch(f"x.{suffix}", "-o", "out", "--input-space", "linear", "--json", "r.json")
    assert ran.code == 0, ran.err
    light = pixels_of(Path("out/x.exr"))
    assert np.isfinite(light).all()
    assert (light[2, 3] == 0).all()
    assert (light[4, 5] == 65504).all()
    assert (light[6, 7] == -0.5).all()
    assert "3 NaN and 6 infinite" in ran.out
    rest = np.ones((20, 30), bool)
    rest[[2, 4, 6, 8], [3, 5, 7, 9]] = False
    assert (light[rest] == 0.25).all()


def _mount(folder: Path, size: str, flags: int = 0) -> bool:
    """Mount a small file system, read-only with flag 1 (mount(2)); False without the right to."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "mount"):
        return False
    folder.mkdir()
    return not libc.mount(b"none", os.fsencode(folder), b"tmpfs", flags, f"size={size}".encode())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    if not _mount(folder, "64k"):
        pytest.skip("needs the right to mount")
    yield folder
    ctypes.CDLL(None).umount2(os.fsencode(folder), 2)


def _noise(path: Path, seed: int, edge: int) -> None:
    save(path, np.random.default_rng(seed).integers(0, 256, (edge, edge, 3), dtype=np.uint8))


def test_no_space_on_the_disk(small_disk: Path) -> None:
    for number in range(3):
        # About 36 KiB each as EXR: one fits, and the estimate is within three times. Two are written at once, so both may
        # find the disk full.
        _noise(Path(f"in/{number}.png"), number, 80)
    ran = batch("in", "-o", small_disk, "--progress", "none")
    assert ran.code == 1
    whole = files_in(small_disk)
    assert len(whole) <= 1
    for name in whole:
        assert pixels_of(small_disk / name).shape == (80, 80, 3)
    failed = [line for line in ran.err.splitlines() if line.startswith("failed  ")]
    assert len(failed) == 3 - len(whole)
    assert all("cannot be written" in line for line in failed)


@pytest.mark.parametrize("words", [["--matte", "--output-space", "aces2065-1"], ["--preview", "all"], ["--float"]])
def test_no_space_leaves_nothing_half_written(small_disk: Path, words: list[str]) -> None:
    (small_disk / "filler").write_bytes(bytes(40 << 10))
    _noise(Path("x.png"), 1, 70)
    ran = batch("x.png", "-o", small_disk, "--progress", "none", *words)
    assert ran.code == 1
    assert ran.complaint
    assert files_in(small_disk) == ["filler"]


def test_a_disk_far_too_small_is_refused_before_work(small_disk: Path) -> None:
    for number in range(9):
        _noise(Path(f"in/{number}.png"), number, 100)
    ran = batch("in", "-o", small_disk / "sub")
    assert ran.code == 2
    assert "room" in ran.err
    assert files_in(small_disk) == []


def test_a_file_size_limit(tmp_path: Path) -> None:
    _noise(tmp_path / "x.png", 1, 120)
    limit = "import resource as r; r.setrlimit(r.RLIMIT_FSIZE, (30 << 10, 30 << 10));"
    process = start("x.png", "-o", "out", cwd=tmp_path, before=LIGHT + limit)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    assert "cannot be written" in err
    assert "Traceback" not in err
    assert files_in(tmp_path) == ["x.png"]


def test_output_places_that_do_not_work() -> None:
    save(Path("x.png"), plate())
    Path("file").write_text("")
    ran = batch("x.png", "-o", "file/out")
    assert ran.code in (1, 2)
    assert "file/out" in ran.err
    Path("out/x.exr").mkdir(parents=True)
    ran = batch("x.png", "-o", "out", "-q")
    assert ran.code in (1, 2)
    assert "x.exr" in ran.complaint
    assert files_in(Path("out")) == []
    for place in ("/proc/nothing", "/sys/nothing"):
        if Path(place).parent.is_dir():
            ran = batch("x.png", "-o", place, "-q")
            assert ran.code in (1, 2)
            assert place.split("/")[1] in ran.complaint


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "locked"
    if _mount(folder, "64k", flags=1):
        yield folder
        ctypes.CDLL(None).umount2(os.fsencode(folder), 2)
        return
    folder.chmod(0o555)
    if os.access(folder, os.W_OK):
        pytest.skip("this user may write everywhere and not mount")
    yield folder
    folder.chmod(0o755)


@pytest.mark.parametrize("deeper", [".", "sub/folder"])
def test_read_only_folder(read_only: Path, deeper: str) -> None:
    save(Path("x.png"), plate())
    ran = batch("x.png", "-o", read_only / deeper, "-q")
    assert ran.code in (1, 2)
    assert "locked" in ran.complaint
    assert "cannot be" in ran.complaint or " free" in ran.complaint


class _Bomb:
    def __reduce__(self) -> object:
        return Path.touch, (Path("executed"),)


def _weights(kind: str) -> Path:
    from safetensors.numpy import load_file, save_file

    path = Path(f"{kind}.safetensors")
    good = next((ROOT / "expandnet_ofx" / "weights").glob("*.safetensors"))
    if kind == "cut":
        path.write_bytes(good.read_bytes()[:100_000])
    elif kind == "garbage":
        path.write_bytes(random.Random(1).randbytes(4000))
    elif kind == "empty":
        path.touch()
    elif kind == "flipped":
        data = bytearray(good.read_bytes())
        # The exponent of every second float becomes that of NaN.
        data[-1000:] = b"\xff" * 1000
        path.write_bytes(data)
    elif kind == "hostile":
        path.write_bytes(pickle.dumps(_Bomb()))
    elif kind == "foreign":
        save_file({"conv1.weight": np.ones((3, 3), np.float32)}, path)
    elif kind == "bare":
        save_file(load_file(good), path)
    elif kind == "folder":
        path.mkdir()
    return path


@pytest.mark.parametrize(
    "kind", ["absent", "cut", "garbage", "empty", "flipped", "hostile", "foreign", "bare", "folder"]
)
def test_bad_weights(kind: str) -> None:
    save(Path("x.png"), plate())
    path = _weights(kind)
    ran = batch("x.png", "-o", "out", "--weights", path)
    assert ran.code == 2
    assert path.name in ran.complaint
    assert not Path("out").exists()
    assert not Path("executed").exists()


def test_pickled_weights_are_not_opened() -> None:
    save(Path("x.png"), plate())
    Path("x.pth").write_bytes(pickle.dumps(_Bomb()))
    ran = batch("x.png", "-o", "out", "--weights", "x.pth")
    assert ran.code == 2
    assert "expandnet weights import" in ran.complaint
    assert not Path("executed").exists()


def test_leftovers_are_swept_and_never_inputs() -> None:
    save(Path("in/x.png"), plate())
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    ).stdout.strip()
    left = partial_name(Path("in/old.png")).name.replace(f"-{os.getpid()}-", f"-{dead}-")
    mine = partial_name(Path("in/new.png")).name.replace(f"-{os.getpid()}-", f"-{os.getppid()}-")
    for name in (left, mine):
        save(Path("in", name), plate())
    assert is_partial(Path(left))
    assert batch("in", "-o", "out").code == 0
    assert batch("in/*", "-o", "out2").code == 0
    assert batch("in/.*", "-o", "out3").code == 2
    assert files_in(Path("out")) == files_in(Path("out2")) == ["x.exr"]
    for name in (left, mine):
        save(Path("out", name), plate())
    assert batch("in", "-o", "out").code == 0
    assert files_in(Path("out")) == sorted([mine, "x.exr"])


def _frames(folder: Path, count: int) -> list[str]:
    for number in range(count):
        save(folder / "in" / f"f.{number:04d}.png", plate(number))
    return [f"f.{number:04d}.exr" for number in range(count)]


@pytest.mark.parametrize(
    ("number", "code", "times"),
    [(signal.SIGINT, 130, 1), (signal.SIGTERM, 143, 1), (signal.SIGTERM, 143, 3), (signal.SIGINT, 130, 2)],
)
def test_signals_leave_only_complete_files(tmp_path: Path, number: signal.Signals, code: int, times: int) -> None:
    names = _frames(tmp_path, 80)
    process = start("in", "-o", "out", "--steady", "off", "--json", "r.json", cwd=tmp_path)
    assert process.stdout is not None
    while "out" not in process.stdout.readline():
        assert process.poll() is None
    for _ in range(times):
        process.send_signal(number)
        time.sleep(0.05)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert "Exception" not in err
    made = files_in(tmp_path / "out")
    assert 0 < len(made) < len(names)
    assert set(made) <= set(names)
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["interrupted"] is True
    assert report["left"] == len(names) - len(report["frames"]) > 0
    for name in made:
        assert pixels_of(tmp_path / "out" / name).shape == (24, 32, 3)


AWKWARD = """
import os, signal, expandnet_ofx.writer
plain = expandnet_ofx.writer.ImageWriter.{method}
def hit(self, *words):
    if {early}: os.kill(os.getpid(), signal.SIGTERM)
    plain(self, *words)
    if not {early}: os.kill(os.getpid(), signal.SIGTERM)
expandnet_ofx.writer.ImageWriter.{method} = hit
"""


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("method", ["__init__", "open", "write", "commit", "discard"])
def test_a_signal_at_an_awkward_moment(tmp_path: Path, method: str, early: bool) -> None:
    names = _frames(tmp_path, 2)
    before = LIGHT + AWKWARD.format(method=method, early=early)
    process = start("in", "-o", "out", cwd=tmp_path, before=before)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert "Traceback" not in err
    made = files_in(tmp_path / "out")
    assert set(made) <= set(names)
    for name in made:
        assert pixels_of(tmp_path / "out" / name).shape == (24, 32, 3)


def test_a_reader_that_goes_away(tmp_path: Path) -> None:
    _frames(tmp_path, 6)
    process = start("in", "-o", "out", cwd=tmp_path)
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
    assert "Traceback" not in err
    assert not [name for name in files_in(tmp_path / "out") if is_partial(Path(name))]


def test_killed_at_any_moment_and_run_again(tmp_path: Path) -> None:
    names = _frames(tmp_path, 8)
    words = ["in", "--matte", "--preview", "all", "--existing", "skip"]
    process = start(*words, "-o", "whole", cwd=tmp_path)
    process.communicate(timeout=120)
    assert process.returncode == 0
    whole = {name: (tmp_path / "whole" / name).read_bytes() for name in files_in(tmp_path / "whole")}
    assert len(whole) == 2 * len(names)
    rng = random.Random(7)
    killed = 0
    for _ in range(6):
        process = start(*words, "-o", "out", cwd=tmp_path)
        assert process.stdout is not None
        for _ in range(rng.randrange(5)):
            process.stdout.readline()
        time.sleep(rng.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        killed += process.returncode == -signal.SIGKILL
        for name in files_in(tmp_path / "out"):
            assert is_partial(Path(name)) or (tmp_path / "out" / name).read_bytes() == whole[name], name
    assert killed
    process = start(*words, "-o", "out", cwd=tmp_path)
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert {name: (tmp_path / "out" / name).read_bytes() for name in files_in(tmp_path / "out")} == whole


def test_killed_while_a_sheet_is_written(tmp_path: Path) -> None:
    _frames(tmp_path, 1)
    kill = "import os, PIL.Image; PIL.Image.Image.save = lambda *words, **more: os.kill(os.getpid(), 9);"
    words = ["in", "-o", "out", "--preview", "all", "--existing", "skip"]
    for before, code in ((LIGHT + kill, -signal.SIGKILL), (LIGHT, 0)):
        process = start(*words, cwd=tmp_path, before=before)
        process.communicate(timeout=60)
        assert process.returncode == code
    assert files_in(tmp_path / "out") == ["f.0000.exr", "f.0000.preview.png"]


def test_a_decoder_error_is_not_carried_to_the_next_file() -> None:
    """OpenImageIO keeps messages per thread; one that nobody fetched must not condemn the next, sound file."""
    for number in range(4):
        Path(f"bad{number}.exr").write_bytes(FORMATS["exr"]()[0][: 400 + 300 * number])
        save(Path(f"good{number}.png"), plate(number))
    words = [name for number in range(4) for name in (f"bad{number}.exr", f"good{number}.png")]
    ran = batch(*words, "-o", "out", "-q")
    assert ran.code == 1
    assert files_in(Path("out")) == [f"good{number}.exr" for number in range(4)]
    oiio.geterror()
