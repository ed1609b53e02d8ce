"""From the words of a command line to the settings of a picture and to an open converter."""

from __future__ import annotations

from typing import Any

from expandnet_batch.steadying import window_of
from expandnet_ofx.convert import Converter
from expandnet_ofx.engine import Engine, check_choices
from expandnet_ofx.errors import AlreadyHDRError, UsageError
from expandnet_ofx.expander import Expander, spaces_of
from expandnet_ofx.output_options import OutputOptions
from expandnet_ofx.settings import Settings

SETTING_OPTIONS = (
    "input_space", "linearized", "output_space", "ocio", "stops", "threshold", "full", "white", "max_stops",
    "saturated_max_stops", "saturation", "boldness", "sun_stops", "merge", "merge_channels", "latlong", "force", "memory",
    "tile", "feather",
)  # fmt: skip
"""Options that are fields of `Settings` under the same name."""


def check_options(options: dict[str, Any]) -> Settings:
    """Return the picture settings; raise `UsageError` or `WeightsError` of what no machine can honor."""
    from expandnet_ofx.weights import load_weights

    window_of(options["steady"])
    check_choices(options["engine"], options["device"], options["precision"])
    load_weights(options["weights"])
    return picture_settings(options)


def picture_settings(options: dict[str, Any]) -> Settings:
    """Return the picture settings of the command line; raise `UsageError` if they do not fit, or name no space."""
    chosen = {name: options[name] for name in SETTING_OPTIONS}
    if options["preset"] == "authors":
        plain = {"output_space": "linear-rec709", "stops": 0.0, "max_stops": None, "saturation": 1.0, "latlong": False}
        for name, value in plain.items():
            if options[name] != value:
                raise UsageError(f"--{name.replace('_', '-')}: not with --preset authors, whose output is relative")
        for name in ("merge", "output_space"):
            chosen.pop(name)
    settings = Settings.preset(options["preset"], **chosen)
    try:
        spaces_of(settings)
    except AlreadyHDRError as error:
        # Of one that was named no plate is to blame.
        raise UsageError(str(error)) from error
    return settings


def open_converter(
    options: dict[str, Any], storing: OutputOptions | None = None, *, engine: Engine | None = None
) -> Converter:
    """Open the weights and the engine of the command line; raise `UsageError` or `WeightsError` if they do not fit.

    Args:
        engine: one that is open already, with the weights, device and precision of the options.
    """
    expander = Expander(
        picture_settings(options),
        weights=options["weights"],
        engine=engine or options["engine"],
        device=options["device"],
        precision=options["precision"],
        threads=options["threads"],
    )
    return Converter(expander, storing)
