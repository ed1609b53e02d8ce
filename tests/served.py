"""A worker's server in a thread of a test, and hosts that talk to it."""

from __future__ import annotations

import asyncio
import json
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from expandnet_batch.worker.listening import bind
from expandnet_batch.worker.server import Patience, Server
from expandnet_batch.worker.service import Service

SECRET = "a" * 64
HELLO = {"request": "hello", "protocol": 1, "secret": SECRET}


class Host:
    """What a host does: lines out, lines in."""

    def __init__(self, path: str, *, hello: bool = True) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(path)
        self.file = self.socket.makefile("rb")
        self.events: list[dict[str, Any]] = []
        self._id = 0
        if hello:
            assert self.ask(**HELLO)["ok"]

    def send(self, line: bytes) -> None:
        self.socket.sendall(line)

    def post(self, **request: Any) -> int:
        self._id += 1
        self.send(json.dumps({"id": self._id, **request}).encode() + b"\n")
        return self._id

    def next(self) -> dict[str, Any]:
        """Return the next reply; empty once the worker has hung up."""
        while line := self.file.readline():
            data: dict[str, Any] = json.loads(line)
            if "event" not in data:
                return data
            self.events.append(data)
        return {}

    def ask(self, **request: Any) -> dict[str, Any]:
        number = self.post(**request)
        answer = self.next()
        assert answer.get("id") == number, answer
        return answer

    def close(self) -> None:
        self.file.close()
        self.socket.close()


class Running:
    """A worker's server in a thread of the test, without the network's arithmetic."""

    def __init__(self, folder: Path, patience: Patience) -> None:
        self.service = Service(device="cpu", threads=1, memory=1 << 30)
        self.path = str(folder / "w.sock")
        self.hosts: list[Host] = []
        listening = bind(folder, "w", tcp=False)
        ready = threading.Event()
        server = Server(self.service, SECRET, patience)
        self.thread = threading.Thread(target=lambda: asyncio.run(server.run(listening, ready.set)), daemon=True)
        self.thread.start()
        assert ready.wait(10)

    def host(self, **options: Any) -> Host:
        self.hosts.append(Host(self.path, **options))
        return self.hosts[-1]


@contextmanager
def serving() -> Iterator[Callable[..., Running]]:
    """Start servers; their sockets lie in a folder of a short name, as sockets must."""
    started: list[Running] = []
    with tempfile.TemporaryDirectory(prefix="w") as folder:

        def run(**patience: float) -> Running:
            started.append(Running(Path(folder), Patience(**{"last": 0.2, **patience})))
            return started[-1]

        yield run
        for running in started:
            for host in running.hosts:
                host.close()
            running.thread.join(10)
            assert not running.thread.is_alive()


@contextmanager
def stranger(answer: bytes) -> Iterator[int]:
    """Give the port of another program, which answers one line so."""

    def serve() -> None:
        made, _ = listening.accept()
        with made:
            made.recv(4096)
            made.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


def render(folder: Path, name: str = "a", **more: Any) -> dict[str, Any]:
    chosen = {"compression": "none", "matte": True, **more.pop("settings", {})}
    return {
        "request": "render",
        "source": str(folder / f"{name}.png"),
        "output": str(folder / f"{name}.exr"),
        "settings": chosen,
        **more,
    }
