from __future__ import annotations

import threading

import fakes
import numpy as np
import plain_network
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from expandnet_ofx import Expander, Settings, engine_torch
from expandnet_ofx.architecture import BOLDNESS, PARAMETERS, RADIUS, TAIL
from expandnet_ofx.engine import open_engine
from expandnet_ofx.engine_torch import TorchEngine, _exact_kernels
from expandnet_ofx.errors import DeviceError, OutOfMemoryError, UsageError
from expandnet_ofx.network import ExpandNet
from expandnet_ofx.weights import Contract, Weights
from expandnet_ofx.workers import Workers


def to_torch(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None]


def from_torch(tensor: torch.Tensor) -> np.ndarray:
    return tensor[0].permute(1, 2, 0).numpy()


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((height, width, 3), np.float32)


def with_sigmoid_output(weights: Weights) -> Weights:
    """The same parameters, whose prediction is left as the sigmoid's value."""
    return Weights(state=weights.state, contract=Contract(name="y", output_curve="linear"), sha256="2" * 64)


def test_parameters_number_as_many_as_the_released_network_has():
    network = ExpandNet()
    assert sum(parameter.numel() for parameter in network.parameters()) == 456_899
    assert sum(np.prod(shape) + shape[0] for shape in PARAMETERS.values()) == 456_899


def test_parameters_are_named_and_shaped_as_the_released_state_dict(authors_pth):
    released = torch.load(authors_pth, map_location="cpu", weights_only=True)
    ours = ExpandNet().state_dict()
    assert {name: value.shape for name, value in released.items()} == {name: v.shape for name, v in ours.items()}


def test_the_last_values_of_a_tile_do_not_depend_on_its_shape():
    x = to_torch(noise(5, 700)) * 8 - 4
    with torch.inference_mode():
        whole = engine_torch._in_whole_vectors(torch.sigmoid, x)
        for stop in range(1, 60):
            part = engine_torch._in_whole_vectors(torch.sigmoid, x[:, :, :, :stop])
            np.testing.assert_array_equal(part, whole[:, :, :, :stop])
    np.testing.assert_allclose(whole, 1 / (1 + np.exp(-x.numpy().astype(np.float64))), rtol=1e-6)


@pytest.mark.parametrize("name", ["torch", "openvino"])
def test_light_of_a_pixel_is_the_same_bits_in_every_tile(name, default_weights):
    """Who asks for which pixels depends on the number of workers and on who is idle; the result must not."""
    if name == "openvino":
        pytest.importorskip("openvino")
    engine = open_engine(default_weights, engine=name, device="cpu", threads=1)
    features, share = np.linspace(-1, 1, 64, dtype=np.float32), st.floats(0, 1)

    @given(
        height=st.integers(1, 140),
        width=st.integers(1, 60),
        across=st.tuples(share, share),
        down=st.tuples(share, share),
    )
    @example(height=18, width=19, across=(0, 1), down=(0.12, 1))
    @example(height=196, width=5, across=(0, 1), down=(0, 0.5))
    @example(height=77, width=22, across=(0, 1), down=(0.3, 0.45))
    @settings(max_examples=40, deadline=None)
    def check(height, width, across, down):
        tile = noise(height + 2 * RADIUS, width + 2 * RADIUS, seed=height)
        rows, columns = (
            slice(first := min(int(low * size), size - 1), max(int(high * size), first + 1))
            for (low, high), size in ((sorted(down), height), (sorted(across), width))
        )
        part = tile[rows.start : rows.stop + 2 * RADIUS, columns.start : columns.stop + 2 * RADIUS]
        whole = engine.expand(tile, features)
        np.testing.assert_array_equal(engine.expand(part, features), whole[rows, columns])

    check()


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (33, 17), (300, 270)])
def test_forward_equals_the_unfolded_layers(size):
    state = plain_network.random_state(1)
    x = to_torch(noise(*size))
    with torch.inference_mode():
        ours = ExpandNet.from_state({name: value.numpy() for name, value in state.items()})(x)
        expected = plain_network.plain_forward(state, x)
    assert expected.std() > 0.01
    assert (ours - expected).abs().max() <= 1e-5


