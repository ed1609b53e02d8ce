"""Results of single pictures, kept so that only what is new or asked for again is measured."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from expandnet_training.cases import Case

from expandnet_comparison.choices import Choices
from expandnet_comparison.methods import Row
from expandnet_ofx.partials import new_file

METRIC_SOURCES = (
    "expandnet_comparison.quality",
    "expandnet_comparison.hdrvdp",
    "expandnet_training.pu",
    "expandnet_training.jod",
)


class Store:
    """One JSON file per case: rows by what they depend on, metrics by theirs."""

    def __init__(self, folder: Path, case: Case, choices: Choices) -> None:
        digest = hashlib.sha256(case.plate.tobytes() + case.truth.tobytes() + repr(choices).encode())
        digest.update(_sources(("expandnet_comparison.protocol", *METRIC_SOURCES)).encode())
        self.path = (
            folder / f"{case.place}.{case.maker.replace(' ', '')}.{case.response}.{digest.hexdigest()[:12]}.json"
        )
        self._held: dict[str, Any] = _read(self.path)

    def get(self, row: Row) -> dict[str, Any]:
        """Return what is known of a row: `seconds`, and under `display` and `scene` metrics by name."""
        held: dict[str, Any] = self._held.setdefault(_key(row), {"seconds": None, "display": {}, "scene": {}})
        return held

    def made_from(self, rows: Sequence[Row]) -> list[str]:
        """Return what tells the results of these rows from others: picture, choices and programs, then each row."""
        return [self.path.name, *(_key(row) for row in rows)]

    def save(self) -> None:
        """Write the file; it appears only when complete."""
        with new_file(self.path) as partial:
            partial.write_text(json.dumps(self._held, indent=1) + "\n", encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}


def _key(row: Row) -> str:
    digest = hashlib.sha256(f"{row.identity} {_sources(row.sources)}".encode()).hexdigest()
    return f"{row.name} {digest[:12]}"


@lru_cache(maxsize=64)
def _sources(names: tuple[str, ...]) -> str:
    """Return a hash of the programs of packages or modules, so that what changed is measured again."""
    digest = hashlib.sha256()
    for path in (path for name in names for path in _files(name)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _files(name: str) -> Iterator[Path]:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(name)
    origin = Path(spec.origin)
    yield from sorted(origin.parent.rglob("*.py")) if origin.name == "__init__.py" else [origin]
