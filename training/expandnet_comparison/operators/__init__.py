"""Expansion operators, written from their papers: one picture of display codes in, light out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_comparison.operators.banterle import banterle
from expandnet_comparison.operators.common import Array
from expandnet_comparison.operators.global_curves import akyuz, landis, masia
from expandnet_comparison.operators.local_maps import huo_dodging, huo_physiological, kovaleski_oliveira, kuo
from expandnet_comparison.operators.specular import meylan, rempel

__all__ = [
    "OPERATORS", "Operator", "akyuz", "banterle", "huo_dodging", "huo_physiological", "kovaleski_oliveira", "kuo", "landis",
    "masia", "meylan", "rempel",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Operator:
    """One operator with the parameters it is compared with."""

    name: str
    """As the paper has it."""
    title: str
    expand: Callable[..., Array]
    takes_peak: bool = True
    """Whether a display's peak luminance is one of its parameters."""

    def __call__(self, codes: NDArray[Any], *, gamma: float, peak: float | None = None, **changes: Any) -> Array:
        """Return light (H, W, 3) of codes; a peak of None leaves the operator's own default."""
        if peak is not None and self.takes_peak:
            changes["peak"] = peak
        return self.expand(np.asarray(codes), gamma=gamma, **changes)


OPERATORS: dict[str, Operator] = {
    one.name: one
    for one in (
        Operator(name="LAN", title="Landis 2002", expand=landis),
        Operator(name="BNT", title="Banterle et al. 2006", expand=banterle),
        Operator(name="AKY", title="Akyuz et al. 2007", expand=akyuz),
        Operator(name="REM", title="Rempel et al. 2007", expand=rempel, takes_peak=False),
        Operator(name="MAS", title="Masia et al. 2017", expand=masia),
        Operator(name="KOV", title="Kovaleski and Oliveira 2014", expand=kovaleski_oliveira),
        Operator(name="HUO", title="Huo et al. 2014", expand=huo_physiological),
        Operator(name="KUO", title="Kuo et al. 2012", expand=kuo),
        Operator(name="MEY", title="Meylan et al. 2006", expand=meylan),
    )
}
"""By name: the paper's seven, and two more."""
