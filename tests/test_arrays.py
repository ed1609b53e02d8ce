"""What is written for numpy and PyTorch alike: tensors that numpy may not touch stand in for those of a device."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from expandnet_ofx import ArrayPlate, Expander, Settings, grade, tiles
from expandnet_ofx.arrays import beside, namespace, set_at, to_half, to_host
from expandnet_ofx.convert import Converter
from expandnet_ofx.engine import open_engine
from expandnet_ofx.engine_torch import to_tensor
from expandnet_ofx.lamps import lift_lamps
from expandnet_ofx.maps import sample
from expandnet_ofx.matte import PlateMatte
from expandnet_ofx.output_options import OutputOptions
from expandnet_ofx.pixels import any_channel, brightest_channel, darkest_channel, sum_of_channels
from expandnet_ofx.predicted import Predicted
from expandnet_ofx.recovered import smooth_log_light
from expandnet_ofx.rise import hold
from expandnet_ofx.statistics import RenderStatistics
from expandnet_ofx.surround import complete, mixtures
from expandnet_ofx.swing import put_back
from expandnet_ofx.tallies import window_max
from expandnet_ofx.transfer import ENCODINGS, full_scale, named_encoding
from expandnet_ofx.weights import Weights

CPU = torch.device("cpu")


class Away:
    """An engine whose pixels are tensors, as those of a device are."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.brought = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def to_device(self, array: Any) -> Any:
        self.brought += not isinstance(array, torch.Tensor)
        return to_tensor(array, CPU)


@pytest.fixture
def away(default_weights: Weights, monkeypatch: pytest.MonkeyPatch) -> Away:
    """Such an engine; a function of numpy that is given a tensor fails, as it would with one on a device."""

    def refuse(tensor: torch.Tensor, *_: object, **__: object) -> None:
        raise AssertionError("numpy was given a tensor")

    monkeypatch.setattr(torch.Tensor, "__array__", refuse)
    return Away(open_engine(default_weights, device="cpu", threads=2))


def plates(codes: np.ndarray) -> dict[str, np.ndarray]:
    deep = codes.astype(np.uint16) * 257
    deep[:, :, 1] -= codes[:, :, 0] % 7
    light = (codes / 255).astype(np.float32)
    light[3, 4], light[5, 6, 0], light[7, 8] = np.nan, np.inf, -0.2
    cover = np.full((*codes.shape[:2], 1), 255, np.uint8)
    cover[20:40, 30:60] = 0
    return {
        "uint8": codes,
        "uint16": deep,
        "float32": light,
        "float16": light.astype(np.float16),
        "alpha": np.concatenate((codes, cover), 2),
        "gray": codes[:, :, 1],
    }


def stops_apart(one: np.ndarray, other: np.ndarray) -> float:
    least = np.float32(2**-14)
    return float(np.abs(np.log2(np.maximum(one, least) / np.maximum(other, least))).max())


LOOKS = {
    "plain": Settings(),
    "full": Settings(merge="full"),
    "graded": Settings(max_stops=3, saturation=0.6, stops=0.5, merge_channels="together", sun_stops=2, tile=64),
    "spaces": Settings(input_space="rec2020-bt1886", output_space="acescg", border="zero", boldness=0.9, feather=0),
}


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32", "float16", "alpha", "gray"])
@pytest.mark.parametrize("look", LOOKS)
def test_tensors_come_out_as_arrays_do(kind, look, away, natural_plate):
    plate = plates(natural_plate)[kind]
    here = Expander(LOOKS[look], engine=away._engine)
    there = Expander(LOOKS[look], engine=away)
    analysis = here.analyze(plate)
    counts = RenderStatistics(), RenderStatistics()
    ours, theirs = (list(e.bands(plate, analysis, statistics=c)) for e, c in zip((here, there), counts, strict=True))
    for name in ("light", "plate", "matte"):
        one, other = (np.concatenate([getattr(band, name) for band in found]) for found in (ours, theirs))
        assert type(other) is np.ndarray
        assert stops_apart(one, other) < 1e-5, name
    assert away.brought >= 2
    assert (counts[0].pixels, counts[0].tiles) == (counts[1].pixels, counts[1].tiles)
    assert counts[1].clipped == counts[0].clipped > 0
    assert np.abs(np.cumsum(counts[0].gains) - np.cumsum(counts[1].gains)).max() <= 1e-2 * counts[0].gains.sum()


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32", "float16", "alpha", "gray"])
def test_tensors_are_surveyed_as_arrays_are(kind, away, natural_plate):
    plate = plates(natural_plate)[kind]
    here, there = Expander(engine=away._engine).survey(plate), Expander(engine=away).survey(plate)
    assert np.array_equal(here.histograms, there.histograms)
    assert np.array_equal(here.peak, there.peak)
    for name in ("nan", "infinite", "negative", "above_white", "low", "high", "levels"):
        assert getattr(here, name) == getattr(there, name), name
    for name in ("proxy", "working", "surround"):
        assert getattr(here, name) == pytest.approx(getattr(there, name), abs=2e-5), name


