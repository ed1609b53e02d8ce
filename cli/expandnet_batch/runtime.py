"""Process-wide switches; only commands set them, importing the package never does."""

from __future__ import annotations

import ctypes
import os

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
"""Parameters of glibc's mallopt(3)."""


def tune_process(threads: int) -> None:
    """Set thread counts, and keep large freed blocks for the next tile instead of returning them to the kernel.

    Activations of tens of megabytes per layer would otherwise be mapped, zeroed page by page and unmapped again for
    each layer of each tile.
    """
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        # Not glibc: its allocator has no such switch, and needs none to be correct.
        return
    mallopt(M_MMAP_THRESHOLD, 1 << 30)
    mallopt(M_TRIM_THRESHOLD, 512 << 20)
    mallopt(M_TOP_PAD, 64 << 20)
