"""Movies as R'G'B' codes: how a file is opened and checked, and one frame after the other at its full precision.

libav decodes; `movie_info` reads what the file says about itself, `video_pixels` makes R'G'B' of what was decoded.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any

from expandnet_ofx.errors import InputError, MissingExtraError, UsageError
from expandnet_ofx.metadata import film_rate
from expandnet_ofx.movie_info import MovieInfo, describe, display_matrix
from expandnet_ofx.movie_pace import Pace, hole_of, uneven
from expandnet_ofx.video_pixels import Codes, orient, to_codes

__all__ = ["Movie", "MovieInfo"]

_ATTACHED_PICTURE = 0x400

_REFERRING = ("h264", "hevc", "vvc", "av1", "libdav1d", "vp9")
"""Codecs that complain of whole files too: of pictures that were cut away before the first one, and that none needs."""

BROKEN = "error while decoding MB"
"""What they say of no whole file."""

_LISTENING = Lock()


class Movie:
    """A movie file, read frame by frame; a context manager.

    Iterating yields (index, codes): the index counts from 0 in the order of presentation; codes are C-contiguous
    (H, W, 3) uint16, R'G'B' still display-encoded, full range: 0 is black, 65535 is white. What a limited-range file
    holds below black or above white, and colors outside R'G'B', are clipped to 0 and 65535. One frame is held at a
    time; each iteration starts at the first frame and ends the one before it.

    A movie of variable frame rate needs `fps`; every stored frame is then kept once, none is repeated or dropped. Of an AVI
    file it is constant.

    Args:
        path: the file.
        fps: frames per second, in place of what the file says.

    Raises:
        UsageError: `fps` is not above 0.
        MissingExtraError: the package `av` is not installed.
        InputError: not a movie, no picture in it, cannot be decoded (the frame is named, counting from 0), a color
            matrix that is not supported, or a variable frame rate and no `fps`.
    """

    info: MovieInfo
    complaint: str | None = None
    """What the decoder had to say of the frame that was given last, which may be damaged."""

    def __init__(self, path: str | Path, fps: Fraction | int | None = None) -> None:
        if fps is not None and fps <= 0:
            raise UsageError(f"fps {fps}: not a frame rate; pass a number above 0")
        self._path = str(path)
        self._free_pace = fps is not None
        self._reading: Generator[tuple[int, Codes], None, None] | None = None
        self._promised, stamps = _frame_stamps(self._path)
        steady = all(map(Pace().add, stamps))
        hole = None if steady else hole_of(stamps)
        if not steady and fps is None:
            raise InputError(uneven(self._path, hole))
        with _open(self._path) as (container, stream):
            frame = next(_decode(self._path, container, stream), None)
            if frame is None:
                raise InputError(f"{self._path}: holds no frame that can be decoded; export the movie again")
            rate = fps or stream.guessed_rate or stream.average_rate
            if not rate:
                raise InputError(f"{self._path}: tells no frame rate; pass --fps, for example --fps 24")
            self.info = describe(
                self._path,
                container,
                stream,
                frame[0],
                fps=Fraction(fps) if fps else film_rate(Fraction(rate)),
                frames=len(stamps) or None,
                steady=steady,
                hole=hole,
            )

    def __enter__(self) -> Movie:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the iteration that is under way, if any, and close its file."""
        if self._reading is not None:
            self._reading.close()
            self._reading = None

    def __iter__(self) -> Iterator[tuple[int, Codes]]:
        self.close()
        self._reading = self._read()
        return self._reading

    def _read(self) -> Generator[tuple[int, Codes], None, None]:
        pace, size, index = Pace(), None, 0
        with _open(self._path) as (container, stream):
            # What AVI counts is the order of decoding.
            paced = not self._free_pace and container.format.name != "avi"
            for frame, complaint in _decode(self._path, container, stream):
                size = size or (frame.width, frame.height)
                if (frame.width, frame.height) != size:
                    raise InputError(
                        f"{self._path}: frame {index} is {frame.width} x {frame.height}, those before it "
                        f"{size[0]} x {size[1]}; split the movie there"
                    )
                if paced and not pace.add(frame.pts):
                    raise InputError(uneven(self._path, None))
                self.complaint = complaint
                yield index, orient(to_codes(frame, self.info), display_matrix(frame))
                index += 1
        if self._promised is not None and index < self._promised:
            raise InputError(
                f"{self._path}: frame {index} is missing, the file promises {self._promised} frames and ends there; "
                "copy or export it again"
            )


