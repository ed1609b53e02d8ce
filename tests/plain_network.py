"""The network written out layer by layer, independently of the package."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.nn import functional

State = Mapping[str, torch.Tensor]


def plain_features(state: State, proxy: torch.Tensor) -> torch.Tensor:
    """The global branch, layer by layer: (1, 3, 256, 256) to (1, 64, 1, 1)."""
    x = proxy
    for i in range(6):
        layer = f"glob_net.{i}.0"
        x = functional.selu(functional.conv2d(x, state[f"{layer}.weight"], state[f"{layer}.bias"], 2, 1))
    return functional.conv2d(x, state["glob_net.6.weight"], state["glob_net.6.bias"])


def plain_expand(state: State, x: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """The local, dilated and fusion layers, one by one, zero padding in every layer."""

    def conv(x: torch.Tensor, layer: str, padding: int, dilation: int = 1) -> torch.Tensor:
        return functional.conv2d(x, state[f"{layer}.weight"], state[f"{layer}.bias"], 1, padding, dilation)

    local = functional.selu(conv(functional.selu(conv(x, "local_net.0.0", 1)), "local_net.1.0", 1))
    mid = x
    for i in range(3):
        mid = functional.selu(conv(mid, f"mid_net.{i}.0", 2, 2))
    mid = conv(mid, "mid_net.3", 2, 2)
    joined = torch.cat((local, mid, features.repeat(1, 1, *x.shape[-2:])), 1)
    return torch.sigmoid(conv(functional.selu(conv(joined, "end_net.0.0", 0)), "end_net.1", 0))


def plain_forward(state: State, x: torch.Tensor) -> torch.Tensor:
    """The network as released: the plate reduced to 256 x 256 without anti-aliasing for the global branch."""
    proxy = functional.interpolate(x, (256, 256), mode="bilinear", align_corners=False)
    return plain_expand(state, x, plain_features(state, proxy))


def random_state(seed: int, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """Return parameters of the released layer sizes, written out here, scaled to keep signals alive."""
    sizes = {
        "local_net.0.0": (64, 3, 3), "local_net.1.0": (128, 64, 3),
        "mid_net.0.0": (64, 3, 3), "mid_net.1.0": (64, 64, 3), "mid_net.2.0": (64, 64, 3), "mid_net.3": (64, 64, 3),
        "glob_net.0.0": (64, 3, 3), "glob_net.6": (64, 64, 4),
        **{f"glob_net.{i}.0": (64, 64, 3) for i in range(1, 6)},
        "end_net.0.0": (64, 256, 1), "end_net.1": (3, 64, 1),
    }  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, (outputs, inputs, edge) in sizes.items():
        spread = (inputs * edge * edge) ** -0.5
        weight = torch.randn(outputs, inputs, edge, edge, generator=generator, dtype=torch.float64) * spread
        state[f"{name}.weight"] = weight.to(dtype)
        state[f"{name}.bias"] = (torch.randn(outputs, generator=generator, dtype=torch.float64) * 0.1).to(dtype)
    return state
