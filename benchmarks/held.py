"""A batch that decodes one plate once and codes no picture: what everything but files takes. For `shot.py`.

    python benchmarks/held.py [--reading 0.03 --writing 0.1] WORDS OF expandnet-batch

All frames must be copies of one picture. Results are computed and dropped, maps of analyses wait in memory. Files can be
made to take time without a processor, as if others coded them: seconds per frame, and each time that it is read.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial, partialmethod
from pathlib import Path
from typing import Any
from unittest.mock import patch

from expandnet_batch.runtime import keep_products_single

# As the command does before numpy is there, without which matrix products alone would take longer than files.
keep_products_single()

from expandnet_batch.main import main as batch

from expandnet_ofx.images import ImagePlate

decoded: dict[tuple[int, int], Any] = {}
maps: dict[Path, Mapping[str, Any]] = {}
decode = ImagePlate._read


def read(plate: ImagePlate, start: int, stop: int, *, seconds: float) -> Any:
    """Return rows that were decoded once."""
    time.sleep(seconds * (stop - start) / plate.height)
    if (start, stop) not in decoded:
        decoded[start, stop] = decode(plate, start, stop)
    return decoded[start, stop]


class Dropped:
    """A writer that writes nothing."""

    def __init__(self, height: int, seconds: float) -> None:
        self._row = seconds / height

    def write(self, start: int, pixels: Any) -> None:
        """Take rows."""
        time.sleep(self._row * len(pixels))

    def next_part(self) -> None:
        """Go on to the next part."""

    def commit(self) -> None:
        """Complete nothing."""


@contextmanager
def dropped(_: Path, parts: Any, *__: Any, seconds: float) -> Iterator[Dropped]:
    """Give a writer that writes nothing."""
    yield Dropped(parts[0].height, seconds)


def main() -> None:
    """Run the batch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reading", type=float, default=0.0)
    parser.add_argument("--writing", type=float, default=0.0)
    arguments, sys.argv[1:] = parser.parse_known_args()
    with (
        patch.object(ImagePlate, "_read", partialmethod(read, seconds=arguments.reading)),
        patch("expandnet_ofx.rendering.image_writer", partial(dropped, seconds=arguments.writing)),
        patch("expandnet_ofx.analysis._save_maps", maps.__setitem__),
        patch("expandnet_ofx.analysis._load_maps", maps.__getitem__),
    ):
        batch()


if __name__ == "__main__":
    main()
