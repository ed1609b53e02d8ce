"""Whether TorchScript made by older PyTorch gives the product's numbers, in environments of those generations.

    python benchmarks/export_generations.py PYTHON [PYTHON ...]

Each PYTHON has torch of its generation and safetensors; it writes the model by running `export_model.py` by itself and
renders plates, which are compared with the product at one scale and as it delivers.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "examples"))

import plates

from expandnet_ofx import Expander
from expandnet_ofx.weights import DEFAULT_WEIGHTS

RENDER = """
import sys, numpy, torch
model = torch.jit.load(sys.argv[1])
for name in sys.argv[2:]:
    x = torch.from_numpy(numpy.load(name))
    with torch.no_grad():
        numpy.save(name + ".light.npy", model(x).numpy())
        half = model(x.half())
        assert half.dtype == torch.half
        numpy.save(name + ".half.npy", half.float().numpy())
print(torch.__version__)
"""


def main() -> None:
    """Print the largest difference per generation."""
    expander = Expander(device="cpu")
    scenes = {name: plates.expose(plates.render(name)) for name in plates.SCENES}
    scenes["odd"] = np.ascontiguousarray(scenes["night"][:133, :211])
    with tempfile.TemporaryDirectory() as folder:
        files, single, delivered = [], {}, {}
        for name, codes in scenes.items():
            analysis = expander.analyze(codes)
            bare = replace(
                analysis,
                recovered=None,
                rise=None,
                surround=None,
                broad=None,
                anchor=0.0,
                clip_levels=(1.0,) * 3,
                scene=1.0,
            )
            single[name], delivered[name] = expander.render(codes, bare), expander.render(codes, analysis)
            files.append(f"{folder}/{name}.npy")
            np.save(files[-1], (codes / 255).astype(np.float32).transpose(2, 0, 1)[None])
        for python in sys.argv[1:]:
            target = f"{folder}/model.pt"
            script = ROOT / "expandnet_ofx" / "export_model.py"
            subprocess.run([python, str(script), str(DEFAULT_WEIGHTS), target], check=True, stdout=subprocess.DEVNULL)
            said = subprocess.run([python, "-c", RENDER, target, *files], check=True, capture_output=True, text=True)
            print(f"torch {said.stdout.strip()}")
            for name, file in zip(scenes, files, strict=True):
                light, half = (np.load(f"{file}.{kind}.npy")[0].transpose(1, 2, 0) for kind in ("light", "half"))
                some = single[name] > 1.05
                off = np.abs(
                    light / np.maximum(single[name], 1e-3) - single[name] / np.maximum(single[name], 1e-3)
                ).max()
                coarse = np.abs(np.log2(np.maximum(half, 1e-4) / np.maximum(single[name], 1e-4)))[some].max()
                apart = np.abs(np.log2(light / delivered[name]))[delivered[name] > 1.05]
                print(
                    f"  {name:7} one scale {off:.1e} (half input {coarse:.3f} stops), "
                    f"as delivered {apart.mean():.3f} stops in the mean, {np.percentile(apart, 95):.3f} at 95 %"
                )


if __name__ == "__main__":
    main()
