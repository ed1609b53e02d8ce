"""Bad inputs, odd plates and bad weights: one line each, and what is good is done."""

from __future__ import annotations

import os
import pickle
import random
import struct
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import OpenImageIO as oiio
import pytest
from commands import ROOT, batch, files_in, pixels_of, plate, save
from samples import FORMATS, peak_mib

pytestmark = pytest.mark.usefixtures("light_network")


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