def test_regions_masks_panoramas_and_kept_light_of_tensors(away, natural_plate):
    plate = natural_plate
    here, there = Expander(engine=away._engine), Expander(engine=away)
    analysis = here.analyze(plate)
    box = (31, 17, 150, 101)
    assert stops_apart(here.render(plate, analysis, region=box), there.render(plate, analysis, region=box)) < 1e-5
    mask = ArrayPlate(np.linspace(0, 255, 144 * 192).reshape(144, 192).astype(np.uint8), named_encoding("linear"))
    one, other = (np.concatenate([b.light for b in e.bands(plate, analysis, mask=mask)]) for e in (here, there))
    assert stops_apart(one, other) < 1e-5
    kept = Predicted(1 << 30)
    first = np.concatenate([band.light for band in there.bands(plate, analysis, predicted=kept)])
    assert kept.complete
    again = np.concatenate([band.light for band in there.bands(plate, analysis, predicted=kept)])
    assert np.array_equal(first, again)
    panorama = plate[:96]
    here, there = (Expander(Settings(latlong=True), engine=e) for e in (away._engine, away))
    analysis = here.analyze(panorama)
    assert stops_apart(here.render(panorama, analysis), there.render(panorama, analysis)) < 1e-5


@pytest.mark.parametrize("pixel", ["half", "float"])
def test_files_from_tensors_hold_what_those_from_arrays_hold(pixel, away, natural_plate, tmp_path: Path):
    source = tmp_path / "plate.png"
    picture = oiio.ImageBuf(plates(natural_plate)["alpha"])
    assert picture.write(str(source))
    options = OutputOptions(pixel=pixel, matte=True)
    found = []
    for name, engine in (("here", away._engine), ("there", away)):
        converter = Converter(Expander(engine=engine), options)
        converter.render(converter.prepare(source), tmp_path / f"{name}.exr", preview=tmp_path / f"{name}.png")
        found.append(oiio.ImageBuf(str(tmp_path / f"{name}.exr")))
        assert (tmp_path / f"{name}.png").is_file()
    one, other = (buffer.get_pixels(oiio.FLOAT) for buffer in found)
    assert found[0].spec().channelnames == found[1].spec().channelnames
    assert found[0].spec().format == found[1].spec().format == pixel
    step = 2**-10 if pixel == "half" else 2e-3
    assert np.allclose(one, other, rtol=step, atol=1e-6)
    assert np.mean(one != other) < (0.01 if pixel == "half" else 1)


