"""Where results go: each beside its name in a folder, into a pattern, or under one name."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from expandnet_ofx.errors import UsageError
from expandnet_ofx.image_files import PICTURE_SUFFIXES
from expandnet_ofx.patterns import FramePattern, is_pattern
from expandnet_ofx.sequences import MOVIE_SUFFIXES, Source, absolute, frame_number
from expandnet_ofx.systems import place_of

MOST_FRAMES = 10_000_000
"""More than any movie has: a number beyond is a date."""


def place_outputs(sources: Sequence[Source], output: str, *, suffix: str = ".exr") -> list[Path]:
    """Return where each source's result goes.

    Args:
        sources: from `find_sources`.
        output: a folder (results keep their names, sub-folders are mirrored), a pattern with frames, or for one source
            a file name.
        suffix: of files placed into a folder.

    Raises:
        UsageError: two results would get one name, one would replace an input, or a pattern meets a still.
    """
    if is_pattern(output) and not Path(output).is_dir():
        # For movies it is only read again frame by frame, as one that was made of a name.
        FramePattern(output)
        outputs = [_numbered(source, output) for source in _with_frames(sources, output)]
    elif names_a_file(output):
        outputs = [_of_movie(_viewed(Path(output), source), source) for source in sources]
    else:
        base = _mirror_base(sources)
        outputs = [_viewed(Path(output), source) / _mirrored(source, base, suffix) for source in sources]
    refuse_collisions(sources, [[output] for output in outputs])
    return outputs


def _of_movie(path: Path, source: Source) -> Path:
    """Return the name of a result; frames of a movie are numbered before its suffix."""
    return path.with_name(f"{path.stem}.####{path.suffix}") if source.is_movie else path


def names_a_file(output: str) -> bool:
    """Tell whether an output is a file name, of a format that can be written or not, rather than a folder."""
    suffix = Path(output).suffix.lower().lstrip(".")
    return (
        suffix in PICTURE_SUFFIXES | MOVIE_SUFFIXES and not output.endswith(("/", os.sep)) and not Path(output).is_dir()
    )


def _viewed(path: Path, source: Source) -> Path:
    view = source.view or ""
    return Path(str(path).replace("%V", view).replace("%v", view[:1])) if view else path


def _numbered(source: Source, output: str) -> Path:
    pattern = _viewed(Path(output), source)
    if source.is_movie:
        return pattern
    assert source.frame is not None
    return FramePattern(str(pattern)).path(source.frame)


def _with_frames(sources: Sequence[Source], output: str) -> list[Source]:
    """Give frame numbers to numbered files that stand together; a lone file has none to give."""
    groups: dict[tuple[Path, str], int] = {}
    for source in sources:
        key = (source.path.parent, source.series)
        groups[key] = groups.get(key, 0) + 1
    numbered = []
    for source in sources:
        key = (source.path.parent, source.series)
        frame = source.frame
        if frame is None and groups[key] > 1:
            frame = frame_number(source.path)
        if frame is None and not source.is_movie:
            raise UsageError(
                f"{source.path}: a still has no frame number for {output}; write its input as a pattern, or name a folder"
            )
        numbered.append(replace(source, frame=frame))
    return numbered


def _mirror_base(sources: Sequence[Source]) -> Path | None:
    """Return the folder that results are mirrored from, None if there is none."""
    roots = {absolute(source.root) for source in sources}
    if len(roots) == 1:
        return next(iter(roots))
    try:
        return Path(os.path.commonpath(roots))
    except ValueError:
        # On drives of their own nothing is common.
        return None


def _mirrored(source: Source, base: Path | None, suffix: str) -> Path:
    name = _of_movie(Path(f"{source.path.stem}{suffix}"), source)
    folder = absolute(source.path).parent
    if base is None or not folder.is_relative_to(base):
        return name
    return folder.relative_to(base) / name


def refuse_collisions(
    sources: Sequence[Source], files: Sequence[Sequence[Path]], *, also: Iterable[Path | None] = ()
) -> None:
    """Raise `UsageError` if two sources would write one file, or one would replace an input.

    Args:
        files: what is written for each source.
        also: what is read beside the sources, such as masks.
    """
    taken: dict[str, Source] = {}
    read = [*(source.path for source in sources), *(path for path in also if path is not None)]
    inputs = {place_of(path) for path in read}
    for source, written in zip(sources, files, strict=True):
        for path in written:
            real = place_of(path)
            if other := taken.get(real):
                raise _collision(path, other, source)
            if real in inputs:
                raise UsageError(f"{path}: is an input as well; choose another output")
            taken[real] = source
    movies = {path: source for path, source in taken.items() if source.is_movie and is_pattern(path)}
    numbered = _FrameFiles(movies)
    for real, source in taken.items():
        if real not in movies and (pattern := numbered.pattern_of(real)) is not None:
            raise _collision(Path(real), movies[pattern], source)
    for real in inputs:
        if numbered.pattern_of(real) is not None:
            raise UsageError(
                f"{real}: is an input, and a frame of a movie would be written there; choose another output"
            )


def _collision(path: Path, one: Source, other: Source) -> UsageError:
    return UsageError(
        f"{path}: both {one.path} and {other.path} would be written there; name frames such as x.####.exr, "
        "or a folder for each"
    )


class _FrameFiles:
    """Files that the patterns of movies stand for."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns: dict[tuple[str, str, str], tuple[str, FramePattern]] = {}
        for text in patterns:
            pattern = FramePattern(text, made=True)
            self._patterns[(os.path.split(text)[0], *pattern.around)] = text, pattern

    def pattern_of(self, path: str) -> str | None:
        """Return the pattern that a path is a frame of; None for none."""
        folder, name = os.path.split(path)
        for number in re.finditer(r"-?\d+", name) if self._patterns else ():
            text, pattern = self._patterns.get((folder, name[: number.start()], name[number.end() :]), (None, None))
            frame = None if pattern is None else pattern.number(name)
            if frame is not None and frame < MOST_FRAMES:
                return text
        return None
