"""Process-wide switches; only commands set them, importing the package never does."""

from __future__ import annotations

import ctypes
import os

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -2, -3, -8
"""Parameters of glibc's mallopt(3)."""


def tune_process() -> None:
    """Keep large freed blocks for the next tile instead of returning them to the kernel.

    Activations of tens of megabytes per layer would otherwise be mapped, zeroed page by page and unmapped again for
    each layer of each tile.
    """
    # Kernels prepared for shapes that never come again would pile up over a batch of stills of many sizes.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256")
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        # Not glibc: its allocator has no such switch, and needs none to be correct.
        return
    # Tile threads come and go over the same few large blocks: one arena serves them all and grows once.
    mallopt(M_ARENA_MAX, 1)
    mallopt(M_MMAP_THRESHOLD, 40 << 20)
    mallopt(M_TRIM_THRESHOLD, 256 << 20)
    mallopt(M_TOP_PAD, 32 << 20)
