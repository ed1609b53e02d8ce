from __future__ import annotations

from dataclasses import fields
from functools import partial
from itertools import pairwise

import fakes
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from expandnet_ofx.plates import ArrayPlate
from expandnet_ofx.reduction import reduction_matrix
from expandnet_ofx.survey import ROWS_PIXELS, Surveyor, pixels_read, survey
from expandnet_ofx.transfer import named_encoding
from expandnet_ofx.workers import in_parallel

SIZES = [(1, 1), (1, 700), (500, 1), (2, 3), (7, 300), (100, 200), (200, 255), (256, 256), (257, 300), (511, 600)]


def plate_of(codes: np.ndarray, name: str = "srgb") -> ArrayPlate:
    return ArrayPlate(codes, named_encoding(name))


def noise(height: int, width: int, dtype: type = np.float32, channels: int = 3, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).random((height, width, channels), np.float32)
    top = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1
    return (values * top).round().astype(dtype) if top > 1 else values.astype(dtype)


def resized(codes: np.ndarray, *, antialias: bool) -> np.ndarray:
    x = torch.from_numpy(np.ascontiguousarray(codes.transpose(2, 0, 1)))[None].double()
    small = functional.interpolate(x, (256, 256), mode="bilinear", align_corners=False, antialias=antialias)
    return small[0].permute(1, 2, 0).numpy()


def in_parts(codes: np.ndarray, cuts: list[int], *, antialias: bool = True, order: int = 1):
    plate = plate_of(codes)
    surveyor = Surveyor(plate, codes.dtype, antialias=antialias)
    edges = [0, *cuts, len(codes)]
    for start, stop in list(pairwise(edges))[::order]:
        surveyor.add(surveyor.look(start, codes[start:stop]))
    return surveyor.finish()


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("size", SIZES)
def test_the_proxy_is_the_resize_that_networks_are_trained_with(size, antialias):
    codes = noise(*size)
    proxy = survey(plate_of(codes), antialias=antialias).proxy
    assert proxy.shape == (256, 256, 3)
    assert np.abs(proxy - resized(codes, antialias=antialias)).max() <= 1e-6


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("length", [1, 2, 255, 256, 257, 1000, 5000])
def test_rows_of_a_reduction_are_averages(length, antialias):
    matrix = reduction_matrix(length, antialias=antialias)
    assert matrix.shape == (256, length)
    assert matrix.min() >= 0
    np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(matrix, matrix[::-1, ::-1], atol=1e-6)


def test_the_proxy_is_what_the_network_sees_of_a_linear_plate():
    codes = noise(300, 280)
    seen = fakes.encode_srgb(codes.astype(np.float64))
    proxy = survey(plate_of(codes, "linear"), antialias=True).proxy
    assert np.abs(proxy - resized(seen, antialias=True)).max() <= 2e-6


@st.composite
def partitions(draw) -> tuple[int, int, list[int]]:
    height, width = draw(st.integers(1, 600)), draw(st.sampled_from([1, 3, 130, 256, 301]))
    cuts = draw(st.lists(st.integers(1, max(1, height - 1)), max_size=5, unique=True))
    return height, width, sorted(cut for cut in cuts if cut < height)


@settings(max_examples=40, deadline=None)
@given(partition=partitions(), antialias=st.booleans(), order=st.sampled_from([1, -1]))
def test_any_partition_into_rows_gives_the_same_survey(partition, antialias, order):
    height, width, cuts = partition
    codes = noise(height, width, np.uint8, seed=height)
    whole = in_parts(codes, [], antialias=antialias)
    parts = in_parts(codes, cuts, antialias=antialias, order=order)
    assert np.abs(whole.proxy - parts.proxy).max() <= 1e-6
    # Sums of what is far from 1, in another order.
    np.testing.assert_allclose(parts.surround, whole.surround, rtol=3e-6, atol=1e-5)
    assert np.array_equal(whole.histograms, parts.histograms)
    assert (whole.low, whole.high) == (parts.low, parts.high)
    different = int((whole.peak != parts.peak).sum())
    assert different == 0


def highest_in_reach(codes: np.ndarray) -> np.ndarray:
    """The largest code that has any weight in each proxy pixel, by its definition: separable triangle filters."""

    def reach(length: int) -> np.ndarray:
        scale = length / 256
        centers, pixels = (np.arange(256) + 0.5) * scale, np.arange(length) + 0.5
        return np.abs(pixels - centers[:, None]) < max(scale, 1.0)

    def along_rows(values: np.ndarray) -> np.ndarray:
        mask = reach(values.shape[0])
        return np.stack([values[row].max(0) for row in mask])

    return along_rows(along_rows(codes).swapaxes(0, 1)).swapaxes(0, 1)


@pytest.mark.parametrize("cuts", [[], [1], [64]])
@pytest.mark.parametrize("size", SIZES)
def test_the_peak_is_no_lower_than_any_code_that_reaches_a_proxy_pixel(size, cuts):
    codes = noise(*size, seed=3) ** 8
    cuts = [cut for cut in cuts if cut < size[0]]
    peak = in_parts(codes, cuts).peak
    missed = int((peak < highest_in_reach(codes) - 1e-6).sum())
    assert missed == 0


