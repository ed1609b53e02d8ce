"""Thinkbox Deadline 10: job and plugin info files for its CommandLine plugin, and a script that submits them.

Keys as in the Deadline manual, "Manual Job Submission" and "CommandLine".
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from expandnet_batch.submission.job import FarmJob
from expandnet_ofx.partials import write_text

SUBMIT = '''\
"""Submits the steps of this job to Deadline, each after the one before: python submit.py [KEY=VALUE ...]

Words such as Pool=comp or Priority=60 are added to every step.
"""

import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
STEPS = {steps}


def main():
    before = None
    for step in STEPS:
        with open(os.path.join(HERE, step + ".job"), encoding="utf-8") as file:
            lines = file.read().splitlines() + sys.argv[1:]
        if before:
            lines.append("JobDependencies=" + before)
        with tempfile.NamedTemporaryFile("w", suffix=".job", delete=False, encoding="utf-8") as info:
            info.write("\\n".join(lines) + "\\n")
        command = os.path.join(os.environ.get("DEADLINE_PATH", ""), "deadlinecommand")
        try:
            words = [command, info.name, os.path.join(HERE, step + ".plugin")]
            said = subprocess.run(words, stdout=subprocess.PIPE).stdout.decode(errors="replace")
        except OSError as error:
            sys.exit(command + ": cannot be started (" + str(error.strerror) + "); run this where Deadline's client is")
        finally:
            os.remove(info.name)
        found = re.search("JobID=(\\\\S+)", said)
        if not found:
            sys.exit("deadlinecommand gave no job for " + step + ": " + said)
        before = found.group(1)
        print(step, before)


main()
'''


def write(job: FarmJob, folder: Path, executable: Sequence[str]) -> list[Path]:
    """Write a pair of files per step and submit.py; return their paths, submit.py first."""
    files = [folder / "submit.py"]
    write_text(files[0], SUBMIT.replace("{steps}", repr(list(job.steps))))
    for step in job.steps:
        files += [folder / f"{step}.job", folder / f"{step}.plugin"]
        write_text(files[-2], _lines(_job_info(job, step)))
        write_text(files[-1], _lines(_plugin_info(job, folder, step, executable)))
    return files


def _lines(values: dict[str, str]) -> str:
    return "".join(f"{key}={value}\n" for key, value in values.items())


def _is_plain(word: str) -> bool:
    return all(c.isalnum() or c in "-_." for c in word)


def _job_info(job: FarmJob, step: str) -> dict[str, str]:
    chunked = job.chunked(step)
    info = {
        "Plugin": "CommandLine",
        "Name": f"{job.name} {step}",
        "BatchName": job.name,
        "Frames": job.frame_range if chunked else "0",
        "ChunkSize": str(job.chunk if chunked else 1),
        "OnJobComplete": "Nothing",
    }
    if job.gpu and job.expands(step):
        info["GPUsPerTask"] = "1"
    if step == "expand":
        folders = sorted({str(Path(item.output).parent) for sequence in job.sequences for item in sequence.items})
        info |= {f"OutputDirectory{k}": path for k, path in enumerate(folders)}
    return info


def _plugin_info(job: FarmJob, folder: Path, step: str, executable: Sequence[str]) -> dict[str, str]:
    frames = " --frames <STARTFRAME>-<ENDFRAME>" if job.chunked(step) else ""
    words = [*executable[1:], *FarmJob.words(job.file_on_workers(folder), step)]
    arguments = " ".join(word if _is_plain(word) else f"<QUOTE>{word}<QUOTE>" for word in words)
    return {
        "Executable": executable[0],
        "Arguments": f"{arguments} --progress plain{frames}",
        "Shell": "default",
        "ShellExecute": "False",
        "SingleFramesOnly": "False",
        "StartupDirectory": "",
    }
