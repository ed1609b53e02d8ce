"""Batches of crops with the proxies of the views they come from; the same for the same seed and step, on any device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from expandnet_ofx.architecture import GLOBAL_SIZE, RADIUS
from expandnet_training import tonemappers
from expandnet_training.camera import Camera, quantize
from expandnet_training.hdr_images import HDRImage
from expandnet_training.losses import LOG_SCALE, stops
from expandnet_training.recipe import Recipe
from expandnet_training.responses import srgb_light
from expandnet_training.views import random_view

ASPECTS = (1.0, 4 / 3, 16 / 9, 2.39)
"""Width over height of views: squeezed to a square for the global branch, as at inference."""

SHIFT = 8
"""Most pixels that a camera drifts between two photographs of the same view."""

NOISE = 2 / 255
"""Most noise between the two, as a share of full scale."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One step's samples."""

    crops: Tensor
    """Codes that the network sees, (N, 3, crop + 16, crop + 16) with the halo, else (N, 3, crop, crop)."""
    proxies: Tensor
    """Views reduced to (N / crops per view, 3, 256, 256); the crops of a view follow each other."""
    light: Tensor
    """What to find, (N, 3, crop, crop)."""
    clipped: Tensor
    """Where a channel clipped, same shape."""
    boldness: Tensor
    """The knob, drawn for each view: (N / crops per view,)."""
    again: tuple[Tensor, Tensor] | None
    """The first crop of each view with new noise, and the view's proxy shifted by a few pixels; None if not asked for."""


class Batches:
    """Makes the batch of any step, from nothing but recipe, images and the step's number."""

    def __init__(self, images: Sequence[HDRImage], recipe: Recipe, device: torch.device) -> None:
        self._recipe = recipe
        self._device = device
        self._camera = Camera(recipe.camera)
        self._latlong = [image.latlong for image in images]
        self._images = [torch.from_numpy(image.pixels).permute(2, 0, 1).contiguous().to(device) for image in images]

    def __call__(self, step: int) -> Batch:
        """Return the batch of a step."""
        recipe = self._recipe
        # Seed and step go into the 32 bits that a generator on the CPU takes.
        mixed = np.random.SeedSequence((recipe.seed, step)).generate_state(1)
        generator = torch.Generator().manual_seed(int(mixed[0]))
        views = recipe.batch // recipe.crops_per_view
        level = 2 if float(torch.rand((), generator=generator)) < recipe.pyramid else 1
        height = _integer(*recipe.view, generator) * level
        aspect = ASPECTS[_integer(0, len(ASPECTS) - 1, generator)] if recipe.halo else 1.0
        width = round(height * aspect)
        seen = torch.stack([self._view(generator, height, width) for _ in range(views)])
        codes, light, clipped = self._photographed(seen, generator)
        proxies = reduce(codes, antialias=recipe.antialias)
        if level > 1:
            codes, light, clipped = reduced(codes, light, clipped)
        halo = RADIUS if recipe.halo else 0
        corners = [
            (view, *self._corner(clipped[view], generator, halo))
            for view in range(views)
            for _ in range(recipe.crops_per_view)
        ]
        edge = recipe.crop + 2 * halo

        def cut(x: Tensor, margin: int, size: int) -> Tensor:
            places = ((view, top + margin, left + margin) for view, top, left in corners)
            return torch.stack([x[view, :, y : y + size, x_ : x_ + size] for view, y, x_ in places])

        crops = cut(codes, 0, edge)
        low, high = recipe.boldness or (0.5, 0.5)
        return Batch(
            crops=crops,
            proxies=proxies,
            light=cut(light, halo, recipe.crop),
            clipped=cut(clipped, halo, recipe.crop),
            boldness=(low + (high - low) * torch.rand(views, generator=generator)).to(self._device),
            again=self._again(codes, crops[:: recipe.crops_per_view], generator) if recipe.steady_weight else None,
        )

    def _again(self, codes: Tensor, crops: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Photograph the views once more: new noise, rounded again, and the whole view framed a few pixels aside."""
        noise = NOISE * torch.rand((len(crops), 1, 1, 1), generator=generator)
        noise = (noise * torch.randn(crops.shape, generator=generator)).to(self._device)
        down, right = (_integer(1, SHIFT, generator) for _ in range(2))
        proxies = reduce(codes[:, :, down:, right:], antialias=self._recipe.antialias)
        return quantize((crops + noise).clamp(0, 1)), proxies

    def _view(self, generator: torch.Generator, height: int, width: int) -> Tensor:
        number = _integer(0, len(self._images) - 1, generator)
        image, latlong = self._images[number], self._latlong[number]
        return random_view(image, generator, latlong=latlong, height=height, width=width)

    def _photographed(self, seen: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        if self._recipe.makes == "camera":
            shot = self._camera(seen, generator)
            return shot.codes, shot.light, shot.clipped
        rng = np.random.default_rng(_integer(0, 2**31 - 1, generator))
        pictures = [np.ascontiguousarray(view.permute(1, 2, 0).cpu().numpy()) for view in seen]
        light = np.stack([tonemappers.stretch(picture) for picture in pictures])
        codes = np.stack([tonemappers.random_plate(picture, rng) for picture in pictures])
        codes_, light_ = (torch.from_numpy(x).permute(0, 3, 1, 2).to(self._device) for x in (codes, light))
        return codes_, light_, torch.ones_like(light_, dtype=torch.bool)

    def _corner(self, clipped: Tensor, generator: torch.Generator, halo: int) -> tuple[int, int]:
        """Return top and left of a crop: four times in five over light to find, else anywhere."""
        edge = self._recipe.crop + 2 * halo
        height, width = clipped.shape[1:]
        top, left = _integer(0, height - edge, generator), _integer(0, width - edge, generator)
        places = clipped.any(0).nonzero()
        if _integer(0, 4, generator) == 0 or not len(places):
            return top, left
        row, column = places[_integer(0, len(places) - 1, generator)].tolist()
        down, right = (_integer(halo, edge - halo - 1, generator) for _ in range(2))
        return min(max(0, row - down), height - edge), min(max(0, column - right), width - edge)


def reduce(codes: Tensor, *, antialias: bool) -> Tensor:
    """Return plates (N, 3, H, W) reduced to (N, 3, 256, 256), as the product's survey does."""
    size = (GLOBAL_SIZE, GLOBAL_SIZE)
    return functional.interpolate(codes, size, mode="bilinear", align_corners=False, antialias=antialias)


def reduced(codes: Tensor, light: Tensor, clipped: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return codes, light and clipping of pictures at half their size, as the product's pyramid makes them.

    Codes are averaged; light keeps its mean in stops, which is what the small map is laid over the plate as.
    """
    codes = functional.avg_pool2d(codes, 2)
    over = functional.avg_pool2d(clipped.float(), 2) == 1
    light = (torch.exp2(functional.avg_pool2d(stops(light), 2)) - 1) / LOG_SCALE
    return codes, torch.where(over, light, srgb_light(codes)), over


def _integer(low: int, high: int, generator: torch.Generator) -> int:
    """Return a random integer from low to high, both included."""
    return int(torch.randint(low, high + 1, (), generator=generator))
