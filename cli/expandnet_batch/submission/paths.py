"""Paths of a job on another machine: submitted on Windows, run on Linux, or on another mount."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from expandnet_ofx.errors import InputError, UsageError

_WINDOWS = re.compile(r"^(?:[A-Za-z]:(?:[\\/]|$)|\\\\|//)")


@dataclass(frozen=True)
class PathRule:
    """Paths below one folder lie below another one here."""

    source: str
    destination: str

    def apply(self, path: str) -> str | None:
        """Return a path as it is here, None if it does not lie below the folder."""
        given, folder = path, self.source.rstrip("/\\")
        if _WINDOWS.match(self.source):
            # Windows tells neither case nor the direction of slashes apart.
            given, folder = path.replace("\\", "/"), folder.replace("\\", "/")
            same = given[: len(folder)].lower() == folder.lower()
        else:
            same = given.startswith(folder)
        rest = given[len(folder) :]
        if not same or (rest and rest[0] != "/"):
            return None
        return self.destination.rstrip("/\\") + (rest if _WINDOWS.match(path) else path[len(folder) :])


def parse_rule(text: str) -> PathRule:
    """Read a rule such as `Z:\\shots=/mnt/shots`; raise `UsageError` if it is none."""
    source, equals, destination = text.partition("=")
    if not equals or not source.strip() or not destination.strip():
        raise UsageError(f"--map {text}: write FROM=TO, such as Z:\\shots=/mnt/shots")
    rule = PathRule(source.strip(), destination.strip())
    if not (rule.source.startswith("/") or _WINDOWS.match(rule.source)):
        # The job's paths are absolute, so none would ever fit.
        raise UsageError(f"--map {text}: {rule.source} is not an absolute folder; write it as it is where you submit")
    return rule


def read_rules(path: Path) -> list[PathRule]:
    """Read the rules that a session of Open Job Description gives (schema pathmapping-1.0); an empty file holds none."""
    try:
        text = path.read_text(encoding="utf-8").strip()
        data = json.loads(text) if text else {}
        entries = data.get("path_mapping_rules", [])
        return [PathRule(entry["source_path"], entry["destination_path"]) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not a file of path mapping rules ({error})") from error


def mapped(path: str, rules: Sequence[PathRule]) -> Path:
    """Return a job's path as it is on this machine: the rule with the longest folder decides.

    Raises:
        UsageError: the path is of another system and no rule fits.
    """
    found = ruled(path, rules)
    if found is not None:
        return Path(found)
    if os.name != "nt" and _WINDOWS.match(path) and not path.startswith("//"):
        raise UsageError(f"{path}: is a path of Windows; say where it lies here with --map FROM=TO when submitting")
    return Path(path)


def ruled(path: str, rules: Sequence[PathRule]) -> str | None:
    """Return where the rule with the longest folder puts a path; None if none fits."""
    for rule in sorted(rules, key=lambda rule: -len(rule.source)):
        found = rule.apply(path)
        if found is not None:
            return found
    return None
