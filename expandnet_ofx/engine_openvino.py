"""The network in OpenVINO, folded for inference, on the CPU; needs no torch."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.architecture import LOCAL_RADIUS, RADIUS, SELU_ALPHA, SELU_SCALE, fold
from expandnet_ofx.errors import MissingExtraError
from expandnet_ofx.weights import Weights
from expandnet_ofx.workers import usable_processors

Array = NDArray[np.float32]


class OpenVinoEngine:
    """An `Engine` on OpenVINO; `fp32` is exact, `half` runs in bfloat16 where the CPU has it."""

    name = "openvino"
    device = "cpu"
    tile = 256
    advice: str | None = None

    def __init__(self, weights: Weights, *, precision: str = "fp32", threads: int = 0) -> None:
        try:
            import openvino
        except ImportError as error:
            raise MissingExtraError(
                "--engine openvino: the package is not installed; pip install 'expandnet-ofx[openvino]'"
            ) from error
        self.weights = weights
        self.precision = precision
        self.threads = self.workers = threads or usable_processors()
        core = openvino.Core()
        layers = fold(weights.state)
        options: dict[str, Any] = {"INFERENCE_NUM_THREADS": self.workers, "NUM_STREAMS": self.workers}
        # The global vector steers the whole plate, so it is never rounded.
        self._global = core.compile_model(
            _global_model(weights.state), "CPU", {**options, "INFERENCE_PRECISION_HINT": "f32"}
        )
        hint = "f32" if precision == "fp32" else "bf16"
        self._tile = core.compile_model(_tile_model(layers), "CPU", {**options, "INFERENCE_PRECISION_HINT": hint})
        self._bias = layers["fuse.bias"]
        self._fuse_global = layers["fuse_global.weight"]
        self._local = threading.local()

    def to_device(self, array: Array) -> Array:
        """Return the array: all work is done in the processor's memory."""
        return array

    def enter_worker(self) -> None:
        """Give the thread its own request, which keeps one core busy."""
        self._local.request = self._tile.create_infer_request()

    def global_features(self, proxy: Array) -> Array:
        """Return the global vector (64,) of a reduced plate (256, 256, 3)."""
        outputs = self._global.create_infer_request().infer({0: proxy[None]}, share_inputs=True)
        return np.array(outputs[0], np.float32).ravel()

    def expand(self, tile: Array, features: Array) -> Array:
        """Return predicted light (H, W, 3) of an encoded tile (H + 16, W + 16, 3)."""
        if not hasattr(self._local, "request"):
            self.enter_worker()
        bias = (self._bias + self._fuse_global @ features)[None, :, None, None]
        outputs = self._local.request.infer({0: np.ascontiguousarray(tile)[None], 1: bias}, share_inputs=True)
        light: Array = self.weights.contract.to_light(outputs[0][0].astype(np.float32, copy=False), np)
        return np.array(light, np.float32)


def _conv(x: Any, weight: Array, bias: Array | None, *, stride: int = 1, pad: int = 0, dilation: int = 1) -> Any:
    from openvino import opset13 as ops

    y = ops.convolution(x, ops.constant(weight), [stride] * 2, [pad] * 2, [pad] * 2, [dilation] * 2)
    return y if bias is None else ops.add(y, ops.constant(bias.reshape(1, -1, 1, 1)))


def _elu(x: Any) -> Any:
    from openvino import opset13 as ops

    return ops.elu(x, SELU_ALPHA)


def _tile_model(layers: dict[str, Array]) -> Any:
    """Build the folded network without padding: tile (1, H + 16, W + 16, 3) and fusion bias to (1, H, W, 3)."""
    import openvino
    from openvino import opset13 as ops

    def conv(x: Any, name: str, *, dilation: int = 1) -> Any:
        return _conv(x, layers[f"{name}.weight"], layers.get(f"{name}.bias"), dilation=dilation)

    tile = ops.parameter([1, -1, -1, 3], np.float32, "tile")
    bias = ops.parameter([1, 64, 1, 1], np.float32, "bias")
    x = ops.transpose(tile, ops.constant(np.array([0, 3, 1, 2])))
    trim = RADIUS - LOCAL_RADIUS
    bounds = ops.constant([trim, trim]), ops.constant([-trim, -trim])
    inner = ops.slice(x, *bounds, ops.constant([1, 1]), ops.constant([2, 3]))
    local = conv(_elu(conv(_elu(conv(inner, "local1")), "local2")), "fuse_local")
    mid = x
    for name in ("mid1", "mid2", "mid3"):
        mid = _elu(conv(mid, name, dilation=2))
    mid = conv(mid, "mid4", dilation=2)
    total = _elu(ops.add(ops.add(local, mid), bias))
    y = ops.sigmoid(conv(total, "out"))
    light: Any = ops.transpose(y, ops.constant(np.array([0, 2, 3, 1])))
    model: Any = openvino.Model
    return model([light], [tile, bias], "expandnet")


def _global_model(state: Any) -> Any:
    """Build the global branch: proxy (1, 256, 256, 3) to (1, 64, 1, 1)."""
    import openvino
    from openvino import opset13 as ops

    proxy = ops.parameter([1, 256, 256, 3], np.float32, "proxy")
    x = ops.transpose(proxy, ops.constant(np.array([0, 3, 1, 2])))
    for i in range(6):
        scale = np.float32(SELU_SCALE if i else 1)
        layer = f"glob_net.{i}.0"
        x = _elu(_conv(x, state[f"{layer}.weight"] * scale, state[f"{layer}.bias"], stride=2, pad=1))
    last = _conv(x, state["glob_net.6.weight"] * np.float32(SELU_SCALE), state["glob_net.6.bias"])
    model: Any = openvino.Model
    return model([last], [proxy], "expandnet_global")