def test_the_peak_of_one_bright_pixel_stays_near_it():
    codes = np.zeros((1024, 1024, 3), np.uint8)
    codes[600, 200, 1] = 255
    peak = survey(plate_of(codes), antialias=True).peak
    rows, columns = np.nonzero(peak[:, :, 1])
    assert (abs(rows - 150) <= 1).all()
    assert (abs(columns - 50) <= 1).all()
    assert peak.max() == 1
    assert not peak[:, :, [0, 2]].any()


@pytest.mark.parametrize("dtype", [np.uint8, np.float16])
def test_the_peaks_of_a_panorama_turn_with_it(dtype):
    codes = noise(60, 1024, dtype, seed=5)
    turned = np.roll(codes, 512, 1)
    first, second = (survey(plate_of(plate), antialias=True, wrap=True).peak for plate in (codes, turned))
    np.testing.assert_array_equal(np.roll(first, 128, 1), second)
    inner = survey(plate_of(codes), antialias=True).peak
    np.testing.assert_array_equal(inner[:, 1:-1], first[:, 1:-1])
    assert (inner != first).any(), "or the seam has no say"


@pytest.mark.parametrize("size", [(40, 50), (300, 400)])
def test_where_a_plate_is_clipped_throughout_every_peak_says_so(size):
    peak = survey(plate_of(np.full((*size, 3), 255, np.uint8)), antialias=True).peak
    missed = int((peak != 1).sum())
    assert missed == 0


def test_a_code_that_is_no_number_hides_no_clipped_neighbor():
    codes = np.zeros((512, 512, 3), np.float32)
    codes[100, 100] = 1.0
    codes[100, 101] = np.nan
    peak = survey(plate_of(codes), antialias=True).peak
    assert (peak[50, 50] >= 1).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32])
def test_histograms_count_every_visible_sample_once(dtype):
    codes = noise(37, 53, dtype, channels=4, seed=2)
    codes[:10, :, 3] = 0
    codes[10:, :, 3] = max(codes[:, :, 3].max(), 1)
    found = survey(plate_of(codes), antialias=True)
    assert found.histograms.shape == (3, found.levels + 1)
    assert (found.histograms.sum(1) == 27 * 53).all()
    top = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1
    exact = codes[10:, :, :3].astype(np.float64) / top * found.levels
    for channel in range(3):
        expected = np.bincount(np.floor(exact[:, :, channel] + 1e-6).astype(int).ravel(), minlength=found.levels + 1)
        # A code on the edge of a bin may fall to either side.
        assert np.abs(np.cumsum(found.histograms[channel]) - np.cumsum(expected)).max() <= 2
        assert found.histograms[channel][-1] == (codes[10:, :, channel] == top).sum()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32])
def test_a_survey_is_the_same_however_many_threads_look(dtype, monkeypatch):
    codes = noise(700, 90, dtype, channels=4, seed=5)
    codes[100:140, 20:50, :3] = codes[:, :, :3].max()
    codes[300:, 60:, 3] = 0
    monkeypatch.setattr("expandnet_ofx.survey.LOOKED_PIXELS", 90 * 50)
    one, other = (survey(plate_of(codes), antialias=True, beside=partial(in_parallel, count=count)) for count in (1, 3))
    for field in fields(one):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("height", [1153, 2000])
def test_rows_that_reach_no_proxy_pixel_are_looked_at_all_the_same(height, antialias, monkeypatch):
    codes = noise(height, 16)
    whole = survey(plate_of(codes), antialias=antialias)
    monkeypatch.setattr("expandnet_ofx.survey.LOOKED_PIXELS", 16)
    found = survey(plate_of(codes), antialias=antialias)
    np.testing.assert_allclose(found.proxy, whole.proxy, atol=1e-6)
    np.testing.assert_array_equal(found.histograms, whole.histograms)


def test_hidden_pixels_are_no_measurement():
    codes = noise(300, 300, np.uint8, channels=4)
    codes[:, :, 3] = 255
    codes[40:80, 40:80, 3] = 0
    peak = survey(plate_of(codes), antialias=True).peak
    assert np.isinf(peak[40, 40]).all()
    assert np.isfinite(peak[200:, 200:]).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_what_lies_under_no_alpha_makes_no_difference(dtype):
    codes = noise(120, 150, dtype, channels=4)
    codes[:, :, 3] = 1 if dtype == np.float32 else 255
    codes[20:80, 30:90, 3] = 0
    found = []
    for hidden in (0, 1, 200):
        codes[20:80, 30:90, :3] = hidden
        found.append(survey(plate_of(codes.copy()), antialias=True))
    for other in found[1:]:
        for name in ("proxy", "working", "surround", "peak", "histograms"):
            assert np.array_equal(getattr(other, name), getattr(found[0], name)), name
        assert (other.low, other.high, other.above_white) == (found[0].low, found[0].high, 0)
    codes[:, :, 3] = 0
    nothing = survey(plate_of(codes), antialias=True)
    assert (nothing.low, nothing.high, nothing.above_white) == (0, 0, 0)
    assert not nothing.proxy.any()


