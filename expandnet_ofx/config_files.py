"""What an OpenColorIO config consists of: its own file, and the tables that it names."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from expandnet_ofx.hashes import content_hash

ARCHIVE = b"PK"
"""Begins an archive, which holds its tables itself."""

MOST_NESTED = 8
"""Times that variables are looked for in the values of variables."""


def config_record(path: str) -> str:
    """Return what tells a config from another: its name, and a SHA-256 of it and of the tables that it names.

    A path says where they lie on one machine, content what they do. A config is read each time, as OpenImageIO reads it; a
    table once per process, as OpenColorIO keeps it. Which table a name leads to follows its rules: variables of the
    environment, or else of the config, in what is looked for and where (OpenColorIO.h, class Context).
    """
    config = Path(path)
    content = config.read_bytes()
    digest = hashlib.sha256(content)
    for name, table in sorted(_tables(config, content).items()):
        digest.update(f"\0{name}\0{_table_hash(str(table.absolute()))}".encode(errors="surrogateescape"))
    return f"{config.name} sha256:{digest.hexdigest()}"


@lru_cache(maxsize=4096)
def _table_hash(path: str) -> str:
    return content_hash(Path(path))


def _tables(config: Path, content: bytes) -> dict[str, Path]:
    """Return the files that a config names, by what it calls them; those that are not there are left out."""
    if content.startswith(ARCHIVE):
        return {}
    names, search_path, defaults = _parsed(content)
    variables = {**dict(defaults), **os.environ}
    folders = [config.parent / _expanded(part, variables) for part in search_path] or [config.parent]
    found = {}
    for name in names:
        places = [folder / _expanded(name, variables) for folder in folders]
        table = next((place for place in places if place.is_file()), None)
        if table is not None:
            found[name] = table
    return found


@lru_cache(maxsize=8)
def _parsed(content: bytes) -> tuple[frozenset[str], tuple[str, ...], tuple[tuple[str, str], ...]]:
    """Return the names of tables in a config, where they are looked for, and its own variables; none of what is no YAML."""
    import yaml

    # Built with libyaml a large config takes a few tenths of a second.
    loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        root = yaml.compose(content, Loader=loader)
    except (yaml.YAMLError, ValueError):
        root = None
    if not isinstance(root, yaml.MappingNode):
        return frozenset(), (), ()
    top = {key.value: node for key, node in root.value if isinstance(key, yaml.ScalarNode)}
    where, variables = top.get("search_path"), top.get("environment")
    if isinstance(where, yaml.SequenceNode):
        search_path = [item.value for item in where.value if isinstance(item, yaml.ScalarNode)]
    else:
        # Not behind the letter of a drive.
        search_path = re.split(r":(?![\\/])", where.value) if isinstance(where, yaml.ScalarNode) else []
    pairs = variables.value if isinstance(variables, yaml.MappingNode) else ()
    return (
        frozenset(_sources(root)),
        tuple(part for part in search_path if part),
        tuple((str(key.value), str(value.value)) for key, value in pairs),
    )


def _sources(root: Any) -> Iterator[str]:
    """Yield all values under a key `src`, however deep."""
    import yaml

    waiting = [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == "src" and isinstance(value, yaml.ScalarNode):
                    yield value.value
                else:
                    waiting.append(value)


def _expanded(text: str, variables: Mapping[str, str]) -> str:
    """Put the values of variables in: `$NAME`, `${NAME}`, `%NAME%`; of names that begin alike the longest."""
    longest_first = sorted(filter(None, variables), key=len, reverse=True)
    for _ in range(MOST_NESTED):
        before = text
        for name in longest_first:
            for mark in (f"${{{name}}}", f"${name}", f"%{name}%") if name in text else ():
                text = text.replace(mark, variables[name])
        if text == before:
            break
    return text
