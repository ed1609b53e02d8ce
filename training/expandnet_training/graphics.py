"""Flat graphics laid over pictures: bars, logos, burnt-in text and whole slates, which are white and hold no light."""

from __future__ import annotations

import torch
from torch import Tensor

from expandnet_training.draw import Draw

BARS = 6
"""Bars and patches per picture."""

GLYPH = (5, 3)
"""Rows and columns of strokes of a letter, which a gap of one follows."""


def graphics(codes: Tensor, draw: Draw, share: float) -> tuple[Tensor, Tensor]:
    """Lay flat graphics over a share of the pictures; a quarter of those lose their scene to a flat slate.

    Args:
        codes: (N, 3, H, W) in [0, 1].
        draw: where random settings come from.
        share: of pictures that get graphics.

    Returns:
        The pictures, and where something was laid over them, (N, 1, H, W).
    """
    chosen = draw.chance(share) > 0
    covered = torch.zeros_like(codes[:, :1], dtype=torch.bool)
    if not chosen.any():
        return codes, covered
    slate = chosen & (draw.chance(0.25) > 0)
    codes = torch.where(_each(slate), _each(draw.within(0, 1) ** 2), codes)
    covered = covered | _each(slate)
    bars = [_bar(codes, draw) for _ in range(BARS)]
    for coverage, color in (*bars, _text(codes, draw)):
        coverage = coverage * _each(chosen)
        codes = codes + coverage * (color - codes)
        covered = covered | (coverage > 0)
    return codes, covered


def _each(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)


def _color(draw: Draw) -> Tensor:
    """Return white for half of the pictures, else any of the eight corners of the cube, (N, 3, 1, 1)."""
    corner = torch.stack([draw.chance(0.5) for _ in range(3)], 1)
    return torch.where(draw.chance(0.5)[:, None] > 0, torch.ones_like(corner), corner)[:, :, None, None]


def _box(codes: Tensor, draw: Draw, high: tuple[float, float], wide: tuple[float, float]) -> Tensor:
    """Return how far pixels are covered by a box of random place and size (shares of the picture): (N, 1, H, W).

    Half of the boxes end on pixels, the others are anti-aliased.
    """
    snapped = draw.chance(0.5) > 0
    coverage = []
    for size, limits in zip(codes.shape[2:], (high, wide), strict=True):
        length = draw.logarithmic(*limits) * size
        start = draw.within(-0.1, 1) * size
        length, start = (torch.where(snapped, x.round(), x) for x in (length.clamp(min=1), start))
        at = torch.arange(size, device=codes.device)[None] + 0.5
        first, last = start[:, None], (start + length)[:, None]
        coverage.append((torch.minimum(at - first, last - at) + 0.5).clamp(0, 1))
    return (coverage[0][:, :, None] * coverage[1][:, None])[:, None]


def _bar(codes: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
    return _box(codes, draw, (0.01, 0.4), (0.01, 0.6)), _color(draw)


def _text(codes: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
    """Return lines of letters, random strokes of one to four pixels, within a box."""
    height, width = codes.shape[2:]
    stroke = 1 + draw.integer(4)
    rows = torch.arange(height, device=codes.device)[None] // stroke[:, None]
    columns = torch.arange(width, device=codes.device)[None] // stroke[:, None]
    inked = draw.uniform((len(codes), height, width)) < 0.6
    at = torch.arange(len(codes), device=codes.device)
    ink = inked[at[:, None, None], rows[:, :, None], columns[:, None]]
    letter = (rows % (GLYPH[0] + 1) < GLYPH[0])[:, :, None] & (columns % (GLYPH[1] + 1) < GLYPH[1])[:, None]
    box = _box(codes, draw, (0.05, 0.6), (0.1, 1.0)).round()
    return (ink & letter)[:, None] * box, _color(draw)
