"""Write results through OpenImageIO, in bands, under a temporary name until they are complete."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.arrays import to_half
from expandnet_ofx.errors import OutputError
from expandnet_ofx.image_files import check_name, oiio_error
from expandnet_ofx.output_options import OutputOptions
from expandnet_ofx.partials import flush, partial_name
from expandnet_ofx.results import ends
from expandnet_ofx.systems import give_name

ZIP_LEVEL = 1
"""Level of `zip` and `zips` unless told: the library's own, 4, takes a quarter to a third more time for four percent."""


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


def _fitted(part: PartLayout, suffix: str) -> PartLayout:
    """Return what a format can hold of a layout: Radiance files color alone, TIFF one type for all channels."""
    if suffix == ".hdr":
        return replace(part, channels=tuple(part.channels)[:3], formats=("float",) * min(3, len(part.channels)))
    if suffix != ".exr" and "float" in part.formats:
        return replace(part, formats=("float",) * len(part.formats))
    return part


def left_out(path: Path, parts: Sequence[PartLayout]) -> list[str]:
    """Return a warning if a file of this name cannot hold all channels."""
    suffix = path.suffix.lower()
    lost = [name for part in parts for name in list(part.channels)[len(_fitted(part, suffix).channels) :]]
    return [f"{', '.join(lost)}: not carried, {suffix} holds color alone"] if lost else []


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
        # By itself the library takes a fourth channel for alpha, whatever it is.
        spec.alpha_channel = list(part.channels).index("A") if "A" in part.channels else -1
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
            # Uncalibrated (Exif 2.32, 4.6.5): readers take other pictures with camera metadata for sRGB.
            spec.attribute("Exif:ColorSpace", 65535)
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

    def complete(self) -> None:
        """Bring the file to the disk, whole; what may fail for want of space has not once this is done."""
        if self._output is None:
            return
        if not self._output.close():
            raise self._failure()
        self._output = None
        if not ends(self._partial):
            what = "check space" if self._partial.exists() else "its folder was removed"
            raise OutputError(f"{self.path}: cannot be written to its end; {what}")
        try:
            flush(self._partial)
        except OSError as error:
            raise self._unwritable(error) from error

    def commit(self) -> None:
        """Complete the file and give it its name."""
        self.complete()
        try:
            give_name(self._partial, self.path)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> OutputError:
        return OutputError(f"{self.path}: cannot be written ({error.strerror or error})")

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


@contextmanager
def image_writer(path: Path, parts: Sequence[PartLayout], options: OutputOptions) -> Iterator[ImageWriter]:
    """Open a writer whose file appears only if the block calls `commit`."""
    check_name(path, OutputError)
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
