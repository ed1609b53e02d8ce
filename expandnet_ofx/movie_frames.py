"""Frames of a movie as prepared sources, read in order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx import primaries
from expandnet_ofx.analysis import Analysis
from expandnet_ofx.color import input_encoding
from expandnet_ofx.convert import Converter
from expandnet_ofx.encodings import H273_PRIMARIES
from expandnet_ofx.errors import AlreadyHDRError, InputError, UsageError
from expandnet_ofx.hashes import content_hash
from expandnet_ofx.masks import open_mask
from expandnet_ofx.movies import Movie, MovieInfo
from expandnet_ofx.patterns import FramePattern
from expandnet_ofx.plates import ArrayPlate
from expandnet_ofx.settings import Settings
from expandnet_ofx.sources import Identity, Part, Prepared, identify
from expandnet_ofx.timecode import time_code
from expandnet_ofx.transfer import ENCODINGS, Encoding, bt1886_decode
from expandnet_ofx.writer import PartLayout

VIDEO_TRANSFERS = (
    "bt709",
    "smpte170m",
    "gamma28",
    "smpte240m",
    "bt2020-10",
    "bt2020-12",
    "unspecified",
    "iec61966-2-4",
)
"""Transfers of graded video, all meant for a BT.1886 display; `gamma28` is what old PAL (BT.470) assumes of one."""

PRIMARIES = {
    "bt709": primaries.REC709,
    "unspecified": primaries.REC709,
    "smpte170m": primaries.REC709,
    "bt470bg": primaries.REC709,
    "bt2020": primaries.REC2020,
    "smpte432": primaries.P3_D65,
    "bt470m": H273_PRIMARIES[4],
    "smpte240m": H273_PRIMARIES[7],
    "smpte431": H273_PRIMARIES[11],
}
"""BT.601's two sets of primaries lie so near Rec.709's that video practice treats them as one."""


def movie_encoding(info: MovieInfo, settings: Settings) -> Encoding:
    """Return the encoding of a movie's codes.

    Raises:
        AlreadyHDRError: PQ, HLG or a camera's log (`settings.force` overrides).
        InputError: transfer or primaries are not known here.
    """
    if settings.input_space != "auto":
        return input_encoding(settings.input_space, ocio=settings.ocio, force=settings.force)
    hint = "say what it is with --input-space"
    if info.transfer in ("smpte2084", "arib-std-b67", "log100", "log316", "log") and not settings.force:
        raise AlreadyHDRError(f"{info.path}: transfer {info.transfer} is not display-referred SDR; --force runs anyway")
    known = {"iec61966-2-1": "srgb", "gamma22": "gamma2.2", "linear": "linear", "bt470m": "gamma2.2"}
    if info.transfer in known:
        base = ENCODINGS[known[info.transfer]]
    elif info.transfer in VIDEO_TRANSFERS or settings.force:
        base = ENCODINGS["bt1886"]
    else:
        raise InputError(f"{info.path}: transfer {info.transfer} is not known here; {hint}")
    if info.primaries not in PRIMARIES:
        raise InputError(f"{info.path}: primaries {info.primaries} are not known here; {hint}")
    chosen = PRIMARIES[info.primaries]
    if chosen is primaries.REC709:
        return base
    if base.curve is bt1886_decode and chosen is primaries.REC2020:
        return ENCODINGS["rec2020-bt1886"]
    return Encoding(f"{base.name} {info.primaries}", base.curve, primaries.to_rec709(chosen))


class MovieFrames:
    """An open movie whose frames become prepared sources.

    Args:
        converter: prepares the frames.
        path: the movie.
        fps: rate of a movie that has no constant one.
        mask: still picture that keeps areas out of every frame, or a pattern of one for each.
        first: number of the movie's first frame.

    Raises:
        InputError, AlreadyHDRError: the movie cannot be read or must not be expanded.
    """

    def __init__(
        self,
        converter: Converter,
        path: Path,
        *,
        fps: Fraction | None = None,
        mask: Path | FramePattern | None = None,
        first: int = 1,
    ) -> None:
        if converter.expander.settings.linearized is not None:
            raise UsageError(f"{path}: a movie holds codes; --linearized is for plates that a host wrote")
        self._converter = converter
        self._mask = mask
        self._first = first
        self._file = identify(path, None if isinstance(mask, FramePattern) else mask)
        self._movie = Movie(path, fps=fps)
        try:
            self._encoding = movie_encoding(self._movie.info, converter.expander.settings)
        except BaseException:
            self._movie.close()
            raise
        self._of_all = self._movie.info.warnings

    def __enter__(self) -> MovieFrames:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._movie.close()

    def __iter__(self) -> Iterator[tuple[int, NDArray[np.uint16]]]:
        """Yield number and codes (H, W, 3) of each frame."""
        for number, (_, codes) in enumerate(self._movie, self._first):
            yield number, codes

    def _mask_of(self, number: int) -> Path | None:
        if not isinstance(self._mask, FramePattern):
            return self._mask
        path = self._mask.path(number)
        if not path.exists():
            raise InputError(
                f"{self._movie.info.path}: mask {path} of frame {number} does not exist; render it, or use one still mask"
            )
        return path

    def identity(self, number: int) -> Identity:
        """Return what identifies one frame: the movie, the frame's place in it, and the rate that its time code has."""
        place = f"{self._file.source_sha256} {number - self._first} {self._movie.info.fps}"
        return replace(
            self._file,
            source=f"{self._file.source}#{number}",
            source_sha256=hashlib.sha256(place.encode()).hexdigest(),
            mask_sha256=self._mask_sha256(number),
        )

    def _warnings(self, number: int) -> list[str]:
        """Return what is to be told of a frame; what holds for all of them with the first that is made."""
        complaint = self._movie.complaint
        found = [] if complaint is None else [f"frame {number} may be damaged: {complaint}"]
        found, self._of_all = [*self._of_all, *found], ()
        return found

    def _mask_sha256(self, number: int) -> str | None:
        mask = self._mask_of(number)
        # A still one is hashed once for all frames.
        return self._file.mask_sha256 if mask is None or mask is self._mask else content_hash(mask)

    def prepare(
        self,
        number: int,
        codes: NDArray[np.uint16],
        *,
        identity: Identity | None = None,
        analysis: Analysis | None = None,
    ) -> Prepared:
        """Make a prepared source of one frame; with an analysis given it needs no pass over it."""
        info = self._movie.info
        plate = ArrayPlate(codes, self._encoding)
        kind, converter = self._converter.options.pixel, self._converter
        matte = converter.options.matte_channels
        layout = PartLayout(
            width=plate.width,
            height=plate.height,
            channels=("R", "G", "B", *matte),
            formats=(kind,) * 3 + ("half",) * len(matte),
            attributes=_attributes(info, number - self._first),
        )
        surveyed = None if analysis else converter.expander.survey(plate)
        mask = self._mask_of(number)
        return Prepared(
            source=Path(info.path),
            identity=identity or self.identity(number),
            parts=[Part(plate=plate, layout=layout, survey=surveyed, analysis=analysis)],
            mask=None if mask is None else open_mask(mask, converter.expander.settings),
            warnings=self._warnings(number),
        )


def _attributes(info: MovieInfo, frame: int) -> dict[str, Any]:
    """Return the metadata of a frame, counted from 0."""
    attributes: dict[str, Any] = {"PixelAspectRatio": float(info.pixel_aspect), "FramesPerSecond": info.fps}
    code = None if info.timecode is None else time_code(info.timecode, frame, info.fps)
    if code is not None:
        import OpenImageIO as oiio

        attributes["smpte:TimeCode"] = oiio.ParamValue("smpte:TimeCode", oiio.TypeTimeCode, (code, 0))
    return attributes
