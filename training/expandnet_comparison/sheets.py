"""A sheet per picture: what all methods make of it, drawn where it is measured, since their light is at hand there."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from expandnet_training.plots import write_sheet
from numpy.typing import NDArray

from expandnet_ofx.partials import new_file

SHOWN_WHITE = 200.0
"""Light in cd/m2 that is white on a sheet at 0 stops."""

COLUMN = 240
"""Width of a picture on a sheet."""

MARK = "expandnet-compare"
"""Text of a PNG by which a sheet says what it shows."""


class Sheet:
    """The sheet of one picture.

    Args:
        path: where it goes.
        made_from: what tells the picture, the choices and each row.
    """

    def __init__(self, path: Path, made_from: Sequence[str]) -> None:
        self._path = path
        self._mark = hashlib.sha256("\n".join(made_from).encode()).hexdigest()

    @property
    def stays(self) -> bool:
        """True if it is there and would come out the same."""
        from PIL import Image

        try:
            with Image.open(self._path) as picture:
                return bool(picture.info.get(MARK) == self._mark)
        except (OSError, SyntaxError):
            return False

    def write(self, pictures: Mapping[str, NDArray[np.floating]]) -> None:
        """Write what methods make of the picture: a column each, in cd/m2, at three exposures."""
        shown = {name: (x / SHOWN_WHITE).astype(np.float32) for name, x in pictures.items()}
        with new_file(self._path) as partial:
            write_sheet(partial, shown, column=COLUMN, texts={MARK: self._mark})
