"""Inputs and outputs of a batch: files, patterns, globs, folders, views and frames become pairs of paths.

Frame notation is that of the field, see `patterns`; ranges are such as `1001-1100x2`. In a range `:` means step too, as
render farms write it.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from expandnet_ofx.errors import UsageError
from expandnet_ofx.images import PICTURE_SUFFIXES
from expandnet_ofx.partials import is_by_product
from expandnet_ofx.patterns import FramePattern, is_pattern

MOVIE_SUFFIXES = frozenset(("mov", "mp4", "m4v", "mkv", "mxf", "avi", "webm", "mpg", "mpeg", "ts", "ogv", "wmv"))

_GLOB = re.compile(r"[*?\[]")
_NUMBER = re.compile(r"(\d+)(?=\.[^.]+$)")


@dataclass(frozen=True, kw_only=True)
class Source:
    """One input picture, or one movie."""

    path: Path
    frame: int | None
    """Frame number where the notation gives one; None for stills."""
    root: Path
    """Folder that mirrored sub-folders are counted from."""
    view: str | None = None
    notation: str | None = None
    """What was asked for, where it names views: those of one picture share it."""
    udim: bool = False
    """The number is that of a tile of one picture, not of a frame."""
    missing: bool = False
    """The frame belongs to the range but is not on disk."""
    found: bool = False
    """It was not named, but lay in a folder that was."""

    @property
    def is_movie(self) -> bool:
        """True for a movie, which holds many frames."""
        return self.path.suffix.lower().lstrip(".") in MOVIE_SUFFIXES


def parse_frames(text: str, *, option: str = "--frames") -> list[int]:
    """Expand frame ranges such as `1001-1010,1020-1030x2` or `1001-1100:2`; raise `UsageError` if malformed."""
    from fileseq.exceptions import ParseException
    from fileseq.frameset import FrameSet

    try:
        frames = [int(frame) for frame in FrameSet(text.replace(":", "x"))]
        if not frames or "." in text:
            raise ValueError(text)
        return frames
    except (ParseException, ValueError, TypeError) as error:
        raise UsageError(f"{option} {text}: not a frame range; write 1001-1100, 1001-1100x2 or 1,5,9") from error


def find_sources(arguments: Sequence[str], *, frames: str | None = None, views: Sequence[str] = ()) -> list[Source]:
    """Turn command-line inputs into sources, in the order given and by frame within a pattern.

    Args:
        arguments: files, patterns, globs that the shell did not expand, folders (searched with their sub-folders).
        frames: ranges that patterns are expanded to, and that numbered files are reduced to.
        views: names that `%V` stands for.

    Raises:
        UsageError: nothing matches, or a notation is malformed.
    """
    wanted = parse_frames(frames) if frames is not None else None
    sources: list[Source] = []
    for argument in arguments:
        for view, text in _views(argument, views):
            try:
                found = list(_expand(text, wanted, view))
                # A list of files that a shell made of a glob is reduced to the range like the glob itself.
                reduced = wanted is not None and Path(text).is_file()
            except OSError as error:
                raise UsageError(
                    f"{error.filename or text}: cannot be looked at ({error.strerror or error}); check permissions"
                ) from error
            if not found and not reduced:
                raise UsageError(f"{text}: nothing matches; check the path" + (" and --frames" if wanted else ""))
            shared = argument if view else None
            sources += [replace(source, notation=shared, udim="<UDIM>" in Path(argument).name) for source in found]
    unique: dict[Path, Source] = {}
    for source in sources:
        unique.setdefault(_absolute(source.path), source)
    if not unique:
        none = "no input; name files, patterns or folders"
        raise UsageError(f"{arguments[0]}: nothing matches; check --frames" if arguments else none)
    return list(unique.values())


def _views(argument: str, views: Sequence[str]) -> Iterator[tuple[str | None, str]]:
    if "%V" not in argument and "%v" not in argument:
        yield None, argument
        return
    if not views:
        raise UsageError(f"{argument}: %V stands for views; name them with --views left,right")
    for view in views:
        yield view, argument.replace("%V", view).replace("%v", view[:1])


def _expand(text: str, wanted: list[int] | None, view: str | None) -> Iterator[Source]:
    path = Path(text)
    if path.is_dir() and not _is_picture(path):
        files = sorted(
            file for file in _below(path) if _is_picture(file) and file.is_file() and not is_by_product(file)
        )
        yield from (replace(source, found=True) for source in _filtered(files, wanted, path, view))
    elif os.path.lexists(text):
        yield from _filtered([path], wanted, path.parent, view)
    elif is_pattern(text):
        yield from _pattern(text, wanted, view)
    elif _GLOB.search(text):
        files = sorted(Path(name) for name in glob.glob(text, recursive=True))  # noqa: PTH207 - absolute globs too
        files = [file for file in files if not is_by_product(file) and (_is_picture(file) or not file.is_dir())]
        yield from _filtered(files, wanted, _glob_root(path), view)
    else:
        raise UsageError(f"{text}: does not exist; check the path")


def _below(folder: Path) -> Iterator[Path]:
    """Yield all files below a folder, through links to folders too; each folder once, by its own name if it has one here."""
    seen: set[str] = set()
    waiting, own = [folder], os.path.realpath(folder)

    def refuse(error: OSError) -> None:
        # What cannot be entered below it, such as lost+found, is nobody's plates.
        if error.filename == str(folder):
            raise error

    for start in waiting:
        place = os.path.realpath(start)
        if place in seen or (place != own and own.startswith(place.rstrip(os.sep) + os.sep)):
            continue
        for where, folders, names in os.walk(start, onerror=refuse):
            place = os.path.realpath(where)
            if place in seen:
                folders.clear()
                continue
            seen.add(place)
            # Linked ones come last, in a fixed order: it decides by which name a folder is reached.
            folders.sort()
            waiting += [path for name in folders if (path := Path(where, name)).is_symlink()]
            yield from (Path(where, name) for name in names)


def _absolute(path: Path) -> Path:
    """Return an absolute path without `..`; links keep their own names, so that results are mirrored as asked."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links


