from __future__ import annotations

import math
import subprocess
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from expandnet_ofx import sheet_drawing as drawing
from expandnet_ofx import sheet_histogram as histogram
from expandnet_ofx.errors import OutputError
from expandnet_ofx.preview import AreaAverage, SheetBuilder, cell_size, count_stops


def srgb_code(light: float) -> int:
    """One value by IEC 61966-2-1, in plain Python."""
    value = min(max(light, 0.0), 1.0)
    encoded = 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055
    return math.floor(255 * encoded + 0.5)


def picture(height: int, width: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    light = np.exp2(rng.uniform(-14, 13, (height, width, 3))).astype(np.float32)
    light[rng.random((height, width)) < 0.2] = 0.0
    return np.minimum(light, np.float32(1.0)), light


def sheet(plate: np.ndarray, light: np.ndarray, *, cell_width: int = 96, cuts: tuple[int, ...] = ()) -> np.ndarray:
    height, width = plate.shape[:2]
    builder = SheetBuilder(width, height, title="shot.1001.exr", cell_width=cell_width)
    edges = sorted({0, height, *(cut for cut in cuts if cut < height)})
    for start, end in pairwise(edges):
        builder.add(start, plate[start:end], light[start:end])
    return builder.image()


def cells_of(image: np.ndarray, width: int, height: int, cell_width: int) -> list[np.ndarray]:
    columns, rows = cell_size(width, height, limit=cell_width)
    layout = drawing.Layout(rows=rows, columns=columns)
    corners = [layout.cell(index) for index in range(6)]
    return [image[y : y + rows, x : x + columns] for x, y in corners]


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    cuts=st.lists(st.integers(1, 70), max_size=6).map(tuple),
    cell_width=st.integers(1, 50),
)
def test_any_row_partition_gives_the_same_sheet(height, width, cuts, cell_width):
    plate, light = picture(height, width)
    whole = sheet(plate, light, cell_width=cell_width)
    assert np.array_equal(sheet(plate, light, cell_width=cell_width, cuts=cuts), whole)


def test_bands_larger_than_one_step_and_single_rows_agree(monkeypatch):
    plate, light = picture(40, 31)
    whole = sheet(plate, light)
    monkeypatch.setattr("expandnet_ofx.preview._PIXELS_AT_ONCE", 100)
    assert np.array_equal(sheet(plate, light), whole)
    assert np.array_equal(sheet(plate, light, cuts=tuple(range(40))), whole)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 30), st.integers(1, 30))
