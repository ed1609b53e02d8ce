"""Open Job Description: a job bundle, as AWS Deadline Cloud takes it and `openjd run` runs it.

Template schema 2023-09 with the extension TASK_CHUNKING (OpenJobDescription/openjd-specifications, RFC 0001).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from expandnet_batch.submission.job import FarmJob, stepped_text
from expandnet_ofx.errors import UsageError
from expandnet_ofx.partials import write_text

LONGEST_TEXT, LONGEST_NAME = 1024, 128
"""Characters that a text parameter and a name of a job may have."""

WARNING_SECONDS = 30
"""Between the signal that ends a task and its end."""


def write(job: FarmJob, folder: Path, executable: Sequence[str]) -> list[Path]:
    """Write template.yaml, parameter_values.yaml and asset_references.yaml; return their paths.

    Raises:
        UsageError: the frames lie so scattered that a parameter cannot hold them.
    """
    if len(stepped_text(job.frames)) > LONGEST_TEXT:
        raise UsageError(f"{len(job.frames)} frames too scattered for one job of OpenJD; submit them in parts")
    files = {
        "template.yaml": _template(job, executable),
        "parameter_values.yaml": {"parameterValues": [
            {"name": "Frames", "value": stepped_text(job.frames)},
            {"name": "ChunkSize", "value": job.chunk},
        ]},
        "asset_references.yaml": _assets(job, folder),
    }  # fmt: skip
    for name, data in files.items():
        # JSON is YAML as well (YAML 1.2, section 1.3).
        write_text(folder / name, json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    return [folder / name for name in files]


def _template(job: FarmJob, executable: Sequence[str]) -> dict[str, Any]:
    steps = []
    for before, step in zip((None, *job.steps), job.steps, strict=False):
        steps.append(_step(job, executable[1:], step, before))
    return {
        "specificationVersion": "jobtemplate-2023-09",
        "extensions": ["TASK_CHUNKING"],
        # Braces would be filled in.
        "name": job.name.replace("{{", "{ {")[:LONGEST_NAME],
        "parameterDefinitions": [
            {
                "name": "JobFile",
                "type": "PATH",
                "objectType": "FILE",
                "dataFlow": "IN",
                "default": "job.json",
                "description": "What is to be done; analyses and reports go beside it, where all workers reach them.",
            },
            {"name": "Frames", "type": "STRING", "default": stepped_text(job.frames)},
            {"name": "ChunkSize", "type": "INT", "default": job.chunk, "minValue": 1},
            {"name": "Executable", "type": "STRING", "default": executable[0]},
        ],
        "steps": steps,
    }


def _step(job: FarmJob, launched: Sequence[str], step: str, before: str | None) -> dict[str, Any]:
    chunked = job.chunked(step)
    arguments = [*launched, *job.words("{{Param.JobFile}}", step), "--progress", "openjd"]
    arguments += ["--path-map", "{{Session.PathMappingRulesFile}}"]
    if chunked:
        arguments += ["--frames", "{{Task.Param.Frame}}"]
    amounts = []
    if (memory := job.memory_of(step)) is not None:
        amounts.append({"name": "amount.worker.memory", "min": -(-memory // (1 << 20))})
    if job.threads and job.expands(step):
        amounts.append({"name": "amount.worker.vcpu", "min": job.threads})
    if job.gpu and job.expands(step):
        amounts.append({"name": "amount.worker.gpu", "min": 1})
    made: dict[str, Any] = {"name": step.capitalize()}
    if before is not None:
        made["dependencies"] = [{"dependsOn": before.capitalize()}]
    if amounts:
        made["hostRequirements"] = {"amounts": amounts}
    if chunked:
        chunks = {"defaultTaskCount": "{{Param.ChunkSize}}", "rangeConstraint": "CONTIGUOUS"}
        frame = {"name": "Frame", "type": "CHUNK[INT]", "range": "{{Param.Frames}}", "chunks": chunks}
        made["parameterSpace"] = {"taskParameterDefinitions": [frame]}
    ending = {"mode": "NOTIFY_THEN_TERMINATE", "notifyPeriodInSeconds": WARNING_SECONDS}
    run = {"command": "{{Param.Executable}}", "args": arguments, "cancelation": ending}
    made["script"] = {"actions": {"onRun": run}}
    return made


def _assets(job: FarmJob, folder: Path) -> dict[str, Any]:
    items = [item for sequence in job.sequences for item in sequence.items]
    inputs = sorted({path for item in items for path in (item.source, item.mask) if path is not None})
    outputs = sorted({str(Path(item.output).parent) for item in items})
    return {
        "assetReferences": {
            "inputs": {"filenames": [*inputs, str(folder / "job.json")], "directories": []},
            "outputs": {"directories": [*outputs, str(folder)]},
            "referencedPaths": [],
        }
    }
