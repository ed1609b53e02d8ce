"""What is compared: the bare picture, expansion operators, other networks, ExpandNet with two sets of weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from expandnet_training.checkpoint import OTHER_FORMAT
from numpy.typing import NDArray
from torch.nn import functional

from expandnet_comparison.choices import Choices, Referred
from expandnet_comparison.operators import OPERATORS, Operator
from expandnet_ofx import Expander, Settings
from expandnet_ofx.errors import WeightsError
from expandnet_ofx.weights import DEFAULT_WEIGHTS, load_weights

Array = NDArray[np.floating]
Expand = Callable[[NDArray[np.uint8], Referred], Array]

OURS_SAMPLES = 364_576
"""Crops that the shipped weights were trained on at the least: 593 steps of 32 and 7,200 of 48, before 4,360 more steps."""

LEAST_SHARE = 0.25
"""A network that saw a smaller share of that is printed apart: it says nothing of what its layers could do."""

HERE = "expandnet_comparison.methods"

BASE = "LDR linearized"
"""Row without a method, told the encoding."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method of the comparison."""

    name: str
    what: str
    """Its source, in a few words."""
    license: str
    expand: Expand
    """Light of any scale (H, W, 3) of an 8-bit picture, for a display or for the scene."""
    samples: int | None = None
    """Training samples it saw; None where it was not trained here."""
    identity: str = ""
    """What its results depend on beside the program: hashes of weights."""
    sources: tuple[str, ...] = ()
    """Packages whose program its results depend on."""
    referred: bool = False
    """Whether what it gives depends on the display or scene that it is for."""

    @property
    def apart(self) -> bool:
        """True if it is printed without rank."""
        return self.samples is not None and self.samples < LEAST_SHARE * OURS_SAMPLES


OWN_LICENSE = "BSD-3-Clause"
AUTHORS_LICENSE = "weights BSD-3-Clause-Clear"


def rows(
    choices: Choices,
    *,
    weights: Path = DEFAULT_WEIGHTS,
    authors: Path | None = None,
    networks: Mapping[str, Path],
    device: str = "cpu",
) -> list[Row]:
    """Return the rows of the comparison in the order they are printed.

    Args:
        choices: of the protocol: the gamma and the peak that methods are told.
        weights: the product's weights.
        authors: those released with the paper, imported; None leaves their row out.
        networks: weights of UNT, COL and EIL by name, as `expandnet-train` writes them.
        device: where networks run: `cpu`, `cuda` or `cuda:N`.

    Raises:
        WeightsError: weights that cannot be read, or are of something else.
    """
    return [
        *_bare(choices),
        *(_operator_row(operator, choices) for operator in OPERATORS.values()),
        *(_network_row(name, path, device) for name, path in networks.items()),
        *([] if authors is None else [_released(authors, device)]),
        *_ours(weights, f"gamma{choices.gamma:g}", device),
    ]


def _bare(choices: Choices) -> list[Row]:
    return [
        Row(
            name=BASE,
            what=f"codes^{choices.gamma:g}, no method",
            license=OWN_LICENSE,
            expand=lambda plate, _: (plate / 255.0) ** choices.gamma,
        ),
        Row(
            name="LDR, gamma unknown",
            what="codes taken for light, no method",
            license=OWN_LICENSE,
            expand=lambda plate, _: plate / 255.0,
        ),
    ]


def _released(weights: Path, device: str) -> Row:
    return Row(
        name="EXP (authors)",
        what="ExpandNet, Marnerides et al. 2018, released weights",
        license=AUTHORS_LICENSE,
        expand=_Product(path=weights, settings=Settings.preset("authors"), device=device),
        identity=load_weights(weights).sha256,
        sources=("expandnet_ofx", HERE),
    )


def _ours(weights: Path, space: str, device: str) -> list[Row]:
    return [
        Row(
            name=name,
            what=what,
            license=OWN_LICENSE,
            expand=_Product(path=weights, settings=settings, device=device),
            samples=OURS_SAMPLES if weights == DEFAULT_WEIGHTS else None,
            identity=load_weights(weights).sha256,
            sources=("expandnet_ofx", HERE),
        )
        for name, what, settings in (
            (
                "EXP (ours, raw)",
                "this project's weights, prediction everywhere",
                Settings(input_space=space, merge="full"),
            ),
            ("EXP (ours)", "this project, as delivered: unclipped channels kept", Settings(input_space=space)),
        )
    ]


