"""Convert very large plates and take the peak memory of the process.

    python benchmarks/memory.py [--width 24000 --height 16000] [--memory 1GiB] [--stand-in] [--threads 16]

With `--stand-in` a cheap function replaces the network after two real tiles ran, so that what is measured is reading,
tiling, merging and writing; memory is the same, because those two tiles have already taken what tiles take.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
from expandnet_batch.options import memory_size
from expandnet_batch.runtime import MemoryGuard, tune_process
from numpy.typing import NDArray
from plates_for_benchmarks import write_plate

from expandnet_ofx import Expander, Settings
from expandnet_ofx.architecture import RADIUS
from expandnet_ofx.convert import Converter
from expandnet_ofx.engine import Engine, open_engine
from expandnet_ofx.weights import load_weights


class StandIn:
    """An engine that runs two real tiles and then only copies."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._real = 2

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def expand(self, tile: NDArray[np.float32], features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the real prediction twice, then light that follows the plate."""
        if tile.shape[0] > 200 and self._real:
            self._real -= 1
            return self._engine.expand(tile, features)
        return tile[RADIUS:-RADIUS, RADIUS:-RADIUS] * np.float32(4)


def main() -> None:
    """Make the plate, convert it, print time and peak memory; exit code 1 if the peak is over the limit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--width", type=int, default=24000)
    parser.add_argument("--height", type=int, default=16000)
    parser.add_argument("--memory", default="1GiB")
    parser.add_argument("--threads", type=int, default=0, help="as on a machine of so many processors")
    parser.add_argument("--out", type=Path, default=Path("out/benchmark"))
    parser.add_argument("--stand-in", action="store_true")
    parser.add_argument("--keep", action="store_true", help="keep plate and result")
    arguments = parser.parse_args()
    limit = memory_size(arguments.memory)
    plate = write_plate(arguments.out / f"{arguments.width}x{arguments.height}.png", arguments.width, arguments.height)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    tune_process()
    engine: Engine = open_engine(load_weights(), threads=arguments.threads)
    if arguments.stand_in:
        engine = cast(Engine, StandIn(engine))
    converter = Converter(Expander(Settings(memory=limit), engine=engine))
    started = time.perf_counter()
    result = arguments.out / f"{plate.stem}.exr"
    guard = MemoryGuard(limit)
    report = converter.render(converter.prepare(plate), result, progress=lambda _: guard.check())
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    megapixels = arguments.width * arguments.height / 1e6
    print(
        f"{megapixels:.0f} MP{' with stand-in' if arguments.stand_in else ''}: {seconds:.0f} s, "
        f"peak {peak / 2**20:.0f} MiB of {limit / 2**20:.0f}, {100 * report.clipped_share:.1f} % clipped, "
        f"{result.stat().st_size / 2**20:.0f} MiB written (peak before: {before / 2**20:.0f} MiB)"
    )
    if not arguments.keep:
        plate.unlink()
        result.unlink()
    sys.exit(1 if peak > limit else 0)


if __name__ == "__main__":
    main()
