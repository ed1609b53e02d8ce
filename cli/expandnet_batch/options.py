"""Options that commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from expandnet_batch import config
from expandnet_ofx.defaults import WINDOW
from expandnet_ofx.errors import UsageError


class _File(click.ParamType):  # type: ignore[type-arg]
    """A file that must be there; said in one line, unlike click's own."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path; raise `UsageError` if no file is there."""
        path = Path(value)
        if not path.is_file():
            option = f"{param.opts[0]} " if isinstance(param, click.Option) else ""
            raise UsageError(f"{option}{path}: is not there; check the path")
        return path


FILE = _File()


def _white(_: click.Context, __: click.Parameter, value: Any) -> float | None:
    if value is None or value == "auto":
        return None
    try:
        return float(value)
    except ValueError:
        raise click.BadParameter("use auto or a share of full scale, such as 0.92") from None


def memory_size(text: str) -> int:
    """Return bytes of a size such as 1GiB, 800MiB or 1073741824; raise `ValueError` if it is none."""
    text = text.strip().lower().removesuffix("b").removesuffix("i")
    units = {"k": 10, "m": 20, "g": 30, "t": 40}
    if text and text[-1] in units:
        return int(float(text[:-1]) * (1 << units[text[-1]]))
    return int(text)


def _memory(_: click.Context, __: click.Parameter, value: str) -> int:
    try:
        return memory_size(str(value))
    except (ValueError, OverflowError):
        raise click.BadParameter("use a size such as 1GiB or 800MiB") from None


def _group(options: list[Callable[..., Any]]) -> Callable[[Any], Any]:
    def wrap(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return wrap


PICTURE = _group(
    [
        click.option("--preset", type=click.Choice(["vfx", "authors"]), default="vfx", show_default=True,
                     help="Bundle of settings; authors reproduces the paper's program (needs its weights)."),
        click.option("--input-space", default="auto", show_default=True, metavar="NAME",
                     help="Encoding of the plates: srgb, rec709-scene, bt1886, gamma2.2, gamma2.4, linear, display-p3, "
                          "adobe-rgb, prophoto, rec2020-bt1886, or an OpenColorIO space; auto reads the file's tags."),
        click.option("--linearized", default=None, metavar="NAME",
                     help="Linear space that a host has brought the plates to (Nuke's working space): what --input-space "
                          "says was undone already."),
        click.option("--output-space", default="linear-rec709", show_default=True, metavar="NAME",
                     help="linear-rec709, acescg, aces2065-1 (an ST 2065-4 file) or a scene-linear OpenColorIO space."),
        click.option("--ocio", default=None, metavar="CONFIG", help="OpenColorIO config; else $OCIO, else the built-in."),
        click.option("--stops", type=float, default=0.0, show_default=True, help="Gain of the recovered light, in stops."),
        click.option("--boldness", type=float, default=None,
                     help="From careful to bold, 0.05 to 0.95; at 0.5 too dark and too bright weigh the same; "
                          "only for weights with such a knob, default is their own."),
        click.option("--sun-stops", type=float, default=0.0, show_default=True,
                     help="Gain by hand of suns and lamps: small sources that clip in all channels."),
        click.option("--threshold", type=float, default=0.94, show_default=True,
                     help="Share of a channel's clip level where the matte starts."),
        click.option("--full", type=float, default=0.992, show_default=True,
                     help="Share of a channel's clip level where the matte is complete."),
        click.option("--white", default="auto", show_default=True, callback=_white, metavar="auto|CODE",
                     help="Code that white clips at, as a share of full scale; auto finds it per channel."),
        click.option("--max-stops", type=float, default=None, help="Stops that recovered light rolls off to."),
        click.option("--saturated-max-stops", type=float, default=2.0, show_default=True,
                     help="Most stops that a saturated color may gain."),
        click.option("--saturation", type=float, default=1.0, show_default=True,
                     help="Saturation of recovered highlights, 0 gray to 1 as predicted."),
        click.option("--merge", type=click.Choice(["highlights", "full"]), default="highlights", show_default=True,
                     help="Keep every unclipped channel bit for bit, or take the prediction everywhere."),
        click.option("--merge-channels", type=click.Choice(["separate", "together"]), default="separate",
                     show_default=True, help="One matte per channel, or one per pixel."),
        click.option("--latlong", is_flag=True, help="The plates are full 2:1 panoramas."),
        click.option("--force", is_flag=True, help="Expand plates that look like HDR already."),
    ]
)  # fmt: skip

STORING = _group(
    [
        click.option("--mask", default=None, metavar="FILE|PATTERN", help="White in its first channel keeps the plate."),
        click.option("--matte", is_flag=True, help="Write the matte as channels matte.R, matte.G, matte.B."),
        click.option("--float", "pixel", flag_value="float", help="Float pixels instead of half."),
        click.option("--half", "pixel", flag_value="half", default="half", help="Half-float pixels (default)."),
        click.option("--compression", default=None, metavar="NAME",
                     help="EXR compression: zip (default, level 1; zip:4 is smaller), zips, piz, dwaa:45, none ..."),
        click.option("--preview", type=click.Choice(["none", "some", "all"]), default="none", show_default=True,
                     help="PNG sheet beside each result, or beside the first, middle and last."),
    ]
)  # fmt: skip

memory_option = click.option("--memory", default="1GiB", show_default=True, callback=_memory,
                             help="Peak memory of the process to plan for, with up to eight threads.")  # fmt: skip

RUNNING = _group(
    [
        click.option("--weights", type=click.Path(path_type=Path), default=None, help="Weights instead of the shipped ones."),
        click.option("--engine", type=click.Choice(["torch", "openvino"]), default="torch", show_default=True,
                     help="What runs the network; openvino is for CPU farms and needs no PyTorch."),
        click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda[:N]",
                     help="An explicit device that is not there is an error."),
        click.option("--precision", type=click.Choice(["fp32", "mixed", "half"]), default="fp32", show_default=True,
                     help="fp32 is exact; see the README for the error of the others in stops."),
        click.option("--threads", type=click.IntRange(0), default=0, help="Threads for tiles, and as many beside; 0 for all."),
        memory_option,
        click.option("--tile", type=int, default=None, help="Largest edge of a tile in pixels; else what suits the device."),
        click.option("--feather", type=int, default=8, show_default=True, help="Cross-fade in pixels; half a tile at most."),
    ]
)  # fmt: skip

