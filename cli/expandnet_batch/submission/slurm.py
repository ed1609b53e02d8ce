"""Slurm: one batch script per step, and one that submits them after each other.

The index of an array is that of a chunk, not of a frame: Slurm's largest index is 1000 unless a site raises
MaxArraySize (slurm.conf(5)), and frames begin at 1001.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from expandnet_batch.submission.job import FarmJob
from expandnet_ofx.partials import write_text

ARRAY = 1000
"""Most tasks of one array."""

WARNING_SECONDS = 60
"""Between the signal before a time limit and the limit."""


def write(job: FarmJob, folder: Path, executable: Sequence[str]) -> list[Path]:
    """Write the scripts of all steps and submit.sh; return their paths, submit.sh first."""
    scripts = [folder / "submit.sh"]
    write_text(scripts[0], _submit(job), executable=True)
    for step in job.steps:
        scripts.append(folder / f"{step}.sbatch")
        write_text(scripts[-1], _script(job, step, folder, executable), executable=True)
    return scripts


def _script(job: FarmJob, step: str, folder: Path, executable: Sequence[str]) -> str:
    chunked = job.chunked(step)
    log = "%x.%A_%a.log" if chunked else "%x.%j.log"
    lines = [
        "#!/bin/sh",
        f"#SBATCH --job-name={_word(job.name)}.{step}",
        # Of the folder that submit.sh goes to: Slurm takes quotes and % in a path for its own.
        f"#SBATCH --output=logs/{log}",
        f"#SBATCH --signal=B:TERM@{WARNING_SECONDS}",
        "#SBATCH --requeue",
    ]
    if (memory := job.memory_of(step)) is not None:
        lines.append(f"#SBATCH --mem={-(-memory // (1 << 20))}M")
    if job.threads and job.expands(step):
        lines.append(f"#SBATCH --cpus-per-task={job.threads}")
    if job.gpu and job.expands(step):
        lines.append("#SBATCH --gres=gpu:1")
    words = [*executable, *job.words(job.file_on_workers(folder), step), "--progress", "plain"]
    command = " ".join(shlex.quote(word) for word in words)
    if chunked:
        command += ' --chunk "$((SLURM_ARRAY_TASK_ID + ${1:-0}))"'
    # exec: signals of the farm reach the program itself.
    return "\n".join([*lines, "", f"exec {command}", ""])


def _submit(job: FarmJob) -> str:
    lines = [
        "#!/bin/sh",
        f"# Submits {_word(job.name)}: each step begins when the one before has ended well, and is cancelled when it has not.",
        "# Options for sbatch go on its command line, such as: sh submit.sh --partition=gpu --time=2:00:00",
        "set -eu",
        'cd "$(dirname "$0")"',
        "mkdir -p logs",
        'after=""',
    ]
    count = len(job.chunks)
    for step in job.steps:
        starts = range(0, count, ARRAY) if job.chunked(step) else [None]
        lines.append('ids=""')
        for start in starts:
            array = "" if start is None else f"--array=0-{min(ARRAY, count - start) - 1} "
            # The first chunk of an array is a word of the script: the environment is the caller's to choose.
            script = f"{step}.sbatch {start}" if start else f"{step}.sbatch"
            # Of an option that is given twice the last counts, and the order of steps is ours.
            lines.append(f'id=$(sbatch --parsable "$@" $after {array}{script})')
            lines.append('ids="$ids:${id%%;*}"')
        lines.append(f'echo "{step}$ids"')
        lines.append('after="--dependency=afterok$ids --kill-on-invalid-dep=yes"')
    return "\n".join([*lines, ""])


def _word(text: str) -> str:
    """Return a name that needs no quotes."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in text)
