"""How long HDR-VDP 2.2 takes, and where: a pair of pictures, seen and compared.

python benchmarks/hdrvdp.py
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from expandnet_comparison.hdrvdp import HDRVDP

SIZES = ((270, 480), (1080, 1920))
ROUNDS = 3


def main() -> None:
    """Print seconds for each size: the least of some rounds."""
    import torch

    print(f"threads {torch.get_num_threads()}, torch {torch.__version__}")
    metric = HDRVDP()
    for height, width in SIZES:
        rng = np.random.default_rng(0)
        truth = np.exp2(rng.normal(size=(height, width, 3)) * 2 + 4).astype(np.float32)
        test = (truth * np.exp2(0.1 * rng.normal(size=truth.shape))).astype(np.float32)
        seen = metric.see(truth)
        pairs, againsts = [], []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            metric(test, truth)
            pairs.append(time.perf_counter() - started)
            started = time.perf_counter()
            metric(test, seen)
            againsts.append(time.perf_counter() - started)
        print(f"{width} x {height}: a pair {min(pairs):.2f} s, against a reference that was seen {min(againsts):.2f} s")


if __name__ == "__main__":
    main()
