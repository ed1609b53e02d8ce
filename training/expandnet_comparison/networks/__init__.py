"""Networks that ExpandNet was compared with: whole pictures of codes in, light over white out.

None of their weights can be had under the paper's training, so they are trained anew and called our reproduction.
"""

from __future__ import annotations

from torch import nn

from expandnet_comparison.networks.col import COL
from expandnet_comparison.networks.eil import EIL
from expandnet_comparison.networks.unt import UNT

NETWORKS: dict[str, type[nn.Module]] = {"unt": UNT, "col": COL, "eil": EIL}
"""By the name that a recipe gives as `network`."""
