"""The network in PyTorch, folded for inference, on CPU or CUDA."""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from expandnet_ofx.architecture import LOCAL_RADIUS, RADIUS, SELU_ALPHA, fold
from expandnet_ofx.arrays import beside, brought
from expandnet_ofx.engine import check_choices
from expandnet_ofx.errors import DeviceError, OutOfMemoryError
from expandnet_ofx.network import ExpandNet
from expandnet_ofx.weights import Weights
from expandnet_ofx.workers import usable_processors

Array = NDArray[np.float32]

T = TypeVar("T")

WIDE_LAYERS = ("local2", "mid2", "mid3", "mid4")
"""The 64-channel 3x3 layers: nine tenths of the arithmetic, so the only ones that `mixed` rounds."""

DEVICE_WORKERS = 4
"""Threads that queue the work of tiles on a device, so that it does not wait while one asks what it found; beside the
network each tile takes some 300 MB there."""

NO_ROOM = (
    "can't allocate memory",
    "CUDA error: out of memory",
    "unable to find an engine",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
"""What PyTorch says where memory ends, beside its own error: of cuDNN's kernels none finds room for its workspace."""

LOG2_E = math.log2(math.e)

VECTOR = 64
"""Numbers that PyTorch's vectors of all processors divide."""

LOCAL_ROWS = 64
"""Rows of a tile that pass the local branch at a time on the CPU, at most: with its 128 channels it would take most of a
tile's memory."""

FEWEST_PIXELS = 321
"""Pixels of a layer of 64 channels below which PyTorch computes it on the CPU by other means, and to other bits
(`ConvParams::use_mkldnn`: more than 20480 numbers)."""

ELU_BLOCK = 1 << 18
"""Values per block of the CPU's ELU: 1 MiB, so that its passes stay in the second-level cache."""


class _Process:
    """What is known of PyTorch's threads, of which a fork takes the state along, and none of them."""

    ran = False
    forked = False

    @classmethod
    def note_fork(cls) -> None:
        cls.forked = cls.forked or cls.ran

    @classmethod
    def note_run(cls) -> None:
        # A process in which operations have one thread, as on farms, has no others that could be missed.
        cls.ran = cls.ran or torch.get_num_threads() > 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Process.note_fork)


