"""Analyses of the frames of a shot in one file, their maps beside it; chunks of a shot are files of the same kind."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from expandnet_ofx.analysis import Analysis
from expandnet_ofx.dependence import differing
from expandnet_ofx.errors import InputError, OutputError, UsageError
from expandnet_ofx.looks import Look
from expandnet_ofx.partials import MAP_FILE, partial_name, write_text
from expandnet_ofx.sources import Identity
from expandnet_ofx.systems import give_name

SHOT_SCHEMA = 1
"""Version of the file; another one is refused."""

MAPS_ELSEWHERE = "elsewhere"
"""Stands for the maps of a frame of which a file holds the numbers alone."""


@dataclass(frozen=True, kw_only=True)
class ShotFrame:
    """One frame: what it was made from, what it looks like, and its analysis without maps."""

    number: int
    identity: Identity
    look: Look
    numbers: Analysis
    record: Mapping[str, Any]
    """The analysis as stored, with the name and the hash of its maps."""
    path: Path
    """The shot's file, which the maps lie beside."""

    @property
    def key(self) -> str:
        """What tells this analysis from another: the SHA-256 of what is stored."""
        return hashlib.sha256(json.dumps(self.record, sort_keys=True).encode()).hexdigest()

    @property
    def said(self) -> Mapping[str, Any]:
        """The analysis as stored, its maps by their hash alone: chunks name files after themselves."""
        maps = self.record["maps"]
        return {**self.record, "maps": maps["sha256"] if isinstance(maps, dict) else maps}

    @property
    def map_file(self) -> str | None:
        """Name of the file of its maps, None without one."""
        maps = self.record["maps"]
        return Path(str(maps["file"])).name if isinstance(maps, dict) else None

    def load(self) -> Analysis:
        """Return the analysis with its maps; raise `InputError` if they are missing or of another frame."""
        if self.record["maps"] == MAPS_ELSEWHERE:
            raise InputError(
                f"{self.path}: holds numbers alone, for the tasks of its job; run expandnet smooth for a file"
            )
        return Analysis.with_maps(self.record, beside=self.path)


@dataclass(frozen=True, kw_only=True)
class Shot:
    """Frames of a shot, by number."""

    path: Path
    settings: Mapping[str, Any]
    """What the analyses were made with: settings that change them, and the weights."""
    smoothing: Mapping[str, Any] | None
    """How they were made steady; None for analyses as they were made."""
    frames: Mapping[int, ShotFrame]

    def frame(self, number: int | None, identity: Identity) -> ShotFrame:
        """Return a frame; raise `InputError` if the shot does not hold it, or it was made from another picture."""
        found = None if number is None else self.frames.get(number)
        if found is None:
            what = "has no frame number" if number is None else f"frame {number} is not in {self.path}"
            raise InputError(f"{identity.source}: {what}; analyze the shot again, with all of its frames")
        if found.identity.source_sha256 != identity.source_sha256:
            raise InputError(
                f"{identity.source}: another picture than {self.path} was made from; analyze the shot again"
            )
        return found

    @classmethod
    def load(cls, path: Path | str) -> Shot:
        """Read a shot's file; raise `InputError` if it is none, or of another version."""
        path = Path(path)
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            schema = data["schema"] if data.get("kind") == "expandnet-shot" else None
        except FileNotFoundError as error:
            raise InputError(f"{path}: is not there; run expandnet analyze") from error
        except OSError as error:
            raise InputError(
                f"{path}: cannot be read ({error.strerror or error}); check its disk and run again"
            ) from error
        except (ValueError, AttributeError, KeyError) as error:
            raise InputError(f"{path}: not the analysis of a shot ({error}); run expandnet analyze") from error
        if schema != SHOT_SCHEMA:
            raise InputError(f"{path}: shot of schema {schema}, this version reads {SHOT_SCHEMA}; analyze it again")
        try:
            frames = {int(number): _read_frame(int(number), entry, path) for number, entry in data["frames"].items()}
            return cls(path=path, settings=data["settings"], smoothing=data["smoothing"], frames=frames)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{path}: the analysis of the shot is incomplete ({error}); analyze it again") from error


def _read_frame(number: int, entry: Mapping[str, Any], path: Path) -> ShotFrame:
    record = entry["analysis"]
    return ShotFrame(
        number=number,
        identity=Identity(**entry["source"]),
        look=Look.from_dict(entry["look"]),
        numbers=Analysis.from_dict(record, name=f"{path}, frame {number}"),
        record=record,
        path=path,
    )


