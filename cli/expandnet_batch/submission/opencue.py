"""OpenCue: an outline, a Python script that pycuerun loads (OpenCue, pyoutline)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from expandnet_batch.submission.job import FarmJob
from expandnet_ofx.partials import write_text

OUTLINE = '''\
"""Outline of this job. Launch it with: pycuerun {file}"""

from outline.modules.shell import PyEval

# Runs a chunk as one command: its frames share the network that is loaded once.
CODE = """
own = ",".join(map(str, frames))
self.system(list(map(lambda word, own=own: own if word == "FRAMES" else word, {command})))
"""

LAYERS = {layers}

before = None
for layer in LAYERS:
    command = layer.pop("command")
    task = PyEval(code=CODE.replace("{command}", repr(command)), **layer)
    if before is not None:
        task.depend_all(before)
    before = task
'''


def write(job: FarmJob, folder: Path, executable: Sequence[str]) -> list[Path]:
    """Write the outline, named as the job: pycuerun names a job after its file; return its path."""
    path = folder / outline_name(job)
    layers = (
        "[\n" + "".join(f"    {layer!r},\n" for layer in (_layer(job, s, folder, executable) for s in job.steps)) + "]"
    )
    write_text(path, OUTLINE.replace("{file}", path.name).replace("{layers}", layers))
    return [path]


def outline_name(job: FarmJob) -> str:
    """Return the name of the outline's file."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in job.name) + ".py"


def _layer(job: FarmJob, step: str, folder: Path, executable: Sequence[str]) -> dict[str, Any]:
    chunked = job.chunked(step)
    command = [*executable, *job.words(job.file_on_workers(folder), step), "--progress", "plain"]
    layer: dict[str, Any] = {
        "name": step,
        "command": [*command, "--frames", "FRAMES"] if chunked else command,
        "range": job.frame_range if chunked else str(job.frames[0]),
        "chunk": job.chunk if chunked else 1,
        "threadable": True,
    }
    if (memory := job.memory_of(step)) is not None:
        layer["memory"] = f"{-(-memory // (1 << 30))}g"
    if job.threads and job.expands(step):
        layer["cores"] = job.threads
    if job.gpu and job.expands(step):
        layer |= {"gpus": 1, "gpu_memory": "4g"}
    return layer
