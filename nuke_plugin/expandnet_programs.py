"""Programs of ours, as a host starts them, and how what goes wrong is told. Standard library only, Python 3.7 and later.

Nothing here knows Nuke.
"""

import os
import shlex
import subprocess
import time

POLL = 0.2
"""Seconds between two looks at whether the artist cancelled."""

START_SECONDS = 150
"""A little more than the worker gives itself."""

DROPPED = (
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PYTHONEXECUTABLE",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "DYLD_LIBRARY_PATH",
    "DYLD_INSERT_LIBRARIES",
    "QT_PLUGIN_PATH",
    "QT_QPA_PLATFORM_PLUGIN_PATH",
    "QML2_IMPORT_PATH",
)
"""What a host sets for itself and another Python would trip over."""


class ExpandNetError(RuntimeError):
    """What cannot be done, in one line."""


class Cancelled(ExpandNetError):
    """The artist stopped it."""


class Busy(ExpandNetError):
    """The host renders something else at the moment; asked again later, it may do it."""


def clean_environment(environment=None):
    """Return the environment of a process that is not the host's: its libraries and Python are not the child's."""
    kept = dict(os.environ if environment is None else environment)
    for name in DROPPED:
        kept.pop(name, None)
    return kept


def command_words(command, program):
    """Return the words that start a program of ours.

    Args:
        command: what the artist set: nothing (the program is on the PATH), a folder that holds the programs, or a command
            that runs one of them when its name follows, such as `rez-env expandnet_ofx --`.
        program: its name, such as `expandnet-worker`.
    """
    command = command.strip()
    if not command:
        return [program]
    if os.path.isdir(command):
        for name in (program, program + ".exe"):
            if os.path.isfile(os.path.join(command, name)):
                return [os.path.join(command, name)]
        raise ExpandNetError("%s: holds no %s; name the bin folder of the installation" % (command, program))
    return split_words(command, windows=os.name == "nt") + [program]


def split_words(command, windows):
    """Return the words of a command; on Windows a backslash is part of a path, and quotes hold a word together."""
    if not windows:
        return shlex.split(command)
    lexer = shlex.shlex(command, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters, lexer.escape, lexer.quotes = True, "", "", '"'
    return list(lexer)


def run_program(words, what, cancelled=None):
    """Run a program to its end and return what it printed.

    Args:
        cancelled: asked about five times a second; true ends the program.

    Raises:
        Cancelled: it was ended.
        ExpandNetError: it is not there, or failed; the message is the last line it said.
    """
    try:
        child = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # What it prints may be a path, and code pages do not hold all letters.
            env=dict(clean_environment(), PYTHONIOENCODING="utf-8"),
            encoding="utf-8",
            errors="replace",
            # On Windows a console would flash up; elsewhere there is no such flag.
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except OSError as error:
        raise ExpandNetError("%s: cannot be started (%s); set Command on the Compute tab" % (words[0], error.strerror))
    try:
        said, complained = _end_of(child, what, cancelled)
    finally:
        child.kill()
        child.wait()
    if child.returncode:
        lines = (complained.strip() or said.strip() or "exit code %d" % child.returncode).splitlines()
        raise ExpandNetError("%s: %s" % (what, lines[-1]))
    return said.strip()


def _end_of(child, what, cancelled):
    """Return what a program printed, and what it complained of, once it has ended."""
    until = time.time() + START_SECONDS
    while True:
        try:
            return child.communicate(timeout=POLL)
        except subprocess.TimeoutExpired:
            if cancelled is not None and cancelled():
                raise Cancelled("cancelled")
            if time.time() > until:
                raise ExpandNetError("%s: no answer within %d s" % (what, START_SECONDS))
