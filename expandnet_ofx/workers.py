"""Tiles side by side: one thread per tile and core, instead of all cores on each operation of one tile.

Splitting every operation over the cores makes them wait for each other hundreds of times per tile, and on a machine that
also does other work each wait can last a scheduler's time slice. Whole tiles share nothing, so their threads never wait.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from expandnet_ofx.engine import Engine

T = TypeVar("T")

MOST_BESIDE = 8
"""Threads at most for one thing done beside the engine, such as a survey: each holds some 30 MB of what it works on."""


def usable_processors() -> int:
    """Return the number of processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_parallel(calls: Iterable[Callable[[], T]], *, count: int | None = None) -> Iterator[T]:
    """Yield the results of calls in their order, each made in one of `count` threads; no more than that many wait.

    Args:
        count: None for as many as there are processors; with 1 they are made in the caller's thread.
    """
    count = count or usable_processors()
    if count == 1:
        yield from (call() for call in calls)
        return
    running: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor(count, "expandnet-call")
    try:
        for call in calls:
            running.append(pool.submit(call))
            if len(running) > count:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


class Workers:
    """Runs calls in as many threads as the engine wants.

    On the CPU also in one of its own where it wants one: how many threads an operation takes in the caller's thread is not
    ours to set, and it changes the last bits of sums.
    """

    def __init__(self, engine: Engine) -> None:
        self.count = max(1, engine.workers)
        self.strips = self.count if engine.device == "cpu" else 1
        """Parts that a small picture is cut into: a device takes it whole, and its bits depend on the shape."""
        self.beside = min(MOST_BESIDE, engine.threads)
        """Threads for what is done beside the engine on the CPU."""
        self._pool: ThreadPoolExecutor | None = None
        if self.count > 1 or engine.device == "cpu":
            self._pool = ThreadPoolExecutor(self.count, "expandnet-tile", initializer=engine.enter_worker)

    def submit(self, function: Callable[..., T], *arguments: Any) -> Future[T]:
        """Start a call; its result or exception comes from the future."""
        if self._pool is not None:
            return self._pool.submit(function, *arguments)
        future: Future[T] = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:  # noqa: BLE001 - raised again by the future
            future.set_exception(error)
        return future

    def map(self, function: Callable[..., T], items: Iterable[Any]) -> list[T]:
        """Return the results of `function` for all items, in order."""
        return [future.result() for future in [self.submit(function, item) for item in items]]
