"""What costs a frame, and the one line that says so."""

from __future__ import annotations

from pathlib import Path

from expandnet_ofx.errors import ExpandNetError, InputError

FRAME_FAILURES = (ExpandNetError, OSError, MemoryError, RuntimeError, ValueError, TypeError, LookupError)
"""What costs one frame and not the batch: bad files, and faults of a library or of ours that one file brings out."""


def failure_text(error: BaseException, source: Path | None = None) -> str:
    """Return an error as one line that names its file, if it has one, and what to do.

    PyTorch's errors are told by their name: they are known without PyTorch.
    """
    text = str(error) or type(error).__name__
    if type(error).__name__ == "OutOfMemoryError" and not isinstance(error, ExpandNetError):
        text = "not enough memory on the device; free some, or lower --tile"
    elif isinstance(error, MemoryError):
        text = "not enough memory; lower --memory or --tile"
    elif not isinstance(error, (ExpandNetError, OSError)):
        text = f"internal fault, {type(error).__name__}: {text}; please report it"
        text += " with this file" if source is not None else ""
    # What is wrong with a picture names it already; it may be the mask.
    if source is not None and not isinstance(error, InputError) and str(source) not in text:
        text = f"{source}: {text}"
    return " ".join(text.encode("utf-8", "backslashreplace").decode("utf-8").split())
