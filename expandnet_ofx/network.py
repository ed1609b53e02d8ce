"""The ExpandNet network as released, in PyTorch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from expandnet_ofx.architecture import (
    BOLDNESS,
    FEATURES,
    GLOBAL_SIZE,
    LOCAL_RADIUS,
    PARAMETERS,
    RADIUS,
    TAIL,
    boldness_basis,
)
from expandnet_ofx.tail import SIZE, tail


def _layer(name: str, *, stride: int = 1, padding: int = 1, dilation: int = 1) -> nn.Conv2d:
    outputs, inputs, rows, columns = PARAMETERS[name]
    return nn.Conv2d(inputs, outputs, (rows, columns), stride, padding, dilation)


def _activated(layer: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(layer, nn.SELU(inplace=True))


class ExpandNet(nn.Module):
    """Three branches, no up-sampling: local detail, a dilated neighborhood, and one global vector (456,899 parameters).

    Layer sizes are those of the released network; parameter names match its state dict. Input is an encoded plate
    (N, 3, H, W) in [0, 1]; output is the sigmoid's value (N, 3, H, W) in [0, 1], whose meaning is the weights' contract.

    Args:
        boldness: with a knob that moves the global vector, see `condition`.
        tail: told how the plate's histogram comes in below white, which moves it too.
    """

    def __init__(self, *, boldness: bool = False, tail: bool = False) -> None:
        super().__init__()
        self.local_net = nn.Sequential(*(_activated(_layer(f"local_net.{i}.0")) for i in range(2)))
        self.mid_net = nn.Sequential(
            *(_activated(_layer(f"mid_net.{i}.0", padding=2, dilation=2)) for i in range(3)),
            _layer("mid_net.3", padding=2, dilation=2),
        )
        self.glob_net = nn.Sequential(
            *(_activated(_layer(f"glob_net.{i}.0", stride=2)) for i in range(6)),
            _layer("glob_net.6", padding=0),
        )
        self.end_net = nn.Sequential(
            _activated(_layer("end_net.0.0", padding=0)), _layer("end_net.1", padding=0), nn.Sigmoid()
        )
        self.boldness = nn.Linear(2, FEATURES, bias=False) if boldness else None
        self.tail = nn.Linear(SIZE, FEATURES, bias=False) if tail else None

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[np.float32]]) -> ExpandNet:
        """Build a network in evaluation mode from numpy parameters named as in `PARAMETERS`."""
        # Whatever a host takes for the default device and type of numbers.
        with torch.device("cpu"):
            network = cls(boldness=BOLDNESS in state, tail=TAIL in state).float()
        network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in state.items()})
        return network.eval()

    def global_features(self, proxy: Tensor) -> Tensor:
        """Return the global vector (N, 64, 1, 1) of plates already reduced to (N, 3, 256, 256)."""
        features: Tensor = self.glob_net(proxy)
        return features

    def condition(self, features: Tensor, boldness: Tensor, proxy: Tensor) -> Tensor:
        """Return global vectors (N, 64, 1, 1) moved by the knob (N,) in [0, 1] and by the tails of reduced plates.

        The same ones where the network has neither.
        """
        if self.boldness is not None:
            features = features + self.boldness(torch.stack(boldness_basis(boldness), 1))[:, :, None, None]
        if self.tail is not None:
            features = features + self.tail(tail(proxy.float().flatten(2), torch))[:, :, None, None]
        return features

    def expand(self, x: Tensor, features: Tensor) -> Tensor:
        """Return the prediction (N, 3, H, W) of encoded pixels (N, 3, H, W) under given global features (N, 64, 1, 1)."""
        replicated = features.expand(-1, FEATURES, *x.shape[-2:])
        prediction: Tensor = self.end_net(torch.cat((self.local_net(x), self.mid_net(x), replicated), 1))
        return prediction

    def expand_inside(self, x: Tensor, features: Tensor) -> Tensor:
        """Return `expand` without its border of 8 pixels: pixels (N, 3, H + 16, W + 16) to (N, 3, H, W).

        No layer pads, and the global vector is a bias: two thirds of the arithmetic on crops of 64 pixels. What autocast
        may round ends before the sigmoid, whose last bits are stops.
        """
        trim = RADIUS - LOCAL_RADIUS
        local = functional.selu(self._conv(x[:, :, trim:-trim, trim:-trim], "local_net.0.0"))
        local = functional.selu(self._conv(local, "local_net.1.0"))
        mid = x
        for i in range(3):
            mid = functional.selu(self._conv(mid, f"mid_net.{i}.0", dilation=2))
        mid = self._conv(mid, "mid_net.3", dilation=2)
        weight, bias = self.get_parameter("end_net.0.0.weight"), self.get_parameter("end_net.0.0.bias")
        width = weight.shape[1] - FEATURES
        total = functional.conv2d(torch.cat((local, mid), 1), weight[:, :width], bias)
        total = functional.selu(total + functional.conv2d(features, weight[:, width:]))
        with torch.autocast(x.device.type, enabled=False):
            return torch.sigmoid(self._conv(total.float(), "end_net.1"))

    def _conv(self, x: Tensor, name: str, dilation: int = 1) -> Tensor:
        weight, bias = self.get_parameter(f"{name}.weight"), self.get_parameter(f"{name}.bias")
        return functional.conv2d(x, weight, bias, dilation=dilation)

    def forward(self, x: Tensor, *, antialias: bool = False) -> Tensor:
        """Return the prediction (N, 3, H, W) of whole encoded plates (N, 3, H, W), zero padding in every layer."""
        size = (GLOBAL_SIZE, GLOBAL_SIZE)
        proxy = functional.interpolate(x, size, mode="bilinear", align_corners=False, antialias=antialias)
        return self.expand(x, self.global_features(proxy))