def test_without_its_border_it_is_the_same_network():
    network = ExpandNet.from_state({name: value.numpy() for name, value in plain_network.random_state(2).items()})
    x = torch.cat([to_torch(noise(40, 33, seed)) for seed in (0, 1)])
    with torch.inference_mode():
        features = torch.from_numpy(np.random.default_rng(3).normal(size=(2, 64, 1, 1)).astype(np.float32))
        whole, inside = network.expand(x, features), network.expand_inside(x, features)
    assert inside.shape == (2, 3, 24, 17)
    assert (whole[:, :, RADIUS:-RADIUS, RADIUS:-RADIUS] - inside).abs().max() <= 1e-6


@pytest.mark.parametrize("told", [(BOLDNESS,), (TAIL,), (BOLDNESS, TAIL)])
def test_what_it_is_told_moves_the_global_vector_alike_in_training_and_product(random_weights, told):
    rng = np.random.default_rng(0)
    added = {BOLDNESS: rng.normal(size=(64, 2)), TAIL: rng.normal(size=(64, 15))}
    state = {**random_weights.state, **{name: added[name].astype(np.float32) for name in told}}
    contract = Contract(name="told", boldness=0.6 if BOLDNESS in told else None, tail=TAIL in told)
    weights = Weights(state=state, contract=contract, sha256="3" * 64)
    network, features = ExpandNet.from_state(state), rng.normal(size=64).astype(np.float32)
    proxy = noise(256, 256) ** 0.3
    for boldness in (0.1, 0.5, 0.9):
        vector, knob = torch.from_numpy(features).view(1, 64, 1, 1), torch.tensor([boldness])
        with torch.inference_mode():
            trained = network.condition(vector, knob, to_torch(proxy))
        moved = weights.condition(features, boldness, proxy)
        np.testing.assert_allclose(moved, trained.flatten().numpy(), atol=1e-5)
        assert np.abs(moved - features).max() > 0.1 or (boldness == 0.5 and TAIL not in told)
    np.testing.assert_array_equal(weights.condition(features, None, proxy), weights.condition(features, 0.6, proxy))
    dark = weights.condition(features, None, proxy / 8)
    assert np.array_equal(dark, weights.condition(features, None, proxy)) == (TAIL not in told)
    np.testing.assert_array_equal(random_weights.condition(features, None, proxy), features)


def test_forward_equals_the_unfolded_layers_with_the_released_weights(authors_pth, authors_weights):
    state = torch.load(authors_pth, map_location="cpu", weights_only=True)
    x = to_torch(noise(150, 90, 4) ** 2)
    with torch.inference_mode():
        ours = ExpandNet.from_state(authors_weights.state)(x)
        expected = plain_network.plain_forward(state, x)
    assert expected.std() > 0.01
    assert (ours - expected).abs().max() <= 1e-5


@pytest.mark.parametrize("name", ["bottles", "nancy", "oxford", "pecklake"])
def test_forward_equals_recorded_outputs_of_the_released_program(name, shared, authors_weights):
    folder = shared / "data" / "operators"
    recorded = np.load(folder / f"{name}_expandnet.npz")["forward"].astype(np.float32)
    codes = np.load(folder / f"{name}_input.npz")["ldr_u8"]
    stretched = fakes.map_range(codes.astype(np.float32)).astype(np.float32)
    with torch.inference_mode():
        ours = from_torch(ExpandNet.from_state(authors_weights.state)(to_torch(stretched)))
    # Recorded in half precision: 11 bits below 1.
    assert np.abs(ours - recorded).max() <= 2**-11


@pytest.mark.parametrize("engine", ["torch", "openvino"])
@pytest.mark.parametrize("which", ["random", "default", "authors"])
def test_a_folded_engine_equals_the_unfolded_layers_inside_the_halo(engine, which, request):
    if engine == "openvino":
        pytest.importorskip("openvino")
    weights = with_sigmoid_output(request.getfixturevalue(f"{which}_weights"))
    state = {name: torch.from_numpy(np.array(value)) for name, value in weights.state.items()}
    tile, proxy = noise(61, 77, 5), noise(256, 256, 6)
    runner = open_engine(weights, engine=engine, device="cpu")
    with torch.inference_mode():
        features = plain_network.plain_features(state, to_torch(proxy))
        whole = from_torch(plain_network.plain_expand(state, to_torch(tile), features))
    ours = runner.global_features(proxy)
    assert ours.shape == (64,)
    assert np.abs(ours - features.flatten().numpy()).max() <= 1e-5 * max(1.0, float(features.abs().max()))
    light = runner.expand(tile, features.flatten().numpy())
    # Padding in every layer touches the outer 8 pixels of the whole; a tile with its halo must not show any of it.
    assert light.shape == (45, 61, 3)
    assert light.dtype == np.float32
    assert np.abs(light - whole[8:-8, 8:-8]).max() <= 1e-5


