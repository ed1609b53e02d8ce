"""What an OpenColorIO config consists of: its own file, and the tables that it names."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from expandnet_ofx.hashes import content_hash

_HEADER = b"ocio_profile_version"
_TABLE = re.compile(r"\bsrc:[ \t]*(\"[^\"\n]*\"|'[^'\n]*'|(?:\$\{\w+\}|[^,}\n])+)")
_SEARCH_PATH = re.compile(r"^search_path:(.*(?:\n[ \t]*- .*)*)", re.MULTILINE)
_ENVIRONMENT = re.compile(r"^environment:[ \t]*(\{[^}]*\}|(?:\n[ \t]+\S.*)*)", re.MULTILINE)
_VARIABLE = re.compile(r"\$\{(\w+)\}|\$(\w+)|%(\w+)%")


@lru_cache(maxsize=8)
def config_record(path: str) -> str:
    """Return what tells a config from another: its name, and a SHA-256 of it and of the tables that it names.

    A path says where they lie on one machine, content what they do. Asked once per process, since OpenColorIO reads them
    once as well. Which table a name leads to follows its rules: variables of the environment, or else of the config, in
    what is looked for and where (https://opencolorio.readthedocs.io/en/latest/guides/authoring/overview.html).
    """
    digest, config = content_hash(Path(path)), Path(path)
    tables = _tables(config)
    if tables:
        said = hashlib.sha256(digest.encode())
        for name, table in sorted(tables.items()):
            said.update(f"\0{name}\0{content_hash(table)}".encode())
        digest = said.hexdigest()
    return f"{config.name} sha256:{digest}"


def _tables(config: Path) -> dict[str, Path]:
    """Return the files that a config names, by what it calls them; those that are not there are left out."""
    content = config.read_bytes()
    if not content.lstrip().startswith(_HEADER):
        # An archive holds its tables itself.
        return {}
    text = content.decode(errors="replace")
    variables = {**_defaults(text), **os.environ}
    folders = [config.parent / part for part in _search_path(text, variables)] or [config.parent]
    found = {}
    for name in {_plain(match) for match in _TABLE.findall(text)}:
        places = [folder / _expanded(name, variables) for folder in folders]
        table = next((place for place in places if place.is_file()), None)
        if table is not None:
            found[name] = table
    return found


def _search_path(text: str, variables: Mapping[str, str]) -> Iterator[str]:
    for match in _SEARCH_PATH.findall(text):
        for part in re.split(r"[:,\[\]]|\n[ \t]*- ", match):
            if name := _plain(part):
                yield _expanded(name, variables)


def _defaults(text: str) -> dict[str, str]:
    """Return the variables that a config gives values to."""
    section = _ENVIRONMENT.search(text)
    pairs = re.findall(r"(\w+):[ \t]*([^,}\n]*)", section[1]) if section else []
    return {name: _plain(value) for name, value in pairs}


def _plain(text: str) -> str:
    return text.strip().strip("\"'")


def _expanded(text: str, variables: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda name: variables.get(name[1] or name[2] or name[3], name[0]), text)