def test_average_is_the_exact_integral_over_each_cell(width, height, columns, rows):
    values = np.random.default_rng(0).integers(0, 1000, (height, width, 3)).astype(np.float32)
    average = AreaAverage(width, height, columns=columns, rows=rows)
    for y in range(height):
        average.add_row(y, values[y])

    def overlaps(size: int, cells: int) -> np.ndarray:
        share = np.zeros((cells, size))
        for cell in range(cells):
            for pixel in range(size):
                left = max(Fraction(cell * size, cells), Fraction(pixel))
                right = min(Fraction((cell + 1) * size, cells), Fraction(pixel + 1))
                share[cell, pixel] = float(max(right - left, Fraction(0)) * cells / size)
        return share

    truth = np.einsum("ry,yxc,kx->rkc", overlaps(height, rows), values, overlaps(width, columns))
    np.testing.assert_allclose(average.cells, truth, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("width, height", [(1, 1), (7, 5), (200, 113), (333, 1000), (1000, 3)])
@pytest.mark.parametrize("light", [0.0, 0.001, 0.18, 1.0, 3.7, 45.0, 65504.0])
def test_constant_plate_shows_its_code_at_each_exposure(width, height, light):
    result = np.full((height, width, 3), light, np.float32)
    plate = np.minimum(result, np.float32(1.0))
    cells = cells_of(sheet(plate, result), width, height, 96)
    assert (cells[0] == srgb_code(min(light, 1.0))).all()
    for cell, stops in zip(cells[1:5], (0, -2, -4, -6), strict=True):
        assert (cell == srgb_code(float(np.float32(light)) * 2.0**stops)).all()


def test_exposures_keep_channels_apart():
    result = np.tile(np.array([0.1, 4.0, 20.0], np.float32), (20, 30, 1))
    cells = cells_of(sheet(np.minimum(result, np.float32(1.0)), result), 30, 20, 96)
    assert cells[2][40, 60].tolist() == [srgb_code(0.025), 255, 255]
    assert cells[4][40, 60].tolist() == [srgb_code(0.1 / 64), srgb_code(4 / 64), srgb_code(20 / 64)]


def test_light_is_averaged_before_it_clips():
    result = np.zeros((200, 200, 3), np.float32)
    result[:, ::2] = 8.0
    cells = cells_of(sheet(np.minimum(result, np.float32(1.0)), result, cell_width=100), 200, 200, 100)
    assert cells[0][50, 50].tolist() == [srgb_code(0.5)] * 3
    assert cells[3][50, 50].tolist() == [srgb_code(0.25)] * 3


@pytest.mark.parametrize(
    "light, wanted",
    [
        *((dark, None) for dark in (0.0, 0.5, 1.0)),
        *((np.nextafter(np.float32(1), np.float32(2)), 0), (1.999, 0), (2.0, 1), (3.999, 1), (4.0, 2), (8.0, 3)),
        *((16.0, 4), (32.0, 5), (64.0, 6), (128.0, 7), (255.9, 7), (256.0, 8), (65504.0, 8)),
    ],
)
def test_false_color_classes(light, wanted):
    result = np.full((9, 16, 3), light, np.float32)
    plate = np.minimum(result, np.float32(1.0))
    shown = cells_of(sheet(plate, result), 16, 9, 96)[5][10, 20].tolist()
    gray = [round(0.3 * srgb_code(light))] * 3
    assert shown == (gray if wanted is None else list(drawing.CLASS_COLORS[wanted]))


def test_false_color_goes_by_the_brightest_channel():
    result = np.tile(np.array([0.0, 0.0, 4.0], np.float32), (9, 16, 1))
    shown = cells_of(sheet(np.minimum(result, np.float32(1.0)), result), 16, 9, 96)[5][10, 20]
    assert shown.tolist() == list(drawing.CLASS_COLORS[2])


def test_false_colors_grow_lighter():
    lightness = [drawing.luminance(np.array(color, np.float64)) for color in drawing.CLASS_COLORS]
    assert all(a < b for a, b in pairwise(lightness))


def test_histogram_counts_every_pixel_in_its_bin():
    for stops in np.arange(-12, 12.01, 0.125):
        counts = count_stops(np.full((3, 5, 3), 2.0**stops, np.float32))
        assert counts.sum() == 15
        assert counts[round((stops + 12) * 8)] == 15
    outside = np.array([0.0, -1.0, 1e-30, 65504.0, np.finfo(np.float32).max / 2], np.float32)
    counts = count_stops(np.repeat(outside[:, None], 3, axis=1))
    assert (counts[0], counts[-1], counts.sum()) == (3, 2, 5)


def test_histogram_sums_to_the_pixels_of_the_plate(monkeypatch):
    seen = []
    monkeypatch.setattr("expandnet_ofx.preview.draw_sheet", seen.append)
    plate, light = picture(50, 41)
    sheet(plate, light, cuts=(7, 8, 30))
    (content,) = seen
    assert content.plate_stops.sum() == content.light_stops.sum() == 50 * 41
    above = 1 + round(12.0 * 8)
    assert content.plate_stops[above:].sum() == 0
    assert content.light_stops[above:].sum() > 0


def test_histogram_is_drawn_at_its_stop():
    plate = np.full((4, 4, 3), 2.0**-3, np.float32)
    image = sheet(plate, plate * 2**8)
    layout = drawing.Layout(rows=16, columns=16)
    y = layout.plot_top + histogram.PLOT_HEIGHT // 2 + 5
    panel = image[y, layout.plot_left : layout.width - drawing.MARGIN]
    filled = np.flatnonzero((panel == histogram.PLATE_FILL).all(axis=1)) + layout.plot_left
    outlined = np.flatnonzero((panel == histogram.RESULT_LINE).all(axis=1)) + layout.plot_left
    assert abs(filled.mean() - layout.stop_x(-3)) <= 1
    assert abs(outlined.mean() - layout.stop_x(5)) <= 1


@pytest.mark.parametrize(
    "size, wanted",
    [
        ((1920, 1080), (480, 270)),
        ((8192, 4096), (480, 240)),
        ((1080, 1920), (270, 480)),
        ((1, 1), (4, 4)),
        ((60, 40), (240, 160)),
        ((200, 100), (400, 200)),
        ((4000, 10), (480, 20)),
        ((10, 4000), (20, 480)),
        ((4000, 1), (480, 4)),
        ((20000, 100), (480, 24)),
    ],
)
def test_cell_size(size, wanted):
    assert cell_size(*size, limit=480) == wanted


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 20000), st.integers(1, 20000), st.integers(1, 600))
def test_cells_fit_and_keep_the_aspect(width, height, limit):
    columns, rows = cell_size(width, height, limit=limit)
    assert 1 <= columns <= min(limit, 4 * width)
    assert 1 <= rows <= min(limit, 4 * height)
    if min(columns, rows) > 24:
        assert abs(columns * height / width - rows) <= 0.5 * max(1.0, height / width) + 1e-9


