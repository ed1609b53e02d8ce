"""Names of results: only what is complete gets one, and leftovers are swept."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from expandnet_batch.edge import Terminated
from result_files import LIGHT, layout, write

from expandnet_ofx import partials
from expandnet_ofx.errors import OutputError
from expandnet_ofx.output_options import OutputOptions
from expandnet_ofx.partials import is_partial, new_file, partial_name, scratch_folder, sweep, write_text
from expandnet_ofx.writer import PartLayout, image_writer


@pytest.mark.parametrize("name", ["a.exr", "a.hdr", "a.tif"])
def test_only_commit_gives_the_name(tmp_path, name):
    path = tmp_path / "new" / name
    with image_writer(path, [layout(LIGHT)], OutputOptions()) as output:
        output.write(0, LIGHT)
        partial = list(path.parent.iterdir())
        assert [is_partial(file) for file in partial] == [True]
        assert partial[0].suffix == path.suffix
    assert list(path.parent.iterdir()) == []


def test_an_exception_keeps_the_old_file(tmp_path):
    path = write(tmp_path / "a.exr", LIGHT)
    before = path.read_bytes()
    with pytest.raises(ZeroDivisionError), image_writer(path, [layout(LIGHT)], OutputOptions()) as output:
        output.write(0, LIGHT[:20])
        raise ZeroDivisionError
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_incomplete_picture_is_not_committed_by_leaving(tmp_path):
    with image_writer(tmp_path / "a.exr", [layout(LIGHT)], OutputOptions()) as output:
        output.write(0, LIGHT[:20])
    assert list(tmp_path.iterdir()) == []


class CutShort:
    """An output whose last bytes do not reach the disk, and which says that all is well."""

    def __init__(self, output: object, path: Path) -> None:
        self._output, self._path = output, path

    def close(self) -> bool:
        done = self._output.close()
        os.truncate(self._path, self._path.stat().st_size - 40)
        return done


@pytest.mark.parametrize("name", ["a.exr", "a.tif", "a.hdr"])
def test_a_file_that_lacks_its_end_gets_no_name(tmp_path, name):
    pixels = np.random.default_rng(1).random((40, 30, 3), np.float32)
    with (
        pytest.raises(OutputError, match="to its end"),
        image_writer(tmp_path / name, [layout(pixels)], OutputOptions()) as made,
    ):
        made.write(0, pixels)
        made._output = CutShort(made._output, next(tmp_path.iterdir()))
        made.commit()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OutputError, match="file"),
        image_writer(tmp_path / "file" / "a.exr", [layout(LIGHT)], OutputOptions()),
    ):
        pass


def test_a_target_that_is_a_folder_leaves_nothing(tmp_path):
    (tmp_path / "a.exr").mkdir()
    with (
        pytest.raises(OutputError, match="cannot be written"),
        image_writer(tmp_path / "a.exr", [layout(LIGHT)], OutputOptions()) as output,
    ):
        output.write(0, LIGHT)
        output.commit()
    assert [path.name for path in tmp_path.iterdir()] == ["a.exr"]


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from expandnet_ofx.errors import OutputError
from expandnet_ofx.output_options import OutputOptions
from expandnet_ofx.writer import PartLayout, image_writer
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
noise = np.random.default_rng(0).random((256, 256, 3), np.float32)
part = PartLayout(width=256, height=256, channels=("R", "G", "B"), formats=("float",) * 3, attributes={})
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    with image_writer(path, [part], OutputOptions(pixel="float")) as output:
        for y in range(0, 256, 16):
            output.write(y, noise[y : y + 16])
        output.commit()
except OutputError as error:
    print(error)
    raise SystemExit(3)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
@pytest.mark.parametrize("limit", [100, 60_000, 150_000])
@pytest.mark.parametrize("name", ["a.exr", "a.hdr", "a.tif"])
def test_a_disk_that_fills_up_fails_the_frame_and_leaves_nothing(tmp_path, name, limit):
    path = tmp_path / name
    command = [sys.executable, "-c", FULL_DISK, str(path), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert done.stdout.startswith(f"{path}: cannot be written")
    assert done.stdout.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_partial_names_are_unique_hidden_and_keep_the_suffix(tmp_path):
    path = tmp_path / "shot.v2.0001.exr"
    names = {partial_name(path) for _ in range(50)}
    assert len(names) == 50
    for name in names:
        assert name.parent == tmp_path
        assert name.suffix == ".exr"
        assert is_partial(name)
    assert not is_partial(path)
    assert not is_partial(tmp_path / "a.partial.exr")


def dead_process() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_leftovers_of_the_dead_are_swept_and_no_others(tmp_path, monkeypatch):
    path = tmp_path / "shot.0001.exr"
    mine = partial_name(path)
    with monkeypatch.context() as patch:
        dead = dead_process()
        patch.setattr(os, "getpid", lambda: dead)
        left = partial_name(path)
        patch.setattr(partials.socket, "gethostname", lambda: "another-machine")
        partials._host.cache_clear()
        foreign, old = partial_name(path), partial_name(path)
    partials._host.cache_clear()
    others = [path, tmp_path / ".hidden.exr", tmp_path / ".odd.partial.exr", tmp_path / ".a.b-c-d.partial.exr"]
    for file in (mine, left, foreign, old, *others):
        file.write_text("x")
    day_ago = time.time() - 2 * 86400
    os.utime(old, (day_ago, day_ago))
    assert set(sweep(tmp_path)) == {left, old}
    assert set(tmp_path.iterdir()) == {mine, foreign, *others}
    assert sweep(tmp_path) == []


def test_files_of_other_programs_are_never_swept(tmp_path):
    names = [".notes.partial.txt", ".render.partial.mov", ".x.abc-1-2.partial.exr", ".y.12345678-77-zzzzzz.partial.exr"]
    for name in names:
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1, 1))
    ours = [partial_name(tmp_path / name) for name in ("shot.exr", "report")]
    left = [path.with_name(path.name.replace(f"-{os.getpid()}-", f"-{dead_process()}-")) for path in ours]
    for path in (*ours, *left):
        path.touch()
        os.utime(path, (1, 1))
    assert set(sweep(tmp_path)) == set(left), "also one without a suffix; of a process that works none, however old"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*names, *(path.name for path in ours)])


@pytest.mark.parametrize("stem", ["x" * 251, "\u65e5" * 83])
def test_the_longest_name_that_a_disk_takes_can_be_written(tmp_path, stem):
    path = tmp_path / f"{stem}.exr"
    assert len(os.fsencode(path.name)) in (253, 255)
    layout = PartLayout(width=2, height=2, channels=("R", "G", "B"), formats=("half",) * 3, attributes={})
    with image_writer(path, [layout], OutputOptions()) as output:
        output.write(0, np.ones((2, 2, 3), np.float32))
        output.commit()
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_sweeping_a_folder_that_is_not_there(tmp_path):
    assert sweep(tmp_path / "missing") == []


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs files in shared memory")
def test_files_in_shared_memory_are_files():
    """What lies under /dev is replaced when complete like any other file; only devices, pipes and open outputs are not."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder, "a.json")
        for text in ("{}", "[]"):
            partials.write_text(path, text)
            assert path.read_text() == text
    for device in ("/dev/null", "/dev/stdout", "/proc/self/fd/1"):
        assert partials.is_special(Path(device))


