"""What Windows and macOS do differently, by stand-ins for what their documentation says: none of them is at hand."""

import os
import subprocess
import sys
import unicodedata
from pathlib import Path, PureWindowsPath
from types import SimpleNamespace

import pytest
from commands import invoke
from expandnet_batch import edge, runtime
from expandnet_batch.tools import command as tools
from expandnet_batch.worker import address as addresses
from expandnet_batch.worker import main as worker_main
from served import stranger

from expandnet_ofx import placing, sequences, systems
from expandnet_ofx.errors import UsageError
from expandnet_ofx.partials import write_text
from expandnet_ofx.patterns import FramePattern
from expandnet_ofx.sequences import Source
from expandnet_ofx.toml_files import read_toml

PATIENCE = ("first", "last", "idle", "warm")


class NoSuchProcess(OSError):
    winerror = 87


class Denied(OSError):
    winerror = 5


@pytest.fixture
def windows(monkeypatch):
    """A stand-in for _winapi: process 7 runs, 8 has ended, 9 is another user's; others are not there."""
    closed = []

    def open_process(access, inherit, pid):
        assert (access, inherit) == (0x00100000, False)
        if pid == 9:
            raise Denied
        if pid not in (7, 8):
            raise NoSuchProcess
        return pid * 10

    made = SimpleNamespace(
        OpenProcess=open_process,
        WaitForSingleObject=lambda handle, milliseconds: {70: 258, 80: 0}[handle],
        CloseHandle=closed.append,
        closed=closed,
    )
    monkeypatch.setitem(sys.modules, "_winapi", made)
    monkeypatch.setattr(systems, "os", SimpleNamespace(name="nt", path=os.path))
    return made


@pytest.mark.parametrize(("pid", "alive"), [(7, True), (8, False), (9, True), (10, False)])
def test_a_process_of_windows_is_asked_for_without_a_signal(windows, pid, alive):
    # Not os.kill: signal 0 is CTRL_C_EVENT there; the stand-in has none.
    assert systems.is_alive(pid) is alive
    assert windows.closed == ([pid * 10] if pid in (7, 8) else [])


def test_processes_of_this_system():
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    assert systems.is_alive(os.getpid())
    assert not systems.is_alive(int(ended.stdout))
    assert systems.is_alive(1)


class Held(type(Path())):
    """A file whose final name is held by another program for a while."""

    tries = 0

    def replace(self, target):
        type(self).tries += 1
        if type(self).tries < 3:
            raise PermissionError(13, "held")
        return super().replace(target)


def test_a_name_that_is_held_for_a_moment_is_given_on_windows(tmp_path, monkeypatch):
    (tmp_path / "new").write_text("new")
    (tmp_path / "old").write_text("old")
    monkeypatch.setattr(Held, "tries", 0)
    with pytest.raises(PermissionError):
        systems.give_name(Held(tmp_path / "new"), tmp_path / "old")
    assert (tmp_path / "old").read_text() == "old"
    monkeypatch.setattr(systems, "os", SimpleNamespace(name="nt"))
    systems.give_name(Held(tmp_path / "new"), tmp_path / "old")
    assert (tmp_path / "old").read_text() == "new"
    assert Held.tries == 3


def test_a_name_that_stays_held_is_told(tmp_path, monkeypatch):
    (tmp_path / "new").write_text("new")
    monkeypatch.setattr(Held, "tries", -100)
    monkeypatch.setattr(systems, "os", SimpleNamespace(name="nt"))
    monkeypatch.setattr(systems, "PAUSES", (0.001,) * 4)
    with pytest.raises(PermissionError):
        systems.give_name(Held(tmp_path / "new"), tmp_path / "old")
    assert Held.tries == -95


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_disks_of_macos_do_not_tell_cases_apart(tmp_path, monkeypatch, platform):
    monkeypatch.setattr(systems, "sys", SimpleNamespace(platform=platform))
    plates = [Source(path=tmp_path / name, frame=None, root=tmp_path) for name in ("Plate.tif", "other.png")]
    written = [[tmp_path / "plate.TIF"], [tmp_path / "other.exr"]]
    if platform == "linux":
        placing.refuse_collisions(plates, written)
        return
    with pytest.raises(UsageError, match=r"plate\.TIF: is an input"):
        placing.refuse_collisions(plates, written)
    with pytest.raises(UsageError, match=r"x\.exr"):
        placing.refuse_collisions(plates, [[tmp_path / "X.exr"], [tmp_path / "x.exr"]])


def test_inputs_on_two_drives_have_no_folder_in_common(tmp_path, monkeypatch):
    """ntpath.commonpath: paths on different drives raise ValueError."""

    def commonpath(paths):
        raise ValueError("Paths don't have the same drive")

    monkeypatch.setattr(placing.os.path, "commonpath", commonpath)
    sources = [Source(path=tmp_path / name / "a.png", frame=None, root=tmp_path / name) for name in "de"]
    assert placing._mirror_base(sources) is None


@pytest.mark.parametrize(
    ("path", "root"),
    [
        ("\\\\?\\D:\\shots\\missing.png", "\\\\?\\D:\\shots\\missing.png"),
        ("\\\\?\\D:\\shots\\a\\*.png", "\\\\?\\D:\\shots\\a"),
        ("D:\\shots\\?\\*.png", "D:\\shots"),
    ],
)
def test_the_root_of_a_long_path_is_found(path, root):
    # The prefix of long paths holds what is a wildcard elsewhere.
    assert sequences._glob_root(PureWindowsPath(path)) == PureWindowsPath(root)


