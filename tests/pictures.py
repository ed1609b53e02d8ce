"""Generated pictures with known light, and what a compositor's eye measures on a result; numpy and Pillow only."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from fakes import encode_srgb
from PIL import Image, ImageDraw, ImageFont

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
"""Weights of ITU-R BT.709."""

PLATE_WHITE = 203.0
"""Luminance of the plate's white in cd/m2: HDR reference white of ITU-R BT.2408."""


def plate_of(light: np.ndarray, *, white: float = 1.0) -> np.ndarray:
    """Return the 8-bit sRGB plate of light that clips at 1.0, with white at the code `white` of full scale."""
    return np.rint(encode_srgb(np.clip(light, 0, 1)) * 255 * white).astype(np.uint8)


def jpeg(plate: np.ndarray, *, quality: int = 75) -> np.ndarray:
    """Return an 8-bit plate after one trip through a JPEG file with Pillow's defaults."""
    held = io.BytesIO()
    Image.fromarray(plate).save(held, "JPEG", quality=quality)
    return np.asarray(Image.open(held).convert("RGB"))


def grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return y and x of pixel centers, from the picture's center."""
    y, x = np.mgrid[:height, :width]
    return y - (height - 1) / 2, x - (width - 1) / 2


def disc(
    radius: float,
    *,
    peak: Sequence[float] | np.ndarray,
    around: Sequence[float] | np.ndarray,
    soft: float = 3.0,
    size: int = 128,
) -> np.ndarray:
    """Return a disc of constant light whose edge fades over `soft` pixels: (size, size, 3)."""
    y, x = grid(size, size)
    cover = np.clip((radius - np.hypot(x, y)) / soft + 0.5, 0, 1)[:, :, None]
    return np.asarray(around) + cover * (np.asarray(peak) - np.asarray(around))


def glow(*, peak: Sequence[float] | np.ndarray, width: float, floor: float = 0.02, size: int = 160) -> np.ndarray:
    """Return a light that falls off as a Gaussian in log light: clipped inside, smooth everywhere."""
    y, x = grid(size, size)
    return floor + np.asarray(peak) * np.exp(-0.5 * (x * x + y * y) / width**2)[:, :, None]


def ramp(*, color: Sequence[float], low: float, high: float, height: int = 64, width: int = 256) -> np.ndarray:
    """Return light that rises from `low` to `high` stops around 1.0, left to right."""
    stops = np.linspace(low, high, width)
    return np.broadcast_to(np.exp2(stops)[None, :, None] * np.asarray(color), (height, width, 3)).copy()


def color_bars(level: float, *, height: int = 96, width: int = 210) -> np.ndarray:
    """Return seven vertical bars as codes: white at 1.0, the colors at `level` (0.75 or 1.0), as in EBU Tech 3325."""
    colors = [(1, 1, 1), (1, 1, 0), (0, 1, 1), (0, 1, 0), (1, 0, 1), (1, 0, 0), (0, 0, 1)]
    bars = np.array(colors, float) * level
    bars[0] = 1.0
    columns = np.arange(width) * len(bars) // width
    return np.rint(np.broadcast_to(bars[columns], (height, width, 3)) * 255).astype(np.uint8)


def patches(colors: Sequence[Sequence[int]], *, edge: int = 40, around: int = 60) -> np.ndarray:
    """Return 8-bit squares in a row, with a gray border of 16 pixels."""
    row = np.full((edge + 32, len(colors) * (edge + 16) + 16, 3), around, np.uint8)
    for number, color in enumerate(colors):
        left = 16 + number * (edge + 16)
        row[16 : 16 + edge, left : left + edge] = color
    return row


def with_text(plate: np.ndarray, lines: Sequence[str], *, color: Sequence[int], size: int = 16) -> np.ndarray:
    """Return the plate with lines of Pillow's own font burned in from the top left."""
    image = Image.fromarray(plate)
    font = ImageFont.load_default(size)
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        draw.text((10, 8 + number * (size + 6)), line, font=font, fill=tuple(color))
    return np.asarray(image)


