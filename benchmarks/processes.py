"""Run a command and take its time and memory from the operating system."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Usage:
    """What one finished process used."""

    wall: float
    """Seconds from start to end."""
    cpu: float
    """Processor seconds, user and system, of all threads."""
    peak: float
    """Largest resident memory, in MiB."""


def measure(command: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: str | None = None) -> Usage:
    """Run a command to its end; raise `SystemExit` with its output if it fails."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env and {**os.environ, **env}, cwd=cwd
    )
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with {process.returncode}:\n{output[-2000:]}")
    return Usage(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
