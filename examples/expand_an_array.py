"""Expand an array: the whole job in one call."""

import numpy as np

from expandnet_ofx import Expander, Settings

# A sky that clips: codes as a camera delivers them, 8 bits, sRGB.
light = np.linspace(0.05, 6.0, 320, dtype=np.float32)[None, :, None] * np.ones((180, 1, 3), np.float32)
plate = np.round(255 * np.clip(light, 0, 1) ** (1 / 2.2)).astype(np.uint8)

expand = Expander(Settings(input_space="gamma2.2"))
result = expand(plate)

print(f"plate {plate.shape} {plate.dtype} -> light {result.shape} {result.dtype}")
print(f"brightest plate value 1.0, brightest light {result.max():.2f}")
