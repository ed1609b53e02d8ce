"""Results in files, read back by OpenImageIO and, for headers, byte by byte."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest
from result_files import LIGHT, layout, read, write

from expandnet_ofx import results
from expandnet_ofx.errors import UsageError
from expandnet_ofx.output_options import OutputOptions, check_suffix
from expandnet_ofx.writer import image_writer

LOSSLESS = ("zip", "zip:9", "zips", "piz", "none", "rle")
LOSSY = ("dwaa", "dwaa:45", "dwab", "dwab:10", "pxr24", "b44", "b44a")


def exr_header(path: Path) -> dict[str, tuple[str, bytes]]:
    """Parse the attributes of a single-part OpenEXR file: name to type and value."""
    data = path.read_bytes()
    assert data[:4] == b"\x76\x2f\x31\x01"
    at, found = 8, {}
    while data[at]:
        name, kind, rest = data[at:].split(b"\0", 2)
        at += len(name) + len(kind) + 2
        (size,) = struct.unpack("<i", rest[:4])
        found[name.decode()] = (kind.decode(), data[at + 4 : at + 4 + size])
        at += 4 + size
    return found


@pytest.mark.parametrize("kind", ["half", "float"])
@pytest.mark.parametrize("compression", LOSSLESS)
def test_lossless_compressions_keep_every_bit(tmp_path, compression, kind):
    expected = LIGHT.astype(np.float16) if kind == "half" else LIGHT
    found, spec = read(write(tmp_path / "a.exr", LIGHT, kind=kind, compression=compression))
    np.testing.assert_array_equal(found, expected.astype(np.float32))
    assert str(spec.format) == kind
    assert spec.get_string_attribute("compression").partition(":")[0] == compression.partition(":")[0]
    assert not spec.tile_width


@pytest.mark.parametrize("compression", LOSSY)
def test_lossy_compressions_stay_near(tmp_path, compression):
    smooth = np.linspace(0.1, 4, LIGHT.size, dtype=np.float32).reshape(LIGHT.shape)
    found, spec = read(write(tmp_path / "a.exr", smooth, compression=compression))
    np.testing.assert_allclose(found, smooth, rtol=0.02)
    assert spec.get_string_attribute("compression").partition(":")[0] == compression.partition(":")[0]


def test_the_dwa_level_is_kept(tmp_path):
    header = exr_header(write(tmp_path / "a.exr", LIGHT, compression="dwaa:200"))
    assert struct.unpack("<f", header["dwaCompressionLevel"][1]) == (200,)
    coarse = (tmp_path / "a.exr").stat().st_size
    assert coarse < write(tmp_path / "b.exr", LIGHT, compression="dwaa:1").stat().st_size


@pytest.mark.parametrize("text", ["lzw", "", "dwaa:x", "zip:-1", "none:3", "piz:2", "rle:1"])
def test_unknown_compressions_are_refused(text):
    with pytest.raises(UsageError, match="--compression"):
        OutputOptions(compression=text)


@pytest.mark.parametrize("step", [1, 7, 40])
@pytest.mark.parametrize("kind", ["half", "float"])
def test_tiff_keeps_light_above_and_below(tmp_path, kind, step):
    expected = LIGHT.astype(np.float16).astype(np.float32) if kind == "half" else LIGHT
    found, spec = read(write(tmp_path / "a.tif", LIGHT, kind=kind, step=step))
    np.testing.assert_array_equal(found, expected)
    assert str(spec.format) in (kind, "float")


def test_radiance_keeps_8_bits_of_the_brightest_channel(tmp_path):
    light = np.abs(LIGHT) + np.float32(0.01)
    found, spec = read(write(tmp_path / "a.hdr", light, kind="float"))
    assert (np.abs(found - light) <= light.max(2, keepdims=True) / 127).all()
    assert spec.format == oiio.FLOAT


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a", "a.dpx"])
def test_display_formats_cannot_hold_light(name):
    with pytest.raises(UsageError, match="scene-linear"):
        check_suffix(Path(name), OutputOptions())


@pytest.mark.parametrize("options", [OutputOptions(matte=True), OutputOptions(aces=True, compression="none")])
@pytest.mark.parametrize("name", ["a.hdr", "a.tif", "a.TIFF"])
def test_matte_and_aces_need_exr(name, options):
    with pytest.raises(UsageError, match=r"need \.exr"):
        check_suffix(Path(name), options)
    check_suffix(Path(name), OutputOptions())
    check_suffix(Path("a.EXR"), options)


@pytest.mark.parametrize("changes", [{"pixel": "float", "compression": "none"}, {"compression": "zip"}])
def test_aces_conflicts_are_refused(changes):
    with pytest.raises(UsageError, match=r"ST 2065-4"):
        OutputOptions(aces=True, **changes)


def test_an_aces_container_follows_st_2065_4(tmp_path):
    path = write(tmp_path / "a.exr", LIGHT, compression="none", aces=True, interop_id="lin_ap0_scene")
    header = exr_header(path)
    assert header["acesImageContainerFlag"] == ("int", struct.pack("<i", 1))
    assert header["compression"] == ("compression", b"\0")
    assert header["lineOrder"][1] == b"\0"
    ap0 = (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.077, 0.32168, 0.33767)
    assert header["chromaticities"][0] == "chromaticities"
    np.testing.assert_allclose(struct.unpack("<8f", header["chromaticities"][1]), ap0, atol=1e-6)
    names = [entry.split(b"\0")[0] for entry in header["channels"][1].split(b"\x01\0\0\0\x01\0\0\0")[:-1]]
    assert names == [b"B", b"G", b"R"]
    np.testing.assert_array_equal(read(path)[0], LIGHT.astype(np.float16))


@pytest.mark.parametrize("identifier", ["lin_rec709_scene", "lin_ap1_scene", None])
def test_the_interop_id_is_written_and_no_chromaticities(tmp_path, identifier):
    header = exr_header(write(tmp_path / "a.exr", LIGHT, interop_id=identifier))
    assert header.get("colorInteropID") == (("string", identifier.encode()) if identifier else None)
    assert "chromaticities" not in header
    assert "acesImageContainerFlag" not in header


def test_channels_of_several_types_and_windows(tmp_path):
    five = np.concatenate((LIGHT, LIGHT[:, :, :2] * 1.000123), 2)
    part = layout(
        five,
        channels=("R", "G", "B", "A", "Z"),
        formats=("half", "half", "half", "half", "float"),
        origin=(-5, 7),
        display=(0, 0, 20, 60),
    )
    with image_writer(tmp_path / "a.exr", [part], OutputOptions()) as output:
        output.write(0, five)
        output.commit()
    source = oiio.ImageInput.open(str(tmp_path / "a.exr"))
    spec = source.spec()
    kinds = dict(zip(spec.channelnames, map(str, spec.channelformats), strict=True))
    assert kinds == {"R": "half", "G": "half", "B": "half", "A": "half", "Z": "float"}
    z = spec.channelnames.index("Z")
    np.testing.assert_array_equal(source.read_image(0, 0, z, z + 1, "float")[:, :, 0], five[:, :, 4])
    source.close()
    assert (spec.x, spec.y, spec.full_x, spec.full_y, spec.full_width, spec.full_height) == (-5, 7, 0, 0, 20, 60)


def test_parts_are_written_one_after_another(tmp_path):
    parts = [layout(LIGHT, name="left"), layout(LIGHT[:, :, :1], name="depth", channels=("Z",), kind="float")]
    with image_writer(tmp_path / "a.exr", parts, OutputOptions()) as output:
        output.write(0, LIGHT)
        output.next_part()
        output.write(0, LIGHT[:20, :, :1])
        output.write(20, LIGHT[20:, :, :1])
        output.commit()
    source = oiio.ImageInput.open(str(tmp_path / "a.exr"))
    for part, (name, expected) in enumerate([("left", LIGHT.astype(np.float16)), ("depth", LIGHT[:, :, :1])]):
        assert source.seek_subimage(part, 0)
        assert source.spec().get_string_attribute("oiio:subimagename") == name
        np.testing.assert_array_equal(source.read_image(part, 0, 0, expected.shape[2], "float"), expected)
    assert not source.seek_subimage(2, 0)
    source.close()


@pytest.mark.parametrize("compression", ["zip", "zips"])
def test_zip_is_quick_unless_told_otherwise(tmp_path, compression):
    pixels = np.random.default_rng(2).integers(0, 40, (64, 64, 3)).astype(np.float32)
    sizes = [
        write(tmp_path / f"a{level}.exr", pixels, compression=f"{compression}{level}").stat().st_size
        for level in ("", ":1", ":4", ":9")
    ]
    assert sizes[0] == sizes[1]
    assert len(set(sizes)) == 3


def test_provenance_of_complete_files_only(tmp_path):
    noise = np.random.default_rng(1).random((64, 64, 3), np.float32)
    path = tmp_path / "a.exr"
    with image_writer(
        path, [layout(noise, attributes={"expandnet/provenance": '{"a": 1}'})], OutputOptions()
    ) as output:
        output.write(0, noise)
        output.commit()
    assert results.read_provenance(path) == {"a": 1}
    data = path.read_bytes()
    for share in (0.05, 0.5, 0.99):
        path.write_bytes(data[: int(len(data) * share)])
        assert results.read_provenance(path) is None
    assert results.read_provenance(write(tmp_path / "b.exr", noise)) is None
    assert results.read_provenance(tmp_path / "missing.exr") is None
