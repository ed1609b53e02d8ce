"""The worker's server: whom it admits, what it survives, when it leaves; it needs no network for that."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from commands import invoke
from expandnet_batch.worker import server
from expandnet_batch.worker.main import command as worker_command
from expandnet_batch.worker.protocol import CLIENT_LIMIT, LINE_LIMIT, reply
from expandnet_batch.worker.service import Service
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served import HELLO, Running, serving


@pytest.fixture
def start() -> Iterator[Any]:
    with serving() as run:
        yield run


@pytest.fixture
def worker(start: Any) -> Running:
    return start()


@pytest.fixture
def lasting(worker: Running) -> Running:
    """A worker that a host stays with: examples may be further apart than it waits alone."""
    worker.host()
    return worker


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Put the clock of servers forward; to be named before `start`, whose servers must not see it go back."""
    ahead = [0.0]
    monkeypatch.setattr(asyncio.BaseEventLoop, "time", lambda _: time.monotonic() + ahead[0])

    def forward(seconds: float) -> None:
        ahead[0] += seconds
        # Enough for a server to look at its clock; one that does so later is right all the same.
        time.sleep(0.3)

    return forward


@pytest.mark.parametrize("option", ["--first", "--last", "--idle", "--warm"])
@pytest.mark.parametrize("value", ["nan", "inf", "-1"])
def test_what_is_no_time_is_refused(option: str, value: str) -> None:
    ran = invoke(worker_command, option, value)
    assert ran.code == 2
    assert f"{option} {value}" in ran.err


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"secret": "b" * 64}, "not admitted"),
        ({"secret": None}, "not admitted"),
        ({"secret": "é"}, "not admitted"),
        ({"request": "describe"}, "not admitted"),
        ({"protocol": 2}, "protocol 2"),
        ({"protocol": None}, "protocol None"),
    ],
)
def test_nobody_is_served_without_a_proper_hello(worker, change, word):
    stranger = worker.host(hello=False)
    stranger.post(**{**HELLO, **change})
    answer = stranger.next()
    assert not answer["ok"]
    assert word in answer["error"]["message"]
    assert stranger.next() == {}
    stranger.close()
    assert worker.host().ask(request="describe")["ok"]


def test_another_user_is_not_served_even_with_the_secret(start, monkeypatch):
    worker = start()
    monkeypatch.setattr(server, "own_user", lambda: 1000)
    monkeypatch.setattr(server, "peer_user", lambda _: 1001)
    stranger = worker.host(hello=False)
    stranger.post(**HELLO)
    assert "not admitted" in stranger.next()["error"]["message"]
    assert stranger.next() == {}
    stranger.close()
    # None: a system that cannot tell.
    monkeypatch.setattr(server, "peer_user", lambda _: None)
    assert worker.host().ask(request="progress")["ok"]


def test_hello_says_who_serves(worker):
    host = worker.host()
    found = host.ask(**HELLO)["result"]
    assert found["protocol"] == 1
    assert found["device"] == "cpu"
    assert found["pid"] == os.getpid()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
NAMES = ("render", "analyze", "cancel", "progress", "hello", "describe", "nonsense", "")
KEYS = ("source", "output", "settings", "region", "analysis", "frames", "steady", "target", "mask", "existing")


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.binary(max_size=40)
        | st.builds(
            lambda name, values, number: json.dumps({"id": number, "request": name, **values}).encode(),
            st.sampled_from(NAMES) | st.text(max_size=5),
            st.dictionaries(st.sampled_from(KEYS), json_values, max_size=5),
            st.integers(0, 5) | json_values,
        ),
        max_size=6,
    )
)
def test_no_line_ends_the_worker(lasting, lines):
    host = lasting.host()
    for line in lines:
        host.send(line.replace(b"\n", b" ") + b"\n")
    number = host.post(request="progress")
    while True:
        answer = host.next()
        if answer.get("id") == number and answer.get("ok"):
            break
        assert answer["ok"] in (True, False)
        if not answer["ok"]:
            assert "internal fault" not in answer["error"]["message"], answer
            assert "\n" not in answer["error"]["message"]
    host.close()