def test_nothing_that_is_told_of_pixels_lies_on_another_device():
    """The meta device computes no values, and refuses to work with tensors of another, as a GPU does."""

    def away(*shape: int, dtype: torch.dtype = torch.float32) -> Any:
        return torch.empty(shape, dtype=dtype, device="meta")

    light, narrow = away(40, 50, 3), away(32, 42, 3)
    clips, looks = np.ones(3, np.float32), Settings(merge_channels="together").merging
    window = (0, 0, 50, 40)
    found = {
        "matte": grade.pointwise_matte(light, clips, looks),
        "steady": grade.steady_matte(light),
        "smooth": smooth_log_light(light, light),
        "mixed": mixtures(light, light),
        "complete": complete(light, light, light, light, away(40, 50, 4), away(40, 50, 3, dtype=torch.bool)),
        "hold": hold(light, light, light),
        "back": put_back(light, light, light[..., :1], light[..., :1]),
        "lamps": lift_lamps(light, light, light[..., :1], 2.0),
        "sample": sample(away(10, 12, 4), window, (0, 40), (0, 50)),
        "peaks": window_max(light, np.array([0, 3]), np.array([2, 9]), axis=1),
        "any": any_channel(light),
        "sum": sum_of_channels(light) + brightest_channel(light) + darkest_channel(light),
    }
    tiles.cross_fade(light, light, axis=1)
    for name, encoding in ENCODINGS.items():
        for dtype in (torch.uint8, torch.int32, torch.float32):
            codes = away(4, 5, 3, dtype=dtype)
            found[f"{name} {dtype}"] = encoding.decode(codes) + encoding.encode_for_network(codes)
    for name, tensor in found.items():
        assert tensor.device.type == "meta", name
    assert found["steady"].shape == (36, 46, 3)
    assert found["smooth"].shape == narrow.shape
    with pytest.raises(RuntimeError):
        light + torch.ones(3)


def test_codes_on_a_device_mean_the_same():
    codes = np.arange(1 << 16, dtype=np.uint16).reshape(256, 256)
    tensor = to_tensor(codes, CPU)
    assert np.array_equal(to_host(tensor), codes)
    assert full_scale(tensor.dtype) == full_scale(codes.dtype) == 65535
    small = codes.astype(np.uint8)
    assert full_scale(to_tensor(small, CPU).dtype) == full_scale(small.dtype) == 255
    kept = np.ones((2, 2, 3), np.float16)
    kept.flags.writeable = False
    assert to_tensor(kept, CPU).dtype == torch.float32
    assert full_scale(to_tensor(kept, CPU).dtype) == 1
    assert to_tensor(tensor, CPU) is tensor


