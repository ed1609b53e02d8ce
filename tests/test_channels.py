"""What a result keeps of the planes of its source: alpha, further channels and parts; masks and mattes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest
from conversions import (
    CODES,
    FLAT,
    HEIGHT,
    RNG,
    WIDTH,
    channels_of,
    convert,
    converter,
    linear_channels,
    rgb,
    save,
    spec_of,
    write_exr,
)
from fakes import decode_srgb

from expandnet_ofx.errors import InputError, UsageError
from expandnet_ofx.output_options import OutputOptions


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


def test_alpha_that_is_no_number_makes_no_color_that_is_none(tmp_path):
    cover = np.ones((HEIGHT, WIDTH), np.float16)
    cover[0, :3] = [np.nan, np.inf, -np.inf]
    result = convert(write_exr(tmp_path / "a.exr", [linear_channels() | {"A": cover}]), tmp_path / "b.exr")
    assert np.isfinite(rgb(result)).all()


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


def test_channels_of_a_tiff_are_no_alpha_but_alpha(tmp_path):
    """TIFF 6.0, ExtraSamples: 0 is unspecified data, 1 associated alpha."""
    depth = np.full((HEIGHT, WIDTH), 900, np.float32)
    for extra, alpha in (({"Z": depth}, -1), ({"A": depth / 900, "Z": depth}, 3)):
        source = write_exr(tmp_path / "in.exr", [linear_channels() | extra])
        made = converter(input_space="linear")
        made.render(made.prepare(source), tmp_path / "a.tif")
        assert spec_of(tmp_path / "a.tif").alpha_channel == alpha


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


ACES_PARTS = """
import sys
from pathlib import Path
from conversions import OutputOptions, convert
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
