"""Files that a command is given by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from expandnet_ofx.errors import UsageError


def named_files(option: str, texts: Sequence[str]) -> dict[str, Path]:
    """Return files by name, written NAME=FILE; raise `UsageError` for what is written otherwise."""
    found = {}
    for text in texts:
        name, _, path = text.partition("=")
        if not name or not path:
            raise UsageError(f"{option} {text}: write NAME=FILE")
        if name in found:
            raise UsageError(f"{option} {text}: {name} is there twice; give each its own name")
        found[name] = Path(path)
    return found
