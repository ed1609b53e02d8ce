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
from expandnet_training.camera import Camera
from expandnet_training.hdr_images import HDRImage
from expandnet_training.recipe import Recipe
from expandnet_training.views import random_view

ASPECTS = (1.0, 4 / 3, 16 / 9, 2.39)
"""Width over height of views: squeezed to a square for the global branch, as at inference."""


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
        generator = torch.Generator().manual_seed((recipe.seed << 32) + step)
        views = recipe.batch // recipe.crops_per_view
        height = _integer(*recipe.view, generator)
        aspect = ASPECTS[_integer(0, len(ASPECTS) - 1, generator)] if recipe.halo else 1.0
        width = round(height * aspect)
        seen = torch.stack([self._view(generator, height, width) for _ in range(views)])
        codes, light, clipped = self._photographed(seen, generator)
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

        return Batch(
            crops=cut(codes, 0, edge),
            proxies=reduce(codes, antialias=recipe.antialias),
            light=cut(light, halo, recipe.crop),
            clipped=cut(clipped, halo, recipe.crop),
        )

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
        """Return top and left of a crop; of four random places the one with most light to find, three times in four."""
        edge = self._recipe.crop + 2 * halo
        height, width = clipped.shape[1:]
        places = [(_integer(0, height - edge, generator), _integer(0, width - edge, generator)) for _ in range(4)]
        if _integer(0, 3, generator) == 0:
            return places[0]
        shares = [float(clipped[:, t : t + edge, left : left + edge].float().mean()) for t, left in places]
        return places[int(np.argmax(shares))]


def reduce(codes: Tensor, *, antialias: bool) -> Tensor:
    """Return plates (N, 3, H, W) reduced to (N, 3, 256, 256), as the product's survey does."""
    size = (GLOBAL_SIZE, GLOBAL_SIZE)
    return functional.interpolate(codes, size, mode="bilinear", align_corners=False, antialias=antialias)


def _integer(low: int, high: int, generator: torch.Generator) -> int:
    """Return a random integer from low to high, both included."""
    return int(torch.randint(low, high + 1, (), generator=generator))
