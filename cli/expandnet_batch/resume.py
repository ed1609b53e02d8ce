"""Whether a result that exists can stay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from expandnet_ofx.convert import Converter
from expandnet_ofx.output_options import matte_file
from expandnet_ofx.preview import shows
from expandnet_ofx.provenance import as_text
from expandnet_ofx.results import read_provenance
from expandnet_ofx.sources import Identity


def up_to_date(converter: Converter, identity: Identity, output: Path, *, preview: Path | None = None) -> bool:
    """Tell whether a result is complete, readable and made from the same source, settings and weights.

    The source's size and content decide, not its time: a copy with another time is the same plate, and a plate
    replaced by an older one is not.

    Args:
        output: the result; what is stored beside it, a matte of its own, counts as well.
        preview: sheet that must be there, too, and show this result.
    """
    wanted = [output, matte_file(output)] if converter.options.separate_matte else [output]
    if not all(path.exists() for path in wanted):
        return False
    expected = converter.provenance(identity)
    if preview is not None and not shows(preview, as_text(expected)):
        return False
    return all(read_provenance(path) == expected for path in wanted)


OF_THE_MACHINE = ("device", "engine", "precision")
"""What a result says of where it was made."""


def made_from(
    converter: Converter, identity: Identity, output: Path, *, analysis: str | None, preview: Path | None = None
) -> bool:
    """Tell whether a result is complete and of this source and these settings, whatever device it was made on."""
    expected = converter.provenance(replace(identity, analysis_sha256=analysis))
    found = read_provenance(output) or {}
    if {**found, **{name: expected[name] for name in OF_THE_MACHINE}} != expected:
        return False
    if preview is not None and not shows(preview, as_text(found)):
        return False
    return not converter.options.separate_matte or read_provenance(matte_file(output)) == found
