"""A virtual camera: scene-linear light in, the 8-bit plate it would deliver and the light that belongs to it out.

Everything is a function of tensors and one generator on the CPU, so that a batch is the same on any device.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from expandnet_training import responses
from expandnet_training.draw import Draw
from expandnet_training.graphics import graphics
from expandnet_training.jpeg import jpeg

CLIPPED = 0.992
"""Code over the clip level from which a channel is clipped: the product's `full`."""


@dataclass(frozen=True, kw_only=True)
class CameraRanges:
    """What a camera draws its settings from; shares and probabilities in [0, 1]."""

    clipped: tuple[float, float] = (0.002, 0.3)
    """Share of pixels with a channel above white; drawn evenly in its logarithm."""
    white_balance: float = 0.3
    """Largest gain of red and of blue, in stops."""
    saturation: tuple[float, float] = (0.7, 1.3)
    noise: tuple[float, float] = (0.0, 0.01)
    """Standard deviation of sensor noise at white; it falls with the root of light."""
    known_response: float = 0.4
    """Share of pictures with the plain sRGB curve."""
    white_level: tuple[float, float] = (0.9, 1.0)
    """Code that white is graded down to, for a quarter of the pictures."""
    blur: tuple[float, float] = (0.0, 1.5)
    """Sigma of the lens in pixels, for half of the pictures."""
    sharpen: tuple[float, float] = (0.0, 1.0)
    """Strength of an unsharp mask, for half of the pictures."""
    jpeg: tuple[float, float] = (60.0, 98.0)
    """Quality, for half of the pictures."""
    graphics: float = 0.12
    """Share of pictures with flat graphics laid over, which hold no light."""


@dataclass(frozen=True, kw_only=True)
class Shot:
    """A batch of photographs."""

    codes: Tensor
    """Plates over their own white, (N, 3, H, W) in [0, 1]: what the network sees."""
    light: Tensor
    """The light to find, 1 = the plate's white, same shape: the plate's own where a channel did not clip."""
    clipped: Tensor
    """True where a channel is white, same shape: what the merge replaces, by light above white or by its own."""


class Camera:
    """Photographs light with settings drawn anew for each picture."""

    def __init__(self, ranges: CameraRanges | None = None) -> None:
        self.ranges = ranges or CameraRanges()

    def __call__(self, light: Tensor, generator: torch.Generator) -> Shot:
        """Photograph light (N, 3, H, W), linear Rec.709, any scale."""
        draw = Draw(len(light), generator, light.device)
        ranges = self.ranges
        light = _graded(light, draw, ranges)
        sigma = draw.within(*ranges.blur) * draw.chance(0.5)
        light = blur(light, sigma)
        light = light / exposure(light, draw.logarithmic(*ranges.clipped)).view(-1, 1, 1, 1)
        noise = draw.within(*ranges.noise).view(-1, 1, 1, 1)
        sensed = (light + noise * light.clamp(1e-4, 1).sqrt() * draw.normal(light.shape)).clamp(min=0)
        family = torch.where(draw.chance(ranges.known_response) > 0, 0, draw.integer(len(responses.RESPONSES)))
        codes = responses.apply(sensed.clamp(max=1), family, draw.within(0, 1), draw.within(0, 1))
        codes = sharpen(codes, draw.within(*ranges.sharpen) * draw.chance(0.5))
        painted, covered = graphics(codes, draw, ranges.graphics)
        white = torch.where(draw.chance(0.25) > 0, draw.within(*ranges.white_level), 1.0).view(-1, 1, 1, 1)
        stored = quantize(painted * white)
        compressed = jpeg(stored, draw.within(*ranges.jpeg).round())
        stored = torch.where(draw.chance(0.5).view(-1, 1, 1, 1) > 0, compressed, stored)
        level = quantize(white)
        codes = (stored / level).clamp(max=1)
        clipped = codes >= CLIPPED
        over = clipped & (light > 1) & ~covered
        return Shot(codes=codes, light=torch.where(over, light, responses.srgb_light(codes)), clipped=clipped)


def _graded(light: Tensor, draw: Draw, ranges: CameraRanges) -> Tensor:
    """Turn white balance and saturation of the scene, which the truth follows."""
    red, blue = (torch.exp2(draw.within(-ranges.white_balance, ranges.white_balance)) for _ in range(2))
    light = light * torch.stack((red, torch.ones_like(red), blue), 1)[:, :, None, None]
    weights = torch.tensor((0.2126, 0.7152, 0.0722), device=light.device).view(1, 3, 1, 1)
    gray = (light * weights).sum(1, keepdim=True)
    return (gray + draw.within(*ranges.saturation).view(-1, 1, 1, 1) * (light - gray)).clamp(min=0)


def exposure(light: Tensor, share: Tensor) -> Tensor:
    """Return the light (N,) that white stands for, so that a share (N,) of pixels has a channel above it."""
    brightest = light.amax(1).flatten(1)
    ordered = brightest.sort(1).values
    index = ((1 - share) * (ordered.shape[1] - 1)).round().long()
    return ordered.gather(1, index[:, None])[:, 0].clamp(min=1e-6)


def blur(x: Tensor, sigma: Tensor, *, radius: int = 4) -> Tensor:
    """Convolve pictures (N, C, H, W) with Gaussians of sigma (N,) pixels; borders replicate, 0 leaves them alone."""
    at = torch.arange(-radius, radius + 1, device=x.device, dtype=x.dtype)
    weights = torch.exp(-0.5 * (at / sigma.clamp(min=1e-2)[:, None]) ** 2)
    weights = weights / weights.sum(1, keepdim=True)
    count, channels, height, width = x.shape
    kernel = weights.repeat_interleave(channels, 0)[:, None]
    flat = functional.pad(x, (radius,) * 4, mode="replicate").reshape(1, count * channels, height + 2 * radius, -1)
    flat = functional.conv2d(flat, kernel[:, :, :, None], groups=count * channels)
    flat = functional.conv2d(flat, kernel[:, :, None, :], groups=count * channels)
    return flat.reshape(count, channels, height, width)


def sharpen(codes: Tensor, strength: Tensor) -> Tensor:
    """Apply an unsharp mask of one pixel with strengths (N,), as cameras and photographers do, held to [0, 1]."""
    soft = blur(codes, torch.ones_like(strength))
    return (codes + strength.view(-1, 1, 1, 1) * (codes - soft)).clamp(0, 1)


def quantize(codes: Tensor) -> Tensor:
    """Round codes in [0, 1] to 8 bits."""
    return (codes * 255).round() / 255
