"""Files that are not RGB or hold more than one picture: other color models and gain maps."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tagged import P3_XYZ, PICTURE, build, of_file, one_line, rgb_tags, spec_of, srgb_para

from expandnet_ofx.colortags import check_color_model, tagged_encoding
from expandnet_ofx.errors import AlreadyHDRError, InputError
from expandnet_ofx.images import open_image
from expandnet_ofx.settings import Settings
from expandnet_ofx.transfer import ENCODINGS

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