def test_padding_reaches_past_a_halo_of_seven(random_weights):
    state = {name: torch.from_numpy(np.array(value)) for name, value in random_weights.state.items()}
    picture = noise(64, 64, 7)
    with torch.inference_mode():
        features = torch.zeros(1, 64, 1, 1)
        whole = from_torch(plain_network.plain_expand(state, to_torch(picture), features))

        def cut(halo: int) -> float:
            part = picture[20 - halo : 40 + halo, 20 - halo : 40 + halo]
            tile = from_torch(plain_network.plain_expand(state, to_torch(part), features))
            return float(np.abs(tile[halo:-halo, halo:-halo] - whole[20:40, 20:40]).max())

        assert cut(RADIUS) <= 1e-5
        assert cut(RADIUS - 1) > 1e-3


def test_a_pixel_reaches_eight_pixels_and_no_further():
    state = plain_network.random_state(2, torch.float64)
    network = ExpandNet().double()
    network.load_state_dict(state)
    x = torch.rand(1, 3, 41, 41, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    moved = x.clone()
    moved[..., 20, 20] += 0.5
    with torch.inference_mode():
        features = network.global_features(torch.rand(1, 3, 256, 256, dtype=torch.float64))
        change = (network.expand(moved, features) - network.expand(x, features)).abs().amax((0, 1))
    rows, columns = torch.nonzero(change, as_tuple=True)
    reach = [20 - int(rows.min()), int(rows.max()) - 20, 20 - int(columns.min()), int(columns.max()) - 20]
    assert reach == [8, 8, 8, 8]
    assert RADIUS == 8


def test_the_smallest_tile_is_one_pixel(random_weights):
    light = open_engine(random_weights, device="cpu").expand(noise(17, 17), np.zeros(64, np.float32))
    assert light.shape == (1, 1, 3)


def test_engines_agree(default_weights):
    pytest.importorskip("openvino")
    weights = with_sigmoid_output(default_weights)
    one, other = (open_engine(weights, engine=name, device="cpu") for name in ("torch", "openvino"))
    tile, proxy = noise(50, 90, 8), noise(256, 256, 9)
    features = one.global_features(proxy)
    assert np.abs(features - other.global_features(proxy)).max() <= 1e-5 * np.abs(features).max()
    assert np.abs(one.expand(tile, features) - other.expand(tile, features)).max() <= 1e-5


@pytest.mark.parametrize(("precision", "most"), [("mixed", 0.01), ("half", 0.04)])
def test_lower_precision_stays_within_its_documented_error(precision, most, default_weights, natural_plate):
    tile = natural_plate.astype(np.float32) / 255
    exact = open_engine(default_weights, device="cpu")
    rough = open_engine(default_weights, device="cpu", precision=precision)
    features = exact.global_features(tile[np.ix_(np.arange(256) * 144 // 256, np.arange(256) * 192 // 256)])
    want, got = exact.expand(tile, features), rough.expand(tile, features)
    chosen = want > 0.02
    stops = np.log2(got[chosen] / want[chosen])
    assert chosen.mean() > 0.5
    assert 0 < np.sqrt((stops**2).mean()) <= most
    assert abs(stops.mean()) <= most / 2


@pytest.mark.parametrize(
    ("capability", "precision", "told"),
    [
        ("AVX2", "mixed", True),
        ("AVX2", "half", True),
        ("AVX2", "fp32", False),
        ("AVX512", "mixed", False),
        ("DEFAULT", "half", False),
    ],
)
def test_a_precision_that_a_processor_imitates_is_advised_against(
    capability, precision, told, default_weights, monkeypatch
):
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: capability)
    advice = open_engine(default_weights, device="cpu", precision=precision).advice
    assert (advice is not None and f"--precision {precision}" in advice) == told


def on_a_device(engine: TorchEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an engine run the network as on a CUDA device, on the only one that is everywhere."""
    monkeypatch.setattr(engine, "_in_turn", True)
    monkeypatch.setattr("torch.cuda.empty_cache", lambda: None)


def test_on_a_device_one_thread_runs_the_network_and_light_stays(default_weights, natural_plate, monkeypatch):
    engine = TorchEngine(default_weights, device="cpu", threads=1)
    light = Expander(Settings(tile=48), engine=engine)(natural_plate)
    monkeypatch.setattr(engine, "workers", 4)
    on_a_device(engine, monkeypatch)
    run, threads = engine._folded, []

    def watched(x, features):
        threads.append((threading.get_ident(), torch.backends.cudnn.deterministic, torch.is_inference_mode_enabled()))
        return run(x, features)

    monkeypatch.setattr(engine, "_folded", watched)
    # Another expander asks the same thread.
    found = [Expander(Settings(tile=48), engine=engine)(natural_plate) for _ in range(2)]
    assert len(threads) > 10
    assert {*threads} == {(threads[0][0], True, True)}
    assert not torch.backends.cudnn.deterministic
    for each in found:
        np.testing.assert_array_equal(each, light)


@pytest.mark.parametrize("host", ["tf32", "ieee", "none"])
def test_convolutions_on_a_device_are_exact_whatever_the_host_has_set(host):
    everything, conv = torch.backends.cudnn, torch.backends.cudnn.conv
    before, conv.fp32_precision = conv.fp32_precision, host
    try:
        with _exact_kernels():
            assert conv.fp32_precision == "ieee"
            assert everything.deterministic
        assert conv.fp32_precision == host
        assert not everything.deterministic
    finally:
        conv.fp32_precision = before


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), OutOfMemoryError),
        (RuntimeError("GET was unable to find an engine to execute this computation"), OutOfMemoryError),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), OutOfMemoryError),
        (torch.AcceleratorError("CUDA error: out of memory"), OutOfMemoryError),
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nsee"), DeviceError),
        (RuntimeError("shapes do not match"), RuntimeError),
    ],
)
def test_what_a_device_says_of_its_memory_is_known(error, found, random_weights, monkeypatch):
    engine = TorchEngine(random_weights, device="cpu", threads=1)
    on_a_device(engine, monkeypatch)
    monkeypatch.setattr(engine, "_folded", lambda *_: (_ for _ in ()).throw(error))
    with pytest.raises(found) as told:
        engine.expand(np.zeros((40, 40, 3), np.float32), np.zeros(64, np.float32))
    assert "\n" not in str(told.value)


def test_a_device_takes_a_small_picture_whole_whatever_the_processors():
    engine = fakes.BoxEngine()
    for device, workers, strips in (("cpu", 6, 6), ("cuda:0", 1, 1), ("cuda:0", 4, 1)):
        engine.device, engine.workers = device, workers
        assert Workers(engine).strips == strips


def test_half_on_openvino_stays_within_its_documented_error(default_weights, natural_plate):
    pytest.importorskip("openvino")
    tile = natural_plate.astype(np.float32) / 255
    exact = open_engine(default_weights, engine="openvino", device="cpu")
    rough = open_engine(default_weights, engine="openvino", device="cpu", precision="half")
    features = np.zeros(64, np.float32)
    want, got = exact.expand(tile, features), rough.expand(tile, features)
    chosen = want > 0.02
    assert chosen.mean() > 0.25
    assert np.sqrt((np.log2(got[chosen] / want[chosen]) ** 2).mean()) <= 0.04


def test_the_log_curve_is_that_of_the_contract():
    y = np.array([0, 0.25, 0.5, 0.75, 1], np.float32)
    light = Contract(name="log").to_light(y, np)
    # H = 4096 (2^(20 y) - 1) / (2^20 - 1), by hand.
    assert light[0] == 0
    np.testing.assert_allclose(light[1:], [0.12109386, 3.9960976, 127.99622, 4096], rtol=1e-5)
    assert np.array_equal(Contract(name="linear", output_curve="linear").to_light(y, np), y)


def test_what_an_engine_cannot_do_is_an_error(random_weights):
    for options, error in (
        ({"device": "cuda:99"}, DeviceError),
        ({"device": "vulkan"}, DeviceError),
        ({"device": "mps"}, DeviceError),
        ({"precision": "int8"}, UsageError),
        ({"engine": "abacus"}, UsageError),
    ):
        with pytest.raises(error) as caught:
            open_engine(random_weights, **options)
        assert next(iter(options.values())) in str(caught.value)
