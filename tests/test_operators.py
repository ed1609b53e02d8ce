"""Expansion operators against outputs of the toolbox that the field uses, and against what their formulas promise."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio
import pytest
from commands import invoke
from expandnet_comparison.main import command
from expandnet_comparison.operators import (
    OPERATORS,
    akyuz,
    banterle,
    huo_dodging,
    huo_physiological,
    kovaleski_oliveira,
    kuo,
    landis,
    masia,
    meylan,
    rempel,
)
from expandnet_comparison.operators.bilateral import bilateral
from expandnet_comparison.operators.common import OLD_REC709, REC709, gaussian
from expandnet_comparison.operators.lights import light_count, median_cut
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from expandnet_ofx.errors import UsageError

REFERENCES: dict[str, Callable[..., Any]] = {
    "LandisEO": partial(landis, peak=1000, alpha=2.2),
    "LandisEO_alpha2_thr0p5_max10_linear": partial(landis, peak=10, gamma=0),
    "AkyuzEO": akyuz,
    "MasiaEO_multi0_noise0": partial(masia, regression="2009"),
    "MasiaEO_multi1_noise0": masia,
    "MasiaEO_multi1_noise1": partial(masia, noise=True),
    "KovaleskiOliveiraEO": partial(kovaleski_oliveira, peak=1000),
    "KovaleskiOliveiraEO_ss30": partial(kovaleski_oliveira, peak=1000, sigma_space=30),
    "HuoEO": huo_dodging,
    "HuoPhysEO": partial(huo_physiological, peak=1000),
    "KuoEO": kuo,
    "RempelEO": partial(rempel, squared=True),
    "RempelEO_nr": partial(rempel, squared=True, noise=True),
    "MeylanEO": partial(meylan, peak=1000, fixed_white=True),
    "BanterleEO_gray_hq": partial(banterle, peak=1000, white=1000),
    "BanterleEO_gray_hq_thr0": partial(banterle, peak=1000, white=1000, neighbors=0),
    "BanterleEO_color_hq_nr_demo": partial(banterle, peak=1000, white=1000, color_map=True, noise=True),
}
"""By the names of the reference outputs, with the parameters that made them; the toolbox's quirks turned on."""

PLACES = ("bottles", "nancy", "oxford", "pecklake")


@pytest.mark.parametrize("name", REFERENCES)
def test_an_operator_gives_what_the_toolbox_gives(shared: Path, name: str) -> None:
    compared = 0
    for place in PLACES:
        folder = shared / "data" / "operators"
        with np.load(folder / f"{place}_outputs.npz") as outputs:
            # Where the toolbox failed, or to save room, there is none.
            if name not in outputs.files:
                continue
            expected = outputs[name].astype(np.float64)
        with np.load(folder / f"{place}_input.npz") as held:
            found = REFERENCES[name](held["ldr_u8"])
        for weights in (REC709, *np.eye(3)):
            ours, theirs = found @ weights, expected @ weights
            counted = theirs > 1e-6 * theirs.max()
            error = np.abs(ours - theirs)[counted] / theirs[counted]
            assert np.percentile(error, 95) < 1e-3, place
        compared += 1
    assert compared


@pytest.mark.parametrize("name", ["RempelEO", "MeylanEO"])
def test_a_quirk_that_is_left_out_is_what_differs(shared: Path, name: str) -> None:
    """Rempel: luminance was multiplied by itself. Meylan: the threshold of specular areas was always 0.99."""
    folder = shared / "data" / "operators"
    with np.load(folder / "oxford_input.npz") as held:
        codes = held["ldr_u8"]
    with np.load(folder / "oxford_outputs.npz") as held:
        theirs = held[name].astype(np.float64) @ OLD_REC709
    level = (codes / 255) ** 2.2 @ OLD_REC709
    if name == "RempelEO":
        ours = rempel(codes) @ OLD_REC709
        np.testing.assert_allclose((ours * level)[level > 1e-4], theirs[level > 1e-4], rtol=1e-3)
    else:
        ours = meylan(codes, peak=1000) @ OLD_REC709
        assert np.median(ours / np.maximum(theirs, 1e-9)) > 1.001, "the white that is found lies below 0.99"
        dark = level < 0.3
        ratio = ours[dark] / np.maximum(theirs[dark], 1e-9)
        near = np.abs(ratio / np.median(ratio) - 1) < 1e-3
        assert near.mean() > 0.9, "diffuse parts differ by one factor, but beside what is blended"


