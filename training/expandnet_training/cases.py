"""Test cases: fixed views of held-out places, photographed at known shares of clipping."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from expandnet_training import responses
from expandnet_training.camera import exposure, quantize
from expandnet_training.hdr_images import HDRImage
from expandnet_training.views import Aim, perspective

SHARES = (0.02, 0.07, 0.15, 0.3)
QUICK_SHARES = (0.07, 0.15)
SIZE = (270, 480)
"""Height and width of a view: 16:9, at a panorama's own resolution of 1024 pixels around."""

LARGE_SIZE = (720, 1280)

JPEG_QUALITY = 90


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """One plate with its truth."""

    place: str
    share: float
    """Share of pixels with a channel above white."""
    response: str
    """`known`: sRGB, or what the method is told. `unknown`, `random`: another curve, which nobody tells the method."""
    storage: str
    """`8-bit` or `jpeg`."""
    plate: NDArray[np.uint8]
    truth: NDArray[np.float32]
    """Light over the plate's white, (H, W, 3)."""
    maker: str = "exposure"
    """How the exposure was chosen: by the share that clips, or as `expandnet_comparison.protocol` says."""

    @property
    def clipped(self) -> NDArray[np.bool_]:
        """Channels that clipped, (H, W, 3)."""
        return (self.truth > 1) & (self.plate >= 253)


def held_out_cases(images: Sequence[HDRImage], *, quick: bool = False) -> Iterator[Case]:
    """Yield the cases of places: two views each, every share, both responses, with and without JPEG; fewer if quick."""
    for number, image in enumerate(images):
        light = torch.from_numpy(image.pixels).permute(2, 0, 1)
        for turn in range(1 if quick else 2):
            view = view_of(image, light, turn)
            generator = torch.Generator().manual_seed(1000 * number + turn)
            for share in QUICK_SHARES if quick else SHARES:
                for response in ("known", "unknown"):
                    truth, codes = _photograph(view, share, response, generator)
                    for storage in ("8-bit",) if quick else ("8-bit", "jpeg"):
                        plate = codes if storage == "8-bit" else _jpeg(codes)
                        yield Case(
                            place=image.name, share=share, response=response, storage=storage, plate=plate, truth=truth
                        )


def large_plate(image: HDRImage) -> NDArray[np.uint8]:
    """Return the first view of a place at 1280 x 720, a tenth of it clipped, known response."""
    view = view_of(image, torch.from_numpy(image.pixels).permute(2, 0, 1), 0, LARGE_SIZE)
    return _photograph(view, 0.1, "known", torch.Generator().manual_seed(0))[1]


def view_of(image: HDRImage, light: torch.Tensor, turn: int, size: tuple[int, int] | None = None) -> torch.Tensor:
    """Return what test cases show of a place: (3, height, width) light of any scale; a photograph as it is.

    Args:
        image: the place.
        light: its pixels, (3, H, W).
        turn: 0 or 1, opposite directions of a panorama.
        size: height and width of a view of a panorama; None for `SIZE`.
    """
    size = size or SIZE
    if not image.latlong:
        return light.float()
    aim = Aim(yaw=math.radians(40 + 180 * turn), pitch=math.radians(5), fov=math.radians(90))
    return perspective(light, aim, height=size[0], width=size[1]).clamp(min=0)


def _photograph(
    view: torch.Tensor, share: float, response: str, generator: torch.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    white = exposure(view[None], torch.tensor([share]))
    light = view / white
    noise = 0.002 * torch.randn(light.shape, generator=generator) * light.clamp(1e-4, 1).sqrt()
    first, second = torch.rand(2, generator=generator)
    family = torch.randint(1, len(responses.RESPONSES), (1,), generator=generator)
    family = family if response == "unknown" else torch.zeros_like(family)
    sensed = (light + noise).clamp(0, 1)[None]
    codes = quantize(responses.apply(sensed, family, first[None], second[None]))[0]
    plate = (codes * 255).round().byte().permute(1, 2, 0).numpy()
    return np.ascontiguousarray(light.permute(1, 2, 0).numpy()), np.ascontiguousarray(plate)


def _jpeg(plate: NDArray[np.uint8]) -> NDArray[np.uint8]:
    from PIL import Image

    held = io.BytesIO()
    Image.fromarray(plate).save(held, "JPEG", quality=JPEG_QUALITY)
    return np.asarray(Image.open(held).convert("RGB"))
