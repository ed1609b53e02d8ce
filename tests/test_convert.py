"""From file to file: the light in a result, files that are begun and named, and failures that leave nothing."""

from __future__ import annotations

import gc
import json
import threading
import time
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest
from conversions import (
    CODES,
    FLAT,
    HEIGHT,
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
from fakes import PointEngine, decode_srgb, encode_srgb

from expandnet_ofx import Expander, Settings
from expandnet_ofx.convert import expand_file
from expandnet_ofx.errors import AlreadyHDRError, InputError, OutputError, UsageError
from expandnet_ofx.output_options import OutputOptions
from expandnet_ofx.partials import is_partial
from expandnet_ofx.writer import ImageWriter


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


def test_results_that_cannot_hold_light_are_refused(tmp_path):
    source = write_exr(tmp_path / "a.exr", [linear_channels()])
    for name in ("b.png", "b.jpg", "b", ""):
        with pytest.raises(UsageError, match="outputs are"):
            expand_file(source, tmp_path / name if name else "", expander=converter().expander)
    assert [path.name for path in tmp_path.iterdir()] == ["a.exr"]


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
