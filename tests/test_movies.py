"""Movies, checked against code values that standards publish, and against pictures written plane by plane."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from expandnet_ofx.errors import InputError, MissingExtraError, UsageError
from expandnet_ofx.metadata import film_rate
from expandnet_ofx.movie_pace import hole_of
from expandnet_ofx.movies import Movie
from expandnet_ofx.video_pixels import find_layout, plain_name, to_codes

av = pytest.importorskip("av")

WIDTH, HEIGHT = 64, 48

# 100 percent and 75 percent color bars, 8-bit limited range Y', Cb, Cr as published: SMPTE RP 219 for BT.709, BT.801
# for BT.601.
BARS_709 = {
    (1, 1, 1): (235, 128, 128),
    (1, 1, 0): (219, 16, 138),
    (0, 1, 1): (188, 154, 16),
    (0, 1, 0): (173, 42, 26),
    (1, 0, 1): (78, 214, 230),
    (1, 0, 0): (63, 102, 240),
    (0, 0, 1): (32, 240, 118),
    (0, 0, 0): (16, 128, 128),
    (0.75, 0.75, 0.75): (180, 128, 128),
    (0.75, 0.75, 0): (168, 44, 136),
    (0, 0.75, 0.75): (145, 147, 44),
    (0, 0.75, 0): (133, 63, 52),
    (0.75, 0, 0.75): (63, 193, 204),
    (0.75, 0, 0): (51, 109, 212),
    (0, 0, 0.75): (28, 212, 120),
}
BARS_601 = {
    (1, 1, 1): (235, 128, 128),
    (1, 1, 0): (210, 16, 146),
    (0, 1, 1): (170, 166, 16),
    (0, 1, 0): (145, 54, 34),
    (1, 0, 1): (106, 202, 222),
    (1, 0, 0): (81, 90, 240),
    (0, 0, 1): (41, 240, 110),
    (0, 0, 0): (16, 128, 128),
}
# T.871 clause 7 at full range; a code of 255.5 is stored as 255.
RED_JPEG = (76, 85, 255)


def planes_of(colors, fmt, *, width=WIDTH, height=HEIGHT):
    """Stripe the Y', Cb, Cr codes across the width; return the planes of a planar format."""
    pixel = av.VideoFormat(fmt, width, height)
    wide = np.repeat(np.asarray(colors), width // len(colors), axis=0)
    wide = np.concatenate([wide, np.repeat(wide[-1:], width - len(wide), axis=0)])
    planes = []
    for channel, part in enumerate(pixel.components[:3]):
        step = width // part.width
        planes.append(np.broadcast_to(wide[::step, channel], (part.height, part.width)))
    return planes


def frame_of(planes, fmt, *, width=WIDTH, height=HEIGHT):
    frame = av.VideoFrame(width, height, fmt)
    dtype = np.uint8 if frame.format.components[0].bits <= 8 else np.uint16
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.zeros((len(values), plane.line_size // dtype().itemsize), dtype)
        flat = np.asarray(values, dtype).reshape(len(values), -1)
        rows[:, : flat.shape[1]] = flat
        plane.update(rows.tobytes())
    return frame


def write(path, frames, *, codec="ffv1", options=None, tags=None, stamps=None, rate=24, rotation=None, mux=None):
    first = frames[0]
    with av.open(str(path), "w", options=mux or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = first.width, first.height, first.format.name
        for name, value in (tags or {}).items():
            setattr(stream.codec_context, name, value)
        if rotation is not None:
            stream.set_display_rotation(rotation)
        stamps = stamps or range(len(frames))
        stream.codec_context.time_base = 1 / Fraction(rate)
        for stamp, frame in zip(stamps, frames, strict=True):
            frame.pts, frame.time_base = stamp, 1 / Fraction(rate)
            for name in ("colorspace", "color_range", "color_trc", "color_primaries"):
                if tags and name in tags:
                    setattr(frame, name, tags[name])
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def read(path, **options):
    with Movie(path, **options) as movie:
        return movie.info, [codes for _, codes in movie]


def noise(count, fmt="yuv420p"):
    rng = np.random.default_rng(1)
    shapes = [(p.height, p.width) for p in av.VideoFormat(fmt, WIDTH, HEIGHT).components]
    return [frame_of([rng.integers(40, 200, shape) for shape in shapes], fmt) for _ in range(count)]


def stripes(codes, count):
    """Return the codes in the middle of each of `count` stripes, as shares of full scale."""
    size = codes.shape[1] // count
    return codes[codes.shape[0] // 2, size // 2 : size * count : size].astype(float) / 65535


# --- matrix, range, depth


@pytest.mark.parametrize("fmt", ["yuv420p", "yuv422p", "yuv444p"])
@pytest.mark.parametrize(("colorspace", "bars"), [(1, BARS_709), (5, BARS_601), (6, BARS_601)])
def test_published_bars_come_back_as_their_colors(tmp_path, fmt, colorspace, bars):
    frame = frame_of(planes_of(list(bars.values()), fmt, width=256), fmt, width=256)
    path = write(tmp_path / "bars.mkv", [frame], tags={"colorspace": colorspace, "color_range": 1})
    info, (codes,) = read(path)
    assert codes.shape == (HEIGHT, 256, 3)
    assert codes.dtype == np.uint16
    assert codes.flags.c_contiguous
    assert info.matrix == ("bt709" if colorspace == 1 else "bt601")
    assert not info.full_range
    # Published codes are rounded: half a code of Cb is 0.5 * 1.8556 / 224 of B'.
    np.testing.assert_allclose(stripes(codes, len(bars)), list(bars), atol=0.0075)


def test_white_and_black_are_exact(tmp_path):
    frame = frame_of(planes_of([(235, 128, 128), (16, 128, 128)], "yuv420p"), "yuv420p")
    _, (codes,) = read(write(tmp_path / "a.mkv", [frame], tags={"colorspace": 1}))
    assert (codes[:, :32] == 65535).all()
    assert (codes[:, 32:] == 0).all()


def test_footroom_and_headroom_are_clipped(tmp_path):
    frame = frame_of(planes_of([(254, 128, 128), (1, 128, 128)], "yuv444p"), "yuv444p")
    _, (codes,) = read(write(tmp_path / "a.mkv", [frame]))
    assert (codes[:, :32] == 65535).all()
    assert (codes[:, 32:] == 0).all()


def test_bt2020_red_in_10_bits(tmp_path):
    # BT.2020-2 tables 4 and 5: Y' = 0.2627, C'B = -0.2627 / 1.8814, C'R = 0.5.
    red = (64 + 876 * 0.2627, 512 - 896 * 0.2627 / 1.8814, 960)
    frame = frame_of(planes_of([np.round(red)], "yuv444p10le"), "yuv444p10le")
    tags = {"colorspace": 9, "color_primaries": 9, "color_trc": 16}
    info, (codes,) = read(write(tmp_path / "a.mkv", [frame], tags=tags))
    assert (info.matrix, info.primaries, info.transfer, info.bit_depth) == ("bt2020", "bt2020", "smpte2084", 10)
    np.testing.assert_allclose(stripes(codes, 1)[0], [1, 0, 0], atol=0.002)


@pytest.mark.parametrize(
    ("code", "name"), [(1, "bt709"), (2, "unspecified"), (13, "iec61966-2-1"), (18, "arib-std-b67")]
)
def test_transfer_is_reported(tmp_path, code, name):
    assert read(write(tmp_path / "a.mkv", noise(1), tags={"color_trc": code}))[0].transfer == name


@pytest.mark.parametrize(("height", "matrix", "bars"), [(720, "bt709", BARS_709), (576, "bt601", BARS_601)])
def test_untagged_matrix_follows_the_number_of_lines(tmp_path, height, matrix, bars):
    size = {"width": 1280 if height == 720 else 64, "height": height}
    frame = frame_of(planes_of([bars[1, 0, 0]], "yuv420p", **size), "yuv420p", **size)
    info, (codes,) = read(write(tmp_path / "a.mp4", [frame], codec="libx264", options={"qp": "0"}))
    assert info.matrix == matrix
    np.testing.assert_allclose(stripes(codes, 1)[0], [1, 0, 0], atol=0.0075)


def test_full_range_by_tag(tmp_path):
    frame = frame_of(planes_of([RED_JPEG, (255, 128, 128), (16, 128, 128)], "yuv444p"), "yuv444p")
    info, (codes,) = read(write(tmp_path / "a.mkv", [frame], tags={"colorspace": 5, "color_range": 2}))
    assert info.full_range
    np.testing.assert_allclose(stripes(codes, 3), [[1, 0, 0], [1, 1, 1], [16 / 255] * 3], atol=0.004)


def test_motion_jpeg_is_full_range_with_centered_chroma(tmp_path):
    frame = frame_of(planes_of([(200, 128, 128)], "yuvj420p"), "yuvj420p")
    info, (codes,) = read(write(tmp_path / "a.mov", [frame], codec="mjpeg", options={"qscale": "1"}))
    assert (info.full_range, info.chroma_location, info.matrix) == (True, "center", "bt601")
    np.testing.assert_allclose(codes[20, 20] / 65535, 200 / 255, atol=0.008)


@pytest.mark.parametrize(("fmt", "bits"), [("yuv422p10le", 10), ("yuv444p12le", 12), ("yuv420p16le", 16)])
def test_levels_between_8_bit_codes_survive(tmp_path, fmt, bits):
    width = 512
    scale = 2 ** (bits - 8)
    levels = np.arange(width) + 64 * scale
    gray = 128 * scale
    part = av.VideoFormat(fmt, width, HEIGHT).components[1]
    planes = [np.tile(levels, (HEIGHT, 1)), *[np.full((part.height, part.width), gray)] * 2]
    info, (codes,) = read(write(tmp_path / "a.mkv", [frame_of(planes, fmt, width=width)], options={"level": "3"}))
    assert info.bit_depth == bits
    expected = (levels - 16 * scale) / (219 * scale) * 65535
    np.testing.assert_allclose(codes[7, :, 1], expected, atol=0.51)
    if bits < 16:
        assert len(np.unique(codes)) == width > 256


def test_prores_keeps_more_than_8_bits(tmp_path):
    width = 512
    planes = [np.tile(np.arange(width) + 256, (HEIGHT, 1)), *[np.full((HEIGHT, width // 2), 512)] * 2]
    path = tmp_path / "a.mov"
    write(
        path, [frame_of(planes, "yuv422p10le", width=width)], codec="prores_ks", options={"profile": "3", "qscale": "1"}
    )
    info, (codes,) = read(path)
    assert (info.bit_depth, info.full_range) == (10, False)
    assert len(np.unique(codes[..., 1])) > 400
    np.testing.assert_allclose(codes[20, :, 1] / 65535, (np.arange(width) + 192) / 876, atol=0.004)


# --- pixel formats

ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH]


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


# --- time


@pytest.mark.parametrize("name", ["a.mov", "a.mkv", "a.mp4"])
@pytest.mark.parametrize("rate", [24, Fraction(24000, 1001), Fraction(30000, 1001), 60])
def test_constant_rates_are_read(tmp_path, name, rate):
    info, frames = read(write(tmp_path / name, noise(9), codec="libx264", options={"qp": "0"}, rate=rate))
    assert info.fps == rate
    assert info.frames == len(frames) == 9
    assert info.warnings == ()


@pytest.mark.parametrize("name", ["a.mov", "a.mkv"])
def test_variable_rate_needs_fps(tmp_path, name):
    stamps = [0, 1, 2, 4, 5, 7]
    path = write(tmp_path / name, noise(6), codec="libx264", options={"qp": "0"}, stamps=stamps)
    with pytest.raises(InputError, match=r"variable frame rate.*--fps") as caught:
        Movie(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    info, frames = read(path, fps=Fraction(25))
    assert (info.fps, len(frames)) == (25, 6)
    assert any("variable frame rate" in text for text in info.warnings)


@pytest.mark.parametrize("stamps", [[0, 1, 2, 3, 7, 8, 9], [0, 1, 2, 3, 4, 6, 8]])
def test_frames_that_are_missing_are_told(tmp_path, stamps):
    path = write(tmp_path / "a.mkv", noise(7), stamps=stamps)
    first = stamps.index(next(stamp for stamp in stamps if stamp + 1 not in stamps))
    said = f"{stamps[-1] - 6} frames are missing, the first after frame {first}"
    with pytest.raises(InputError, match=rf"{said}.*--fps"):
        Movie(path)
    info, frames = read(path, fps=24)
    assert len(frames) == 7
    assert any(said in text for text in info.warnings)


def test_uneven_frames_lack_none():
    assert hole_of([0, 92, 200, 308, 400]) is None
    assert hole_of([0, 33, 73, 123]) is None
    assert hole_of([0, 42, 83, 167, 208]) == (2, 1)


def test_avi_counts_in_the_order_of_decoding(tmp_path):
    frames = [frame_of(planes_of([(40 + 8 * i, 128, 128)], "yuv420p"), "yuv420p") for i in range(12)]
    path = write(tmp_path / "a.avi", frames, codec="libx264", options={"qp": "0", "bf": "3", "b-adapt": "0"}, rate=25)
    info, found = read(path)
    assert (info.fps, info.warnings) == (25, ())
    expected = [(24 + 8 * i) / 219 * 65535 for i in range(12)]
    np.testing.assert_allclose([codes[5, 5, 1] for codes in found], expected, atol=0.51)


@pytest.mark.parametrize(
    ("told", "rate"), [(Fraction(19001, 317), (60000, 1001)), (Fraction(2997, 100), (30000, 1001))]
)
def test_a_rate_that_a_file_rounds_is_that_of_ntsc(tmp_path, told, rate):
    assert read(write(tmp_path / "a.mov", noise(2), codec="libx264", rate=told))[0].fps == Fraction(*rate)
    assert read(tmp_path / "a.mov", fps=told)[0].fps == told, "what is asked for stays"


@pytest.mark.parametrize("rate", [Fraction(1), Fraction(1, 2000), Fraction(5), Fraction(25), Fraction(2498, 100)])
def test_other_rates_are_not_touched(rate):
    assert film_rate(rate) == rate


def test_fps_replaces_the_file_rate(tmp_path):
    assert read(write(tmp_path / "a.mov", noise(2), codec="libx264"), fps=25)[0].fps == 25


def test_fps_must_be_above_zero(tmp_path):
    with pytest.raises(UsageError, match="fps 0"):
        Movie(tmp_path / "a.mov", fps=0)


def test_frames_come_in_order_of_presentation_and_again(tmp_path):
    frames = [frame_of(planes_of([(40 + 8 * i, 128, 128)], "yuv420p"), "yuv420p") for i in range(12)]
    path = write(tmp_path / "a.mp4", frames, codec="libx264", options={"qp": "0", "bf": "3", "b-adapt": "0"})
    with Movie(path) as movie:
        for _ in range(2):
            found = [(index, int(codes[5, 5, 1])) for index, codes in movie]
            expected = [(24 + 8 * i) / 219 * 65535 for i in range(12)]
            assert [index for index, _ in found] == list(range(12))
            np.testing.assert_allclose([level for _, level in found], expected, atol=0.51)
        again = iter(movie)
        assert next(again)[0] == 0
    assert next(again, None) is None


def test_interlaced_warns(tmp_path):
    options = {"qp": "0", "flags": "+ildct+ilme"}
    info, _ = read(write(tmp_path / "a.mov", noise(2), codec="libx264", options=options))
    assert info.interlaced
    assert any("interlaced" in text for text in info.warnings)
    assert not read(write(tmp_path / "b.mov", noise(2), codec="libx264"))[0].interlaced


def test_timecode_is_read(tmp_path):
    path = tmp_path / "a.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=24)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        stream.metadata["timecode"] = "10:20:30:12"
        container.mux(stream.encode(frame_of(planes_of([(99, 128, 128)], "yuvj420p"), "yuvj420p")))
        container.mux(stream.encode(None))
    assert Movie(path).info.timecode == "10:20:30:12"


@pytest.mark.parametrize(
    ("rotation", "corner"),
    [(0, (0, 0)), (90, (-1, 0)), (180, (-1, -1)), (-90, (0, -1))],
)
def test_rotation_is_honored(tmp_path, rotation, corner):
    # Turning counterclockwise by 90 degrees brings the top left corner to the bottom left.
    luma = np.where((ROWS < 16) & (COLUMNS < 16), 235, 16)
    frame = frame_of([luma, *[np.full((24, 32), 128)] * 2], "yuv420p")
    path = write(tmp_path / "a.mp4", [frame], codec="libx264", options={"qp": "0"}, rotation=rotation)
    info, (codes,) = read(path)
    shape = (HEIGHT, WIDTH) if rotation in (0, 180) else (WIDTH, HEIGHT)
    assert (info.height, info.width) == codes.shape[:2] == shape
    assert codes.flags.c_contiguous
    white = [at for at in ((0, 0), (0, -1), (-1, 0), (-1, -1)) if codes[at][1] > 60000]
    assert white == [corner]


# --- files that are no good movies


def test_text_named_mov(tmp_path):
    path = tmp_path / "a.mov"
    path.write_text("not a movie\n" * 100)
    with pytest.raises(InputError, match="not a movie"):
        Movie(path)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        Movie(tmp_path / "a.mov")


def test_audio_only(tmp_path):
    path = tmp_path / "a.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 9600), np.int16), format="s16", layout="mono")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(InputError, match="no picture stream"):
        Movie(path)


def test_a_movie_without_its_end_is_no_movie(tmp_path):
    path = write(tmp_path / "a.mp4", noise(10), codec="libx264", options={"qp": "0"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match="not a movie"):
        Movie(path)


@pytest.mark.parametrize(
    ("name", "codec", "fmt"),
    [("a.mov", "libx264", "yuv420p"), ("a.mov", "prores_ks", "yuv422p10le"), ("a.mkv", "ffv1", "yuv420p")],
)
def test_a_cut_off_movie_names_the_frame(tmp_path, name, codec, fmt):
    mux = {"movflags": "faststart"} if name == "a.mov" else {}
    path = write(tmp_path / name, noise(20, fmt), codec=codec, mux=mux, options={"g": "1"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    seen = 0
    with pytest.raises(InputError, match=r"frame \d+ ") as caught, Movie(path) as movie:
        for index, _ in movie:
            assert index == seen
            seen += 1
    assert 8 <= seen <= 13
    assert f"{path}: frame " in str(caught.value)


@pytest.mark.parametrize(
    ("codec", "fmt", "options"),
    [("ffv1", "yuv420p", {"level": "3", "slicecrc": "1"}), ("libx264", "yuv420p", {"g": "1"}), ("png", "rgb24", {})],
)
def test_damage_in_the_middle_names_the_frame(tmp_path, codec, fmt, options):
    frames = (
        noise(12, fmt)
        if fmt == "yuv420p"
        else [frame_of([np.random.default_rng(i).integers(0, 255, (HEIGHT, WIDTH, 3))], fmt) for i in range(12)]
    )
    path = write(tmp_path / ("a.mkv" if codec == "ffv1" else "a.mov"), frames, codec=codec, options=options)
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    position, size = packets[7]
    data = bytearray(path.read_bytes())
    data[position + size // 4 : position + size // 2] = b"\x55" * (size // 2 - size // 4)
    path.write_bytes(bytes(data))
    seen = []
    with pytest.raises(InputError, match=r"frame \d+ ") as caught, Movie(path) as movie:
        seen += [index for index, _ in movie]
    assert "frame 7 " in str(caught.value)


@pytest.mark.parametrize("codec", ["ffv1", "mjpeg", "dvvideo"])
def test_a_frame_that_a_decoder_makes_up_is_told(tmp_path, codec):
    """A few bytes are wrong: some decoders say so in their log alone."""
    shape = {"ffv1": ("yuv420p", WIDTH, HEIGHT), "mjpeg": ("yuvj420p", WIDTH, HEIGHT), "dvvideo": ("yuv420p", 720, 576)}
    fmt, width, height = shape[codec]
    rng = np.random.default_rng(3)
    sizes = [(p.height, p.width) for p in av.VideoFormat(fmt, width, height).components]
    frames = [
        frame_of([rng.integers(40, 200, size) for size in sizes], fmt, width=width, height=height) for _ in range(3)
    ]
    options = {"level": "3", "slicecrc": "1"} if codec == "ffv1" else {}
    name = "a.mkv" if codec == "ffv1" else "a.mov"
    path = write(tmp_path / name, frames, codec=codec, options=options, rate=25)
    with av.open(str(path)) as container:
        position, size = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size][1]
    whole = path.read_bytes()
    found, intact = 0, read(path)[1]
    for _ in range(20):
        data, at = bytearray(whole), position + int(rng.integers(size // 8, size - 40))
        data[at : at + 40] = rng.bytes(40)
        path.write_bytes(bytes(data))
        with Movie(path) as movie:
            try:
                for index, codes in movie:
                    told = movie.complaint is not None
                    found += told and not np.array_equal(codes, intact[index])
                    assert not told or index == 1
            except InputError as error:
                assert "frame 1 " in str(error)
                found += 1
    assert found >= {"ffv1": 20, "mjpeg": 5, "dvvideo": 5}[codec]


def test_a_movie_is_not_blamed_for_another(tmp_path):
    good, bad = (
        write(tmp_path / name, noise(12), options={"level": "3", "slicecrc": "1"}) for name in ("g.mkv", "b.mkv")
    )
    with av.open(str(bad)) as container:
        position, size = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size][1]
    data = bytearray(bad.read_bytes())
    data[position + size // 2] ^= 1
    bad.write_bytes(bytes(data))
    level = av.logging.get_level()
    stop = threading.Event()

    def blamed() -> int:
        refused = 0
        while not stop.is_set():
            with pytest.raises(InputError, match="frame 1 "):
                read(bad)
            refused += 1
        return refused

    with ThreadPoolExecutor(2) as pool:
        others = [pool.submit(blamed) for _ in range(2)]
        try:
            for _ in range(10):
                assert len(read(good)[1]) == 12
        finally:
            stop.set()
        assert all(other.result() for other in others)
    assert av.logging.get_level() == level


def test_unsupported_matrix(tmp_path):
    path = write(tmp_path / "a.mkv", noise(1), tags={"colorspace": 10})
    with pytest.raises(InputError, match="matrix 10"):
        Movie(path)


def test_the_package_av_is_optional():
    program = (
        "import sys; sys.modules['av'] = None\n"
        "from expandnet_ofx.errors import MissingExtraError\n"
        "from expandnet_ofx.movies import Movie\n"
        "try:\n    Movie(sys.argv[1])\n"
        "except MissingExtraError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, __file__], capture_output=True, text=True, check=True)
    assert "pip install 'expandnet-ofx[movie]'" in done.stdout
    assert issubclass(MissingExtraError, UsageError)
