"""Results as stored: types, compressions, headers, files that appear only when complete, and the thread that writes."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest

from expandnet_ofx import partials, results
from expandnet_ofx.background import BackgroundCalls
from expandnet_ofx.errors import ExpandNetError, OutputError, UsageError
from expandnet_ofx.output_options import OutputOptions, check_suffix
from expandnet_ofx.partials import is_partial, partial_name, sweep
from expandnet_ofx.writer import PartLayout, image_writer

LIGHT = np.random.default_rng(2).normal(0.5, 2.0, (40, 33, 3)).astype(np.float32)
LOSSLESS = ("zip", "zip:9", "zips", "piz", "none", "rle")
LOSSY = ("dwaa", "dwaa:45", "dwab", "dwab:10", "pxr24", "b44", "b44a")


def layout(pixels: np.ndarray, *, kind: str = "half", **changes: object) -> PartLayout:
    height, width, count = pixels.shape
    plain = {"width": width, "height": height, "channels": tuple("RGBA"[:count]), "formats": (kind,) * count}
    return PartLayout(**{"attributes": {}, **plain, **changes})  # type: ignore[arg-type]


def write(path: Path, pixels: np.ndarray, *, kind: str = "half", step: int = 7, **options: object) -> Path:
    """Write in bands of `step` rows and commit."""
    stored = OutputOptions(pixel=kind, **options)  # type: ignore[arg-type]
    with image_writer(path, [layout(pixels, kind=kind)], stored) as output:
        for start in range(0, len(pixels), step):
            output.write(start, pixels[start : start + step])
        output.commit()
    return path


def read(path: Path) -> tuple[np.ndarray, oiio.ImageSpec]:
    source = oiio.ImageInput.open(str(path))
    assert source is not None, oiio.geterror()
    pixels, spec = source.read_image("float"), source.spec()
    source.close()
    return pixels, spec


def exr_header(path: Path) -> dict[str, tuple[str, bytes]]:
    """Parse the attributes of a single-part OpenEXR file: name to type and value."""
    data = path.read_bytes()
    assert data[:4] == b"\x76\x2f\x31\x01"
    at, found = 8, {}
    while data[at]:
        name, kind, rest = data[at:].split(b"\0", 2)
        at += len(name) + len(kind) + 2
        (size,) = struct.unpack("<i", rest[:4])
        found[name.decode()] = (kind.decode(), data[at + 4 : at + 4 + size])
        at += 4 + size
    return found


@pytest.mark.parametrize("kind", ["half", "float"])
@pytest.mark.parametrize("compression", LOSSLESS)
def test_lossless_compressions_keep_every_bit(tmp_path, compression, kind):
    expected = LIGHT.astype(np.float16) if kind == "half" else LIGHT
    found, spec = read(write(tmp_path / "a.exr", LIGHT, kind=kind, compression=compression))
    np.testing.assert_array_equal(found, expected.astype(np.float32))
    assert str(spec.format) == kind
    assert spec.get_string_attribute("compression").partition(":")[0] == compression.partition(":")[0]
    assert not spec.tile_width


@pytest.mark.parametrize("compression", LOSSY)
def test_lossy_compressions_stay_near(tmp_path, compression):
    smooth = np.linspace(0.1, 4, LIGHT.size, dtype=np.float32).reshape(LIGHT.shape)
    found, spec = read(write(tmp_path / "a.exr", smooth, compression=compression))
    np.testing.assert_allclose(found, smooth, rtol=0.02)
    assert spec.get_string_attribute("compression").partition(":")[0] == compression.partition(":")[0]


def test_the_dwa_level_is_kept(tmp_path):
    header = exr_header(write(tmp_path / "a.exr", LIGHT, compression="dwaa:200"))
    assert struct.unpack("<f", header["dwaCompressionLevel"][1]) == (200,)
    coarse = (tmp_path / "a.exr").stat().st_size
    assert coarse < write(tmp_path / "b.exr", LIGHT, compression="dwaa:1").stat().st_size


@pytest.mark.parametrize("text", ["lzw", "", "dwaa:x", "zip:-1", "none:3", "piz:2", "rle:1"])
def test_unknown_compressions_are_refused(text):
    with pytest.raises(UsageError, match="--compression"):
        OutputOptions(compression=text)


@pytest.mark.parametrize("step", [1, 7, 40])
@pytest.mark.parametrize("kind", ["half", "float"])
def test_tiff_keeps_light_above_and_below(tmp_path, kind, step):
    expected = LIGHT.astype(np.float16).astype(np.float32) if kind == "half" else LIGHT
    found, spec = read(write(tmp_path / "a.tif", LIGHT, kind=kind, step=step))
    np.testing.assert_array_equal(found, expected)
    assert str(spec.format) in (kind, "float")


def test_radiance_keeps_8_bits_of_the_brightest_channel(tmp_path):
    light = np.abs(LIGHT) + np.float32(0.01)
    found, spec = read(write(tmp_path / "a.hdr", light, kind="float"))
    assert (np.abs(found - light) <= light.max(2, keepdims=True) / 127).all()
    assert spec.format == oiio.FLOAT


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a", "a.dpx"])
def test_display_formats_cannot_hold_light(name):
    with pytest.raises(UsageError, match="scene-linear"):
        check_suffix(Path(name), OutputOptions())


@pytest.mark.parametrize("options", [OutputOptions(matte=True), OutputOptions(aces=True, compression="none")])
@pytest.mark.parametrize("name", ["a.hdr", "a.tif", "a.TIFF"])
def test_matte_and_aces_need_exr(name, options):
    with pytest.raises(UsageError, match=r"need \.exr"):
        check_suffix(Path(name), options)
    check_suffix(Path(name), OutputOptions())
    check_suffix(Path("a.EXR"), options)


@pytest.mark.parametrize("changes", [{"pixel": "float", "compression": "none"}, {"compression": "zip"}])
def test_aces_conflicts_are_refused(changes):
    with pytest.raises(UsageError, match=r"ST 2065-4"):
        OutputOptions(aces=True, **changes)


def test_an_aces_container_follows_st_2065_4(tmp_path):
    path = write(tmp_path / "a.exr", LIGHT, compression="none", aces=True, interop_id="lin_ap0_scene")
    header = exr_header(path)
    assert header["acesImageContainerFlag"] == ("int", struct.pack("<i", 1))
    assert header["compression"] == ("compression", b"\0")
    assert header["lineOrder"][1] == b"\0"
    ap0 = (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.077, 0.32168, 0.33767)
    assert header["chromaticities"][0] == "chromaticities"
    np.testing.assert_allclose(struct.unpack("<8f", header["chromaticities"][1]), ap0, atol=1e-6)
    names = [entry.split(b"\0")[0] for entry in header["channels"][1].split(b"\x01\0\0\0\x01\0\0\0")[:-1]]
    assert names == [b"B", b"G", b"R"]
    np.testing.assert_array_equal(read(path)[0], LIGHT.astype(np.float16))


@pytest.mark.parametrize("identifier", ["lin_rec709_scene", "lin_ap1_scene", None])
def test_the_interop_id_is_written_and_no_chromaticities(tmp_path, identifier):
    header = exr_header(write(tmp_path / "a.exr", LIGHT, interop_id=identifier))
    assert header.get("colorInteropID") == (("string", identifier.encode()) if identifier else None)
    assert "chromaticities" not in header
    assert "acesImageContainerFlag" not in header


def test_channels_of_several_types_and_windows(tmp_path):
    five = np.concatenate((LIGHT, LIGHT[:, :, :2] * 1.000123), 2)
    part = layout(
        five,
        channels=("R", "G", "B", "A", "Z"),
        formats=("half", "half", "half", "half", "float"),
        origin=(-5, 7),
        display=(0, 0, 20, 60),
    )
    with image_writer(tmp_path / "a.exr", [part], OutputOptions()) as output:
        output.write(0, five)
        output.commit()
    source = oiio.ImageInput.open(str(tmp_path / "a.exr"))
    spec = source.spec()
    kinds = dict(zip(spec.channelnames, map(str, spec.channelformats), strict=True))
    assert kinds == {"R": "half", "G": "half", "B": "half", "A": "half", "Z": "float"}
    z = spec.channelnames.index("Z")
    np.testing.assert_array_equal(source.read_image(0, 0, z, z + 1, "float")[:, :, 0], five[:, :, 4])
    source.close()
    assert (spec.x, spec.y, spec.full_x, spec.full_y, spec.full_width, spec.full_height) == (-5, 7, 0, 0, 20, 60)


def test_parts_are_written_one_after_another(tmp_path):
    parts = [layout(LIGHT, name="left"), layout(LIGHT[:, :, :1], name="depth", channels=("Z",), kind="float")]
    with image_writer(tmp_path / "a.exr", parts, OutputOptions()) as output:
        output.write(0, LIGHT)
        output.next_part()
        output.write(0, LIGHT[:20, :, :1])
        output.write(20, LIGHT[20:, :, :1])
        output.commit()
    source = oiio.ImageInput.open(str(tmp_path / "a.exr"))
    for part, (name, expected) in enumerate([("left", LIGHT.astype(np.float16)), ("depth", LIGHT[:, :, :1])]):
        assert source.seek_subimage(part, 0)
        assert source.spec().get_string_attribute("oiio:subimagename") == name
        np.testing.assert_array_equal(source.read_image(part, 0, 0, expected.shape[2], "float"), expected)
    assert not source.seek_subimage(2, 0)
    source.close()


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


@pytest.mark.parametrize("compression", ["zip", "zips"])
def test_zip_is_quick_unless_told_otherwise(tmp_path, compression):
    pixels = np.random.default_rng(2).integers(0, 40, (64, 64, 3)).astype(np.float32)
    sizes = [
        write(tmp_path / f"a{level}.exr", pixels, compression=f"{compression}{level}").stat().st_size
        for level in ("", ":1", ":4", ":9")
    ]
    assert sizes[0] == sizes[1]
    assert len(set(sizes)) == 3


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
    ours = partial_name(tmp_path / "shot.exr")
    ours.touch()
    os.utime(ours, (1, 1))
    assert sweep(tmp_path) == [ours]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


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


def test_provenance_of_complete_files_only(tmp_path):
    noise = np.random.default_rng(1).random((64, 64, 3), np.float32)
    path = tmp_path / "a.exr"
    with image_writer(
        path, [layout(noise, attributes={"expandnet/provenance": '{"a": 1}'})], OutputOptions()
    ) as output:
        output.write(0, noise)
        output.commit()
    assert results.read_provenance(path) == {"a": 1}
    data = path.read_bytes()
    for share in (0.05, 0.5, 0.99):
        path.write_bytes(data[: int(len(data) * share)])
        assert results.read_provenance(path) is None
    assert results.read_provenance(write(tmp_path / "b.exr", noise)) is None
    assert results.read_provenance(tmp_path / "missing.exr") is None


def test_calls_run_in_order_in_one_thread():
    seen, threads = [], set()

    def note(value: int) -> None:
        threads.add(threading.get_ident())
        seen.append(value)

    with BackgroundCalls(depth=2) as calls:
        for value in range(100):
            calls(note, value)
        calls.wait()
        assert seen == list(range(100))
        calls(note, 100)
        calls.wait()
    assert seen == list(range(101))
    assert threading.get_ident() not in threads


def test_an_exception_drops_later_calls_and_is_raised_to_the_caller():
    seen: list[int] = []

    def work(value: int) -> None:
        if value == 3:
            raise OutputError("full")
        seen.append(value)

    with pytest.raises(OutputError, match="full"), BackgroundCalls(depth=2) as calls:
        for value in range(1000):
            calls(work, value)
        calls.wait()
    assert seen == [0, 1, 2]


def test_wait_raises_the_exception_of_the_last_call():
    def fail() -> None:
        raise ExpandNetError("last")

    with pytest.raises(ExpandNetError, match="last"), BackgroundCalls(depth=2) as calls:
        calls(fail)
        calls.wait()


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


def test_a_signal_while_the_thread_starts_is_not_lost(monkeypatch):
    """`Thread.start` waits for the thread, and a signal raises there; it was taken for a fault of the frame."""

    def interrupted(_: threading.Thread) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), BackgroundCalls(depth=2) as calls:
        monkeypatch.setattr(threading.Thread, "start", interrupted)
        calls.wait()


def test_waiting_calls_are_bounded():
    gate, third = threading.Event(), threading.Event()
    with BackgroundCalls(depth=2) as calls:
        calls(gate.wait)

        def more() -> None:
            for _ in range(4):
                calls(int)
            third.set()

        thread = threading.Thread(target=more)
        thread.start()
        assert not third.wait(0.05)
        gate.set()
        assert third.wait(10)
        thread.join()


def test_leaving_by_an_exception_abandons_what_waits():
    gate, seen = threading.Event(), []
    with pytest.raises(ZeroDivisionError), BackgroundCalls(depth=4) as calls:
        calls(gate.wait)
        calls(seen.append, 1)
        threading.Timer(0.05, gate.set).start()
        raise ZeroDivisionError
    assert seen == []
