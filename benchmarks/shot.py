"""Frames per second over a shot, where the time goes, what more workers give, and what that means for a farm.

    python benchmarks/shot.py [--frames 12] [--width 1920 --height 1080] [--precision mixed] [--out FOLDER]
        [--storage 100 --slow FOLDER]

Stages are timed alone, one after the other, in one process; then the batch runs whole, where they overlap; then as farm
tasks, by one worker and by two side by side. The last table extrapolates time to many nodes by a model that is printed
with it and checked against the two workers.
"""

from __future__ import annotations

import argparse
import math
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from expandnet_batch.submission.job import FarmJob
from expandnet_batch.submission.tasks import run_task
from plates_for_benchmarks import write_plate
from processes import measure

from expandnet_ofx import Expander, Settings
from expandnet_ofx.convert import Converter
from expandnet_ofx.images import ImagePlate
from expandnet_ofx.looks import look_at
from expandnet_ofx.output_options import OutputOptions
from expandnet_ofx.shots import ShotWriter
from expandnet_ofx.statistics import RenderStatistics
from expandnet_ofx.steady import Steadying, make_steady
from expandnet_ofx.writer import PartLayout, image_writer

COMMAND = [sys.executable, "-c", "from expandnet_batch.main import main; main()"]
TOOLS = [sys.executable, "-c", "from expandnet_batch.tools import main; main()"]


