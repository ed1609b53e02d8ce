"""Facts of the ExpandNet architecture, and its inference form folded from the same weights. No torch.

Source: Marnerides, Bashford-Rogers, Hatchett, Debattista, "ExpandNet: A Deep Convolutional Neural Network for High
Dynamic Range Expansion from Low Dynamic Range Content", Computer Graphics Forum 37(2), 2018, and the released weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

RADIUS = 8
"""Receptive-field radius of the local and dilated branches, in pixels: four 3x3 layers of dilation 2 reach 8."""

LOCAL_RADIUS = 2
"""Receptive-field radius of the local branch alone, in pixels."""

GLOBAL_SIZE = 256
"""Edge of the square that the whole plate is reduced to for the global branch, in pixels."""

FEATURES = 64
"""Length of the global feature vector."""

SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805
"""Klambauer et al., "Self-Normalizing Neural Networks", 2017: selu(x) = scale * elu(x, alpha)."""

PARAMETERS: dict[str, tuple[int, ...]] = {
    "local_net.0.0": (64, 3, 3, 3),
    "local_net.1.0": (128, 64, 3, 3),
    "mid_net.0.0": (64, 3, 3, 3),
    "mid_net.1.0": (64, 64, 3, 3),
    "mid_net.2.0": (64, 64, 3, 3),
    "mid_net.3": (64, 64, 3, 3),
    "glob_net.0.0": (64, 3, 3, 3),
    "glob_net.1.0": (64, 64, 3, 3),
    "glob_net.2.0": (64, 64, 3, 3),
    "glob_net.3.0": (64, 64, 3, 3),
    "glob_net.4.0": (64, 64, 3, 3),
    "glob_net.5.0": (64, 64, 3, 3),
    "glob_net.6": (64, 64, 4, 4),
    "end_net.0.0": (64, 256, 1, 1),
    "end_net.1": (3, 64, 1, 1),
}
"""Shape of each layer's weight (out, in, rows, columns); every layer also has a bias of `out` values."""

BOLDNESS = "boldness.weight"
"""Parameter (64, 2) of weights with a boldness knob: times `boldness_basis`, it is added to the global vector."""

TAIL = "tail.weight"
"""Parameter (64, 15) of weights that are told how many values lie just below white, per stop: times `tail.tail` of the
reduced plate, it is added to the global vector."""

Array = NDArray[np.float32]


def boldness_basis(boldness: Any) -> tuple[Any, Any]:
    """Return t and t^2 of a boldness in [0, 1], t = 2 boldness - 1; numbers or tensors."""
    t = 2 * boldness - 1
    return t, t * t


def fold(state: Mapping[str, Array]) -> dict[str, Array]:
    """Fold a state dict into the form that inference runs: the same function with fewer operations.

    Three exact rewrites: the replicated global vector becomes a bias of the fusion layer; the last dilated layer,
    which has no activation, is multiplied into its slice of the fusion layer; SELU's scale moves into the next layer
    (selu(x) = scale * elu(x, alpha), and convolution is linear, zero padding included).

    Args:
        state: the parameters named as in `PARAMETERS` plus `.weight` and `.bias`, float32.

    Returns:
        `NAME.weight` and `NAME.bias` for local1, local2, mid1 ... mid4, fuse_local, out, plus `fuse.bias` (64,) and
        `fuse_global.weight` (64, 64): the bias of the fusion is `fuse.bias + fuse_global.weight @ features`.
    """
    wide = {name: np.asarray(value, np.float64) for name, value in state.items()}
    fusion = wide["end_net.0.0.weight"][:, :, 0, 0]
    local, mid, glob = fusion[:, :128], fusion[:, 128:192], fusion[:, 192:]
    folded = {
        "local1.weight": wide["local_net.0.0.weight"],
        "local1.bias": wide["local_net.0.0.bias"],
        "local2.weight": wide["local_net.1.0.weight"] * SELU_SCALE,
        "local2.bias": wide["local_net.1.0.bias"],
        "mid1.weight": wide["mid_net.0.0.weight"],
        "mid1.bias": wide["mid_net.0.0.bias"],
        "mid2.weight": wide["mid_net.1.0.weight"] * SELU_SCALE,
        "mid2.bias": wide["mid_net.1.0.bias"],
        "mid3.weight": wide["mid_net.2.0.weight"] * SELU_SCALE,
        "mid3.bias": wide["mid_net.2.0.bias"],
        "mid4.weight": np.einsum("om,mikl->oikl", mid, wide["mid_net.3.weight"]) * SELU_SCALE,
        "fuse_local.weight": (local * SELU_SCALE)[:, :, None, None],
        "fuse.bias": wide["end_net.0.0.bias"] + mid @ wide["mid_net.3.bias"],
        "fuse_global.weight": glob,
        "out.weight": wide["end_net.1.weight"] * SELU_SCALE,
        "out.bias": wide["end_net.1.bias"],
    }
    return {name: np.ascontiguousarray(value, np.float32) for name, value in folded.items()}
