"""`expandnet-batch`: options, and nothing heavy until they are understood."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from expandnet_batch import config
from expandnet_batch.edge import run_command, version_text
from expandnet_batch.options import CONFIG, EXPANDING

if TYPE_CHECKING:
    from expandnet_batch.planning import JobPlan

EPILOG = """\b
Examples:
  expandnet-batch shots/*.png -o exr/
  expandnet-batch "shot.####.png" --frames 1001-1100 -o "exr/shot.####.exr"
  expandnet-batch plates/ -o exr/ --output-space acescg --matte

Exit codes: 0 all done or skipped, 1 some frames failed, 2 usage or nothing matched, 130 interrupted, 143 terminated.
"""


@click.command(
    "expandnet-batch", epilog=EPILOG, context_settings={"max_content_width": 110, "help_option_names": ["-h", "--help"]}
)
@click.argument("inputs", nargs=-1, metavar="INPUT...")
@click.option("-o", "--output", required=True, metavar="FOLDER|PATTERN", help="Where results go.")
@EXPANDING
@CONFIG
@click.option(
    "--save-config", type=click.Path(path_type=Path), default=None, help="Write the options in force, and go on."
)
@click.version_option(message=version_text(), package_name="expandnet-ofx")
@click.pass_context
def command(context: click.Context, /, inputs: tuple[str, ...], **options: Any) -> None:
    """Expand display-referred plates to scene-linear HDR.

    INPUTS are files, patterns (shot.####.png, shot.%04d.png, shot.1001-1100#.png), globs, folders or movies. Channels
    that did not clip come back exactly; clipped ones get recovered light. Output is display-linear: a camera's own tone
    curve is not undone.
    """
    from expandnet_batch.batch import run_batch
    from expandnet_batch.opening import check_options

    save = options.pop("save_config")

    def planned(plan: JobPlan) -> None:
        plan.check_apart(save, "--save-config", options, also=[options["report"]])
        check_options(options)
        config.save(context, save)

    context.exit(run_batch(inputs, planned=None if save is None else planned, **options))


def main() -> None:
    """Run `expandnet-batch`; the one place that turns exceptions into messages and exit codes."""
    sys.exit(run_command(command))
