from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import struct
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import plain_network
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from expandnet_ofx.architecture import BOLDNESS, TAIL
from expandnet_ofx.errors import WeightsError
from expandnet_ofx.weights import AUTHORS, DEFAULT_WEIGHTS, MAX_BYTES, Contract, load_weights, save_weights
from expandnet_ofx.weights_import import import_pth

LOG = Contract(name="set seven", output_peak=1000.0, output_stops=16.0, antialias=False)


def numpy_state(seed: int = 5) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in plain_network.random_state(seed).items()}


def refusal(action, path: Path) -> str:
    """Run an action that must refuse a file; return its message, which is one line that names the path."""
    with pytest.raises(WeightsError) as caught:
        action()
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert message.isprintable()
    return message


class Hostile:
    """Creates a file when it is unpickled without restraint."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def test_the_shipped_weights_say_what_they_are():
    weights = load_weights()
    contract = weights.contract
    assert contract.absolute
    assert (contract.output_curve, contract.output_peak, contract.output_stops) == ("log", 4096, 20)
    assert contract.antialias
    assert not contract.input_stretch
    assert weights.sha256 == hashlib.sha256(DEFAULT_WEIGHTS.read_bytes()).hexdigest()
    # The layers of the paper, and what moves the global vector by the knob and by the tail of the histogram.
    assert sum(value.size for value in weights.state.values()) == 456_899 + 64 * (2 + 15)
    assert contract.boldness == 0.75


@pytest.mark.parametrize("contract", [LOG, AUTHORS, Contract(name="x", input_stretch=True)])
def test_a_contract_survives_its_file(contract, tmp_path):
    state = numpy_state()
    save_file(state, tmp_path / "w.safetensors", metadata=contract.to_metadata())
    weights = load_weights(tmp_path / "w.safetensors")
    assert weights.contract == contract
    assert weights.state.keys() == state.keys()
    assert all(np.array_equal(weights.state[name], value) for name, value in state.items())


@pytest.mark.parametrize(
    ("contract", "name", "numbers"),
    [(Contract(name="knob", boldness=0.65), BOLDNESS, 2), (Contract(name="told", tail=True), TAIL, 15)],
)
def test_what_weights_are_told_is_part_of_the_contract(tmp_path, contract, name, numbers):
    state = {**numpy_state(), name: np.ones((64, numbers), np.float32)}
    save_weights(tmp_path / "w.safetensors", state, contract)
    weights = load_weights(tmp_path / "w.safetensors")
    assert weights.contract == contract
    assert np.array_equal(weights.state[name], state[name])
    for wrong, other in ((numpy_state(), contract), (state, Contract(name="none"))):
        message = refusal(lambda w=wrong, o=other: save_weights(tmp_path / "x.safetensors", w, o), tmp_path)
        assert name in message
    assert not {"boldness", "tail"} & Contract(name="none").to_metadata().keys()


@settings(max_examples=50, deadline=None)
@given(
    stretch=st.booleans(),
    antialias=st.booleans(),
    peak=st.floats(2**-10, 65504),
    stops=st.floats(1, 40),
    name=st.text(min_size=1, max_size=20),
)
def test_any_contract_survives_its_metadata(stretch, antialias, peak, stops, name):
    contract = Contract(name=name, input_stretch=stretch, antialias=antialias, output_peak=peak, output_stops=stops)
    metadata = contract.to_metadata()
    assert all(isinstance(value, str) for value in metadata.values())
    assert Contract.from_metadata(metadata, path="x") == contract


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("format", "expandnet-99"),
        ("input_encoding", "pq"),
        ("input_stretch", "perhaps"),
        ("output_curve", "cubic"),
        ("global_reduction", "nearest 128x128"),
        ("output_peak", "bright"),
        ("output_peak", "-1"),
        ("output_peak", "1e9"),
        ("output_peak", "nan"),
        ("output_stops", "0"),
        ("boldness", "bold"),
        ("boldness", "0"),
        ("boldness", "1.5"),
        ("output_stops", "inf"),
        ("tail", "perhaps"),
    ],
)
def test_a_contract_that_is_not_understood_is_refused(entry, value, tmp_path):
    path = tmp_path / "w.safetensors"
    good = replace(LOG, boldness=0.5, tail=True).to_metadata()
    state = {**numpy_state(), BOLDNESS: np.zeros((64, 2), np.float32), TAIL: np.zeros((64, 15), np.float32)}
    for metadata in (good | {entry: value}, {k: v for k, v in good.items() if k != entry}):
        save_file(state, path, metadata=metadata)
        refusal(lambda: load_weights(path), path)


def test_the_authors_file_is_imported(authors_pth, authors_weights, tmp_path):
    released = torch.load(authors_pth, map_location="cpu", weights_only=True)
    assert authors_weights.contract == AUTHORS
    assert not authors_weights.contract.absolute
    assert authors_weights.contract.input_stretch
    assert not authors_weights.contract.antialias
    assert authors_weights.state.keys() == released.keys()
    assert all(np.array_equal(authors_weights.state[name], value.numpy()) for name, value in released.items())


def test_importing_twice_writes_the_same_file_and_leaves_nothing_else(tmp_path):
    torch.save(plain_network.random_state(9), tmp_path / "net.pth")
    (tmp_path / "out").mkdir()
    one = import_pth(tmp_path / "net.pth", tmp_path / "out" / "a.safetensors")
    two = import_pth(tmp_path / "net.pth", tmp_path / "out" / "b.safetensors")
    assert one.sha256 == two.sha256
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.safetensors", "b.safetensors"]
    assert all(np.array_equal(one.state[name], v.numpy()) for name, v in plain_network.random_state(9).items())


def test_pickled_weights_are_sent_to_the_import(tmp_path):
    path = tmp_path / "net.pth"
    torch.save(plain_network.random_state(9), path)
    assert f"expandnet weights import {path}" in refusal(lambda: load_weights(path), path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    path = tmp_path / "none.safetensors"
    assert "No such file" in refusal(lambda: load_weights(path), path)
    refusal(lambda: load_weights(tmp_path), tmp_path)
    source = tmp_path / "none.pth"
    refusal(lambda: import_pth(source, path), source)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 100, 5000, 1_000_000, -1])
def test_a_truncated_file_is_refused(size, tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(DEFAULT_WEIGHTS.read_bytes()[:size])
    refusal(lambda: load_weights(path), path)


@pytest.mark.parametrize(
    "content",
    [
        b"\x00" * 64,
        b"\xff" * 64,
        b"not weights at all\n" * 50,
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 9) + b'{"a":"b"}',
        struct.pack("<Q", 1 << 40) + b"{}",
        struct.pack("<Q", 2) + b"\xff\xfe",
        struct.pack("<Q", 2) + b"{}",
    ],
)
def test_garbage_is_refused(content, tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    refusal(lambda: load_weights(path), path)


def header_of(data: bytes) -> tuple[dict, bytes]:
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3", "I32", "BOOL", "Q99"])
def test_parameters_of_another_type_are_refused(dtype, tmp_path):
    path = tmp_path / "w.safetensors"
    state = numpy_state()
    save_file(state, path, metadata=LOG.to_metadata())
    header, body = header_of(path.read_bytes())
    header["local_net.0.0.bias"]["dtype"] = dtype
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    refusal(lambda: load_weights(path), path)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_header_is_refused_or_harmless(data, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "flipped.safetensors"
    content = bytearray(DEFAULT_WEIGHTS.read_bytes())
    (length,) = struct.unpack("<Q", content[:8])
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, 7 + length))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        weights = load_weights(path)
    except WeightsError as error:
        assert str(path) in str(error)
        assert "\n" not in str(error)
    else:
        assert sum(value.size for value in weights.state.values()) == 456_899 + 64 * (2 + 15)


OTHER = "mid_net.1.0.weight"


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.pop(OTHER),
        lambda state: state.update({"mid_net.9.weight": state[OTHER]}),
        lambda state: state.update({OTHER: state[OTHER][:32].copy()}),
        lambda state: state.update({OTHER: state[OTHER].reshape(64, 9, 64)}),
    ],
    ids=["missing", "extra", "fewer", "reshaped"],
)
def test_another_network_is_refused(change, tmp_path):
    path, pickled = tmp_path / "w.safetensors", tmp_path / "w.pth"
    state = numpy_state()
    change(state)
    save_file(state, path, metadata=LOG.to_metadata())
    torch.save({key: torch.from_numpy(value) for key, value in state.items()}, pickled)
    assert "mid_net" in refusal(lambda: load_weights(path), path)
    assert "mid_net" in refusal(lambda: import_pth(pickled, tmp_path / "out.safetensors"), pickled)
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_parameters_of_another_precision_are_refused(dtype, tmp_path):
    path = tmp_path / "w.safetensors"
    state = numpy_state()
    save_file(state | {OTHER: state[OTHER].astype(dtype)}, path, metadata=LOG.to_metadata())
    assert OTHER in refusal(lambda: load_weights(path), path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(value, tmp_path):
    path = tmp_path / "w.safetensors"
    state = numpy_state()
    state["glob_net.3.0.bias"][17] = value
    save_file(state, path, metadata=LOG.to_metadata())
    assert "glob_net.3.0.bias" in refusal(lambda: load_weights(path), path)
    torch.save({key: torch.from_numpy(entry) for key, entry in state.items()}, tmp_path / "w.pth")
    refusal(lambda: import_pth(tmp_path / "w.pth", tmp_path / "out.safetensors"), tmp_path / "w.pth")
    assert not (tmp_path / "out.safetensors").exists()


def test_a_file_of_impossible_size_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "w.safetensors"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    assert f"{MAX_BYTES >> 20} MiB" in refusal(lambda: load_weights(path), path)


def write_hostile(path: Path, marker: Path, form: str) -> None:
    state = dict(plain_network.random_state(9)) | {"extra": Hostile(marker)}
    if form == "pickle 2":
        path.write_bytes(pickle.dumps(Hostile(marker), 2))
    elif form == "pickle 4":
        path.write_bytes(pickle.dumps(Hostile(marker), 4))
    elif form == "old torch":
        torch.save(state, path, _use_new_zipfile_serialization=False)
    elif form == "torch":
        torch.save(state, path)
    elif form == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(Hostile(marker), 2))
            archive.writestr("archive/version", "3")


@pytest.mark.parametrize("form", ["pickle 2", "pickle 4", "old torch", "torch", "zip"])
def test_a_hostile_pickle_is_refused_and_never_run(form, tmp_path):
    marker, path, target = tmp_path / "marker", tmp_path / "net.pth", tmp_path / "net.safetensors"
    write_hostile(path, marker, form)
    refusal(lambda: import_pth(path, target), path)
    refusal(lambda: load_weights(path), path)
    renamed = tmp_path / "renamed.safetensors"
    os.link(path, renamed)
    refusal(lambda: load_weights(renamed), renamed)
    assert not marker.exists()
    assert not target.exists()
    if form.startswith("pickle"):
        pickle.loads(path.read_bytes())
        assert marker.exists(), "the file is as dangerous as this test believes"


@pytest.mark.parametrize("size", [0, 1, 100, 20_000, 1_800_000])
@pytest.mark.parametrize("new", [True, False])
def test_a_truncated_pickle_is_refused(size, new, tmp_path):
    path = tmp_path / "net.pth"
    torch.save(plain_network.random_state(9), path, _use_new_zipfile_serialization=new)
    path.write_bytes(path.read_bytes()[:size])
    refusal(lambda: import_pth(path, tmp_path / "net.safetensors"), path)


@pytest.mark.parametrize("new", [True, False])
def test_a_damaged_pickle_is_refused_or_harmless(new, tmp_path):
    whole, path = io.BytesIO(), tmp_path / "net.pth"
    torch.save(plain_network.random_state(9), whole, _use_new_zipfile_serialization=new)
    rng = np.random.default_rng(0)
    leaks = []
    for _ in range(120):
        content = bytearray(whole.getvalue())
        for position in rng.integers(0, 4000, rng.integers(1, 5)):
            content[position] = rng.integers(0, 256)
        path.write_bytes(content)
        try:
            import_pth(path, tmp_path / "net.safetensors")
        except WeightsError as error:
            assert str(path) in str(error)
            assert "\n" not in str(error)
        except Exception as error:  # noqa: BLE001 - whatever else comes out is what this test looks for
            leaks.append(repr(error)[:80])
    assert leaks == []


@pytest.mark.parametrize(
    "content",
    [
        [1, 2, 3],
        torch.zeros(3),
        {"local_net.0.0.weight": 1.0},
        {"state_dict": {"local_net.0.0.weight": torch.zeros(64, 3, 3, 3)}},
        {"epoch": 3, "net": torch.zeros(1)},
        {},
    ],
)
def test_anything_but_a_plain_state_dict_is_refused(content, tmp_path):
    path = tmp_path / "net.pth"
    torch.save(content, path)
    refusal(lambda: import_pth(path, tmp_path / "net.safetensors"), path)


@pytest.mark.parametrize(
    "odd",
    [
        torch.zeros(1).expand(1 << 46),
        torch.eye(64).to_sparse(),
        torch.zeros(64, dtype=torch.complex64),
    ],
    ids=["a tensor that would fill the memory", "sparse", "complex"],
)
def test_tensors_that_no_network_holds_are_refused(odd, tmp_path):
    path = tmp_path / "net.pth"
    torch.save(plain_network.random_state(9) | {"local_net.0.0.bias": odd}, path)
    refusal(lambda: import_pth(path, tmp_path / "net.safetensors"), path)


def test_any_bit_of_an_archive_that_is_wrong_is_seen(tmp_path):
    path, rng = tmp_path / "net.pth", np.random.default_rng(1)
    torch.save(plain_network.random_state(9), path)
    whole = path.read_bytes()
    sound = import_pth(path, tmp_path / "sound.safetensors").sha256
    refused = 0
    for position in rng.integers(5000, len(whole) - 20000, 20):
        content = bytearray(whole)
        content[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)
        try:
            assert import_pth(path, tmp_path / "net.safetensors").sha256 == sound, "padding between parts"
        except WeightsError as error:
            refused += "damaged at" in str(error)
    assert refused > 15


def test_an_import_makes_folders_and_into_the_wrong_place_is_refused(tmp_path):
    source = tmp_path / "net.pth"
    torch.save(plain_network.random_state(9), source)
    assert import_pth(source, tmp_path / "none" / "net.safetensors")
    for target in (tmp_path / "net.pt", source / "net.safetensors"):
        refusal(lambda target=target: import_pth(source, target), target)


def test_saved_values_are_those_of_the_file(tmp_path):
    torch.save(plain_network.random_state(9), tmp_path / "net.pth")
    import_pth(tmp_path / "net.pth", tmp_path / "net.safetensors")
    read = load_file(tmp_path / "net.safetensors")
    assert all(np.array_equal(read[name], value.numpy()) for name, value in plain_network.random_state(9).items())
