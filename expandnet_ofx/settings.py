"""What a user decides about the picture."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from typing import Any, Literal

from expandnet_ofx.errors import UsageError
from expandnet_ofx.grade import MergeSettings
from expandnet_ofx.weights import Contract

PRESETS: dict[str, dict[str, Any]] = {
    "vfx": {},
    "authors": {"merge": "full", "border": "zero", "relative": True, "output_space": "linear-rec709"},
}
"""Named bundles of settings; `authors` reproduces what the paper's own program computes, with the authors' weights."""


RANGES: dict[str, tuple[float, float]] = {
    "white": (0.1, 1),
    "threshold": (0, 1),
    "full": (0, 1),
    "stops": (-16, 16),
    "max_stops": (0, 32),
    "saturated_max_stops": (0, 32),
    "boldness": (0.05, 0.95),
    "sun_stops": (0, 16),
    "saturation": (0, 4),
    "tile": (32, 8192),
    "feather": (0, 64),
}
"""Smallest and largest value of each number; None is allowed where it is the default."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a user decides about the picture; validated on construction.

    Raises:
        UsageError: a value is out of its range or contradicts another.
    """

    input_space: str = "auto"
    """Encoding of the plate: a built-in name, an OpenColorIO space, or `auto` (tags of the file, else sRGB)."""
    linearized: str | None = None
    """Linear space that a host has brought the plate to (a Nuke script's working space): codes of `input_space` are made
    again before anything else. None: the plate holds codes."""
    output_space: str = "linear-rec709"
    """Linear space of the result: `linear-rec709`, `acescg`, `aces2065-1`, or a scene-linear OpenColorIO space."""
    ocio: str | None = None
    """OpenColorIO config file or built-in name; None uses the library's own choice ($OCIO, then its default)."""
    merge: Literal["highlights", "full"] = "highlights"
    """`highlights` keeps every unclipped channel bit for bit; `full` takes the prediction everywhere."""
    merge_channels: Literal["separate", "together"] = "separate"
    """Whether each channel has its own matte, or a pixel one for all three."""
    threshold: float = 0.94
    """Share of a channel's clip level where the matte starts."""
    full: float = 0.992
    """Share of a channel's clip level where the matte is complete."""
    white: float | None = None
    """Code, as a share of full scale, that all channels clip at; None finds it per channel."""
    stops: float = 0.0
    """Gain of the recovered part only, in stops."""
    max_stops: float | None = None
    """Stops above the plate that recovered light rolls off to; None for no limit but that of `saturated_max_stops`."""
    saturated_max_stops: float = 2.0
    """Most stops that a saturated color (smallest code under 0.25 of white) may gain; the limit rises to 16 stops more where
    that code reaches 0.5."""
    boldness: float | None = None
    """How much worse too dark is than too bright, as the weights were trained: 0.5 counts both alike, above it light comes
    out bolder; None for the weights' own default. Only weights with a knob take it."""
    sun_stops: float = 0.0
    """Gain in stops by hand of small sources that clip in all channels (sun, lamps), whose light no plate tells."""
    saturation: float = 1.0
    """Saturation of recovered highlights: 0 gray, 1 as predicted."""
    latlong: bool = False
    """The plate is a full 2:1 panorama: wrap left to right, continue over the poles."""
    border: Literal["replicate", "zero"] = "replicate"
    """What lies beyond the plate's edge; `zero` is the authors' choice."""
    relative: bool = False
    """Stretch each result to its own minimum and maximum, as the authors' program does."""
    tile: int | None = None
    """Largest edge of a tile in pixels; None lets the engine choose: small on a CPU's caches, large on a GPU."""
    feather: int = 8
    """Pixels that neighboring tiles cross-fade over, half a tile at most; 0 is allowed."""
    memory: int = 1 << 30
    """Peak memory of the whole process to plan for, in bytes."""
    force: bool = False
    """Expand plates that look like HDR already."""

    def __post_init__(self) -> None:
        def check(ok: bool, what: str) -> None:
            if not ok:
                raise UsageError(what)

        for each in fields(self):
            value = getattr(self, each.name)
            check(_fits(value, each.default, each.name), f"{each.name.replace('_', '-')}: takes no {value!r}")
        check(0 < self.threshold < self.full <= 1, "threshold and full: need 0 < threshold < full <= 1")
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            check(value is None or low <= value <= high, f"{name.replace('_', '-')}: need {low:g} to {high:g}")
        check(self.tile is None or 2 * self.feather <= self.tile, "feather: need half the tile at most")
        check(self.memory >= 512 << 20, "memory: need 512 MiB or more, the libraries alone take a third of a GiB")
        check(not (self.latlong and self.border == "zero"), "latlong: a panorama has no border; leave border alone")
        check(self.merge in ("highlights", "full"), f"merge: {self.merge!r} is not highlights or full")
        check(self.merge_channels in ("separate", "together"), f"merge-channels: {self.merge_channels!r} is not known")
        check(self.border in ("replicate", "zero"), f"border: {self.border!r} is not replicate or zero")
        check(not self.relative or self.merge == "full", "relative: only with merge full, plates are absolute")

    @property
    def merging(self) -> MergeSettings:
        """The part of the settings that the merge needs."""
        # Numbers of numpy would turn light to double precision.
        return MergeSettings(
            threshold=float(self.threshold),
            full=float(self.full),
            stops=float(self.stops),
            max_stops=None if self.max_stops is None else float(self.max_stops),
            saturated_max_stops=float(self.saturated_max_stops),
            saturation=float(self.saturation),
            channels=self.merge_channels,
        )

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Settings:
        """Return a named bundle with changes; raise `UsageError` for an unknown name."""
        if name not in PRESETS:
            raise UsageError(f"preset {name!r}: not known; use one of {', '.join(PRESETS)}")
        return replace(cls(), **{**PRESETS[name], **changes})


def _fits(value: Any, default: Any, name: str) -> bool:
    """Tell whether a value is of the type that a setting takes; numpy's numbers are numbers."""
    if value is None:
        return default is None
    if name in ("tile", "feather", "memory"):
        return isinstance(value, Integral) and not isinstance(value, bool)
    if name in RANGES:
        return isinstance(value, Real) and not isinstance(value, bool)
    return isinstance(value, bool if isinstance(default, bool) else str)


def chosen_boldness(contract: Contract, settings: Settings) -> float | None:
    """Return the knob's position for these weights, None where they have no knob.

    Raises:
        UsageError: a boldness is asked of weights without one.
    """
    if contract.boldness is None and settings.boldness is not None:
        raise UsageError(f"boldness: the weights {contract.name} have no such knob; leave it out, or use other weights")
    return contract.boldness if settings.boldness is None else settings.boldness
