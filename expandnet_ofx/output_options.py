"""How results are stored, and what of it a file of some name can hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from expandnet_ofx.errors import UsageError

COMPRESSIONS = ("zip", "zips", "piz", "none", "rle", "dwaa", "dwab", "pxr24", "b44", "b44a")

MATTE_CHANNELS = ("matte.R", "matte.G", "matte.B")

SUFFIXES = (".exr", ".hdr", ".tif", ".tiff")


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """How results are stored; validated on construction."""

    pixel: Literal["half", "float"] = "half"
    """Type of the color channels."""
    compression: str = "zip"
    """EXR compression: `zip`, `zips`, `piz`, `none`, `zip:9`, `dwaa:45` and so on."""
    matte: bool = False
    """Write the matte as channels `matte.R`, `matte.G`, `matte.B`."""
    interop_id: str | None = "lin_rec709_scene"
    """Color Interop ID of the output space; None writes none."""
    aces: bool = False
    """Write an ACES image container (SMPTE ST 2065-4): half, uncompressed, RGB(A) only; a matte goes to a second file."""

    def __post_init__(self) -> None:
        name, _, level = self.compression.partition(":")
        if name not in COMPRESSIONS or (level and not level.isdigit()) or (level and name in ("none", "piz", "rle")):
            raise UsageError(f"--compression {self.compression}: use one of {', '.join(COMPRESSIONS)}, or dwaa:45")
        least, most = (1, 9) if name in ("zip", "zips") else (0, 10000)
        if level and not least <= int(level) <= most:
            raise UsageError(f"--compression {self.compression}: {name} has levels {least} to {most}")
        if self.aces and (self.pixel != "half" or self.compression != "none"):
            raise UsageError("ACES2065-1 files (ST 2065-4) are half and uncompressed; drop the other flags")

    @property
    def matte_channels(self) -> tuple[str, ...]:
        """Names of the matte's channels inside a result; an ACES container holds none, so they go to a second file."""
        return MATTE_CHANNELS if self.matte and not self.aces else ()

    @property
    def separate_matte(self) -> bool:
        """True if the matte goes to a second file, see `matte_file`."""
        return self.matte and self.aces


def matte_file(target: Path) -> Path:
    """Return where the matte of a result goes that cannot hold it."""
    return target.with_name(f"{target.stem}.matte{target.suffix}")


def check_suffix(path: Path, options: OutputOptions) -> None:
    """Raise `UsageError` if an output of this name cannot hold what is asked."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"{path}: outputs are {', '.join(SUFFIXES)}; scene-linear light fits into nothing else")
    if suffix != ".exr" and (options.matte or options.aces):
        raise UsageError(f"{path}: matte channels and ACES containers need .exr")
