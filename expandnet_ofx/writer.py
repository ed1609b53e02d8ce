"""Write results through OpenImageIO, in bands, under a temporary name until they are complete."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.arrays import to_half
from expandnet_ofx.errors import OutputError, UsageError
from expandnet_ofx.images import oiio_error
from expandnet_ofx.partials import partial_name

COMPRESSIONS = ("zip", "zips", "piz", "none", "rle", "dwaa", "dwab", "pxr24", "b44", "b44a")

ZIP_LEVEL = 1
"""Level of `zip` and `zips` unless told: the library's own, 4, takes a quarter to a third more time for four percent."""

MATTE_CHANNELS = ("matte.R", "matte.G", "matte.B")

PROGRAM = "expandnet-ofx"
"""What the header of a result names as its software, before the version."""

SUFFIXES = (".exr", ".hdr", ".tif", ".tiff")

_DROPPED_PREFIXES = ("oiio:", "iccprofile", "png:", "jpeg:", "tiff:", "gif:", "webp:", "bmp:", "targa:", "openexr:")
_DROPPED = frozenset(
    "cicp chromaticities acesimagecontainerflag colorinteropid exif:colorspace exif:gamma compression orientation "
    "planarconfig software exif:pixelxdimension exif:pixelydimension thumbnail_image thumbnail_width thumbnail_height "
    "thumbnail_nchannels linearcolorspace worldtoscreen worldtocamera whiteluminance exif:whitepoint "
    "exif:primarychromaticities textureformat wrapmodes tilesize screenwindowcenter screenwindowwidth name".split()
)
"""Attributes that describe how the source was stored or what its codes meant; neither holds for the result."""


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """How results are stored; validated on construction."""

    pixel: Literal["half", "float"] = "half"
    """Type of the color channels."""
    compression: str = "zip"
    """EXR compression: `zip`, `zips`, `piz`, `none`, `zip:9`, `dwaa:45` and so on."""
    matte: bool = False
    """Write the matte as channels `matte.R`, `matte.G`, `matte.B`."""
    interop_id: str | None = "lin_rec709_scene"
    """Color Interop ID of the output space; None writes none."""
    aces: bool = False
    """Write an ACES image container (SMPTE ST 2065-4): half, uncompressed, RGB(A) only; a matte goes to a second file."""

    def __post_init__(self) -> None:
        name, _, level = self.compression.partition(":")
        if name not in COMPRESSIONS or (level and not level.isdigit()) or (level and name in ("none", "piz", "rle")):
            raise UsageError(f"--compression {self.compression}: use one of {', '.join(COMPRESSIONS)}, or dwaa:45")
        least, most = (1, 9) if name in ("zip", "zips") else (0, 10000)
        if level and not least <= int(level) <= most:
            raise UsageError(f"--compression {self.compression}: {name} has levels {least} to {most}")
        if self.aces and (self.pixel != "half" or self.compression != "none"):
            raise UsageError("ACES2065-1 files (ST 2065-4) are half and uncompressed; drop the other flags")

    @property
    def matte_channels(self) -> tuple[str, ...]:
        """Names of the matte's channels inside a result; an ACES container holds none, so they go to a second file."""
        return MATTE_CHANNELS if self.matte and not self.aces else ()

    @property
    def separate_matte(self) -> bool:
        """True if the matte goes to a second file, see `matte_file`."""
        return self.matte and self.aces


def matte_file(target: Path) -> Path:
    """Return where the matte of a result goes that cannot hold it."""
    return target.with_name(f"{target.stem}.matte{target.suffix}")