def synthetic() -> np.ndarray:
    """An 8-bit picture by formula: waves, a white and a colored clipped window, black."""
    y, x = np.mgrid[:48, :64]
    base = 0.45 + 0.3 * np.sin(x / 7.0) + 0.2 * np.cos(y / 5.0) + 0.1 * np.sin((x + 2 * y) / 3.0)
    codes = np.stack((base, 0.9 * base + 0.05, 0.75 * base + 0.1 * np.cos(x / 11.0)), 2)
    codes[8:20, 10:26] = 1
    codes[30:36, 44:54] = 1, 0.9, 0.6
    codes[40:, :8] = 0
    return np.floor(255 * np.clip(codes, 0, 1) + 0.5).astype(np.uint8)


SYNTHETIC: list[tuple[Callable[..., Any], tuple[float, ...]]] = [
    (
        landis,
        (
            49.836689,
            46.18682,
            37.037427,
            1124.4218,
            896.07031,
            365.47864,
            0.047775754,
            0.060031607,
            0.0060405937,
            274.21575,
        ),
    ),
    (akyuz, (625.34472, 579.54661, 464.74113, 1000, 796.91654, 325.03696, 47.775754, 60.031607, 6.0405937, 338.50571)),
    (
        masia,
        (571.53657, 529.67918, 424.75221, 964.89979, 768.9446, 313.6281, 29.413044, 36.958335, 3.718879, 303.62867),
    ),
    (
        partial(masia, regression="2009", noise=True),
        (481.71908, 446.43962, 358.00202, 901.67235, 718.55762, 293.07684, 11.654928, 14.644752, 1.473607, 253.93305),
    ),
    (
        partial(kovaleski_oliveira, sigma_space=20),
        (187.63724, 173.89533, 139.44748, 1105.6456, 881.10727, 359.37569, 14.396083, 18.089092, 1.8201888, 179.5029),
    ),
    (
        huo_physiological,
        (1373.6961, 1273.0913, 1020.8978, 2378.9773, 1895.8464, 773.25556, 43.213369, 54.298839, 5.4637422, 688.81927),
    ),
    (
        huo_dodging,
        (
            0.11086147,
            0.10274236,
            0.082389578,
            0.38255368,
            0.30486335,
            0.12434408,
            0.0038230554,
            0.004803779,
            0.00048337332,
            463.84071,
        ),
    ),
    (
        kuo,
        (47.550521, 44.068084, 35.338402, 150.9354, 120.28292, 49.059584, 1.6794246, 2.1102453, 0.21234038, 85.952329),
    ),
    (
        partial(rempel, squared=True),
        (436.09566, 404.15751, 324.09579, 1000.5575, 797.3608, 325.21816, 3.0827042, 3.8735064, 0.38976598, 247.63704),
    ),
    (
        partial(banterle, color_map=True, neighbors=2),
        (
            1.4654701,
            1.32961,
            0.89935626,
            4.2697871,
            3.2617118,
            0.85489601,
            0.04966473,
            0.062341145,
            0.0061601603,
            180.11614,
        ),
    ),
]
"""Three pixels and the mean luminance of what the toolbox makes of it (GNU Octave 7.3, HDR Toolbox 5375d05; Rempel and Banterle
from its history, 54d762a), with its own defaults."""


@pytest.mark.parametrize(("operator", "expected"), SYNTHETIC)
def test_an_operator_gives_what_the_toolbox_gives_for_a_picture_by_formula(
    operator: Callable[..., Any], expected: tuple[float, ...]
) -> None:
    light = operator(synthetic())
    found = [*light[2, 2], *light[32, 48], *light[21, 39], (light @ REC709).mean()]
    # In Banterle's cuts of a flat area halves tie, and rounding decides.
    close = 0.01 if isinstance(operator, partial) and operator.func is banterle else 1e-6
    np.testing.assert_allclose(found, expected, rtol=close)


