"""From file to file: what a result keeps of its source, what it says about itself, and the light in it."""

from __future__ import annotations

import gc
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest
from fakes import PointEngine, decode_srgb, encode_srgb
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import IFDRational

from expandnet_ofx import Expander, Settings
from expandnet_ofx.convert import Converter, expand_file
from expandnet_ofx.errors import AlreadyHDRError, InputError, OutputError, UsageError
from expandnet_ofx.output_options import OutputOptions
from expandnet_ofx.partials import is_partial
from expandnet_ofx.sources import identify
from expandnet_ofx.writer import ImageWriter

RNG = np.random.default_rng(8)
HEIGHT, WIDTH = 40, 56


def scene() -> np.ndarray:
    """Return 8-bit codes (H, W, 3) of noise from dark to nearly white, with a clipped square in the middle."""
    codes = RNG.integers(0, 200, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    codes[12:28, 20:36] = 255
    return codes


CODES = scene()
FLAT = (slice(0, 8), slice(None))
"""Rows far from the clipped square."""


def converter(*, gain: float = 4.0, options: OutputOptions | None = None, **settings: object) -> Converter:
    chosen = Settings(**{"white": 1.0, **settings})  # type: ignore[arg-type]
    return Converter(Expander(chosen, engine=PointEngine(gain=gain)), options)


def convert(source: Path, target: Path, *, options: OutputOptions | None = None, **settings: object) -> Path:
    made = converter(options=options, **settings)
    made.render(made.prepare(source), target)
    return target


def save(path: Path, codes: np.ndarray = CODES, **options: object) -> Path:
    Image.fromarray(codes).save(path, **options)
    return path


def channels_of(path: Path, part: int = 0) -> dict[str, np.ndarray]:
    """Return each channel in its own type: half as float32, float, or uint32."""
    source = oiio.ImageInput.open(str(path))
    assert source.seek_subimage(part, 0)
    spec = source.spec()
    found = {}
    for i, name in enumerate(spec.channelnames):
        kind = str(spec.channelformats[i] if spec.channelformats else spec.format)
        found[name] = source.read_image(part, 0, i, i + 1, "uint" if kind in ("uint", "uint32") else "float")[:, :, 0]
    source.close()
    return found


def rgb(path: Path, part: int = 0) -> np.ndarray:
    found = channels_of(path, part)
    return np.stack([found[name] for name in "RGB"], 2)


def spec_of(path: Path, part: int = 0) -> oiio.ImageSpec:
    source = oiio.ImageInput.open(str(path))
    assert source.seek_subimage(part, 0)
    spec = source.spec().copy()
    source.close()
    return spec


def write_exr(
    path: Path, parts: list[dict[str, np.ndarray]], *, names: list[str] | None = None, **extra: object
) -> Path:
    """Write parts of float16, float32 or uint32 channels; attributes of `ImageSpec` are set as such, others added."""
    kinds = {"uint32": "uint", "float16": "half", "float32": "float"}
    specs, planes = [], []
    for number, channels in enumerate(parts):
        first = next(iter(channels.values()))
        formats = [kinds[plane.dtype.name] for plane in channels.values()]
        spec = oiio.ImageSpec(first.shape[1], first.shape[0], len(channels), formats[0])
        spec.channelnames = tuple(channels)
        spec.channelformats = tuple(oiio.TypeDesc(kind) for kind in formats)
        if names:
            spec.attribute("oiio:subimagename", names[number])
        for name, value in extra.items():
            if hasattr(spec, name):
                setattr(spec, name, value)
            else:
                spec.attribute(name.replace("__", ":"), *(value if isinstance(value, tuple) else (value,)))
        specs.append(spec)
        # OpenImageIO maps [0, 1] to the whole range of integers.
        full = {"uint32": 2**32 - 1}
        planes.append(
            np.stack([plane.astype(np.float64) / full.get(plane.dtype.name, 1) for plane in channels.values()], 2)
        )
    output = oiio.ImageOutput.create(str(path))
    assert output.open(str(path), tuple(specs)) if len(specs) > 1 else output.open(str(path), specs[0])
    for number, pixels in enumerate(planes):
        if number:
            assert output.open(str(path), specs[number], "AppendSubimage")
        assert output.write_image(pixels), output.geterror()
    assert output.close()
    return path


def linear_channels(codes: np.ndarray = CODES) -> dict[str, np.ndarray]:
    light = decode_srgb(codes / 255.0).astype(np.float16)
    return {name: light[:, :, i] for i, name in enumerate("RGB")}


@pytest.mark.parametrize("depth", [8, 16])
def test_unclipped_light_is_the_decoded_code_rounded_once(tmp_path, depth):
    codes = np.arange(0, 1 << depth, 1 if depth == 8 else 37)[: 40 * 56 * 3 if depth == 16 else 225]
    codes = np.resize(codes[codes < 0.93 * ((1 << depth) - 1)], (40, 56, 3)).astype(f"uint{depth}")
    path = tmp_path / "a.png"
    output = oiio.ImageOutput.create(str(path))
    assert output.open(str(path), oiio.ImageSpec(56, 40, 3, f"uint{depth}"))
    assert output.write_image(codes)
    assert output.close()
    expected = decode_srgb(codes / ((1 << depth) - 1)).astype(np.float32)
    for kind, rounded in (("half", expected.astype(np.float16)), ("float", expected)):
        result = convert(path, tmp_path / f"{kind}.exr", options=OutputOptions(pixel=kind))
        np.testing.assert_array_equal(rgb(result), rounded.astype(np.float32))


def test_a_channel_outside_the_matte_is_exact_and_one_inside_is_never_darker(tmp_path):
    codes = CODES.copy()
    codes[12:28, 20:36, 2] = 90
    path = convert(save(tmp_path / "a.png", codes), tmp_path / "a.exr", options=OutputOptions(matte=True))
    found, matte = rgb(path), np.stack([channels_of(path)[f"matte.{name}"] for name in "RGB"], 2)
    expected = decode_srgb(codes / 255).astype(np.float32).astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(found[matte == 0], expected[matte == 0])
    assert (matte[:, :, 2] == 0).all()
    assert (matte[16:24, 24:32, :2] == 1).all()
    assert (found >= expected).all()
    assert (found[16:24, 24:32, :2] > 1.5).all()


@pytest.mark.parametrize(
    ("space", "identifier", "ocio"),
    [
        ("linear-rec709", "lin_rec709_scene", "lin_rec709_scene"),
        ("acescg", "lin_ap1_scene", "ACEScg"),
        ("aces2065-1", "lin_ap0_scene", "ACES2065-1"),
        ("Linear Rec.2020", "lin_rec2020_scene", "Linear Rec.2020"),
    ],
)
def test_output_spaces_match_opencolorio(tmp_path, space, identifier, ocio):
    from expandnet_ofx.color import interop_id

    options = OutputOptions(interop_id=interop_id(space))
    path = convert(save(tmp_path / "a.png"), tmp_path / "a.exr", options=options, output_space=space)
    light = decode_srgb(CODES[FLAT] / 255).astype(np.float32)
    buffer = oiio.ImageBufAlgo.colorconvert(oiio.ImageBuf(light), "lin_rec709_scene", ocio)
    expected = buffer.get_pixels(oiio.FLOAT)
    np.testing.assert_allclose(rgb(path)[FLAT], expected, rtol=2**-11 + 1e-4, atol=2e-5)
    spec = spec_of(path)
    assert spec.get_string_attribute("colorInteropID") == identifier
    assert spec.getattribute("chromaticities") is None


def test_gray_stays_gray(tmp_path):
    gray = save(tmp_path / "a.png", CODES[:, :, 0])
    found = channels_of(convert(gray, tmp_path / "a.exr"))
    assert sorted(found) == ["B", "G", "R"]
    np.testing.assert_array_equal(found["R"], found["G"])
    np.testing.assert_array_equal(found["R"], found["B"])
    assert found["R"][16:24, 24:32].min() > 1.5
    expected = decode_srgb(CODES[FLAT][:, :, 0] / 255).astype(np.float32).astype(np.float16)
    np.testing.assert_array_equal(found["R"][FLAT], expected)


def test_straight_alpha_is_kept_and_premultiplied_once(tmp_path):
    cover = np.repeat(np.array([[0, 64, 128, 255]], np.uint8), 14, 1).repeat(HEIGHT, 0)
    path = save(tmp_path / "a.png", np.dstack((CODES, cover)))
    found = channels_of(convert(path, tmp_path / "a.exr", options=OutputOptions(matte=True)))
    np.testing.assert_array_equal(found["A"], (cover / 255).astype(np.float16))
    light = decode_srgb(CODES / 255).astype(np.float32)
    expected = light * (cover / np.float32(255))[:, :, None]
    np.testing.assert_allclose(rgb(tmp_path / "a.exr")[FLAT], expected[FLAT], rtol=2**-10, atol=1e-7)
    assert (found["matte.R"][:, :14] == 0).all()


def test_associated_half_light_comes_back_bit_for_bit(tmp_path):
    cover = RNG.random((HEIGHT, WIDTH)).astype(np.float16)
    cover[:, :10] = 0
    cover[:, 10:20] = 1
    channels = {name: (plane * cover).astype(np.float16) for name, plane in linear_channels().items()}
    source = write_exr(tmp_path / "a.exr", [channels | {"A": cover}])
    found = channels_of(convert(source, tmp_path / "b.exr"))
    np.testing.assert_array_equal(found["A"], cover.astype(np.float32))
    for name, plane in channels.items():
        np.testing.assert_array_equal(found[name][FLAT], plane[FLAT].astype(np.float32))


def test_light_without_cover_is_not_lost(tmp_path):
    """A flame over nothing: alpha 0, light above 0. Its unclipped channels are the plate's, like all others."""
    channels = linear_channels()
    cover = np.zeros((HEIGHT, WIDTH), np.float16)
    source = write_exr(tmp_path / "a.exr", [channels | {"A": cover}])
    found = channels_of(convert(source, tmp_path / "b.exr"))
    for name, plane in channels.items():
        np.testing.assert_array_equal(found[name][FLAT], plane[FLAT].astype(np.float32))


@pytest.mark.parametrize("cover", [0.0, 6e-8, 1e-6, 1e-4, 1e-3, 2e-3])
def test_light_over_next_to_no_alpha_is_not_lost(tmp_path, cover):
    """Divided by it, light would leave the range of half floats, and come back dark; here it comes back as it was."""
    alpha, light = np.full((8, 8), cover, np.float16), np.full((8, 8), 0.5, np.float16)
    source = write_exr(tmp_path / "a.exr", [{"R": light, "G": light, "B": light, "A": alpha}])
    found = channels_of(convert(source, tmp_path / "b.exr", input_space="linear", force=True))
    assert found["R"].min() >= 0.4995


def test_light_below_zero_stays_finite_under_any_alpha(tmp_path):
    light, alpha = np.full((8, 8), -1.5e5, np.float32), np.full((8, 8), 2, np.float32)
    source = write_exr(tmp_path / "a.exr", [{"R": light, "G": -light / 1e6, "B": -light / 1e6, "A": alpha}])
    found = channels_of(convert(source, tmp_path / "b.exr", input_space="linear"))
    assert np.isfinite(found["R"]).all()


def test_extra_channels_pass_bit_for_bit_with_their_types(tmp_path):
    z = (RNG.random((HEIGHT, WIDTH)) * 1e6 - 5e5).astype(np.float32)
    z[0, :3] = [np.inf, 1e30, -1e-30]
    mask = RNG.random((HEIGHT, WIDTH)).astype(np.float16)
    source = write_exr(tmp_path / "a.exr", [linear_channels() | {"A": np.ones_like(mask), "Z": z, "mask.crypto": mask}])
    result = convert(source, tmp_path / "b.exr", options=OutputOptions(matte=True))
    found, spec = channels_of(result), spec_of(result)
    np.testing.assert_array_equal(found["Z"].view(np.uint32), z.view(np.uint32))
    np.testing.assert_array_equal(found["mask.crypto"], mask.astype(np.float32))
    kinds = dict(zip(spec.channelnames, map(str, spec.channelformats), strict=True))
    assert (kinds["R"], kinds["A"], kinds["Z"], kinds["mask.crypto"]) == ("half", "half", "float", "half")


def test_cryptomatte_ids_keep_their_bits(tmp_path):
    """Cryptomatte stores hashes as the bits of floats, with exponents 0 and 255 left out."""
    ids = RNG.integers(1 << 23, 255 << 23, (HEIGHT, WIDTH), dtype=np.uint32).view(np.float32)
    channels = linear_channels() | {"crypto00.R": ids, "crypto00.G": ids[::-1], "crypto00.B": ids[:, ::-1]}
    result = convert(write_exr(tmp_path / "a.exr", [channels]), tmp_path / "b.exr")
    found = channels_of(result)
    for name in ("crypto00.R", "crypto00.G", "crypto00.B"):
        np.testing.assert_array_equal(found[name].view(np.uint32), np.ascontiguousarray(channels[name]).view(np.uint32))
    np.testing.assert_array_equal(found["R"][FLAT], channels["R"][FLAT].astype(np.float32))


@pytest.mark.parametrize("names", ["Z A", "N.X N.Y N.Z A", "crypto00.A Z"])
def test_a_data_part_is_not_divided_by_its_alpha(tmp_path, names):
    data = {name: RNG.random((HEIGHT, WIDTH)).astype(np.float32) for name in names.split()}
    result = convert(
        write_exr(tmp_path / "a.exr", [linear_channels(), data], names=["rgb", "data"]), tmp_path / "b.exr"
    )
    found = channels_of(result, 1)
    assert sorted(found) == sorted(data)
    for name, plane in data.items():
        np.testing.assert_array_equal(found[name], plane)


def test_alpha_of_another_layer_does_not_cover_the_color(tmp_path):
    layer = {f"id.{name}": RNG.random((HEIGHT, WIDTH)).astype(np.float32) for name in "RGBA"}
    result = convert(write_exr(tmp_path / "a.exr", [linear_channels() | layer]), tmp_path / "b.exr")
    found = channels_of(result)
    for name, plane in layer.items():
        np.testing.assert_array_equal(found[name], plane)
    for name, plane in linear_channels().items():
        np.testing.assert_array_equal(found[name][FLAT], plane[FLAT].astype(np.float32))


def test_whole_number_ids_pass(tmp_path):
    ids = RNG.integers(0, 1 << 20, (HEIGHT, WIDTH), dtype=np.uint32)
    source = write_exr(tmp_path / "a.exr", [linear_channels() | {"id": ids}])
    np.testing.assert_array_equal(channels_of(source)["id"], ids)
    found = channels_of(convert(source, tmp_path / "b.exr"))
    np.testing.assert_array_equal(found["id"].astype(np.float64), ids.astype(np.float64))


def test_deep_alpha_is_not_rounded_to_8_bits(tmp_path):
    rgba = RNG.integers(0, 65536, (HEIGHT, WIDTH, 4), dtype=np.uint16)
    path = tmp_path / "a.png"
    output = oiio.ImageOutput.create(str(path))
    spec = oiio.ImageSpec(WIDTH, HEIGHT, 4, "uint16")
    spec.attribute("oiio:UnassociatedAlpha", 1)
    assert output.open(str(path), spec)
    assert output.write_image(rgba)
    assert output.close()
    found = channels_of(convert(path, tmp_path / "b.exr"))
    np.testing.assert_array_equal(np.round(found["A"] * 65535.0), rgba[:, :, 3])


def test_parts_data_parts_and_stereo(tmp_path):
    left, right = linear_channels(), linear_channels(CODES[::-1])
    z = {"Z": RNG.normal(0, 1e4, (HEIGHT, WIDTH)).astype(np.float32)}
    source = write_exr(tmp_path / "a.exr", [left, z, right], names=["left.rgb", "depth", "right.rgb"])
    result = convert(source, tmp_path / "b.exr", options=OutputOptions(matte=True))
    names = [spec_of(result, part).get_string_attribute("oiio:subimagename") for part in range(3)]
    assert names == ["left.rgb", "depth", "right.rgb"]
    np.testing.assert_array_equal(channels_of(result, 1)["Z"], z["Z"])
    assert sorted(channels_of(result, 1)) == ["Z"]
    np.testing.assert_array_equal(rgb(result, 0)[FLAT][:, :, 1], left["G"][FLAT].astype(np.float32))
    np.testing.assert_array_equal(rgb(result, 2)[-8:, :, 1], right["G"][-8:].astype(np.float32))
    assert rgb(result, 0)[16:24, 24:32].min() > 1.5
    assert rgb(result, 2)[16:24, 24:32].min() > 1.5


def test_identifiers_and_masks_in_parts_of_their_own_pass_bit_for_bit(tmp_path):
    noise = {name: RNG.random((HEIGHT, WIDTH)).astype(np.float32) * 3 for name in ("red", "green", "blue", "alpha")}
    data = [
        {"id": RNG.integers(0, 1 << 20, (HEIGHT, WIDTH), dtype=np.uint32)},
        {"ao": RNG.random((HEIGHT, WIDTH)).astype(np.float16)},
        {f"CryptoObject00.{name}": plane for name, plane in noise.items()},
        {f"ViewLayer.CryptoObject00.{name[0]}": plane for name, plane in noise.items()},
        {name[0].upper(): plane for name, plane in noise.items()},
    ]
    names = ["rgb", "id", "ao", "data", "more", "crypto_object00"]
    source = write_exr(tmp_path / "a.exr", [linear_channels(), *data], names=names)
    result = convert(source, tmp_path / "b.exr", options=OutputOptions(matte=True))
    for part, channels in enumerate(data, 1):
        found = channels_of(result, part)
        assert sorted(found) == sorted(channels)
        for name, plane in channels.items():
            np.testing.assert_array_equal(found[name], plane.astype(np.float32))


@pytest.mark.parametrize("name", ["Z", "id"])
def test_a_file_without_color_is_refused(tmp_path, name):
    kind = np.uint32 if name == "id" else np.float32
    source = write_exr(tmp_path / "a.exr", [{name: np.ones((8, 8), kind)}])
    with pytest.raises(InputError, match=rf"no color channels \({name}\)"):
        convert(source, tmp_path / "b.exr")


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


def test_an_aces_container_holds_color_alone_and_the_matte_lies_beside_it(tmp_path):
    channels = linear_channels() | {
        "A": np.ones((HEIGHT, WIDTH), np.float16),
        "Z": np.ones((HEIGHT, WIDTH), np.float32),
    }
    options = OutputOptions(aces=True, matte=True, compression="none", interop_id="lin_ap0_scene")
    result = convert(
        write_exr(tmp_path / "a.exr", [channels]), tmp_path / "b.exr", options=options, output_space="aces2065-1"
    )
    spec = spec_of(result)
    assert sorted(spec.channelnames) == ["A", "B", "G", "R"]
    assert (str(spec.format), spec.channelformats) == ("half", ())
    assert spec.get_string_attribute("compression") == "none"
    assert spec.get_int_attribute("acesImageContainerFlag") == 1
    beside = channels_of(tmp_path / "b.matte.exr")
    assert sorted(beside) == ["B", "G", "R"]
    assert (beside["R"][16:24, 24:32] == 1).all()
    assert (beside["R"][FLAT] == 0).all()
    matte = spec_of(tmp_path / "b.matte.exr")
    assert matte.getattribute("acesImageContainerFlag") is None
    assert matte.getattribute("chromaticities") is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.exr", "b.exr", "b.matte.exr"]


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


def test_results_that_cannot_hold_light_are_refused(tmp_path):
    source = write_exr(tmp_path / "a.exr", [linear_channels()])
    for name in ("b.png", "b.jpg", "b", ""):
        with pytest.raises(UsageError, match="outputs are"):
            expand_file(source, tmp_path / name if name else "", expander=converter().expander)
    assert [path.name for path in tmp_path.iterdir()] == ["a.exr"]


def test_what_an_aces_container_leaves_behind_is_told(tmp_path):
    more = {name: np.ones((HEIGHT, WIDTH), np.float32) for name in ("Z", "motion.u")}
    source = write_exr(tmp_path / "a.exr", [linear_channels() | more])
    aces = converter(options=OutputOptions(aces=True, compression="none"), output_space="aces2065-1")
    report = aces.render(aces.prepare(source), tmp_path / "b.exr")
    assert any("Z" in warning and "motion.u" in warning for warning in report.warnings)
    plain = converter()
    assert not plain.render(plain.prepare(source), tmp_path / "c.exr").warnings
    (said,) = plain.render(plain.prepare(source), tmp_path / "d.hdr").warnings
    assert all(name in said for name in ("Z", "motion.u", ".hdr"))
    assert oiio.ImageBuf(str(tmp_path / "d.hdr")).nchannels == 3


@pytest.mark.parametrize("name", ["a.exr", "a.hdr", "a.tif"])
@pytest.mark.parametrize("kind", ["half", "float"])
def test_no_output_holds_infinity_or_nan(tmp_path, name, kind):
    light = {key: plane.astype(np.float32) for key, plane in linear_channels().items()}
    light["R"][0, :4] = [np.nan, np.inf, -np.inf, 1e30]
    source = write_exr(tmp_path / "in.exr", [light])
    made = converter(gain=60_000.0, options=OutputOptions(pixel=kind), stops=16.0, output_space="acescg")
    report = made.render(made.prepare(source), tmp_path / name)
    buffer = oiio.ImageBuf(str(tmp_path / name)).get_pixels(oiio.FLOAT)
    assert np.isfinite(buffer).all()
    assert buffer.max() <= 65504 * (1 + 2**-7)
    assert buffer.max() > 1000
    assert [text for text in report.warnings if "1 NaN and 2 infinite" in text]


@pytest.mark.parametrize("name", ["a.hdr", "a.tif"])
def test_other_outputs_hold_the_same_light(tmp_path, name):
    source = save(tmp_path / "in.png")
    expected = rgb(convert(source, tmp_path / "a.exr", options=OutputOptions(pixel="float")))
    found = oiio.ImageBuf(str(convert(source, tmp_path / name, options=OutputOptions(pixel="float"))))
    pixels = found.get_pixels(oiio.FLOAT)
    if name.endswith("tif"):
        np.testing.assert_array_equal(pixels, expected)
    else:
        assert (np.abs(pixels - expected) <= expected.max(2, keepdims=True) / 127 + 1e-30).all()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Keeps all writers from writing until it is set."""
    opened, write = threading.Event(), ImageWriter.write

    def waits(writer: ImageWriter, start: int, pixels: np.ndarray) -> None:
        assert opened.wait(20)
        write(writer, start, pixels)

    monkeypatch.setattr(ImageWriter, "write", waits)
    return opened


def test_a_frame_that_is_begun_gets_its_name_when_it_is_complete(tmp_path, gate):
    made = converter()
    names = [tmp_path / f"{k}.exr" for k in range(3)]
    sources = [save(tmp_path / f"in{k}.png", np.roll(CODES, k, 1)) for k in range(3)]
    begun = [made.begin(made.prepare(source), name) for source, name in zip(sources, names, strict=True)]
    assert not any(name.exists() for name in names)
    assert sum(map(is_partial, tmp_path.iterdir())) == 3
    # It waits for the thread that writes, and leaves it nothing more to do.
    threading.Timer(0.1, gate.set).start()
    begun[1].abandon()
    reports = [begun[k].finish() for k in (2, 0)]
    assert [Path(report.output) for report in reports] == [names[2], names[0]]
    assert [name.exists() for name in names] == [True, False, True]
    assert not any(map(is_partial, tmp_path.iterdir()))
    for k in (0, 2):
        whole = tmp_path / "whole.exr"
        made.render(made.prepare(sources[k]), whole)
        assert np.array_equal(oiio.ImageBuf(str(whole)).get_pixels(), oiio.ImageBuf(str(names[k])).get_pixels())


def test_a_frame_gets_its_name_though_nobody_waits_for_it(tmp_path):
    made = converter()
    begun = made.begin(made.prepare(save(tmp_path / "in.png")), tmp_path / "a.exr")
    until = time.monotonic() + 20
    while not (tmp_path / "a.exr").exists() and time.monotonic() < until:
        time.sleep(0.01)
    assert not any(map(is_partial, tmp_path.iterdir()))
    begun.abandon()
    assert (tmp_path / "a.exr").exists()


def test_what_fails_while_a_frame_is_named_is_told_to_whoever_waits(tmp_path, monkeypatch):
    def full(writer: ImageWriter) -> None:
        raise OutputError(f"{writer.path}: no space")

    made = converter()
    monkeypatch.setattr(ImageWriter, "commit", full)
    begun = made.begin(made.prepare(save(tmp_path / "in.png")), tmp_path / "a.exr")
    with pytest.raises(OutputError, match="no space"):
        begun.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["in.png"]


def test_a_frame_that_waits_is_not_said_to_take_longer(tmp_path):
    made = converter()
    started = time.perf_counter()
    begun = made.begin(made.prepare(save(tmp_path / "in.png")), tmp_path / "a.exr")
    time.sleep(0.5)
    assert begun.finish().seconds < time.perf_counter() - started - 0.4


def test_a_begun_frame_that_nobody_holds_leaves_nothing_incomplete(tmp_path, gate):
    made = converter()
    begun = made.begin(made.prepare(save(tmp_path / "in.png")), tmp_path / "a.exr")
    assert sum(map(is_partial, tmp_path.iterdir())) == 1
    threading.Timer(0.1, gate.set).start()
    del begun
    gc.collect()
    assert [path.name for path in tmp_path.iterdir()] == ["in.png"]
    done = made.begin(made.prepare(tmp_path / "in.png"), tmp_path / "a.exr")
    done.finish()
    done.abandon()
    del done
    gc.collect()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.exr", "in.png"]


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


def test_a_mask_keeps_areas_out(tmp_path):
    source = save(tmp_path / "in.png")
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[:, :28] = 255
    made = converter(options=OutputOptions(matte=True))
    made.render(made.prepare(source, mask=save(tmp_path / "mask.png", mask)), tmp_path / "a.exr")
    found = rgb(tmp_path / "a.exr")
    expected = decode_srgb(CODES / 255).astype(np.float32).astype(np.float16)
    np.testing.assert_array_equal(found[:, :28], expected[:, :28])
    assert found[16:24, 30:34].min() > 1.5
    with pytest.raises(UsageError, match="mask is 10x10"):
        made.render(made.prepare(source, mask=save(tmp_path / "mask.png", mask[:10, :10])), tmp_path / "b.exr")
    assert not (tmp_path / "b.exr").exists()


@pytest.mark.parametrize("place", [(0, 0, WIDTH, HEIGHT), (22, 5, 9, 20), (-6, -4, 40, 20), (50, 38, 30, 30)])
@pytest.mark.parametrize("origin", [(0, 0), (4, 2)])
def test_a_mask_lies_where_its_window_is(tmp_path, place, origin):
    """Data windows of one display window, whose pixels have the same coordinates (OpenEXR, Technical Introduction)."""
    picture = {"full_x": 0, "full_y": 0, "full_width": WIDTH, "full_height": HEIGHT}
    source = write_exr(tmp_path / "in.exr", [linear_channels()], x=origin[0], y=origin[1], **picture)
    (x, y, width, height), whole = place, np.zeros((HEIGHT + 80, WIDTH + 80), np.float16)
    drawn = RNG.random((height, width)).astype(np.float16)
    whole[40 + y : 40 + y + height, 40 + x : 40 + x + width] = drawn
    own = whole[40 + origin[1] :, 40 + origin[0] :][:HEIGHT, :WIDTH]
    made = converter(options=OutputOptions(matte=True), input_space="linear")
    masks = [
        write_exr(tmp_path / "placed.exr", [{"Y": drawn}], x=x, y=y, **picture),
        write_exr(tmp_path / "whole.exr", [{"Y": own}], x=origin[0], y=origin[1], **picture),
    ]
    found = []
    for mask in masks:
        made.render(made.prepare(source, mask=mask), tmp_path / "a.exr")
        found.append(channels_of(tmp_path / "a.exr"))
    for name, plane in found[1].items():
        np.testing.assert_array_equal(found[0][name], plane)


def test_no_picture_that_is_read_is_replaced(tmp_path):
    source, mask = (
        save(tmp_path / "in.png"),
        write_exr(tmp_path / "mask.exr", [{"Y": np.zeros((HEIGHT, WIDTH), np.float16)}]),
    )
    made = converter()
    for target, preview in ((mask, None), (tmp_path / "x.exr", tmp_path / "." / "in.png"), (tmp_path / "x.exr", mask)):
        before = [path.read_bytes() for path in (source, mask)]
        with pytest.raises(UsageError, match="input as well"):
            made.render(made.prepare(source, mask=mask), target, preview=preview)
        assert [path.read_bytes() for path in (source, mask)] == before
        assert not (tmp_path / "x.exr").exists()


def test_channels_of_a_tiff_are_no_alpha_but_alpha(tmp_path):
    """TIFF 6.0, ExtraSamples: 0 is unspecified data, 1 associated alpha."""
    depth = np.full((HEIGHT, WIDTH), 900, np.float32)
    for extra, alpha in (({"Z": depth}, -1), ({"A": depth / 900, "Z": depth}, 3)):
        source = write_exr(tmp_path / "in.exr", [linear_channels() | extra])
        made = converter(input_space="linear")
        made.render(made.prepare(source), tmp_path / "a.tif")
        assert spec_of(tmp_path / "a.tif").alpha_channel == alpha


@pytest.mark.parametrize("level", [0.3, np.nan])
def test_a_mask_holds_numbers_not_color(tmp_path, level):
    """Its first channel as it is stored, whatever its alpha says; what is no number keeps nothing."""
    source, mattes = save(tmp_path / "in.png"), []
    plane = np.full((HEIGHT, WIDTH), level, np.float16)
    made = converter(options=OutputOptions(matte=True))
    for number, names in enumerate(("RGB", "RGBA", "Y")):
        mask = write_exr(tmp_path / f"mask{number}.exr", [dict.fromkeys(names, plane)])
        made.render(made.prepare(source, mask=mask), tmp_path / "a.exr")
        mattes.append(channels_of(tmp_path / "a.exr")["matte.R"])
        assert all(np.isfinite(values).all() for values in channels_of(tmp_path / "a.exr").values())
    made.render(made.prepare(source), tmp_path / "a.exr")
    expected = channels_of(tmp_path / "a.exr")["matte.R"] * (1 - np.nan_to_num(np.float32(plane[0, 0])))
    for found in mattes:
        np.testing.assert_allclose(found, expected, atol=1e-3)
    assert expected.max() > 0.6


def test_a_matte_takes_the_place_of_one_that_the_source_holds(tmp_path):
    old = np.full((HEIGHT, WIDTH), 0.4, np.float16)
    codes = (CODES / np.float32(255)).astype(np.float16)
    planes = {name: np.ascontiguousarray(codes[:, :, k]) for k, name in enumerate("RGB")}
    source = write_exr(tmp_path / "in.exr", [{**planes, "matte.R": old, "matte.G": old, "Z": old}])
    for matte in (False, True):
        made = converter(input_space="srgb", options=OutputOptions(matte=matte))
        report = made.render(made.prepare(source), tmp_path / "a.exr")
        found = channels_of(tmp_path / "a.exr")
        np.testing.assert_array_equal(found["Z"], old)
        if not matte:
            np.testing.assert_array_equal(found["matte.R"], old)
            assert not report.warnings
            continue
        assert set(found) == {*"RGB", "matte.R", "matte.G", "matte.B", "Z"}
        assert {0, 1} <= set(np.unique(found["matte.R"]).tolist())
        assert report.warnings == ("matte.G, matte.R: of the source, replaced by the matte of this result",)


def test_a_source_that_breaks_off_leaves_nothing(tmp_path):
    source = save(tmp_path / "in.png")
    source.write_bytes(source.read_bytes()[:3000])
    with pytest.raises(InputError, match=r"in\.png"):
        convert(source, tmp_path / "out" / "a.exr")
    assert not list(tmp_path.glob("out/*"))


def test_a_result_that_cannot_be_written_leaves_nothing(tmp_path):
    source = save(tmp_path / "in.png")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        convert(source, tmp_path / "file" / "a.exr")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "in.png"]


def test_a_failure_of_the_second_file_leaves_neither(tmp_path):
    (tmp_path / "a.matte.exr").mkdir()
    options = OutputOptions(aces=True, matte=True, compression="none")
    with pytest.raises(OutputError):
        convert(save(tmp_path / "in.png"), tmp_path / "a.exr", options=options, output_space="aces2065-1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.matte.exr", "in.png"]


def test_a_plate_that_is_hdr_already_is_named_and_refused(tmp_path):
    bright = {name: plane + np.float16(2) for name, plane in linear_channels().items()}
    source = write_exr(tmp_path / "in.exr", [bright])
    with pytest.raises(AlreadyHDRError, match=r"in\.exr: 100\.0 percent"):
        convert(source, tmp_path / "a.exr")
    assert not (tmp_path / "a.exr").exists()
    convert(source, tmp_path / "a.exr", force=True)


def test_an_opencolorio_input_space(tmp_path):
    source = save(tmp_path / "in.png")
    found = rgb(convert(source, tmp_path / "a.exr", input_space="Gamma 2.2 Rec.709 - Display"))
    np.testing.assert_allclose(found[FLAT], (CODES[FLAT] / 255) ** 2.2, rtol=2e-3, atol=1e-5)


def test_the_report_counts_what_was_recovered(tmp_path):
    made = converter(gain=4.0)
    shares: list[float] = []
    report = made.render(made.prepare(save(tmp_path / "in.png")), tmp_path / "a.exr", progress=shares.append)
    assert (report.status, report.width, report.height) == ("done", WIDTH, HEIGHT)
    found = rgb(tmp_path / "a.exr")
    plate = decode_srgb(CODES / 255)
    gained = np.log2(found[16:24, 24:32] / plate[16:24, 24:32]).max()
    assert report.stops_gained == pytest.approx(gained, abs=0.1)
    assert 16 * 16 / CODES[:, :, 0].size * 0.7 < report.clipped_share < 0.2
    assert shares == sorted(shares)
    assert shares[-1] == 1
    json.dumps(report.to_dict())


def test_a_frame_prepared_and_dropped_keeps_no_file_open(tmp_path):
    prepared = converter().prepare(save(tmp_path / "in.png"))
    prepared.close()
    with pytest.raises(InputError, match="closed"):
        prepared.parts[0].plate.rows(0, 1)


def test_expand_file_is_the_converter_used_once(tmp_path):
    source = save(tmp_path / "in.png")
    expander = Expander(Settings(white=1.0), engine=PointEngine(gain=4.0))
    expand_file(source, tmp_path / "a.exr", expander=expander)
    assert (tmp_path / "a.exr").read_bytes() == convert(source, tmp_path / "b.exr").read_bytes()


def test_the_encodings_of_the_references_agree():
    codes = np.linspace(0, 1, 1001)
    np.testing.assert_allclose(encode_srgb(decode_srgb(codes)), codes, atol=1e-6)


def test_alpha_that_is_no_number_makes_no_color_that_is_none(tmp_path):
    cover = np.ones((HEIGHT, WIDTH), np.float16)
    cover[0, :3] = [np.nan, np.inf, -np.inf]
    result = convert(write_exr(tmp_path / "a.exr", [linear_channels() | {"A": cover}]), tmp_path / "b.exr")
    assert np.isfinite(rgb(result)).all()


ACES_PARTS = """
import sys
from pathlib import Path
from test_convert import OutputOptions, convert
from expandnet_ofx.errors import ExpandNetError
options = OutputOptions(aces=True, matte=True, compression="none", interop_id=None)
try:
    convert(Path(sys.argv[1]), Path(sys.argv[2]), options=options, output_space="aces2065-1")
except ExpandNetError as error:
    print(error)
    raise SystemExit(3)
"""


@pytest.mark.parametrize("second", ["color", "data"])
def test_an_aces_container_of_several_parts_is_refused(tmp_path, second):
    """ST 2065-4 knows one part alone. In a process of its own: rows beyond the matte's end once crashed it."""
    parts = [linear_channels(), linear_channels() if second == "color" else {"Z": linear_channels()["R"]}]
    source = write_exr(tmp_path / "a.exr", parts, names=["one", "two"])
    command = [sys.executable, "-c", ACES_PARTS, str(source), str(tmp_path / "b.exr")]
    folder = Path(__file__).parent
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 3, done.stderr
    assert str(source) in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["a.exr"]


@pytest.mark.parametrize("suffix", ["tif", "hdr"])
def test_extra_channels_are_no_reason_to_fail_in_other_formats(tmp_path, suffix):
    """Depth beside half color: types per channel exist in EXR alone, so the color is written, or a flag is named."""
    z = np.full((HEIGHT, WIDTH), 1e6, np.float32)
    source = write_exr(tmp_path / "a.exr", [linear_channels() | {"Z": z}])
    try:
        convert(source, tmp_path / f"b.{suffix}")
    except UsageError as error:
        assert ".exr" in str(error)
    else:
        found = oiio.ImageBuf(str(tmp_path / f"b.{suffix}")).get_pixels(oiio.FLOAT)
        np.testing.assert_allclose(found[FLAT][:, :, 1], linear_channels()["G"][FLAT], atol=0.02)
