"""What hosts and the worker say to each other: one JSON object per line, in both directions.

A request is `{"id": 7, "request": "render", ...}`; its reply `{"id": 7, "ok": true, "result": {...}}` or `{"id": 7, "ok":
false, "error": {"kind": "InputError", "message": "one line"}}`. While it runs there may be `{"id": 7, "event": "progress",
"share": 0.5, "text": "..."}`. The first request of a connection is `hello`, with the protocol and the secret.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expandnet_batch.failures import failure_text
from expandnet_ofx.errors import UsageError
from expandnet_ofx.finite import finite

PROTOCOL = 1
"""Version of what is said; a host that speaks another one is told so and left."""

NOT_ADMITTED = "not admitted"
"""Begins what a worker says to one who does not know its secret."""

LINE_LIMIT = 1 << 20
"""Longest line in bytes; whoever sends a longer one is left."""

WAITING_LIMIT = 64
"""Requests of one connection that may wait."""

CLIENT_LIMIT = 16
"""Connections at a time."""


class ProtocolError(UsageError):
    """A line is no request that is understood."""


class CancelledError(Exception):
    """The host took a request back, or has gone; not one of the errors that cost a single frame."""


@dataclass(frozen=True)
class Request:
    """One request of a host."""

    id: int
    name: str
    values: Mapping[str, Any]

    def path(self, name: str) -> Path:
        """Return an absolute path; raise `ProtocolError` if it is missing or relative: a host stands in another folder."""
        return self.path_in(name, self.values.get(name))

    def path_in(self, name: str, value: object) -> Path:
        """Return what a value holds, or a part of it, as `path` does."""
        if not isinstance(value, str) or not value or "\0" in value:
            raise ProtocolError(f"{self.name}: needs {name}, a path")
        path = Path(value)
        if not path.is_absolute():
            raise ProtocolError(f"{self.name}: {name} {path} is not an absolute path")
        return path

    def mapping(self, name: str) -> Mapping[str, Any]:
        """Return an object, empty if it is missing; raise `ProtocolError` if it is something else."""
        value = self.values.get(name) or {}
        if not isinstance(value, dict):
            raise ProtocolError(f"{self.name}: {name} must be an object")
        return value

    def integers(self, name: str, count: int | None = None) -> tuple[int, ...] | None:
        """Return a list of whole numbers, None if it is missing; raise `ProtocolError` if it is something else."""
        value = self.values.get(name)
        if value is None:
            return None
        whole = isinstance(value, list) and all(is_whole(item) for item in value)
        if not whole or (count is not None and len(value) != count):
            raise ProtocolError(f"{self.name}: {name} must be a list of {count or 'whole'} numbers")
        return tuple(value)


def is_whole(value: Any) -> bool:
    """Tell whether a value of a message is a whole number of a size that frames and pixels have."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 31


def parse_request(line: bytes) -> Request:
    """Read one line; raise `ProtocolError` if it is no request."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("not a line of JSON") from error
    if not isinstance(data, dict) or not is_whole(data.get("id")) or not isinstance(data.get("request"), str):
        raise ProtocolError("not a request: needs id, a whole number, and request, a text")
    values = {key: value for key, value in data.items() if key not in ("id", "request")}
    return Request(data["id"], data["request"], values)


def reply(id_: int | None, result: Mapping[str, Any]) -> bytes:
    """Return the line of a reply."""
    return _line({"id": id_, "ok": True, "result": result})


def failure(id_: int | None, error: BaseException) -> bytes:
    """Return the line of a reply that says what went wrong."""
    text = str(error) if isinstance(error, CancelledError) else failure_text(error)
    return _line({"id": id_, "ok": False, "error": {"kind": type(error).__name__, "message": text}})


def progress_event(id_: int, share: float, text: str) -> bytes:
    """Return the line that tells how much of a request is done, 0 to 1."""
    return _line({"id": id_, "event": "progress", "share": round(share, 4), "text": text})


def _line(data: Mapping[str, Any]) -> bytes:
    return json.dumps(finite(data), allow_nan=False).encode("ascii") + b"\n"
