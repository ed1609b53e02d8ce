"""Tiles side by side: one thread per tile and core, instead of all cores on each operation of one tile.

Splitting every operation over the cores makes them wait for each other hundreds of times per tile, and on a machine that
also does other work each wait can last a scheduler's time slice. Whole tiles share nothing, so their threads never wait.
Where too few tiles are left for all threads, they take boxes of one tile, whole as well.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from threading import Event, Lock
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from expandnet_ofx.errors import UsageError

if TYPE_CHECKING:
    from expandnet_ofx.engine import Engine

T = TypeVar("T")

Results = Generator[T, None, None]
"""Results of calls in their order; closing it waits for those that run and drops the others."""

MOST_BESIDE = 8
"""Threads at most for what is done beside the engine, such as surveys: each holds some 30 MB of what it works on."""


def usable_processors() -> int:
    """Return the number of processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_parallel(calls: Iterable[Callable[[], T]], *, count: int | None = None) -> Results[T]:
    """Yield the results of calls in their order, each made in one of `count` threads; no more than that many wait.

    Args:
        count: None for as many as there are processors; with 1 they are made in the caller's thread.
    """
    yield from within(((0, call) for call in calls), room=0, count=count or usable_processors())


def within(
    calls: Iterable[tuple[float, Callable[[], T]]], *, room: float, count: int, dropped: Event | None = None
) -> Results[T]:
    """Do as `in_parallel`, with no more in work or waiting than there is room for; one call always may be.

    Args:
        calls: each with the room that it takes until its result is fetched.
        room: for all of them.
        count: threads; with 1 calls are made in the caller's.
        dropped: set where results are not wanted any more, so that calls that run may end before.
    """
    if count == 1:
        yield from (call() for _, call in calls)
        return
    with ThreadPoolExecutor(count, "expandnet-call") as pool:
        yield from _in_order(calls, pool, most=count + 1, room=room, dropped=dropped)


def _in_order(
    calls: Iterable[tuple[float, Callable[[], T]]],
    pool: ThreadPoolExecutor,
    *,
    most: int,
    room: float = 0,
    dropped: Event | None = None,
) -> Results[T]:
    running: deque[tuple[float, Future[T]]] = deque()

    def oldest() -> T:
        # It stays where it is until it is done, so that an interruption waits for it as well.
        result = running[0][1].result()
        running.popleft()
        return result

    try:
        for weight, call in calls:
            last: list[T] = []
            while running and sum(other for other, _ in running) + weight > room:
                yield from last
                last = [oldest()]
            running.append((weight, pool.submit(call)))
            # Not before: this call is in work while the caller goes on with that result.
            yield from last
            if len(running) >= most:
                yield oldest()
        while running:
            yield oldest()
    finally:
        if dropped is not None and running:
            dropped.set()
        wait([future for _, future in running if not future.cancel()])
        # A future that failed holds this frame, and the frame would hold what the others made.
        running.clear()


class _Shared(Generic[T]):
    """Calls that several threads take one after another."""

    def __init__(self, calls: Sequence[Callable[[], T]]) -> None:
        self._left = deque(enumerate(calls))
        self._made: dict[int, T] = {}
        self._error: BaseException | None = None

    def work(self) -> None:
        """Take calls until none is left."""
        with suppress(IndexError):
            while self._error is None:
                number, call = self._left.popleft()
                try:
                    self._made[number] = call()
                except BaseException as error:  # noqa: BLE001 - raised in the thread that asked
                    self._error = error

    def results(self) -> list[T]:
        """Return what was made, in order; raise what a call raised."""
        if self._error is not None:
            raise self._error
        # Who is still to find that nothing is left must not hold them.
        return [self._made.pop(number) for number in range(len(self._made))]


class Workers:
    """Runs calls in as many threads as the engine wants.

    On the CPU also in one of its own where it wants one: how many threads an operation takes in the caller's thread is not
    ours to set, and it changes the last bits of sums.
    """

    def __init__(self, engine: Engine) -> None:
        self.count = max(1, engine.workers)
        self.strips = self.count if engine.device == "cpu" else 1
        """Parts at least that boxes of a tile are cut into while threads are idle; 1 on a device, which has no use for more."""
        self.threads = min(MOST_BESIDE, engine.threads)
        """Threads for what is done on the CPU beside the engine, shared by all callers."""
        self._beside = ThreadPoolExecutor(self.threads, "expandnet-beside")
        self._process = os.getpid()
        self._turn, self._counting = Lock(), Lock()
        self._unfinished = 0
        self._pool: ThreadPoolExecutor | None = None
        if self.count > 1 or engine.device == "cpu":
            self._pool = ThreadPoolExecutor(self.count, "expandnet-tile", initializer=engine.enter_worker)

    def _check_process(self) -> None:
        """Raise `UsageError` in a process that was forked from the one that has the threads: it would wait for ever."""
        if os.getpid() != self._process:
            raise UsageError(
                "made in another process, whose threads a fork does not take along; start processes by spawn, and make an "
                "Expander in each"
            )

    def submit(self, function: Callable[..., T], *arguments: Any) -> Future[T]:
        """Start a call; its result or exception comes from the future."""
        self._check_process()
        if self._pool is not None:
            return self._counted(self._pool.submit(function, *arguments))
        future: Future[T] = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:  # noqa: BLE001 - raised again by the future
            future.set_exception(error)
        return future

    def _counted(self, future: Future[T]) -> Future[T]:
        with self._counting:
            self._unfinished += 1
        future.add_done_callback(self._done)
        return future

    def _done(self, _: Future[Any]) -> None:
        with self._counting:
            self._unfinished -= 1

    @property
    def short_of_work(self) -> bool:
        """True if no call waits for a thread, so that those who are done with theirs may help others."""
        return self.strips > 1 and self._unfinished <= self.count

    def helped(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        """Return the results of calls in order; for use in a call that runs here.

        They are made in its own thread, and in those that have nothing else to do before all are begun.
        """
        if self._pool is None or self.strips == 1 or len(calls) == 1:
            return [call() for call in calls]
        shared = _Shared(calls)
        # Behind what waits already: who comes too late finds nothing to do.
        helpers = [self._pool.submit(shared.work) for _ in range(min(self.count, len(calls)) - 1)]
        try:
            shared.work()
        finally:
            wait([helper for helper in helpers if not helper.cancel()])
        return shared.results()

    def beside(self, calls: Iterable[Callable[[], T]], *, most: int = MOST_BESIDE + 1) -> Results[T]:
        """Yield the results of calls in their order, made in threads that are shared with all others who ask.

        Calls must not ask for these threads themselves.

        Args:
            most: calls in work or waiting; with 1 they are made in the caller's thread.
        """
        self._check_process()
        if self.threads == 1 or most == 1:
            yield from (call() for call in calls)
        else:
            yield from _in_order(((0, call) for call in calls), self._beside, most=min(most, self.threads + 1))

    def in_turn(self, calls: Iterable[Callable[[], T]]) -> Results[T]:
        """Yield the results of calls made in the caller's thread, one at a time over all who ask."""
        for call in calls:
            with self._turn:
                result = call()
            yield result
