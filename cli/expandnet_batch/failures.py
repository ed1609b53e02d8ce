"""What costs a frame, and the one line that says so."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from expandnet_ofx.errors import ExpandNetError, InputError

FRAME_FAILURES = (ExpandNetError, OSError, MemoryError, RuntimeError, ValueError, TypeError, LookupError)
"""What costs one frame and not the batch: bad files, and faults of a library or of ours that one file brings out."""


OF_A_PATH = (
    errno.EACCES,
    errno.EPERM,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ELOOP,
    errno.EROFS,
)
"""What is wrong with a path that somebody named; else a disk is, or the system."""


def os_error_text(error: OSError) -> str:
    """Return an error of the system as one line: its file if it has one, what is wrong, what to do."""
    name = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
    of_a_path = error.errno in (*OF_A_PATH, errno.ENOENT)
    advice = "check the path and permissions" if of_a_path else "check its disk and run again"
    return f"{name}{error.strerror or error}; {advice}"


def failure_text(error: BaseException, source: Path | None = None) -> str:
    """Return an error as one line that names its file, if it has one, and what to do.

    PyTorch's errors are told by their name: they are known without PyTorch.
    """
    text = str(error) or type(error).__name__
    if type(error).__name__ == "OutOfMemoryError" and not isinstance(error, ExpandNetError):
        text = "not enough memory on the device; free some, or lower --tile"
    elif isinstance(error, MemoryError):
        text = "not enough memory; lower --memory or --tile"
    elif isinstance(error, OSError):
        text = os_error_text(error)
    elif not isinstance(error, ExpandNetError):
        text = f"internal fault, {type(error).__name__}: {text}; please report it"
        text += " with this file" if source is not None else ""
    # What is wrong with a picture names it already; it may be the mask.
    if source is not None and not isinstance(error, InputError) and str(source) not in text:
        text = f"{source}: {text}"
    return " ".join(text.encode("utf-8", "backslashreplace").decode("utf-8").split())
