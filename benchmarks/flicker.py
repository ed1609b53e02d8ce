"""How far recovered light jumps from frame to frame on shots with known light, frame by frame and made steady.

    python benchmarks/flicker.py --data hdr/ --place NAME --weights authors=authors.safetensors -o flicker.png

Three shots of a place: a pan by one pixel per frame, a slow drift of exposure, a lamp that flickers. For each method: rms
and 95th percentile in stops beyond what the truth does, and for the lamp the share of its amplitude that is left.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from expandnet_training import moving
from expandnet_training.camera import exposure
from expandnet_training.hdr_images import load_image
from expandnet_training.views import Aim, perspective

from expandnet_ofx import Expander
from expandnet_ofx.looks import look_at
from expandnet_ofx.shots import ShotWriter
from expandnet_ofx.sources import Identity
from expandnet_ofx.steady import Steadying, steady

SIZE = (270, 480)


def shots_of(path: Path, frames: int) -> list[moving.MovingShot]:
    """Return the three shots of a panorama, a tenth of them clipped."""
    import torch

    image = load_image(path)
    aim = Aim(yaw=math.radians(40), pitch=math.radians(5), fov=math.radians(90))
    light = torch.from_numpy(image.pixels).permute(2, 0, 1).float()
    view = perspective(light, aim, height=SIZE[0], width=SIZE[1] + frames)
    scene = (view / exposure(view[None], torch.tensor([0.1]))).permute(1, 2, 0).numpy()
    still = np.ascontiguousarray(scene[:, : SIZE[1]])
    return [
        moving.pan(scene, frames, width=SIZE[1]),
        moving.exposure_drift(still, frames),
        moving.flickering_lamp(still, frames),
    ]


def steadied(expander: Expander, shot: moving.MovingShot, window: int) -> list[np.ndarray]:
    """Return the frames of a shot rendered under steady analyses."""
    with tempfile.TemporaryDirectory() as folder:
        settings = expander.analyses_depend_on
        writer = ShotWriter(Path(folder) / "shot.json", settings)
        for number, plate in enumerate(shot.plates):
            survey = expander.survey(plate)
            identity = Identity(source=str(number), source_bytes=plate.size, source_sha256=str(number))
            writer.add(number, identity, look_at(survey.proxy), expander.analyze(plate, survey))
        made = steady(writer.commit().frames, settings, Path(folder) / "steady.json", Steadying(window=window))
        return [expander.render(plate, made.frames[number].load()) for number, plate in enumerate(shot.plates)]


def draw(path: Path, results: list[tuple[str, str, float, float]]) -> None:
    """Draw rms and 95th percentile of every method on every shot."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = list(dict.fromkeys(shot for shot, *_ in results))
    methods = list(dict.fromkeys(method for _, method, *_ in results))
    figure, axes = pyplot.subplots(figsize=(9, 5), layout="constrained")
    for number, method in enumerate(methods):
        own = {shot: (rms, high) for shot, name, rms, high in results if name == method}
        at = np.arange(len(names)) + 0.8 * (number + 0.5) / len(methods) - 0.4
        bars = axes.bar(at, [own[name][0] for name in names], 0.8 / len(methods), label=method)
        axes.scatter(at, [own[name][1] for name in names], marker="_", color=[bar.get_facecolor() for bar in bars])
    axes.set_xticks(range(len(names)), names)
    axes.set(ylabel="stops from frame to frame", title="Flicker: rms, and 95th percentile as a dash")
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--place", required=True)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--window", type=int, default=9)
    parser.add_argument("--weights", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("-o", "--output", type=Path, default=None)
    arguments = parser.parse_args()
    named = [("ours", None), *(tuple(text.split("=", 1)) for text in arguments.weights)]
    results = []
    for shot in shots_of(arguments.data / f"{arguments.place}.exr", arguments.frames):
        for name, path in named:
            expander = Expander(weights=path)
            ways = {name: [expander(plate) for plate in shot.plates]}
            ways[f"{name}, steady"] = steadied(expander, shot, arguments.window)
            for method, found in ways.items():
                rms, high = moving.flicker(shot, found)
                lamp = f"  amplitude {moving.amplitude_kept(shot, found):.2f}" if shot.name == "flickering lamp" else ""
                print(f"{shot.name:16} {method:20} rms {rms:.3f}  95 % {high:.3f}{lamp}", flush=True)
                results.append((shot.name, method, rms, high))
    if arguments.output is not None:
        draw(arguments.output, results)


if __name__ == "__main__":
    main()