def slate(*, height: int = 180, width: int = 320) -> np.ndarray:
    """Return a slate: black ground, white box with black text, gray steps, six colors, white text."""
    plate = np.zeros((height, width, 3), np.uint8)
    plate[70:110, 10:150] = 255
    for number, code in enumerate((32, 64, 96, 128, 160, 192, 224, 255)):
        plate[140:170, 10 + 36 * number : 46 + 36 * number] = code
    for number, color in enumerate(
        ((255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 255, 255), (255, 0, 255), (255, 255, 0))
    ):
        plate[70:110, 160 + 25 * number : 185 + 25 * number] = color
    plate = with_text(plate, ["SHOT 010_0040  v003", "1001-1100  25 fps"], color=(255, 255, 255))
    image = Image.fromarray(plate)
    ImageDraw.Draw(image).text((20, 80), "TAKE 7", font=ImageFont.load_default(18), fill=(0, 0, 0))
    return np.asarray(image)


def scenery(seed: int, width: int = 600) -> np.ndarray:
    """A wide picture with structure at the scale of objects: (256, width, 3) codes in [0, 1]."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((9, width // 30 + 2))
    rows, columns = np.linspace(0, 8, 256), np.linspace(0, coarse.shape[1] - 1, width)
    across = np.stack([np.interp(columns, np.arange(coarse.shape[1]), row) for row in coarse])
    picture = np.stack([np.interp(rows, np.arange(9), column) for column in across.T], 1)
    return np.clip(picture, 0, 1)[:, :, None].repeat(3, 2).astype(np.float32)


def log_luminance(light: np.ndarray) -> np.ndarray:
    """Return log2 of luminance over white, (H, W)."""
    return np.log2(np.maximum(light @ LUMINANCE, 2.0**-20))


def radial_profile(image: np.ndarray) -> np.ndarray:
    """Return the mean of an (H, W) image over rings of one pixel around its center."""
    y, x = grid(*image.shape)
    ring = np.hypot(x, y).astype(int)
    count = min(image.shape) // 2
    inside = ring < count
    return np.bincount(ring[inside], image[inside], count) / np.bincount(ring[inside], minlength=count)


def largest_fall(profile: np.ndarray) -> float:
    """Return the most that a sequence falls below any of its earlier values."""
    return float((np.maximum.accumulate(profile) - profile).max(initial=0.0))


def laplacian(image: np.ndarray) -> np.ndarray:
    """Return the 5-point Laplacian of an (H, W) image, smaller by one pixel at each border."""
    center = image[1:-1, 1:-1]
    return image[:-2, 1:-1] + image[2:, 1:-1] + image[1:-1, :-2] + image[1:-1, 2:] - 4 * center


def ictcp(light: np.ndarray) -> np.ndarray:
    """Return ICtCp (ITU-R BT.2100-2, table 7, PQ) of linear Rec.709 light over plate white."""
    # ITU-R BT.2087-0, section 2.1: linear BT.709 to BT.2020.
    to_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
    to_lms = np.array([[1688, 2146, 262], [683, 2951, 462], [99, 309, 3688]]) / 4096
    to_ictcp = np.array([[2048, 2048, 0], [6610, -13613, 7003], [17933, -17390, -543]]) / 4096
    y = np.maximum(light @ to_2020.T @ to_lms.T, 0) * PLATE_WHITE / 10000
    # SMPTE ST 2084 inverse EOTF.
    power = y ** (2610 / 16384)
    pq = ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)
    return pq @ to_ictcp.T


def hue_errors(light: np.ndarray, truth: np.ndarray, *, least_chroma: float = 0.02) -> np.ndarray:
    """Return |hue(light) - hue(truth)| in degrees in the CtCp plane, where the truth's chroma is not too small."""
    ours, real = (ictcp(values)[..., 1:] @ np.array([0.5, 1j]) for values in (light, truth))
    chromatic = np.abs(real) >= least_chroma
    return np.degrees(np.abs(np.angle(ours[chromatic] * np.conj(real[chromatic]))))
