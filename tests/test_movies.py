"""Movies, checked against code values that standards publish: matrix, range, depth, rates and time."""

from fractions import Fraction

import numpy as np
import pytest
from movie_files import (
    BARS_601,
    BARS_709,
    COLUMNS,
    HEIGHT,
    RED_JPEG,
    ROWS,
    WIDTH,
    frame_of,
    noise,
    planes_of,
    read,
    stripes,
    write,
)

from expandnet_ofx.encodings import H273_PRIMARIES
from expandnet_ofx.errors import InputError, UsageError
from expandnet_ofx.metadata import film_rate
from expandnet_ofx.movie_frames import PRIMARIES
from expandnet_ofx.movie_pace import Pace, hole_of
from expandnet_ofx.movies import Movie

av = pytest.importorskip("av")

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


@pytest.mark.parametrize(
    ("stamps", "even"), [((0, 1, 2, 3), True), ((0, 0, 1, 2), False), ((0, 1, 1, 2), False), ((0, 41, 83, 125), True)]
)
def test_a_stamp_that_comes_twice_is_uneven_wherever_it_stands(stamps, even):
    pace = Pace()
    told = [pace.add(stamp) for stamp in stamps]
    assert all(told) is even


@pytest.mark.parametrize(
    ("movie", "still"),
    [("bt709", 1), ("bt470m", 4), ("smpte240m", 7), ("bt2020", 9), ("smpte431", 11), ("smpte432", 12)],
)
def test_primaries_are_those_of_a_still_with_the_same_code(movie, still):
    assert PRIMARIES[movie] == H273_PRIMARIES[still]


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
    ("told", "rate"),
    [
        (Fraction(19001, 317), (60000, 1001)),
        (Fraction(2997, 100), (30000, 1001)),
        (Fraction(2398, 100), (24000, 1001)),
    ],
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
