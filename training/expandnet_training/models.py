"""The network that a recipe trains, with its weights at the start."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from expandnet_ofx.errors import UsageError
from expandnet_ofx.network import ExpandNet
from expandnet_ofx.weights import load_weights
from expandnet_training.recipe import Recipe

LAST_LAYER = 0.1
"""Size of the last layer's weights at the start, over that of the others."""


def open_network(recipe: Recipe, start: Path | None = None) -> nn.Module:
    """Return the recipe's network; without weights to start from, `torch.manual_seed` decides.

    Raises:
        UsageError: weights of another network or another contract to start from.
        WeightsError: they cannot be read.
    """
    if start is not None and recipe.network != "expandnet":
        raise UsageError(f"--start {start}: recipe {recipe.name} trains another network; leave it out")
    if recipe.network != "expandnet":
        from expandnet_comparison.networks import NETWORKS

        return NETWORKS[recipe.network]()
    network = ExpandNet(boldness=recipe.boldness is not None, tail=recipe.tail)
    if recipe.initialization == "lecun":
        initialize(network)
    if start is not None:
        start_from(network, recipe, start)
    return network


def start_from(network: ExpandNet, recipe: Recipe, path: Path) -> None:
    """Copy weights into a network; what they are told less than the recipe asks for counts nothing at first."""
    weights = load_weights(path)
    for entry in ("input_stretch", "antialias", "output_curve", "output_peak", "output_stops"):
        if getattr(weights.contract, entry) != getattr(recipe.contract, entry):
            raise UsageError(f"--start {path}: its {entry} is not the one of recipe {recipe.name}; take other weights")
    own = network.state_dict()
    if more := sorted(weights.state.keys() - own.keys()):
        raise UsageError(f"--start {path}: holds {more[0]}, which recipe {recipe.name} does not train")
    network.load_state_dict(
        {
            name: torch.from_numpy(weights.state[name]) if name in weights.state else torch.zeros_like(value)
            for name, value in own.items()
        }
    )


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
        if network.tail is not None:
            network.tail.weight.zero_()
