"""Convert PyTorch state dicts, such as the authors' released weights, into safetensors with a contract."""

from __future__ import annotations

import json
import pickle
import struct
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.errors import WeightsError
from expandnet_ofx.partials import partial_name
from expandnet_ofx.weights import AUTHORS, Contract, Weights, check_state, expected_shapes, load_weights

_UNPICKLING_FAILURES = (
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    MemoryError,
    struct.error,
)
"""What PyTorch's restricted unpickler is seen to raise on damaged or hostile files."""


def import_pth(source: Path | str, target: Path | str, *, contract: Contract = AUTHORS) -> Weights:
    """Convert a PyTorch state dict (such as the authors' `weights.pth`) into a safetensors file with a contract.

    The pickle is read with PyTorch's restricted unpickler, which builds tensors and refuses everything else.

    Raises:
        WeightsError: the file is missing, is not a plain state dict, or belongs to another network.
    """
    source, target = Path(source), Path(target)
    if target.suffix != ".safetensors":
        raise WeightsError(f"{target}: the output must end in .safetensors")
    state = _plain_state(source)
    check_state(state, source)
    partial = partial_name(target)
    try:
        partial.write_bytes(_sorted_file(state, contract.to_metadata()))
        partial.replace(target)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise WeightsError(f"{target}: cannot be written ({error.strerror or error})") from error
    return load_weights(target)


def _plain_state(source: Path) -> dict[str, NDArray[np.float32]]:
    import torch

    refused = f"{source}: refused, not a plain state dict of tensors (nothing in it was run)"
    try:
        with warnings.catch_warnings():
            # A damaged archive makes the unpickler warn before it fails; the failure says it all.
            warnings.simplefilter("ignore")
            loaded = torch.load(source, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"{source}: cannot be read ({error.strerror or error}); check the path") from error
    except _UNPICKLING_FAILURES as error:
        raise WeightsError(refused) from error
    if not isinstance(loaded, Mapping) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise WeightsError(refused)
    shapes = expected_shapes()
    state = {}
    for name, value in loaded.items():
        # Before anything is copied: a small file can name a tensor of any size.
        fits = value.layout == torch.strided and value.is_floating_point() and shapes.get(name) == tuple(value.shape)
        if not fits:
            raise WeightsError(f"{source}: of another network, {name} is {value.dtype} {tuple(value.shape)}")
        state[str(name)] = value.detach().to(torch.float32).contiguous().numpy()
    return state


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