def check_suffix(path: Path, options: OutputOptions) -> None:
    """Raise `UsageError` if an output of this name cannot hold what is asked."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"{path}: outputs are {', '.join(SUFFIXES)}; scene-linear light fits into nothing else")
    if suffix != ".exr" and (options.matte or options.aces):
        raise UsageError(f"{path}: matte channels and ACES containers need .exr")


@dataclass(frozen=True, kw_only=True)
class PartLayout:
    """What one part of an output looks like."""

    width: int
    height: int
    channels: Sequence[str]
    """Names; the first three are color."""
    formats: Sequence[str]
    """`half` or `float`, per channel."""
    origin: tuple[int, int] = (0, 0)
    display: tuple[int, int, int, int] | None = None
    """Display window: x, y, width, height."""
    name: str | None = None
    """Name of a part of a multi-part file."""
    attributes: Mapping[str, Any]


def carried_attributes(spec: Any) -> dict[str, Any]:
    """Return the source's metadata that still holds for the result: time code, rate, camera, owner; no color tags."""
    carried = {}
    for attribute in spec.extra_attribs:
        name = attribute.name.lower()
        if name in _DROPPED or name.startswith(_DROPPED_PREFIXES) or name.startswith("expandnet/"):
            continue
        if name.startswith(("dpx:", "cineon:", "fits:", "psd:", "gainmap", "uhdr")) or not _is_text(attribute.name):
            continue
        value = attribute.value
        # Old cameras and painters write Latin-1; it arrives as undecodable bytes.
        latin = isinstance(value, str) and not _is_text(value)
        carried[attribute.name] = value.encode("utf-8", "surrogateescape").decode("latin-1") if latin else attribute
    return carried


def _is_text(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _fitted(part: PartLayout, suffix: str) -> PartLayout:
    """Return what a format can hold of a layout: Radiance files color alone, TIFF one type for all channels."""
    if suffix == ".hdr":
        return replace(part, channels=tuple(part.channels)[:3], formats=("float",) * min(3, len(part.channels)))
    if suffix != ".exr" and "float" in part.formats:
        return replace(part, formats=("float",) * len(part.formats))
    return part


class ImageWriter:
    """Writes one file; `commit` gives it its name, leaving the block without it removes what was written."""

    def __init__(self, path: Path, parts: Sequence[PartLayout], options: OutputOptions) -> None:
        import OpenImageIO as oiio

        self.path = path
        self._partial = partial_name(path)
        self._options = options
        parts = [_fitted(part, path.suffix.lower()) for part in parts]
        self._specs = [self._spec(oiio, part) for part in parts]
        self._parts = parts
        self._part = 0
        self._output: Any = oiio.ImageOutput.create(str(self._partial))

    def open(self) -> None:
        """Open the partial file; apart from construction, so that whoever opens can also discard."""
        parts, path = self._parts, self.path
        if self._output is None:
            raise OutputError(f"{path}: cannot be written ({oiio_error()})")
        opened = (
            self._output.open(str(self._partial), tuple(self._specs))
            if len(parts) > 1
            else self._output.open(str(self._partial), self._specs[0])
        )
        if not opened:
            raise self._failure()

    def _spec(self, oiio: Any, part: PartLayout) -> Any:
        spec = oiio.ImageSpec(part.width, part.height, len(part.channels), part.formats[0])
        spec.channelnames = tuple(part.channels)
        if len(set(part.formats)) > 1:
            spec.channelformats = tuple(oiio.TypeDesc(kind) for kind in part.formats)
        if "A" in part.channels:
            spec.alpha_channel = list(part.channels).index("A")
        spec.x, spec.y = part.origin
        spec.full_x, spec.full_y, spec.full_width, spec.full_height = part.display or (
            *part.origin,
            part.width,
            part.height,
        )
        for name, value in part.attributes.items():
            if hasattr(value, "type") and hasattr(value, "value"):
                # OpenEXR has no attributes of short integers and would drop them.
                if str(value.type) in ("uint8", "uint16", "int8", "int16", "uint"):
                    spec.attribute(value.name, int(value.value))
                else:
                    spec.attribute(value.name, value.type, value.value)
            elif isinstance(value, Fraction):
                spec.attribute(name, oiio.TypeRational, (value.numerator, value.denominator))
            else:
                spec.attribute(name, value)
        if not spec.get_string_attribute("DateTime"):
            # Left out, OpenImageIO would write the time of the run, and reruns would differ.
            spec.attribute("DateTime", "")
        if part.name:
            spec.attribute("name", part.name)
        if self.path.suffix.lower() == ".exr":
            compression = self._options.compression
            spec.attribute(
                "compression", f"{compression}:{ZIP_LEVEL}" if compression in ("zip", "zips") else compression
            )
            if self._options.aces:
                spec.attribute("acesImageContainerFlag", 1)
            elif self._options.interop_id:
                spec.attribute("colorInteropID", self._options.interop_id)
        elif self.path.suffix.lower() != ".hdr":
            spec.attribute("compression", "zip")
            spec.attribute("tiff:half", int(self._options.pixel == "half"))
        return spec

    def write(self, start: int, pixels: NDArray[Any]) -> None:
        """Write rows from `start` of the current part: (n, W, C) floats; channels the format cannot hold are left out."""
        spec = self._specs[self._part]
        rows = np.ascontiguousarray(pixels[:, :, : spec.nchannels])
        if set(self._parts[self._part].formats) == {"half"}:
            rows = to_half(rows)
        if not self._output.write_scanlines(spec.y + start, spec.y + start + len(rows), 0, rows):
            raise self._failure()

    def next_part(self) -> None:
        """Go on to the next part of a multi-part file."""
        self._part += 1
        if not self._output.open(str(self._partial), self._specs[self._part], "AppendSubimage"):
            raise self._failure()

    def commit(self) -> None:
        """Complete the file and give it its name."""
        if not self._output.close():
            raise self._failure()
        self._output = None
        if not _ends(self._partial):
            what = "check space" if self._partial.exists() else "its folder was removed"
            raise OutputError(f"{self.path}: cannot be written to its end; {what}")
        try:
            # Windows flushes only what may be written.
            with self._partial.open("r+b") as file:
                os.fsync(file.fileno())
            self._partial.replace(self.path)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written ({error.strerror or error})") from error

    def discard(self) -> None:
        """Remove what was written, if it was not committed."""
        if self._output is not None:
            self._output.close()
            self._output = None
        with suppress(OSError):
            self._partial.unlink()

    def _failure(self) -> OutputError:
        message = oiio_error(self._output) or "no reason given"
        return OutputError(f"{self.path}: cannot be written ({message}); check space and permissions")


def _ends(path: Path) -> bool:
    """Tell whether the last rows of a file can be read: what is left to write when it is closed can fail silently."""
    with _opened(path) as source:
        return source is not None and _readable(source, last_rows=True)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a file to look at it; give None if it is no picture."""
    import OpenImageIO as oiio

    source = oiio.ImageInput.open(str(path))
    if source is None:
        # Else the message waits for whoever asks next.
        oiio.geterror()
    try:
        yield source
    finally:
        if source is not None:
            source.close()


@contextmanager
def image_writer(path: Path, parts: Sequence[PartLayout], options: OutputOptions) -> Iterator[ImageWriter]:
    """Open a writer whose file appears only if the block calls `commit`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path.parent}: cannot be created ({error.strerror or error})") from error
    writer = ImageWriter(path, parts, options)
    try:
        writer.open()
        yield writer
    finally:
        writer.discard()


