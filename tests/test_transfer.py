from __future__ import annotations

import warnings

import fakes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expandnet_ofx import color, primaries
from expandnet_ofx.errors import AlreadyHDRError, UsageError
from expandnet_ofx.transfer import ENCODINGS, full_scale, named_encoding, srgb_decode, srgb_encode

NAMES = sorted(ENCODINGS)
MAX = np.float32(65504)


def decoded(name: str, code: float) -> float:
    return float(named_encoding(name).decode(np.array([code], np.float32))[0])


@pytest.mark.parametrize(
    ("name", "code", "light"),
    [
        # IEC 61966-2-1: code 128 of 255 and the half code; the breakpoint 0.04045 is linear 0.0031308.
        ("srgb", 0.5, 0.21404),
        ("srgb", 128 / 255, 0.21586),
        ("srgb", 0.04045, 0.0031308),
        ("display-p3", 0.5, 0.21404),
        # ITU-R BT.709-6: V = 1.099 L^0.45 - 0.099, so 18 percent gray is code 0.40900; 0.018 is 0.081.
        ("rec709-scene", 0.5, 0.25959),
        ("rec709-scene", 0.409008, 0.18),
        ("rec709-scene", 0.0405, 0.009),
        # ITU-R BT.1886 with black at 0: L = V^2.4.
        ("bt1886", 0.5, 0.18946),
        ("gamma2.4", 0.5, 0.18946),
        ("rec2020-bt1886", 0.5, 0.18946),
        ("gamma2.2", 0.5, 0.21764),
        # Adobe RGB (1998): gamma 2.19921875.
        ("adobe-rgb", 0.5, 0.21776),
        # ROMM RGB: gamma 1.8, 16 times steeper below E = 1/512.
        ("prophoto", 0.5, 0.28717),
        ("prophoto", 0.016, 0.001),
        ("linear", 0.5, 0.5),
    ],
)
def test_published_values(name, code, light):
    assert decoded(name, code) == pytest.approx(light, rel=6e-5)


def test_the_two_video_curves_lie_half_a_stop_apart_at_mid_gray():
    stops = np.log2(decoded("rec709-scene", 0.5) / decoded("bt1886", 0.5))
    assert 0.4 < stops < 0.55


@pytest.mark.parametrize("name", NAMES)
def test_black_stays_black_and_white_is_one(name):
    assert decoded(name, 0) == 0
    assert decoded(name, 1) == pytest.approx(1, abs=1e-6)


