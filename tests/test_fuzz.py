"""Damaged files of every format: a message or a picture, never another exception, a crash, a hang or half a result.

Each format is fuzzed by a process of its own without torch (this file, run as a script), which forks children; a child
writes what it is about to do into a pipe, so a case that kills it is known.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import struct
import subprocess
import sys
import traceback
import zlib
from collections import Counter
from pathlib import Path

import pytest
from samples import FORMATS, peak_mib

CASES = int(os.environ.get("EXPANDNET_FUZZ_CASES", "150"))
"""Cases per format; thousands for a night's run."""

SECONDS = 30
"""Of one case; more is a hang."""

MOST_MIB = 1200
"""What one case of a picture of 23 x 17 pixels may add to the process."""

NASTY = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def damaged(data: bytes, rng: random.Random, name: str) -> bytes:
    """Return a copy that is cut, holed, padded, or has bytes or whole fields replaced; headers more than pixels."""
    out = bytearray(data)
    reach = min(len(out), rng.choice((64, 256, 1024, len(out))))
    kind = rng.random()
    start, length = rng.randrange(len(out)), rng.randrange(1, 64)
    if kind < 0.1:
        del out[max(1, start) :]
    elif kind < 0.2:
        out[start : start + length] = bytes(len(out[start : start + length])) if rng.random() < 0.5 else b""
    elif kind < 0.25:
        out[start:start] = rng.randbytes(length)
    elif kind < 0.55:
        for _ in range(rng.choice((1, 1, 2, 4))):
            field = rng.choice(("<B", "<H", ">H", "<I", ">I"))
            value = rng.choice(NASTY) & ((1 << 8 * struct.calcsize(field)) - 1)
            at = rng.randrange(max(1, reach - 4))
            out[at : at + struct.calcsize(field)] = struct.pack(field, value)
    else:
        for _ in range(rng.choice((1, 1, 2, 4, 8, 32))):
            at = rng.randrange(reach)
            out[at] = rng.randrange(256) if rng.random() < 0.5 else out[at] ^ 1 << rng.randrange(8)
    if name == "png" and rng.random() < 0.8:
        _mend_checksums(out)
    return bytes(out)


def _mend_checksums(png: bytearray) -> None:
    """Let damage reach behind the checksums of chunks (ISO/IEC 15948, 5.3)."""
    at = 8
    while at + 12 <= len(png):
        end = at + 8 + int.from_bytes(png[at : at + 4], "big")
        if end + 4 > len(png):
            return
        png[end : end + 4] = struct.pack(">I", zlib.crc32(png[at + 4 : end]))
        at = end + 4


class Fuzzer:
    """Runs the cases of one format."""

    def __init__(self, name: str, folder: Path) -> None:
        from fakes import PointEngine

        from expandnet_ofx.convert import Converter
        from expandnet_ofx.expander import Expander
        from expandnet_ofx.settings import Settings

        folder.mkdir()
        self.name = name
        self.samples = FORMATS[name]()
        self.path = folder / f"x.{name}"
        self.out = folder / "out"
        self.converters = [
            Converter(Expander(Settings(input_space=space), engine=PointEngine())) for space in ("auto", "srgb")
        ]

    def data(self, case: int) -> bytes:
        rng = random.Random(f"{self.name} {case}")
        return damaged(rng.choice(self.samples), rng, self.name)

    def run(self, case: int) -> str:
        """Return `made` or `refused`, or what went wrong."""
        from expandnet_ofx.errors import ExpandNetError

        self.path.write_bytes(self.data(case))
        converter = self.converters[case % 2]
        result = self.out / "x.exr"
        try:
            prepared = converter.prepare(self.path)
            # The rest works on pixels that were read; a few cases are enough, of a size that takes no time.
            if case % 8 or prepared.parts[0].layout.width * prepared.parts[0].layout.height > 1 << 14:
                prepared.close()
            else:
                converter.render(prepared, result)
            outcome = "made"
        except ExpandNetError as error:
            text = str(error)
            outcome = "refused" if str(self.path) in text and "\n" not in text else f"poor message {text!r}"
        except BaseException as error:  # noqa: BLE001 - any other exception is what is looked for
            frame = traceback.extract_tb(error.__traceback__)[-1]
            outcome = f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}: {error}"
        left = sorted(path.name for path in self.out.iterdir()) if self.out.exists() else []
        result.unlink(missing_ok=True)
        return outcome if left in ([], ["x.exr"]) else f"{outcome}, left {left}"


def child(name: str, folder: Path, first: int, last: int, pipe: int) -> None:
    """Run cases and tell each before and after; never return."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    # Not before the fork, which would not take along the threads that OpenImageIO starts to write samples.
    fuzzer = Fuzzer(name, folder)
    for case in range(first, last):
        os.write(pipe, f"{case}\n".encode())
        signal.alarm(SECONDS)
        before = peak_mib()
        outcome = fuzzer.run(case)
        if (grown := peak_mib() - before) > MOST_MIB:
            outcome += f" with {grown} MiB"
        os.write(pipe, (" ".join(outcome.split()) + "\n").encode(errors="replace"))
    os._exit(0)


def run_all(name: str, folder: Path, count: int) -> dict[int, str]:
    """Return the outcome of every case; a child that dies is replaced by one that goes on behind the case."""
    outcomes: dict[int, str] = {}
    while len(outcomes) < count:
        reader, writer = os.pipe()
        process = os.fork()
        if not process:
            os.close(reader)
            child(name, folder / str(len(outcomes)), len(outcomes), count, writer)
        os.close(writer)
        with os.fdopen(reader) as lines:
            for number, outcome in zip(lines, lines, strict=False):
                outcomes[int(number)] = outcome.rstrip()
        if status := os.waitpid(process, 0)[1]:
            outcomes[len(outcomes)] = f"killed the process, status {status}"
    return outcomes


def main(name: str, count: str, folder: str) -> None:
    """Print the outcomes as JSON."""
    outcomes = run_all(name, Path(folder), int(count))
    faults = {case: text for case, text in outcomes.items() if text not in ("made", "refused")}
    print(json.dumps({"counts": Counter(outcomes.values()), "faults": faults, "torch": "torch" in sys.modules}))  # noqa: T201


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files(name: str, tmp_path: Path) -> None:
    words = [sys.executable, __file__, name, str(CASES), str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout.splitlines()[-1])
    assert report["faults"] == {}
    assert not report["torch"]
    assert sum(report["counts"].values()) == CASES
    assert report["counts"]["made"] > 0
    assert report["counts"]["refused"] > 0


@pytest.mark.parametrize("name", FORMATS)
def test_samples_are_sound(name: str, tmp_path: Path) -> None:
    from expandnet_ofx.images import open_image
    from expandnet_ofx.settings import Settings

    for data in FORMATS[name]():
        (tmp_path / f"x.{name}").write_bytes(data)
        with open_image(tmp_path / f"x.{name}", Settings(input_space="srgb")) as plate:
            assert plate.rows(0, plate.height).shape[:2] in ((17, 23), (16, 16))


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main(*sys.argv[1:])