class ShotWriter:
    """Collects frames of a shot: maps are written at once, and get their names with the shot's own file when all are there.

    Leaving it as a block without `commit` removes what was written.

    Args:
        path: the file; maps go beside it as `NAME.FRAME.HASH.maps.exr`, so that those of an earlier one stay until this
            one is complete.
        settings: what the analyses are made with, see `Shot`.
        smoothing: how they were made steady.
    """

    def __init__(
        self, path: Path | str, settings: Mapping[str, Any], *, smoothing: Mapping[str, Any] | None = None
    ) -> None:
        self.path = Path(path)
        self._head = {
            "kind": "expandnet-shot",
            "schema": SHOT_SCHEMA,
            "settings": dict(settings),
            "smoothing": smoothing,
        }
        self._frames: dict[int, dict[str, Any]] = {}
        self._maps: dict[str, Path] = {}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written ({error.strerror or error})") from error

    def __enter__(self) -> ShotWriter:
        return self

    def __exit__(self, *_: object) -> None:
        for partial in self._maps.values():
            with suppress(OSError):
                partial.unlink()

    def add(self, number: int, identity: Identity, look: Look, analysis: Analysis) -> None:
        """Add a frame; in any order, each once, also in several threads."""
        self._check(number)
        record = analysis.to_dict(map_name=self.path.name)
        if maps := record["maps"]:
            # Named after what they hold, which is known only now.
            maps["file"] = f"{self.path.stem}.{number:04d}.{maps['sha256'][:8]}{MAP_FILE}"
            partial = partial_name(self.path.with_name(maps["file"]))
            self._maps[maps["file"]] = partial
            analysis.save_maps(partial)
        self._keep(number, identity, look, record)

    def add_numbers(self, number: int, identity: Identity, look: Look, numbers: Analysis) -> None:
        """Add a frame whose maps are elsewhere, so that it can be read, but not loaded."""
        self._check(number)
        self._keep(number, identity, look, {**numbers.to_dict(), "maps": MAPS_ELSEWHERE})

    def _check(self, number: int) -> None:
        if number in self._frames:
            raise UsageError(f"{self.path}: frame {number} is there twice; give each frame once")

    def _keep(self, number: int, identity: Identity, look: Look, record: Mapping[str, Any]) -> None:
        self._frames[number] = {"source": asdict(identity), "look": look.to_dict(), "analysis": record}

    def commit(self) -> Shot:
        """Write the shot's file, which appears only when complete, and return the shot."""
        frames = {str(number): self._frames[number] for number in sorted(self._frames)}
        before = _map_files(self.path)
        try:
            self._name_maps()
            write_text(self.path, json.dumps({**self._head, "frames": frames}, indent=1) + "\n")
        except BaseException:
            # A copy of this process may have come to an end meanwhile: what is named now stays.
            self._remove(self._maps.keys() - before - _map_files(self.path))
            raise
        shot = Shot.load(self.path)
        self._remove(before - {frame.map_file for frame in shot.frames.values()})
        return shot

    def _name_maps(self) -> None:
        for name, partial in self._maps.items():
            try:
                give_name(partial, self.path.with_name(name))
            except OSError as error:
                raise OutputError(
                    f"{self.path.with_name(name)}: cannot be written ({error.strerror or error})"
                ) from error

    def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            with suppress(OSError):
                self.path.with_name(name).unlink()


def _map_files(path: Path) -> set[str]:
    """Return the names of the maps that a shot's file holds, as far as there is one."""
    try:
        return {name for frame in Shot.load(path).frames.values() if (name := frame.map_file) is not None}
    except InputError:
        return set()


def merge_shots(shots: Sequence[Shot]) -> dict[int, ShotFrame]:
    """Return the frames of all chunks of a shot.

    Raises:
        UsageError: chunks were made with different settings, hold one frame in two ways, or are steady already.
    """
    frames: dict[int, ShotFrame] = {}
    for shot in shots:
        if shot.smoothing is not None:
            raise UsageError(f"{shot.path}: steady already; give the analyses it was made from")
        if changed := differing(shots[0].settings, shot.settings):
            raise UsageError(f"{shot.path}: made with another {changed} than {shots[0].path}; analyze with the same")
        for number, frame in shot.frames.items():
            before = frames.setdefault(number, frame)
            if before.said != frame.said:
                raise UsageError(f"{shot.path}: frame {number} differs from that of {before.path}; analyze it once")
    return frames


def runs(numbers: Iterable[int]) -> list[list[int]]:
    """Return ascending numbers as runs of consecutive ones."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][-1] + 1:
            found[-1].append(number)
        else:
            found.append([number])
    return found
