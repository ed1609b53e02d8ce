"""`expandnet-worker`: serve hosts, or make sure that a worker serves them."""

from __future__ import annotations

import asyncio
import json
import math
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from expandnet_batch.edge import run_command, version_text
from expandnet_batch.options import memory_option
from expandnet_batch.worker.address import Address, address_file, connect, runtime_folder
from expandnet_batch.worker.protocol import PROTOCOL
from expandnet_ofx import __version__
from expandnet_ofx.errors import ExpandNetError, InputError, UsageError

START_SECONDS = 120
"""How long a worker may take until it listens: PyTorch from a slow share takes a while."""


def _seconds(_: click.Context, parameter: click.Parameter, value: float) -> float:
    if not 0 <= value < math.inf:
        raise click.UsageError(f"--{parameter.name} {value:g}: is no time; use seconds, 0 or more")
    return value


def _patience(name: str, default: float, what: str) -> Callable[[Any], Any]:
    return click.option(f"--{name}", type=float, default=default, show_default=True, callback=_seconds, help=what)


@click.command("expandnet-worker", context_settings={"max_content_width": 110, "help_option_names": ["-h", "--help"]})
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda[:N]", help="As in expandnet-batch.")
@click.option("--threads", type=click.IntRange(0), default=0, help="Threads for tiles, and as many beside; 0 for all.")
@memory_option
@click.option("--start", is_flag=True, help="Make sure that a worker of this device runs; print its address file.")
@click.option("--stop", is_flag=True, help="Ask the worker of this device to leave.")
@click.option("--tcp", is_flag=True, help="Listen on 127.0.0.1 instead of a UNIX socket (always so on Windows).")
@_patience("first", 120, "Seconds to wait for the first host.")
@_patience("last", 5, "Seconds to wait after the last host has gone.")
@_patience("idle", 600, "Seconds without a request until it leaves.")
@_patience("warm", 60, "Seconds without a request until the network's memory is handed back.")
@click.version_option(message=version_text(), package_name="expandnet-ofx")
def command(**options: Any) -> None:
    """Keep the network warm for hosts such as Nuke, which talk to it through a local socket.

    Hosts start it themselves. It serves the user who started it and nobody else, and leaves when its last host has gone.
    """
    if options["stop"]:
        _stop(options["device"])
    elif options["start"]:
        click.echo(_start(options))
    else:
        _serve(options)


def _serve(options: dict[str, Any]) -> None:
    from filelock import FileLock, Timeout

    from expandnet_batch.runtime import tune_process
    from expandnet_batch.worker.listening import bind
    from expandnet_batch.worker.server import Patience, Server
    from expandnet_batch.worker.service import Service

    folder = runtime_folder()
    place = address_file(folder, options["device"])
    try:
        lock = FileLock(place.with_suffix(".lock"), blocking=False).acquire()
    except Timeout:
        raise UsageError(f"{place}: a worker for {options['device']} runs already") from None
    with lock:
        tune_process()
        service = Service(device=options["device"], threads=options["threads"], memory=options["memory"])
        service.warm_up()
        tcp = options["tcp"] or not hasattr(asyncio, "start_unix_server")
        listening = bind(folder, place.stem, tcp=tcp)
        address = Address(
            protocol=PROTOCOL,
            version=__version__,
            device=options["device"],
            pid=os.getpid(),
            secret=secrets.token_hex(32),
            path=None if tcp else listening.getsockname(),
            port=listening.getsockname()[1] if tcp else None,
        )
        patience = Patience(**{name: options[name] for name in ("first", "last", "idle", "warm")})
        server = Server(service, address.secret, patience)
        try:
            asyncio.run(server.run(listening, lambda: address.save(place)))
        finally:
            place.unlink(missing_ok=True)
            if address.path:
                Path(address.path).unlink(missing_ok=True)


def _start(options: dict[str, Any]) -> Path:
    """Return the address file of a worker that listens, started if there is none.

    Raises:
        UsageError: it did not start; the message is the last thing it said.
    """
    place = address_file(runtime_folder(), options["device"])
    if _listens(place):
        return place
    log = place.with_suffix(".log")
    words = ["--device", options["device"], "--threads", options["threads"], "--memory", options["memory"]]
    for name in ("first", "last", "idle", "warm"):
        words += [f"--{name}", options[name]]
    words += ["--tcp"] if options["tcp"] else []
    with log.open("wb") as said:
        # A session of its own: what stops the host's process group does not stop the worker of other hosts.
        made = subprocess.Popen(
            [sys.executable, "-m", "expandnet_batch.worker", *map(str, words)],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
            # What that is on Windows; a console would flash up as well.
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
            | getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if _listens(place):
            return place
        if made.poll() is not None and not _another(place):
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no word why"]
            raise UsageError(f"the worker did not start (exit code {made.returncode}): {lines[-1]}")
        time.sleep(0.05)
    made.kill()
    raise UsageError(f"the worker did not start within {START_SECONDS} s; see {log}")


def _listens(place: Path) -> bool:
    with suppress(InputError):
        return Address.load(place).answers()
    return False


def _another(place: Path) -> bool:
    """Tell whether another process is about to serve: the one that won the lock when two hosts started at once."""
    from filelock import FileLock, Timeout

    try:
        FileLock(place.with_suffix(".lock"), blocking=False).acquire().lock.release()
    except Timeout:
        return True
    return False


def _stop(device: str) -> None:
    place = address_file(runtime_folder(), device)
    try:
        address = Address.load(place)
        with connect(address) as made:
            made.sendall(address.hello + json.dumps({"id": 1, "request": "shutdown"}).encode() + b"\n")
            while made.recv(4096):
                pass
    except (ExpandNetError, OSError):
        click.echo(f"no worker for {device} runs")


def main() -> None:
    """Run `expandnet-worker`."""
    sys.exit(run_command(command))
