"""Tags of files. Truth here is independent: bytes assembled from the published standards."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import OpenImageIO
import pytest
from PIL import Image
from tagged import ADOBE_XYZ, CODES, P3_XYZ, PICTURE, build, curv, of_file, one_line, rgb_tags, spec_of, srgb_para

from expandnet_ofx import primaries
from expandnet_ofx.colortags import tagged_encoding
from expandnet_ofx.encodings import combine
from expandnet_ofx.errors import AlreadyHDRError, InputError
from expandnet_ofx.transfer import ENCODINGS, Encoding

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
