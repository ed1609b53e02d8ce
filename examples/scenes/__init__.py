"""Four pictures as pure functions of position.

A painter takes x and y, a float32 grid (h, w) as np.meshgrid makes it: y is -1 at the bottom and 1 at the top, x has
the same unit and 0 in the middle. It returns (3, h, w) scene-linear light, Rec.709 primaries, 1.0 = plate white.
Nothing depends on the number of pixels, so a picture can be painted in bands and at any size.
"""

from __future__ import annotations

from collections.abc import Callable

from scenes import metal, night, sky, window
from scenes.brushes import Plane

PAINTERS: dict[str, Callable[[Plane, Plane], Plane]] = {
    "window": window.paint,
    "sky": sky.paint,
    "night": night.paint,
    "metal": metal.paint,
}
