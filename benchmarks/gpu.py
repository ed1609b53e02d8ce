"""What a CUDA device does per second, where a frame's time goes, and what limits it.

    python benchmarks/gpu.py [--device cuda] [--frames 48]

Prints the network's time per frame for each precision; the stages of one frame by themselves, with the device waited for; and
frames per second of whole batches of 10-bit DPX, from start to end of the program, for several compressions. With
`--device cpu` and a small size it runs anywhere. The last batches are those of several processes that share the device.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio
from plates_for_benchmarks import rows_of_plate
from processes import measure

from expandnet_ofx import Expander, Settings
from expandnet_ofx.arrays import to_half, to_host
from expandnet_ofx.images import open_image, to_array
from expandnet_ofx.output_options import OutputOptions
from expandnet_ofx.predicted import Predicted
from expandnet_ofx.writer import PartLayout, image_writer

COMMAND = [sys.executable, "-c", "from expandnet_batch.main import main; main()"]
SETTINGS = Settings(input_space="srgb")
"""A DPX file does not tell of itself that it holds sRGB codes."""


def write_dpx(path: Path, width: int, height: int) -> Path:
    """Write a 10-bit plate."""
    path.parent.mkdir(parents=True, exist_ok=True)
    spec = oiio.ImageSpec(width, height, 3, "uint16")
    spec.attribute("oiio:BitsPerSample", 10)
    output = oiio.ImageOutput.create(str(path))
    if output is None or not output.open(str(path), spec):
        raise SystemExit(f"{path}: cannot be written")
    output.write_image(rows_of_plate(0, height, width, height, dense=False).astype(np.uint16) * 257)
    output.close()
    return path


def median_ms(work: Callable[[], Any], rounds: int, device: str) -> float:
    """Return the median of some rounds in milliseconds, the device waited for; the first round warms up."""
    times = []
    for _ in range(rounds + 1):
        wait(device)
        started = time.perf_counter()
        work()
        wait(device)
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times[1:])


def wait(device: str) -> None:
    """Wait until the device has done all that was asked of it."""
    if device != "cpu":
        import torch

        torch.cuda.synchronize(device)


def network(plate: np.ndarray, device: str, rounds: int) -> None:
    """Print the time of the network alone, plate and result on the device."""
    seen = np.pad(plate.astype(np.float32) / np.float32(65535), ((8, 8), (8, 8), (0, 0)), mode="edge")
    for precision in ("fp32", "mixed", "half"):
        engine = Expander(device=device, precision=precision).engine
        expand = partial(engine.expand, engine.to_device(seen), np.zeros(64, np.float32))
        print(f"{precision:5} network: {median_ms(expand, rounds, device):8.1f} ms", flush=True)


def stages(path: Path, folder: Path, device: str, rounds: int) -> None:
    """Print where the time of one frame goes in half precision."""
    expander = Expander(SETTINGS, device=device, precision="half")
    plate = open_image(path, SETTINGS)
    codes = to_array(plate)
    survey = expander.survey(codes)
    analysis = expander.analyze(codes, survey)
    kept = Predicted(1 << 40)

    def bands(predicted: Predicted | None = None) -> list[Any]:
        return [b.light for b in expander.bands(codes, analysis, predicted=predicted, on_device=True)]

    made = bands(kept)
    light = np.concatenate([to_host(to_half(part)) for part in made])
    layout = PartLayout(width=light.shape[1], height=len(light), channels="RGB", formats=("half",) * 3, attributes={})

    def write(compression: str) -> None:
        with image_writer(folder / "x.exr", [layout], OutputOptions(compression=compression)) as output:
            output.write(0, light)
            output.commit()

    work: dict[str, Callable[[], Any]] = {
        "read": lambda: to_array(open_image(path, SETTINGS)),
        "bring codes": lambda: expander.engine.to_device(codes),
        "survey": lambda: expander.survey(codes),
        "analyze": lambda: expander.analyze(codes, survey),
        "render": bands,
        "of it the merge": lambda: bands(kept),
        "bring halves": lambda: [to_host(to_half(part)) for part in made],
        **{f"write {name}": partial(write, name) for name in ("none", "piz", "zip")},
    }
    for name, call in work.items():
        print(f"  {name:16} {median_ms(call, rounds, device):8.1f} ms", flush=True)


def batches(path: Path, folder: Path, device: str, frames: int) -> None:
    """Print frames per second of whole batches."""
    shot = folder / "shot"
    shot.mkdir(parents=True, exist_ok=True)
    for number in range(1, frames + 1):
        shutil.copy(path, shot / f"shot.{1000 + number}.dpx")
    for steady in ("off", "auto"):
        for compression in ("none", "piz", "zip"):
            shutil.rmtree(folder / "exr", ignore_errors=True)
            usage = measure([*COMMAND, *words_of(folder, device, f"--steady {steady} --compression {compression}")])
            rate = f"{frames / usage.wall:.2f} frames/s, {usage.cpu / usage.wall:.1f} cores busy"
            print(f"batch, --steady {steady}, {compression}: {rate}", flush=True)


def words_of(folder: Path, device: str, more: str) -> list[str]:
    """Return the words of a batch over the shot."""
    fixed = f"--input-space srgb --device {device} --precision half --progress none {more}"
    return [*fixed.split(), str(folder / "shot"), "-o", str(folder / "exr")]


def side_by_side(folder: Path, device: str, frames: int) -> None:
    """Print frames per second of processes that share a device, each with a part of the frames."""
    for tiles in ("", "--tile 4096 --memory 8GiB"):
        for count in (1, 2, 3, 4):
            shutil.rmtree(folder / "exr", ignore_errors=True)
            started, running = time.perf_counter(), []
            for number in range(count):
                first, last = (1001 + frames * part // count for part in (number, number + 1))
                more = f"--steady off --compression piz --frames {first}-{last - 1} {tiles}"
                running.append(subprocess.Popen([*COMMAND, *words_of(folder, device, more)]))
            if any(process.wait() for process in running):
                raise SystemExit("a batch failed")
            rate = frames / (time.perf_counter() - started)
            print(f"{count} processes, --steady off, piz {tiles}: {rate:.2f} frames/s", flush=True)


def main() -> None:
    """Run all measurements."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--width", type=int, default=3840)
    parser.add_argument("--height", type=int, default=2160)
    parser.add_argument("--out", type=Path, default=Path("out/gpu"))
    arguments = parser.parse_args()
    path = write_dpx(arguments.out / "plate.dpx", arguments.width, arguments.height)
    plate = to_array(open_image(path, SETTINGS))
    print(f"{arguments.width}x{arguments.height} on {arguments.device}")
    network(plate, arguments.device, arguments.rounds)
    stages(path, arguments.out, arguments.device, arguments.rounds)
    batches(path, arguments.out, arguments.device, arguments.frames)
    side_by_side(arguments.out, arguments.device, arguments.frames)


if __name__ == "__main__":
    main()
