"""Bad places, full disks, signals and sudden death: one line each, and only complete files."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import click
import numpy as np
import pytest
from commands import LIGHT, ROOT, batch, files_in, invoke, pixels_of, plate, save, start

from expandnet_ofx.errors import OutputError
from expandnet_ofx.partials import is_partial, partial_name
from expandnet_ofx.writer import ImageWriter

pytestmark = pytest.mark.usefixtures("light_network")


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_within_a_destructor_is_not_lost(name: str, code: int) -> None:
    """Python drops what is raised there (reference, 3.3.1, `object.__del__`)."""
    script = f"""
import signal, sys, time, click
from expandnet_batch.edge import run_command

class Dying:
    def __del__(self):
        signal.raise_signal(signal.{name})

@click.command()
def command():
    Dying()
    time.sleep(30)

sys.exit(run_command(command))
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=False)
    assert ran.returncode == code, ran.stderr
    assert "Exception ignored" not in ran.stderr


def test_what_killed_runs_kept_of_shots_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "tmp"
    monkeypatch.setattr("tempfile.tempdir", str(place))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    host = partial_name(Path("x")).name.split(".")[2].split("-")[0]
    left, living, foreign = (f"expandnet-{host}-{gone.pid}-a", f"expandnet-{host}-{os.getpid()}-b", "expandnet-user")
    for name in (left, living, foreign):
        (place / name).mkdir(parents=True)
        (place / name / "maps.exr").write_bytes(b"x")
    for number in (1, 2):
        save(Path(f"s.{number}.png"), plate())
    assert batch("s.%d.png", "-o", "out").code == 0
    assert sorted(path.name for path in place.iterdir()) == sorted((living, foreign))


def test_a_small_disk_for_temporary_files_is_told_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))

    def disk_usage(folder: Path) -> SimpleNamespace:
        return SimpleNamespace(free=1 << 10 if place in Path(folder).parents else 1 << 40)

    monkeypatch.setattr("shutil.disk_usage", disk_usage)
    for number in (1, 2):
        save(Path(f"s.{number}.png"), plate())
    ran = batch("s.%d.png", "-o", "out", "--frames", "1-2")
    assert ran.code == 2, ran.err
    assert "TMPDIR" in ran.complaint
    assert not list(place.iterdir())


def test_results_that_are_there_need_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2, 3):
        save(Path(f"in/s.{number}.png"), plate())
    words = ("in/s.%d.png", "-o", "out", "--steady", "off", "--existing", "skip")
    assert batch(*words).code == 0
    free = sum(path.stat().st_size for path in Path("out").iterdir())
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=0))
    assert "3 up to date" in batch(*words).out
    Path("out/s.2.exr").unlink()
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    assert "1 done, 2 up to date" in batch(*words).out


@pytest.mark.parametrize(
    ("words", "size"),
    [((), 6), (("--matte",), 12), (("--float",), 12), (("--matte", "--float"), 24), (("--compression", "none"), 10)],
)
def test_the_room_that_is_asked_for_is_that_of_all_channels(
    shot: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], size: float
) -> None:
    """Bytes per pixel: half and float, three channels and three of the matte, by 0.6 where they are compressed."""
    asked: list[float] = []
    monkeypatch.setattr("expandnet_batch.planning.check_room", lambda _, needed, *__, **___: asked.append(needed))
    assert batch("in", "-o", "out", "--steady", "off", *words).code == 0
    assert asked == [pytest.approx(0.6 * size * 24 * 32 * 4)]


def test_a_result_that_cannot_get_its_name_leaves_nothing_beside_it(tmp_path: Path) -> None:
    save(Path("s.png"), plate())
    Path("out/s.exr").mkdir(parents=True)
    ran = batch("s.png", "-o", "out", "--output-space", "aces2065-1", "--matte", "--preview", "all")
    assert ran.code == 1
    assert files_in(Path("out")) == []
    # What belongs to a result that is there stays with it.
    Path("out/s.exr").rmdir()
    words = ("s.png", "-o", "out", "--output-space", "aces2065-1", "--matte", "--preview", "all")
    assert batch(*words).code == 0
    before = files_in(Path("out"))
    commit = ImageWriter.commit

    def held(writer: ImageWriter) -> None:
        if writer.path.name == "s.exr":
            raise OutputError("somebody has it open")
        commit(writer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImageWriter, "commit", held)
        assert batch(*words).code == 1
    assert files_in(Path("out")) == before