@pytest.mark.parametrize("alpha", [0.0, 1e-6, 1 / 65535])
def test_what_nobody_sees_has_no_say_in_what_is_seen(plain_expander, natural_plate, alpha):
    plate = np.dstack((natural_plate, np.full(natural_plate.shape[:2], 255, np.uint8))).astype(np.float32) / 255
    # Beside what clips.
    _, columns = np.nonzero((natural_plate == 255).all(2))
    unseen = np.zeros(plate.shape[:2], bool)
    unseen[:, columns[len(columns) // 2] :] = True
    plate[unseen, 3] = alpha
    found = []
    for color in (0, 0.5, 1):
        plate[unseen, :3] = color
        found.append(plain_expander(plate.copy()))
        # It is what it was.
        np.testing.assert_array_equal(found[-1][unseen], named_encoding("srgb").decode(plate[unseen, :3]))
    for other in found[1:]:
        np.testing.assert_array_equal(other[~unseen], found[0][~unseen])
    assert (found[0][~unseen] > 1).any()


def test_wide_pixels_are_read_in_smaller_pieces():
    assert pixels_read(3) == pixels_read(6) == ROWS_PIXELS
    assert pixels_read(160) * 160 <= ROWS_PIXELS * 6


def test_what_is_no_light_is_counted():
    codes = np.full((20, 30, 3), 0.5, np.float32)
    codes[0, :4, 0] = np.nan
    codes[1, :3, 1] = np.inf
    codes[2, :2] = -np.inf
    codes[3, :5] = -0.25
    codes[4, :6, 2] = 1.5
    found = survey(plate_of(codes), antialias=True)
    assert (found.nan, found.infinite, found.negative) == (4, 9, 21)
    assert found.above_white == pytest.approx((3 + 6) / 600)
    assert (found.low, found.high) == (0, 1)
    assert (found.histograms.sum(1) == 600).all()
    assert np.isfinite(found.proxy).all()


def test_integers_are_never_counted_as_broken():
    found = survey(plate_of(noise(20, 20, np.uint16)), antialias=True)
    assert (found.nan, found.infinite, found.negative, found.above_white) == (0, 0, 0, 0)


@pytest.mark.parametrize("window", [(0, 0, 300, 200), (17, 30, 290, 200), (100, 0, 101, 1)])
def test_only_the_window_is_seen(window):
    codes = noise(200, 300, np.uint8)
    x0, y0, x1, y1 = window
    whole = plate_of(codes)
    whole.window = window
    one, other = survey(whole, antialias=True), survey(plate_of(codes[y0:y1, x0:x1].copy()), antialias=True)
    assert np.array_equal(one.proxy, other.proxy)
    assert np.array_equal(one.peak, other.peak)
    assert np.array_equal(one.histograms, other.histograms)
    assert (one.low, one.high) == (other.low, other.high)
    assert np.array_equal(one.working, other.working)
    assert np.array_equal(one.surround, other.surround)
    assert (one.width, one.height) == (300, 200)


def test_a_gray_plate_is_three_equal_channels():
    codes = noise(90, 300, np.uint8, channels=1)
    one, other = survey(plate_of(codes), antialias=True), survey(plate_of(codes.repeat(3, 2)), antialias=True)
    assert np.array_equal(one.proxy, other.proxy)
    assert np.array_equal(one.histograms, other.histograms)
    assert np.array_equal(one.peak, other.peak)


def test_what_clips_at_a_white_that_is_given_is_no_evidence():
    plate = plate_of(np.full((64, 64, 3), 153, np.uint8))
    assert survey(plate, antialias=True).surround.any()
    assert not survey(plate, antialias=True, white=0.6).surround.any()


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_no_number_is_counted_once(channels):
    codes = np.full((4, 5, channels), 0.5, np.float32)
    codes[0, 0, 0], codes[1, 1, 0], codes[2, 2, 0] = np.nan, np.inf, -1
    found = survey(plate_of(codes), antialias=True)
    assert (found.nan, found.infinite, found.negative) == (1, 1, 1)


@pytest.mark.parametrize(("length", "size"), [(512, 256), (700, 256), (256, 256), (100, 256), (1001, 384)])
@pytest.mark.parametrize("antialias", [True, False])
def test_a_round_axis_is_reduced_alike_wherever_it_begins(length, size, antialias):
    matrix = reduction_matrix(length, antialias=antialias, size=size, wrap=True)
    plain = reduction_matrix(3 * length, antialias=antialias, size=3 * size)[size : 2 * size]
    folded = plain[:, :length] + plain[:, length : 2 * length] + plain[:, 2 * length :]
    np.testing.assert_allclose(matrix, folded, atol=2e-6)
