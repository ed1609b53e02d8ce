"""Plates read from files made by other writers than the package: Pillow, OpenImageIO, and bytes put together by hand."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np
import OpenImageIO as oiio
import pytest
from picture_files import (
    CODES,
    COVER,
    LIGHT,
    RNG,
    ROWS,
    WHOLE,
    save,
    streaming,
    write_exr,
    write_named,
    write_oiio,
    write_png,
)
from PIL import Image, ImageOps

from expandnet_ofx.errors import InputError
from expandnet_ofx.hashes import content_hash, pixel_hash
from expandnet_ofx.images import open_image, to_array


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


def test_the_content_hash_is_sha256(tmp_path):
    path = write_png(tmp_path / "a.png", CODES)
    assert content_hash(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_pixels_are_told_apart_and_their_header_is_not(tmp_path):
    """What names a host's plate: a comment is not of it, one sample is, and so are windows and the aspect of pixels."""
    rows = (1 << 20) // 23 + 5
    pixels = np.random.default_rng(1).random((rows, 23, 3)).astype(np.float16)
    own = pixel_hash(write_oiio(tmp_path / "a.exr", pixels))
    assert pixel_hash(write_oiio(tmp_path / "b.exr", pixels, Artist="somebody")) == own
    last = pixels.copy()
    last[-1, -1, 2] += 1
    others = [
        write_oiio(tmp_path / "c.exr", last),
        write_oiio(tmp_path / "d.exr", pixels, PixelAspectRatio=2.0),
        write_oiio(tmp_path / "e.exr", pixels[:-1]),
        write_oiio(tmp_path / "f.exr", pixels, names="R G A"),
    ]
    assert len({own, *map(pixel_hash, others)}) == 5
