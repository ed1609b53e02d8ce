"""Calls in a thread beside: in order, bounded, and none goes on after a failure."""

from __future__ import annotations

import threading

import pytest

from expandnet_ofx.background import BackgroundCalls
from expandnet_ofx.errors import ExpandNetError, OutputError


def test_calls_run_in_order_in_one_thread():
    seen, threads = [], set()

    def note(value: int) -> None:
        threads.add(threading.get_ident())
        seen.append(value)

    with BackgroundCalls(depth=2) as calls:
        for value in range(100):
            calls(note, value)
        calls.wait()
        assert seen == list(range(100))
        calls(note, 100)
        calls.wait()
    assert seen == list(range(101))
    assert threading.get_ident() not in threads


def test_an_exception_drops_later_calls_and_is_raised_to_the_caller():
    seen: list[int] = []

    def work(value: int) -> None:
        if value == 3:
            raise OutputError("full")
        seen.append(value)

    with pytest.raises(OutputError, match="full"), BackgroundCalls(depth=2) as calls:
        for value in range(1000):
            calls(work, value)
        calls.wait()
    assert seen == [0, 1, 2]


def test_wait_raises_the_exception_of_the_last_call():
    def fail() -> None:
        raise ExpandNetError("last")

    with pytest.raises(ExpandNetError, match="last"), BackgroundCalls(depth=2) as calls:
        calls(fail)
        calls.wait()


def test_a_signal_while_the_thread_starts_is_not_lost(monkeypatch):
    """`Thread.start` waits for the thread, and a signal raises there; it was taken for a fault of the frame."""

    def interrupted(_: threading.Thread) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), BackgroundCalls(depth=2) as calls:
        monkeypatch.setattr(threading.Thread, "start", interrupted)
        calls.wait()


def test_waiting_calls_are_bounded():
    gate, third = threading.Event(), threading.Event()
    with BackgroundCalls(depth=2) as calls:
        calls(gate.wait)

        def more() -> None:
            for _ in range(4):
                calls(int)
            third.set()

        thread = threading.Thread(target=more)
        thread.start()
        assert not third.wait(0.05)
        gate.set()
        assert third.wait(10)
        thread.join()


def test_leaving_by_an_exception_abandons_what_waits():
    gate, seen = threading.Event(), []
    with pytest.raises(ZeroDivisionError), BackgroundCalls(depth=4) as calls:
        calls(gate.wait)
        calls(seen.append, 1)
        threading.Timer(0.05, gate.set).start()
        raise ZeroDivisionError
    assert seen == []
