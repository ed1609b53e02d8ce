"""What systems do differently about processes and the names of files, in one place: Windows, macOS, and the others."""

from __future__ import annotations

import os
import sys
import time
import unicodedata
from contextlib import suppress
from importlib import import_module
from pathlib import Path

PAUSES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Seconds before each further try to replace a file on Windows."""

_SYNCHRONIZE, _INVALID_PARAMETER, _STILL_RUNS = 0x00100000, 87, 258


def on_windows() -> bool:
    """Tell whether this is Windows."""
    return os.name == "nt"


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that cannot be asked does."""
    if on_windows():
        return _is_alive_on_windows(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _is_alive_on_windows(pid: int) -> bool:
    """As `is_alive`: signal 0 is Ctrl-C there, for all processes of a console (Python, os.kill and signal.CTRL_C_EVENT).

    Source: Microsoft, OpenProcess and WaitForSingleObject (processthreadsapi.h, synchapi.h).
    """
    windows = import_module("_winapi")
    try:
        handle = windows.OpenProcess(_SYNCHRONIZE, False, pid)
    except OSError as error:
        return getattr(error, "winerror", None) != _INVALID_PARAMETER
    try:
        return bool(windows.WaitForSingleObject(handle, 0) == _STILL_RUNS)
    finally:
        windows.CloseHandle(handle)


def give_name(partial: Path, path: Path) -> None:
    """Give a complete file its final name, in place of what is there.

    On Windows that fails while another program has the old file open, such as a viewer or a virus scanner, most of which let
    go of it soon (Microsoft, DeleteFile).

    Raises:
        OSError: it cannot be given.
    """
    for pause in PAUSES if on_windows() else ():
        with suppress(PermissionError):
            partial.replace(path)
            return
        time.sleep(pause)
    partial.replace(path)


def place_of(path: Path | str) -> str:
    """Return a text that is the same for all names of a file, links included; see `alike`."""
    return alike(os.path.realpath(path))


def alike(name: str) -> str:
    """Return a name as disks compare it.

    Those of Windows and macOS do not tell upper from lower case unless they were made to, and macOS does not tell the ways
    apart that Unicode has to write an accent (Apple, File System Programming Guide; Microsoft, Naming Files).
    """
    if sys.platform == "darwin":
        name = unicodedata.normalize("NFC", name)
    if not on_windows() and sys.platform != "darwin":
        return name
    # Letter by letter: disks take no sharp s for two.
    return "".join(letter.upper() if len(letter.upper()) == 1 else letter for letter in name)
