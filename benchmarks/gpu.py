"""Time the network and the whole conversion on a CUDA device.

    python benchmarks/gpu.py [--device cuda] [--frames 20]

Prints the network's time per 3840x2160 frame for each precision (tiles resident, results copied back), and frames per
second of whole conversions with the share that writing takes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
from plates_for_benchmarks import write_plate

from expandnet_ofx import Expander, Settings
from expandnet_ofx.convert import Converter
from expandnet_ofx.images import open_image, to_array


def main() -> None:
    """Run all measurements."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("out/benchmark"))
    arguments = parser.parse_args()
    path = write_plate(arguments.out / "uhd.png", 3840, 2160)
    plate = to_array(open_image(path))
    for precision in ("fp32", "mixed", "half"):
        expander = Expander(Settings(merge="full"), device=arguments.device, precision=precision)
        features = np.array(expander.analyze(plate).features, np.float32)
        tile = np.pad(expander_view(plate), ((8, 8), (8, 8), (0, 0)), mode="edge")
        times = []
        for _ in range(arguments.frames):
            started = time.perf_counter()
            expander.engine.expand(tile, features)
            times.append(time.perf_counter() - started)
        print(f"{precision:5} network and copies, 3840x2160: {1000 * statistics.median(times):.1f} ms", flush=True)
        converter = Converter(Expander(device=arguments.device, precision=precision))
        started = time.perf_counter()
        for _ in range(3):
            converter.render(converter.prepare(path), arguments.out / "gpu.exr")
        print(f"{precision:5} whole conversion: {3 / (time.perf_counter() - started):.2f} frames/s", flush=True)


def expander_view(plate: np.ndarray) -> np.ndarray:
    """Return an sRGB plate as the network sees it."""
    return plate[..., :3].astype(np.float32) / np.float32(255)


if __name__ == "__main__":
    main()
