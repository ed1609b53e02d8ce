"""Calls that run one after another in a thread, so that writing overlaps with the network."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from queue import Queue
from threading import Thread
from types import TracebackType
from typing import Any


class BackgroundCalls:
    """Runs calls in order in one thread; at most `depth` wait, so memory stays bounded.

    After a call has raised, later ones are dropped, and the next call or `wait` raises its exception here. Leaving the
    block ends the thread.
    """

    def __init__(self, *, depth: int) -> None:
        self._queue: Queue[tuple[Callable[..., Any], tuple[Any, ...]] | None] = Queue(maxsize=depth)
        self._error: BaseException | None = None
        self._thread = Thread(target=self._work, daemon=True)

    def __enter__(self) -> BackgroundCalls:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: TracebackType | BaseException | None) -> None:
        if kind is not None:
            self._error = self._error or RuntimeError("abandoned")
        self._queue.put(None)
        # A signal may come while the thread is being started: it ends by itself then, and the signal must not be lost.
        with suppress(RuntimeError):
            self._thread.join()

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Queue a call; blocks while `depth` calls wait."""
        if self._error is not None:
            raise self._error
        self._queue.put((function, arguments))

    def wait(self) -> None:
        """Wait until all calls are done; raise what one of them raised."""
        self._queue.put(None)
        self._thread.join()
        if self._error is not None:
            raise self._error
        self._thread = Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while (call := self._queue.get()) is not None:
            if self._error is not None:
                continue
            function, arguments = call
            try:
                function(*arguments)
            except BaseException as error:  # noqa: BLE001 - raised in the thread that asked
                self._error = error