FRAMES = _group(
    [
        click.option("--frames", default=None, metavar="RANGE", help="Such as 1001-1100, 1001-1100x2 or 1,5,9."),
        click.option("--views", default="", metavar="LIST", help="Names that %V stands for, such as left,right."),
        click.option("--first-frame", type=int, default=1, show_default=True, help="Number of a movie's first frame."),
        click.option("--fps", default=None, metavar="RATE", help="Frame rate of a movie that has no constant one."),
        click.option("--missing", type=click.Choice(["error", "skip"]), default="error", show_default=True,
                     help="What to do when a frame of a range is not there."),
    ]
)  # fmt: skip

PROGRESS = click.option("--progress", type=click.Choice(["auto", "plain", "json", "openjd", "none"]), default="auto",
                        show_default=True, help="Bar on a terminal, one line per frame elsewhere; json for programs, "
                                                "openjd for Open Job Description.")  # fmt: skip

SHOWING = _group(
    [
        PROGRESS,
        click.option("-v", "--verbose", is_flag=True, help="Say more."),
        click.option("-q", "--quiet", is_flag=True, help="Say only what went wrong."),
    ]
)  # fmt: skip

CONFIG = click.option("--config", "configs", type=click.Path(path_type=Path), is_eager=True, multiple=True,
                      callback=config.load, help="TOML file of options by their long names; of several the later wins, "
                                                 "and flags win over all.")  # fmt: skip

BATCH = _group(
    [
        click.option("--existing", type=click.Choice(["skip", "overwrite", "error"]), default="overwrite",
                     show_default=True, help="skip leaves results that are complete and made from the same source, "
                                             "settings and weights; a part of a shot is another shot."),
        click.option("--steady", default="auto", show_default=True, metavar="auto|off|FRAMES",
                     help=f"Smooth what is global to a frame over so many frames of a shot, an odd number; auto: {WINDOW}. "
                          "Only consecutive numbers of one size that look alike are a shot."),
        click.option("--analysis", type=FILE, default=None, metavar="FILE",
                     help="Analyses of the shot, from expandnet smooth, instead of making them."),
        click.option("--on-error", type=click.Choice(["continue", "stop"]), default="continue", show_default=True,
                     help="Whether one bad frame ends the batch; those in work are finished."),
        click.option("--dry-run", is_flag=True, help="Show what would be written, and stop."),
        click.option("--json", "report", type=click.Path(path_type=Path), default=None, metavar="FILE",
                     help="Write a report of every frame."),
    ]
)  # fmt: skip

EXPANDING = _group([PICTURE, STORING, RUNNING, FRAMES, BATCH, SHOWING])
"""All that decides about a batch, here or on a farm."""

TASK = _group(
    [
        PROGRESS,
        click.option("--path-map", type=click.Path(path_type=Path), default=None, metavar="FILE",
                     help="Where paths lie here, as Open Job Description tells it (pathmapping-1.0)."),
    ]
)  # fmt: skip
