"""Pictures that are refused in one line before anything is held, and large ones that are not."""

from __future__ import annotations

import os
import re
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest
from picture_files import CODES, WHOLE, streaming, write_exr, write_named, write_oiio, write_png
from PIL import Image

from expandnet_ofx import Settings
from expandnet_ofx.errors import InputError
from expandnet_ofx.images import open_image, to_array


@pytest.mark.parametrize("name", WHOLE)
def test_formats_that_decode_whole_are_refused_beyond_the_memory(tmp_path, name):
    path, _ = write_named(tmp_path, name)
    with pytest.raises(InputError, match=r"decodes only whole and needs 0 MiB; raise --memory"):
        open_image(path, streaming())


def test_a_closed_plate_is_named(tmp_path):
    plate = open_image(write_png(tmp_path / "a.png", CODES))
    plate.close()
    with pytest.raises(InputError, match=r"a\.png: already closed"):
        plate.rows(0, 1)


def test_what_is_no_picture_is_refused_in_one_line(tmp_path):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("not a picture\n" * 20)
    for name in ("folder.png", "empty.png", "text.png", "missing.png"):
        with pytest.raises(InputError) as caught:
            open_image(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InputError, match=r"pipe\.png: a pipe or a device"):
        open_image(tmp_path / "pipe.png")


@pytest.mark.parametrize("name", ["png a.png", "lzw a.tif", "exr a.exr", "dpx16 a.dpx", "bmp a.bmp", "tga a.tga"])
def test_a_file_cut_short_is_refused(tmp_path, name):
    path, _ = write_named(tmp_path, name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with pytest.raises(InputError, match=re.escape(str(path))), open_image(path) as plate:
        to_array(plate)


def declaring(name: str, edge: int) -> bytes:
    """Return the start of a file whose header declares `edge` x `edge` pixels, and next to nothing behind it."""
    if name == "png":
        chunk = b"IHDR" + struct.pack(">IIBBBBB", edge, edge, 16, 2, 0, 0, 0)
        data = b"IDAT" + zlib.compress(bytes(100))
        return b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in (chunk, data)
        )
    if name == "tif":
        tags = ((256, 4, edge), (257, 4, edge), (258, 3, 8), (259, 3, 1), (262, 3, 2), (273, 4, 200), (277, 3, 3))
        entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in (*tags, (278, 4, edge)))
        return b"II*\0" + struct.pack("<IH", 8, 8) + entries + bytes(204)
    if name == "bmp":
        return (
            b"BM" + struct.pack("<IHHIIiiHHIIiiII", 200, 0, 0, 54, 40, edge, edge, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(99)
        )
    if name == "tga":
        return struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, edge, edge, 24, 0) + bytes(99)
    if name == "psd":
        return struct.pack(">4sH6xHIIHH", b"8BPS", 1, 3, edge // 2, edge // 2, 8, 3) + bytes(14) + bytes(99)
    if name == "ppm":
        return b"P6 %d %d 255\n" % (edge, edge) + bytes(99)
    raise ValueError(name)


@pytest.mark.parametrize("name", ["png", "tif", "bmp", "tga", "psd", "ppm", "exr", "dpx"])
@pytest.mark.parametrize("memory", [1 << 30, 1 << 40])
def test_a_few_bytes_that_declare_gigapixels_are_refused_before_any_is_held(tmp_path, name, memory):
    path = tmp_path / f"a.{name}"
    if name == "exr":
        data = bytearray(write_exr(path, {c: np.zeros((1, 4), np.float16) for c in "RGB"}).read_bytes())
        at = data.index(b"box2i\0", data.index(b"dataWindow\0")) + 10
        data[at : at + 16] = struct.pack("<4i", 0, 0, 59_999, 59_999)
        path.write_bytes(data)
    elif name == "dpx":
        data = bytearray(write_oiio(path, CODES, dpx__Transfer="ITU-R 709-4").read_bytes())
        order = ">" if data[:4] == b"SDPX" else "<"
        data[772:780] = struct.pack(order + "II", 60_000, 60_000)
        path.write_bytes(data)
    else:
        path.write_bytes(declaring(name, 60_000))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=re.escape(str(path))):
            open_image(path, Settings(memory=memory))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


def write_exr_constant(path: Path, width: int, height: int, compression: str, channels: int = 4) -> Path:
    spec = oiio.ImageSpec(width, height, channels, "half")
    spec.attribute("compression", compression)
    output = oiio.ImageOutput.create(str(path))
    assert output.open(str(path), spec)
    band = np.zeros((256, width, channels), np.float16)
    for y in range(0, height, 256):
        assert output.write_scanlines(y, min(height, y + 256), 0, band[: min(256, height - y)])
    assert output.close()
    return path


@pytest.mark.parametrize(
    ("name", "mode", "options"),
    [
        ("a.png", "RGB", {}),
        ("one.png", "1", {}),
        ("palette.png", "P", {}),
        ("lzw.tif", "RGB", {"compression": "tiff_lzw"}),
        ("deflate.tif", "L", {"compression": "tiff_adobe_deflate"}),
        ("fax.tif", "1", {"compression": "group4"}),
        ("a.jpg", "RGB", {"quality": 10}),
        ("a.tga", "RGB", {"compression": "tga_rle"}),
        ("a.gif", "P", {}),
        ("a.bmp", "1", {}),
        ("a.webp", "RGB", {"lossless": True}),
    ],
)
def test_large_constant_pictures_are_accepted(tmp_path, name, mode, options):
    Image.new(mode, (4096, 4096)).save(tmp_path / name, **options)
    with open_image(tmp_path / name) as plate:
        assert not plate.rows(4000, 4096)[:, :, list(plate.color)].any()


@pytest.mark.parametrize("compression", ["zip", "zips", "rle", "piz", "pxr24", "b44a", "dwaa", "dwab"])
def test_large_constant_exrs_are_accepted(tmp_path, compression):
    """Such as a mask that keeps nothing out, or the black before a fade."""
    path = write_exr_constant(tmp_path / "a.exr", 4096, 2160, compression)
    with open_image(path) as plate:
        assert not plate.rows(2000, 2160).any()