def test_a_disk_that_is_full_for_one_file_of_a_frame_leaves_all_of_the_last_run(tmp_path: Path) -> None:
    """Nothing gets its name before all is on the disk: a new matte beside old light is worse than neither."""
    save(Path("s.png"), plate())
    words = ("s.png", "-o", "out", "--output-space", "aces2065-1", "--matte", "--preview", "all")
    assert batch(*words).code == 0
    before = {name: Path("out", name).read_bytes() for name in files_in(Path("out"))}
    assert len(before) == 3

    def full(path: Path) -> None:
        if path.name.startswith(f".{name.rsplit('.', 1)[0]}."):
            raise OSError(errno.ENOSPC, "No space left on device")

    for name in before:
        with pytest.MonkeyPatch.context() as patch:
            for module in ("partials", "preview", "writer"):
                patch.setattr(f"expandnet_ofx.{module}.flush", full)
            ran = batch(*words, "--existing", "overwrite", "--threshold", "0.7", "--full", "0.8")
        assert ran.code == 1
        assert "No space left" in ran.complaint
        assert {name: Path("out", name).read_bytes() for name in files_in(Path("out"))} == before


def test_names_that_a_log_cannot_show_are_no_fault(tmp_path: Path) -> None:
    save(Path("in/\u65e5\u672c.png"), plate())
    save(Path("in/z.png"), plate())
    process = start(
        "in", "-o", "out", cwd=tmp_path, before=f"import sys; sys.stdout.reconfigure(encoding='latin-1');{LIGHT}"
    )
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "\\u65e5\\u672c" in out
    assert files_in(Path("out")) == ["z.exr", "\u65e5\u672c.exr"]


