"""Recipes: everything that decides what a training run learns, in one TOML file."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from expandnet_ofx.errors import UsageError
from expandnet_ofx.toml_files import read_toml
from expandnet_ofx.weights import Contract
from expandnet_training.camera import CameraRanges


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training run; validated on construction, raises `UsageError`."""

    name: str
    """Name of the weights."""
    network: Literal["expandnet", "unt", "col", "eil"] = "expandnet"
    """What is trained: the product's network, or one that it is compared with (`expandnet_comparison.networks`), which
    sees whole pictures."""
    makes: Literal["camera", "tonemap"] = "camera"
    """How plates are made: the virtual camera, or the paper's tone mappers."""
    curve: Literal["log", "linear"] = "log"
    """Output curve of the weights' contract."""
    stretch: bool = False
    """Stretch each plate and each target to its own minimum and maximum, as the paper does."""
    antialias: bool = True
    """Reduce the plate for the global branch with an anti-aliased filter."""
    loss: Literal["highlights", "paper", "illumination"] = "highlights"
    beta: float = 2.0
    clipped_weight: float = 8.0
    color_weight: float = 0.5
    """See `losses.highlights`."""
    edge_weight: float = 0.0
    """Weight of `losses.slopes`."""
    steady_weight: float = 0.0
    """Weight of `losses.steadiness`: the same crops, shifted and noised again, must give the same light."""
    boldness: tuple[float, float] | None = None
    """Range of quantiles that the boldness knob is drawn from while training; None trains weights without a knob."""
    default_boldness: float = 0.5
    """The knob's default, kept in the contract."""
    tail: bool = False
    """Tell the network how the plate's histogram comes in below white, see `expandnet_ofx.tail`."""
    initialization: Literal["lecun", "default"] = "lecun"
    """`lecun`: variance 1 / fan-in, as SELU asks for; `default`: PyTorch's, a third of it, as the paper's program has."""
    only: tuple[str, ...] = ()
    """Parameters that are trained, by what their names begin with; the others stay as they start. All, if empty."""
    optimizer: Literal["adamw", "adam"] = "adamw"
    rate: float = 1e-3
    weight_decay: float = 1e-4
    schedule: Literal["cosine", "plateau"] = "cosine"
    warm_up: int = 200
    """Steps over which the rate rises."""
    lowest_rate: float = 1e-6
    hold: int = 0
    """Steps for which the plateau schedule keeps the rate."""
    decay: float = 0.8
    """Factor of the plateau schedule."""
    patience: int = 2000
    """Steps without a better loss after which the plateau schedule lowers the rate."""
    ema: float = 0.999
    """Decay of the averaged weights, which are those that ship; 0 ships the last ones."""
    clip_gradient: float = 1.0
    precision: Literal["fp32", "mixed"] = "fp32"
    """`mixed` runs the convolutions in bfloat16; losses, weights and the output stay in float32."""
    steps: int = 12000
    batch: int = 16
    """Crops per step."""
    crop: int = 64
    """Edge of a crop in pixels, without the halo."""
    crops_per_view: int = 4
    view: tuple[int, int] = (192, 384)
    """Smallest and largest height of a view in pixels; crops come from it at its own resolution."""
    pyramid: float = 0.0
    """Share of batches that see their views reduced to a half, as the product sees wide clipped areas."""
    halo: bool = True
    """Read crops with the network's receptive field around them; False pads with zeros, as the paper does."""
    seed: int = 1
    camera: CameraRanges = field(default_factory=CameraRanges)

    def __post_init__(self) -> None:
        def check(ok: bool, what: str) -> None:
            if not ok:
                raise UsageError(f"recipe {self.name}: {what}")

        for part, entry in ((self, ""), (self.camera, "camera.")):
            for name, hint in get_type_hints(type(part)).items():
                check(_fits(getattr(part, name), hint), f"{entry}{name}: need {_told(hint)}")
        check(re.fullmatch(r"[\w.-]+", self.name) is not None, "name: letters, digits, dots, - and _ alone")
        check(0 <= self.seed < 1 << 63, "seed: need 0 or more, below 2^63")
        check(self.crops_per_view >= 1, "crops_per_view: need 1 or more")
        check(self.steps >= 1 and self.batch >= 1, "steps and batch: need 1 or more")
        check(self.batch % self.crops_per_view == 0, "batch: need a multiple of crops_per_view")
        check(16 <= self.crop <= self.view[0] - (16 if self.halo else 0), "crop: need 16 to the view less the halo")
        check(self.view[0] <= self.view[1], "view: need smallest, largest")
        check(self.hold >= 0 and self.patience >= 1, "hold, patience: need 0 or more, 1 or more")
        check(0 <= self.ema < 1, "ema: need 0 to below 1")
        check(0 < self.lowest_rate <= self.rate, "rate: need 0 < lowest_rate <= rate")
        check(self.edge_weight >= 0 and self.steady_weight >= 0, "edge_weight, steady_weight: need 0 or more")
        low, high = self.boldness or (0.1, 0.9)
        check(0 < low < high < 1, "boldness: need 0 < smallest < largest < 1")
        check(0 < self.default_boldness < 1, "default_boldness: need more than 0 and less than 1")
        check(0 <= self.pyramid <= 1, "pyramid: a share from 0 to 1")
        check(self.halo or not self.steady_weight, "steady_weight: only with a halo")
        check(not self.stretch or self.curve == "linear", "stretch: only with the linear curve, plates are absolute")
        check(self.stretch == (self.makes == "tonemap"), "stretch: goes with tonemap, the camera's plates have a white")
        check((self.loss == "paper") == (self.curve == "linear"), "loss: paper goes with the linear curve")
        own = self.network == "expandnet"
        check(own or not (self.boldness or self.halo or self.tail), "boldness, halo, tail: only with ExpandNet")
        check(own or self.curve == "log", "curve: only log but with ExpandNet")

    @property
    def contract(self) -> Contract:
        """What weights of this recipe expect and give."""
        return Contract(
            name=self.name,
            input_stretch=self.stretch,
            antialias=self.antialias,
            output_curve=self.curve,
            boldness=self.default_boldness if self.boldness else None,
            tail=self.tail,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain data."""
        return asdict(self)


def _fits(value: Any, hint: Any) -> bool:
    """Tell whether a value is of a type as recipes have them: plain ones, choices, pairs, or None where that is one."""
    of, inner = get_origin(hint), get_args(hint)
    if of is Literal:
        return value in inner
    if of in (Union, UnionType):
        return any(_fits(value, one) for one in inner)
    if of is tuple:
        if not isinstance(value, tuple):
            return False
        expected = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
        return len(value) == len(expected) and all(map(_fits, value, expected))
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, (int, float) if hint is float else hint)


def _told(hint: Any) -> str:
    of, inner = get_origin(hint), get_args(hint)
    if of is Literal:
        return "one of " + ", ".join(map(str, inner))
    if of in (Union, UnionType):
        return " or ".join(map(_told, inner))
    if of is tuple:
        return f"a list of {_told(inner[0])}" if inner[-1] is Ellipsis else f"{len(inner)} of {_told(inner[0])}"
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", type(None): "nothing"}
    return names.get(hint, str(hint))


def load_recipe(path: Path, **changes: Any) -> Recipe:
    """Read a recipe; `changes` that are not None win over the file.

    Raises:
        UsageError: the file cannot be read, an entry is unknown or out of its range.
    """
    try:
        data = read_toml(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: not a recipe ({error})") from error
    camera = data.pop("camera", {})
    _known(path, data, Recipe)
    _known(path, camera, CameraRanges)
    data.update({name: value for name, value in changes.items() if value is not None})
    data.setdefault("name", path.stem)
    try:
        return Recipe(**_tuples(data), camera=CameraRanges(**_tuples(camera)))
    except TypeError as error:
        raise UsageError(f"{path}: {error}") from error


def _known(path: Path, data: dict[str, Any], kind: type) -> None:
    unknown = data.keys() - {entry.name for entry in fields(kind)}
    if unknown:
        raise UsageError(f"{path}: unknown entry {sorted(unknown)[0]!r}; see {kind.__name__}")


def _tuples(data: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
