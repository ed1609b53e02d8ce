"""Plates read from files made by other writers than the package: Pillow, OpenImageIO, and bytes put together by hand."""

from __future__ import annotations

import hashlib
import os
import re
import struct
import tracemalloc
import zlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest
from PIL import Image, ImageOps

from expandnet_ofx import Settings
from expandnet_ofx.errors import InputError
from expandnet_ofx.hashes import content_hash
from expandnet_ofx.images import open_image, to_array

RNG = np.random.default_rng(5)
CODES = RNG.integers(0, 256, (17, 23, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (17, 23, 3), dtype=np.uint16)
LIGHT = (RNG.random((17, 23, 3)) * 3 - 0.5).astype(np.float32)
COVER = RNG.integers(0, 256, (17, 23, 1), dtype=np.uint8)

ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column, first row, step of columns, step of rows of each pass: ISO/IEC 15948, 8.2."""


def write_png(path: Path, codes: np.ndarray, *, interlaced: bool = False, palette: np.ndarray | None = None) -> Path:
    """Write a PNG by hand; `codes` are (H, W, C), or indices (H, W, 1) with a palette."""
    height, width, channels = codes.shape
    color = 3 if palette is not None else {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    big = codes.astype(codes.dtype.newbyteorder(">"))
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    grids = [big[y0::dy, x0::dx] for x0, y0, dx, dy in passes]
    rows = b"".join(b"\0" + row.tobytes() for grid in grids if grid.size for row in grid)
    head = struct.pack(">IIBBBBB", width, height, 8 * codes.itemsize, color, 0, 0, int(interlaced))
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    if palette is not None:
        chunks.insert(1, (b"PLTE", palette.tobytes()))
    body = b"".join(struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def write_psd(path: Path, codes: np.ndarray) -> Path:
    """Write a flat Photoshop file: header, three empty sections, uncompressed planes."""
    height, width, channels = codes.shape
    head = struct.pack(">4sH6xHIIHH", b"8BPS", 1, channels, height, width, 8 * codes.itemsize, 3)
    planes = np.moveaxis(codes, 2, 0).astype(codes.dtype.newbyteorder(">")).tobytes()
    path.write_bytes(head + struct.pack(">III", 0, 0, 0) + struct.pack(">H", 0) + planes)
    return path


def write_exr(path: Path, channels: dict[str, np.ndarray]) -> Path:
    """Write an uncompressed scan-line OpenEXR by hand; each channel keeps its own type: uint32, float16 or float32."""
    kinds = {"uint32": 0, "float16": 1, "float32": 2}
    names = sorted(channels)
    height, width = channels[names[0]].shape

    def attribute(name: str, kind: str, value: bytes) -> bytes:
        return name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(value)) + value

    entries = (n.encode() + b"\0" + struct.pack("<iiii", kinds[channels[n].dtype.name], 0, 1, 1) for n in names)
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    head = struct.pack("<II", 20000630, 2) + attribute("channels", "chlist", b"".join(entries) + b"\0")
    head += attribute("compression", "compression", b"\0") + attribute("dataWindow", "box2i", window)
    head += attribute("displayWindow", "box2i", window) + attribute("lineOrder", "lineOrder", b"\0")
    head += attribute("pixelAspectRatio", "float", struct.pack("<f", 1))
    head += attribute("screenWindowCenter", "v2f", bytes(8)) + attribute("screenWindowWidth", "float", bytes(4)) + b"\0"
    lines = [b"".join(channels[n][y].tobytes() for n in names) for y in range(height)]
    blocks = [struct.pack("<ii", y, len(line)) + line for y, line in enumerate(lines)]
    first = len(head) + 8 * height
    table = b"".join(struct.pack("<Q", first + y * len(blocks[0])) for y in range(height))
    path.write_bytes(head + table + b"".join(blocks))
    return path


def write_oiio(path: Path, pixels: np.ndarray, *, tile: int = 0, names: str = "", **attributes: object) -> Path:
    """Write with OpenImageIO; `__` in a keyword stands for the colon of an attribute's name."""
    height, width, channels = pixels.shape
    kind = {"float16": "half", "float32": "float"}.get(pixels.dtype.name, pixels.dtype.name)
    spec = oiio.ImageSpec(width, height, channels, kind)
    if names:
        spec.channelnames = tuple(names.split())
    spec.tile_width = spec.tile_height = tile
    for name, value in attributes.items():
        spec.attribute(name.replace("__", ":"), value)
    output = oiio.ImageOutput.create(str(path))
    assert output.open(str(path), spec), output.geterror()
    window = (spec.x, spec.x + width, spec.y, spec.y + height, 0, 1)
    assert output.write_tiles(*window, pixels) if tile else output.write_image(pixels), output.geterror()
    assert output.close()
    return path


def streaming(**changes: object) -> Settings:
    """Return settings under which even a tiny plate is read by rows, as a huge one is."""
    settings = Settings(**changes)  # type: ignore[arg-type]
    object.__setattr__(settings, "memory", 8)
    return settings


def write_named(folder: Path, name: str) -> tuple[Path, np.ndarray]:
    """Write one of the lossless files; return it with the codes that it holds."""
    path = folder / name.rpartition(" ")[2]
    rgba = np.concatenate((CODES, COVER), 2)
    gray, deep_gray = CODES[:, :, :1], DEEP[:, :, :1]
    bt709 = {"dpx__Transfer": "ITU-R 709-4"}
    makers = {
        "png": lambda: (write_png(path, CODES), CODES),
        "png16": lambda: (write_png(path, DEEP), DEEP),
        "gray": lambda: (write_png(path, gray), gray),
        "gray16": lambda: (write_png(path, deep_gray), deep_gray),
        "grayalpha": lambda: (write_png(path, rgba[:, :, 2:]), rgba[:, :, 2:]),
        "rgba": lambda: (write_png(path, rgba), rgba),
        "interlaced": lambda: (write_png(path, CODES, interlaced=True), CODES),
        "interlaced16": lambda: (write_png(path, DEEP, interlaced=True), DEEP),
        "palette": lambda: (write_png(path, gray, palette=PALETTE), PALETTE[gray[:, :, 0]]),
        "strips": lambda: (write_oiio(path, CODES, tiff__RowsPerStrip=5), CODES),
        "lzw": lambda: (save(path, CODES, compression="tiff_lzw"), CODES),
        "packbits": lambda: (save(path, CODES, compression="packbits"), CODES),
        "tiff16": lambda: (write_oiio(path, DEEP, compression="lzw"), DEEP),
        "tiff32f": lambda: (write_oiio(path, LIGHT, compression="zip"), LIGHT),
        "tiles": lambda: (write_oiio(path, DEEP, tile=16, compression="lzw"), DEEP),
        "planar": lambda: (write_oiio(path, CODES, planarconfig="separate"), CODES),
        "grayfloat": lambda: (save(path, LIGHT[:, :, 0]), LIGHT[:, :, :1]),
        "dpx8": lambda: (write_oiio(path, CODES, **bt709), CODES),
        "dpx16": lambda: (write_oiio(path, DEEP, **bt709), DEEP),
        "tga": lambda: (save(path, CODES), CODES),
        "tgarle": lambda: (save(path, CODES, compression="tga_rle"), CODES),
        "bmp": lambda: (save(path, CODES), CODES),
        "webp": lambda: (save(path, CODES, lossless=True), CODES),
        "jxl": lambda: (write_oiio(path, CODES, compression="jpegxl:100"), CODES),
        "jxl16": lambda: (write_oiio(path, DEEP, compression="jpegxl:100"), DEEP),
        "psd": lambda: (write_psd(path, CODES), CODES),
        "psd16": lambda: (write_psd(path, DEEP), DEEP),
        "ppm": lambda: (save(path, CODES), CODES),
        "sgi": lambda: (save(path, CODES), CODES),
        "exr": lambda: (write_oiio(path, LIGHT, compression="zip"), LIGHT),
        "exrhalf": lambda: (write_oiio(path, LIGHT.astype(np.float16), compression="piz"), LIGHT.astype(np.float16)),
        "exrtiles": lambda: (write_oiio(path, LIGHT, tile=8, compression="zips"), LIGHT),
        "exrhand": lambda: (write_exr(path, dict(zip("RGB", np.moveaxis(LIGHT, 2, 0), strict=True))), LIGHT),
    }
    return makers[name.partition(" ")[0]]()


PALETTE = RNG.integers(0, 256, (256, 3), dtype=np.uint8)


def save(path: Path, codes: np.ndarray, **options: object) -> Path:
    Image.fromarray(codes).save(path, **options)
    return path


ROWS = (
    "png a.png|png16 a.png|gray a.png|gray16 a.png|grayalpha a.png|rgba a.png|palette a.png|strips a.tif|lzw a.tif|"
    "packbits a.tif|tiff16 a.tif|tiff32f a.tif|tiles a.tif|planar a.tif|grayfloat a.tif|dpx8 a.dpx|dpx16 a.dpx|"
    "bmp a.bmp|exr a.exr|exrhalf a.exr|exrtiles a.exr|exrhand a.exr"
).split("|")
WHOLE = (
    "interlaced a.png|interlaced16 a.png|tga a.tga|tgarle a.tga|webp a.webp|jxl a.jxl|jxl16 a.jxl|psd a.psd|"
    "psd16 a.psd|ppm a.ppm|sgi a.sgi"
).split("|")


@pytest.mark.parametrize("name", ROWS + WHOLE)
def test_lossless_codes_come_back_with_their_type(tmp_path, name):
    path, expected = write_named(tmp_path, name)
    with open_image(path) as plate:
        found = to_array(plate)
        assert (plate.height, plate.width) == expected.shape[:2]
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def partitions(height: int) -> list[list[tuple[int, int]]]:
    rng = np.random.default_rng(9)
    cuts = [
        [0, *sorted(rng.choice(np.arange(1, height), count, replace=False)), height] for count in (1, 4, height - 1)
    ]
    forward = [[(int(a), int(b)) for a, b in pairwise(cut)] for cut in cuts]
    return forward + [part[::-1] for part in forward] + [[forward[1][k] for k in rng.permutation(5)]]


@pytest.mark.parametrize("name", [*ROWS, "interlaced a.png", "tga a.tga"])
def test_any_partition_of_rows_makes_up_the_picture(tmp_path, name):
    path, expected = write_named(tmp_path, name)
    with open_image(path, streaming() if name in ROWS else None) as plate:
        for part in partitions(plate.height):
            found = np.empty_like(expected)
            for start, stop in part:
                found[start:stop] = plate.rows(start, stop)
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", WHOLE)
def test_formats_that_decode_whole_are_refused_beyond_the_memory(tmp_path, name):
    path, _ = write_named(tmp_path, name)
    with pytest.raises(InputError, match=r"decodes only whole and needs 0 MiB; raise --memory"):
        open_image(path, streaming())


@pytest.mark.parametrize("bits", [10, 12])
def test_dpx_of_few_bits_fills_the_scale(tmp_path, bits):
    top = (1 << bits) - 1
    codes = RNG.integers(0, top + 1, (9, 16, 3))
    codes[0, :2] = [[0, 0, 0], [top, top, top]]
    wide = np.round(codes * (65535 / top)).astype(np.uint16)
    path = write_oiio(tmp_path / "a.dpx", wide, dpx__Transfer="SMPTE 274M", oiio__BitsPerSample=bits)
    with open_image(path) as plate:
        found = to_array(plate)
        assert plate.encoding.name == "bt1886"
    np.testing.assert_array_equal(np.round(found / 65535 * top), codes)
    assert found[0, 0].max() == 0
    assert found[0, 1].min() == 65535


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_matches_another_decoder(tmp_path, progressive):
    smooth = np.asarray(Image.fromarray(CODES).resize((160, 120), Image.Resampling.BICUBIC))
    path = save(tmp_path / "a.jpg", smooth, quality=95, subsampling=0, progressive=progressive)
    expected = np.asarray(Image.open(path)).astype(int)
    with open_image(path) as plate:
        whole = to_array(plate)
        assert np.abs(whole - expected).max() <= 1
    if progressive:
        with pytest.raises(InputError, match="decodes only whole"):
            open_image(path, streaming())
        return
    with open_image(path, streaming()) as plate:
        for part in partitions(plate.height):
            for start, stop in part:
                np.testing.assert_array_equal(plate.rows(start, stop), whole[start:stop])


@pytest.mark.parametrize("gray", [False, True])
def test_jpeg_of_one_and_three_channels(tmp_path, gray):
    path = save(tmp_path / "a.jpg", CODES[:, :, 0] if gray else CODES)
    with open_image(path) as plate:
        assert plate.color == ((0, 0, 0) if gray else (0, 1, 2))
        assert to_array(plate).shape == (17, 23, 1 if gray else 3)


def test_radiance_keeps_8_bits_of_the_brightest_channel(tmp_path):
    light = np.abs(LIGHT) + np.float32(0.01)
    path = write_oiio(tmp_path / "a.hdr", light)
    with open_image(path, streaming()) as plate:
        assert plate.encoding.name == "linear"
        found = np.concatenate([plate.rows(y, y + 1) for y in range(plate.height)])
    assert (np.abs(found - light) <= light.max(2, keepdims=True) / 127).all()


@pytest.mark.parametrize(
    ("names", "color", "alpha", "has_color"),
    [
        ("R G B", (0, 1, 2), None, True),
        ("A B G R", (3, 2, 1), 0, True),
        ("Z R G B A", (1, 2, 3), 4, True),
        ("Y", (0, 0, 0), None, True),
        ("Y A", (0, 0, 0), 1, True),
        ("left.R left.G left.B left.A", (0, 1, 2), 3, True),
        ("N.X N.Y N.Z R G B", (3, 4, 5), None, True),
        ("R G B id.A", (0, 1, 2), None, True),
        ("R G B id.R id.G id.B id.A", (0, 1, 2), None, True),
        ("left.R left.G left.B right.A", (0, 1, 2), None, True),
        ("Z", (0, 0, 0), None, False),
        ("A", (0, 0, 0), 0, False),
        ("P.X P.Y P.Z", (0, 0, 0), None, False),
        ("N.x N.y N.z", (0, 0, 0), None, False),
    ],
)
def test_channels_are_found_by_name(tmp_path, names, color, alpha, has_color):
    count = len(names.split())
    path = write_exr(tmp_path / "a.exr", {name: LIGHT[:, :, i % 3] for i, name in enumerate(names.split())})
    with open_image(path) as plate:
        assert len(plate.channels) == count
        assert (plate.has_color, plate.alpha is not None) == (has_color, alpha is not None)
        if has_color:
            assert [plate.channels[i] for i in plate.color] == [names.split()[i] for i in color]
        if alpha is not None:
            assert plate.channels[plate.alpha] == names.split()[alpha]


def associated() -> dict[str, np.ndarray]:
    """Return channels with light of 1, 2, 4 times alpha, and alpha 0, 0.25, 0.5, 1 by quarters of the columns."""
    cover = np.repeat(np.array([[0, 0.25, 0.5, 1]], np.float16), 4, 1).repeat(5, 0)
    return {"A": cover, "R": cover, "G": cover * np.float16(2), "B": cover * np.float16(4)}


def test_associated_alpha_is_divided_out(tmp_path):
    path = write_exr(tmp_path / "a.exr", associated())
    with open_image(path) as plate:
        found = to_array(plate)
        order, alpha = list(plate.color), found[:, :, plate.alpha]
    np.testing.assert_array_equal(alpha, associated()["A"])
    np.testing.assert_array_equal(found[:, 4:, order], np.broadcast_to([1, 2, 4], (5, 12, 3)))
    assert (found[:, :4, order] == 0).all()


def test_light_without_cover_is_kept(tmp_path):
    """Flames and glows are stored with alpha 0: light that adds and hides nothing."""
    channels = associated()
    channels["R"] = np.full_like(channels["R"], 0.375)
    path = write_exr(tmp_path / "a.exr", channels)
    with open_image(path) as plate:
        found = to_array(plate)
        assert (found[:, :4, plate.color[0]] == 0.375).all()


@pytest.mark.parametrize("unassociated", [0, 1])
def test_tiff_says_whether_alpha_is_associated(tmp_path, unassociated):
    rgba = np.concatenate((CODES // 2, np.full_like(COVER, 128)), 2)
    path = write_oiio(tmp_path / "a.tif", rgba, oiio__UnassociatedAlpha=unassociated)
    with open_image(path) as plate:
        found = to_array(plate)
    scale = 1 if unassociated else 128
    np.testing.assert_allclose(found[:, :, :3], rgba[:, :, :3] / scale, rtol=1e-6)
    if unassociated:
        assert found.dtype == np.uint8


def test_channels_of_several_types_are_read_exactly(tmp_path):
    half, single = LIGHT.astype(np.float16), LIGHT + np.float32(1e-6)
    path = write_exr(
        tmp_path / "a.exr", dict(zip("RGB", np.moveaxis(half, 2, 0), strict=True)) | {"Z": single[:, :, 0]}
    )
    with open_image(path, streaming()) as plate:
        found = np.concatenate([plate.rows(y, y + 3) for y in range(0, 15, 3)])
        names = plate.channels
    np.testing.assert_array_equal(found[:, :, names.index("Z")], single[:15, :, 0])
    for i, name in enumerate("RGB"):
        np.testing.assert_array_equal(found[:, :, names.index(name)], half[:15, :, i])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "jpg"])
def test_orientation_is_honored(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    options = {"webp": {"lossless": True}, "jpg": {"quality": 100, "subsampling": 0}}.get(suffix, {})
    path = save(tmp_path / f"a.{suffix}", CODES, exif=exif, **options)
    with Image.open(path) as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored).convert("RGB")).astype(int)
    with open_image(path) as plate:
        assert (plate.height, plate.width) == expected.shape[:2]
        assert plate.window == (0, 0, plate.width, plate.height)
        found = to_array(plate)
        rows = np.concatenate([plate.rows(y, y + 1) for y in range(plate.height)])
    assert np.abs(found - expected).max() <= (1 if suffix == "jpg" else 0)
    np.testing.assert_array_equal(rows, found)


