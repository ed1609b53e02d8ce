"""Stand-ins and references that the tests of the core compare with; written apart from the package."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch.nn import functional

from expandnet_ofx.errors import OutOfMemoryError
from expandnet_ofx.weights import Contract, Weights

HALO = 8
RISING = np.arange(1, 2 * HALO + 2, dtype=np.float32) / np.float32(153)
LOG = Contract(name="fake")
LINEAR = Contract(name="fake", output_curve="linear")


class BoxEngine:
    """An engine of the network's reach: a lopsided 17 x 17 average of squared codes, plus one global feature.

    Every output is computed by the same operations in the same order wherever its tile begins, so tiles, regions and
    splits must agree with the whole frame bit for bit; lopsided, so that a flip or a shift by one pixel shows.
    """

    name = "box"
    device = "cpu"
    precision = "fp32"
    workers = 1
    tile = 576

    def __init__(self, *, gain: float = 1.0, contract: Contract = LOG, most_pixels: int | None = None) -> None:
        self.weights = Weights(state={}, contract=contract, sha256="0" * 64)
        self.gain = np.float32(gain)
        self.most_pixels = most_pixels
        self.ran: list[tuple[int, int]] = []
        self.refused = 0

    def enter_worker(self) -> None:
        pass

    def global_features(self, proxy: np.ndarray) -> np.ndarray:
        assert proxy.shape == (256, 256, 3)
        assert proxy.dtype == np.float32
        return np.resize(proxy.mean((0, 1), dtype=np.float64), 64).astype(np.float32)

    def expand(self, tile: np.ndarray, features: np.ndarray) -> np.ndarray:
        height, width = tile.shape[0] - 2 * HALO, tile.shape[1] - 2 * HALO
        assert height >= 1
        assert width >= 1
        assert tile.dtype == np.float32
        assert 0 <= tile.min() <= tile.max() <= 1
        if self.most_pixels is not None and height * width > self.most_pixels:
            self.refused += 1
            raise OutOfMemoryError(f"box: {height * width} pixels")
        self.ran.append((height, width))
        light = tile * tile
        rows = np.zeros((height, tile.shape[1], 3), np.float32)
        for k, weight in enumerate(RISING):
            rows += weight * light[k : k + height]
        out = np.zeros((height, width, 3), np.float32)
        for k, weight in enumerate(RISING[::-1]):
            out += weight * rows[:, k : k + width]
        return self.gain * (out + np.float32(0.1) * features[0])


class PointEngine(BoxEngine):
    """An engine that predicts each pixel's own display-linear light, times a known gain."""

    def expand(self, tile: np.ndarray, features: np.ndarray) -> np.ndarray:
        own = tile[HALO:-HALO, HALO:-HALO].astype(np.float64)
        return (self.gain * decode_srgb(own)).astype(np.float32)


def decode_srgb(code: np.ndarray | float) -> np.ndarray:
    """Decode sRGB, IEC 61966-2-1, in double precision; written here on its own."""
    value = np.asarray(code, np.float64)
    return np.where(value <= 0.04045, value / 12.92, ((np.maximum(value, 0) + 0.055) / 1.055) ** 2.4)


def encode_srgb(light: np.ndarray | float) -> np.ndarray:
    """Encode with sRGB, IEC 61966-2-1, in double precision."""
    value = np.asarray(light, np.float64)
    return np.where(value <= 0.0031308, value * 12.92, 1.055 * np.maximum(value, 0) ** (1 / 2.4) - 0.055)


def map_range(x: np.ndarray) -> np.ndarray:
    """Stretch to [0, 1] as the authors' program does; a constant becomes ones."""
    return np.interp(x, [x.min(), x.max()], [0, 1])


State = Mapping[str, torch.Tensor]


def plain_features(state: State, proxy: torch.Tensor) -> torch.Tensor:
    """The global branch, layer by layer: (1, 3, 256, 256) to (1, 64, 1, 1)."""
    x = proxy
    for i in range(6):
        layer = f"glob_net.{i}.0"
        x = functional.selu(functional.conv2d(x, state[f"{layer}.weight"], state[f"{layer}.bias"], 2, 1))
    return functional.conv2d(x, state["glob_net.6.weight"], state["glob_net.6.bias"])


def plain_expand(state: State, x: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """The local, dilated and fusion layers, one by one, zero padding in every layer."""

    def conv(x: torch.Tensor, layer: str, padding: int, dilation: int = 1) -> torch.Tensor:
        return functional.conv2d(x, state[f"{layer}.weight"], state[f"{layer}.bias"], 1, padding, dilation)

    local = functional.selu(conv(functional.selu(conv(x, "local_net.0.0", 1)), "local_net.1.0", 1))
    mid = x
    for i in range(3):
        mid = functional.selu(conv(mid, f"mid_net.{i}.0", 2, 2))
    mid = conv(mid, "mid_net.3", 2, 2)
    joined = torch.cat((local, mid, features.repeat(1, 1, *x.shape[-2:])), 1)
    return torch.sigmoid(conv(functional.selu(conv(joined, "end_net.0.0", 0)), "end_net.1", 0))


def plain_forward(state: State, x: torch.Tensor) -> torch.Tensor:
    """The network as released: the plate reduced to 256 x 256 without anti-aliasing for the global branch."""
    proxy = functional.interpolate(x, (256, 256), mode="bilinear", align_corners=False)
    return plain_expand(state, x, plain_features(state, proxy))


def random_state(seed: int, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """Return parameters of the released layer sizes, written out here, scaled to keep signals alive."""
    sizes = {
        "local_net.0.0": (64, 3, 3), "local_net.1.0": (128, 64, 3),
        "mid_net.0.0": (64, 3, 3), "mid_net.1.0": (64, 64, 3), "mid_net.2.0": (64, 64, 3), "mid_net.3": (64, 64, 3),
        "glob_net.0.0": (64, 3, 3), "glob_net.6": (64, 64, 4),
        **{f"glob_net.{i}.0": (64, 64, 3) for i in range(1, 6)},
        "end_net.0.0": (64, 256, 1), "end_net.1": (3, 64, 1),
    }  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, (outputs, inputs, edge) in sizes.items():
        spread = (inputs * edge * edge) ** -0.5
        weight = torch.randn(outputs, inputs, edge, edge, generator=generator, dtype=torch.float64) * spread
        state[f"{name}.weight"] = weight.to(dtype)
        state[f"{name}.bias"] = (torch.randn(outputs, generator=generator, dtype=torch.float64) * 0.1).to(dtype)
    return state
