"""Names of files that are still being written, and what to do with those a killed process left."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from glob import escape
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from expandnet_ofx.errors import OutputError
from expandnet_ofx.systems import give_name, is_alive

PARTIAL = ".partial"
"""Marks files that are still being written; they are never taken for inputs."""

_OWNER = re.compile(
    rf"\.(?P<stem>.+)\.(?P<host>[0-9a-f]{{8}})-(?P<process>\d+)-[0-9a-f]{{6}}{re.escape(PARTIAL)}(\.[^.]*)?"
)
"""Host, process and a random part, see `partial_name`: other programs name files alike."""

LONGEST_STEM = 200
"""Bytes of a name that one of a partial file begins with: file systems take 255 in all."""

SCRATCH = "expandnet-"
"""Begins the names of folders for temporary files."""

SHEET = ".preview.png"
"""Ends the name of a preview sheet; a folder's sheets are not taken for its plates."""

MAP_FILE = ".maps.exr"
"""Ends the name of the maps of an analysis; nor are those."""


def sheet_file(result: Path) -> Path:
    """Return where the preview sheet of a result goes."""
    return result.with_suffix(SHEET)


@cache
def _host() -> str:
    """Return what tells where process numbers are those that we see: containers and cloned machines share names."""
    found = [socket.gethostname()]
    with suppress(OSError):
        found.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
        found.append(os.readlink("/proc/self/ns/pid"))  # noqa: PTH115 - a link to no path
    return f"{zlib.crc32(' '.join(found).encode()):08x}"


def _short(stem: str) -> str:
    """Return as much of a name's begin as leaves room for what a partial file is told by."""
    return os.fsencode(stem)[:LONGEST_STEM].decode(errors="ignore") if len(os.fsencode(stem)) > LONGEST_STEM else stem


def partial_name(path: Path) -> Path:
    """Return a unique name beside `path`, with its suffix, that tells who writes it."""
    stem = _short(path.stem)
    return path.with_name(f".{stem}.{_host()}-{os.getpid()}-{secrets.token_hex(3)}{PARTIAL}{path.suffix}")


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give the name that a file is written under; it gets its own when the block is left well, else it is removed.

    Its folder is made, and what killed processes left of the file goes. The file is on the disk before it has its name.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent, stem=_short(path.stem))
    partial = partial_name(path)
    try:
        yield partial
        flush(partial)
        give_name(partial, path)
    finally:
        with suppress(OSError):
            partial.unlink()


def flush(path: Path) -> None:
    """Wait until what was written is on the disk; raise `OSError` if it does not get there."""
    # Windows flushes only what may be written.
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def write_text(path: Path, text: str, *, executable: bool = False) -> None:
    """Write a file of text, which appears under its name only when complete; folders are made.

    What is no file (a device, a pipe) is written to, and not replaced.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        if is_special(path):
            with path.open("a", encoding="utf-8") as file:
                file.write(text)
            return
        with new_file(path) as partial:
            # Also where lines end otherwise: what runs a script may be another system than what wrote it.
            partial.write_text(text, encoding="utf-8", newline="\n")
            if executable:
                partial.chmod(partial.stat().st_mode | 0o111)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error


def is_special(path: Path) -> bool:
    """Tell whether a path leads to a device or a pipe, or to what a process holds open, such as its output."""
    held = str(path.absolute()).startswith(("/proc/", "/dev/fd/", "/dev/stdout", "/dev/stderr"))
    return path.exists() and (held or not (path.is_file() or path.is_dir()))


def is_partial(path: Path) -> bool:
    """Tell whether a file is one that is still being written, or was when its process died."""
    return path.name.startswith(".") and (PARTIAL + "." in path.name or path.name.endswith(PARTIAL))


def is_by_product(path: Path) -> bool:
    """Tell whether a file is unfinished, a preview sheet or maps of an analysis, which nobody means when they name a folder."""
    return is_partial(path) or path.name.endswith((SHEET, MAP_FILE))


@contextmanager
def scratch_folder(parent: Path | None = None) -> Iterator[Path]:
    """Give a folder for temporary files, and remove it afterwards; those of killed processes go before.

    Args:
        parent: folder that it is made in, hidden; None for that of all temporary files.

    Raises:
        OutputError: it cannot be made.
    """
    begin, where = (SCRATCH, Path(gettempdir())) if parent is None else (f".{SCRATCH}", parent)
    for left in where.glob(f"{begin}{_host()}-*"):
        with suppress(OSError, ValueError):
            if not is_alive(int(left.name.removeprefix(begin).split("-")[1])):
                shutil.rmtree(left, ignore_errors=True)
    prefix = f"{begin}{_host()}-{os.getpid()}-"
    try:
        # What is held by others, as network disks do, stays for the next sweep, and is no reason to fail.
        folder = TemporaryDirectory(prefix=prefix, dir=where, ignore_cleanup_errors=True)
    except OSError as error:
        advice = "make room, or set TMPDIR to a folder on another disk" if parent is None else "make room"
        raise OutputError(
            f"{where}: no folder for temporary files can be made ({error.strerror or error}); {advice}"
        ) from error
    with folder as made:
        yield Path(made)


def sweep(folder: Path, *, stem: str = "") -> list[Path]:
    """Remove partial files of this host whose process is gone, and those of others older than a day; return them.

    Args:
        stem: of the file that they were to become; of all files without it.
    """
    removed = []
    for path in folder.glob(f".{escape(stem) + '.' if stem else ''}*{PARTIAL}*"):
        owner = _OWNER.fullmatch(path.name)
        if owner is None or stem not in ("", owner["stem"]):
            continue
        # One that a neighbor sweeps in the same moment is gone as well.
        with suppress(OSError):
            ours = owner["host"] == _host()
            if not is_alive(int(owner["process"])) if ours else time.time() - path.stat().st_mtime > 86400:
                path.unlink()
                removed.append(path)
    return removed
