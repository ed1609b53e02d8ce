"""The one small value that holds everything global about a plate."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from expandnet_ofx.architecture import FEATURES
from expandnet_ofx.arrays import taken
from expandnet_ofx.errors import InputError
from expandnet_ofx.lamps import BroadAreas
from expandnet_ofx.maps import PlateMap
from expandnet_ofx.partials import MAP_FILE, write_text
from expandnet_ofx.recovered import RecoveredLight
from expandnet_ofx.rise import Rise
from expandnet_ofx.surround import SurroundColor
from expandnet_ofx.swing import MeasuredLight, Swing

SCHEMA = 7
"""Version of the JSON form; a file of another version is refused."""

MOST_ANCHOR = 64
"""Stops: from the least half float to the largest it is 40."""

MAPS: dict[str, tuple[type[PlateMap], tuple[str, ...]]] = {
    "recovered": (RecoveredLight, ("light.R", "light.G", "light.B", "light.wide")),
    "rise": (Rise, ("rise.R", "rise.G", "rise.B")),
    "broad": (BroadAreas, ("broad.Y",)),
    "surround": (SurroundColor, ("surround.RG", "surround.BG", "surround.varianceRG", "surround.varianceBG")),
    "measured": (MeasuredLight, ("measured.Y", "measured.weight")),
    "swing": (Swing, ("swing.Y",)),
}
"""Fields that are maps, with the channels that hold them in the file beside the numbers."""

Triple = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """Everything that rendering a pixel needs to know about the rest of the plate; save it, smooth it, send it."""

    width: int
    height: int
    """Size of the plate in pixels."""
    window: tuple[int, int, int, int]
    """What of it was seen, and what maps are of: x0, y0, x1, y1, see `Plate.window`."""
    latlong: bool
    """Whether its left edge continues its right one."""
    features: tuple[float, ...]
    """The network's global vector, 64 values, moved by the boldness."""
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
    recovered: RecoveredLight | None = field(default=None, hash=False)
    """Light of wide clipped areas, a small map; None where there are none."""
    rise: Rise | None = field(default=None, hash=False)
    """How far light may have risen inside clipped areas, a small map; None where nothing clips or nothing is merged."""
    broad: BroadAreas | None = field(default=None, hash=False)
    """Where clipped areas are too wide for a sun or a lamp, a small map; None where nothing asks for it."""
    surround: SurroundColor | None = field(default=None, hash=False)
    """Color of the light around clipped areas, a small map; None where nothing clips, nothing bright is left, nothing is
    merged, or the plate is gray."""
    measured: MeasuredLight | None = field(default=None, hash=False)
    """What the plate measures, a small map, by which frames of a shot are compared; rendering has no use for it."""
    swing: Swing | None = field(default=None, hash=False)
    """How light changes over time, a small map; None but in steady analyses of a shot."""
    nan: int
    infinite: int
    negative: int
    """Input samples that are NaN, infinite, below 0."""
    settings: Mapping[str, Any] = field(hash=False)
    """Weights and settings that it was made with (`dependence.of_analyses`); it is rendered under no others."""

    def to_json(self, *, map_name: str | None = None) -> str:
        """Return the numbers as one JSON object; floats round-trip exactly, of the maps it holds file name and hash."""
        return json.dumps(self.to_dict(map_name=map_name), indent=1)

    def to_dict(self, *, map_name: str | None = None) -> dict[str, Any]:
        """Return what `to_json` writes as plain data."""
        numbers = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in MAPS}
        own = self._maps()
        # A plate that clips nowhere has none, and no file of them.
        maps = {"file": map_name, "sha256": _maps_hash(own)} if map_name and own else None
        return {"schema": SCHEMA, **numbers, "maps": maps}

    def _maps(self) -> dict[str, PlateMap]:
        return {name: found for name in MAPS if (found := getattr(self, name)) is not None}

    @classmethod
    def from_json(cls, text: str, *, name: object = "analysis", maps: Mapping[str, Any] | None = None) -> Analysis:
        """Read what `to_json` wrote; raise `InputError` naming what does not fit.

        Args:
            name: what messages call it.
            maps: the fields that are maps, as `save` left them beside the numbers.
        """
        return cls.from_dict(_parse(text, name), name=name, maps=maps)

    @classmethod
    def from_dict(
        cls, data: Mapping[str, Any], *, name: object = "analysis", maps: Mapping[str, Any] | None = None
    ) -> Analysis:
        """Read what `to_dict` returned; see `from_json`."""
        data = dict(data)
        if data.get("schema") != SCHEMA:
            raise InputError(
                f"{name}: analysis of schema {data.get('schema')}, this version reads {SCHEMA}; analyze again"
            )
        del data["schema"]
        expected = {each.name for each in fields(cls)} - MAPS.keys()
        if expected | {"maps"} != data.keys() or not _fits(data):
            raise InputError(f"{name}: analysis is incomplete; analyze the plate again")
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items() if k != "maps"}
        return cls(**values, **(maps or {}))

    def save(self, path: Path | str) -> None:
        """Write the numbers as JSON and the maps as half-float EXR beside it; both appear only when complete."""
        path = Path(path)
        map_path = self.save_maps(path.with_name(f"{path.stem}{MAP_FILE}"))
        write_text(path, self.to_json(map_name=map_path.name if map_path else None))

    def save_maps(self, path: Path) -> Path | None:
        """Write the maps as half-float EXR; return the path, None if there are none to write."""
        maps = self._maps()
        if maps:
            _save_maps(path, maps)
        return path if maps else None

    @classmethod
    def load(cls, path: Path | str) -> Analysis:
        """Read what `save` wrote, maps included."""
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read ({error}); analyze the plate again") from error
        return cls.with_maps(_parse(text, path), beside=path)

    @classmethod
    def with_maps(cls, data: Mapping[str, Any], *, beside: Path) -> Analysis:
        """Read what `to_dict` returned, with the maps that it names from the folder of a file."""
        stored = data.get("maps")
        if not stored:
            return cls.from_dict(data, name=beside)
        if not isinstance(stored, dict):
            raise InputError(f"{beside}: not an analysis; analyze the plate again")
        maps = _load_maps(beside.with_name(Path(str(stored.get("file"))).name))
        if _maps_hash(maps) != stored.get("sha256"):
            # Two files cannot be replaced at once: after an interruption they may be of two plates.
            raise InputError(f"{beside}: numbers and maps do not belong together; analyze the plate again")
        return cls.from_dict(data, name=beside, maps=maps)


