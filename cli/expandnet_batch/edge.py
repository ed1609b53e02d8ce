"""The edge of every command: errors become one line and an exit code, signals leave only complete files."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import sys
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from threading import Timer, main_thread
from typing import Any, NoReturn

import click

import expandnet_ofx
from expandnet_batch.failures import OF_A_PATH, os_error_text
from expandnet_batch.runtime import keep_products_single
from expandnet_ofx.errors import ExpandNetError, UsageError, WeightsError

DONE, FAILED, USAGE, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGBREAK") if hasattr(signal, name))
"""What farms end a command by; SIGBREAK is the CTRL_BREAK of Windows."""


class Terminated(BaseException):
    """One of `ENDING` arrived; unwinds like `KeyboardInterrupt`, so that partial files are removed."""


def _stop(number: int, _: object) -> NoReturn:
    # Cleaning up must not be interrupted: the first signal is heard, later ones are not.
    _ignore_signals()
    raise Terminated if number in ENDING else KeyboardInterrupt


def _listen() -> None:
    for number in (*ENDING, signal.SIGINT):
        signal.signal(number, _stop)


def _hear_again(dropped: Any) -> None:
    """Take the place of `sys.unraisablehook`: what a signal raises within a destructor or a weak reference is dropped there,
    and the signal must not be lost with it."""
    kind = dropped.exc_type
    if not issubclass(kind, (Terminated, KeyboardInterrupt)):
        sys.__unraisablehook__(dropped)
        return
    _listen()
    number = signal.SIGTERM if issubclass(kind, Terminated) else signal.SIGINT
    # From a thread, since here it would be dropped again; to the one that may be waiting for something.
    again = Timer(0.02, _send, (number,))
    again.daemon = True
    again.start()


def _send(number: int) -> None:
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(main_thread().ident or 0, number)
    else:
        signal.raise_signal(number)


def _ignore_signals() -> None:
    """Ignore further signals; while the interpreter closes one would even replace the exit code."""
    for number in (*ENDING, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def version_text() -> str:
    """Return program version and hash of the shipped weights, without loading either's libraries."""
    weights = sorted((Path(expandnet_ofx.__file__).parent / "weights").glob("*.safetensors"))
    hashes = [f"{path.stem} sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" for path in weights]
    return f"%(prog)s {expandnet_ofx.__version__}\nweights " + "\n        ".join(hashes)


def run_command(command: click.Command) -> int:
    """Run a click command and return its exit code."""
    keep_products_single()
    _listen()
    sys.unraisablehook = _hear_again
    if isinstance(sys.stdout, TextIOWrapper):
        # A file name that a terminal or a log cannot show must not end a batch.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        result: Any = command.main(standalone_mode=False)
        return result if isinstance(result, int) else DONE
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return USAGE
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted; only complete files remain", err=True)
        return INTERRUPTED
    except Terminated:
        click.echo("terminated; only complete files remain", err=True)
        return TERMINATED
    except BrokenPipeError:
        # The reader of our output has gone: nothing is left to say, and Python must not complain while closing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        if error.filename is not None:
            if error.errno not in OF_A_PATH and os.environ.get("EXPANDNET_TRACEBACK"):
                raise
            click.echo(f"{command.name}: {os_error_text(error)}", err=True)
            return USAGE if error.errno in OF_A_PATH else FAILED
        if error.errno != errno.ENOSPC:
            return _fault(command, error)
        # Our own words on a full disk, such as a log; files say so by themselves.
        with suppress(OSError):
            click.echo(f"{command.name}: the disk that its output goes to is full; make room and run again", err=True)
        return FAILED
    except ExpandNetError as error:
        click.echo(f"{command.name}: {error}", err=True)
        return USAGE if isinstance(error, (UsageError, WeightsError)) else FAILED
    except Exception as error:  # noqa: BLE001 - told in a line, or raised again
        return _fault(command, error)


def _fault(command: click.Command, error: Exception) -> int:
    if os.environ.get("EXPANDNET_TRACEBACK"):
        raise error
    click.echo(
        f"{command.name}: internal fault, {type(error).__name__}: {error}; "
        "run again with EXPANDNET_TRACEBACK=1 and report it",
        err=True,
    )
    return FAILED
