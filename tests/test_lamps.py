"""The two knobs over recovered light: how bold it is meant to be, and suns and lamps by hand."""

from __future__ import annotations

import fakes
import numpy as np
import plain_network
import pytest

from expandnet_ofx import Analysis, Expander, Settings
from expandnet_ofx.architecture import BOLDNESS
from expandnet_ofx.errors import UsageError
from expandnet_ofx.lamps import broad_areas, lift_lamps
from expandnet_ofx.weights import Contract, Weights


def plate_of(*discs: tuple[int, int, int], size: tuple[int, int] = (270, 480)) -> np.ndarray:
    """A dark plate with clipped discs: center row, column, radius."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    plate = np.full((*size, 3), 40, np.uint8)
    for row, column, radius in discs:
        plate[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = 255
    return plate


def expander(**settings: object) -> Expander:
    return Expander(Settings(**settings), engine=fakes.BoxEngine(gain=8))  # type: ignore[arg-type]


def gained(plate: np.ndarray, stops: float, **settings: object) -> np.ndarray:
    """Stops that a plate gains by the knob, per pixel."""
    before, after = (expander(sun_stops=s, **settings)(plate).mean(2) for s in (0.0, stops))
    return np.log2(after / before)


@pytest.mark.parametrize("stops", [1.0, 3.5])
def test_a_lamp_gains_what_is_asked_for_and_a_window_nothing(stops: float) -> None:
    plate = plate_of((60, 60, 8), (150, 330, 60))
    found = gained(plate, stops)
    assert found[60, 60] == pytest.approx(stops, abs=1e-3)
    np.testing.assert_allclose(found[90:210, 270:390], 0, atol=0.02)
    assert np.abs(found[plate[:, :, 0] == 40]).max() == 0


def test_a_lamp_of_one_channel_or_half_clipped_is_no_sun() -> None:
    plate = plate_of((60, 60, 8))
    plate[plate[:, :, 0] == 255] = 255, 120, 30
    assert np.abs(gained(plate, 4.0)).max() == 0


def test_a_sun_beside_a_clipped_sky_belongs_to_it() -> None:
    plate = plate_of((110, 240, 10), (110, 60, 8))
    plate[:112] = np.where(np.arange(480)[None, :, None] > 150, 255, plate[:112])
    found = gained(plate, 3.0)
    assert found[110, 240] == pytest.approx(0, abs=0.01)
    assert found[110, 60] == pytest.approx(3, abs=1e-3)


def test_of_a_panorama_both_sides_are_one_area() -> None:
    # 20 pixels wide over the seam is a lamp, 36 are not, though neither half is as wide.
    plate = np.full((200, 400, 3), 40, np.uint8)
    plate[80:120, :10] = plate[80:120, -10:] = 255
    assert gained(plate, 2.0, latlong=True)[100, 2] == pytest.approx(2, abs=1e-3)
    plate[80:120, :18] = plate[80:120, -18:] = 255
    assert gained(plate, 2.0, latlong=True).max() == pytest.approx(0, abs=0.02)


def test_tiles_agree_with_the_whole_frame() -> None:
    plate = plate_of((60, 60, 8), (150, 330, 60), (30, 200, 3))
    whole, tiled = (expander(sun_stops=3.0, tile=t, feather=f)(plate) for t, f in ((None, 8), (64, 0)))
    np.testing.assert_allclose(tiled, whole, rtol=1e-5)


def test_a_map_is_one_over_the_whole_of_a_broad_area() -> None:
    matte = np.zeros((100, 200, 3), np.float32)
    matte[20:70, 50:110] = 1
    matte[44:46, 110:150] = 1
    matte[80:84, 20:24] = 1
    values = broad_areas(matte, wrap=False).values[:, :, 0]
    assert values[:, 190:].max() < 0.01, "but not the ground"
    assert values[20:70, 50:110].min() > 0.99, "its corners too"
    assert values[45, 115:148].min() > 0.6, "and what hangs on it"
    assert values[78:86, 18:26].max() == 0
    light = lift_lamps(np.zeros((1, 3), np.float32), np.array([[1, 0.5, 1]], np.float32), np.zeros((1, 1)), 4.0)
    np.testing.assert_array_equal(light, np.full((1, 3), 2))


def knob_weights(default: float) -> Weights:
    """Random weights whose light rises with the knob: the global vector moves along the gradient of the output."""
    state = {name: value.numpy() for name, value in plain_network.random_state(3).items()}
    fusion, out = state["end_net.0.0.weight"][:, 192:, 0, 0], state["end_net.1.weight"][:, :, 0, 0]
    upward = fusion.T @ out.sum(0)
    knob = np.stack((upward / np.linalg.norm(upward), np.zeros(64)), 1).astype(np.float32)
    contract = Contract(name="knob", boldness=default)
    return Weights(state={**state, BOLDNESS: knob}, contract=contract, sha256="4" * 64)


def test_the_knob_turns_and_an_analysis_remembers_it() -> None:
    weights, plate = knob_weights(0.5), plate_of((60, 60, 30), size=(120, 120))
    means = []
    for boldness in (0.1, 0.5, 0.9):
        expander_ = Expander(Settings(boldness=boldness, merge="full"), weights=weights)
        analysis = expander_.analyze(plate)
        assert analysis.settings["boldness"] == boldness
        assert Analysis.from_json(analysis.to_json()).settings["boldness"] == boldness
        means.append(float(expander_.render(plate, analysis).mean()) / 2**analysis.anchor)
    assert means[0] < means[1] < means[2]
    other = Expander(Settings(boldness=0.8, merge="full"), weights=weights)
    with pytest.raises(UsageError, match="another boldness"):
        other.render(plate, analysis)


def test_the_default_is_the_weights_own() -> None:
    weights, plate = knob_weights(0.7), plate_of((60, 60, 30), size=(120, 120))
    default = Expander(weights=weights).analyze(plate)
    assert default.settings["boldness"] == 0.7
    assert default == Expander(Settings(boldness=0.7), weights=weights).analyze(plate)


def test_weights_without_a_knob_say_so(random_weights: Weights) -> None:
    with pytest.raises(UsageError, match="random have no such knob"):
        Expander(Settings(boldness=0.5, merge="full"), weights=random_weights)
