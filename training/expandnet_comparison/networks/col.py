"""COL: a local and a global branch that meet at an eighth of the size, made to color photographs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from expandnet_comparison.networks.curve import logarithmic_light

GLOBAL_SIZE = 224


class COL(nn.Module):
    """Iizuka, Simo-Serra, Ishikawa, "Let there be color!", ACM TOG 35(4), 2016, for light.

    Low-level: 3 x 3 convolutions to 64 (stride 2), 128, 128 (2), 256, 256 (2), 512. Mid-level: 512, 256. Global, on the
    picture at 224 x 224 through the same low-level layers: 512 (2), 512, 512 (2), 512, then fully connected 1024, 512,
    256. Fusion: both joined, 1 x 1 to 256. Head: 128, up, 64, 64, up, 32, 3, up; nearest neighbors. ReLU and batch
    normalization but in the last layer.

    Ours, where the paper that compares with it says nothing: three channels in and out, the sigmoid read on the product's
    curve, no branch that names scenes. 42.2 million parameters.
    """

    MULTIPLE = 8
    """Edges of a picture are a multiple of this."""

    def __init__(self) -> None:
        super().__init__()
        self.low = nn.Sequential(
            _block(3, 64, 2),
            _block(64, 128),
            _block(128, 128, 2),
            _block(128, 256),
            _block(256, 256, 2),
            _block(256, 512),
        )
        self.mid = nn.Sequential(_block(512, 512), _block(512, 256))
        self.wide = nn.Sequential(_block(512, 512, 2), _block(512, 512), _block(512, 512, 2), _block(512, 512))
        self.vector = nn.Sequential(_dense(512 * 7 * 7, 1024), _dense(1024, 512), _dense(512, 256))
        self.fusion = nn.Sequential(nn.Conv2d(512, 256, 1), nn.BatchNorm2d(256), nn.ReLU())
        self.head = nn.Sequential(
            _block(256, 128), nn.Upsample(scale_factor=2), _block(128, 64), _block(64, 64), nn.Upsample(scale_factor=2),
            _block(64, 32), nn.Conv2d(32, 3, 3, 1, 1), nn.Upsample(scale_factor=2),
        )  # fmt: skip

    def forward(self, codes: Tensor) -> Tensor:
        """Return light over white (N, 3, H, W) of codes in [0, 1]."""
        small = functional.interpolate(
            codes, (GLOBAL_SIZE, GLOBAL_SIZE), mode="bilinear", align_corners=False, antialias=True
        )
        vector = self.vector(self.wide(self.low(small)).flatten(1))
        local = self.mid(self.low(codes))
        spread = vector[:, :, None, None].expand(-1, -1, *local.shape[2:])
        y = self.head(self.fusion(torch.cat((local, spread.to(local.dtype)), 1)))
        return logarithmic_light(torch.sigmoid(y.float()))


def _block(wide_in: int, wide_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(wide_in, wide_out, 3, stride, 1), nn.BatchNorm2d(wide_out), nn.ReLU())


def _dense(wide_in: int, wide_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(wide_in, wide_out), nn.BatchNorm1d(wide_out), nn.ReLU())
