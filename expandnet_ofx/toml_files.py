"""Files of TOML, as a studio's configs and the recipes of a training are."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any


def read_toml(path: Path) -> dict[str, Any]:
    """Return what a file of TOML holds; a byte order mark, which editors on Windows leave, is no part of it.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not TOML (as `TOMLDecodeError`), or not UTF-8.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
