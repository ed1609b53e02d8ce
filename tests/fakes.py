"""Stand-ins and references that the tests of the core compare with; written apart from the package."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from expandnet_ofx import Analysis, Expander, Settings
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
    threads = workers = 1
    tile = 576
    advice: str | None = None

    def __init__(self, *, gain: float = 1.0, contract: Contract = LOG, most_pixels: int | None = None) -> None:
        self.weights = Weights(state={}, contract=contract, sha256="0" * 64)
        self.gain = np.float32(gain)
        self.most_pixels = most_pixels
        self.ran: list[tuple[int, int]] = []
        self.refused = 0

    def to_device(self, array: np.ndarray) -> np.ndarray:
        return array

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


ONE_TILE = 8192


def noise(height: int, width: int, seed: int = 0, channels: int = 3) -> np.ndarray:
    """A random 8-bit plate with clipped patches beside dark ones."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 256, (height, width, channels), np.uint8)
    patches = rng.random((-(-height // 7), -(-width // 7), channels)).repeat(7, 0).repeat(7, 1)[:height, :width]
    codes[patches > 0.6] = 255
    return codes


def without_maps(analysis: Analysis) -> Analysis:
    """Return the numbers of an analysis alone: maps are pictures of the plate and would have to move with it."""
    return replace(analysis, recovered=None, rise=None, surround=None)


def tiled(expander: Expander, **changes) -> Expander:
    """Return an expander with other settings on the same engine."""
    return Expander(replace(expander.settings, **changes), engine=expander.engine)


def box(settings: Settings | None = None, **options) -> Expander:
    """Return an expander on a `BoxEngine` with these options."""
    return Expander(settings or Settings(white=1.0), engine=BoxEngine(**options))
