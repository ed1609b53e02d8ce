"""The worker's process: it comes when asked, serves its user alone, and goes."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import ROOT, invoke, plate, save
from expandnet_batch.worker.address import Address, runtime_folder
from expandnet_batch.worker.listening import bind
from expandnet_batch.worker.main import command as worker_command
from served import HELLO, Host, render

from expandnet_ofx.errors import UsageError


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="w") as folder:
        monkeypatch.setenv("EXPANDNET_RUNTIME", f"{folder}/r")
        yield Path(folder) / "r"
        invoke(worker_command, "--stop", "--device", "cpu")


def started(*words: str) -> Address:
    ran = subprocess.run(
        [sys.executable, "-m", "expandnet_batch.worker", "--start", "--device", "cpu", "--threads", "1", *words],
        capture_output=True, text=True, timeout=120, check=False, cwd=ROOT,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return Address.load(Path(ran.stdout.strip()))


def test_one_process_serves_a_device_and_a_killed_one_is_replaced(runtime, tmp_path, request):
    address = started()
    assert started() == address
    assert stat.S_IMODE(runtime.stat().st_mode) == 0o700
    for path in (next(runtime.glob("*.json")), Path(address.path or "")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    host = Host(address.path or "", hello=False)
    request.addfinalizer(host.close)
    assert host.ask(**{**HELLO, "secret": address.secret})["ok"]
    save(tmp_path / "a.png", plate())
    assert host.ask(**render(tmp_path))["ok"]
    assert invoke(worker_command, "--device", "cpu").complaint.endswith("runs already")
    os.kill(address.pid, signal.SIGKILL)
    assert host.next() == {}
    again = started()
    assert again.pid != address.pid
    assert again.secret != address.secret
    os.kill(again.pid, signal.SIGTERM)
    until = time.monotonic() + 10
    while list(runtime.glob("*.sock")) and time.monotonic() < until:
        time.sleep(0.05)
    assert not list(runtime.glob("*.json"))


def test_a_worker_that_cannot_start_says_why(runtime):
    ran = invoke(worker_command, "--start", "--device", "cuda:7")
    assert ran.code == 2
    assert "cuda:7" in ran.complaint


def test_tcp_needs_the_secret_too(runtime):
    address = started("--tcp")
    assert address.path is None
    for secret, admitted in ((address.secret, True), ("x" * 64, False)):
        made = socket.create_connection(("127.0.0.1", address.port), timeout=10)
        with made, made.makefile("rb") as answers:
            made.sendall(json.dumps({"id": 1, **HELLO, "secret": secret}).encode() + b"\n")
            assert json.loads(answers.readline())["ok"] is admitted


def test_a_folder_whose_name_no_socket_can_have_is_told(tmp_path):
    with pytest.raises(UsageError, match="EXPANDNET_RUNTIME"):
        bind(tmp_path / ("x" * 100), "worker", tcp=False)


def test_a_folder_of_somebody_else_is_refused(runtime):
    runtime.mkdir()
    runtime.chmod(0o755)
    runtime_folder()
    assert stat.S_IMODE(runtime.stat().st_mode) == 0o700
    if os.getuid() != 0:
        pytest.skip("only root can give a folder away")
    os.chown(runtime, 12345, 12345)
    with pytest.raises(UsageError, match="another user"):
        runtime_folder()
    os.chown(runtime, 0, 0)