@pytest.mark.parametrize("width, height", [(1, 1), (2, 1), (1, 3), (4000, 10), (10, 4000), (2000, 1000), (4000, 1)])
def test_extreme_sizes_keep_the_margin_clear(width, height):
    plate, light = picture(height, width)
    image = sheet(plate, light, cell_width=480)
    assert image.dtype == np.uint8
    assert image.shape[0] < 1600 and 800 < image.shape[1] < 1600
    for edge in (image[:16], image[-10:], image[:, :16], image[:, -16:]):
        assert (edge == drawing.BACKGROUND).all()


@pytest.mark.parametrize("title", ["", "x", "s" * 4000, "a\nb\tc", "caf\u00e9 \u6771\u4eac \udcff.exr"])
def test_any_title_stays_inside(title):
    builder = SheetBuilder(1, 1, title=title)
    builder.add(0, np.zeros((1, 1, 3), np.float32), np.zeros((1, 1, 3), np.float32))
    image = builder.image()
    assert (image[:, -16:] == drawing.BACKGROUND).all()
    assert (image[70:72] == drawing.BACKGROUND).all()


def test_negative_and_infinite_light_pass():
    light = np.array([[[-0.5, 0.2, 0.1], [np.inf, 1.0, 1.0], [-1.0, -1.0, -1.0]]], np.float32)
    cells = cells_of(sheet(np.clip(light, 0, 1), light), 3, 1, 96)
    assert cells[1][0, 0].tolist() == [0, srgb_code(0.2), srgb_code(0.1)]
    assert cells[5][0, 5].tolist() == list(drawing.CLASS_COLORS[-1])


def test_misplaced_bands_are_refused():
    rows = np.zeros((2, 5, 3), np.float32)
    builder = SheetBuilder(5, 6, title="a")
    builder.add(0, rows, rows)
    for y in (0, 1, 3):
        with pytest.raises(ValueError, match="row 2 of 6 comes next"):
            builder.add(y, rows, rows)
    with pytest.raises(ValueError, match="must be"):
        builder.add(2, rows[:, :4], rows[:, :4])
    with pytest.raises(ValueError, match="must be"):
        builder.add(2, rows, rows[:1])
    with pytest.raises(ValueError, match="2 of 6 rows"):
        builder.image()
    with pytest.raises(ValueError, match="comes next"):
        builder.add(2, np.zeros((5, 5, 3), np.float32), np.zeros((5, 5, 3), np.float32))
    with pytest.raises(ValueError, match="1 or more"):
        SheetBuilder(0, 5, title="a")


def finished(title: str = "plate.1001.png") -> SheetBuilder:
    plate, light = picture(12, 20)
    builder = SheetBuilder(20, 12, title=title)
    builder.add(0, plate, light)
    return builder


def test_save_is_complete_repeatable_and_leaves_nothing_else(tmp_path: Path):
    builder = finished()
    builder.save(tmp_path / "one.png")
    finished().save(str(tmp_path / "two.png"))
    (tmp_path / "one.png").write_bytes(b"old")
    builder.save(tmp_path / "one.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.png", "two.png"]
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    with Image.open(tmp_path / "one.png") as image:
        assert image.format == "PNG" and image.mode == "RGB"
        assert image.info["srgb"] == 0
        assert np.array_equal(np.asarray(image), builder.image())


def test_failed_save_keeps_the_old_file_and_leaves_no_other(tmp_path: Path, monkeypatch):
    target = tmp_path / "sheet.png"
    target.write_bytes(b"old")

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OutputError, match="No space left"):
        finished().save(target)
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]
    assert target.read_bytes() == b"old"


def test_save_below_a_file_or_over_a_folder_says_so(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write the preview"):
        finished().save(tmp_path / "file" / "sheet.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(OutputError, match="cannot write the preview"):
        finished().save(tmp_path / "folder.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.png"]


def test_importing_the_module_does_not_import_pillow():
    code = "import sys, expandnet_ofx.sheet_drawing, expandnet_ofx.preview; assert 'PIL' not in sys.modules"
    root = Path(drawing.__file__).resolve().parents[1]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)