def test_files_for_linux_have_its_line_ends(tmp_path, monkeypatch):
    """As on Windows: without a word from us, text files get CR LF (open, newline=None)."""
    plain = Path.open

    def as_windows(path, mode="r", buffering=-1, encoding=None, errors=None, newline=None):
        if "b" not in mode and "w" in mode and newline is None:
            newline = "\r\n"
        return plain(path, mode, buffering, encoding, errors, newline)

    monkeypatch.setattr(Path, "open", as_windows)
    (tmp_path / "proof").write_text("a\nb\n", encoding="utf-8")
    write_text(tmp_path / "submit.sh", "#!/bin/sh\nset -eu\n")
    assert (tmp_path / "proof").read_bytes() == b"a\r\nb\r\n"
    assert (tmp_path / "submit.sh").read_bytes() == b"#!/bin/sh\nset -eu\n"


def test_a_system_without_glibc_is_left_as_it_is(monkeypatch):
    """ctypes.CDLL(None) raises TypeError on Windows."""

    def no_library(name):
        raise TypeError("argument of type 'NoneType' is not iterable")

    monkeypatch.setattr(runtime.ctypes, "CDLL", no_library)
    runtime.tune_process()
    runtime.keep_memory()


def test_break_ends_a_command_as_termination_does(tmp_path):
    """Agents of Windows send CTRL_BREAK, which Python hears as SIGBREAK; SIGUSR1 stands in for it."""
    program = f"""
import signal, os, sys
signal.SIGBREAK = signal.SIGUSR1
import click
from expandnet_batch.edge import run_command

@click.command()
def work():
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
        signal.pause()
    finally:
        open({str(tmp_path / "cleaned")!r}, "w").close()

sys.exit(run_command(work))
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == edge.TERMINATED, ran.stderr
    assert "terminated" in ran.stderr
    assert (tmp_path / "cleaned").exists()


def test_a_worker_has_no_console_of_its_host(tmp_path, monkeypatch):
    """start_new_session does nothing on Windows; there flags of the process keep Ctrl-C and windows away."""
    monkeypatch.setenv(addresses.FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0x200, raising=False)
    monkeypatch.setattr(subprocess, "CREATE_NO_WINDOW", 0x08000000, raising=False)
    given = {}

    def popen(words, **options):
        given.update(options)
        raise OSError("enough")

    monkeypatch.setattr(worker_main.subprocess, "Popen", popen)
    with pytest.raises(OSError, match="enough"):
        worker_main._start({"device": "cpu", "tcp": True, **dict.fromkeys(("threads", "memory", *PATIENCE), 1)})
    assert given["creationflags"] == 0x08000200


def test_the_secret_of_a_user_of_windows_lies_in_the_users_own_folder(monkeypatch):
    # Modes of folders say nothing there (os.chmod), and folders for temporary files may be everybody's.
    for name in (addresses.FOLDER_VARIABLE, "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LOCALAPPDATA", "/own/local")
    assert "/own" not in str(addresses._named_folder())
    monkeypatch.setattr(addresses, "on_windows", lambda: True)
    assert addresses._named_folder() == Path("/own/local/expandnet")


@pytest.mark.parametrize("engine", ["slurm", "opencue", "deadline"])
def test_workers_find_the_file_of_a_job_where_they_see_it(tmp_path, engine):
    (tmp_path / "a.png").touch()
    words = ["submit", str(tmp_path / "a.png"), "--output", str(tmp_path / "exr"), "-o", str(tmp_path / "job")]
    ran = invoke(tools, *words, "--to", engine, "--map", f"{tmp_path}=/art")
    assert ran.code == 0, ran.err
    written = "".join(path.read_text() for path in (tmp_path / "job").iterdir() if path.name != "job.json")
    assert "/art/job/job.json" in written
    assert f"{tmp_path}/job/job.json" not in written


def test_a_mark_of_editors_is_no_part_of_a_config(tmp_path):
    (tmp_path / "c.toml").write_bytes(b"\xef\xbb\xbfstops = 0.5\n")
    assert read_toml(tmp_path / "c.toml") == {"stops": 0.5}


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"[]\n",
        b"null\n",
        b'{"ok": false}\n',
        b"",
        b'{"id": null, "ok": false, "error": {"kind": "ProtocolError", "message": "not admitted: say hello first"}}\n',
    ],
)
def test_the_port_of_a_killed_worker_may_be_anybodys(answer):
    with stranger(answer) as port:
        told = addresses.Address(protocol=1, version="0", device="cpu", pid=1, secret="s", port=port).answers()
    assert not told


@pytest.mark.parametrize(("platform", "found"), [("linux", [1001]), ("darwin", [1001, 1002, 1003])])
def test_names_are_found_as_the_disk_compares_them(tmp_path, monkeypatch, platform, found):
    for name in ("Ça.1001.png", "ça.1002.PNG", unicodedata.normalize("NFD", "Ça.1003.png")):
        (tmp_path / name).touch()
    monkeypatch.setattr(systems, "sys", SimpleNamespace(platform=platform))
    assert FramePattern(str(tmp_path / "Ça.####.png")).on_disk() == found
