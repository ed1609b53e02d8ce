"""The worker's ear: connections of one user's hosts, their requests in turn, and when to leave."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import os
import signal
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import click

from expandnet_batch.worker.clients import Asked, Client
from expandnet_batch.worker.listening import own_user, peer_user
from expandnet_batch.worker.protocol import (
    CLIENT_LIMIT,
    LINE_LIMIT,
    NOT_ADMITTED,
    PROTOCOL,
    WAITING_LIMIT,
    CancelledError,
    ProtocolError,
    Request,
    failure,
    parse_request,
    progress_event,
    reply,
)
from expandnet_batch.worker.service import Service, Token
from expandnet_ofx import __version__

GREETING = 10.0
"""Seconds that a connection has to say hello."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a worker waits, in seconds."""

    first: float = 120.0
    """For the first host, after it was started."""
    last: float = 5.0
    """After the last host has gone, for one that comes back."""
    idle: float = 600.0
    """Without a request, with hosts connected."""
    warm: float = 60.0
    """Without a request, until the network's memory is handed back."""
    word: float = 10.0
    """Until a host whose request waits for its turn hears that it does."""


class Server:
    """Listens until its last host has gone; see `Patience`.

    Args:
        service: executes requests.
        secret: what the first request of a connection must name.
        patience: how long to wait for what.
    """

    def __init__(self, service: Service, secret: str, patience: Patience) -> None:
        self._service = service
        self._secret = secret
        self._patience = patience
        self._clients: set[Client] = set()
        self._pool = ThreadPoolExecutor(1, "expandnet-request")
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, listening: socket.socket, ready: Callable[[], None]) -> None:
        """Serve on a bound socket until it is time to leave; `ready` is called once hosts may come."""
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._touched = self._loop.time()
        self._alone_since = self._touched + self._patience.first - self._patience.last
        for number in (signal.SIGTERM, signal.SIGINT):
            # Windows has none in a loop, and a thread that is not the main one takes none: they end such a process as usual.
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                self._loop.add_signal_handler(number, self._stop.set)
        kind: Any = asyncio.start_unix_server if listening.family != socket.AF_INET else asyncio.start_server
        server = await kind(self._connected, sock=listening, limit=LINE_LIMIT)
        try:
            ready()
            await self._wait_to_leave()
        finally:
            # Not `async with`: from Python 3.12 on it waits until all connections have ended by themselves.
            server.close()
        for client in list(self._clients):
            self._drop(client)
        # A request that runs hears of it before its next tile; nobody waits for its reply.
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._pool.shutdown()

    async def _wait_to_leave(self) -> None:
        patience = self._patience
        step = max(0.02, min(1.0, patience.last / 4, patience.idle / 4, patience.warm / 4))
        while not self._stop.is_set():
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stop.wait(), step)
            if self._tasks:
                continue
            now = self._loop.time()
            if not self._clients and now - self._alone_since > patience.last:
                return
            if now - self._touched > patience.idle and self._clients:
                return
            if self._service.warm and now - self._touched > patience.warm:
                await self._loop.run_in_executor(self._pool, self._service.release)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = Client(writer)
        try:
            if len(self._clients) >= CLIENT_LIMIT:
                client.send(failure(None, ProtocolError(f"{CLIENT_LIMIT} hosts are connected already; close one")))
                return
            self._clients.add(client)
            self._touched = self._loop.time()
            if await self._greeted(client, reader):
                await self._listen(client, reader)
        except (ConnectionError, TimeoutError, asyncio.TimeoutError):
            pass
        finally:
            self._drop(client)
            with contextlib.suppress(OSError, asyncio.TimeoutError):
                await asyncio.wait_for(writer.wait_closed(), 5)

    def _drop(self, client: Client) -> None:
        """Forget a connection; what it asked for is nobody's any more."""
        for asked in client.asked.values():
            asked.cancel()
        client.writer.close()
        if client in self._clients:
            self._clients.discard(client)
            self._alone_since = self._loop.time()

    async def _greeted(self, client: Client, reader: asyncio.StreamReader) -> bool:
        """Hear the first request; tell whether the host may go on."""
        line = await asyncio.wait_for(self._line(client, reader), GREETING)
        if line is None:
            return False
        try:
            request = parse_request(line)
            self._admit(request, client.writer)
        except ProtocolError as error:
            client.send(failure(None, error))
            return False
        client.send(reply(request.id, self._identity()))
        return True

    def _admit(self, request: Request, writer: asyncio.StreamWriter) -> None:
        secret = request.values.get("secret")
        spoken = request.values.get("protocol")
        same_user = peer_user(writer) in (None, own_user())
        known = isinstance(secret, str) and hmac.compare_digest(secret.encode(), self._secret.encode())
        if request.name != "hello" or not known or not same_user:
            raise ProtocolError(f"{NOT_ADMITTED}: say hello first, with the secret of the worker's address file")
        if spoken != PROTOCOL:
            raise ProtocolError(
                f"protocol {spoken}: this worker speaks {PROTOCOL}; use a plug-in and a program of one version"
            )

    def _identity(self) -> dict[str, Any]:
        return {"protocol": PROTOCOL, "version": __version__, "device": self._service.device, "pid": os.getpid()}

    async def _line(self, client: Client, reader: asyncio.StreamReader) -> bytes | None:
        """Return the next line, None at the end; a line that is too long ends the connection."""
        try:
            line = await reader.readline()
        except ValueError:
            client.send(failure(None, ProtocolError(f"a line of more than {LINE_LIMIT} bytes")))
            return None
        return line or None

    async def _listen(self, client: Client, reader: asyncio.StreamReader) -> None:
        while (line := await self._line(client, reader)) is not None:
            self._touched = self._loop.time()
            try:
                request = parse_request(line)
            except ProtocolError as error:
                client.send(failure(None, error))
                continue
            try:
                self._answer(client, request)
            except ProtocolError as error:
                client.send(failure(request.id, error))

    def _answer(self, client: Client, request: Request) -> None:
        """Answer at once what needs no network, and queue the rest."""
        if request.name == "cancel":
            target = request.values.get("target")
            asked = client.asked.get(target) if isinstance(target, int) else None
            if asked is not None:
                asked.cancel()
            client.send(reply(request.id, {"cancelled": asked is not None}))
        elif request.name == "progress":
            shares = [{"id": number, "share": asked.token.share} for number, asked in client.asked.items()]
            client.send(reply(request.id, {"requests": shares}))
        elif request.name == "hello":
            client.send(reply(request.id, self._identity()))
        elif request.name == "shutdown":
            client.send(reply(request.id, {}))
            self._stop.set()
        else:
            self._queue(client, request)

    def _queue(self, client: Client, request: Request) -> None:
        if request.id in client.asked:
            raise ProtocolError(f"id {request.id}: in use by a request that is not done")
        if len(client.asked) >= WAITING_LIMIT:
            raise ProtocolError(f"{WAITING_LIMIT} requests wait already; wait for replies")

        def tell(share: float, text: str) -> None:
            # Told from the thread that computes.
            self._loop.call_soon_threadsafe(client.send, progress_event(request.id, share, text))

        token = Token(tell)
        asked = Asked(token, self._pool.submit(self._service.execute, request, token))
        client.asked[request.id] = asked
        task = self._loop.create_task(self._run(client, request, asked))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, client: Client, request: Request, asked: Asked) -> None:
        try:
            made = asyncio.wrap_future(asked.made)
            while not (await asyncio.wait({made}, timeout=self._patience.word))[0]:
                if not asked.made.running():
                    client.send(progress_event(request.id, 0.0, "waits for another request"))
            line = reply(request.id, made.result())
        except asyncio.CancelledError:
            line = failure(request.id, CancelledError("cancelled"))
        except CancelledError as error:
            line = failure(request.id, error)
        except click.ClickException as error:
            line = failure(request.id, ProtocolError(error.format_message()))
        except Exception as error:  # noqa: BLE001 - whatever one request brings out must not end the others
            line = failure(request.id, error)
        finally:
            client.asked.pop(request.id, None)
            self._touched = self._loop.time()
        client.send(line)
