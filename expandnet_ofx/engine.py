"""What runs the network: the contract of an engine, and how one is chosen."""

from __future__ import annotations

import re
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.architecture import RADIUS
from expandnet_ofx.arrays import namespace
from expandnet_ofx.errors import DeviceError, OutOfMemoryError, UsageError
from expandnet_ofx.weights import Weights

Array = NDArray[np.float32]

ENGINES = ("torch", "openvino")
PRECISIONS = ("fp32", "mixed", "half")

DEVICE_BOX_MARGIN = 48
"""Margin in pixels that a box pays for on a device, where each run takes its own time, however small; an estimate."""

SMALLEST_SPLIT = 32
"""Edge in pixels below which a tile is not split again: the device has no room for anything useful."""


class Engine(Protocol):
    """Runs the network on arrays; holds weights and a device, nothing about any plate.

    Several threads may call it at once.
    """

    name: str
    """`torch` or `openvino`."""
    device: str
    """Device it runs on, such as `cpu` or `cuda:0`."""
    precision: str
    """One of `PRECISIONS`."""
    weights: Weights
    threads: int
    """Processors that it may use, and what is done beside it."""
    workers: int
    """Tiles that the engine likes to run at once, each in a thread of its own."""

    tile: int
    """Edge in pixels of the tiles that suit it."""

    advice: str | None
    """What to choose instead, where the processor is slow at what was chosen."""

    def to_device(self, array: Array) -> Array:
        """Return pixels or codes where work beside the network is done: on the device a tensor, else the array itself.

        uint16 becomes int32 there, other floats float32; what is there already stays as it is.
        """
        ...

    def enter_worker(self) -> None:
        """Prepare the calling thread for running whole tiles."""
        ...

    def global_features(self, proxy: Array) -> Array:
        """Return the global vector (64,) of a reduced plate (256, 256, 3), float32 in [0, 1]."""
        ...

    def expand(self, tile: Array, features: Array) -> Array:
        """Return predicted light (H, W, 3) float32 of an encoded tile (H + 16, W + 16, 3) float32 in [0, 1].

        Of a tile on the device the light is there as well.

        Raises:
            OutOfMemoryError: the tile does not fit; a smaller one may.
        """
        ...


def check_choices(engine: str, device: str, precision: str) -> None:
    """Raise what `open_engine` does of choices that no machine can honor: `UsageError`, or `DeviceError` of a device."""
    if precision not in PRECISIONS:
        raise UsageError(f"--precision {precision}: not known; use one of {', '.join(PRECISIONS)}")
    if engine not in ENGINES:
        raise UsageError(f"--engine {engine}: not known; use one of {', '.join(ENGINES)}")
    if not re.fullmatch(r"auto|cpu|cuda(:(0|[1-9]\d?))?", device):
        raise DeviceError(f"--device {device}: not known; use auto, cpu, cuda or cuda:N")
    if engine == "openvino" and device not in ("auto", "cpu"):
        raise DeviceError(f"--device {device}: the openvino engine runs on the CPU; use --engine torch")
    if engine == "openvino" and precision == "mixed":
        raise UsageError("--precision mixed: the openvino engine has fp32 and half; use --engine torch for mixed")


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
    check_choices(engine, device, precision)
    if not isinstance(threads, (int, np.integer)) or threads < 0:
        raise UsageError(f"threads {threads!r}: give a whole number of processors, 0 for all")
    if engine == "openvino":
        from expandnet_ofx.engine_openvino import OpenVinoEngine

        return OpenVinoEngine(weights, precision=precision, threads=threads)
    from expandnet_ofx.engine_torch import TorchEngine

    return TorchEngine(weights, device=device, precision=precision, threads=threads)


def box_margin(engine: Engine) -> int:
    """Return the margin in pixels that each box the network runs on pays for, see `boxes.cover`."""
    return RADIUS if engine.device == "cpu" else DEVICE_BOX_MARGIN


def expand_splitting(engine: Engine, tile: Array, features: Array) -> tuple[Array, int]:
    """Run the network on a tile read with its receptive field; where the device has no room, run its halves.

    Returns:
        Light (H, W, 3) of a tile (H + 16, W + 16, 3), and how often a part was split.

    Raises:
        OutOfMemoryError: not even a part of 32 pixels fits.
    """
    try:
        return engine.expand(tile, features), 0
    except OutOfMemoryError:
        height, width = tile.shape[0] - 2 * RADIUS, tile.shape[1] - 2 * RADIUS
        if max(height, width) < 2 * SMALLEST_SPLIT:
            raise
    axis, length = (0, height) if height >= width else (1, width)
    half = length // 2
    first = tile[: half + 2 * RADIUS] if axis == 0 else tile[:, : half + 2 * RADIUS]
    second = tile[half:] if axis == 0 else tile[:, half:]
    (upper, some), (lower, more) = (expand_splitting(engine, part, features) for part in (first, second))
    return namespace(upper).concatenate((upper, lower), axis), 1 + some + more
