"""Read plates through OpenImageIO: by rows where the format allows it, whole where it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.channels import find_channels, is_identifier, is_lone
from expandnet_ofx.color import input_encoding
from expandnet_ofx.colortags import check_color_model, tagged_encoding
from expandnet_ofx.errors import InputError
from expandnet_ofx.image_files import TURNS, native_type, oiio_error, open_input, reads_by_rows
from expandnet_ofx.linearized import encoding_of, recoded, recoder
from expandnet_ofx.plates import LEAST_ALPHA, Codes
from expandnet_ofx.plausibility import check_declared_size
from expandnet_ofx.settings import Settings
from expandnet_ofx.transfer import Encoding, full_scale

HELD_SHARE = 16
"""Part of the planned memory up to which a plate is held though it could be read by rows: a batch has several open."""


PAGED = ("gif", "tiff")
"""Formats whose files may hold several pictures, of which the first is taken."""


class ImagePlate:
    """One part of an image file as a plate; close it when done, or use it as a context manager.

    Attributes beyond `Plate`'s: `path`, `format_name`, `spec` (OpenImageIO's), `part`, `parts`, `channels` (names), and
    `has_color`, which is False for a part that only carries other data.
    """

    def __init__(
        self,
        path: Path,
        settings: Settings,
        *,
        part: int = 0,
        as_stored: bool = False,
    ) -> None:
        self.path = path
        self.part = part
        self._as_stored = as_stored
        self._input: Any = open_input(path)
        try:
            self._describe(settings)
        except BaseException as error:
            self.close()
            if isinstance(error, UnicodeDecodeError):
                raise InputError(f"{path}: damaged header, names in it are no text; render it again") from error
            raise

    def __enter__(self) -> ImagePlate:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def held(self) -> int:
        """Bytes of pixels that are held in memory; 0 where they are read by rows."""
        return 0 if self._whole is None else self._whole.nbytes

    @property
    def pixel_bytes(self) -> int:
        """Bytes of a pixel, all channels."""
        return int(self.spec.nchannels * np.dtype(self._dtype).itemsize)

    def close(self) -> None:
        """Close the file and let go of its pixels."""
        if self._input is not None:
            self._input.close()
        self._input = None
        self._whole: Codes | None = None

    def _describe(self, settings: Settings) -> None:
        self._whole = None
        self.format_name: str = self._input.format_name()
        self.pages = self.format_name in PAGED and self._input.seek_subimage(1, 0)
        """Whether there is more than the page that is read."""
        oiio_error(self._input)
        if not self._input.seek_subimage(self.part, 0):
            raise InputError(f"{self.path}: has no part {self.part}; {oiio_error(self._input)}")
        self.spec = self._input.spec()
        self.parts = max(1, self.spec.get_int_attribute("oiio:subimages", 1)) if self.format_name == "openexr" else 1
        self.channels: tuple[str, ...] = tuple(self.spec.channelnames)
        self._refuse_odd_shapes()
        self._dtype = native_type(self.spec)
        check_declared_size(self.path, self.spec, self.format_name, np.dtype(self._dtype).itemsize)
        self.color, self.alpha, self.has_color = find_channels(self.channels)
        self.lone = is_lone(self.channels)
        """Whether its one channel is color only for want of others."""
        kinds = self.spec.channelformats or (self.spec.format,) * self.spec.nchannels
        # 32-bit integers of OpenEXR are identifiers; those of TIFF may be light.
        exr = self.format_name == "openexr"
        self._identifiers = [i for i, kind in enumerate(kinds) if exr and str(kind) in ("uint", "uint32")]
        named = self.spec.get_string_attribute("oiio:subimagename") if exr else ""
        if set(self.color) & set(self._identifiers) or is_identifier(named):
            self.has_color = False
        self._associated = self.has_color and self.alpha is not None and self._is_associated()
        turn = self.spec.get_int_attribute("Orientation", 1)
        self._turn = TURNS.get(turn)
        self.width, self.height = self.spec.width, self.spec.height
        if self.turned:
            self.width, self.height = self.height, self.width
        self.window = self._analysis_window()
        self._recode = recoder(settings)
        # Before any pixel is decoded: a file that is refused costs nothing.
        self.encoding = self._encoding(settings)
        self._load_if_needed(settings)

    def _refuse_odd_shapes(self) -> None:
        spec = self.spec
        if spec.deep:
            raise InputError(f"{self.path}: deep data; flatten it first")
        if spec.depth > 1:
            raise InputError(f"{self.path}: a volume of depth {spec.depth}, not a picture")
        if spec.width < 1 or spec.height < 1 or spec.nchannels < 1:
            raise InputError(f"{self.path}: declares a size of {spec.width}x{spec.height}; the file is damaged")

    def _is_associated(self) -> bool:
        if self._as_stored:
            return False
        # OpenEXR is associated by its specification; TIFF says which (ExtraSamples); other formats are not.
        if self.format_name == "tiff":
            return not self.spec.get_int_attribute("oiio:UnassociatedAlpha", 0)
        return self.format_name == "openexr"

    def _analysis_window(self) -> tuple[int, int, int, int]:
        spec = self.spec
        if self._turn or not spec.full_width or not spec.full_height:
            return (0, 0, self.width, self.height)
        x0, y0 = max(spec.x, spec.full_x) - spec.x, max(spec.y, spec.full_y) - spec.y
        x1 = min(spec.x + spec.width, spec.full_x + spec.full_width) - spec.x
        y1 = min(spec.y + spec.height, spec.full_y + spec.full_height) - spec.y
        if x0 >= x1 or y0 >= y1:
            return (0, 0, self.width, self.height)
        return (x0, y0, x1, y1)

    def _load_if_needed(self, settings: Settings) -> None:
        size = self.spec.width * self.spec.height * self.spec.nchannels * np.dtype(self._dtype).itemsize
        by_rows = reads_by_rows(self.path, self.spec, self.format_name)
        if by_rows and size > settings.memory // HELD_SHARE:
            return
        if not by_rows and size > settings.memory // 3:
            raise InputError(
                f"{self.path}: decodes only whole and needs {size >> 20} MiB; raise --memory, or save it as PNG, TIFF, "
                "EXR or DPX (not interlaced, not rotated), which are read by rows"
            )
        whole = self._read(0, self.spec.height)
        if self._turn:
            turns, mirror = self._turn
            whole = np.rot90(whole, turns)
            whole = np.ascontiguousarray(whole[:, ::-1] if mirror else whole)
        self._whole = whole

    def _encoding(self, settings: Settings) -> Encoding:
        if settings.linearized is not None:
            # The file's own tags are those of the host's working space.
            return encoding_of(settings)
        if settings.input_space == "auto":
            return tagged_encoding(self.spec, self.format_name, self.path, force=settings.force)
        # Naming a curve cannot undo what OpenImageIO's conversion from such a model lost.
        check_color_model(self.spec, self.format_name, self.path)
        return input_encoding(settings.input_space, ocio=settings.ocio, force=settings.force)

    @property
    def turned(self) -> bool:
        """True if rows of the plate are columns of the file."""
        return bool(self._turn and self._turn[0] % 2)

    @property
    def associated(self) -> bool:
        """True if the file stores color multiplied by alpha; `rows` has undone it."""
        return self._associated

    def rows(self, start: int, stop: int) -> Codes:
        """Return rows [start, stop) (n, W, C), color not multiplied by alpha; raise `InputError` if damaged."""
        codes = self._whole[start:stop] if self._whole is not None else self._read(start, stop)
        if self._associated and self.alpha is not None:
            codes = _unassociate(codes, self.color, self.alpha)
        return codes if self._recode is None or not self.has_color else recoded(codes, self.color, self._recode)

    def _read(self, start: int, stop: int) -> Codes:
        spec, source = self.spec, self._input
        if source is None:
            raise InputError(f"{self.path}: already closed")
        kind = "uint8" if self._dtype == np.uint8 else np.dtype(self._dtype).name
        kind = {"float16": "half", "float32": "float"}.get(kind, kind)
        channels = spec.nchannels
        source.seek_subimage(self.part, 0)
        if spec.tile_width:
            first = start // spec.tile_height * spec.tile_height
            last = min(-(-stop // spec.tile_height) * spec.tile_height, spec.height)
            x0, y0 = spec.x, spec.y
            pixels = source.read_tiles(x0, x0 + spec.width, y0 + first, y0 + last, 0, 1, 0, channels, kind)
            pixels = None if pixels is None else pixels.reshape(last - first, spec.width, channels)
            pixels = None if pixels is None else pixels[start - first : stop - first]
        else:
            pixels = source.read_scanlines(spec.y + start, spec.y + stop, 0, 0, channels, kind)
        # Some decoders deliver gray rows for a truncated file and only leave a message.
        error = oiio_error(source)
        if pixels is None or error:
            raise InputError(
                f"{self.path}: damaged at rows {start} to {stop - 1} ({error or 'no data'}); render it again"
            )
        return self._whole_numbers(np.asarray(pixels).reshape(stop - start, spec.width, channels))

    def _whole_numbers(self, pixels: Codes) -> Codes:
        """Undo OpenImageIO's scaling of identifiers."""
        if self._identifiers:
            pixels = np.array(pixels)
            pixels[..., self._identifiers] = np.rint(pixels[..., self._identifiers].astype(np.float64) * 0xFFFFFFFF)
        return pixels


def open_image(path: Path | str, settings: Settings | None = None, *, part: int = 0) -> ImagePlate:
    """Open an image file as a plate.

    Args:
        path: any format that OpenImageIO reads.
        settings: `input_space`, `ocio`, `memory` and `force` are used.
        part: number of the part of a multi-part EXR.

    Raises:
        InputError: the file is missing, damaged, no picture, too large to decode whole, or its color space is unknown.
        AlreadyHDRError: the file says that it is log, PQ, HLG or carries a gain map.
    """
    return ImagePlate(Path(path), settings or Settings(), part=part)


def _unassociate(codes: Codes, color: tuple[int, int, int], alpha: int) -> Codes:
    result = codes.astype(np.float32) / np.float32(full_scale(codes.dtype))
    cover = np.nan_to_num(result[:, :, alpha], nan=0.0, posinf=1.0)
    factor = np.divide(1, cover, out=np.ones_like(cover), where=cover >= LEAST_ALPHA)
    for channel in set(color):
        result[:, :, channel] *= factor
    return result


def to_array(plate: ImagePlate) -> NDArray[Any]:
    """Return all rows of a plate (H, W, C), as `rows` gives them."""
    return plate.rows(0, plate.height)
