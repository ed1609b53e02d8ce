"""Truth here is independent: profiles from LittleCMS and libjxl, bytes assembled from the published standards."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from expandnet_ofx import icc, primaries
from expandnet_ofx.colortags import check_color_model, tagged_encoding
from expandnet_ofx.encodings import combine
from expandnet_ofx.errors import AlreadyHDRError, InputError
from expandnet_ofx.images import open_image
from expandnet_ofx.settings import Settings
from expandnet_ofx.transfer import ENCODINGS, Encoding

CODES = np.linspace(0, 1, 101, dtype=np.float32)
PICTURE = (np.arange(16 * 16 * 3).reshape(16, 16, 3) % 256).astype(np.uint8)

# Colorants as vendors' profiles hold them, adapted to D50: the sRGB profile of HP (1998), Adobe RGB (1998) of Adobe,
# Display P3 of Apple and ROMM RGB of Kodak.
SRGB_XYZ = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
ADOBE_XYZ = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
P3_XYZ = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
ROMM_XYZ = ((0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.0), (0.03134, 0.00009, 0.82491))


def s15(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def curv(*entries: int) -> bytes:
    return b"curv" + bytes(4) + struct.pack(f">I{len(entries)}H", len(entries), *entries)


def para(kind: int, *values: float) -> bytes:
    return b"para" + bytes(4) + struct.pack(">HH", kind, 0) + s15(*values)


def xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ " + bytes(4) + s15(*values)


def desc2(name: str) -> bytes:
    return b"desc" + bytes(4) + struct.pack(">I", len(name) + 1) + name.encode() + bytes(79)


def mluc(name: str) -> bytes:
    text = name.encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II4sII", 1, 12, b"enUS", len(text), 28) + text


def build(
    tags: dict[bytes, bytes], *, space: bytes = b"RGB ", kind: bytes = b"mntr", pcs: bytes = b"XYZ ", version: int = 2
) -> bytes:
    """Assemble a profile: header of 128 bytes, tag count, table, data aligned to 4."""
    table, body, at = b"", b"", 132 + 12 * len(tags)
    for signature, data in tags.items():
        table += signature + struct.pack(">II", at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(">I4sI", at + len(body), b"test", version << 24) + kind + space + pcs
    header += bytes(12) + b"acsp" + bytes(28) + s15(0.9642, 1.0, 0.8249)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def rgb_tags(colorants: tuple[tuple[float, ...], ...], curve: bytes, name: bytes | None = None) -> dict[bytes, bytes]:
    tags = {b"desc": name if name is not None else desc2("a test")}
    tags |= {tag: xyz(values) for tag, values in zip((b"rXYZ", b"gXYZ", b"bXYZ"), colorants, strict=True)}
    return tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)


def srgb_para() -> bytes:
    return para(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def srgb_table(count: int) -> bytes:
    codes = np.linspace(0, 1, count)
    light = np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)
    return curv(*(int(value) for value in np.round(light * 65535)))


def spec_of(channels: int = 3, pixel: str = "uint8") -> OpenImageIO.ImageSpec:
    return OpenImageIO.ImageSpec(4, 4, channels, pixel)


def with_profile(data: bytes, channels: int = 3, pixel: str = "uint8") -> OpenImageIO.ImageSpec:
    spec = spec_of(channels, pixel)
    spec.attribute("ICCProfile", f"uint8[{len(data)}]", np.frombuffer(data, np.uint8))
    return spec


def of_profile(data: bytes, channels: int = 3) -> Encoding:
    return tagged_encoding(with_profile(data, channels), "tiff", Path("plate.tif"))


def of_file(path: Path, *, force: bool = False) -> Encoding:
    source = OpenImageIO.ImageInput.open(str(path))
    assert source is not None, OpenImageIO.geterror()
    try:
        return tagged_encoding(source.spec(), source.format_name(), path, force=force)
    finally:
        source.close()


def one_line(error: pytest.ExceptionInfo[InputError], path: Path | str) -> str:
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message


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


# --- PNG


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


GAMMA_22 = chunk(b"gAMA", struct.pack(">I", 45455))
CHROMA_P3 = chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000))
SRGB_CHUNK = chunk(b"sRGB", b"\0")


def iccp(data: bytes) -> bytes:
    return chunk(b"iCCP", b"name\0\0" + zlib.compress(data))


def cicp(*code_points: int) -> bytes:
    return chunk(b"cICP", bytes(code_points))


@pytest.fixture
def png(tmp_path):
    def write(*chunks: bytes) -> Path:
        path = tmp_path / "plate.png"
        Image.fromarray(PICTURE).save(path)
        data = path.read_bytes()
        path.write_bytes(data[:33] + b"".join(chunks) + data[33:])
        return path

    return write


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ((), "srgb"),
        ((SRGB_CHUNK,), "srgb"),
        ((GAMMA_22,), "srgb"),
        ((chunk(b"gAMA", struct.pack(">I", 100000)),), "linear"),
        ((GAMMA_22, CHROMA_P3), "display-p3"),
        ((CHROMA_P3,), "display-p3"),
        ((GAMMA_22, CHROMA_P3, SRGB_CHUNK), "srgb"),
        ((iccp(build(rgb_tags(ADOBE_XYZ, curv(563)))), GAMMA_22, CHROMA_P3), "adobe-rgb"),
        ((cicp(12, 13, 0, 1), SRGB_CHUNK), "display-p3"),
        ((cicp(1, 13, 0, 1), iccp(build(rgb_tags(ADOBE_XYZ, curv(563))))), "srgb"),
        ((cicp(1, 1, 0, 1),), "bt1886"),
        ((cicp(1, 6, 0, 1),), "bt1886"),
        ((cicp(9, 14, 0, 1),), "rec2020-bt1886"),
        ((cicp(9, 15, 0, 1),), "rec2020-bt1886"),
        ((cicp(1, 4, 0, 1),), "gamma2.2"),
        ((cicp(1, 8, 0, 1),), "linear"),
        ((cicp(2, 2, 0, 1), GAMMA_22, CHROMA_P3), "display-p3"),
    ],
)
def test_png_chunks_count_in_the_order_of_the_standard(png, chunks, expected):
    assert of_file(png(*chunks)) is ENCODINGS[expected]


def test_a_png_gamma_of_its_own_is_a_curve(png):
    encoding = of_file(png(chunk(b"gAMA", struct.pack(">I", 55556))))
    np.testing.assert_allclose(encoding.decode(CODES), CODES**1.8, atol=1e-4)
    assert encoding.to_rec709 is None


def test_cicp_of_bt2020_with_srgb_curve_is_built(png):
    encoding = of_file(png(cicp(9, 13, 0, 1)))
    assert encoding is combine(primaries.REC2020, "srgb")
    assert abs(float(encoding.decode(np.array([0.5], np.float32))[0]) - 0.21404) < 1e-4
    # ITU-R BT.2087-0, table 2, inverted: BT.2020 to BT.709.
    assert encoding.to_rec709 is not None
    np.testing.assert_allclose(encoding.to_rec709[0], (1.6605, -0.5876, -0.0728), atol=2e-4)


def test_png_primaries_of_its_own_keep_white(png):
    values = (31270, 32900, 66000, 33000, 28000, 65000, 15000, 6000)
    encoding = of_file(png(GAMMA_22, chunk(b"cHRM", struct.pack(">8I", *values))))
    assert encoding.to_rec709 is not None
    np.testing.assert_allclose(encoding.to_rec709 @ np.ones(3), 1, atol=1e-9)
    assert encoding.to_rec709[0, 0] > 1.02


@pytest.mark.parametrize(
    "values",
    [
        (0,) * 8,
        (31270, 32900, 64000, 33000, 64000, 33000, 15000, 6000),
        (90000, 10000, 64000, 33000, 30000, 60000, 15000, 6000),
        (2**31 - 1,) * 8,
    ],
)
def test_unusable_primaries_are_refused(png, values):
    path = png(chunk(b"cHRM", struct.pack(">8I", *values)))
    with pytest.raises(InputError, match=r"cHRM .* no usable primaries; say what it is with --input-space"):
        of_file(path)


@pytest.mark.parametrize("value", [0, 1, 2_000_000])
def test_a_senseless_gamma_is_refused(png, value):
    with pytest.raises(InputError, match="--input-space"):
        of_file(png(chunk(b"gAMA", struct.pack(">I", value))))


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG"), (9, "logarithmic")])
def test_cicp_of_hdr_is_refused_unless_forced(png, transfer, name):
    path = png(cicp(9, transfer, 0, 1))
    with pytest.raises(AlreadyHDRError) as caught:
        of_file(path)
    message = one_line(caught, path)
    assert name in message
    assert "--force" in message
    assert of_file(path, force=True) is combine(primaries.REC2020, "srgb")


@pytest.mark.parametrize("code_points", [(3, 13, 0, 1), (1, 17, 0, 1), (1, 2, 0, 1), (2, 13, 0, 1), (1, 13, 0, 0)])
def test_other_cicp_is_refused(png, code_points):
    path = png(cicp(*code_points))
    with pytest.raises(InputError) as caught:
        of_file(path)
    assert "--input-space" in one_line(caught, path)


# --- EXIF


def exif(space: int, index: bytes | None, order: str) -> bytes:
    """Assemble an Exif block: ColorSpace and, where given, an interoperability directory with its index."""
    entries = 1 if index is None else 2
    at = 26 + 2 + 12 * entries + 4
    data = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IHHHIII", 8, 1, 0x8769, 4, 1, 26, 0)
    data += struct.pack(f"{order}HHHIHH", entries, 0xA001, 3, 1, space, 0)
    if index is not None:
        data += struct.pack(f"{order}HHII", 0xA005, 4, 1, at)
    data += bytes(4)
    if index is not None:
        data += struct.pack(f"{order}HHHI4sI", 1, 1, 2, 4, index, 0)
    return b"Exif\0\0" + data


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("space", "index", "expected"),
    [
        (1, None, "srgb"),
        (1, b"R98\0", "srgb"),
        (2, None, "adobe-rgb"),
        (65535, b"R03\0", "adobe-rgb"),
        (65535, b"R98\0", "srgb"),
        (65535, None, "srgb"),
    ],
)
def test_exif_color_spaces(tmp_path, order, space, index, expected):
    path = tmp_path / "plate.jpg"
    Image.fromarray(PICTURE).save(path, exif=exif(space, index, order))
    assert of_file(path) is ENCODINGS[expected]


def test_a_profile_counts_before_exif(tmp_path):
    path = tmp_path / "plate.jpg"
    profile = build(rgb_tags(P3_XYZ, srgb_para()), version=4)
    Image.fromarray(PICTURE).save(path, exif=exif(65535, b"R03\0", "<"), icc_profile=profile)
    assert of_file(path) is ENCODINGS["display-p3"]


# --- DPX and Cineon


@pytest.fixture
def dpx(tmp_path):
    def write(transfer: int) -> Path:
        path = tmp_path / "plate.dpx"
        assert OpenImageIO.ImageBuf(PICTURE).write(str(path))
        data = bytearray(path.read_bytes())
        data[801] = transfer
        path.write_bytes(data)
        return path

    return write


@pytest.mark.parametrize(
    ("transfer", "expected"), [(2, "linear"), *((code, "bt1886") for code in (4, 5, 6, 7, 8, 9, 10))]
)
def test_dpx_transfers_of_video_and_linear(dpx, transfer, expected):
    assert of_file(dpx(transfer)) is ENCODINGS[expected]


@pytest.mark.parametrize("transfer", [1, 3, 13])
def test_dpx_log_is_refused_unless_forced(dpx, transfer):
    path = dpx(transfer)
    with pytest.raises(AlreadyHDRError) as caught:
        of_file(path)
    assert "logarithmic" in one_line(caught, path)
    assert of_file(path, force=True) is ENCODINGS["srgb"]


@pytest.mark.parametrize("transfer", [0, 11, 12, 14, 255])
def test_dpx_without_a_transfer_asks_for_one(dpx, transfer):
    path = dpx(transfer)
    with pytest.raises(InputError) as caught:
        of_file(path, force=True)
    assert "--input-space" in one_line(caught, path)


def test_cineon_is_refused_unless_forced():
    with pytest.raises(AlreadyHDRError, match="Cineon, logarithmic density"):
        tagged_encoding(spec_of(), "cineon", Path("plate.cin"))
    assert tagged_encoding(spec_of(), "cineon", Path("plate.cin"), force=True) is ENCODINGS["srgb"]


# --- OpenEXR and other floats


@pytest.fixture
def exr(tmp_path):
    def write(name: str = "", value: object = "", kind: str = "string") -> Path:
        path = tmp_path / "plate.exr"
        buffer = OpenImageIO.ImageBuf(PICTURE.astype(np.float32) / 255)
        if name:
            buffer.specmod().attribute(name, kind, value)
        assert buffer.write(str(path)), buffer.geterror()
        return path

    return write


@pytest.mark.parametrize(
    ("identifier", "expected"),
    [
        ("lin_rec709_scene", "linear"),
        ("srgb_rec709_scene", "srgb"),
        ("srgb_rec709_display", "srgb"),
        ("srgb_p3d65_display", "display-p3"),
        ("g22_rec709_scene", "gamma2.2"),
        ("g24_rec709_display", "gamma2.4"),
        ("g22_adobergb_scene", "adobe-rgb"),
    ],
)
def test_color_interop_ids(exr, identifier, expected):
    assert of_file(exr("colorInteropID", identifier)) is ENCODINGS[expected]


def test_aces_ids_bring_their_primaries(exr):
    encoding = of_file(exr("colorInteropID", "lin_ap1_scene"))
    np.testing.assert_array_equal(encoding.decode(CODES), CODES)
    # ACEScg to linear Rec.709 with Bradford, as published with the ACES configs of OpenColorIO.
    assert encoding.to_rec709 is not None
    np.testing.assert_allclose(encoding.to_rec709[0], (1.70505, -0.62179, -0.08326), atol=2e-4)
    assert of_file(exr("colorInteropID", "lin_ap0_scene")).name == "ap0-linear"


@pytest.mark.parametrize("identifier", ["data", "unknown", "studio:log_rec709_scene", "lin_ciexyzd65_scene", "lin_ap1"])
def test_other_interop_ids_are_refused(exr, identifier):
    path = exr("colorInteropID", identifier)
    with pytest.raises(InputError) as caught:
        of_file(path)
    assert identifier in one_line(caught, path)
    assert "--input-space" in str(caught.value)


def test_pq_exr_is_hdr(exr):
    with pytest.raises(AlreadyHDRError, match="PQ"):
        of_file(exr("colorInteropID", "pq_rec2020_display"))


def test_exr_chromaticities(exr):
    ap0 = (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.0770, 0.32168, 0.33767)
    assert of_file(exr("chromaticities", ap0, "float[8]")) is combine(primaries.AP0, "linear")
    rec709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
    assert of_file(exr("chromaticities", rec709, "float[8]")) is ENCODINGS["linear"]
    with pytest.raises(InputError, match="chromaticities"):
        of_file(exr("chromaticities", (float("nan"),) * 8, "float[8]"))


@pytest.mark.parametrize("extension", ["exr", "hdr", "pfm", "tif"])
def test_untagged_floats_are_linear(tmp_path, extension):
    path = tmp_path / f"plate.{extension}"
    assert OpenImageIO.ImageBuf(PICTURE.astype(np.float32) / 255).write(str(path))
    assert of_file(path) is ENCODINGS["linear"]


@pytest.mark.parametrize("extension", ["png", "jpg", "tif", "bmp", "webp", "tga", "gif", "ppm", "sgi", "jxl"])
def test_untagged_integers_are_srgb(tmp_path, extension):
    path = tmp_path / f"plate.{extension}"
    assert OpenImageIO.ImageBuf(PICTURE).write(str(path))
    assert of_file(path) is ENCODINGS["srgb"]


@pytest.mark.parametrize(("space", "expected"), [("srgb_p3d65_display", "display-p3"), ("lin_rec709_scene", "linear")])
def test_jpeg_xl_says_what_it_is(tmp_path, space, expected):
    path = tmp_path / "plate.jxl"
    buffer = OpenImageIO.ImageBuf(PICTURE)
    buffer.specmod()["oiio:ColorSpace"] = space
    assert buffer.write(str(path))
    assert of_file(path) is ENCODINGS[expected]


def test_a_gamma_in_a_targa_header_counts():
    def with_gamma(gamma: float) -> Encoding:
        spec = spec_of()
        spec.attribute("oiio:Gamma", gamma)
        return tagged_encoding(spec, "targa", Path("plate.tga"))

    np.testing.assert_allclose(with_gamma(1.8).decode(CODES), CODES**1.8, atol=1e-5)
    assert with_gamma(2.2) is ENCODINGS["srgb"]


# --- other color models


def refused_as(path: Path, model: str) -> None:
    with pytest.raises(InputError) as caught:
        of_file(path, force=True)
    message = one_line(caught, path)
    assert model in message
    assert "convert it to RGB first" in message


def test_cmyk_is_refused(tmp_path):
    picture = Image.fromarray(PICTURE).convert("CMYK")
    for extension in ("jpg", "tif"):
        path = tmp_path / f"cmyk.{extension}"
        picture.save(path)
        refused_as(path, "CMYK")


def test_ycck_jpeg_is_refused(tmp_path):
    path = tmp_path / "ycck.jpg"
    Image.fromarray(PICTURE).convert("CMYK").save(path)
    data = bytearray(path.read_bytes())
    data[data.index(b"Adobe") + 11] = 2
    path.write_bytes(data)
    refused_as(path, "CMYK")


def test_lab_tiff_is_refused(tmp_path):
    path = tmp_path / "lab.tif"
    Image.fromarray(PICTURE).convert("LAB").save(path)
    refused_as(path, "CIELAB")


@pytest.mark.parametrize(("name", "mode"), [("cmyk.jpg", "CMYK"), ("cmyk.tif", "CMYK"), ("lab.tif", "LAB")])
def test_an_input_space_does_not_make_another_color_model_rgb(tmp_path, name, mode):
    path = tmp_path / name
    Image.fromarray(PICTURE).convert(mode).save(path)
    with pytest.raises(InputError, match="convert it to RGB first") as caught:
        open_image(path, Settings(input_space="srgb"))
    assert mode in one_line(caught, path)


@pytest.mark.parametrize("mode", ["L", "P", "1", "YCbCr"])
def test_gray_palette_and_ycbcr_tiffs_are_srgb(tmp_path, mode):
    path = tmp_path / "plate.tif"
    Image.fromarray(PICTURE).convert(mode).save(path)
    assert of_file(path) is ENCODINGS["srgb"]


@pytest.mark.parametrize(("mode", "channels", "model"), [(4, 4, "CMYK"), (7, 3, "multichannel"), (3, 3, "")])
def test_photoshop_models(tmp_path, mode, channels, model):
    path = tmp_path / "plate.psd"
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, channels, 4, 4, 8, mode)
    path.write_bytes(header + bytes(12) + bytes(2) + bytes(range(16)) * channels)
    if model:
        refused_as(path, model)
    else:
        assert of_file(path) is ENCODINGS["srgb"]


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        check_color_model(spec_of(), "psd", tmp_path / "gone.psd")


# --- gain maps


def segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


XMP = b"http://ns.adobe.com/xap/1.0/\0"
ULTRA_HDR = segment(0xE1, XMP + b'<rdf:Description xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"/>')
ISO_21496 = segment(0xE2, b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0")
MPF = segment(0xE2, b"MPF\0II*\0\x08\0\0\0\0\0")
APPLE = segment(0xE1, XMP + b'<rdf:Description xmlns:HDRGainMap="http://ns.apple.com/HDRGainMap/1.0/"/>')


@pytest.fixture
def jpeg(tmp_path):
    def write(segments: bytes, tail: bytes = b"", **options: Any) -> Path:
        path = tmp_path / "plate.jpg"
        Image.fromarray(PICTURE).save(path, **options)
        data = path.read_bytes()
        path.write_bytes(data[:2] + segments + data[2:] + tail)
        return path

    return write


@pytest.mark.parametrize(
    ("segments", "tail"), [(ULTRA_HDR, b""), (ISO_21496, b""), (MPF, bytes(300_000) + b"\xff\xd8" + APPLE)]
)
def test_gain_map_jpegs_are_refused_unless_forced(jpeg, segments, tail):
    path = jpeg(segments, tail)
    with pytest.raises(AlreadyHDRError) as caught:
        of_file(path)
    assert "gain map" in one_line(caught, path)
    assert of_file(path, force=True) is ENCODINGS["srgb"]


def test_a_forced_gain_map_jpeg_keeps_the_profile_of_its_base(jpeg):
    path = jpeg(ULTRA_HDR, icc_profile=build(rgb_tags(P3_XYZ, srgb_para()), version=4))
    assert of_file(path, force=True) is ENCODINGS["display-p3"]


def test_a_jpeg_read_with_its_gain_map_applied_is_light(jpeg):
    path = jpeg(ULTRA_HDR)
    with pytest.raises(AlreadyHDRError):
        tagged_encoding(spec_of(4, "half"), "jpeg", path)
    assert tagged_encoding(spec_of(4, "half"), "jpeg", path, force=True) is ENCODINGS["linear"]


def test_a_multi_picture_jpeg_without_a_gain_map_is_srgb(jpeg):
    assert of_file(jpeg(MPF, b"\xff\xd8" + bytes(1000))) is ENCODINGS["srgb"]