def _mount(folder: Path, size: str, flags: int = 0) -> bool:
    """Mount a small file system, read-only with flag 1 (mount(2)); False without the right to."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "mount"):
        return False
    folder.mkdir()
    return not libc.mount(b"none", os.fsencode(folder), b"tmpfs", flags, f"size={size}".encode())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    if not _mount(folder, "64k"):
        pytest.skip("needs the right to mount")
    yield folder
    ctypes.CDLL(None).umount2(os.fsencode(folder), 2)


def _noise(path: Path, seed: int, edge: int) -> None:
    save(path, np.random.default_rng(seed).integers(0, 256, (edge, edge, 3), dtype=np.uint8))


def test_no_space_on_the_disk(small_disk: Path) -> None:
    for number in range(3):
        # About 36 KiB each as EXR: one fits, and the estimate is within three times. Two are written at once, so both may
        # find the disk full.
        _noise(Path(f"in/{number}.png"), number, 80)
    ran = batch("in", "-o", small_disk, "--progress", "none")
    assert ran.code == 1
    whole = files_in(small_disk)
    assert len(whole) <= 1
    for name in whole:
        assert pixels_of(small_disk / name).shape == (80, 80, 3)
    failed = [line for line in ran.err.splitlines() if line.startswith("failed  ")]
    assert len(failed) == 3 - len(whole)
    assert all("cannot be written" in line for line in failed)


@pytest.mark.parametrize("words", [["--matte", "--output-space", "aces2065-1"], ["--preview", "all"], ["--float"]])
def test_no_space_leaves_nothing_half_written(small_disk: Path, words: list[str]) -> None:
    (small_disk / "filler").write_bytes(bytes(40 << 10))
    _noise(Path("x.png"), 1, 70)
    ran = batch("x.png", "-o", small_disk, "--progress", "none", *words)
    assert ran.code == 1
    assert ran.complaint
    assert files_in(small_disk) == ["filler"]


def test_a_disk_far_too_small_is_refused_before_work(small_disk: Path) -> None:
    for number in range(9):
        _noise(Path(f"in/{number}.png"), number, 100)
    ran = batch("in", "-o", small_disk / "sub")
    assert ran.code == 2
    assert "room" in ran.err
    assert files_in(small_disk) == []


def test_a_file_size_limit(tmp_path: Path) -> None:
    _noise(tmp_path / "x.png", 1, 120)
    limit = "import resource as r; r.setrlimit(r.RLIMIT_FSIZE, (30 << 10, 30 << 10));"
    process = start("x.png", "-o", "out", cwd=tmp_path, before=LIGHT + limit)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    assert "cannot be written" in err
    assert "Traceback" not in err
    assert files_in(tmp_path) == ["x.png"]


def test_output_places_that_do_not_work() -> None:
    save(Path("x.png"), plate())
    Path("file").write_text("")
    ran = batch("x.png", "-o", "file/out")
    assert ran.code in (1, 2)
    assert "file/out" in ran.err
    Path("out/x.exr").mkdir(parents=True)
    ran = batch("x.png", "-o", "out", "-q")
    assert ran.code in (1, 2)
    assert "x.exr" in ran.complaint
    assert files_in(Path("out")) == []
    for place in ("/proc/nothing", "/sys/nothing"):
        if Path(place).parent.is_dir():
            ran = batch("x.png", "-o", place, "-q")
            assert ran.code in (1, 2)
            assert place.split("/")[1] in ran.complaint


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "locked"
    if _mount(folder, "64k", flags=1):
        yield folder
        ctypes.CDLL(None).umount2(os.fsencode(folder), 2)
        return
    folder.chmod(0o555)
    if os.access(folder, os.W_OK):
        pytest.skip("this user may write everywhere and not mount")
    yield folder
    folder.chmod(0o755)


@pytest.mark.parametrize("deeper", [".", "sub/folder"])
def test_read_only_folder(read_only: Path, deeper: str) -> None:
    save(Path("x.png"), plate())
    ran = batch("x.png", "-o", read_only / deeper, "-q")
    assert ran.code in (1, 2)
    assert "locked" in ran.complaint
    assert "cannot be" in ran.complaint or " free" in ran.complaint


def test_leftovers_are_swept_and_never_inputs() -> None:
    save(Path("in/x.png"), plate())
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    ).stdout.strip()
    left = partial_name(Path("in/old.png")).name.replace(f"-{os.getpid()}-", f"-{dead}-")
    mine = partial_name(Path("in/new.png")).name.replace(f"-{os.getpid()}-", f"-{os.getppid()}-")
    for name in (left, mine):
        save(Path("in", name), plate())
    assert is_partial(Path(left))
    assert batch("in", "-o", "out").code == 0
    assert batch("in/*", "-o", "out2").code == 0
    assert batch("in/.*", "-o", "out3").code == 2
    assert files_in(Path("out")) == files_in(Path("out2")) == ["x.exr"]
    for name in (left, mine):
        save(Path("out", name), plate())
    assert batch("in", "-o", "out").code == 0
    assert files_in(Path("out")) == sorted([mine, "x.exr"])


def _frames(folder: Path, count: int) -> list[str]:
    for number in range(count):
        save(folder / "in" / f"f.{number:04d}.png", plate(number))
    return [f"f.{number:04d}.exr" for number in range(count)]


@pytest.mark.parametrize(
    ("number", "code", "times"),
    [(signal.SIGINT, 130, 1), (signal.SIGTERM, 143, 1), (signal.SIGTERM, 143, 3), (signal.SIGINT, 130, 2)],
)
def test_signals_leave_only_complete_files(tmp_path: Path, number: signal.Signals, code: int, times: int) -> None:
    names = _frames(tmp_path, 80)
    process = start("in", "-o", "out", "--steady", "off", "--json", "r.json", cwd=tmp_path)
    assert process.stdout is not None
    while "out" not in process.stdout.readline():
        assert process.poll() is None
    for _ in range(times):
        process.send_signal(number)
        time.sleep(0.05)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert "Exception" not in err
    made = files_in(tmp_path / "out")
    assert 0 < len(made) < len(names)
    assert set(made) <= set(names)
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["interrupted"] is True
    assert report["left"] == len(names) - len(report["frames"]) > 0
    for name in made:
        assert pixels_of(tmp_path / "out" / name).shape == (24, 32, 3)


AWKWARD = """
import os, signal, expandnet_ofx.writer
plain = expandnet_ofx.writer.ImageWriter.{method}
def hit(self, *words):
    if {early}: os.kill(os.getpid(), signal.SIGTERM)
    plain(self, *words)
    if not {early}: os.kill(os.getpid(), signal.SIGTERM)