@pytest.mark.parametrize(
    ("data", "display", "seen"),
    [
        ((0, 0), (0, 0, 23, 17), (0, 0, 23, 17)),
        ((-4, -3), (0, 0, 15, 11), (4, 3, 19, 14)),
        ((10, 6), (0, 0, 100, 50), (0, 0, 23, 17)),
        ((-5, 2), (0, 0, 10, 10), (5, 0, 15, 8)),
        ((200, 200), (0, 0, 10, 10), (0, 0, 23, 17)),
    ],
    ids=["same", "overscan", "cropped", "across the edge", "apart"],
)
def test_the_analysis_sees_data_inside_the_display_window(tmp_path, data, display, seen):
    spec = oiio.ImageSpec(23, 17, 3, "float")
    spec.x, spec.y = data
    spec.full_x, spec.full_y, spec.full_width, spec.full_height = display
    output = oiio.ImageOutput.create(str(tmp_path / "a.exr"))
    assert output.open(str(tmp_path / "a.exr"), spec)
    assert output.write_image(LIGHT)
    assert output.close()
    with open_image(tmp_path / "a.exr", streaming()) as plate:
        assert (plate.width, plate.height) == (23, 17)
        assert plate.window == seen
        np.testing.assert_array_equal(plate.rows(5, 9), LIGHT[5:9])


