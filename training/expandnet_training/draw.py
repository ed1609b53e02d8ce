"""Random settings of a batch: drawn on the CPU with one generator, used on any device."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Draw:
    """Draws a value per picture, (N,)."""

    def __init__(self, count: int, generator: torch.Generator, device: torch.device) -> None:
        self._count, self._generator, self._device = count, generator, device

    def within(self, low: float, high: float) -> Tensor:
        """Draw evenly from an interval."""
        return (low + (high - low) * torch.rand(self._count, generator=self._generator)).to(self._device)

    def logarithmic(self, low: float, high: float) -> Tensor:
        """Draw evenly in the logarithm."""
        return self.within(math.log(low), math.log(high)).exp()

    def chance(self, share: float) -> Tensor:
        """Draw 1.0 for a share of the pictures, else 0.0."""
        return (torch.rand(self._count, generator=self._generator) < share).float().to(self._device)

    def integer(self, count: int) -> Tensor:
        """Draw from 0 to count - 1."""
        return torch.randint(count, (self._count,), generator=self._generator).to(self._device)

    def normal(self, shape: torch.Size) -> Tensor:
        """Draw a tensor from the normal distribution."""
        return torch.randn(shape, generator=self._generator).to(self._device)

    def uniform(self, shape: tuple[int, ...]) -> Tensor:
        """Draw a tensor evenly from 0 to 1."""
        return torch.rand(shape, generator=self._generator).to(self._device)
