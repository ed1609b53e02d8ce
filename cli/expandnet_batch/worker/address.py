"""Where a worker is found: a file that only its user can read, with the socket and the secret."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import stat
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from expandnet_batch.worker.protocol import LINE_LIMIT, NOT_ADMITTED
from expandnet_ofx import __version__
from expandnet_ofx.errors import InputError, UsageError
from expandnet_ofx.partials import write_text
from expandnet_ofx.systems import on_windows

FOLDER_VARIABLE = "EXPANDNET_RUNTIME"
"""Names the folder instead of the user's own one."""


def runtime_folder() -> Path:
    """Return the user's folder for sockets, made if it is not there, which nobody else may enter.

    Raises:
        UsageError: it cannot be made, or belongs to somebody else.
    """
    folder = _named_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
        if hasattr(os, "getuid"):
            if found.st_uid != os.getuid():
                raise UsageError(f"{folder}: belongs to another user; set {FOLDER_VARIABLE} to a folder of your own")
            if stat.S_IMODE(found.st_mode) & 0o077:
                folder.chmod(0o700)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be used ({error.strerror or error}); set {FOLDER_VARIABLE}") from error
    return folder


def _named_folder() -> Path:
    if named := os.environ.get(FOLDER_VARIABLE):
        return Path(named).absolute()
    if session := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(session) / "expandnet"
    if on_windows() and (own := os.environ.get("LOCALAPPDATA")):
        # Modes of folders say nothing there, and a folder for temporary files may be everybody's.
        return Path(own) / "expandnet"
    user = str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    return Path(tempfile.gettempdir()) / f"expandnet-{user}"


@dataclass(frozen=True, kw_only=True)
class Address:
    """How a host reaches a worker."""

    protocol: int
    version: str
    device: str
    pid: int
    secret: str
    """What the first request must name."""
    path: str | None = None
    """UNIX socket."""
    port: int | None = None
    """Port on 127.0.0.1, where there are no UNIX sockets."""

    @classmethod
    def load(cls, path: Path) -> Address:
        """Read what `save` wrote; raise `InputError` if it is not there or none."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"{path}: no address of a worker ({error})") from error

    def save(self, path: Path) -> None:
        """Write the address, readable by its user alone."""
        # The folder lets nobody else in, so the moment before the mode is set shows the secret to nobody.
        write_text(path, json.dumps(asdict(self)))
        path.chmod(0o600)

    @property
    def hello(self) -> bytes:
        """The first request of a connection, as a line."""
        request = {"id": 0, "request": "hello", "protocol": self.protocol, "secret": self.secret}
        return json.dumps(request).encode() + b"\n"

    def answers(self) -> bool:
        """Tell whether this worker listens: of one that was killed, its port may be another program's by now."""
        try:
            with connect(self) as made, made.makefile("rb") as said:
                made.sendall(self.hello)
                answer = json.loads(said.readline(LINE_LIMIT))
                # One that refuses, such as for want of room, says so to who asks next.
                return answer["ok"] or not answer["error"]["message"].startswith(NOT_ADMITTED)
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return False


def connect(address: Address) -> socket.socket:
    """Return a connected socket; raise `OSError` if nobody listens."""
    if address.path is None:
        return socket.create_connection(("127.0.0.1", address.port or 0), timeout=5)
    made = socket.socket(socket.AF_UNIX)
    try:
        made.settimeout(5)
        made.connect(address.path)
    except OSError:
        made.close()
        raise
    return made


def address_file(folder: Path, device: str) -> Path:
    """Return the file of the worker of a device and this version."""
    key = hashlib.sha256(f"{__version__} {device}".encode()).hexdigest()[:12]
    return folder / f"worker-{key}.json"
