"""What of a source's metadata still holds for its result."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

_DROPPED_PREFIXES = ("oiio:", "iccprofile", "png:", "jpeg:", "tiff:", "gif:", "webp:", "bmp:", "targa:", "openexr:")

_DROPPED = frozenset(
    "cicp chromaticities acesimagecontainerflag colorinteropid exif:colorspace exif:gamma compression orientation "
    "planarconfig software exif:pixelxdimension exif:pixelydimension thumbnail_image thumbnail_width thumbnail_height "
    "thumbnail_nchannels linearcolorspace whiteluminance exif:whitepoint exif:primarychromaticities textureformat wrapmodes "
    "tilesize name".split()
)
"""Attributes that describe how the source was stored or what its codes meant; neither holds for the result."""

_RATES = ("dpx:framerate", "dpx:temporalframerate")
"""Where DPX says how many frames a second has (SMPTE ST 268-1, film and television headers)."""


def carried_attributes(spec: Any) -> dict[str, Any]:
    """Return the source's metadata that still holds for the result: time code, rate, camera, owner; no color tags."""
    carried: dict[str, Any] = {}
    for attribute in spec.extra_attribs:
        name = attribute.name.lower()
        if name in _DROPPED or name.startswith(_DROPPED_PREFIXES) or name.startswith("expandnet/"):
            continue
        if name in _RATES and float(attribute.value) > 0:
            carried.setdefault("FramesPerSecond", _rate(float(attribute.value)))
        if name.startswith(("dpx:", "cineon:", "fits:", "psd:", "gainmap", "uhdr")) or not _is_text(attribute.name):
            continue
        value = attribute.value
        # Old cameras and painters write Latin-1; it arrives as undecodable bytes.
        latin = isinstance(value, str) and not _is_text(value)
        carried[attribute.name] = value.encode("utf-8", "surrogateescape").decode("latin-1") if latin else attribute
    return carried


def _rate(value: float) -> Fraction:
    """Return a frame rate that a file keeps as a decimal: the nearest of NTSC where it is one, such as 24000/1001."""
    ntsc = Fraction(round(value) * 1000, 1001)
    return ntsc if abs(value - ntsc) < 1e-3 else Fraction(value).limit_denominator(1000)


def _is_text(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
