"""Pixel formats of movies and where their chroma lies, against pictures written plane by plane."""

from dataclasses import replace

import numpy as np
import pytest
from movie_files import BARS_601, COLUMNS, HEIGHT, ROWS, WIDTH, frame_of, noise, planes_of, read, write

from expandnet_ofx.movies import Movie
from expandnet_ofx.video_pixels import find_layout, plain_name, to_codes

av = pytest.importorskip("av")


@pytest.mark.parametrize("fmt", ["gbrp10le", "gbrp12le", "gbrp16le", "rgb24", "rgb48le", "bgra"])
def test_rgb_is_kept_code_by_code(tmp_path, fmt):
    bits = av.VideoFormat(fmt).components[0].bits
    top = 2**bits - 1
    red, green, blue = COLUMNS * top // 63, ROWS * top // 47, (COLUMNS + ROWS) * top // 110
    if fmt.startswith("gbrp"):
        frame = frame_of([green, blue, red], fmt)
    else:
        order = (blue, green, red, red * 0 + top) if fmt == "bgra" else (red, green, blue)
        frame = frame_of([np.stack(order, axis=-1)], fmt)
    raw = fmt in ("rgb24", "bgra")
    path = tmp_path / ("a.nut" if raw else "a.mkv")
    info, (codes,) = read(write(path, [frame], codec="rawvideo" if raw else "ffv1"))
    assert info.full_range
    assert info.bit_depth == bits
    assert ("its alpha channel is left out" in info.warnings) == (fmt == "bgra")
    np.testing.assert_allclose(codes, np.stack([red, green, blue], axis=-1) * (65535 / top), atol=0.51, rtol=0)


def test_rows_stored_from_the_bottom_up(tmp_path):
    frame = frame_of([np.stack([COLUMNS, ROWS, COLUMNS + ROWS], axis=-1)], "bgr24")
    _, (codes,) = read(write(tmp_path / "a.avi", [frame], codec="rawvideo"))
    np.testing.assert_array_equal(codes, np.stack([COLUMNS + ROWS, ROWS, COLUMNS], axis=-1) * 257)


def convert(tmp_path, frame, **changes):
    """Convert a frame of a format that no container here can hold, with the tags of an untagged small movie."""
    info = Movie(write(tmp_path / "a.mkv", noise(1))).info
    return to_codes(frame, replace(info, **changes))


