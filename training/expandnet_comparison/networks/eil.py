"""EIL: HDRCNN, an encoder and decoder whose skips and output are logarithms of light."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTHS = (64, 128, 256, 512, 512)
CONVOLUTIONS = (2, 2, 3, 3, 3)

MEAN = (103.939, 116.779, 123.68)
"""Of blue, green, red, in codes of 8 bits: what VGG16 was trained with."""

EPSILON = 1 / 255

BLEND_FROM = 0.95
"""Code from which the prediction is blended in."""


class EIL(nn.Module):
    """Eilertsen et al., "HDR image reconstruction from a single exposure using deep CNNs", ACM TOG 36(6), 2017.

    Encoder: the 13 convolutions of VGG16 (64, 64 | 128, 128 | 256 x 3 | 512 x 3 | 512 x 3, ReLU, max pooling), then 3 x 3 to
    512 with batch normalization. Decoder: five transposed 4 x 4 convolutions of stride 2, started as bilinear, to 512,
    512, 256, 128, 64, each with batch normalization and ReLU; before each but the first, and before the last layer, the
    encoder's level is fused: ln((f / 255)^2 + 1 / 255) of it, joined, 1 x 1, started as the sum of
    both. The last is 1 x 1 to 3, fused with the plate. Output: ln of light; light = (1 - a) x^2 + a exp(y), with
    a = max(0, max(x) - 0.95) / 0.05.

    Its encoder started from weights trained on Places, which no package carries: here it starts at random. 29.4 million
    parameters.
    """

    MULTIPLE = 32
    """Edges of a picture are a multiple of this."""

    def __init__(self) -> None:
        super().__init__()
        inputs = (3, *WIDTHS[:-1])
        self.encoder = nn.ModuleList(
            _stage(wide_in, wide_out, count)
            for wide_in, wide_out, count in zip(inputs, WIDTHS, CONVOLUTIONS, strict=True)
        )
        self.middle = nn.Sequential(nn.Conv2d(512, 512, 3, 1, 1), nn.BatchNorm2d(512), nn.ReLU())
        outputs = WIDTHS[::-1]
        self.decoder = nn.ModuleList(
            _up(wide_in, wide_out) for wide_in, wide_out in zip((512, *outputs[:-1]), outputs, strict=True)
        )
        self.fusions = nn.ModuleList(_fusion(width) for width in outputs)
        self.last = nn.Sequential(nn.Conv2d(64, 3, 1), nn.BatchNorm2d(3), nn.ReLU())
        self.last_fusion = _fusion(3)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))

    def forward(self, codes: Tensor) -> Tensor:
        """Return light over white (N, 3, H, W) of codes in [0, 1]."""
        scaled = 255 * codes
        x = scaled.flip(1) - self.get_buffer("mean")
        skips = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
            x = functional.max_pool2d(x, 2)
        x = self.middle(x)
        for up, fusion in zip(self.decoder, self.fusions, strict=True):
            x = fusion(torch.cat((up(x), _logarithm(skips.pop())), 1))
        found = self.last_fusion(torch.cat((self.last(x), _logarithm(scaled)), 1)).float()
        bright = torch.exp(found.clamp(max=11)) - EPSILON
        share = ((codes.amax(1, keepdim=True) - BLEND_FROM) / (1 - BLEND_FROM)).clamp(0, 1)
        return (1 - share) * codes**2 + share * bright.clamp(min=0)


def _logarithm(x: Tensor) -> Tensor:
    return torch.log((x / 255) ** 2 + EPSILON)


def _stage(wide_in: int, wide_out: int, count: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number in range(count):
        layer = nn.Conv2d(wide_in if number == 0 else wide_out, wide_out, 3, 1, 1)
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers)


def _up(wide_in: int, wide_out: int) -> nn.Sequential:
    layer = nn.ConvTranspose2d(wide_in, wide_out, 4, 2, 1, bias=False)
    rise = torch.tensor((0.25, 0.75, 0.75, 0.25))
    with torch.no_grad():
        layer.weight.zero_()
        for number in range(min(wide_in, wide_out)):
            layer.weight[number, number] = rise[:, None] * rise
    return nn.Sequential(layer, nn.BatchNorm2d(wide_out), nn.ReLU())


def _fusion(width: int) -> nn.Conv2d:
    layer = nn.Conv2d(2 * width, width, 1)
    with torch.no_grad():
        layer.weight.zero_()
        for half in (0, width):
            layer.weight[:, half : half + width, 0, 0] += torch.eye(width)
        layer.bias.zero_()  # type: ignore[union-attr]
    return layer
