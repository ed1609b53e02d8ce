"""Plates as the expander reads them: rows of codes with an encoding, whatever they come from."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from queue import Queue
from threading import Event, Thread
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.arrays import namespace, taken
from expandnet_ofx.errors import InputError
from expandnet_ofx.transfer import Encoding, full_scale

Codes = NDArray[Any]
T = TypeVar("T")

CODE_TYPES = ("uint8", "uint16", "float16", "float32")


class Plate(Protocol):
    """A display-referred image that can be read by rows, more than once."""

    width: int
    height: int
    color: tuple[int, int, int]
    """Channel numbers of red, green and blue; a gray plate names its one channel three times."""
    alpha: int | None
    """Channel number of alpha, or None; color is not multiplied by it."""
    encoding: Encoding
    window: tuple[int, int, int, int]
    """What the analysis sees: x0, y0, x1, y1 in pixels of the plate, x1 and y1 excluded."""

    @property
    def pixel_bytes(self) -> int:
        """Bytes of a pixel as `rows` reads it, all channels."""
        ...

    @property
    def held(self) -> int:
        """Bytes of pixels that stay in memory while the plate is open; 0 where they are read by rows."""
        ...

    def rows(self, start: int, stop: int) -> Codes:
        """Return rows [start, stop): (stop - start, width, channels) of one of `CODE_TYPES`."""
        ...


class ArrayPlate:
    """A plate in memory.

    Args:
        array: (H, W), (H, W, 1), (H, W, 2) gray and alpha, (H, W, 3) or (H, W, 4) RGB and alpha; uint8 or uint16 with
            full scale 1.0, or float16, float32 or float64 with 1.0 at display white. Color is not multiplied by alpha.
        encoding: how codes become light.

    Raises:
        InputError: the array is empty, of another shape or of another type.
    """

    def __init__(self, array: NDArray[Any], encoding: Encoding) -> None:
        array = np.asarray(array)
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        if array.ndim == 2:
            array = array[:, :, None]
        if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4) or 0 in array.shape:
            raise InputError(f"array {array.shape}: not a picture; pass (H, W), or (H, W, C) with 1 to 4 channels")
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        if array.dtype.name not in CODE_TYPES:
            raise InputError(f"array of {array.dtype}: not a code type; pass one of {', '.join(CODE_TYPES)}")
        self.array = array
        self.height, self.width, channels = array.shape
        self.color: tuple[int, int, int] = (0, 1, 2) if channels > 2 else (0, 0, 0)
        self.alpha: int | None = channels - 1 if channels in (2, 4) else None
        self.encoding = encoding
        self.window: tuple[int, int, int, int] = (0, 0, self.width, self.height)

    @property
    def held(self) -> int:
        """Bytes of the array."""
        return self.array.nbytes

    @property
    def pixel_bytes(self) -> int:
        """Bytes of a pixel, all channels."""
        return int(self.array.itemsize * self.array.shape[2])

    def rows(self, start: int, stop: int) -> Codes:
        """Return rows [start, stop) of the array."""
        return self.array[start:stop]


LEAST_ALPHA = 1 / 1024
"""Alpha below it counts as none: light that is divided by so little, and multiplied again, would not come back."""


def take_color(codes: Codes, plate: Plate) -> Codes:
    """Return the three color channels (..., 3) of codes (..., C) as read from a plate, without copying where possible."""
    if plate.color == (0, 0, 0):
        gray: Codes = namespace(codes).broadcast_to(codes[..., :1], (*codes.shape[:-1], 3))
        return gray
    if plate.color == (0, 1, 2):
        return codes[..., :3]
    color: Codes = taken(codes, np.array(plate.color), -1)
    return color


def hidden(codes: Codes, plate: Plate) -> NDArray[np.bool_] | None:
    """Return which pixels (...) of codes (..., C) nobody sees, and so have no say in what is seen; None without alpha."""
    if plate.alpha is None:
        return None
    found: NDArray[np.bool_] = codes[..., plate.alpha] < LEAST_ALPHA * full_scale(codes.dtype)
    return found


def needed(codes: Codes, plate: Plate) -> Codes:
    """Return rows (n, W, C) without the channels behind the last that makes light."""
    return codes[:, :, : 1 + max(*plate.color, plate.alpha or 0)]


class RowWindow:
    """Reads a plate strictly forward and keeps only the rows that are still wanted."""

    def __init__(self, plate: Plate) -> None:
        self._plate = plate
        self._first = 0
        self._held: Codes | None = None

    def rows(self, start: int, stop: int) -> Codes:
        """Return rows [start, stop); `start` must not decrease from call to call."""
        if isinstance(self._plate, ArrayPlate):
            return self._plate.rows(start, stop)
        held = self._held
        end = self._first + len(held) if held is not None else start
        if held is None or end <= start:
            self._held = self._plate.rows(start, stop)
        elif end < stop:
            kept = held[start - self._first :]
            fresh = self._plate.rows(end, stop)
            self._held = np.concatenate((kept, fresh))
        else:
            self._held = held[start - self._first :]
        self._first = start
        return self._held[: stop - start]


def prefetch(produce: Callable[[], Iterator[T]], *, depth: int = 1) -> Generator[T, None, None]:
    """Yield what `produce()` yields while a thread already computes the next `depth` items.

    An exception in the thread is raised here; closing the iterator stops the thread.
    """
    queue: Queue[tuple[bool, Any]] = Queue(maxsize=depth)
    stopped = Event()

    def work() -> None:
        try:
            for item in produce():
                queue.put((True, item))
                if stopped.is_set():
                    return
            queue.put((False, None))
        except BaseException as error:  # noqa: BLE001 - handed to the consumer, which raises it
            queue.put((False, error))

    thread = Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            more, item = queue.get()
            if more:
                yield item
            elif item is not None:
                raise item
            else:
                return
    finally:
        stopped.set()
        while thread.is_alive():
            while not queue.empty():
                queue.get_nowait()
            thread.join(timeout=0.02)
