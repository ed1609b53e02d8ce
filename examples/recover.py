"""The main job and its proof: make plates with known truth, expand them, and say how much of the truth came back.

    python examples/recover.py OUT

OUT holds the 8-bit plates, OUT/truth the scene-linear truth, OUT/exr the results with a preview sheet each.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import plates
from numpy.typing import NDArray

from expandnet_ofx.transfer import srgb_decode


def read(path: Path) -> NDArray[np.float32]:
    """Read the color of a picture: (H, W, 3) float32, codes of an 8-bit plate as 0 to 1."""
    buffer = oiio.ImageBuf(str(path))
    if buffer.has_error:
        raise SystemExit(f"{path}: {buffer.geterror()}")
    return np.asarray(buffer.get_pixels(oiio.FLOAT), np.float32)[..., :3]


def recovered(plate: Path, truth: Path, result: Path) -> tuple[float, float]:
    """Return the share of the error that is gone, and the share of pixels it is measured on.

    1 - sum |log2(result / truth)| / sum |log2(plate / truth)|, over pixels with a channel at full scale.
    """
    codes = read(plate)
    clipped = (codes >= 1.0).any(2)
    floor = np.float32(2**-12)
    before, after, wanted = (
        np.log2(np.maximum(light[clipped], floor)) for light in (srgb_decode(codes), read(result), read(truth))
    )
    gone = 1 - np.abs(after - wanted).sum() / np.abs(before - wanted).sum()
    return float(gone), float(clipped.mean())


def main() -> int:
    """Run the job; the exit code is that of the batch."""
    parser = argparse.ArgumentParser(
        description="Make plates with known truth, expand them, and say how much came back."
    )
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    pairs = plates.write(out)
    batch = [sys.executable, "-c", "from expandnet_batch.main import main; main()"]
    inputs = [str(plate) for plate, _ in pairs]
    code = subprocess.run([*batch, *inputs, "-o", str(out / "exr"), "--preview", "all"], check=False).returncode
    if code:
        return code
    shares = []
    for plate, truth in pairs:
        share, clipped = recovered(plate, truth, out / "exr" / f"{plate.stem}.exr")
        shares.append(share)
        print(
            f"{plate.stem:8} {100 * share:5.1f} % of the error in stops is gone, over {100 * clipped:4.1f} % of the pixels"
        )
    print(f"{'mean':8} {100 * float(np.mean(shares)):5.1f} %; sheets in {out / 'exr'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