expandnet_ofx.writer.ImageWriter.{method} = hit
"""


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("method", ["__init__", "open", "write", "commit", "discard"])
def test_a_signal_at_an_awkward_moment(tmp_path: Path, method: str, early: bool) -> None:
    names = _frames(tmp_path, 2)
    before = LIGHT + AWKWARD.format(method=method, early=early)
    process = start("in", "-o", "out", cwd=tmp_path, before=before)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert "Traceback" not in err
    made = files_in(tmp_path / "out")
    assert set(made) <= set(names)
    for name in made:
        assert pixels_of(tmp_path / "out" / name).shape == (24, 32, 3)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_a_stream_that_is_closed_from_the_start_stops_nothing(tmp_path: Path, closed: str) -> None:
    save(tmp_path / "a.png", plate())
    words = [
        sys.executable,
        "-c",
        "from expandnet_batch.main import main; main()",
        "a.png",
        "-o",
        "out",
        "--threads",
        "1",
    ]
    path = os.pathsep.join([str(ROOT), str(ROOT / "cli")])
    ran = subprocess.run(
        ["sh", "-c", f"exec {shlex.join(words)} {closed}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    assert ran.returncode == 0
    assert (tmp_path / "out" / "a.exr").exists()


def test_a_reader_that_goes_away(tmp_path: Path) -> None:
    _frames(tmp_path, 6)
    process = start("in", "-o", "out", cwd=tmp_path)
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
    assert "Traceback" not in err
    assert not [name for name in files_in(tmp_path / "out") if is_partial(Path(name))]


def test_killed_at_any_moment_and_run_again(tmp_path: Path) -> None:
    names = _frames(tmp_path, 8)
    words = ["in", "--matte", "--preview", "all", "--existing", "skip"]
    process = start(*words, "-o", "whole", cwd=tmp_path)
    process.communicate(timeout=120)
    assert process.returncode == 0
    whole = {name: (tmp_path / "whole" / name).read_bytes() for name in files_in(tmp_path / "whole")}
    assert len(whole) == 2 * len(names)
    rng = random.Random(7)
    killed = 0
    for _ in range(6):
        process = start(*words, "-o", "out", cwd=tmp_path)
        assert process.stdout is not None
        for _ in range(rng.randrange(5)):
            process.stdout.readline()
        time.sleep(rng.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        killed += process.returncode == -signal.SIGKILL
        for name in files_in(tmp_path / "out"):
            assert is_partial(Path(name)) or (tmp_path / "out" / name).read_bytes() == whole[name], name
    assert killed
    process = start(*words, "-o", "out", cwd=tmp_path)
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert {name: (tmp_path / "out" / name).read_bytes() for name in files_in(tmp_path / "out")} == whole


def test_killed_while_a_sheet_is_written(tmp_path: Path) -> None:
    _frames(tmp_path, 1)
    kill = "import os, PIL.Image; PIL.Image.Image.save = lambda *words, **more: os.kill(os.getpid(), 9);"
    words = ["in", "-o", "out", "--preview", "all", "--existing", "skip"]
    for before, code in ((LIGHT + kill, -signal.SIGKILL), (LIGHT, 0)):
        process = start(*words, cwd=tmp_path, before=before)
        process.communicate(timeout=60)
        assert process.returncode == code
    assert files_in(tmp_path / "out") == ["f.0000.exr", "f.0000.preview.png"]


@pytest.mark.parametrize(
    ("number", "code", "advice"),
    [
        (errno.EIO, 1, "check its disk and run again"),
        (errno.ESTALE, 1, "check its disk and run again"),
        (errno.EDQUOT, 1, "check its disk and run again"),
        (errno.ENOSPC, 1, "check its disk and run again"),
        (errno.EACCES, 2, "check the path and permissions"),
        (errno.EROFS, 2, "check the path and permissions"),
        (errno.ENOENT, 1, "check the path and permissions"),
    ],
)
def test_what_the_system_says_of_a_file_is_one_line(number: int, code: int, advice: str) -> None:
    @click.command("work")
    def work() -> None:
        raise OSError(number, os.strerror(number), "/disk/a")

    ran = invoke(work)
    assert ran.code == code
    assert ran.complaint == f"work: /disk/a: {os.strerror(number)}; {advice}"
