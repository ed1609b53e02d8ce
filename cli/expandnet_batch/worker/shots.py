"""What requests say of shots: their frames, how they are made steady, and whether that is done already."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from expandnet_batch.worker.protocol import ProtocolError, Request, is_whole
from expandnet_ofx.convert import Converter
from expandnet_ofx.dependence import differing
from expandnet_ofx.errors import InputError
from expandnet_ofx.shots import Shot
from expandnet_ofx.steady import Steadying


def still_of(
    target: Path,
    frames: Sequence[tuple[int, Path]],
    converter: Converter,
    how: Steadying,
    progress: Callable[[float, str], None],
) -> Shot | None:
    """Return the steady shot that is there already, if it is whole and was made of these pictures in this way."""
    try:
        shot = Shot.load(target)
        if shot.smoothing is None or differing({**how.record, "shots": shot.smoothing["shots"]}, shot.smoothing):
            return None
        if differing(shot.settings, converter.expander.analyses_depend_on) or shot.frames.keys() != dict(frames).keys():
            return None
        for done, (number, path) in enumerate(frames):
            progress(done / len(frames), "looking at what is analyzed")
            if shot.frames[number].identity != converter.identify(path):
                return None
            shot.frames[number].load()
    except InputError:
        return None
    return shot


def told_of(target: Path, shot: Shot, *, kept: bool) -> dict[str, Any]:
    """Return what a host hears of a shot; `kept` if it was there already."""
    assert shot.smoothing is not None
    return {"output": str(target), "frames": len(shot.frames), "shots": shot.smoothing["shots"], "kept": kept}


def frames_of(request: Request) -> Sequence[tuple[int, Path]]:
    """Return numbers and pictures of a shot's frames; raise `ProtocolError` if the request names none."""
    given = request.values.get("frames")
    if not isinstance(given, list) or not given or len(given) > 100_000:
        raise ProtocolError("analyze: needs frames, a list of [number, path]")
    found = []
    for item in given:
        if not (isinstance(item, list) and len(item) == 2 and is_whole(item[0]) and isinstance(item[1], str)):
            raise ProtocolError("analyze: frames must be a list of [number, path]")
        found.append((item[0], request.path_in("frames", item[1])))
    if len({number for number, _ in found}) < len(found):
        raise ProtocolError("analyze: a frame is there twice")
    return found


def steadying_of(request: Request) -> Steadying:
    """Return how a request wants a shot made steady; raise `ProtocolError` or `UsageError` if that cannot be."""
    how = request.mapping("steady")
    if unknown := how.keys() - {"window", "lock_frame", "cuts"}:
        raise ProtocolError(f"analyze: steady knows window, lock_frame and cuts, not {sorted(unknown)[0]!r}")
    for name in ("window", "lock_frame"):
        if how.get(name) is not None and not is_whole(how[name]):
            raise ProtocolError(f"analyze: steady {name} must be a whole number")
    cuts = Request(request.id, "analyze", how).integers("cuts")
    chosen = {name: how[name] for name in ("window", "lock_frame") if how.get(name) is not None}
    return Steadying(**chosen, cuts=cuts)


def steady_shot(given: Mapping[str, Any]) -> Shot:
    """Return the steady shot that a request names; raise `ProtocolError` or `InputError` if it is none."""
    if not isinstance(given.get("shot"), str) or not is_whole(given.get("frame")):
        raise ProtocolError("render: analysis needs shot, a path, and frame, a number")
    shot = Shot.load(given["shot"])
    if shot.smoothing is None:
        raise InputError(f"{shot.path}: analyses are not steady yet; ask for analyze first")
    return shot
