"""Run the project's commands inside the test's process, so that torch loads once."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import click
import numpy as np
import OpenImageIO as oiio
import pytest
from expandnet_batch.edge import run_command
from expandnet_batch.main import command as batch_command
from fakes import PointEngine

from expandnet_ofx.weights import Weights

ROOT = Path(__file__).parents[1]

SHOT = [f"shot.{frame}.png" for frame in (1001, 1002, 1003, 1004)]
"""Names of the frames of the fixture `shot`."""


needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="runs the real network in PyTorch")
"""For single tests; modules that all need it are listed in conftest."""


def _light_engine(weights: Weights, **_: object) -> PointEngine:
    engine = PointEngine(gain=4.0)
    engine.weights = weights
    return engine


def replace_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands run without the network's arithmetic, and without torch; weights are still read and checked."""
    monkeypatch.setattr("expandnet_ofx.expander.open_engine", _light_engine)


class Outcome(NamedTuple):
    """What a command left behind: exit code and both streams."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line on standard error; fails if there is another number of lines, or a traceback."""
        lines = [line for line in self.err.splitlines() if line.strip()]
        assert len(lines) == 1, self.err
        assert "Traceback" not in lines[0]
        assert "internal fault" not in lines[0], self.err
        return lines[0]


def invoke(command: click.Command, *arguments: object) -> Outcome:
    """Run a command as its entry point would, with the edge that turns errors into codes."""
    out, err = io.StringIO(), io.StringIO()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    words = [str(command.name), *map(str, arguments)]
    try:
        with mock.patch.object(sys, "argv", words), redirect_stdout(out), redirect_stderr(err):
            code = run_command(command)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return Outcome(code, out.getvalue(), err.getvalue())


def batch(*arguments: object) -> Outcome:
    """Run `expandnet-batch` with one thread."""
    return invoke(batch_command, "--threads", 1, *arguments)


LIGHT = "import pytest, commands; commands.replace_network(pytest.MonkeyPatch());"
MAIN = "import sys; sys.argv[0] = 'expandnet-batch'; from expandnet_batch.main import main; main()"


def start(*arguments: object, cwd: Path, before: str = LIGHT, **options: Any) -> subprocess.Popen[str]:
    """Start `expandnet-batch` as a process of its own, after a line of Python; its streams are pipes."""
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-c", before + MAIN, "--threads", "1", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options},
    )


def plate(seed: int = 0, height: int = 24, width: int = 32) -> np.ndarray:
    """Return an 8-bit RGB plate of smooth random color with a clipped square."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(40, 200, (-(-height // 4), -(-width // 4), 3))
    pixels = coarse.repeat(4, 0).repeat(4, 1)[:height, :width].astype(np.uint8)
    pixels[: height // 2, : width // 2] = 255
    return pixels


def save(path: Path, pixels: np.ndarray) -> Path:
    """Write pixels in the format of the suffix; create the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {"uint8": "uint8", "uint16": "uint16", "float16": "half", "float32": "float"}[pixels.dtype.name]
    output = oiio.ImageOutput.create(str(path))
    spec = oiio.ImageSpec(pixels.shape[1], pixels.shape[0], pixels.shape[2], kind)
    assert output.open(str(path), spec), output.geterror()
    assert output.write_image(pixels), output.geterror()
    output.close()
    return path


def pixels_of(path: Path) -> np.ndarray:
    """Read all channels of the first part of a picture as float32, through OpenImageIO alone."""
    buffer = oiio.ImageBuf(str(path))
    pixels = buffer.get_pixels(oiio.FLOAT)
    assert not buffer.has_error, buffer.geterror()
    return np.asarray(pixels)


def files_in(folder: Path) -> list[str]:
    """Return the names of all files below a folder, hidden ones too, sorted."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() or path.is_symlink())


def results(folder: Path) -> list[int]:
    """Return the frame numbers of the results in a folder; fails on any other file."""
    return [int(name.removeprefix("shot.").removesuffix(".exr")) for name in files_in(folder)]