def test_tiles_with_a_negative_origin(tmp_path):
    spec = oiio.ImageSpec(23, 17, 3, "float")
    spec.x, spec.y, spec.tile_width, spec.tile_height = -7, -5, 8, 8
    spec.full_width, spec.full_height = 10, 10
    output = oiio.ImageOutput.create(str(tmp_path / "a.exr"))
    assert output.open(str(tmp_path / "a.exr"), spec)
    assert output.write_tiles(-7, 16, -5, 12, 0, 1, LIGHT)
    assert output.close()
    with open_image(tmp_path / "a.exr", streaming()) as plate:
        for start, stop in ((9, 17), (0, 17), (7, 8), (3, 12)):
            np.testing.assert_array_equal(plate.rows(start, stop), LIGHT[start:stop])


def test_parts_are_numbered(tmp_path):
    specs = []
    for name, channels in (("beauty", "R G B"), ("depth", "Z")):
        spec = oiio.ImageSpec(8, 6, len(channels.split()), "float")
        spec.channelnames = tuple(channels.split())
        spec.attribute("oiio:subimagename", name)
        specs.append(spec)
    path = tmp_path / "a.exr"
    output = oiio.ImageOutput.create(str(path))
    assert output.open(str(path), tuple(specs))
    assert output.write_image(LIGHT[:6, :8])
    assert output.open(str(path), specs[1], "AppendSubimage")
    assert output.write_image(np.ascontiguousarray(LIGHT[6:12, :8, :1]))
    assert output.close()
    with open_image(path) as beauty, open_image(path, part=1) as depth:
        assert (beauty.parts, beauty.has_color, depth.has_color) == (2, True, False)
        np.testing.assert_array_equal(beauty.rows(2, 4), LIGHT[2:4, :8])
        np.testing.assert_array_equal(depth.rows(2, 4), LIGHT[8:10, :8, :1])
    with pytest.raises(InputError, match="has no part 2"):
        open_image(path, part=2)


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


def test_the_content_hash_is_sha256(tmp_path):
    path = write_png(tmp_path / "a.png", CODES)
    assert content_hash(path) == hashlib.sha256(path.read_bytes()).hexdigest()


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
