"""What the worker adds to a frame: round trips at 1920x1080 through scratch EXR against the same work in this process.

    python benchmarks/worker.py [--rounds 20] [--threads 1]

The plate is a half-float EXR without compression, made linear as a host does, with about a tenth of it clipped. Printed are
medians: the round trip; what the same `Expander` takes for the same pixels in memory, in turn; their difference, which is
reading, writing, hashing and the socket; for how long the network runs in any thread, and how long its calls take when the
threads do nothing else; what a round trip takes beside either; and the same plate once more with another knob of the
result, for which it is not analyzed again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from expandnet_batch.runtime import keep_products_single, tune_process

keep_products_single()

import numpy as np
import OpenImageIO as oiio

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "nuke_plugin"))

from expandnet_client import Worker

from expandnet_ofx import Expander, Settings
from expandnet_ofx.engine import open_engine
from expandnet_ofx.weights import load_weights

SETTINGS = {"linearized": "linear-rec709", "input_space": "srgb", "compression": "none", "matte": True}


def plate(height: int = 1080, width: int = 1920) -> np.ndarray:
    """Return linear light (H, W, 3) of an 8-bit sRGB plate: soft tones, a clipped window and lamps."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:height, :width] / height
    light = 0.18 * np.exp2(2 * y - 1 + 1.5 * np.sin(5 * x))[..., None] * np.array([1.1, 1.0, 0.85])
    light[int(0.2 * height) : int(0.5 * height), int(0.6 * width) : int(0.9 * width)] = 4.0
    for _ in range(20):
        top, left = rng.integers(0, height - 40), rng.integers(0, width - 40)
        light[top : top + 24, left : left + 24] = 9.0
    light *= np.exp2(0.05 * rng.normal(size=light.shape))
    code = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    code = np.clip(np.rint(code * 255), 0, 255) / 255
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4).astype(np.float32)


class Timed:
    """An engine that keeps what it was called for, and when it ran."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.calls: list[tuple[Any, tuple[Any, ...]]] = []
        self.ran: list[tuple[float, float]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def expand(self, *arguments: Any) -> Any:
        """Run a tile."""
        return self._timed(self._engine.expand, *arguments)

    def global_features(self, *arguments: Any) -> Any:
        """Run the global branch."""
        return self._timed(self._engine.global_features, *arguments)

    def _timed(self, call: Any, *arguments: Any) -> Any:
        started = time.perf_counter()
        result = call(*arguments)
        self.ran.append((started, time.perf_counter()))
        self.calls.append((call, arguments))
        return result

    def clear(self) -> None:
        """Forget all calls."""
        self.calls, self.ran = [], []

    def running(self) -> float:
        """Return for how many seconds at least one call ran."""
        seconds = until = 0.0
        for started, stopped in sorted(self.ran):
            seconds += max(0.0, stopped - max(started, until))
            until = max(until, stopped)
        return seconds

    def alone(self, pool: ThreadPoolExecutor) -> float:
        """Return how many seconds the same calls take in threads that do nothing else."""
        started = time.perf_counter()
        list(pool.map(lambda call: call[0](*call[1]), self.calls))
        return time.perf_counter() - started


def start(threads: int) -> dict[str, Any]:
    """Start a worker and return its address."""
    words = [sys.executable, "-m", "expandnet_batch.worker", "--start", "--device", "cpu", "--threads", str(threads)]
    place = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    address: dict[str, Any] = json.loads(Path(place).read_text(encoding="utf-8"))
    return address


def write(light: np.ndarray, path: str) -> None:
    """Write a plate as a host does: half floats without compression."""
    buffer = oiio.ImageBuf(light)
    buffer.specmod().attribute("compression", "none")
    buffer.set_write_format("half")
    assert buffer.write(path)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    rounds, threads = options.rounds, options.threads
    # As the worker does: without it the allocator alone makes this process slower.
    tune_process()
    light = plate()
    engine: Any = Timed(open_engine(load_weights(None), device="cpu", threads=threads))
    pool = ThreadPoolExecutor(threads, initializer=engine.enter_worker)
    expander = Expander(Settings(linearized="linear-rec709", input_space="srgb"), engine=engine)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["EXPANDNET_RUNTIME"] = f"{folder}/r"
        source, target = f"{folder}/plate.exr", f"{folder}/light.exr"
        host = Worker(start(threads))

        def trip(**settings: Any) -> float:
            started = time.perf_counter()
            host.ask("render", source=source, output=target, settings={**SETTINGS, **settings})
            return time.perf_counter() - started

        measured = []
        for number in range(rounds + 1):
            # Another plate each time: one that was seen is not analyzed again.
            light[0, 0] = 0.1 + 0.5 * number / rounds
            write(light, source)
            first, again = trip(), trip(stops=0.5)
            engine.clear()
            started = time.perf_counter()
            expander(light.astype(np.float16))
            own = time.perf_counter() - started
            # The first round warms up.
            if number:
                measured.append((first, again, own, engine.running(), engine.alone(pool)))
        host.ask("shutdown")
    trips, agains, inside, network, alone = zip(*measured, strict=True)
    median = statistics.median
    print(f"medians of {rounds}, threads: {threads}")
    print(f"round trip {median(trips):.3f} s, in memory {median(inside):.3f} s")
    print(f"the network runs for {median(network):.3f} s of it, and takes {median(alone):.3f} s alone")
    for what, others in (("while the network does not run", network), ("beside the network alone", alone)):
        print(f"a round trip takes {1000 * median(a - b for a, b in zip(trips, others, strict=True)):.0f} ms {what}")
    print(f"the worker adds {1000 * median(a - b for a, b in zip(trips, inside, strict=True)):.0f} ms")
    print(f"the same plate again under another knob of the result: {median(agains):.3f} s")


if __name__ == "__main__":
    main()