@settings(max_examples=200, deadline=None)
@given(st.floats(0, 1))
def test_srgb_there_and_back(code):
    assert float(srgb_encode(srgb_decode(np.array(code)))) == pytest.approx(code, abs=2e-7)
    assert float(srgb_decode(srgb_encode(np.array(code)))) == pytest.approx(code, abs=2e-7)
    assert float(srgb_decode(np.array(code))) == pytest.approx(float(fakes.decode_srgb(code)), abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_every_curve_rises_without_a_jump(name):
    light = named_encoding(name).decode(np.linspace(0, 2, 4001, dtype=np.float32)).astype(np.float64)
    assert (np.diff(light) > 0).all()
    assert np.diff(light).max() < 0.0035


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("name", NAMES)
def test_tables_equal_the_curves_for_every_code(name, dtype):
    encoding = named_encoding(name)
    top = int(full_scale(np.dtype(dtype)))
    codes = np.arange(top + 1, dtype=dtype)
    floats = (codes.astype(np.float64) / top).astype(np.float32)
    np.testing.assert_allclose(encoding.decode(codes), encoding.decode(floats), rtol=3e-6, atol=1e-9)
    seen = encoding.encode_for_network(codes)
    np.testing.assert_allclose(seen, encoding.encode_for_network(floats), atol=2e-6)
    expected = fakes.encode_srgb(encoding.decode(floats).astype(np.float64))
    np.testing.assert_allclose(seen, expected, atol=2e-6)
    assert seen.dtype == encoding.decode(codes).dtype == np.float32
    assert 0 <= seen.min() <= seen.max() <= 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_integer_srgb_is_the_standard_rounded_once(dtype):
    top = np.iinfo(dtype).max
    codes = np.arange(top + 1, dtype=dtype)
    expected = fakes.decode_srgb(codes.astype(np.float64) / top).astype(np.float32)
    assert np.array_equal(named_encoding("srgb").decode(codes), expected)


@settings(max_examples=100, deadline=None)
@given(name=st.sampled_from(NAMES), code=st.floats(2**-14, 200, width=32))
def test_light_below_black_mirrors_and_above_white_goes_on(name, code):
    light = decoded(name, code)
    assert decoded(name, -code) == -light
    assert light > 0
    if code > 1.001:
        assert light > 1
    seen = named_encoding(name).encode_for_network(np.array([-code, code], np.float32))
    assert seen[0] == 0
    assert seen[1] == pytest.approx(min(1, float(fakes.encode_srgb(light))), abs=2e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_number_becomes_one(name, dtype):
    codes = np.array([np.nan, np.inf, -np.inf, 0.5], dtype)
    light = named_encoding(name).decode(codes)
    assert light[:3].tolist() == [0, MAX, -MAX]
    assert light[3] == pytest.approx(decoded(name, 0.5))
    assert named_encoding(name).encode_for_network(codes)[:3].tolist() == [0, pytest.approx(1, abs=1e-6), 0]


@pytest.mark.parametrize("name", NAMES)
def test_huge_finite_codes_end_at_the_largest_half(name):
    codes = np.array([3e38, -3e38, 1e30], np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert named_encoding(name).decode(codes).tolist() == [MAX, -MAX, MAX]


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UsageError) as caught:
        named_encoding("kodachrome")
    assert all(name in str(caught.value) for name in ("kodachrome", "--input-space", "srgb", "bt1886"))


# Primaries


def test_luminance_of_rec709_and_rec2020():
    # ITU-R BT.709-6, item 3.2, and BT.2020-2, table 4.
    np.testing.assert_allclose(primaries.to_xyz(primaries.REC709)[1], [0.2126, 0.7152, 0.0722], atol=5e-5)
    np.testing.assert_allclose(primaries.to_xyz(primaries.REC2020)[1], [0.2627, 0.6780, 0.0593], atol=5e-5)


@pytest.mark.parametrize(
    ("space", "published"),
    [
        # IEC 61966-2-1:1999, 5.2 (to four digits).
        (
            primaries.REC709,
            [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]],
        ),
        # Adobe RGB (1998) Color Image Encoding, 4.3.5.3.
        (
            primaries.ADOBE_RGB,
            [[0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529], [0.02703, 0.07069, 0.99134]],
        ),
        # SMPTE ST 2065-1, 4.3 (normalized so that Y of white is 1).
        (
            primaries.AP0,
            [[0.9525523959, 0, 0.0000936786], [0.3439664498, 0.7281660966, -0.0721325464], [0, 0, 1.0088251844]],
        ),
        # Academy S-2014-004, annex.
        (
            primaries.AP1,
            [
                [0.6624541811, 0.1340042065, 0.1561876870],
                [0.2722287168, 0.6740817658, 0.0536895174],
                [-0.0055746495, 0.0040607335, 1.0103391003],
            ],
        ),
        # ISO 22028-2 (ROMM RGB), 4.2.
        (
            primaries.PROPHOTO,
            [[0.7977, 0.1352, 0.0313], [0.2880, 0.7119, 0.0001], [0.0, 0.0, 0.8249]],
        ),
    ],
)
def test_published_matrices_to_xyz(space, published):
    np.testing.assert_allclose(primaries.to_xyz(space), published, atol=3e-4 if space is primaries.PROPHOTO else 6e-5)


def test_published_matrices_between_spaces():
    # ACES: Rec.709 to AP1 and to AP0 with Bradford from D65.
    np.testing.assert_allclose(
        primaries.conversion(primaries.REC709, primaries.AP1),
        [
            [0.6130974024, 0.3395231462, 0.0473794514],
            [0.0701937225, 0.9163538791, 0.0134523985],
            [0.0206155929, 0.1095697729, 0.8698146342],
        ],
        atol=2e-5,
    )
    np.testing.assert_allclose(
        primaries.conversion(primaries.REC709, primaries.AP0),
        [
            [0.4396329819, 0.3829886982, 0.1773783199],
            [0.0897764431, 0.8134394287, 0.0967841282],
            [0.0175411704, 0.1115465500, 0.8709122796],
        ],
        atol=2e-5,
    )
    # ITU-R BT.2087-0, the inverse of BT.709 to BT.2020.
    np.testing.assert_allclose(
        np.linalg.inv(primaries.to_rec709(primaries.REC2020)),
        [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]],
        atol=6e-5,
    )


SPACES = [
    primaries.REC709, primaries.P3_D65, primaries.REC2020, primaries.ADOBE_RGB, primaries.PROPHOTO,
    primaries.AP0, primaries.AP1,
]  # fmt: skip