def _parse(text: str, name: object) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except ValueError as error:
        raise InputError(f"{name}: not an analysis ({error}); analyze the plate again") from error
    if not isinstance(data, dict):
        raise InputError(f"{name}: not an analysis; analyze the plate again")
    return data


def _fits(data: dict[str, Any]) -> bool:
    """Tell whether parsed JSON holds values of the right kind and number."""

    def numbers(value: Any, count: int) -> bool:
        return isinstance(value, list) and len(value) == count and all(map(_is_number, value))

    return (
        numbers(data["features"], FEATURES)
        and numbers(data["window"], 4)
        and isinstance(data["latlong"], bool)
        and all(numbers(data[key], 3) for key in ("low", "high", "clip_levels"))
        and all(
            isinstance(data[key], int) for key in ("width", "height", "anchor_samples", "nan", "infinite", "negative")
        )
        and all(_is_number(data[key]) for key in ("anchor", "scene"))
        and abs(data["anchor"]) <= MOST_ANCHOR
        and 0 <= data["scene"] <= 1
        and (data["output_range"] is None or numbers(data["output_range"], 2))
        and isinstance(data["settings"], dict)
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _save_maps(path: Path, maps: Mapping[str, Any]) -> None:
    from expandnet_ofx.output_options import OutputOptions
    from expandnet_ofx.writer import PartLayout, image_writer

    pixels = np.concatenate([found.values for found in maps.values()], 2)
    channels = [channel for name in maps for channel in MAPS[name][1]]
    layout = PartLayout(
        width=pixels.shape[1],
        height=pixels.shape[0],
        channels=channels,
        formats=("half",) * len(channels),
        attributes={},
    )
    with image_writer(path, [layout], OutputOptions(interop_id="data")) as writer:
        writer.write(0, pixels)
        writer.commit()


def _maps_hash(maps: Mapping[str, PlateMap]) -> str:
    digest = hashlib.sha256()
    for name in sorted(maps):
        digest.update(name.encode() + np.ascontiguousarray(maps[name].values, "<f4").tobytes())
    return digest.hexdigest()


def _load_maps(path: Path) -> dict[str, Any]:
    import OpenImageIO as oiio

    source: Any = oiio.ImageInput.open(str(path))
    pixels = source.read_image("float") if source is not None else None
    stored = list(source.spec().channelnames) if source is not None else []
    if source is not None:
        source.close()
    maps = {}
    for name, (kind, channels) in MAPS.items():
        if pixels is not None and set(channels) <= set(stored):
            maps[name] = kind(taken(pixels, np.array([stored.index(channel) for channel in channels]), 2))
    if not maps:
        oiio.geterror()
        raise InputError(f"{path}: the maps of the analysis are missing or damaged; analyze the plate again")
    return maps
