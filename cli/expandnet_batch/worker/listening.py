"""Where a worker listens, and who is at the other end."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from pathlib import Path

from expandnet_batch.worker.address import FOLDER_VARIABLE
from expandnet_batch.worker.protocol import CLIENT_LIMIT
from expandnet_ofx.errors import UsageError

LONGEST_SOCKET = 103
"""Bytes of a socket's path that all systems take (unix(7): 108 with the end; fewer on macOS)."""


def own_user() -> int | None:
    """Return who runs this process, None where the system has no numbers for users."""
    return os.getuid() if hasattr(os, "getuid") else None


def peer_user(writer: asyncio.StreamWriter) -> int | None:
    """Return the user at the other end of a UNIX socket (unix(7), SO_PEERCRED), None where the system cannot tell."""
    made = writer.get_extra_info("socket")
    if not hasattr(socket, "SO_PEERCRED") or made is None or made.family != socket.AF_UNIX:
        return None
    return int(struct.unpack("3i", made.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))[1])


def bind(folder: Path, name: str, *, tcp: bool) -> socket.socket:
    """Return a listening socket: UNIX where there is such a thing, else TCP on 127.0.0.1 alone."""
    if tcp:
        made = socket.socket(socket.AF_INET)
        made.bind(("127.0.0.1", 0))
    else:
        path = folder / f"{name}.sock"
        if len(os.fsencode(path)) > LONGEST_SOCKET:
            raise UsageError(f"{path}: too long for a socket; set {FOLDER_VARIABLE} to a folder with a shorter name")
        # Whoever holds the lock owns the name; a socket that is there is a dead worker's.
        path.unlink(missing_ok=True)
        made = socket.socket(socket.AF_UNIX)
        made.bind(str(path))
        path.chmod(0o600)
    made.listen(CLIENT_LIMIT)
    return made
