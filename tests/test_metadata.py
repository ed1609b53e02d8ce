"""What a result keeps of its source beside the pixels, and what it says about itself."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest
from conversions import CODES, HEIGHT, WIDTH, convert, converter, linear_channels, rgb, save, spec_of, write_exr
from fakes import decode_srgb
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import IFDRational

from expandnet_ofx.output_options import OutputOptions
from expandnet_ofx.sources import identify


@pytest.mark.parametrize("origin", [(0, 0), (-6, -4), (100, 30)])
def test_windows_aspect_and_metadata_survive(tmp_path, origin):
    source = write_exr(
        tmp_path / "a.exr",
        [linear_channels()],
        x=origin[0],
        y=origin[1],
        full_x=0,
        full_y=0,
        full_width=44,
        full_height=32,
        PixelAspectRatio=2.0,
        smpte__TimeCode=(oiio.TypeTimeCode, (0x01020304, 0x05060708)),
        FramesPerSecond=(oiio.TypeRational, (24000, 1001)),
        Make="Camera",
        ExposureTime=0.02,
        FNumber=2.8,
        focus__distance=3.25,
        DateTime="2020:01:02 03:04:05",
        Copyright="owner",
        worldToCamera=(oiio.TypeMatrix, tuple(float(n) for n in range(16))),
        worldToScreen=(oiio.TypeMatrix, tuple(float(n + 1) for n in range(16))),
        screenWindowWidth=2.0,
        chromaticities=(oiio.TypeDesc("float[8]"), (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)),
        Software="other program",
    )
    spec = spec_of(convert(source, tmp_path / "b.exr", output_space="acescg"))
    before = spec_of(source)
    assert (spec.x, spec.y, spec.width, spec.height) == (*origin, WIDTH, HEIGHT)
    assert (spec.full_x, spec.full_y, spec.full_width, spec.full_height) == (0, 0, 44, 32)
    assert spec.get_float_attribute("PixelAspectRatio") == 2.0
    names = "smpte:TimeCode FramesPerSecond Make ExposureTime FNumber focus:distance DateTime Copyright worldToCamera"
    for name in (*names.split(), "worldToScreen", "screenWindowWidth"):
        assert before.getattribute(name) is not None
        assert spec.getattribute(name) == before.getattribute(name), name
    assert spec.getattribute("chromaticities") is None
    assert "other program" not in spec.get_string_attribute("Software")


@pytest.mark.parametrize(
    ("stored", "rate"), [(24.0, (24, 1)), (23.976, (24000, 1001)), (59.94, (60000, 1001)), (12.5, (25, 2))]
)
@pytest.mark.parametrize("name", ["dpx:FrameRate", "dpx:TemporalFrameRate"])
def test_a_scan_keeps_its_frame_rate(tmp_path, name, stored, rate):
    spec = oiio.ImageSpec(WIDTH, HEIGHT, 3, "uint16")
    spec.attribute("oiio:BitsPerSample", 10)
    spec.attribute(name, stored)
    output = oiio.ImageOutput.create(str(tmp_path / "a.dpx"))
    assert output.open(str(tmp_path / "a.dpx"), spec)
    assert output.write_image(CODES.astype(np.uint16) * 257)
    output.close()
    made = spec_of(convert(tmp_path / "a.dpx", tmp_path / "a.exr", input_space="srgb"))
    assert tuple(made.getattribute("FramesPerSecond")) == rate


@pytest.mark.parametrize("suffix", ["jpg", "bmp", "png", "tif"])
@pytest.mark.parametrize("turned", [False, True])
def test_pixels_that_are_no_squares_stay(tmp_path, suffix, turned):
    exif = Image.Exif()
    exif[0x0112] = 6 if turned else 1
    words = {} if suffix == "bmp" else {"exif": exif}
    Image.fromarray(CODES[:, :, :3]).save(tmp_path / f"a.{suffix}", dpi=(300, 150), **words)
    made = spec_of(convert(tmp_path / f"a.{suffix}", tmp_path / "a.exr"))
    # A pixel is a 300th of an inch wide and a 150th high.
    turned = turned and suffix != "bmp"
    assert made.getattribute("PixelAspectRatio") == pytest.approx(2.0 if turned else 0.5, rel=1e-3)
    assert made.getattribute("XResolution") == pytest.approx(150 if turned else 300, rel=1e-3)


def test_inches_are_made_of_centimeters(tmp_path):
    Image.fromarray(CODES[:, :, :3]).save(tmp_path / "a.tif", resolution_unit=3, x_resolution=100, y_resolution=100)
    made = spec_of(convert(tmp_path / "a.tif", tmp_path / "a.exr"))
    assert made.getattribute("XResolution") == pytest.approx(254)


def test_a_tiff_with_camera_metadata_is_not_taken_for_srgb(tmp_path):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x829A] = IFDRational(1, 50)
    Image.fromarray(CODES[:, :, :3]).save(tmp_path / "a.jpg", exif=exif)
    made = spec_of(convert(tmp_path / "a.jpg", tmp_path / "a.tif"))
    assert made.getattribute("ExposureTime") == pytest.approx(0.02)
    assert "srgb" not in made.get_string_attribute("oiio:ColorSpace")


def test_camera_metadata_of_a_jpeg_survives_and_its_profile_does_not(tmp_path):
    exif = Image.Exif()
    exif[271], exif[272] = "Maker", "Model 7"
    exif.get_ifd(0x8769).update({33434: IFDRational(1, 125), 37386: IFDRational(35, 1), 0x8827: 400, 40961: 1})
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    source = save(tmp_path / "a.jpg", exif=exif, icc_profile=profile, quality=95)
    spec = spec_of(convert(source, tmp_path / "a.exr"))
    assert (spec.get_string_attribute("Make"), spec.get_string_attribute("Model")) == ("Maker", "Model 7")
    assert spec.get_float_attribute("ExposureTime") == pytest.approx(0.008)
    assert spec.get_float_attribute("Exif:FocalLength") == 35
    assert spec.get_int_attribute("Exif:PhotographicSensitivity") == 400
    text = (tmp_path / "a.exr").read_bytes()
    for tag in (b"ICCProfile", b"chromaticities", b"ColorSpace", b"CICP", b"JFIF", b"acesImage"):
        assert tag not in text
    assert spec.get_string_attribute("colorInteropID") == "lin_rec709_scene"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_plate_is_written_upright_and_untagged(tmp_path, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    source = save(tmp_path / "a.png", exif=exif)
    result = convert(source, tmp_path / "a.exr")
    turned = Image.fromarray(CODES)
    for step in {
        2: "FLIP_LEFT_RIGHT",
        3: "ROTATE_180",
        4: "FLIP_TOP_BOTTOM",
        5: "TRANSPOSE",
        6: "ROTATE_270",
        7: "TRANSVERSE",
        8: "ROTATE_90",
    }.items():
        if step[0] == orientation:
            turned = turned.transpose(getattr(Image.Transpose, step[1]))
    codes = np.asarray(turned)
    dark = codes < 200
    expected = decode_srgb(codes / 255).astype(np.float32).astype(np.float16)
    spec = spec_of(result)
    assert (spec.height, spec.width) == codes.shape[:2]
    assert (spec.full_height, spec.full_width) == codes.shape[:2]
    np.testing.assert_array_equal(rgb(result)[dark], expected[dark])
    assert spec.get_int_attribute("Orientation", 1) == 1


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_pixels_of_a_turned_plate_keep_their_shape(tmp_path, orientation):
    """A pixel twice as wide as high is half as wide as high once the picture lies on its side."""
    path = tmp_path / "a.tif"
    spec = oiio.ImageSpec(CODES.shape[1], CODES.shape[0], 3, "uint8")
    spec.attribute("Orientation", orientation)
    spec.attribute("PixelAspectRatio", 2.0)
    output = oiio.ImageOutput.create(str(path))
    assert output.open(str(path), spec)
    assert output.write_image(CODES)
    output.close()
    expected = 0.5 if orientation in (6, 8) else 2.0
    assert spec_of(convert(path, tmp_path / "a.exr")).get_float_attribute("PixelAspectRatio") == pytest.approx(expected)


def test_further_pages_of_a_file_are_told(tmp_path):
    codes = np.random.default_rng(0).integers(0, 256, (3, HEIGHT, WIDTH, 3), np.uint8)
    pages = [Image.fromarray(page) for page in codes]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "one.tif")
    plain = converter()
    (said,) = plain.render(plain.prepare(tmp_path / "pages.tif"), tmp_path / "a.exr").warnings
    assert "several pages" in said
    assert not plain.render(plain.prepare(tmp_path / "one.tif"), tmp_path / "b.exr").warnings
    one, other = (oiio.ImageBuf(str(tmp_path / name)).get_pixels() for name in ("a.exr", "b.exr"))
    np.testing.assert_array_equal(one, other)


def test_reruns_are_identical_files_that_name_no_place_time_or_process(tmp_path):
    source = save(tmp_path / "in.png")
    aces = OutputOptions(aces=True, matte=True, compression="none", interop_id=None)
    jobs = [("a.exr", None), ("m.exr", OutputOptions(matte=True)), ("a.hdr", None), ("a.tif", None), ("c.exr", aces)]
    folders = [tmp_path / "first", tmp_path / "elsewhere" / "second"]
    for folder in folders:
        for name, options in jobs:
            convert(source, folder / name, options=options)
        time.sleep(1.1 if folder is folders[0] else 0)
    files = sorted(path.name for path in folders[0].iterdir())
    assert files == ["a.exr", "a.hdr", "a.tif", "c.exr", "c.matte.exr", "m.exr"]
    for name in files:
        data = (folders[0] / name).read_bytes()
        assert data == (folders[1] / name).read_bytes(), name
        # A short name of a host would turn up in any compressed pixels.
        texts = b" ".join(re.findall(rb"[\x20-\x7e\n]{8,}", data))
        for secret in (str(tmp_path), socket.gethostname(), str(Path.home()), time.strftime("%Y:%m:%d"), ".partial"):
            assert secret.encode() not in texts, (name, secret)
        assert not re.search(rb"[^0-9]%d[^0-9]" % os.getpid(), data[:4096].split(b"sha256")[0])


def test_provenance_tells_source_settings_and_weights(tmp_path):
    source = save(tmp_path / "in.png")
    for name, attribute in (("a.exr", "expandnet/provenance"), ("a.tif", "ImageDescription")):
        spec = spec_of(convert(source, tmp_path / name, stops=0.5))
        record = json.loads(spec.get_string_attribute(attribute))
        assert record["settings"]["stops"] == 0.5
        assert record["weights_sha256"] == "0" * 64
        assert record["source"] == "in.png"
        assert record["source_bytes"] == source.stat().st_size
        assert record["source_sha256"] == identify(source).source_sha256