def timed(seconds: dict[str, float], name: str, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call, and add what it took under a name, less what was read meanwhile."""
    started, read = time.perf_counter(), seconds["read"]
    result = call(*arguments, **options)
    inside = seconds["read"] - read
    seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - started - inside
    return result


def stages(plates: Sequence[Path], folder: Path, precision: str) -> dict[str, float]:
    """Return the seconds of each stage over all frames, in one thread; decoding is told apart.

    For plates that are held in memory while they are open; of larger ones decoding overlaps with the rest.
    """
    seconds: dict[str, float] = {"read": 0.0}
    decode = ImagePlate._read

    def timed_decode(*arguments: Any) -> Any:
        return timed(seconds, "read", decode, *arguments)

    with patch.object(ImagePlate, "_read", timed_decode):
        _stages(seconds, plates, folder, precision)
    return seconds


def _stages(seconds: dict[str, float], plates: Sequence[Path], folder: Path, precision: str) -> None:
    expander = Expander(Settings(), precision=precision, threads=1)
    converter = Converter(expander)
    writer = ShotWriter(folder / "shot.json", expander.analyses_depend_on)
    for number, path in enumerate(plates, 1):
        prepared = timed(seconds, "survey", converter.prepare, path)
        analysis = timed(seconds, "analyze", converter.analyze, prepared)[0]
        look = look_at(prepared.parts[0].survey.proxy)
        timed(seconds, "keep analyses", writer.add, number, prepared.identity, look, analysis)
        prepared.close()
    shot = writer.commit()
    made = timed(seconds, "smooth", make_steady, shot.frames, Steadying())
    for number, path in enumerate(plates, 1):
        analysis = timed(seconds, "smooth", made.load, number)
        prepared = timed(seconds, "open again", converter.prepare, path, analysis=analysis)
        light = timed(seconds, "expand", expanded, expander, prepared.parts[0].plate, analysis)
        prepared.close()
        timed(seconds, "write", write, folder / "out.exr", light)


def expanded(expander: Expander, plate: Any, analysis: Any) -> np.ndarray:
    """Return the light of a plate in one piece."""
    return np.concatenate([band.light for band in expander.bands(plate, analysis, statistics=RenderStatistics())])


def write(path: Path, light: np.ndarray) -> None:
    """Write light as the batch does."""
    height, width = light.shape[:2]
    layout = PartLayout(width=width, height=height, channels=("R", "G", "B"), formats=("half",) * 3, attributes={})
    with image_writer(path, [layout], OutputOptions()) as output:
        output.write(0, light)
        output.commit()


def files(plates: Sequence[Path], folder: Path, precision: str, alone: dict[str, float], rounds: int = 5) -> None:
    """Print what files cost a batch, in which they overlap with the rest: against one that holds all in memory.

    On few processors that is what coding takes away from the network. Whether the network ever waits for a file shows
    beside one whose files take as long, and three times as long, but no processor.
    """
    words = [*map(str, plates), "-o", str(folder / "whole"), "--progress", "none", "--precision", precision]
    held = [sys.executable, str(Path(__file__).with_name("held.py"))]
    # Each pass reads.
    reading, writing = alone["read"] / 2 / len(plates), alone["write"] / len(plates)
    variants = {"with files": [*COMMAND, *words], "without": [*held, *words]}
    for times in (1, 3):
        slow = ["--reading", str(times * reading), "--writing", str(times * writing)]
        variants[f"waiting for files {times} x as long"] = [*held, *slow, *words]
    taken: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(rounds):
        # A machine's speed drifts, so rounds are compared within themselves, and none is always the last of one.
        names = [*variants][number % len(variants) :] + [*variants][: number % len(variants)]
        for name in names:
            taken[name].append(measure(variants[name]).wall)
    for name, seconds in taken.items():
        shares = [1 - own / whole for own, whole in zip(taken["without"], seconds, strict=True)]
        print(f"batch {name}: {spread(seconds)}; files take {100 * statistics.median(shares):.1f} % of wall time")


def spread(seconds: Sequence[float]) -> str:
    """Return the least, the median and the largest of some times."""
    return f"{min(seconds):.1f} / {statistics.median(seconds):.1f} / {max(seconds):.1f} s"


def workers(plates: Sequence[Path], folder: Path, count: int, precision: str) -> float:
    """Return the seconds in which so many workers, one core each, expand a job's chunks after its analysis."""
    job = folder / f"job{count}"
    for made in (job, folder / f"farm{count}"):
        shutil.rmtree(made, ignore_errors=True)
    words = [
        "submit",
        str(plates[0].with_name("shot.####.png")),
        "--output",
        str(folder / f"farm{count}"),
        "-o",
        str(job),
    ]
    words += [
        "--to",
        "slurm",
        "--chunk",
        str(math.ceil(len(plates) / count)),
        "--threads",
        "1",
        "--precision",
        precision,
    ]
    subprocess.run([*TOOLS, *words], check=True, stdout=subprocess.DEVNULL)
    for step in ("analyze", "smooth"):
        subprocess.run([*TOOLS, "task", str(job / "job.json"), step], check=True, stdout=subprocess.DEVNULL)
    started = time.perf_counter()
    tasks = [
        subprocess.Popen(
            [*TOOLS, "task", str(job / "job.json"), "expand", "--chunk", str(k)], stdout=subprocess.DEVNULL
        )
        for k in range(count)
    ]
    if any(task.wait() for task in tasks):
        raise SystemExit("a task failed")
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--width", type=int, default=1920)
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--storage", type=float, default=1000, help="MB per second that all nodes share")
    parser.add_argument("--slow", type=Path, help="folder on storage of that speed: check the model there as well")
    parser.add_argument("--out", type=Path, default=Path("out/shot"))
    arguments = parser.parse_args()
    folder = arguments.out.resolve()
    plates = [folder / "plates" / f"shot.{1000 + k}.png" for k in range(1, arguments.frames + 1)]
    first = write_plate(folder / "plate.png", arguments.width, arguments.height)
    for path in plates:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(first, path)
    count, precision = len(plates), arguments.precision

    alone = stages(plates, folder, precision)
    total = sum(alone.values())
    print(
        f"{count} frames of {arguments.width}x{arguments.height}, {precision}; "
        "seconds per frame, stages by themselves, 1 thread (smooth: with the maps that it reads):"
    )
    for name, seconds in alone.items():
        print(f"  {name:16} {seconds / count:7.3f}  {100 * seconds / total:5.1f} %")
    print(f"  {'sum':16} {total / count:7.3f}  = {count / total:.2f} frames/s without overlap")
    stored = sum(alone[stage] for stage in ("read", "keep analyses", "write"))
    print(
        f"  files {100 * stored / total:.1f} %; ideal: {count / (total - stored):.2f} frames/s, files hidden behind the rest"
    )

    files(plates, folder, precision, alone)
    for steady_ in ("auto", "off"):
        words = [*map(str, plates), "-o", str(folder / "whole"), "--progress", "none", "--precision", precision]
        usage = measure([*COMMAND, *words, "--steady", steady_])
        print(f"batch, --steady {steady_}: {count / usage.wall:.2f} frames/s, {usage.cpu / usage.wall:.2f} cores busy")

    one, two = (workers(plates, folder, k, precision) for k in (1, 2))
    # A task that finds everything done does nothing but start.
    start = time.perf_counter()
    subprocess.run([*TOOLS, "task", str(folder / "job1" / "job.json"), "expand"], check=True, stdout=subprocess.DEVNULL)
    load = time.perf_counter() - start
    numbers = smoothing(folder / "job1") / count
    print(f"farm tasks, one core each: 1 worker {one:.1f} s, 2 workers {two:.1f} s, speed-up {one / two:.2f}")
    scratch = folder / "job1" / "scratch"
    traffic = Traffic(
        plate=plates[0].stat().st_size,
        maps=sum(path.stat().st_size for path in scratch.rglob("*") if path.is_file()) / count,
        result=sum(path.stat().st_size for path in (folder / "farm1").iterdir()) / count,
        storage=arguments.storage * 1e6,
    )
    print(f"storage: {traffic.whole / 1e6:.1f} MB pass per frame, {arguments.storage:g} MB/s for all nodes")
    frame = (one - load) / count
    print(
        f"model: a task takes {load:.1f} s to start, {frame:.2f} s per frame; numbers {numbers:.3f} s per frame, once"
    )
    check(2, two, load + frame * math.ceil(count / 2))
    if arguments.slow is not None:
        slow_storage(plates, arguments.slow.resolve(), precision, load, frame, traffic)
    farm(load, frame, numbers, count, alone, traffic)


def smoothing(job: Path) -> float:
    """Return what the step that finds cuts and makes numbers steady takes, without its start."""
    started = time.perf_counter()
    run_task(FarmJob.load(job / "job.json"), "smooth", [], progress="none")
    return time.perf_counter() - started


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Bytes of a frame that pass between nodes and the storage that they share."""

    plate: float
    maps: float
    """Of its analysis."""
    result: float
    storage: float
    """Bytes per second, read and written, that all nodes share."""

    @property
    def expanding(self) -> float:
        """Bytes of the last step: the plate read to tell it and to decode it, maps of 18 frames per 10, the result."""
        return 2 * self.plate + 1.8 * self.maps + self.result

    @property
    def whole(self) -> float:
        """Bytes of all steps: the plate twice more, and its maps written."""
        return self.expanding + 2 * self.plate + self.maps


def check(count: int, measured: float, predicted: float) -> None:
    """Print how far the model is from a measurement."""
    off = 100 * (predicted / measured - 1)
    who = "worker" if count == 1 else "workers"
    print(f"  {count} {who}: {predicted:.1f} s by the model, {measured:.1f} s measured ({off:+.0f} %)")


def slow_storage(
    plates: Sequence[Path], folder: Path, precision: str, load: float, frame: float, traffic: Traffic
) -> None:
    """Expand on storage that is slow enough to matter, and print what the model says of it."""
    there = folder / "plates"
    there.mkdir(parents=True, exist_ok=True)
    copies = [Path(shutil.copy(path, there)) for path in plates]
    print("the same on the slow storage, where expanding alone passes")
    for count in (1, 2):
        measured = workers(copies, folder, count, precision)
        each = math.ceil(len(plates) / count)
        passing = len(plates) * traffic.expanding / traffic.storage
        check(count, measured, load + max(each * frame, passing))


def farm(load: float, frame: float, numbers: float, frames: int, alone: dict[str, float], traffic: Traffic) -> None:
    """Print what the model says of many nodes."""
    analyze = (alone["read"] / 2 + alone["survey"] + alone["analyze"] + alone["keep analyses"]) / frames
    print("  a shot of 2000 frames in chunks of 10, by nodes: hours, and node hours")
    for nodes in (10, 100, 1000):
        rounds = math.ceil(200 / nodes)
        chunks = rounds * (2 * load + 10 * (frame + analyze))
        elapsed = max(chunks, 2000 * traffic.whole / traffic.storage) + 2000 * numbers + load
        spent = (200 * (2 * load + 10 * (frame + analyze)) + 2000 * numbers) / 3600
        print(f"  {nodes:5} nodes: {elapsed / 3600:.3f} h, {spent:.2f} node hours")


if __name__ == "__main__":
    main()
