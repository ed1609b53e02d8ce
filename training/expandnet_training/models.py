"""The network that a recipe trains, with its weights at the start."""

from __future__ import annotations

import torch
from torch import nn

from expandnet_ofx.network import ExpandNet
from expandnet_training.recipe import Recipe

LAST_LAYER = 0.1
"""Size of the last layer's weights at the start, over that of the others."""


def open_network(recipe: Recipe) -> nn.Module:
    """Return the recipe's network; `torch.manual_seed` decides what it starts from."""
    if recipe.network != "expandnet":
        from expandnet_comparison.networks import NETWORKS

        return NETWORKS[recipe.network]()
    network = ExpandNet(boldness=recipe.boldness is not None)
    if recipe.initialization == "lecun":
        initialize(network)
    return network


def initialize(network: ExpandNet) -> None:
    """Draw weights with a variance of 1 / fan-in and no bias, so that SELU keeps signals alive through all layers.

    Klambauer et al., "Self-Normalizing Neural Networks", NIPS 2017, section 2. The last layer starts small: at full
    variance light starts four stops off either way, and the first steps drive the sigmoid to where it learns nothing.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    with torch.no_grad():
        network.get_parameter("end_net.1.weight").mul_(LAST_LAYER)