def is_result(path: Path) -> bool:
    """Tell whether the header of a file says that we made it."""
    with _opened(path) as source:
        return source is not None and str(source.spec().get_string_attribute("Software")).startswith(PROGRAM)


def read_provenance(path: Path) -> dict[str, Any] | None:
    """Return what a result says about how it was made, None if it says nothing or is incomplete.

    Complete means that every row of every part can be read.
    """
    with _opened(path) as source:
        if source is None:
            return None
        spec = source.spec()
        text = spec.get_string_attribute("expandnet/provenance") or spec.get_string_attribute("ImageDescription")
        if not _readable(source):
            return None
    try:
        provenance = json.loads(text)
    except ValueError:
        return None
    return provenance if isinstance(provenance, dict) else None


def _readable(source: Any, *, last_rows: bool = False) -> bool:
    """Tell whether all rows of all parts can be read, or the last one of each."""
    part = 0
    while source.seek_subimage(part, 0):
        spec = source.spec()
        step = max(1, (1 << 20) // max(1, spec.width))
        first = spec.y + (spec.height - 1 if last_rows else 0)
        for start in range(first, spec.y + spec.height, step):
            stop = min(start + step, spec.y + spec.height)
            if source.read_scanlines(start, stop, 0, 0, spec.nchannels, spec.format) is None or oiio_error(source):
                return False
        part += 1
    # Seeking past the last part leaves a message that means nothing.
    source.geterror()
    return True