def test_what_another_machine_began_an_hour_ago_is_left(tmp_path):
    own = partial_name(tmp_path / "a.exr")
    host = own.name.split(".")[2].split("-")[0]
    other = own.with_name(own.name.replace(host, "0" * 8))
    other.touch()
    for age, swept in ((3600, []), (2 * 86400, [other])):
        os.utime(other, (time.time() - age,) * 2)
        assert sweep(tmp_path) == swept


@pytest.mark.parametrize("error", [KeyboardInterrupt, Terminated, OSError, MemoryError])
def test_a_file_that_is_given_up_is_not_left(tmp_path, error):
    (tmp_path / "a.json").write_text("old")
    with pytest.raises(error), new_file(tmp_path / "a.json") as partial:
        partial.write_text("new")
        raise error
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_a_file_takes_what_a_killed_process_left_of_it(tmp_path):
    left = [partial_name(tmp_path / name) for name in ("a.json", "a.json", "b.json")]
    for path in left:
        path.with_name(path.name.replace(f"-{os.getpid()}-", f"-{dead_process()}-")).touch()
    write_text(tmp_path / "a.json", "{}")
    assert [path.name.split(".")[1] for path in tmp_path.iterdir() if is_partial(path)] == ["b"]
    assert (tmp_path / "a.json").read_text() == "{}"


def test_a_scratch_folder_that_cannot_be_removed_is_no_failure(tmp_path, monkeypatch):
    """As where a network disk keeps a name for a file that is open elsewhere."""

    def busy(*_, **__):
        raise OSError(39, "Directory not empty")

    with monkeypatch.context() as patch:
        patch.setattr(os, "rmdir", busy)
        with scratch_folder(tmp_path) as made:
            (made / "a").touch()
        with pytest.raises(KeyboardInterrupt), scratch_folder(tmp_path):
            raise KeyboardInterrupt


def test_a_scratch_folder_that_cannot_be_made_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    with pytest.raises(OutputError, match=r"absent: no folder for temporary files .* TMPDIR"), scratch_folder():
        pass
