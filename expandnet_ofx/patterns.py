"""File names with a place for frame numbers: `shot.####.png`, `shot.%04d.png`, `shot.$F4.png`, `wall.<UDIM>.png`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from expandnet_ofx.errors import UsageError
from expandnet_ofx.systems import alike

_MARK = re.compile(r"#+|@+|%0?\d*d|\$F\d*|<UDIM>")
# A run between two dots, as those of a movie's frames are named: `promo@2x.####.exr`.
_BEFORE_SUFFIX = re.compile(r"(.*\.)(#{2,})((?:\.[^.#@%$<]+)+)")


class FramePattern:
    """A file name with a place for frame numbers; its folder is taken as it is, whatever marks it holds.

    One `#` means four digits, several mean one digit each. A range may stand before the mark: `shot.1001-1100#.png`; in it
    `:` means a step, as render farms write it.

    Args:
        text: the pattern.
        made: it was made of a file's name, so that the last `.####` before the suffix is the place, and other marks are part
            of the name.

    Raises:
        UsageError: it has no place for numbers, or several.
    """

    def __init__(self, text: str, *, made: bool = False) -> None:
        from fileseq.exceptions import FileSeqException
        from fileseq.filesequence import FileSequence

        folder, name = os.path.split(text)
        self._folder = Path(folder)
        before = _BEFORE_SUFFIX.fullmatch(name) if made else None
        if before:
            self._names: Any = FileSequence(f"x.{'@' * len(before[2])}{before[3]}")
            self._names.setBasename(before[1])
            return
        if len(_MARK.findall(name)) > 1:
            raise UsageError(f"{text}: one place for frame numbers, please; write shot.####.png")
        name = re.sub(r"#{2,}", lambda run: "@" * len(run.group()), name)
        name = name.replace(":", "x") if re.search(r"\d:\d", name) else name
        try:
            self._names = FileSequence(name)
        except FileSeqException as error:
            raise UsageError(f"{text}: not a pattern of frames; write shot.####.png") from error
        if not self._names.padding():
            raise UsageError(f"{text}: one place for frame numbers, please; write shot.####.png")

    @property
    def frames(self) -> list[int]:
        """The range that stands in the pattern; empty without one."""
        return [int(frame) for frame in self._names.frameSet() or ()]

    def path(self, frame: int) -> Path:
        """Return the file of a frame."""
        return self._folder / str(self._names.frame(frame))

    def on_disk(self) -> list[int]:
        """Return the frames whose files exist, ascending; their numbers have as many digits as the pattern says."""
        names = (path.name for path in self._folder.iterdir()) if self._folder.is_dir() else ()
        return sorted(number for name in names if (number := self.number(name)) is not None)

    @property
    def around(self) -> tuple[str, str]:
        """What stands before the number in a name, and behind it."""
        return str(self._names.basename()), str(self._names.extension())

    def number(self, name: str) -> int | None:
        """Return the frame that a file of this name in the pattern's folder is; None for none."""
        name, (start, end) = alike(name), map(alike, self.around)
        number = name[len(start) : len(name) - len(end)]
        if not (name.startswith(start) and name.endswith(end) and re.fullmatch(r"-?\d+", number)):
            return None
        return int(number) if alike(str(self._names.frame(int(number)))) == name else None


def as_pattern(text: str) -> FramePattern | None:
    """Return the pattern of a name; None where it has no place for numbers, or a file has that very name."""
    return None if Path(text).exists() or not is_pattern(text) else FramePattern(text)


def is_pattern(text: str) -> bool:
    """Tell whether the name at the end of a path has a place for frame numbers; a path that ends in a slash has no name."""
    return _MARK.search(os.path.split(text)[1]) is not None
