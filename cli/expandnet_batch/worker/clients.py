"""Connections of a worker, and what their hosts have asked for."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from expandnet_batch.worker.protocol import LINE_LIMIT
from expandnet_batch.worker.service import Token


@dataclass(eq=False)
class Asked:
    """A request that waits or runs."""

    token: Token
    made: Future[dict[str, Any]]

    def cancel(self) -> None:
        """Take it back: at once while it waits, before its next tile while it runs."""
        self.token.cancel()
        self.made.cancel()


@dataclass(eq=False)
class Client:
    """One connection."""

    writer: asyncio.StreamWriter
    asked: dict[int, Asked] = field(default_factory=dict)
    """Requests that wait or run, by their id."""

    def send(self, line: bytes) -> None:
        """Send a line; a host that does not read does not hold up the worker."""
        if self.writer.is_closing():
            return
        if self.writer.transport.get_write_buffer_size() > 4 * LINE_LIMIT:
            self.writer.close()
            return
        self.writer.write(line)