def test_a_line_without_end_ends_its_connection_alone(worker):
    other, host = worker.host(), worker.host()
    # What of the line was not read resets the connection, at times before the reply is there.
    with contextlib.suppress(ConnectionError):
        host.send(b"x" * (LINE_LIMIT + 70_000))
        assert "more than" in host.next()["error"]["message"]
        assert host.next() == {}
    assert other.ask(request="progress")["ok"]


def test_there_is_a_limit_to_hosts(worker):
    hosts = [worker.host() for _ in range(CLIENT_LIMIT)]
    late = worker.host(hello=False)
    assert "connected already" in late.next()["error"]["message"]
    hosts[0].close()
    time.sleep(0.1)
    assert worker.host().ask(request="progress")["ok"]


def test_it_leaves_when_its_last_host_has_gone(start):
    running = start(last=0.1)
    first, second = running.host(), running.host()
    first.close()
    time.sleep(0.4)
    assert second.ask(request="progress")["ok"]
    second.close()
    running.thread.join(5)
    assert not running.thread.is_alive()


def test_it_leaves_when_nobody_comes_or_nobody_asks(start):
    lonely = start(first=0.3)
    lonely.thread.join(5)
    assert not lonely.thread.is_alive()
    bored = start(idle=0.3)
    host = bored.host()
    assert host.next() == {}
    bored.thread.join(5)
    assert not bored.thread.is_alive()


def test_it_waits_longer_for_its_first_host_than_after_its_last(clock, start):
    worker = start(first=600, last=0.1, idle=100)
    clock(300)
    host = worker.host()
    clock(0)
    assert host.ask(request="progress")["ok"]


def test_who_asks_keeps_it_from_leaving(clock, start):
    host = start(idle=600).host()
    for _ in range(3):
        clock(400)
        assert host.ask(request="progress")["ok"]


def test_the_time_that_a_request_takes_is_no_idle_time(clock, start, monkeypatch):
    def execute(*_: Any) -> dict[str, Any]:
        clock(1000)
        return {}

    monkeypatch.setattr(Service, "execute", execute)
    host = start(idle=600).host()
    assert host.ask(request="describe")["ok"]
    clock(0)
    assert host.ask(request="progress")["ok"]


def test_it_leaves_at_once_when_it_is_told_to_also_with_hosts(start):
    running = start()
    asking, staying = running.host(), running.host()
    assert asking.ask(request="shutdown")["ok"]
    running.thread.join(5)
    assert not running.thread.is_alive()
    assert staying.next() == {}


def test_a_request_that_waits_says_so_and_is_taken_back_at_once(start, monkeypatch):
    entered, done = threading.Event(), threading.Event()
    seen: list[int] = []

    def execute(_: Service, request: Any, __: Any) -> dict[str, Any]:
        seen.append(request.values["number"])
        entered.set()
        assert done.wait(20)
        return {}

    monkeypatch.setattr(Service, "execute", execute)
    running = start(word=0.05)
    first, second = running.host(), running.host()
    first.post(request="describe", number=1)
    assert entered.wait(10)
    waiting = second.post(request="describe", number=2)
    time.sleep(0.3)
    cancel = second.post(request="cancel", target=waiting)
    answers = {answer["id"]: answer for answer in (second.next(), second.next())}
    assert answers[cancel]["result"] == {"cancelled": True}
    assert answers[waiting]["error"] == {"kind": "CancelledError", "message": "cancelled"}
    assert second.events
    assert {event["text"] for event in second.events} == {"waits for another request"}
    assert second.ask(request="progress")["result"]["requests"] == []
    done.set()
    assert first.next()["ok"]
    assert seen == [1]


def test_numbers_that_json_has_no_word_for_are_null() -> None:
    said = json.loads(reply(1, {"a": {"b": [float("nan"), 1.5]}}))
    assert said["result"]["a"] == {"b": [None, 1.5]}
