"""Weights and their contract: what a set of parameters expects of a plate and what its output means."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.architecture import BOLDNESS, FEATURES, PARAMETERS, TAIL, boldness_basis
from expandnet_ofx.errors import WeightsError
from expandnet_ofx.partials import new_file
from expandnet_ofx.tail import SIZE, tail

DEFAULT_WEIGHTS = Path(__file__).parent / "weights" / "expandnet_log_v4.safetensors"
"""The weights that ship inside the package; their model card lies beside them."""

MAX_BYTES = 64 << 20
"""A file larger than this cannot be ExpandNet (1.8 MB) and is refused before it is read."""

FORMAT = "expandnet-1"


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What weights expect of a plate and what their output means; stored as metadata in the safetensors file."""

    name: str
    """Name shown to users."""
    input_encoding: Literal["srgb"] = "srgb"
    """Encoding the network sees: display-linear light through the sRGB curve (IEC 61966-2-1)."""
    input_stretch: bool = False
    """True if each plate is stretched to its own minimum and maximum first (the authors' weights)."""
    antialias: bool = True
    """True if the plate is reduced to 256 x 256 with an anti-aliased filter."""
    output_curve: Literal["linear", "log"] = "log"
    """`linear`: light = y, relative. `log`: light = peak * (2^(stops * y) - 1) / (2^stops - 1), 1 = display white."""
    output_peak: float = 4096.0
    """Light at y = 1 for the `log` curve."""
    output_stops: float = 20.0
    """Range of the `log` curve in stops."""
    boldness: float | None = None
    """Default of the boldness knob, in (0, 1); None for weights without one."""
    tail: bool = False
    """True if the network is told how the plate's histogram comes in below white, see `expandnet_ofx.tail`."""

    @property
    def absolute(self) -> bool:
        """True if a prediction of 1 means the plate's display white."""
        return self.output_curve == "log"

    def to_light(self, y: Any, xp: Any) -> Any:
        """Turn sigmoid outputs in [0, 1] (any shape, float32) into linear light; `xp` is numpy or torch."""
        if self.output_curve == "linear":
            return y
        scale = self.output_peak / (2.0**self.output_stops - 1.0)
        return (xp.exp2(y * self.output_stops) - 1.0) * scale

    def to_metadata(self) -> dict[str, str]:
        """Return the metadata entries of this contract."""
        fields = {name: str(value) for name, value in asdict(self).items()}
        fields["input_stretch"] = "yes" if self.input_stretch else "no"
        fields["global_reduction"] = "bilinear 256x256, " + ("anti-aliased" if self.antialias else "plain")
        del fields["antialias"]
        if self.boldness is None:
            del fields["boldness"]
        if not self.tail:
            del fields["tail"]
        else:
            fields["tail"] = "yes"
        return {"format": FORMAT, **fields}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], *, path: object) -> Contract:
        """Read a contract; raise `WeightsError` naming the entry that is missing or not understood."""
        if metadata.get("format") != FORMAT:
            raise WeightsError(
                f"{path}: no {FORMAT} contract in its metadata; convert it with 'expandnet weights import'"
            )
        allowed: dict[str, set[str | None]] = {
            "input_encoding": {"srgb"},
            "input_stretch": {"yes", "no"},
            "output_curve": {"linear", "log"},
            "tail": {"yes", None},
        }
        for entry, values in allowed.items():
            if metadata.get(entry) not in values:
                raise WeightsError(f"{path}: contract entry {entry} is {metadata.get(entry)!r}, not one of {values}")
        reduction = metadata.get("global_reduction", "")
        if not reduction.startswith("bilinear 256x256, "):
            raise WeightsError(f"{path}: contract entry global_reduction is {reduction!r}, which is not known here")
        try:
            peak, stops = (float(metadata.get(entry, "nan")) for entry in ("output_peak", "output_stops"))
        except ValueError:
            peak = stops = float("nan")
        if metadata["output_curve"] == "log" and not (0 < peak <= 65504 and 1 <= stops <= 40):
            raise WeightsError(f"{path}: the log curve needs output_peak in (0, 65504] and output_stops in [1, 40]")
        boldness = _boldness(metadata.get("boldness"), path)
        return cls(
            name=metadata.get("name") or Path(str(path)).stem,
            input_stretch=metadata["input_stretch"] == "yes",
            antialias="anti-aliased" in reduction,
            output_curve="log" if metadata["output_curve"] == "log" else "linear",
            output_peak=peak if peak == peak else 1.0,
            output_stops=stops if stops == stops else 0.0,
            boldness=boldness,
            tail=metadata.get("tail") == "yes",
        )


def _boldness(entry: str | None, path: object) -> float | None:
    if entry is None:
        return None
    try:
        boldness = float(entry)
    except ValueError:
        boldness = float("nan")
    if not 0 < boldness < 1:
        raise WeightsError(f"{path}: contract entry boldness is {entry!r}, not a number between 0 and 1")
    return boldness


