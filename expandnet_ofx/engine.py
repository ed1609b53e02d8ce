"""What runs the network: the contract of an engine, and how one is chosen."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.errors import UsageError
from expandnet_ofx.weights import Weights

Array = NDArray[np.float32]

ENGINES = ("torch", "openvino")
PRECISIONS = ("fp32", "mixed", "half")


class Engine(Protocol):
    """Runs the network on arrays; holds weights and a device, nothing about any plate."""

    name: str
    """`torch` or `openvino`."""
    device: str
    """Device it runs on, such as `cpu` or `cuda:0`."""
    precision: str
    """One of `PRECISIONS`."""
    weights: Weights
    workers: int
    """Tiles that the engine likes to run at once, each in a thread of its own."""

    tile: int
    """Edge in pixels of the tiles that suit it."""

    def enter_worker(self) -> None:
        """Prepare the calling thread for running whole tiles."""
        ...

    def global_features(self, proxy: Array) -> Array:
        """Return the global vector (64,) of a reduced plate (256, 256, 3), float32 in [0, 1]."""
        ...

    def expand(self, tile: Array, features: Array) -> Array:
        """Return predicted light (H, W, 3) float32 of an encoded tile (H + 16, W + 16, 3) float32 in [0, 1].

        Raises:
            OutOfMemoryError: the tile does not fit; a smaller one may.
        """
        ...


def open_engine(
    weights: Weights, *, engine: str = "torch", device: str = "auto", precision: str = "fp32", threads: int = 0
) -> Engine:
    """Build an engine.

    Args:
        engine: `torch`, or `openvino` for CPU farms (an optional package; needs no torch).
        device: `auto` (CUDA where there is one, else CPU), `cpu`, `cuda` or `cuda:N`.
        precision: `fp32` exact; `mixed` rounds the input of the 64-channel 3x3 layers to bfloat16; `half` runs all but
            the first and last operations in half precision.
        threads: processors to use; 0 for all that this process may use.

    Raises:
        UsageError: a name is unknown or the engine cannot do what is asked.
        DeviceError: the device is not there.
        MissingExtraError: the engine's package is not installed.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"--precision {precision}: not known; use one of {', '.join(PRECISIONS)}")
    if engine == "torch":
        from expandnet_ofx.engine_torch import TorchEngine

        return TorchEngine(weights, device=device, precision=precision, threads=threads)
    if engine == "openvino":
        from expandnet_ofx.engine_openvino import OpenVinoEngine

        return OpenVinoEngine(weights, device=device, precision=precision, threads=threads)
    raise UsageError(f"--engine {engine}: not known; use one of {', '.join(ENGINES)}")
