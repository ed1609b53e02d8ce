"""Threads of tiles: who has nothing to do helps, and what is given up does not run."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from functools import partial

import numpy as np
import pytest
from commands import needs_torch
from fakes import BoxEngine
from hypothesis import given, settings
from hypothesis import strategies as st

from expandnet_ofx import Expander, Settings
from expandnet_ofx.errors import DeviceError
from expandnet_ofx.workers import Workers

LONGEST = 20.0
"""Seconds after which threads that wait for each other are taken for stuck."""


def workers_of(count: int) -> Workers:
    engine = BoxEngine()
    engine.threads = engine.workers = count
    return Workers(engine)


def lit(height: int = 120, width: int = 120) -> np.ndarray:
    """A plate whose clipped area spans its height and half its width."""
    codes = np.random.default_rng(3).integers(20, 160, (height, width, 3), np.uint8)
    codes[:, width // 4 : 3 * width // 4] = 255
    return codes


def test_idle_threads_take_a_part_in_the_work_of_one():
    workers, meeting = workers_of(3), threading.Barrier(3)

    def meet(number: int) -> int:
        # Nobody goes on before three threads are here.
        meeting.wait(LONGEST)
        return number

    outer = workers.submit(workers.helped, [partial(meet, number) for number in range(6)])
    assert outer.result(LONGEST) == list(range(6))


@given(count=st.integers(1, 4), sizes=st.lists(st.integers(0, 7), min_size=1, max_size=12))
@settings(max_examples=40, deadline=None)
def test_all_may_ask_for_help_at_once(count, sizes):
    workers = workers_of(count)
    asked = [workers.submit(workers.helped, [partial(pow, number, 2) for number in range(size)]) for size in sizes]
    assert [future.result(LONGEST) for future in asked] == [[n * n for n in range(size)] for size in sizes]
    assert workers.short_of_work == (count > 1)


def test_what_fails_where_others_help_is_raised_and_what_is_left_does_not_begin():
    workers, begun = workers_of(2), []

    def fail(number: int) -> None:
        begun.append(number)
        raise ValueError(f"call {number}")

    outer = workers.submit(workers.helped, [partial(fail, number) for number in range(50)])
    with pytest.raises(ValueError, match=r"call [01]"):
        outer.result(LONGEST)
    assert len(begun) <= 2


@pytest.mark.parametrize("count", [2, 5])
def test_the_last_tiles_are_cut_for_idle_threads_and_their_light_stays(count):
    def rendered(workers: int) -> tuple[np.ndarray, list[tuple[int, int]]]:
        engine = BoxEngine(gain=8)
        engine.threads = engine.workers = workers
        expander = Expander(Settings(white=1.0), engine=engine)
        analysis = expander.analyze(lit())
        engine.ran = []
        return expander.render(lit(), analysis), engine.ran

    (light, whole), (other, parts) = rendered(1), rendered(count)
    np.testing.assert_array_equal(light, other)
    assert len(whole) <= 2
    assert len(parts) >= count


FORKED = """
import os, sys, signal
import numpy as np
from expandnet_ofx import Expander
plate = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
used = Expander(threads=2)
if sys.argv[1] == "run":
    used(plate)
reader, writer = os.pipe()
if os.fork() == 0:
    signal.alarm(60)
    for make in (lambda: used, Expander):
        try:
            make()(plate)
            said = "made"
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writer, (said + "\\n").encode())
    os._exit(0)
_, status = os.wait()
os.close(writer)
sys.stdout.write(os.read(reader, 9999).decode() + str(status))
"""


@needs_torch
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("made", ["run", "not"])
@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_fork_is_told_instead_of_waiting_for_threads_that_it_has_not(made, threads):
    words, environment = [sys.executable, "-c", FORKED, made], {**os.environ, "OMP_NUM_THREADS": threads}
    ran = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False, env=environment)
    used, new, status = ran.stdout.splitlines()
    assert used.startswith("UsageError: made in another process"), ran.stderr
    assert "spawn" in used
    if threads == "1":
        # Operations of one thread miss no other.
        assert new == "made"
    else:
        assert new.startswith("DeviceError: PyTorch ran in the process")
        assert "spawn" in new
    assert status == "0"


HOST = """
import sys
import numpy as np
import torch
from expandnet_ofx import Expander
plate = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
plate[10:30, 10:30] = 255
before = Expander(threads=1)(plate)
one = Expander(threads=1)
torch.set_default_dtype(getattr(torch, sys.argv[1]))
if sys.argv[2] == "meta":
    torch.set_default_device("meta")
for made in (one, Expander(threads=1)):
    assert np.array_equal(made(plate), before)
"""


@needs_torch
@pytest.mark.parametrize("words", [("float64", "cpu"), ("bfloat16", "cpu"), ("float32", "meta")])
def test_what_a_host_makes_of_pytorch_s_defaults_changes_nothing(words):
    ran = subprocess.run([sys.executable, "-c", HOST, *words], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr


def test_an_analysis_that_fails_gives_up_what_the_network_has_not_begun():
    class Failing(BoxEngine):
        asked = 0

        def expand(self, tile: np.ndarray, features: np.ndarray) -> np.ndarray:
            self.asked += 1
            if self.asked > 1:
                raised.wait(LONGEST)
            raise DeviceError("gone")

    engine, raised = Failing(), threading.Event()
    expander = Expander(Settings(white=1.0), engine=engine)
    with pytest.raises(DeviceError, match="gone"):
        expander.analyze(lit(400, 400))
    raised.set()
    # All that waited has been seen to once another call comes to its turn.
    expander._workers.submit(int).result(LONGEST)
    assert engine.asked <= 2
    whole = BoxEngine()
    Expander(Settings(white=1.0), engine=whole).analyze(lit(400, 400))
    assert len(whole.ran) > 2
