"""ICC profiles. Truth here is independent: LittleCMS, libjxl, bytes assembled from the published standard."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import OpenImageIO
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from tagged import (
    ADOBE_XYZ,
    CODES,
    P3_XYZ,
    PICTURE,
    ROMM_XYZ,
    SRGB_XYZ,
    build,
    curv,
    desc2,
    mluc,
    of_file,
    one_line,
    para,
    rgb_tags,
    spec_of,
    srgb_para,
    srgb_table,
)

from expandnet_ofx import icc, primaries
from expandnet_ofx.colortags import tagged_encoding
from expandnet_ofx.encodings import combine
from expandnet_ofx.errors import AlreadyHDRError, InputError
from expandnet_ofx.icc import COMMON_CURVES, SPACES
from expandnet_ofx.transfer import ENCODINGS, Encoding


def with_profile(data: bytes, channels: int = 3, pixel: str = "uint8") -> OpenImageIO.ImageSpec:
    spec = spec_of(channels, pixel)
    spec.attribute("ICCProfile", f"uint8[{len(data)}]", np.frombuffer(data, np.uint8))
    return spec


def of_profile(data: bytes, channels: int = 3) -> Encoding:
    return tagged_encoding(with_profile(data, channels), "tiff", Path("plate.tif"))


# --- ICC


@pytest.mark.parametrize(
    ("tags", "version", "expected"),
    [
        (rgb_tags(SRGB_XYZ, srgb_table(1024)), 2, "srgb"),
        (rgb_tags(SRGB_XYZ, srgb_para(), mluc("sRGB")), 4, "srgb"),
        (rgb_tags(SRGB_XYZ, curv(round(2.2 * 256))), 2, "gamma2.2"),
        (rgb_tags(SRGB_XYZ, curv()), 2, "linear"),
        (rgb_tags(SRGB_XYZ, para(0, 1.0)), 4, "linear"),
        (rgb_tags(SRGB_XYZ, para(0, 2.4)), 4, "bt1886"),
        (rgb_tags(SRGB_XYZ, para(3, 1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)), 4, "rec709-scene"),
        (rgb_tags(SRGB_XYZ, para(4, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045, 0, 0)), 4, "srgb"),
        (rgb_tags(SRGB_XYZ, para(1, 2.2, 1.0, 0.0)), 4, "gamma2.2"),
        (rgb_tags(SRGB_XYZ, para(2, 2.2, 1.0, 0.0, 0.0)), 4, "gamma2.2"),
        (rgb_tags(P3_XYZ, srgb_para(), mluc("Display P3")), 4, "display-p3"),
        (rgb_tags(ADOBE_XYZ, curv(563)), 2, "adobe-rgb"),
        (rgb_tags(ADOBE_XYZ, para(0, 2.2)), 4, "adobe-rgb"),
        (rgb_tags(ROMM_XYZ, curv(round(1.8 * 256))), 2, "prophoto"),
        (rgb_tags(ROMM_XYZ, para(3, 1.8, 1.0, 0.0, 1 / 16, 1 / 32)), 4, "prophoto"),
    ],
)
def test_published_profiles_are_recognized(tags, version, expected):
    assert of_profile(build(tags, version=version)) is ENCODINGS[expected]


def test_a_profile_of_littlecms_is_recognized(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for extension in ("png", "jpg", "tif", "webp"):
        path = tmp_path / f"plate.{extension}"
        Image.fromarray(PICTURE).save(path, icc_profile=profile)
        assert of_file(path) is ENCODINGS["srgb"]


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        ("srgb_rec709_scene", "srgb"),
        ("srgb_p3d65_scene", "display-p3"),
        ("lin_rec709_scene", "linear"),
    ],
)
def test_profiles_of_libjxl_are_recognized(tmp_path, space, expected):
    path = tmp_path / "plate.jxl"
    buffer = OpenImageIO.ImageBuf(PICTURE)
    buffer.specmod()["oiio:ColorSpace"] = space
    assert buffer.write(str(path)), buffer.geterror()
    data = OpenImageIO.ImageBuf(str(path)).spec().getattribute("ICCProfile")
    assert of_profile(bytes(bytearray(data))) is ENCODINGS[expected]


def test_primaries_and_curve_are_combined_once():
    encoding = of_profile(build(rgb_tags(P3_XYZ, curv(), mluc("Display P3 linear")), version=4))
    assert encoding is of_profile(build(rgb_tags(P3_XYZ, para(0, 1.0)), version=4))
    assert encoding.name == "p3-d65-linear"
    np.testing.assert_array_equal(encoding.decode(CODES), CODES)
    assert encoding.to_rec709 is not None
    np.testing.assert_allclose(encoding.to_rec709[:, 0], (1.2249, -0.0420, -0.0197), atol=2e-4)


@pytest.mark.parametrize("curve", COMMON_CURVES)
@pytest.mark.parametrize("space", SPACES)
def test_a_curve_brings_no_primaries_of_its_own(space, curve):
    """sRGB's primaries with a gamma of 1.8 are no ProPhoto."""
    encoding = combine(space, curve)
    expected = np.eye(3) if space == primaries.REC709 else primaries.to_rec709(space)
    np.testing.assert_array_equal(np.eye(3) if encoding.to_rec709 is None else encoding.to_rec709, expected)
    # Adobe's own gamma is 563/256.
    np.testing.assert_allclose(encoding.decode(CODES), ENCODINGS[curve].curve(CODES), atol=2e-4)