def _glob_root(path: Path) -> Path:
    """Return the folder before the first wildcard, from which sub-folders are mirrored."""
    while _GLOB.search(str(path)):
        path = path.parent
    return path


def _is_picture(path: Path) -> bool:
    suffix = path.suffix.lower().lstrip(".")
    return (suffix in PICTURE_SUFFIXES or suffix in MOVIE_SUFFIXES) and not path.name.startswith(".")


def _filtered(files: Iterable[Path], wanted: list[int] | None, root: Path, view: str | None) -> Iterator[Source]:
    numbers = None if wanted is None else set(wanted)
    for file in files:
        frame = frame_number(file)
        movie = file.suffix.lower().lstrip(".") in MOVIE_SUFFIXES
        if numbers is None or movie or frame in numbers:
            # Without frame syntax a number is part of a name: still_v003.png is a still.
            yield Source(path=file, frame=frame if numbers is not None and not movie else None, root=root, view=view)


def frame_number(path: Path) -> int | None:
    """Return the last number of a file name before its suffix, None if there is none."""
    match = _NUMBER.search(path.name)
    return int(match.group(1)) if match else None


def without_number(path: Path) -> str:
    """Return a file name whose last number is replaced by `#`, so that frames of one sequence share it."""
    return _NUMBER.sub("#", path.name)


def _pattern(text: str, wanted: list[int] | None, view: str | None) -> Iterator[Source]:
    pattern = FramePattern(text)
    frames = wanted or pattern.frames
    if not frames:
        present = pattern.on_disk()
        # Frames follow each other, tiles need not.
        tiles = not present or "<UDIM>" in Path(text).name
        frames = present if tiles else list(range(min(present), max(present) + 1))
    for frame in frames:
        path = pattern.path(frame)
        yield Source(path=path, frame=frame, root=path.parent, view=view, missing=not path.exists())


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
    outputs = placed(sources, output, suffix=suffix)
    refuse_collisions(sources, [[output] for output in outputs])
    return outputs


def placed(sources: Sequence[Source], output: str, *, suffix: str = ".exr") -> list[Path]:
    """Return what `place_outputs` does, whatever lies there or goes there as well."""
    if is_pattern(output) and not Path(output).is_dir():
        outputs = [_numbered(source, output) for source in _with_frames(sources, output)]
    elif _names_a_file(output):
        outputs = [_of_movie(_viewed(Path(output), source), source) for source in sources]
    else:
        base = _mirror_base(sources)
        outputs = [_viewed(Path(output), source) / _mirrored(source, base, suffix) for source in sources]
    return outputs


def _of_movie(path: Path, source: Source) -> Path:
    """Return the name of a result; frames of a movie are numbered before its suffix."""
    return path.with_name(f"{path.stem}.####{path.suffix}") if source.is_movie else path


def _names_a_file(output: str) -> bool:
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
        key = (source.path.parent, without_number(source.path))
        groups[key] = groups.get(key, 0) + 1
    numbered = []
    for source in sources:
        key = (source.path.parent, without_number(source.path))
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
    """Return the folder that results are mirrored from, None if all sources lie in one folder."""
    roots = {_absolute(source.root) for source in sources}
    if len(roots) == 1:
        return next(iter(roots))
    return Path(os.path.commonpath(roots))


def _mirrored(source: Source, base: Path | None, suffix: str) -> Path:
    name = _of_movie(Path(f"{source.path.stem}{suffix}"), source)
    folder = _absolute(source.path).parent
    if base is None or not folder.is_relative_to(base):
        return name
    return folder.relative_to(base) / name


def refuse_collisions(sources: Sequence[Source], files: Sequence[Sequence[Path]]) -> None:
    """Raise `UsageError` if two sources would write one file, or one would replace an input.

    Args:
        files: what is written for each source.
    """
    taken: dict[str, Source] = {}
    inputs = {os.path.realpath(source.path) for source in sources}
    for source, written in zip(sources, files, strict=True):
        for path in written:
            real = os.path.realpath(path)
            if other := taken.get(real):
                raise UsageError(
                    f"{path}: both {other.path} and {source.path} would be written there; name frames such as x.####.exr, "
                    "or a folder for each"
                )
            if real in inputs:
                raise UsageError(f"{path}: is an input as well; choose another output")
            taken[real] = source