@pytest.mark.parametrize("source", SPACES)
@pytest.mark.parametrize("target", SPACES)
def test_conversions_keep_white_and_have_an_inverse(source, target):
    there, back = primaries.conversion(source, target), primaries.conversion(target, source)
    np.testing.assert_allclose(there.sum(1), 1, atol=1e-9)
    np.testing.assert_allclose(there @ back, np.eye(3), atol=1e-9)


# OpenColorIO

COLORS = np.random.default_rng(5).random((200, 3), np.float32)


@pytest.mark.parametrize(("name", "id_"), [("acescg", "lin_ap1_scene"), ("aces2065-1", "lin_ap0_scene")])
def test_built_in_output_spaces_agree_with_opencolorio(name, id_):
    matrix = color.output_matrix(name)
    assert matrix is not None
    expected = color._convert(COLORS, "lin_rec709_scene", id_, "ocio://default")
    np.testing.assert_allclose(COLORS @ matrix.T, expected, atol=2e-5)
    assert color.interop_id(name) == id_


@pytest.mark.parametrize(
    ("name", "space"),
    [
        ("srgb", "sRGB - Display"),
        ("display-p3", "Display P3 - Display"),
        ("bt1886", "Rec.1886 Rec.709 - Display"),
        ("gamma2.2", "Gamma 2.2 Encoded Rec.709"),
        ("adobe-rgb", "Gamma 2.2 Encoded AdobeRGB"),
    ],
)
def test_built_in_encodings_agree_with_opencolorio(name, space):
    names = color._config("ocio://default").getColorSpaceNames()
    if space not in names:
        pytest.skip(f"the library's default config has no {space}")
    encoding = named_encoding(name)
    light = encoding.decode(COLORS)
    if encoding.to_rec709 is not None:
        light = light @ encoding.to_rec709.T.astype(np.float32)
    expected = color._convert(COLORS, space, "lin_rec709_scene", "ocio://default")
    np.testing.assert_allclose(light, expected, atol=1e-4)


@pytest.mark.parametrize(
    "space",
    ["sRGB - Display", "Display P3 - Display", "Rec.1886 Rec.709 - Display", "P3-D65 - Display", "sRGB Encoded AP1"],
)
def test_a_measured_space_is_its_curve_and_matrix(space):
    if space not in color._config("ocio://default").getColorSpaceNames():
        pytest.skip(f"the library's default config has no {space}")
    encoding = color.input_encoding(space, ocio="ocio://default")
    expected = color._convert(COLORS, space, "lin_rec709_scene", "ocio://default")
    light = encoding.decode(COLORS)
    if encoding.to_rec709 is not None:
        light = (light @ encoding.to_rec709.T).astype(np.float32)
    np.testing.assert_allclose(light, expected, atol=1e-4)
    assert encoding.decode(np.zeros(3, np.float32)).tolist() == pytest.approx([0, 0, 0], abs=1e-5)
    assert encoding.decode(np.ones(3, np.float32)).tolist() == pytest.approx([1, 1, 1], abs=1e-4)
    codes = np.arange(256, dtype=np.uint8)
    np.testing.assert_allclose(encoding.decode(codes), encoding.decode(codes / np.float32(255)), atol=1e-6)


def test_unknown_names_are_usage_errors_that_say_which_option():
    with pytest.raises(UsageError, match="--input-space no-such-space"):
        color.input_encoding("no-such-space")
    with pytest.raises(UsageError, match="--output-space no-such-space"):
        color.output_matrix("no-such-space")
    with pytest.raises(UsageError, match="--output-space no-such-space"):
        color.interop_id("no-such-space")
    with pytest.raises(UsageError, match="--ocio"):
        color.input_encoding("no-such-space", ocio="/no/such/config.ocio")


def test_an_encoded_space_is_no_output_space():
    with pytest.raises(UsageError, match="--output-space"):
        color.output_matrix("sRGB - Display", ocio="ocio://default")


@pytest.mark.parametrize("space", ["ACEScc", "ACEScct", "Rec.2100-PQ - Display", "ST2084-P3-D65 - Display"])
def test_what_is_not_display_referred_is_refused(space):
    names = color._config("ocio://default").getColorSpaceNames()
    if space not in names:
        pytest.skip(f"the library's default config has no {space}")
    with pytest.raises(AlreadyHDRError, match="--force"):
        color.input_encoding(space, ocio="ocio://default")
