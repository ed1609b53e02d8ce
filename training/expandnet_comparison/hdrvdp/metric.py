"""HDR-VDP 2.2 of two pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from expandnet_comparison.hdrvdp import observer
from expandnet_comparison.hdrvdp.pyramid import steerable_pyramid
from expandnet_comparison.hdrvdp.resize import resized

Array = NDArray[np.floating]

LEAST, MOST = 1e-5, 1e10
"""Light in cd/m2 that the retina's responses are held to."""

SAME = 1e-3
"""Share by which a pixel must differ to count."""

EPSILON = 1e-12


@dataclass(frozen=True, kw_only=True)
class Band:
    """One band's part in the quality."""

    number: int
    """From 1, the finest."""
    orientation: int
    """From 1."""
    frequency: float
    """Cycles per degree."""
    weight: float
    msre: float
    """Root of the sum of squared differences over the number of samples."""

    @property
    def loss(self) -> float:
        """What the band takes from the quality."""
        return self.weight * float(np.log(self.msre + EPSILON) - np.log(EPSILON))


@dataclass(frozen=True, kw_only=True)
class Quality:
    """How a picture compares with its reference."""

    q: float
    """100 for the same picture, less for others; the definition of releases 2.2.1 and 2.2.2."""
    bands: tuple[Band, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """A picture as the observer sees it."""

    light: Tensor
    """(C, H, W) cd/m2."""
    adaptation: Tensor
    """(H, W) luminance that the eye adapts to."""
    bands: list[Tensor]
    padding: float
    """What lies around the base band."""


class HDRVDP:
    """Compares pictures at one viewing distance.

    Args:
        pixels_per_degree: of the visual field; 30 is a display seen from afar, 60 the limit of the eye.
        device: where it runs.
    """

    def __init__(self, *, pixels_per_degree: float = 30.0, device: str = "cpu") -> None:
        self.pixels_per_degree = pixels_per_degree
        self._device = torch.device(device)
        at, cones, rods = (torch.from_numpy(x).float().to(self._device) for x in observer.responses())
        self._at, self._responses = at, (cones, cones, rods)

    def see(self, light: Array, reference: Seen | None = None) -> Seen:
        """Return a picture as the observer sees it, so that many can be compared with one reference.

        Args:
            light: (H, W, 3) linear Rec.709 or (H, W) luminance, cd/m2; NaN counts as 1e-5.
            reference: what the picture will be compared with; None for the reference itself.

        Raises:
            ValueError: another shape, or smaller than 17 pixels.
        """
        light = np.asarray(light, np.float32)
        if light.ndim not in (2, 3) or (light.ndim == 3 and light.shape[2] != 3) or min(light.shape[:2]) < 17:
            raise ValueError(
                f"HDR-VDP takes (H, W, 3) light or (H, W) luminance of 17 pixels or more, not {light.shape}"
            )
        picture = torch.from_numpy(np.nan_to_num(light, nan=LEAST)).to(self._device)
        picture = picture.permute(2, 0, 1) if picture.ndim == 3 else picture[None]
        optics = observer.glare(_frequencies(2 * np.array(picture.shape[1:]), self.pixels_per_degree))
        focused = torch.stack([_convolved(x, optics, observer.SURROUND) for x in picture]).clamp(LEAST, MOST)
        matrix = observer.RGB_TO_CONES if len(picture) == 3 else observer.GRAY_TO_CONES
        caught = torch.einsum("chw,ck->khw", focused, torch.as_tensor(matrix, dtype=focused.dtype).to(self._device))
        adaptation = caught[0] + caught[1]
        seen = [self._respond(caught[k], table) for k, table in zip((0, 1, 3), self._responses, strict=True)]
        achromatic = sum((x - x.mean() for x in seen), torch.zeros_like(adaptation))
        bands = steerable_pyramid(achromatic)
        padding = float(bands[-1].mean()) if reference is None else reference.padding
        frequency = self._frequency(len(bands) - 1)
        base = _frequencies(2 * np.array(bands[-1].shape[1:]), 2 * np.sqrt(2) * frequency)
        sensitivity = observer.contrast_sensitivity(base, float(adaptation.mean()))
        bands[-1] = _convolved(bands[-1][0], sensitivity, padding)[None]
        return Seen(light=picture, adaptation=adaptation, bands=bands, padding=padding)

    def __call__(self, test: Array, reference: Array | Seen) -> Quality:
        """Return the quality of a picture; both are taken by `see`."""
        true = reference if isinstance(reference, Seen) else self.see(reference)
        found = self.see(test, true)
        if found.light.shape != true.light.shape:
            raise ValueError(f"pictures differ in shape: {tuple(found.light.shape)}, {tuple(true.light.shape)}")
        differs = ((found.light - true.light).abs() / true.light > SAME).any(0).float()
        adaptation = ((found.adaptation + true.adaptation) / 2).clamp(1e-5, 1e5).log10()
        shared = [_blurred(torch.minimum(a.abs(), b.abs())) for a, b in zip(found.bands, true.bands, strict=True)]
        bands: list[Band] = []
        for number, (one, other) in enumerate(zip(found.bands, true.bands, strict=True)):
            noise, scale = self._noise(number, adaptation, shared), 2.0**number
            power = observer.MASKING_POWER
            hidden = (noise ** (2 * power) + _masking(number, shared, noise) ** 2).sqrt()
            visible = ((one - other).abs() / scale) ** power * scale / hidden
            bands += self._bands(number, visible * resized(differs, visible.shape[1:]))
        return Quality(q=100 - sum(band.loss for band in bands), bands=tuple(bands))

    def _bands(self, number: int, visible: Tensor) -> list[Band]:
        """Return what a level's visible differences (N, H, W) take from the quality, by orientation."""
        frequency = self._frequency(number)
        weight = float(np.interp(frequency, observer.QUALITY_FREQUENCY[::-1], observer.QUALITY_WEIGHT[::-1]))
        sums = visible.double().square().sum((1, 2)).sqrt() / visible[0].numel()
        return [
            Band(number=number + 1, orientation=at + 1, frequency=frequency, weight=weight, msre=float(msre))
            for at, msre in enumerate(sums)
        ]

    def _frequency(self, band: int) -> float:
        return 2.0**-band * self.pixels_per_degree / 2

    def _respond(self, caught: Tensor, table: Tensor) -> Tensor:
        """Look up a response, linear between the table's even steps."""
        first, step = self._at[0], self._at[1] - self._at[0]
        place = ((caught.clamp(1e-5, 1e5).log10() - first) / step).clamp(0, len(table) - 1)
        index = place.floor().long().clamp(max=len(table) - 2)
        below = table[index]
        return below + (place - index) * (table[index + 1] - below)

    def _noise(self, number: int, adaptation: Tensor, shared: list[Tensor]) -> Tensor:
        """Return the noise of a band by what the eye has adapted to; 1 for the base band, which it is part of."""
        if number == len(shared) - 1:
            return torch.ones(())
        luminance = np.logspace(-5, 5, 256)
        table = torch.from_numpy(observer.contrast_sensitivity(self._frequency(number), luminance)).float()
        at = resized(adaptation, shared[number].shape[1:]).clamp(-5, 5)
        place = (at + 5) / 10 * 255
        index = place.floor().long().clamp(max=254)
        table = table.to(at.device)
        return 1 / (table[index] + (place - index) * (table[index + 1] - table[index]))


def _masking(number: int, shared: list[Tensor], noise: Tensor) -> Tensor:
    """Return how much a band hides: by itself, by other orientations, by the bands next to it."""
    scale, power = 2.0**number, observer.MASKING_SLOPE
    own = shared[number]
    others = (own.sum(0, keepdim=True) - own).clamp(min=0)
    beside = torch.zeros_like(own)
    for neighbor, unit in ((number - 1, scale / 2), (number + 1, scale * 2)):
        # The base band hides nothing; a band without orientations meets the first of its neighbor's.
        if 0 <= neighbor < len(shared) - 1:
            beside = beside + resized(shared[neighbor][: len(own)], own.shape[1:]).clamp(min=0) / unit
    return scale * (
        observer.MASK_SELF * (own / noise / scale) ** power
        + observer.MASK_ORIENTATIONS * (others / noise / scale) ** power
        + observer.MASK_NEIGHBORS * (beside / noise) ** power
    )


def _blurred(x: Tensor) -> Tensor:
    """Return bands (N, H, W) averaged over 3 x 3 pixels, zeros around."""
    return functional.avg_pool2d(x[:, None], 3, 1, 1)[:, 0]


def _frequencies(size: NDArray[np.int_], pixels_per_degree: float) -> NDArray[np.float64]:
    """Return the frequency in cycles per degree of each coefficient of a real Fourier transform of that size."""
    rows, columns = (int(n) for n in size)
    down, across = np.fft.fftfreq(rows) * pixels_per_degree, np.fft.rfftfreq(columns) * pixels_per_degree
    return np.hypot(down[:, None], across[None, :])


def _convolved(picture: Tensor, spectrum: NDArray[np.float64], padding: float) -> Tensor:
    """Return a picture (H, W) filtered in frequency on a canvas of twice its size filled with a value."""
    rows, columns = picture.shape
    canvas = picture.new_full((2 * rows, 2 * columns), padding)
    canvas[:rows, :columns] = picture
    product = torch.fft.rfft2(canvas) * torch.as_tensor(spectrum, dtype=picture.dtype, device=picture.device)
    return torch.fft.irfft2(product, s=canvas.shape)[:rows, :columns]