class TorchEngine:
    """An `Engine` on PyTorch; see `open_engine` for the arguments and errors."""

    name = "torch"

    def __init__(self, weights: Weights, *, device: str = "auto", precision: str = "fp32", threads: int = 0) -> None:
        if _Process.forked:
            raise DeviceError(
                "PyTorch ran in the process that this one was forked from, and would wait for its threads for ever; start "
                "processes by spawn"
            )
        _Process.note_run()
        self.weights = weights
        self.precision = precision
        self._device = open_device(device)
        self.device = str(self._device)
        cuda = self._device.type == "cuda"
        if cuda:
            # Matrices of colors and of the reduction are multiplied there too; containers may allow TF32 for that.
            torch.set_float32_matmul_precision("highest")
        narrow = torch.float16 if cuda and precision == "half" else torch.bfloat16
        self._narrow_layers = {"fp32": (), "mixed": WIDE_LAYERS, "half": (*WIDE_LAYERS, "fuse_local")}[precision]
        self._narrow = narrow
        self.threads = threads or usable_processors()
        self.workers = min(DEVICE_WORKERS, self.threads) if cuda else self.threads
        self.tile = 1024 if cuda else 256
        self.advice = None if cuda or precision == "fp32" else _advice(precision)
        self._in_turn = cuda
        self._local = threading.local()
        try:
            self._network = ExpandNet.from_state(weights.state).to(self._device)
            self._layers = {name: self._prepare(name, value) for name, value in fold(weights.state).items()}
        except RuntimeError as error:
            if not cuda:
                raise
            raise self._lost(error) from error

    def to_device(self, array: Array) -> Array:
        """Return a tensor on a device that is not the CPU; see `Engine.to_device`."""
        return array if self._device.type == "cpu" else to_tensor(array, self._device)

    def enter_worker(self) -> None:
        """Keep the operations of a tile in the tile's own thread."""
        torch.set_num_threads(1)

    def _run(self, call: Callable[..., T], *arguments: Any) -> T:
        """Call what runs the network: at once on the CPU, where tiles share nothing; in its turn on a device."""
        try:
            if self._in_turn:
                return _device_thread().submit(_exactly, call, *arguments).result()
            return call(*arguments)
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError) or any(text in str(error) for text in NO_ROOM):
                if self._in_turn:
                    torch.cuda.empty_cache()
                raise OutOfMemoryError(f"{self.device}: {error}") from error
            if isinstance(error, torch.AcceleratorError):
                raise self._lost(error) from error
            raise

    def _lost(self, error: RuntimeError) -> DeviceError:
        told = str(error).partition("\n")[0]
        return DeviceError(f"--device {self.device}: cannot be used ({told}); start again, or use --device cpu")

    def _prepare(self, name: str, value: Array) -> Tensor:
        tensor = torch.from_numpy(value).to(self._device)
        if name.split(".")[0] in self._narrow_layers:
            tensor = tensor.to(self._narrow)
        return tensor.to(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor

    def global_features(self, proxy: Array) -> Array:
        """Return the global vector (64,) of a reduced plate (256, 256, 3)."""
        return self._run(self._global_features, proxy)

    @torch.inference_mode()
    def _global_features(self, proxy: Array) -> Array:
        features: Array = self._network.global_features(self._picture(proxy)).flatten().cpu().numpy()
        return features

    def expand(self, tile: Array, features: Array) -> Array:
        """Return predicted light (H, W, 3) of an encoded tile (H + 16, W + 16, 3)."""
        return self._run(self._expand, tile, features)

    @torch.inference_mode()
    def _expand(self, tile: Array, features: Array) -> Array:
        y = self._folded(self._picture(tile), beside(self._layers["fuse.bias"], features))
        light = self._light(y)[0].permute(1, 2, 0)
        result: Array | Any = light if isinstance(tile, Tensor) else light.cpu().numpy()
        return result

    def _light(self, y: Tensor) -> Tensor:
        return _in_whole_vectors(lambda values: self.weights.contract.to_light(torch.sigmoid(values), torch), y)

    def _picture(self, array: Array | Tensor) -> Tensor:
        tensor = array if isinstance(array, Tensor) else torch.from_numpy(np.ascontiguousarray(array))
        return tensor[None].permute(0, 3, 1, 2).to(self._device, memory_format=torch.channels_last)

    def _folded(self, x: Tensor, features: Tensor) -> Tensor:
        """Run the folded network without padding: (1, 3, H + 16, W + 16) to what the sigmoid is of (1, 3, H, W), float32."""
        layers, height = self._layers, x.shape[2] - 2 * RADIUS
        least = -(-FEWEST_PIXELS // (x.shape[3] - 2 * RADIUS)) if x.device.type == "cpu" else 1
        if height < least:
            # A tile must not change with the pixels beside it that are asked for.
            x = functional.pad(x, (0, 0, 0, least - height)).contiguous(memory_format=torch.channels_last)
        mid = self._conv(x, "mid1", dilation=2)
        for name in ("mid2", "mid3"):
            mid = self._conv(mid, name, dilation=2)
        weight = layers["mid4.weight"]
        total = functional.conv2d(mid.to(weight.dtype), weight, dilation=2)
        del mid
        trim = RADIUS - LOCAL_RADIUS
        x = x[:, :, trim:-trim, trim:-trim]
        rows = total.shape[2]
        count = max(1, min(-(-rows // LOCAL_ROWS), rows // least)) if x.device.type == "cpu" else 1
        bias = layers["fuse.bias"] + layers["fuse_global.weight"] @ features
        parts = []
        for first, stop in pairwise(rows * part // count for part in range(count + 1)):
            around = x[:, :, first : stop + 2 * LOCAL_RADIUS]
            local = self._local_branch(around.contiguous(memory_format=torch.channels_last))
            local += bias[:, None, None]
            local += total[:, :, first:stop]
            parts.append(functional.conv2d(self._elu(local), layers["out.weight"], layers["out.bias"]))
        return torch.cat(parts, 2)[:, :, :height]

    def _local_branch(self, x: Tensor) -> Tensor:
        """Return what the local branch adds to the fusion: (1, 3, h + 4, W + 4) to (1, 64, h, W), float32."""
        weight = self._layers["fuse_local.weight"]
        local = self._conv(self._conv(x, "local1"), "local2")
        return functional.conv2d(local.to(weight.dtype), weight).float()

    def _conv(self, x: Tensor, name: str, dilation: int = 1) -> Tensor:
        weight, bias = self._layers[f"{name}.weight"], self._layers[f"{name}.bias"]
        return self._elu(functional.conv2d(x.to(weight.dtype), weight, bias, dilation=dilation))

    def _elu(self, x: Tensor) -> Tensor:
        """Apply ELU, in place where channels lie side by side.

        On the CPU, PyTorch's own ELU evaluates expm1 and costs a tenth of the network and more; max(x, 0) + alpha *
        (2^(log2(e) * min(x, 0)) - 1) in cache-sized blocks is the same to 1e-6 and takes half the time: of its powers, that
        of two takes a third of the time of that of e.
        """
        if x.device.type != "cpu":
            return functional.elu_(x, SELU_ALPHA)
        scratch = getattr(self._local, "scratch", None)
        if scratch is None:
            # Whatever the host takes numbers for by default.
            scratch = self._local.scratch = torch.empty(ELU_BLOCK, dtype=torch.float32, device="cpu")
        # As they do but for layers that PyTorch computes by other means. A pixel has 64 or more: blocks are whole vectors, and
        # bits do not depend on a tile's shape.
        flat = x.permute(0, 2, 3, 1).contiguous()
        for block in torch.split(flat.view(-1), ELU_BLOCK):
            negative = scratch[: block.numel()]
            if block.dtype == torch.float32:
                torch.mul(block, LOG2_E, out=negative).clamp_(max=0).exp2_().sub_(1)
                block.clamp_(min=0).add_(negative, alpha=SELU_ALPHA)
            else:
                # Rounded once, at the end: one of the two is 0.
                negative.copy_(block).mul_(LOG2_E).clamp_(max=0).exp2_().sub_(1).mul_(SELU_ALPHA)
                block.clamp_(min=0).add_(negative.to(block.dtype))
        return flat.permute(0, 3, 1, 2)


def _advice(precision: str) -> str | None:
    # With AVX-512 it depends on the processor, see `expandnet doctor`.
    if torch.backends.cpu.get_cpu_capability() != "AVX2":
        return None
    return f"--precision {precision}: this processor imitates bfloat16, which takes several times as long as fp32"


def _in_whole_vectors(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return a pointwise function of (1, 3, H, W).

    PyTorch computes what is left of a row of vectors on the CPU by other means, and to other bits, so that the last pixels
    of a tile would depend on its shape; there must be nothing left.
    """
    if x.device.type != "cpu":
        return function(x)
    flat = x.permute(0, 2, 3, 1).reshape(-1)
    whole = function(functional.pad(flat, (0, -len(flat) % VECTOR)))[: len(flat)]
    return whole.reshape(1, x.shape[2], x.shape[3], x.shape[1]).permute(0, 3, 1, 2)


def to_tensor(array: Array | Tensor, device: torch.device) -> Any:
    """Return pixels or codes on a device: uint8 as they are, uint16 as int32, other floats as float32."""
    if isinstance(array, Tensor):
        return array
    # PyTorch warns of what may not be written to, as if it were.
    array = np.ascontiguousarray(array) if array.flags.writeable else array.copy()
    if array.dtype == np.uint16:
        # PyTorch can do little with uint16, so its bits travel as those of another type.
        return brought(torch.from_numpy(array.view(np.int16)), device).to(torch.int32) & 0xFFFF
    tensor = brought(torch.from_numpy(array), device)
    return tensor.float() if tensor.is_floating_point() else tensor


def open_device(device: str) -> torch.device:
    """Return a device by name: `auto`, `cpu`, `cuda` or `cuda:N`; raise `DeviceError` if it is not there."""
    check_choices("torch", device, "fp32")
    if device == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    chosen = torch.device(device)
    if chosen.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        chosen = torch.device("cuda", chosen.index or 0)
        if chosen.index >= count:
            raise DeviceError(f"--device {device}: not there, PyTorch sees {count} CUDA devices; use --device cpu")
    return chosen


@cache
def _device_thread() -> ThreadPoolExecutor:
    """Return the thread of a process that runs the network on devices.

    One tile at a time, for which memory is counted, and under flags that hold for the process; and what cuDNN has planned for
    the shape of a box, it keeps for the thread that asked.
    """
    return ThreadPoolExecutor(1, "expandnet-device")


def _exactly(call: Callable[..., T], *arguments: Any) -> T:
    with _exact_kernels():
        return call(*arguments)


@contextlib.contextmanager
def _exact_kernels() -> Iterator[None]:
    """Keep float32 exact and runs repeatable on CUDA: no TF32, deterministic cuDNN kernels.

    Set one by one: `cudnn.flags` fails where a host has set precisions by their newer names.
    """
    cudnn: Any = torch.backends.cudnn
    conv = cudnn.conv
    before = cudnn.enabled, cudnn.benchmark, cudnn.deterministic, conv.fp32_precision
    try:
        cudnn.enabled, cudnn.benchmark, cudnn.deterministic, conv.fp32_precision = True, False, True, "ieee"
        yield
    finally:
        cudnn.enabled, cudnn.benchmark, cudnn.deterministic, conv.fp32_precision = before