def test_gray_profiles_are_matched_by_curve():
    data = build({b"desc": desc2("Gray Gamma 2.2"), b"kTRC": curv(round(2.2 * 256))}, space=b"GRAY")
    assert of_profile(data, 1) is ENCODINGS["gamma2.2"]
    assert of_profile(data, 2) is ENCODINGS["gamma2.2"]
    with pytest.raises(InputError, match=r"Gray Gamma 2\.2"):
        of_profile(data, 3)


@pytest.mark.parametrize(
    "data",
    [
        build(rgb_tags(SRGB_XYZ, srgb_para()) | {b"A2B0": b"mft2" + bytes(48)}),
        build({b"desc": desc2("a test"), b"A2B0": b"mft2" + bytes(48)}, space=b"CMYK", kind=b"prtr", pcs=b"Lab "),
        build(rgb_tags(SRGB_XYZ, srgb_para()), kind=b"link"),
        build(rgb_tags(SRGB_XYZ, para(0, 1.9))),
        build(rgb_tags(SRGB_XYZ, srgb_para()) | {b"gTRC": curv(round(1.8 * 256))}),
        build(rgb_tags(((0.5, 0.3, 0.0), (0.3, 0.6, 0.1), (0.16, 0.1, 0.72)), srgb_para())),
        build({b"desc": desc2("a test"), b"kTRC": curv(512)}, space=b"GRAY", pcs=b"Lab "),
        build({b"desc": desc2("a test")}),
        build(rgb_tags(SRGB_XYZ, b"curv" + bytes(4) + b"\xff\xff\xff\xff")),
        build(rgb_tags(SRGB_XYZ, para(0, -9.0))),
        build(rgb_tags(SRGB_XYZ, b"para" + bytes(4) + struct.pack(">HH", 9, 0) + bytes(40))),
        build(rgb_tags(SRGB_XYZ, para(1, 2.2, 0.0, 0.0))),
    ],
)
def test_other_profiles_are_refused_by_name(data):
    with pytest.raises(InputError) as caught:
        of_profile(data)
    message = one_line(caught, "plate.tif")
    assert "ICC profile 'a test' is not one known here (sRGB, Display P3, Adobe RGB, ProPhoto)" in message
    assert message.endswith("say what it is with --input-space")
    assert not isinstance(caught.value, AlreadyHDRError)


def test_a_profile_that_says_pq_is_hdr():
    data = build(rgb_tags(P3_XYZ, srgb_para(), mluc("HDR P3")) | {b"cicp": b"cicp" + bytes(4) + bytes((12, 16, 0, 1))})
    with pytest.raises(AlreadyHDRError, match=r"PQ .*HDR P3.*--force"):
        of_profile(data)
    forced = tagged_encoding(with_profile(data), "jpegxl", Path("plate.jxl"), force=True)
    assert forced is ENCODINGS["display-p3"]


def test_a_profile_name_cannot_break_the_message():
    data = build({b"desc": mluc("line\none\x1b[2J" + "x" * 500)})
    with pytest.raises(InputError) as caught:
        of_profile(data)
    assert "'lineone[2Jxxx" in one_line(caught, "plate.tif")
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("data", [b"\0", b"no profile at all", bytes(132), build({})[:131]])
def test_bytes_that_are_no_profile_are_refused(data):
    with pytest.raises(InputError, match="the ICC profile is broken; say what it is with --input-space"):
        of_profile(data)


def test_many_tags_over_one_large_body_cost_nothing():
    head = bytearray(build({}))
    entries = 200_000
    head[128:132] = struct.pack(">I", entries)
    table = b"".join((struct.pack(">4sII", b"desc", 0, 2_000_000),) * entries)
    profile = icc.read(bytes(head) + table + bytes(2_000_000))
    assert profile is not None
    assert icc.recognize(profile) is None


GOOD = build(rgb_tags(SRGB_XYZ, srgb_table(64), mluc("sRGB")), version=4)


def outcome(data: bytes) -> None:
    try:
        result: object = of_profile(data)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert isinstance(result, Encoding)


@settings(max_examples=300, deadline=None)
@given(st.binary(min_size=1, max_size=600))
def test_any_bytes_give_an_encoding_or_an_input_error(data):
    outcome(data)
    outcome(data.ljust(132, b"\0")[:36] + b"acsp" + data[40:])


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.large_base_example])
@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=12), st.integers(0, len(GOOD)))
def test_a_damaged_profile_gives_an_encoding_or_an_input_error(changes, end):
    data = bytearray(GOOD)
    for at, value in changes:
        data[at] = value
    outcome(bytes(data))
    outcome(bytes(data[:end]) or b"\0")


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 6), st.lists(st.integers(-(2**31), 2**31 - 1), max_size=7))
def test_any_parametric_curve_gives_an_encoding_or_an_input_error(kind, values):
    body = b"para" + bytes(4) + struct.pack(f">HH{len(values)}i", kind, 0, *values)
    outcome(build(rgb_tags(SRGB_XYZ, body), version=4))
