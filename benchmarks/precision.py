"""Error of each precision and engine against exact float32, in stops, on the example plates and on darker copies.

python benchmarks/precision.py [PLATE ...]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

import plates

from expandnet_ofx import Expander, Settings
from expandnet_ofx.images import open_image, to_array

VARIANTS = (("torch", "mixed"), ("torch", "half"), ("openvino", "fp32"), ("openvino", "half"))


def main() -> None:
    """Print rms, 99.9th percentile and mean of log2(variant / exact) for full predictions and for delivered pictures."""
    given = [to_array(open_image(path))[..., :3] for path in sys.argv[1:]]
    inputs = given or [plates.expose(plates.render(scene) * gain) for scene in plates.SCENES for gain in (1.0, 0.125)]
    for merge in ("full", "highlights"):
        settings = Settings(merge=merge)  # type: ignore[arg-type]
        exact = Expander(settings, device="cpu")
        references = [exact(plate) for plate in inputs]
        for engine, precision in VARIANTS:
            other = Expander(settings, engine=engine, precision=precision, device="cpu")
            stops = np.concatenate(
                [
                    np.log2(np.maximum(other(plate), 1e-6) / np.maximum(reference, 1e-6)).ravel()
                    for plate, reference in zip(inputs, references, strict=True)
                ]
            )
            rms, tail = float(np.sqrt((stops**2).mean())), float(np.percentile(np.abs(stops), 99.9))
            print(
                f"{merge:10} {engine:8} {precision:5}  rms {rms:.5f}  99.9 % {tail:.5f}  mean {stops.mean():+.5f} stops"
            )


if __name__ == "__main__":
    main()
