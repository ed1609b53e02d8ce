"""Inputs of a batch: files, patterns, globs, folders, views and frames become sources.

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
from expandnet_ofx.image_files import PICTURE_SUFFIXES
from expandnet_ofx.partials import is_by_product
from expandnet_ofx.patterns import FramePattern, is_pattern

MOVIE_SUFFIXES = frozenset(("mov", "mp4", "m4v", "mkv", "mxf", "avi", "webm", "mpg", "mpeg", "ts", "ogv", "wmv"))

MOST_ABSENT = 10_000
"""Frames that a sequence may lack by itself: a date in a name is no frame number."""

_GLOB = re.compile(r"[*?\[]")
# A dash is a sign behind a dot or an underscore alone: shot-1001.png is frame 1001.
_NUMBER = re.compile(r"((?:(?<=[._])-)?\d+)(?=\.[^.]+$)")


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
    """What was asked for, where it names views, with what tells a folder's sequences: the views of one share it."""
    udim: bool = False
    """The number is that of a tile of one picture, not of a frame."""
    missing: bool = False
    """The frame belongs to the range but is not on disk."""
    found: bool = False
    """It was not named, but lay in a folder that was."""
    pattern: str | None = None
    """File name with a mark, where the notation says that the frame number is not the last one of the name."""

    @property
    def series(self) -> str:
        """Name that the frames of a sequence share; a movie's own."""
        return self.path.name if self.is_movie else self.pattern or without_number(self.path)

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
        if not frames or "." in text or re.search(r"\d\s+\d", text):
            raise ValueError(text)
        return frames
    except (ParseException, ValueError, TypeError) as error:
        raise UsageError(f"{option} {text}: not a frame range; write 1001-1100, 1001-1100x2 or 1,5,9") from error


def find_sources(
    arguments: Sequence[str], *, frames: str | None = None, views: Sequence[str] = (), sparse: bool = False
) -> list[Source]:
    """Turn command-line inputs into sources, in the order given and by frame within a pattern.

    Args:
        arguments: files, patterns, globs that the shell did not expand, folders (searched with their sub-folders).
        frames: ranges that patterns are expanded to, and that numbered files are reduced to.
        views: names that `%V` stands for.
        sparse: frames that are there may be far apart; else such a pattern is refused.

    Raises:
        UsageError: nothing matches, or a notation is malformed.
    """
    wanted = parse_frames(frames) if frames is not None else None
    sources: list[Source] = []
    for argument in arguments:
        for view, text in _views(argument, views):
            try:
                found = list(_expand(text, wanted, view, sparse=sparse))
                # A list of files that a shell made of a glob is reduced to the range like the glob itself.
                reduced = wanted is not None and Path(text).is_file()
            except OSError as error:
                raise UsageError(
                    f"{error.filename or text}: cannot be looked at ({error.strerror or error}); check permissions"
                ) from error
            if not found and not reduced:
                raise UsageError(f"{text}: nothing matches; check the path" + (" and --frames" if wanted else ""))
            sources += [
                replace(source, notation=_shared(argument, source), udim="<UDIM>" in Path(argument).name)
                for source in found
            ]
    unique: dict[Path, Source] = {}
    for source in sources:
        unique.setdefault(absolute(source.path), source)
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


def _shared(argument: str, source: Source) -> str | None:
    """Return what the views of one picture, or of one sequence, have in common; None for what is no view.

    A pattern or a file is one for each view. A folder or a glob may hold several: they are told by their names, in which the
    view's own is a word.
    """
    if source.view is None:
        return None
    text = argument.replace("%V", source.view).replace("%v", source.view[:1])
    if not Path(text).is_dir() and (is_pattern(text) or os.path.lexists(text)):
        return argument
    words = [source.view, *([source.view[:1]] if "%v" in argument else [])]
    a_word = rf"(?<![^\W_])(?:{'|'.join(map(re.escape, words))})(?![^\W_])"
    return f"{argument} {re.sub(a_word, '%V', str(source.path.with_name(source.series)))}"


def _expand(text: str, wanted: list[int] | None, view: str | None, *, sparse: bool) -> Iterator[Source]:
    path = Path(text)
    if path.is_dir() and not _is_picture(path):
        files = sorted(file for file in _below(path) if _is_input(file))
        yield from (replace(source, found=True) for source in _filtered(files, wanted, path, view))
    elif os.path.lexists(text):
        yield from _filtered([path], wanted, path.parent, view)
    elif is_pattern(text):
        yield from _pattern(text, wanted, view, sparse=sparse)
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


def absolute(path: Path) -> Path:
    """Return an absolute path without `..`; links keep their own names, so that results are mirrored as asked."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links


def _glob_root(path: Path) -> Path:
    """Return the folder before the first wildcard, from which sub-folders are mirrored."""
    # The prefix of long paths on Windows holds a mark as well.
    while _GLOB.search(str(path.relative_to(path.anchor))):
        path = path.parent
    return path


def _is_picture(path: Path) -> bool:
    suffix = path.suffix.lower().lstrip(".")
    return (suffix in PICTURE_SUFFIXES or suffix in MOVIE_SUFFIXES) and not path.name.startswith(".")


def _is_input(file: Path) -> bool:
    """Tell whether a file of a folder is expanded; a link that leads nowhere is one too, so that somebody hears of it."""
    return _is_picture(file) and (file.is_file() or not file.exists()) and not is_by_product(file)


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


def _pattern(text: str, wanted: list[int] | None, view: str | None, *, sparse: bool) -> Iterator[Source]:
    pattern = FramePattern(text)
    frames = wanted or pattern.frames
    if not frames:
        present = pattern.on_disk()
        # Frames follow each other, tiles need not.
        tiles = not present or "<UDIM>" in Path(text).name
        frames = present if tiles else _gapless(text, present, sparse=sparse)
    paths = {frame: pattern.path(frame) for frame in frames}
    elsewhere = any(frame_number(path) != frame for frame, path in paths.items())
    name = Path(text).name if elsewhere else None
    for frame, path in paths.items():
        yield Source(path=path, frame=frame, root=path.parent, view=view, missing=not path.exists(), pattern=name)


def _gapless(text: str, present: Sequence[int], *, sparse: bool) -> list[int]:
    """Return all frames from the first to the last that is there; raise `UsageError` if they can be no sequence."""
    first, last = min(present), max(present)
    if last - first < MOST_ABSENT + 10 * len(present):
        return list(range(first, last + 1))
    if sparse:
        return list(present)
    raise UsageError(
        f"{text}: frames {first} to {last}, of which {len(present)} are there; give --frames, move away what is no frame, or "
        "pass --missing skip"
    )
