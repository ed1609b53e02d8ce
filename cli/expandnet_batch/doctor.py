"""`expandnet doctor`: what this machine offers, and whether the product works on it."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

from expandnet_ofx.errors import ExpandNetError

Say = Callable[[str], Any]

PACKAGES = (
    "expandnet-ofx",
    "numpy",
    "torch",
    "openimageio",
    "openvino",
    "av",
    "click",
    "fileseq",
    "pillow",
    "safetensors",
)


def examine(say: Say, *, ocio: str | None = None) -> int:
    """Print what is there; return 0 if the network runs, 1 if something that is needed fails."""
    say(f"python          {platform.python_version()} on {platform.system()} {platform.machine()}")
    for package in PACKAGES:
        try:
            say(f"{package:15} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            say(f"{package:15} not installed")
    say(f"processors      {os.cpu_count()}, memory {_memory()}")
    checks = [_devices, _bfloat16, lambda s: _color(s, ocio), _formats, _weights, _network]
    failures = [check for check in checks if not _passes(check, say)]
    say("all well" if not failures else f"{len(failures)} checks failed")
    return 1 if failures else 0


def _passes(check: Callable[[Say], None], say: Say) -> bool:
    try:
        check(say)
    except (ExpandNetError, ImportError, OSError, RuntimeError) as error:
        # Of a device many lines, of which the first says what it is.
        say("FAILED          " + str(error).partition("\n")[0])
        return False
    return True


def _memory() -> str:
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return "unknown"
    return f"{total / 2**30:.1f} GiB, {free / 2**30:.1f} GiB free"


def _devices(say: Say) -> None:
    import torch

    say(f"torch threads   {torch.get_num_threads()}")
    if not torch.cuda.is_available():
        say("cuda            no device that PyTorch can use")
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        name = torch.cuda.get_device_name(index)
        say(f"cuda:{index}          {name}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free")


def _bfloat16(say: Say) -> None:
    """Time the widest layer in both types: whether `--precision mixed` pays is a property of the processor."""
    import torch

    def seconds(kind: torch.dtype) -> float:
        x = torch.rand(1, 64, 128, 128).to(kind).to(memory_format=torch.channels_last)
        weight = torch.rand(64, 64, 3, 3).to(kind).to(memory_format=torch.channels_last)
        times = []
        for _ in range(5):
            started = time.perf_counter()
            torch.nn.functional.conv2d(x, weight)
            times.append(time.perf_counter() - started)
        return min(times)

    ratio = seconds(torch.float32) / seconds(torch.bfloat16)
    verdict = "pays" if ratio > 1.2 else "does not pay"
    say(f"bfloat16        {ratio:.1f} times the speed of float32: --precision mixed {verdict} on this processor")


def _color(say: Say, ocio: str | None) -> None:
    from expandnet_ofx.color import describe_config

    say(f"ocio            {describe_config(ocio)}")


def _formats(say: Say) -> None:
    import OpenImageIO as oiio

    from expandnet_ofx.image_files import ROW_FORMATS

    formats = oiio.get_string_attribute("input_format_list").split(",")
    say(f"read by rows    {', '.join(name for name in formats if name in ROW_FORMATS)}")
    say(f"read whole      {', '.join(name for name in formats if name not in (*ROW_FORMATS, 'null', 'term'))}")


def _weights(say: Say) -> None:
    from expandnet_ofx.weights import load_weights

    loaded = load_weights()
    say(f"weights         {loaded.contract.name}, sha256:{loaded.sha256}")


def _network(say: Say) -> None:
    import numpy as np

    from expandnet_ofx.expander import Expander

    plate = np.linspace(0, 255, 256 * 256 * 3).astype(np.uint8).reshape(256, 256, 3)
    expander = Expander()
    started = time.perf_counter()
    light = expander(plate)
    seconds = time.perf_counter() - started
    say(f"network         256x256 in {seconds:.2f} s on {expander.engine.device}, brightest value {light.max():.3g}")