def picture(seed: int, *, height: int = 40, width: int = 56) -> np.ndarray:
    """Codes (H, W, 3) with soft areas, a clipped window and black."""
    rng = np.random.default_rng(seed)
    soft = gaussian(rng.random((height, width)), 3, 15)[:, :, None] + 0.1 * rng.random((height, width, 3))
    soft = (soft - soft.min()) / np.ptp(soft)
    soft[5:20, 8:24] = 1
    soft[-4:, :6] = 0
    return soft


@pytest.mark.parametrize("name", OPERATORS)
@given(seed=st.integers(0, 10**6))
@settings(max_examples=8, deadline=None)
def test_light_is_finite_black_stays_black_and_colors_stay(name: str, seed: int) -> None:
    codes = picture(seed)
    light = OPERATORS[name](codes, gamma=2.2)
    assert light.shape == codes.shape
    assert np.isfinite(light).all()
    assert light.min() >= 0
    assert (light[-4:, :6] == 0).all()
    linear = codes**2.2
    np.testing.assert_allclose(light * linear[:, :, :1], light[:, :, :1] * linear, atol=1e-6 * light.max())


@pytest.mark.parametrize("name", OPERATORS)
def test_eight_bits_are_codes_over_255(name: str) -> None:
    codes = (255 * picture(1)).round().astype(np.uint8)
    np.testing.assert_array_equal(OPERATORS[name](codes, gamma=2.2), OPERATORS[name](codes / 255, gamma=2.2))


