"""Whether a result that exists can stay."""

from __future__ import annotations

from pathlib import Path

from expandnet_ofx.convert import Converter, Identity
from expandnet_ofx.writer import read_provenance


def up_to_date(converter: Converter, identity: Identity, output: Path) -> bool:
    """Tell whether a result is complete, readable and made from the same source, settings and weights.

    The source's size and content decide, not its time: a copy with another time is the same plate, and a plate
    replaced by an older one is not.
    """
    if not output.exists():
        return False
    return read_provenance(output) == converter.provenance(identity)
