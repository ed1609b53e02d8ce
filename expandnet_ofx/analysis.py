"""The one small value that holds everything global about a plate."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from expandnet_ofx.errors import InputError, OutputError

SCHEMA = 1
"""Version of the JSON form; a file of a newer version is refused."""

Triple = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """Everything that rendering a pixel needs to know about the rest of the plate; save it, smooth it, send it."""

    width: int
    height: int
    """Size of the plate in pixels."""
    features: tuple[float, ...]
    """The network's global vector, 64 values."""
    low: Triple
    high: Triple
    """What the network sees as 0 and 1, per channel, in its own encoding."""
    clip_levels: Triple
    """Code that each channel clips at, as a share of full scale."""
    anchor: float
    """Gain in stops from predicted light to display-linear light of the plate."""
    anchor_samples: int
    """Samples the anchor was measured on; 0 means that the plate offered none."""
    scene: float
    """0 for a page (nearly all of it white, so white proves no light), 1 for a scene; scales the gain."""
    output_range: tuple[float, float] | None
    """Smallest and largest prediction, for relative output; None otherwise."""
    nan: int
    infinite: int
    negative: int
    """Input samples that are NaN, infinite, below 0."""
    weights: str
    """SHA-256 of the weights."""

    def to_json(self) -> str:
        """Return the analysis as one JSON object; floats round-trip exactly."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1)

    @classmethod
    def from_json(cls, text: str, *, name: object = "analysis") -> Analysis:
        """Read what `to_json` wrote; raise `InputError` naming what does not fit."""
        try:
            data: dict[str, Any] = json.loads(text)
            schema = data.pop("schema", None)
        except (ValueError, AttributeError, TypeError) as error:
            raise InputError(f"{name}: not an analysis ({error}); analyze the plate again") from error
        if schema != SCHEMA:
            raise InputError(f"{name}: analysis of schema {schema}, this version reads {SCHEMA}; analyze again")
        if {field.name for field in fields(cls)} != data.keys() or len(data["features"]) != 64:
            raise InputError(f"{name}: analysis is incomplete; analyze the plate again")
        lists = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
        return cls(**lists)

    def save(self, path: Path | str) -> None:
        """Write the JSON form; the file appears under its name only when complete."""
        path = Path(path)
        partial = path.with_name(f".{path.stem}.{os.getpid()}.partial.json")
        try:
            partial.write_text(self.to_json(), encoding="utf-8")
            partial.replace(path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error

    @classmethod
    def load(cls, path: Path | str) -> Analysis:
        """Read a file that `save` wrote."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read ({error}); analyze the plate again") from error
        return cls.from_json(text, name=path)