@pytest.mark.parametrize("operator", [landis, akyuz, masia])
@given(seed=st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_a_curve_keeps_the_order_of_luminance(operator: Callable[..., Any], seed: int) -> None:
    codes = picture(seed)
    before, after = (codes**2.2 @ REC709).ravel(), (operator(codes) @ REC709).ravel()
    order = np.argsort(before)
    assert (np.diff(after[order]) >= -1e-9 * after.max()).all()


@pytest.mark.parametrize("operator", [akyuz, masia, huo_physiological, kuo, meylan])
@given(peak=st.floats(1, 1e4), seed=st.integers(0, 100))
@settings(max_examples=10, deadline=None)
def test_light_is_proportional_to_the_peak(operator: Callable[..., Any], peak: float, seed: int) -> None:
    codes = picture(seed)
    np.testing.assert_allclose(operator(codes, peak=2 * peak), 2 * operator(codes, peak=peak), rtol=1e-6)


def test_white_is_where_each_paper_puts_it() -> None:
    codes = picture(3)
    middle = (12, 16)
    assert landis(codes, peak=700)[middle] == pytest.approx([700] * 3)
    assert akyuz(codes, peak=700)[middle] == pytest.approx([700] * 3)
    assert masia(codes, peak=700)[middle] == pytest.approx([700] * 3)
    assert kuo(codes, peak=700)[middle] == pytest.approx([700] * 3)
    assert (landis(codes, threshold=1.0) == codes**2.2).all(), "nothing lies above 1"


def test_without_clipping_kovaleski_leaves_a_quarter_and_rempel_its_range() -> None:
    codes = 0.8 * picture(4)
    level = codes**2.2 @ REC709
    lit = level > 0
    found = kovaleski_oliveira(codes, peak=1000, black=0.3) @ REC709
    np.testing.assert_allclose(found[lit], ((level * 999.7 + 0.3) / 4)[lit], rtol=1e-9)
    found = rempel(codes) @ OLD_REC709
    level = codes**2.2 @ OLD_REC709
    np.testing.assert_allclose(found[lit], (level * 1199.7 + 0.3)[lit], rtol=1e-9)


def test_rempel_stops_at_edges_and_fades_away_from_clipping() -> None:
    codes = np.full((90, 200, 3), 0.2)
    codes[:, 40:160] = 0.94
    codes[40:50, 95:105] = 1
    gain = rempel(codes) @ OLD_REC709 / ((codes**2.2 @ OLD_REC709) * 1199.7 + 0.3)
    assert gain[45, 20] == pytest.approx(1), "beyond the edge nothing is enhanced"
    assert gain[45, 100] > gain[45, 70] > gain[45, 50] > 1.0005


def test_banterle_expands_around_lights() -> None:
    codes = np.full((64, 96, 3), 0.25)
    codes[20:28, 60:68] = 1
    level = codes**2.2 @ OLD_REC709
    light = banterle(codes, peak=1000, white=1000, neighbors=0) @ OLD_REC709
    x = (level - level.min()) / np.ptp(level)
    expanded = 1000 * 1000 / 2 * (x - 1 + np.sqrt((1 - x) ** 2 + 4 * x / 1000**2))
    assert (light <= np.maximum(level, expanded) * (1 + 1e-9)).all(), "a mixture of both"
    assert (light >= np.minimum(level, expanded) * (1 - 1e-9)).all()
    assert light[24, 64] > 100 * light[60, 5]
    flat = np.full((40, 40, 3), 0.5)
    np.testing.assert_allclose(banterle(flat), flat**2.2)


def test_a_picture_without_specular_area_is_diffuse() -> None:
    x = np.linspace(0.1, 1, 60)[None, :, None] * np.ones((8, 1, 3))
    light = meylan(x, peak=1000, share=0.67) @ OLD_REC709
    assert light.max() <= 670 * 1.001


def test_the_grid_keeps_constants_and_edges_and_is_linear() -> None:
    rng = np.random.default_rng(0)
    edge = np.zeros((60, 80))
    edge[:, 40:] = 1
    noise = 0.02 * rng.standard_normal(edge.shape)
    np.testing.assert_allclose(bilateral(np.full_like(edge, 0.3), 8, 0.1, edge=edge), 0.3)
    smooth = bilateral(np.clip(edge + noise, 0, 1), 8, 0.1)
    assert np.abs(smooth - edge).max() < 0.05
    assert smooth[:, :30].std() < 0.5 * np.clip(noise, 0, 1)[:, :30].std()
    a, b = rng.random((2, 60, 80))
    np.testing.assert_allclose(
        bilateral(2 * a - 3 * b, 8, 0.1, edge=edge),
        2 * bilateral(a, 8, 0.1, edge=edge) - 3 * bilateral(b, 8, 0.1, edge=edge),
    )


def test_a_wide_range_makes_the_grid_a_blur() -> None:
    """With one cell of values it is a Gaussian cut off at the next cell: of an even ramp, the ramp."""
    ramp = np.linspace(0, 1, 121)[None] * np.ones((121, 1))
    smooth = bilateral(ramp, 10, 1e6)
    np.testing.assert_allclose(smooth[30:90, 30:90], ramp[30:90, 30:90], atol=0.01)


@pytest.mark.parametrize("window", [5, 8])
def test_a_gaussian_is_that_of_its_window(window: int) -> None:
    x = np.zeros((31, 31))
    x[15, 15] = 1
    found = gaussian(x, 2.0, window)
    assert found.sum() == pytest.approx(1)
    assert np.count_nonzero(found > 1e-12) == window * window
    at = np.arange(31) - (15 if window % 2 else 14.5)
    assert (found.sum(0) * at).sum() == pytest.approx(0, abs=1e-12)


@given(seed=st.integers(0, 10**6), height=st.integers(5, 50), width=st.integers(5, 50))
@settings(max_examples=30, deadline=None)
def test_median_cut_keeps_the_light(seed: int, height: int, width: int) -> None:
    light = np.random.default_rng(seed).random((height, width, 3)) ** 4
    level = light @ REC709
    count = light_count(height, width)
    lights = median_cut(light, level, count)
    assert len(lights) <= count
    np.testing.assert_allclose(sum(np.array(one.power) for one in lights), light.sum((0, 1)), rtol=1e-9)
    assert all(0 <= one.row < height and 0 <= one.column < width for one in lights)


def test_an_even_picture_is_cut_into_even_lights() -> None:
    lights = median_cut(np.ones((64, 64, 3)), np.ones((64, 64)), 64)
    assert len(lights) == 64
    assert {one.power for one in lights} == {(64.0, 64.0, 64.0)}


@pytest.mark.parametrize(
    ("codes", "what"),
    [
        (np.zeros((4, 4)), "(4, 4)"),
        (np.zeros((4, 4, 4)), "(4, 4, 4)"),
        (np.full((4, 4, 3), 1.5), "from 0 to 1"),
        (np.full((4, 4, 3), -0.1), "from 0 to 1"),
        (np.full((4, 4, 3), np.nan), "from 0 to 1"),
    ],
)
def test_wrong_pictures_are_named(codes: np.ndarray, what: str) -> None:
    with pytest.raises(UsageError) as error:
        OPERATORS["KOV"](codes, gamma=2.2)
    assert what in str(error.value)


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_one_color_is_no_fault(name: str, level: float) -> None:
    light = OPERATORS[name](np.full((24, 24, 3), level), gamma=2.2)
    assert np.isfinite(light).all()
    assert (light >= 0).all()


# The command


def plate(path: Path, seed: int = 0) -> Path:
    Image.fromarray((255 * picture(seed)).round().astype(np.uint8)).save(path)
    return path


def test_the_command_expands_pictures(tmp_path: Path) -> None:
    images = [plate(tmp_path / f"p{n}.png", n) for n in range(2)]
    ran = invoke(
        command,
        "expand",
        *images,
        "--operator",
        "kov",
        "--peak",
        "500",
        "--set",
        "sigma_space=20",
        "-o",
        tmp_path / "out",
    )
    assert ran.code == 0, ran.err
    for image in images:
        found = oiio.ImageBuf(str(tmp_path / "out" / f"{image.stem}.exr")).get_pixels(oiio.FLOAT)
        expected = kovaleski_oliveira(np.asarray(Image.open(image)), peak=500, sigma_space=20)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--operator", "XYZ"), "XYZ"),
        (("--operator", "REM", "--peak", "500"), "--peak"),
        (("--operator", "KOV", "--set", "bend=3"), "bend"),
        (("--operator", "KUO", "--set", "bend=much"), "bend=much"),
        (("--operator", "REM", "--set", "squared=maybe"), "squared=maybe"),
        (("--operator", "AKY", "--peak", "0"), "peak"),
        (("--operator", "KOV", "--peak", "inf"), "peak"),
        (("--operator", "KOV", "--peak", "nan"), "peak"),
        (("--operator", "LAN", "--set", "threshold=2"), "threshold"),
        (("--operator", "MAS", "--set", "regression=2010"), "2009 or 2017"),
        (("--operator", "KOV", "--set", "sigma_space=-1"), "sigma_space"),
        (("--operator", "KOV", "--set", "content=film"), "image or video"),
        (("--operator", "MEY", "--set", "share=1"), "share"),
        (("--operator", "BNT", "--set", "white=0"), "white"),
        (("--operator", "HUO", "--set", "exponent=0"), "exponent"),
        (("--operator", "KUO", "--gamma", "-1"), "gamma"),
    ],
)
def test_wrong_words_are_named(tmp_path: Path, words: tuple[str, ...], what: str) -> None:
    ran = invoke(command, "expand", plate(tmp_path / "p.png"), *words, "-o", tmp_path / "out")
    assert ran.code == 2
    assert what in ran.complaint
    assert not (tmp_path / "out").exists()


