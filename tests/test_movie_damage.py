"""Files that are no good movies: what is refused, and what is told of frames."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from movie_files import HEIGHT, WIDTH, frame_of, noise, read, write

from expandnet_ofx.errors import InputError, MissingExtraError, UsageError
from expandnet_ofx.movies import Movie

av = pytest.importorskip("av")


def test_text_named_mov(tmp_path):
    path = tmp_path / "a.mov"
    path.write_text("not a movie\n" * 100)
    with pytest.raises(InputError, match="not a movie"):
        Movie(path)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        Movie(tmp_path / "a.mov")


def test_audio_only(tmp_path):
    path = tmp_path / "a.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 9600), np.int16), format="s16", layout="mono")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(InputError, match="no picture stream"):
        Movie(path)


def test_a_movie_without_its_end_is_no_movie(tmp_path):
    path = write(tmp_path / "a.mp4", noise(10), codec="libx264", options={"qp": "0"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match="not a movie"):
        Movie(path)


@pytest.mark.parametrize(
    ("name", "codec", "fmt"),
    [("a.mov", "libx264", "yuv420p"), ("a.mov", "prores_ks", "yuv422p10le"), ("a.mkv", "ffv1", "yuv420p")],
)
def test_a_cut_off_movie_names_the_frame(tmp_path, name, codec, fmt):
    mux = {"movflags": "faststart"} if name == "a.mov" else {}
    path = write(tmp_path / name, noise(20, fmt), codec=codec, mux=mux, options={"g": "1"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    seen = 0
    with pytest.raises(InputError, match=r"frame \d+ ") as caught, Movie(path) as movie:
        for index, _ in movie:
            assert index == seen
            seen += 1
    assert 8 <= seen <= 13
    assert f"{path}: frame " in str(caught.value)


@pytest.mark.parametrize(
    ("codec", "fmt", "options"),
    [("ffv1", "yuv420p", {"level": "3", "slicecrc": "1"}), ("libx264", "yuv420p", {"g": "1"}), ("png", "rgb24", {})],
)
def test_damage_in_the_middle_names_the_frame(tmp_path, codec, fmt, options):
    frames = (
        noise(12, fmt)
        if fmt == "yuv420p"
        else [frame_of([np.random.default_rng(i).integers(0, 255, (HEIGHT, WIDTH, 3))], fmt) for i in range(12)]
    )
    path = write(tmp_path / ("a.mkv" if codec == "ffv1" else "a.mov"), frames, codec=codec, options=options)
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    position, size = packets[7]
    data = bytearray(path.read_bytes())
    data[position + size // 4 : position + size // 2] = b"\x55" * (size // 2 - size // 4)
    path.write_bytes(bytes(data))
    seen = []
    with pytest.raises(InputError, match=r"frame \d+ ") as caught, Movie(path) as movie:
        seen += [index for index, _ in movie]
    assert "frame 7 " in str(caught.value)


@pytest.mark.parametrize("codec", ["ffv1", "mjpeg", "dvvideo"])
def test_a_frame_that_a_decoder_makes_up_is_told(tmp_path, codec):
    """A few bytes are wrong: some decoders say so in their log alone."""
    shape = {"ffv1": ("yuv420p", WIDTH, HEIGHT), "mjpeg": ("yuvj420p", WIDTH, HEIGHT), "dvvideo": ("yuv420p", 720, 576)}
    fmt, width, height = shape[codec]
    rng = np.random.default_rng(3)
    sizes = [(p.height, p.width) for p in av.VideoFormat(fmt, width, height).components]
    frames = [
        frame_of([rng.integers(40, 200, size) for size in sizes], fmt, width=width, height=height) for _ in range(3)
    ]
    options = {"level": "3", "slicecrc": "1"} if codec == "ffv1" else {}
    name = "a.mkv" if codec == "ffv1" else "a.mov"
    path = write(tmp_path / name, frames, codec=codec, options=options, rate=25)
    with av.open(str(path)) as container:
        position, size = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size][1]
    whole = path.read_bytes()
    found, intact = 0, read(path)[1]
    for _ in range(20):
        data, at = bytearray(whole), position + int(rng.integers(size // 8, size - 40))
        data[at : at + 40] = rng.bytes(40)
        path.write_bytes(bytes(data))
        with Movie(path) as movie:
            try:
                for index, codes in movie:
                    told = movie.complaint is not None
                    found += told and not np.array_equal(codes, intact[index])
                    assert not told or index == 1
            except InputError as error:
                assert "frame 1 " in str(error)
                found += 1
    assert found >= {"ffv1": 20, "mjpeg": 5, "dvvideo": 5}[codec]


def test_a_movie_is_not_blamed_for_another(tmp_path):
    good, bad = (
        write(tmp_path / name, noise(12), options={"level": "3", "slicecrc": "1"}) for name in ("g.mkv", "b.mkv")
    )
    with av.open(str(bad)) as container:
        position, size = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size][1]
    data = bytearray(bad.read_bytes())
    data[position + size // 2] ^= 1
    bad.write_bytes(bytes(data))
    level = av.logging.get_level()
    stop = threading.Event()

    def blamed() -> int:
        refused = 0
        while not stop.is_set():
            with pytest.raises(InputError, match="frame 1 "):
                read(bad)
            refused += 1
        return refused

    with ThreadPoolExecutor(2) as pool:
        others = [pool.submit(blamed) for _ in range(2)]
        try:
            for _ in range(10):
                assert len(read(good)[1]) == 12
        finally:
            stop.set()
        assert all(other.result() for other in others)
    assert av.logging.get_level() == level


def test_unsupported_matrix(tmp_path):
    path = write(tmp_path / "a.mkv", noise(1), tags={"colorspace": 10})
    with pytest.raises(InputError, match="matrix 10"):
        Movie(path)


def test_the_package_av_is_optional():
    program = (
        "import sys; sys.modules['av'] = None\n"
        "from expandnet_ofx.errors import MissingExtraError\n"
        "from expandnet_ofx.movies import Movie\n"
        "try:\n    Movie(sys.argv[1])\n"
        "except MissingExtraError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, __file__], capture_output=True, text=True, check=True)
    assert "pip install 'expandnet-ofx[movie]'" in done.stdout
    assert issubclass(MissingExtraError, UsageError)