def _told_banterle(choices: Choices, _: int, peak: float | None) -> dict[str, Any]:
    return {"neighbors": choices.bnt_neighbors, **({} if peak is None else {"white": peak})}


def _told_kovaleski(choices: Choices, height: int, _: float | None) -> dict[str, Any]:
    return {"sigma_space": choices.kov_sigma * height / 1080}


TOLD: dict[str, Callable[[Choices, int, float | None], dict[str, Any]]] = {
    "BNT": _told_banterle,
    "KOV": _told_kovaleski,
}
"""Parameters beside peak and gamma that operators are told, by choices, height of the picture and the display's peak."""


def _operator_row(operator: Operator, choices: Choices) -> Row:
    def expand(plate: NDArray[np.uint8], referred: Referred) -> Array:
        peak = choices.display_peak if referred == "display" else None
        told = TOLD.get(operator.name, lambda *_: {})(choices, plate.shape[0], peak)
        return operator(plate, gamma=choices.gamma, peak=peak, **told)

    return Row(
        name=operator.name,
        what=operator.title,
        license=OWN_LICENSE,
        expand=expand,
        sources=("expandnet_comparison.operators", HERE),
        referred=operator.takes_peak,
    )


@dataclass(frozen=True, kw_only=True)
class _Product:
    """The product's own path; the network is opened when it is first asked."""

    path: Path
    settings: Settings
    device: str

    @cached_property
    def _expander(self) -> Expander:
        # Seconds are compared with those of others, which have one thread.
        return Expander(self.settings, weights=load_weights(self.path), device=self.device, threads=1)

    def __call__(self, plate: NDArray[np.uint8], _: Referred) -> Array:
        return self._expander(plate)


@dataclass
class Reproduced:
    """A network that ExpandNet was compared with, under weights trained here."""

    path: Path
    device: str = "cpu"
    network: str = field(init=False)
    samples: int = field(init=False)
    sha256: str = field(init=False)

    def __post_init__(self) -> None:
        import hashlib

        from safetensors import SafetensorError, safe_open

        from expandnet_comparison.networks import NETWORKS

        try:
            with safe_open(self.path, "pt") as file:
                about = file.metadata() or {}
            self.sha256 = hashlib.sha256(self.path.read_bytes()).hexdigest()
        except (OSError, SafetensorError) as error:
            raise WeightsError(f"{self.path}: cannot be read ({error}); check the path") from error
        if about.get("format") != OTHER_FORMAT or about.get("network") not in NETWORKS:
            raise WeightsError(f"{self.path}: not weights of {', '.join(NETWORKS)}; train them with expandnet-train")
        self.network, self.samples = about["network"], int(about["samples"])

    @cached_property
    def _module(self) -> torch.nn.Module:
        from safetensors.torch import load_file

        from expandnet_comparison.networks import NETWORKS

        module = NETWORKS[self.network]()
        module.load_state_dict(load_file(self.path))
        return module.eval().to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.no_grad()
    def __call__(self, plate: NDArray[np.uint8], _: Referred) -> Array:
        """Return light over white (H, W, 3) of an 8-bit picture, mirrored at its lower and right border to fit."""
        height, width = plate.shape[:2]
        codes = torch.from_numpy(plate / np.float32(255)).permute(2, 0, 1)[None].to(self.device)
        multiple = int(self._module.MULTIPLE)  # type: ignore[arg-type]
        codes = _extended(codes, -height % multiple, -width % multiple)
        light = self._module(codes.contiguous(memory_format=torch.channels_last))[0, :, :height, :width]
        return np.ascontiguousarray(light.permute(1, 2, 0).cpu().numpy())


def _extended(codes: torch.Tensor, below: int, right: int) -> torch.Tensor:
    """Return codes (1, 3, H, W) mirrored downwards and to the right, again and again where the picture is small."""
    while below or right:
        down, across = min(below, codes.shape[2] - 1), min(right, codes.shape[3] - 1)
        codes = functional.pad(codes, (0, across, 0, down), mode="reflect")
        below, right = below - down, right - across
    return codes


def _network_row(name: str, path: Path, device: str) -> Row:
    network = Reproduced(path, device)
    return Row(
        name=name,
        what=f"our reproduction, {network.samples:,} samples",
        license=OWN_LICENSE,
        expand=network,
        samples=network.samples,
        identity=network.sha256,
        sources=("expandnet_comparison.networks", HERE),
    )