AUTHORS = Contract(
    name="expandnet_authors",
    input_stretch=True,
    antialias=False,
    output_curve="linear",
    output_peak=1.0,
    output_stops=0.0,
)
"""Contract of the weights released with the paper, as the authors' program uses them."""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Checked parameters with their contract."""

    state: Mapping[str, NDArray[np.float32]]
    """Parameters named as in `PARAMETERS`, float32."""
    contract: Contract
    sha256: str
    """SHA-256 of the file, hexadecimal."""

    def condition(
        self, features: NDArray[np.float32], boldness: float | None, proxy: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return a global vector (64,) moved by what the weights are told beside the plate; the same one if that is nothing.

        Args:
            features: the global vector.
            boldness: the knob in (0, 1), None for its default; without effect on weights without a knob.
            proxy: the reduced plate that the vector was made from, (256, 256, 3) in [0, 1].
        """
        if self.contract.boldness is not None:
            chosen = self.contract.boldness if boldness is None else boldness
            knob = np.array(boldness_basis(chosen), np.float32)
            features = np.asarray(features + self.state[BOLDNESS] @ knob, np.float32)
        if self.contract.tail:
            told = np.asarray(tail(proxy.reshape(1, -1, 3).swapaxes(1, 2), np)[0], np.float32)
            features = np.asarray(features + self.state[TAIL] @ told, np.float32)
        return features


def load_weights(path: Path | str | None = None) -> Weights:
    """Load and check a safetensors file; without a path, the weights that ship with the package.

    Raises:
        WeightsError: the file is missing, corrupt, of another network, or holds values that are not finite.
    """
    from safetensors import SafetensorError, safe_open
    from safetensors.numpy import load

    path = Path(path) if path is not None else DEFAULT_WEIGHTS
    if path.suffix in (".pth", ".pt", ".ckpt", ".pkl"):
        raise WeightsError(f"{path}: pickled weights are not loaded; convert them: expandnet weights import {path}")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise WeightsError(f"{path}: larger than {MAX_BYTES >> 20} MiB, so not ExpandNet weights")
        data = path.read_bytes()
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
        state = load(data)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path}: not a sound safetensors file ({error}); copy it again") from error
    contract = Contract.from_metadata(metadata, path=path)
    check_state(state, path, contract)
    return Weights(state=state, contract=contract, sha256=hashlib.sha256(data).hexdigest())


def expected_shapes(contract: Contract = AUTHORS) -> dict[str, tuple[int, ...]]:
    """Return the shape of every parameter of the network, weights and biases, and of what a contract adds."""
    expected = {f"{name}.weight": shape for name, shape in PARAMETERS.items()}
    expected |= {f"{name}.bias": shape[:1] for name, shape in PARAMETERS.items()}
    if contract.boldness is not None:
        expected[BOLDNESS] = (FEATURES, 2)
    if contract.tail:
        expected[TAIL] = (FEATURES, SIZE)
    return expected


def check_state(state: Mapping[str, NDArray[Any]], path: object, contract: Contract = AUTHORS) -> None:
    """Raise `WeightsError` unless a state dict is ExpandNet's: names, shapes, float32, finite."""
    expected = expected_shapes(contract)
    if missing := sorted(expected.keys() - state.keys()):
        raise WeightsError(f"{path}: of another network, {missing[0]} and {len(missing) - 1} more are missing")
    if extra := sorted(state.keys() - expected.keys()):
        raise WeightsError(f"{path}: of another network, {extra[0]} is not part of ExpandNet")
    for name, shape in expected.items():
        value = state[name]
        if value.shape != shape or value.dtype != np.float32:
            raise WeightsError(f"{path}: {name} is {value.dtype} {value.shape}, expected float32 {shape}")
        if not np.isfinite(value).all():
            raise WeightsError(f"{path}: {name} holds values that are not finite; copy the file again")


def save_weights(path: Path, state: Mapping[str, NDArray[np.float32]], contract: Contract) -> None:
    """Write weights with their contract; the file appears only when complete, equal weights give equal bytes.

    Raises:
        WeightsError: the state is not ExpandNet's, or the file cannot be written.
    """
    check_state(state, path, contract)
    try:
        with new_file(path) as partial:
            partial.write_bytes(_sorted_file(state, contract.to_metadata()))
    except OSError as error:
        raise WeightsError(f"{path}: cannot be written ({error.strerror or error})") from error


def _sorted_file(state: Mapping[str, NDArray[np.float32]], metadata: Mapping[str, str]) -> bytes:
    """Return a safetensors file whose bytes depend on its content alone (the library writes metadata in any order)."""
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    body, offset = [], 0
    for name in sorted(state):
        data = state[name].astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": state[name].shape, "data_offsets": [offset, offset + len(data)]}
        body.append(data)
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(body)
