"""`expandnet`: weights in and shown, and a look at the machine."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import ROOT, Outcome, batch, files_in, invoke, pixels_of, plate, replace_network, save
from expandnet_batch.tools import command
from plain_network import random_state

SHIPPED = next((ROOT / "expandnet_ofx" / "weights").glob("*.safetensors"))


def tool(*arguments: object) -> Outcome:
    return invoke(command, *arguments)


class _Bomb:
    def __reduce__(self) -> object:
        return Path.touch, (Path("executed"),)


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from expandnet_batch.edge import run_command; from expandnet_batch.tools import command\n"
        "sys.argv = ['expandnet', '--help']\nassert run_command(command) == 0\n"
        "sys.exit(bool({'torch', 'numpy', 'OpenImageIO'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert all(word in ran.stdout for word in ("weights", "doctor"))


def test_import_keeps_every_parameter() -> None:
    from safetensors.numpy import load_file

    state = random_state(5)
    torch.save(OrderedDict(state), "mine.pth")
    ran = tool("weights", "import", "mine.pth")
    assert ran.code == 0, ran.err
    stored = load_file("mine.safetensors")
    assert stored.keys() == state.keys()
    assert all(np.array_equal(stored[name], state[name].numpy()) for name in state)
    digest = hashlib.sha256(Path("mine.safetensors").read_bytes()).hexdigest()
    assert digest in ran.out
    assert digest in tool("weights", "show", "mine.safetensors").out
    again = tool("weights", "import", "mine.pth", "-o", "second.safetensors")
    assert again.code == 0
    assert Path("second.safetensors").read_bytes() == Path("mine.safetensors").read_bytes()
    assert files_in(Path()) == ["mine.pth", "mine.safetensors", "second.safetensors"]


def test_imported_weights_convert(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(random_state(5), "mine.pth")
    assert tool("weights", "import", "mine.pth").code == 0
    save(Path("x.png"), plate())
    ran = batch("x.png", "-o", "out", "--preset", "authors", "--weights", "mine.safetensors")
    assert ran.code == 0, ran.err
    light = pixels_of(Path("out/x.exr"))
    # The authors' program stretches each result to its own minimum and maximum.
    assert light.min() == 0
    assert light.max() == 1
    replace_network(monkeypatch)
    assert batch("x.png", "-o", "out", "--weights", "mine.pth").code == 2


def test_import_of_the_authors_file(authors_pth: Path) -> None:
    ran = tool("weights", "import", authors_pth, "-o", "authors.safetensors")
    assert ran.code == 0, ran.err
    shown = dict(line.split(None, 1) for line in tool("weights", "show", "authors.safetensors").out.splitlines())
    assert shown["output_curve"] == "linear"
    assert shown["input_stretch"] == "True"


def _hostile(kind: str) -> None:
    path = Path("bad.pth")
    if kind == "pickle":
        path.write_bytes(pickle.dumps(_Bomb()))
    elif kind == "in a state dict":
        torch.save({**random_state(5), "local_net.0.weight": _Bomb()}, path)
    elif kind == "beside the state":
        torch.save({**random_state(5), "extra": _Bomb()}, path)
    elif kind == "old format":
        torch.save({"a": _Bomb()}, path, _use_new_zipfile_serialization=False)
    elif kind == "module":
        torch.save(torch.nn.Linear(2, 2), path)
    elif kind == "other network":
        torch.save({"conv.weight": torch.ones(3)}, path)
    elif kind == "not finite":
        state = random_state(5)
        next(iter(state.values())).view(-1)[0] = float("nan")
        torch.save(state, path)
    elif kind == "number":
        torch.save(5, path)
    elif kind == "cut":
        torch.save(random_state(5), path)
        path.write_bytes(path.read_bytes()[:90_000])
    elif kind == "garbage":
        path.write_bytes(np.random.default_rng(1).bytes(5000))
    elif kind == "empty":
        path.touch()
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(_Bomb()))
    elif kind == "folder":
        path.mkdir()


@pytest.mark.parametrize(
    "kind",
    ["absent", "pickle", "in a state dict", "beside the state", "old format", "module", "other network", "not finite",
     "number", "cut", "garbage", "empty", "zip", "folder"],
)  # fmt: skip
def test_import_refuses_and_runs_nothing(kind: str) -> None:
    _hostile(kind)
    before = files_in(Path())
    ran = tool("weights", "import", "bad.pth")
    assert ran.code == 2
    assert "bad.pth" in ran.complaint
    assert files_in(Path()) == before


def test_import_into_a_place_that_does_not_work() -> None:
    torch.save(random_state(5), "mine.pth")
    Path("file").touch()
    for target in ("file/x.safetensors", "x.png"):
        ran = tool("weights", "import", "mine.pth", "-o", target)
        assert ran.code in (1, 2)
        assert target in ran.complaint
    assert files_in(Path()) == ["file", "mine.pth"]
    assert tool("weights", "import", "mine.pth", "-o", "made/x.safetensors").code == 0


def test_show_describes_the_shipped_weights() -> None:
    ran = tool("weights", "show")
    assert ran.code == 0
    shown = dict(line.split(None, 1) for line in ran.out.splitlines())
    assert shown["sha256"] == hashlib.sha256(SHIPPED.read_bytes()).hexdigest()
    assert shown["output_curve"] == "log"
    Path("bad.safetensors").write_bytes(SHIPPED.read_bytes()[:-1])
    for path in ("bad.safetensors", "absent.safetensors"):
        failed = tool("weights", "show", path)
        assert failed.code == 2
        assert path in failed.complaint


def test_doctor_sees_what_is_there() -> None:
    ran = tool("doctor")
    assert ran.code == 0, ran.out
    assert torch.__version__.partition("+")[0] in ran.out
    assert np.__version__ in ran.out
    assert hashlib.sha256(SHIPPED.read_bytes()).hexdigest() in ran.out
    assert "GiB" in ran.out
    assert "ocio" in ran.out
    by_rows = next(line for line in ran.out.splitlines() if line.startswith("read by rows"))
    assert all(name in by_rows for name in ("png", "tiff", "openexr", "dpx"))
    assert ("cuda:0" in ran.out) == torch.cuda.is_available()
    assert "FAILED" not in ran.out


def test_doctor_names_what_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("broken.safetensors").write_bytes(b"no weights")
    monkeypatch.setattr("expandnet_ofx.weights.DEFAULT_WEIGHTS", Path("broken.safetensors"))
    ran = tool("doctor", "--ocio", "absent.ocio")
    assert ran.code == 1
    failed = [line for line in ran.out.splitlines() if line.startswith("FAILED")]
    assert any("absent.ocio" in line for line in failed)
    assert any("broken.safetensors" in line for line in failed)
    assert "all well" not in ran.out


def test_doctor_tells_of_a_device_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(_: int) -> None:
        raise torch.AcceleratorError("CUDA error: all CUDA-capable devices are busy or unavailable\nsee the log")

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "mem_get_info", busy)
    ran = tool("doctor")
    assert ran.code == 1
    failed = [line for line in ran.out.splitlines() if line.startswith("FAILED")]
    assert len(failed) == 1
    assert failed[0].endswith("busy or unavailable")
    assert "bfloat16" in ran.out, "what comes after is looked at as well"
    assert "see the log" not in ran.out


def test_unknown_words() -> None:
    for words in (["weigths"], ["weights", "steal"], ["weights", "import"], ["doctor", "--no"]):
        ran = tool(*words)
        assert ran.code == 2
        assert "Traceback" not in ran.err
