"""Process-wide switches; only commands set them, importing the package never does."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -2, -3, -4, -8
"""Parameters of glibc's mallopt(3)."""


NEAR = 0.7
"""Share of the memory limit from which freed blocks are handed back."""


def keep_products_single() -> None:
    """Keep numpy's matrix products in the thread that asks for them; before numpy is imported.

    Several of our threads work side by side, and those of their products would wait for each other.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def tune_process() -> None:
    """Keep large freed blocks for the next tile instead of returning them to the kernel.

    Activations of tens of megabytes per layer would otherwise be mapped, zeroed page by page and unmapped again for
    each layer of each tile.
    """
    # Kernels prepared for shapes that never come again would pile up over a batch of stills of many sizes.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256")
    mallopt = _allocator_switch()
    if mallopt is None:
        return
    # Tile threads come and go over the same few large blocks: one arena serves them all and grows once.
    mallopt(M_ARENA_MAX, 1)
    mallopt(M_MMAP_THRESHOLD, 40 << 20)
    mallopt(M_TRIM_THRESHOLD, 256 << 20)
    mallopt(M_TOP_PAD, 32 << 20)


def _allocator_switch() -> Any:
    """Return glibc's mallopt; None elsewhere, where allocators have no such switch and need none to be correct."""
    try:
        return ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        # On Windows there is no library without a name.
        return None


def keep_memory() -> None:
    """Never hand freed blocks back to the kernel: for training, whose every step asks for the same gigabytes again.

    Pages that are mapped and zeroed anew cost a sixth of a step.
    """
    mallopt = _allocator_switch()
    if mallopt is None:
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)
    mallopt(M_TOP_PAD, 256 << 20)


class MemoryGuard:
    """Hands freed memory back to the kernel when the process nears its limit.

    Blocks of many sizes leave gaps in the allocator's heap; over thousands of tiles they would add up to more than is in
    use. Returning them costs milliseconds, so it is done only when it matters.
    """

    def __init__(self, limit: int) -> None:
        self._threshold = int(limit * NEAR)
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if Path("/proc/self/statm").exists() else None

    def check(self) -> None:
        """Look at the resident size, and trim the heap if it is near the limit."""
        if self._trim is not None and resident_bytes() > self._threshold:
            self._trim(0)

    def hand_back(self) -> None:
        """Hand back all that is free."""
        if self._trim is not None:
            self._trim(0)


def resident_bytes() -> int:
    """Return the resident size of this process (proc(5), statm)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
