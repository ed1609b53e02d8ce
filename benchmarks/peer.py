"""Time the product and the authors' program in turn on the same plates, whole process from PNG to EXR (or .hdr).

    python benchmarks/peer.py --peer PATH/TO/hdr-expandnet [--rounds 3] [--out FOLDER] [--plate FILE ...]

PATH holds the authors' expand.py and weights.pth, unchanged; it needs opencv in the environment of `--peer-python`. The
product runs once per variant and round, always after the peer, so that a machine whose speed drifts slows both.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from pathlib import Path

from plates_for_benchmarks import write_plate
from processes import Usage, measure

VARIANTS: dict[str, list[str]] = {
    "fp32": [],
    "fp32 everywhere": ["--merge", "full"],
    "mixed": ["--precision", "mixed"],
    "mixed everywhere": ["--precision", "mixed", "--merge", "full"],
    "openvino": ["--engine", "openvino"],
    "openvino everywhere": ["--engine", "openvino", "--merge", "full"],
    "openvino half": ["--engine", "openvino", "--precision", "half"],
    "openvino half everywhere": ["--engine", "openvino", "--precision", "half", "--merge", "full"],
}
"""`everywhere` computes the prediction at every pixel, as the peer does; the product's default only where light clips."""


def ours(inputs: list[Path], out: Path, options: list[str]) -> Usage:
    """Run the batch command on plates."""
    program = [sys.executable, "-c", "from expandnet_batch.main import main; main()"]
    return measure([*program, *map(str, inputs), "-o", str(out), "--progress", "none", "--steady", "off", *options])


def theirs(peer: Path, python: str, inputs: list[Path], out: Path) -> Usage:
    """Run the authors' program on plates, one call for all as it offers."""
    results = [out / f"{path.stem}_prediction.hdr" for path in inputs]
    for result in results:
        result.unlink(missing_ok=True)
    command = [python, "expand.py", *map(str, inputs), "--use_gpu", "False", "--out", str(out)]
    usage = measure(command, cwd=str(peer), env={"PYTHONPATH": os.environ.get("PEER_PYTHONPATH", "")})
    # It passes over what it cannot read.
    if missing := next((result for result in results if not result.exists()), None):
        raise SystemExit(f"expand.py wrote no {missing}")
    return usage


def compare(name: str, inputs: list[Path], arguments: argparse.Namespace) -> None:
    """Print medians, peak memory and the ratio to the peer for each variant on one set of plates."""
    out = arguments.out / "results"
    out.mkdir(parents=True, exist_ok=True)
    peers: list[Usage] = []
    runs: dict[str, list[Usage]] = {variant: [] for variant in arguments.variant}
    for _ in range(arguments.rounds):
        peers.append(theirs(arguments.peer.resolve(), arguments.peer_python, inputs, out))
        for variant in arguments.variant:
            runs[variant].append(ours(inputs, out, VARIANTS[variant]))
    print(f"\n{name}, {arguments.rounds} rounds: median wall s, cpu s, peak MiB, ratio of walls (per round)")
    _row("authors' expand.py", peers, peers)
    for variant, usages in runs.items():
        _row(variant, usages, peers)


def _row(name: str, usages: list[Usage], peers: list[Usage]) -> None:
    wall = statistics.median(usage.wall for usage in usages)
    cpu = statistics.median(usage.cpu for usage in usages)
    ratios = [peer.wall / usage.wall for peer, usage in zip(peers, usages, strict=True)]
    peak = max(usage.peak for usage in usages)
    spread = " ".join(f"{ratio:.2f}" for ratio in ratios)
    print(f"{name:26} {wall:7.2f} {cpu:7.2f} {peak:6.0f}  x{statistics.median(ratios):.2f}  ({spread})", flush=True)


def main() -> None:
    """Run the comparison on generated plates of two sizes and a batch, or on the plates given."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--peer", type=Path, required=True)
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--out", type=Path, default=Path("out/benchmark"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=20, help="frames of the batch, 0 for none")
    parser.add_argument("--plate", type=Path, nargs="*", default=None)
    parser.add_argument("--variant", nargs="*", choices=list(VARIANTS), default=list(VARIANTS))
    arguments = parser.parse_args()
    # Theirs runs in a folder of its own.
    arguments.out = arguments.out.resolve()
    if arguments.plate:
        compare("given plates", [path.resolve() for path in arguments.plate], arguments)
        return
    hd = write_plate(arguments.out / "hd.png", 1920, 1080)
    compare("1920x1080", [hd], arguments)
    compare("3840x2160", [write_plate(arguments.out / "uhd.png", 3840, 2160)], arguments)
    if arguments.batch:
        frames = [arguments.out / f"frame.{1001 + i}.png" for i in range(arguments.batch)]
        for frame in frames:
            frame.write_bytes(hd.read_bytes())
        compare(f"{arguments.batch} frames of 1920x1080", frames, arguments)


if __name__ == "__main__":
    main()
