"""A batch that decodes one plate once and codes no picture: what everything but files takes. For `shot.py`.

    python benchmarks/held.py WORDS OF expandnet-batch

All frames must be copies of one picture. Results are computed and dropped, maps of analyses wait in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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


def read(plate: ImagePlate, start: int, stop: int) -> Any:
    """Return rows that were decoded once."""
    if (start, stop) not in decoded:
        decoded[start, stop] = decode(plate, start, stop)
    return decoded[start, stop]


class Dropped:
    """A writer that writes nothing."""

    def write(self, start: int, pixels: Any) -> None:
        """Take rows."""

    def next_part(self) -> None:
        """Go on to the next part."""

    def commit(self) -> None:
        """Complete nothing."""


@contextmanager
def dropped(*_: Any) -> Iterator[Dropped]:
    """Give a writer that writes nothing."""
    yield Dropped()


def main() -> None:
    """Run the batch."""
    with (
        patch.object(ImagePlate, "_read", read),
        patch("expandnet_ofx.rendering.image_writer", dropped),
        patch("expandnet_ofx.analysis._save_maps", maps.__setitem__),
        patch("expandnet_ofx.analysis._load_maps", maps.__getitem__),
    ):
        batch()


if __name__ == "__main__":
    main()
