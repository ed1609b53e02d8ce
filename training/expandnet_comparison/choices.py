"""What no source documents about the paper's comparison: each a named setting with our default and its reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from expandnet_ofx.errors import UsageError

Referred = Literal["display", "scene"]

REFERRED: tuple[Referred, ...] = ("display", "scene")


def _choice(default: Any, why: str) -> Any:
    return field(default=default, metadata={"why": why})


@dataclass(frozen=True, kw_only=True)
class Choices:
    """The settings of a comparison; their reasons are printed with its results. Raises `UsageError` for a wrong one."""

    window_stops: float = _choice(
        8.0, "range of luminance that counts as well exposed: eight bits of linear light hold about eight stops"
    )
    culled: float = _choice(
        0.10, "share of values clipped at each end of a culled picture, as readers of the paper recall it"
    )
    culled_of: str = _choice(
        "values", "or luminance: whose percentiles cull; of all values, so that single channels clip as in a camera"
    )
    series: tuple[float, ...] = _choice(
        (-2.0, 2.0), "stops of an exposure series from the optimal exposure, its middle"
    )
    gamma: float = _choice(2.2, "encoding of pictures with a known response, and what every method is told in any case")
    percentiles: tuple[float, ...] = _choice((0.1, 99.9), "of a result, moved to the target's: the authors' answer")
    percentiles_of: str = _choice("values", "or luminance: all values, as in the working code that others published")
    display: tuple[float, ...] = _choice((1.0, 999.0), "target in cd/m2, display-referred: the authors' answer")
    display_peak: float = _choice(1000.0, "cd/m2 that operators are told, display-referred: the authors' answer")
    white: float = _choice(
        100.0,
        "cd/m2 of the LDR picture's white, scene-referred: a plain display's, and where PU encodings are anchored",
    )
    least: float = _choice(0.005, "cd/m2 that results and references are held to from below: where PU21 begins")
    pixels_per_degree: float = _choice(
        30.0, "for HDR-VDP, as in published calls; at 32.5 its quality is 0.8 to 2.2 lower"
    )
    kov_sigma: float = _choice(
        150.0, "pixels of KOV's filter at a height of 1080, its authors' own; it shrinks with the picture"
    )
    bnt_neighbors: int = _choice(5, "lights that BNT wants around a light: the toolbox's demonstration")
    pu2_peak: float = _choice(
        0.0,
        "cd/m2 at the peak of PSNR and SSIM under PU2; 0 for the display's peak, scene-referred the reference's largest",
    )
    pu21_peak: float = _choice(
        256.0, "PU21 value at the peak of PSNR and SSIM: its authors' program has that of 100 cd/m2"
    )

    def __post_init__(self) -> None:
        def check(ok: bool, what: str) -> None:
            if not ok:
                raise UsageError(f"choice {what}")

        check(self.window_stops > 0, "window_stops: need more than 0")
        check(0 < self.culled < 0.5, "culled: need a share between 0 and 0.5")
        check(self.culled_of in ("values", "luminance"), "culled_of: need values or luminance")
        check(self.percentiles_of in ("values", "luminance"), "percentiles_of: need values or luminance")
        check(self.gamma in (2.2, 2.4), "gamma: need 2.2 or 2.4, encodings that the product has too")
        low, high = self.percentiles if len(self.percentiles) == 2 else (1.0, 0.0)
        check(0 <= low < high <= 100, "percentiles: need two, rising, from 0 to 100")
        low, high = self.display if len(self.display) == 2 else (1.0, 0.0)
        check(0 <= low < high, "display: need two luminances, rising")
        for name in ("white", "least", "pixels_per_degree", "pu21_peak", "display_peak", "kov_sigma"):
            check(getattr(self, name) > 0, f"{name}: 0 or less; need more than 0")
        check(self.pu2_peak >= 0, "pu2_peak: need 0 or more")

    @classmethod
    def of(cls, texts: Iterable[str]) -> Choices:
        """Return the choices with changes written NAME=VALUE; lists are divided by commas."""
        known = {entry.name: entry for entry in fields(cls)}
        changes: dict[str, Any] = {}
        for text in texts:
            name, _, value = text.partition("=")
            if name not in known:
                raise UsageError(f"choice {name!r}: not known; use one of {', '.join(known)}")
            default = known[name].default
            try:
                if isinstance(default, tuple):
                    changes[name] = tuple(float(part) for part in value.split(","))
                else:
                    changes[name] = type(default)(value)
            except ValueError:
                raise UsageError(f"choice {name}={value}: need a number, such as {default}") from None
        return replace(cls(), **changes)

    def reasons(self) -> list[tuple[str, str, str]]:
        """Return name, value and reason of each choice."""
        return [(entry.name, _text(getattr(self, entry.name)), entry.metadata["why"]) for entry in fields(self)]


def _text(value: Any) -> str:
    parts = value if isinstance(value, tuple) else (value,)
    return ", ".join(part if isinstance(part, str) else f"{part:g}" for part in parts)