def test_halves_are_rounded_alike_by_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Ours, numpy, PyTorch and the image library: every half float, the middle between two, and just beside it."""
    exact = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    middle = (exact[:-1] + exact[1:]) / 2
    values = np.concatenate((exact, middle, np.nextafter(middle, 0), np.nextafter(middle, np.float32(1e9))))
    values = np.concatenate((values, -values))[: len(values) // 3 * 6].reshape(1, -1, 3)
    by_numpy = values.astype(np.float16).view(np.uint16)
    assert np.array_equal(to_half(values).view(np.uint16), by_numpy)
    values.flags.writeable = False
    assert np.array_equal(to_half(values[:, ::-1])[:, ::-1].view(np.uint16), by_numpy)
    values = values.copy()
    with monkeypatch.context() as patch:
        patch.delitem(sys.modules, "torch")
        assert np.array_equal(to_half(values).view(np.uint16), by_numpy), "where PyTorch is not loaded"
    assert np.array_equal(to_host(to_half(torch.from_numpy(values))).view(np.uint16), by_numpy)
    buffer = oiio.ImageBuf(values)
    buffer.set_write_format("half")
    assert buffer.write(str(tmp_path / "x.exr"))
    stored = oiio.ImageBuf(str(tmp_path / "x.exr")).get_pixels(oiio.HALF)
    assert np.array_equal(np.asarray(stored).view(np.uint16), by_numpy)


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.integers(-9, 9), min_size=1, max_size=40),
    ends=st.lists(st.tuples(st.integers(0, 39), st.integers(1, 40)), min_size=1, max_size=8),
    axis=st.sampled_from([0, 1]),
    tensor=st.booleans(),
)
def test_window_max_is_the_largest_of_each_window(values, ends, axis, tensor):
    first = np.minimum([start for start, _ in ends], len(values) - 1)
    stop = np.minimum(first + [length for _, length in ends], len(values))
    line = np.array(values, np.float32)
    picture = line[:, None, None].repeat(3, 1) if axis == 0 else line[None, :, None].repeat(3, 0)
    found = to_host(window_max(torch.from_numpy(picture) if tensor else picture, first, stop, axis=axis))
    expected = [max(values[a:b]) for a, b in zip(first, stop, strict=True)]
    assert (found[:, 0, 0] if axis == 0 else found[0, :, 0]).tolist() == expected


@settings(max_examples=30, deadline=None)
@given(
    threshold=st.floats(0.05, 0.98),
    clips=st.tuples(*[st.floats(0.86, 1.0)] * 3),
    deep=st.booleans(),
    channels=st.sampled_from(["separate", "together"]),
)
def test_the_question_that_is_asked_first_leaves_no_pixel_out(threshold, clips, deep, channels, natural_analysis):
    levels = 65535 if deep else 255
    every = np.arange(levels + 1)
    codes = np.stack((every, np.roll(every, 7), every[::-1]), 1)[None].astype(np.uint16 if deep else np.uint8)
    looks = Settings(threshold=threshold, full=0.99, merge_channels=channels)
    analysis = replace(natural_analysis, clip_levels=clips, scene=1.0)
    found = PlateMatte(ArrayPlate(codes, named_encoding("srgb")), analysis, looks).pointwise(codes)
    values = codes.astype(np.float32) * np.float32(1 / levels)
    assert np.array_equal(found, grade.pointwise_matte(values, np.array(clips, np.float32), looks.merging))


@pytest.mark.parametrize("clip", [0.95, 0.98, 0.99, 1.0])
def test_half_floats_are_asked_in_full_precision(clip, natural_analysis):
    every = np.arange(0, 0x3C01, dtype=np.uint16).view(np.float16)
    codes = np.stack((every, every, every), 1)[None]
    analysis = replace(natural_analysis, clip_levels=(clip,) * 3, scene=1.0)
    matte = PlateMatte(ArrayPlate(codes, named_encoding("srgb")), analysis, Settings())
    assert np.array_equal(matte.pointwise(codes), matte.pointwise(codes.astype(np.float32)))


def test_numbers_of_numpy_are_settings_too(natural_plate, plain_expander):
    numbers = {"stops": 0.5, "sun_stops": 2.0, "saturation": 0.5, "max_stops": 3.0, "saturated_max_stops": 2.5}
    light = [
        Expander(Settings(**{name: kind(x) for name, x in numbers.items()}), engine=plain_expander.engine)(
            natural_plate
        )
        for kind in (float, np.float64)
    ]
    assert light[1].dtype == np.float32
    assert np.array_equal(*light)


def test_a_code_that_is_infinite_warns_of_nothing(natural_plate, plain_expander):
    codes = (natural_plate / 255).astype(np.float32)
    codes[5, 6] = np.inf
    analysis = replace(plain_expander.analyze(codes), clip_levels=(0.9, 0.95, 0.99))
    assert np.isfinite(plain_expander.render(codes, analysis)).all()


@pytest.fixture(scope="module")
def natural_analysis(plain_expander: Expander, natural_plate: np.ndarray) -> Any:
    return plain_expander.analyze(natural_plate)


def test_a_channel_that_is_no_number_hides_no_other(natural_analysis):
    codes = np.array([[[np.nan, 1, 0.2], [0.2, np.nan, 0.3], [np.inf, -np.inf, np.nan]]], np.float32)
    plate = ArrayPlate(codes, named_encoding("srgb"))
    analysis = replace(natural_analysis, clip_levels=(1.0, 1.0, 1.0), scene=1.0)
    matte = PlateMatte(plate, analysis, Settings()).pointwise(codes)
    assert matte.tolist() == [[[0, 1, 0], [0, 0, 0], [1, 0, 0]]]


def test_namespaces():
    assert namespace(np.ones(2)) is namespace(0.5) is namespace(np.float32(1)) is np
    assert namespace(torch.ones(2)) is torch
    values = np.arange(6.0).reshape(2, 3).T
    assert beside(np.ones(1), values) is values
    assert to_host(beside(torch.ones(1), values)).tolist() == values.tolist()
    mask = np.array([[True, False], [True, True]])
    assert set_at(mask).tolist() == set_at(torch.from_numpy(mask)).tolist() == [0, 2, 3]
