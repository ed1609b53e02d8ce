"""Convert PyTorch state dicts, such as the authors' released weights, into safetensors with a contract."""

from __future__ import annotations

import pickle
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.errors import WeightsError
from expandnet_ofx.weights import AUTHORS, Contract, Weights, check_state, expected_shapes, load_weights, save_weights

MOST_BYTES = 64 << 20
"""Of an archive whose check sums are looked at: twenty times what ExpandNet takes."""

UNPICKLING_FAILURES = (
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
    save_weights(target, state, contract)
    return load_weights(target)


def _check_sums(source: Path) -> None:
    """Raise `WeightsError` if a part of the archive is not what its check sum says, which PyTorch does not look at."""
    try:
        with ZipFile(source) as archive:
            parts = archive.infolist()
            # As PyTorch writes them; a small archive of others can name parts of any size.
            plain = all(part.compress_type == ZIP_STORED for part in parts)
            damaged = archive.testzip() if plain and sum(part.file_size for part in parts) <= MOST_BYTES else None
    except (OSError, EOFError, BadZipFile, RuntimeError, ValueError):
        # Files of old PyTorch are none; and what else is wrong shows when it is read.
        return
    if damaged is not None:
        raise WeightsError(f"{source}: damaged at {damaged}; copy it again")


def _plain_state(source: Path) -> dict[str, NDArray[np.float32]]:
    import torch

    refused = f"{source}: refused, not a plain state dict of tensors (nothing in it was run)"
    _check_sums(source)
    try:
        with warnings.catch_warnings():
            # A damaged archive makes the unpickler warn before it fails; the failure says it all.
            warnings.simplefilter("ignore")
            loaded = torch.load(source, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"{source}: cannot be read ({error.strerror or error}); check the path") from error
    except UNPICKLING_FAILURES as error:
        raise WeightsError(refused) from error
    if not isinstance(loaded, Mapping) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise WeightsError(refused)
    shapes = expected_shapes()
    state = {}
    for name, value in loaded.items():
        # Before anything is copied: a small file can name a tensor of any size.
        held = value.layout == torch.strided and value.device.type == "cpu"
        fits = held and value.is_floating_point() and shapes.get(name) == tuple(value.shape)
        if not fits:
            raise WeightsError(f"{source}: of another network, {name} is {value.dtype} {tuple(value.shape)}")
        state[str(name)] = value.detach().to(torch.float32).contiguous().numpy()
    return state
