"""Plates that a host made linear: their codes come back, and light agrees with that of the plate itself."""

from __future__ import annotations

import numpy as np
import pytest
from commands import batch, pixels_of, plate, replace_network, save
from fakes import BoxEngine, decode_srgb, encode_srgb
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from expandnet_ofx import Expander, Settings
from expandnet_ofx.color import input_encoding
from expandnet_ofx.errors import UsageError
from expandnet_ofx.images import open_image
from expandnet_ofx.linearized import Recoder

ACESCG = np.array(
    [[0.6130974, 0.3395231, 0.0473795], [0.0701937, 0.9163539, 0.0134524], [0.0206156, 0.1095697, 0.8698147]]
)
"""Linear Rec.709 to ACEScg with Bradford adaptation, as published with the ACES transforms."""

HALF_STEP = 2.0**-11
"""Relative rounding of a half float."""


@given(hnp.arrays(np.float64, (5, 4, 3), elements=st.floats(2**-12, 16)))
def test_codes_of_srgb_light_are_those_of_the_standard(codes):
    light = decode_srgb(codes).astype(np.float32)
    np.testing.assert_allclose(Recoder(input_encoding("srgb"), "linear-rec709")(light), codes, rtol=2e-6)


@pytest.mark.parametrize(
    "name", ["srgb", "bt1886", "gamma2.2", "display-p3", "adobe-rgb", "prophoto", "rec2020-bt1886"]
)
@pytest.mark.parametrize("space", ["linear-rec709", "acescg", "aces2065-1"])
def test_light_in_the_working_space_goes_to_codes_and_back_within_half_precision(name, space):
    rng = np.random.default_rng(1)
    encoding = input_encoding(name)
    light = np.exp2(rng.uniform(-9, 0, (40, 30, 3))).astype(np.float32)
    matrices = {"linear-rec709": np.eye(3), "acescg": ACESCG, "aces2065-1": None}
    to_space = matrices[space]
    if to_space is None:
        from expandnet_ofx.color import output_matrix

        to_space = output_matrix(space)
    own = np.eye(3) if encoding.to_rec709 is None else encoding.to_rec709
    working = (light @ (to_space @ own).T).astype(np.float32)
    back = encoding.decode(Recoder(encoding, space)(working))
    np.testing.assert_allclose(back, light, rtol=HALF_STEP / 2, atol=2e-6)


def test_bad_samples_stay_where_they_are_and_negatives_are_mirrored():
    light = np.array([[[np.nan, 0.5, np.inf], [-0.25, 0.0, 1e-9], [1.0, 2.0, -np.inf]]], np.float32)
    codes = Recoder(input_encoding("srgb"), "linear-rec709")(light)
    assert np.isnan(codes[0, 0, 0])
    assert codes[0, 0, 2] == np.inf
    assert codes[0, 2, 2] == -np.inf
    np.testing.assert_allclose(codes[0, 1], [-encode_srgb(0.25), 0, 12.92e-9], rtol=1e-5)
    np.testing.assert_allclose(codes[0, 2, :2], [1, encode_srgb(2.0)], rtol=1e-6)
    mixed = Recoder(input_encoding("srgb"), "acescg")(light)
    assert np.isfinite(mixed[0, 1]).all()
    assert np.isfinite(mixed[0, 0, 1])


def linear_copy(path, codes, matrix=None):
    light = decode_srgb(codes / 255.0)
    return save(path, (light if matrix is None else light @ matrix.T).astype(np.float16))


@pytest.mark.parametrize(("space", "matrix"), [("linear-rec709", None), ("acescg", ACESCG)])
def test_a_linearized_plate_expands_like_the_plate_itself(tmp_path, space, matrix):
    codes = plate(3, 48, 64)
    codes[30:40, 40:60] = (255, 200, 120)
    copy = linear_copy(tmp_path / "plate.exr", codes, matrix)
    direct = Expander(Settings(output_space=space), engine=BoxEngine(gain=6))
    through = Expander(Settings(output_space=space, linearized=space), engine=BoxEngine(gain=6))
    with open_image(copy, through.settings) as opened:
        found = through(opened)
    expected = direct(codes)
    kept = (codes < 230).all(2)
    np.testing.assert_allclose(found[kept], expected[kept], rtol=2 * HALF_STEP, atol=1e-5)
    # Where the matte rises a rounded code moves it a little.
    assert np.abs(np.log2(found / expected)).max() < 0.02
    assert (expected > 1.2).any()


def test_an_array_may_be_linear_too():
    codes = plate(4, 32, 40)
    light = decode_srgb(codes / 255.0).astype(np.float32)
    found = Expander(Settings(linearized="linear-rec709"), engine=BoxEngine(gain=6))(light)
    np.testing.assert_allclose(found, Expander(engine=BoxEngine(gain=6))(codes), rtol=2e-3)


def test_other_channels_of_a_linearized_plate_pass_through(tmp_path):
    rng = np.random.default_rng(2)
    light = decode_srgb(plate(5, 24, 32) / 255.0)
    depth = rng.uniform(0, 1, (24, 32, 2))
    path = save(tmp_path / "plate.exr", np.concatenate((light, np.ones((24, 32, 1)), depth), 2).astype(np.float16))
    with open_image(path, Settings(linearized="linear-rec709")) as opened:
        rows = opened.rows(0, 24)
        others = [i for i in range(opened.spec.nchannels) if i not in (*opened.color, opened.alpha)]
        np.testing.assert_array_equal(rows[:, :, others], depth.astype(np.float16))
        np.testing.assert_allclose(rows[:, :, list(opened.color)], encode_srgb(light), atol=5e-4)


def test_a_working_space_must_be_linear_and_known(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    replace_network(monkeypatch)
    save(tmp_path / "a.png", plate())
    for space, word in (("sRGB - Texture", "not scene-linear"), ("nowhere", "neither built in")):
        ran = batch("a.png", "-o", "out", "--linearized", space)
        assert ran.code == 2
        assert word in ran.complaint
    with pytest.raises(UsageError):
        Expander(Settings(linearized="nowhere"), engine=BoxEngine())


def test_the_batch_takes_linearized_plates(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    codes = plate(6, 40, 40)
    linear_copy(tmp_path / "in" / "a.exr", codes)
    save(tmp_path / "in" / "b.png", codes)
    replace_network(monkeypatch)
    assert batch("in/a.exr", "-o", "out", "--linearized", "linear-rec709").code == 0
    assert batch("in/b.png", "-o", "out").code == 0
    a, b = (pixels_of(tmp_path / "out" / f"{name}.exr")[:, :, :3] for name in "ab")
    np.testing.assert_allclose(a, b, rtol=3 * HALF_STEP, atol=1e-4)


@pytest.mark.parametrize("name", ["srgb", "bt1886", "adobe-rgb"])
def test_codes_of_half_floats_are_those_of_the_same_floats(name):
    halves = np.arange(65535, dtype=np.uint16).view(np.float16).reshape(-1, 1, 3)
    recoder = Recoder(input_encoding(name), "linear-rec709")
    np.testing.assert_array_equal(recoder(halves), recoder(halves.astype(np.float32)))