def test_two_pictures_of_one_name_and_one_file_for_two_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    images = [plate(tmp_path / "p.png"), plate(tmp_path / "a" / "p.png")]
    for output in (tmp_path / "out", tmp_path / "out.exr"):
        ran = invoke(command, "expand", *images, "--operator", "AKY", "-o", output)
        assert ran.code == 2
        assert not output.exists()


@pytest.mark.parametrize("name", ["x.tif", "x.PNG", "x.hdr"])
def test_a_file_of_another_format_is_refused_and_does_not_become_a_folder(tmp_path: Path, name: str) -> None:
    ran = invoke(command, "expand", plate(tmp_path / "p.png"), "--operator", "AKY", "-o", tmp_path / name)
    assert ran.code == 2
    assert name in ran.complaint
    assert not (tmp_path / name).exists()


def test_a_broken_picture_leaves_the_others(tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    ran = invoke(command, "expand", broken, plate(tmp_path / "p.png"), "--operator", "AKY", "-o", tmp_path / "out")
    assert ran.code == 1
    assert "broken.png" in ran.complaint
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["p.exr"]


@pytest.mark.parametrize("output", ["p.exr", "."])
def test_no_picture_is_replaced_by_its_expansion(tmp_path, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    picture = plate(tmp_path / "p.png").rename(tmp_path / "p.exr")
    before = picture.read_bytes()
    ran = invoke(command, "expand", picture, "--operator", "AKY", "-o", output)
    assert ran.code == 2
    assert "input" in ran.complaint
    assert picture.read_bytes() == before