@contextmanager
def _open(path: str) -> Generator[tuple[Any, Any], None, None]:
    """Open a movie and its first picture stream; raise InputError where there is none."""
    try:
        import av
        from av.error import FFmpegError
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "movies: the package av is not installed; install it with: pip install 'expandnet-ofx[movie]'"
        ) from error
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; check the name")
    try:
        # The protocol keeps names with a colon from being read as addresses.
        container = av.open(f"file:{path}", options={"err_detect": "explode"})
    except FFmpegError as error:
        raise InputError(f"{path}: not a movie that can be read ({error.strerror}); export it again") from error
    with container:
        # A cover picture is a stream of its own and no movie.
        streams = [s for s in container.streams.video if not int(s.disposition) & _ATTACHED_PICTURE]
        if not streams:
            raise InputError(f"{path}: holds no picture stream; pass a movie")
        if streams[0].codec_context is None:
            raise InputError(f"{path}: its codec is not supported; export it as ProRes, DNxHR or H.264")
        if streams[0].codec_context.codec.intra_only:
            # Else libav invents what a damaged frame lost. Of others pictures may refer to what was cut away.
            streams[0].codec_context.options = {"err_detect": "explode"}
        yield container, streams[0]


def _decode(path: str, container: Any, stream: Any) -> Iterator[tuple[Any, str | None]]:
    """Yield decoded frames, each with what the decoder complains of; raise InputError that names the frame which cannot be
    decoded.

    A codec without loss holds a frame or it does not; of others a dropout may cost a few blocks.
    """
    from av.error import FFmpegError

    frames, codec = container.decode(stream), stream.codec_context.codec
    for index in count():
        try:
            with _complaints(codec.name) as said:
                frame = next(frames, None)
        except FFmpegError as error:
            raise InputError(
                f"{path}: frame {index} cannot be decoded ({error.strerror}); copy or export the movie again"
            ) from error
        if frame is None:
            return
        if frame.is_corrupt or (said and codec.lossless and not codec.lossy):
            reason = f" ({said[0]})" if said else ""
            raise InputError(f"{path}: frame {index} is damaged{reason}; copy or export the movie again")
        yield frame, said[0] if said else None


@contextmanager
def _complaints(codec: str) -> Iterator[list[str]]:
    """Collect the errors that a codec tells of in its log alone, such as a check sum that is wrong."""
    from av import logging

    found: list[str] = []
    # Codecs decode parts of a frame in threads of their own, so lines of all threads are heard: no other movie may speak.
    with _LISTENING:
        level, repeated = logging.get_level(), logging.get_skip_repeated()
        logging.set_level(logging.ERROR)
        logging.set_skip_repeated(False)
        try:
            with logging.Capture(local=False) as lines:
                yield found
        finally:
            logging.set_level(level)
            logging.set_skip_repeated(repeated)
    said = [text.strip() for _, who, text in lines if who == codec]
    found += [text for text in said if codec not in _REFERRING or text.startswith(BROKEN)]


def _frame_stamps(path: str) -> tuple[int | None, list[int]]:
    """Return how many frames the file promises (None where it does not say), and the frames' time stamps in ticks.

    Formats without an index of all frames are read through once, without decoding: better than to meet a change of
    frame rate, or the end, after hours of work.
    """
    with _open(path) as (container, stream):
        entries: list[Any] = list(getattr(stream, "index_entries", ()))
        if stream.frames and len(entries) >= stream.frames:
            stamps = [entry.timestamp for entry in entries if entry.size and not entry.is_discard]
            return len(stamps), stamps
        found, end = _scan(path, container, stream)
        # Matroska has no index of frames, and libav takes a file that was cut off for one that ends; its header tells.
        missing = Fraction(container.duration or 0, 1_000_000) - end
        if "matroska" in container.format.name and missing * (stream.average_rate or 0) > 1:
            return len(found) + round(missing * stream.average_rate), sorted(found)
        return stream.frames or None, sorted(found)


def _scan(path: str, container: Any, stream: Any) -> tuple[set[int], Fraction]:
    """Read all packets; return the time stamps of the stream's in ticks, and the end of the last of any in seconds."""
    from av.error import FFmpegError

    found: set[int] = set()
    end = Fraction(0)
    try:
        for packet in container.demux():
            stamp = packet.dts if packet.pts is None else packet.pts
            if not packet.size or stamp is None or packet.is_discard:
                continue
            end = max(end, (stamp + (packet.duration or 0)) * packet.time_base)
            if packet.stream_index == stream.index:
                found.add(stamp)
    except FFmpegError as error:
        raise InputError(
            f"{path}: frame {len(found)} cannot be read ({error.strerror}); copy or export the movie again"
        ) from error
    return found, end
