"""UNT: a U-Net."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from expandnet_comparison.networks.curve import logarithmic_light

WIDTHS = (64, 128, 256, 512, 512, 512, 512, 512)


class UNT(nn.Module):
    """A U-Net (Ronneberger, Fischer, Brox, MICCAI 2015) of eight levels; the layout is ours, the paper gives none.

    It is the 256 x 256 generator of Isola et al., "Image-to-image translation with conditional adversarial networks", CVPR
    2017, appendix, without its dropout: 4 x 4 convolutions of stride 2 to 64, 128, 256 and five times 512 channels,
    leaky ReLU (0.2), batch normalization but in the first and the innermost; 4 x 4 transposed convolutions back, each
    after the first on what came before joined with the encoder's level; a sigmoid last, read on the product's curve.
    Weights start from N(0, 0.02), as theirs. 54.4 million parameters.
    """

    MULTIPLE = 256
    """Edges of a picture are a multiple of this."""

    def __init__(self) -> None:
        super().__init__()
        last = len(WIDTHS) - 1
        inputs = (3, *WIDTHS[:-1])
        self.down = nn.ModuleList(
            _down(wide_in, wide_out, first=level == 0, norm=0 < level < last)
            for level, (wide_in, wide_out) in enumerate(zip(inputs, WIDTHS, strict=True))
        )
        self.up = nn.ModuleList(
            _up(WIDTHS[level] * (1 if level == last else 2), WIDTHS[level - 1] if level else 3, norm=level > 0)
            for level in range(last, -1, -1)
        )
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.normal_(layer.weight, std=0.02)

    def forward(self, codes: Tensor) -> Tensor:
        """Return light over white (N, 3, H, W) of codes in [0, 1]."""
        levels: list[Tensor] = []
        x = codes
        for layer in self.down:
            x = layer(x)
            levels.append(x)
        innermost, *outer = self.up
        x = innermost(levels.pop())
        for layer in outer:
            x = layer(torch.cat((x, levels.pop()), 1))
        return logarithmic_light(torch.sigmoid(x.float()))


def _down(wide_in: int, wide_out: int, *, first: bool, norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = [] if first else [nn.LeakyReLU(0.2)]
    layers.append(nn.Conv2d(wide_in, wide_out, 4, 2, 1, bias=not norm))
    return nn.Sequential(*layers, *([nn.BatchNorm2d(wide_out)] if norm else []))


def _up(wide_in: int, wide_out: int, *, norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = [nn.ReLU(), nn.ConvTranspose2d(wide_in, wide_out, 4, 2, 1, bias=not norm)]
    return nn.Sequential(*layers, *([nn.BatchNorm2d(wide_out)] if norm else []))
