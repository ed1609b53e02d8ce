"""What a camera sees of an HDR image: perspective views of panoramas, crops of photographs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, kw_only=True)
class Aim:
    """Where a camera looks in a panorama; angles in radians."""

    yaw: float
    pitch: float
    fov: float
    """Horizontal field of view."""
    roll: float = 0.0


def perspective(panorama: Tensor, aim: Aim, *, height: int, width: int) -> Tensor:
    """Return a perspective view (3, height, width) of a panorama (3, H, W), latitude by longitude.

    Rectilinear projection: a ray through each pixel, turned by roll, pitch and yaw, meets the sphere; bilinear, in the
    logarithm of light, so that an edge beside the sun stays one pixel wide. Longitude wraps.
    """
    device = panorama.device
    reach = math.tan(aim.fov / 2)
    across = (torch.arange(width, device=device) + 0.5) / width * 2 - 1
    down = ((torch.arange(height, device=device) + 0.5) / height * 2 - 1) * (height / width)
    y, x = torch.meshgrid(-down * reach, across * reach, indexing="ij")
    cos, sin = math.cos(aim.roll), math.sin(aim.roll)
    x, y = x * cos - y * sin, x * sin + y * cos
    z = torch.ones_like(x)
    cos, sin = math.cos(aim.pitch), math.sin(aim.pitch)
    y, z = y * cos + z * sin, z * cos - y * sin
    longitude = torch.atan2(x, z) + aim.yaw
    latitude = torch.atan2(y, torch.hypot(x, z))
    rows, columns = panorama.shape[1:]
    # One more column on each side continues the panorama, so that the seam is interpolated like any place.
    wrapped = torch.cat((panorama[:, :, -1:], panorama, panorama[:, :, :1]), 2)
    at_x = torch.remainder(longitude / (2 * math.pi) + 0.5, 1.0) * columns + 1
    at_y = (0.5 - latitude / math.pi) * rows
    grid = torch.stack((at_x / (columns + 2) * 2 - 1, at_y / rows * 2 - 1), -1)[None]
    logarithm = torch.log2(wrapped.float() + 2**-14)[None]
    seen = functional.grid_sample(logarithm, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return torch.exp2(seen[0]) - 2**-14


def random_aim(generator: torch.Generator) -> Aim:
    """Return a random camera: any direction, mostly level, 35 to 100 degrees wide."""
    yaw, pitch, fov, roll = torch.rand(4, generator=generator).tolist()
    return Aim(
        yaw=2 * math.pi * yaw,
        pitch=math.radians(90 * (pitch - 0.5)),
        fov=math.radians(35 + 65 * fov),
        roll=math.radians(10 * (roll - 0.5)),
    )


def random_crop(photograph: Tensor, generator: torch.Generator, *, height: int, width: int) -> Tensor:
    """Return a random part of a photograph (3, H, W) as a view (3, height, width), mirrored half of the time."""
    rows, columns = photograph.shape[1:]
    share = 0.4 + 0.6 * float(torch.rand((), generator=generator))
    scale = min(rows / height, columns / width) * share
    high, wide = max(1, round(height * scale)), max(1, round(width * scale))
    top = int(torch.randint(rows - high + 1, (), generator=generator))
    left = int(torch.randint(columns - wide + 1, (), generator=generator))
    part = torch.log2(photograph[None, :, top : top + high, left : left + wide].float() + 2**-14)
    seen = functional.interpolate(part, (height, width), mode="bilinear", align_corners=False, antialias=True)
    seen = torch.exp2(seen[0]) - 2**-14
    return seen.flip(2) if torch.rand((), generator=generator) < 0.5 else seen


def random_view(image: Tensor, generator: torch.Generator, *, latlong: bool, height: int, width: int) -> Tensor:
    """Return what a random camera sees of an image (3, H, W): light (3, height, width), >= 0."""
    if latlong:
        view = perspective(image, random_aim(generator), height=height, width=width)
        return view.flip(2).clamp(min=0) if torch.rand((), generator=generator) < 0.5 else view.clamp(min=0)
    return random_crop(image, generator, height=height, width=width).clamp(min=0)