@pytest.mark.parametrize("fmt", ["nv12", "p010le", "yuyv422", "uyvy422", "nv21"])
def test_interleaved_formats_match_the_published_red(tmp_path, fmt):
    scale = 256 if fmt == "p010le" else 1
    y, cb, cr = (code * scale for code in BARS_601[1, 0, 0])
    luma = np.full((HEIGHT, WIDTH), y)
    if fmt in ("yuyv422", "uyvy422"):
        order = [y, cb, y, cr] if fmt == "yuyv422" else [cb, y, cr, y]
        planes = [np.tile(order, (HEIGHT, WIDTH // 2))]
    else:
        planes = [luma, np.tile([cr, cb] if fmt == "nv21" else [cb, cr], (HEIGHT // 2, WIDTH // 2))]
    codes = convert(tmp_path, frame_of(planes, fmt))
    np.testing.assert_allclose(codes.reshape(-1, 3) / 65535, [[1, 0, 0]] * codes[..., 0].size, atol=0.0075)


def test_a_format_without_plain_layout_goes_through_a_planar_one_unchanged(tmp_path):
    # x2rgb10 packs three 10-bit codes into 32 bits.
    value = (700 << 20) | (300 << 10) | 5
    frame = frame_of([np.tile([value & 0xFFFF, value >> 16], (HEIGHT, WIDTH))], "x2rgb10le")
    codes = convert(tmp_path, frame, full_range=True)
    np.testing.assert_array_equal(codes[9, 9], np.round(np.array([700, 300, 5]) * 65535 / 1023))


@pytest.mark.parametrize("fmt", ["vuyx", "y210le", "xv30le"])
def test_packed_luma_and_chroma_change_neither_range_nor_matrix(tmp_path, fmt):
    plain = frame_of(planes_of([[code * 4 for code in BARS_601[1, 0, 0]]], "yuv444p10le"), "yuv444p10le")
    codes = convert(tmp_path, plain.reformat(format=fmt))
    np.testing.assert_allclose(codes[9, 9] / 65535, [1, 0, 0], atol=0.0075)


PLAIN = [
    "gbrp",
    "yuv410p",
    "yuv411p",
    "yuv440p12le",
    "yuvj422p",
    "yuva444p16be",
    "gbrap14be",
    "gray9le",
    "ya16be",
    "nv20le",
]
OTHER = ["rgb555be", "pal8", "monow", "bayer_rggb16le", "gbrpf32le", "grayf32le", "uyyvyy411", "ayuv64le", "v30xle"]


@pytest.mark.parametrize("fmt", PLAIN + OTHER)
def test_every_pixel_format_finds_a_layout(fmt):
    pixel = av.VideoFormat(fmt, WIDTH, HEIGHT)
    assert (find_layout(pixel) is not None) == (fmt in PLAIN)
    if fmt in OTHER:
        plain = av.VideoFormat(plain_name(pixel), WIDTH, HEIGHT)
        assert find_layout(plain) is not None
        assert plain.chroma_width() == pixel.chroma_width()
        assert plain.components[0].bits >= min(16, pixel.components[0].bits)


# --- chroma siting


def edge_of(codes):
    """Return where, in luma pixels, B' passes the middle between its two levels on the middle row."""
    row = codes[HEIGHT // 2, :, 2].astype(float)
    middle = (row[0] + row[-1]) / 2
    before = int(np.argmax(row > middle)) - 1
    return before + (middle - row[before]) / (row[before + 1] - row[before])


@pytest.mark.parametrize(
    ("location", "edge"),
    [("left", 31.0), ("topleft", 31.0), ("center", 31.5), ("top", 31.5), (None, 31.0)],
)
def test_a_vertical_chroma_edge_lies_where_the_siting_says(tmp_path, location, edge):
    # Chroma samples 0 to 15 hold one color and 16 to 31 another: the edge is at 15.5 chroma samples, so at 31.0 luma
    # pixels with samples on even pixels (H.264 figure E-1 type 0), at 31.5 with samples half a pixel to the right.
    blue = np.tile(np.where(np.arange(32) < 16, 120, 136), (24, 1))
    frame = frame_of([np.full((HEIGHT, WIDTH), 120), blue, np.full((24, 32), 128)], "yuv420p")
    kinds = ["left", "center", "topleft", "top"]
    options = {"qp": "0"} | ({"x264-params": f"chromaloc={kinds.index(location)}"} if location else {})
    info, (codes,) = read(write(tmp_path / "a.mp4", [frame], codec="libx264", options=options))
    assert info.chroma_location == (location or "left")
    assert edge_of(codes) == pytest.approx(edge, abs=0.02)


@pytest.mark.parametrize(("location", "edge"), [("left", 23.5), ("topleft", 23.0)])
def test_a_horizontal_chroma_edge_lies_where_the_siting_says(tmp_path, location, edge):
    blue = np.tile(np.where(np.arange(24) < 12, 120, 136)[:, None], (1, 32))
    frame = frame_of([np.full((HEIGHT, WIDTH), 120), blue, np.full((24, 32), 128)], "yuv420p")
    options = {"chroma_sample_location": location}
    info, (codes,) = read(write(tmp_path / "a.mkv", [frame], options=options))
    assert info.chroma_location == location
    column = codes[:, 5, 2].astype(float)
    middle = (column[0] + column[-1]) / 2
    before = int(np.argmax(column > middle)) - 1
    position = before + (middle - column[before]) / (column[before + 1] - column[before])
    assert position == pytest.approx(edge, abs=0.02)


def test_odd_sizes(tmp_path):
    frame = frame_of(
        [np.full((35, 33), 81), np.full((18, 17), 90), np.full((18, 17), 240)], "yuv420p", width=33, height=35
    )
    _, (codes,) = read(write(tmp_path / "a.mkv", [frame]))
    assert codes.shape == (35, 33, 3)
    np.testing.assert_allclose(codes[-1, -1] / 65535, [1, 0, 0], atol=0.0075)
