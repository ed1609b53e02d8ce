"""What the network says of the reduced plate: the anchor, and the light of wide clipped areas."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx import grade
from expandnet_ofx.analysis import Triple
from expandnet_ofx.asking import Asked, Asking
from expandnet_ofx.pixels import any_channel
from expandnet_ofx.recovered import Pyramid, RecoveredLight, pyramid, recover
from expandnet_ofx.settings import Settings
from expandnet_ofx.survey import Survey
from expandnet_ofx.transfer import srgb_decode

Array = NDArray[np.float32]


class ReducedLight:
    """Asks the network for all that it is asked of a reduced plate, at once; `finish` waits for it.

    Args:
        asking: of this plate.
        absolute: True if a prediction of 1 already means white.
        clips: clip levels as codes, 1 = full scale.
        low, high: what the network sees of black and white.
        reduction: pixels of the plate per pixel of `seen.working`.
    """

    def __init__(
        self,
        asking: Asking,
        seen: Survey,
        settings: Settings,
        *,
        absolute: bool,
        clips: Triple,
        low: Triple,
        high: Triple,
        reduction: float,
    ) -> None:
        self._settings = settings
        self._absolute = absolute
        self._low, self._high = low, high
        self._samples = None if settings.relative else self._ask_samples(asking, seen, clips)
        working = normalize(seen.working, low, high)
        self._width = working.shape[1]
        # A panorama goes on beyond its sides; whole pixels of the coarsest level, so that the pyramid turns with it.
        self._more = max(32, self._width // 4 // 32 * 32) if settings.latlong else 0
        working = np.pad(working, ((0, 0), (self._more, self._more), (0, 0)), mode="wrap")
        self._pyramid: Pyramid | None = None
        if settings.merge != "full":
            self._pyramid = pyramid(working, self._matte_of, reduction=reduction)
        levels = [] if self._pyramid is None else self._pyramid.levels
        self._levels = [asking.ask(level.seen, level.asked) for level in levels]

    def finish(self) -> tuple[float, int, RecoveredLight | None]:
        """Return the anchor in stops, how many samples tell it, and the light of wide clipped areas."""
        anchor, samples = (0.0, 0) if self._samples is None else self._anchor(*self._samples)
        if self._pyramid is None:
            return anchor, samples, None
        found = recover(self._pyramid, self._light(self._pyramid, anchor))
        return anchor, samples, RecoveredLight(found.values[:, self._more : self._more + self._width])

    def _ask_samples(self, asking: Asking, seen: Survey, clips: Triple) -> tuple[Array, NDArray[np.bool_], Asked]:
        """Return light of the reduced plate, which of it tells the anchor, and what the network says of that."""
        usable = seen.peak < np.float32(self._settings.threshold) * np.array(clips, np.float32)
        plate = srgb_decode(seen.proxy).astype(np.float32) / self._white
        chosen = grade.anchor_samples(plate, usable, absolute=self._absolute)
        return plate, chosen, asking.ask(normalize(seen.proxy, self._low, self._high), any_channel(chosen))

    @property
    def _white(self) -> Array:
        white = np.maximum(srgb_decode(np.array(self._high, np.float32)), np.float32(2**-16))
        return np.asarray(white, np.float32)

    def _anchor(self, plate: Array, chosen: NDArray[np.bool_], asked: Asked) -> tuple[float, int]:
        stops, samples = grade.anchor_stops(plate, asked.result(), chosen, absolute=self._absolute)
        return stops + float(np.log2(self._white).mean()), samples

    def _light(self, sizes: Pyramid, anchor: float) -> Iterator[Array]:
        """Yield the light of each level: the network's where it was asked, the plate's own elsewhere."""
        base, top = np.array(self._low, np.float32), np.array(self._high, np.float32)
        for level, asked in zip(sizes.levels, self._levels, strict=True):
            own = srgb_decode(base + level.seen * (top - base)) * np.float32(2.0**-anchor)
            yield np.where(level.asked[:, :, None], asked.result(), own)

    def _matte_of(self, reduced: Array) -> Array:
        return reduced_matte(reduced, self._low, self._high, self._settings)


def normalize(seen: Array, low: Triple, high: Triple) -> Array:
    """Stretch what the network sees so that `low` becomes 0 and `high` 1, held to [0, 1]; per channel."""
    base, top = np.array(low, np.float32), np.array(high, np.float32)
    return np.asarray(np.clip((seen - base) / (top - base), 0, 1), np.float32)


def reduced_matte(reduced: Array, low: Triple, high: Triple, settings: Settings) -> Array:
    """Return the pointwise matte of a reduced plate as the network sees it, stretched: (h, w, 3)."""
    white = normalize(np.array(high, np.float32), low, high)
    return grade.pointwise_matte(reduced, white, settings.merging)
