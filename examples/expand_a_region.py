"""Render a region of a large plate under the analysis of the whole, reading only the rows near it.

python examples/expand_a_region.py PLATE X0 Y0 X1 Y1
"""

import sys
from pathlib import Path

from expandnet_ofx import Analysis, Expander, ExpandNetError
from expandnet_ofx.images import open_image

try:
    path = Path(sys.argv[1])
    x0, y0, x1, y1 = map(int, sys.argv[2:6])
except (IndexError, ValueError):
    sys.exit(__doc__)

try:
    expander = Expander()
    with open_image(path) as plate:
        saved = path.with_suffix(".analysis.json")
        analysis = Analysis.load(saved) if saved.exists() else expander.analyze(plate)
        analysis.save(saved)
        light = expander.render(plate, analysis, region=(x0, y0, x1, y1))
except ExpandNetError as error:
    sys.exit(str(error))
print(f"{light.shape[1]}x{light.shape[0]} pixels, brightest {light.max():.2f}; analysis kept in {saved}")
