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
            carried.setdefault("FramesPerSecond", film_rate(Fraction(float(attribute.value)).limit_denominator(1001)))
        if name.startswith(("dpx:", "cineon:", "fits:", "psd:", "gainmap", "uhdr")) or not _is_text(attribute.name):
            continue
        value = attribute.value
        # Old cameras and painters write Latin-1; it arrives as undecodable bytes.
        latin = isinstance(value, str) and not _is_text(value)
        carried[attribute.name] = value.encode("utf-8", "surrogateescape").decode("latin-1") if latin else attribute
    return carried


def film_rate(rate: Fraction) -> Fraction:
    """Return a frame rate that a file rounds: the nearest of NTSC where it is one, such as 24000/1001."""
    ntsc = Fraction(round(rate) * 1000, 1001)
    # 23.98 is one of them, 24.98 is none.
    return ntsc if abs(rate - ntsc) < rate / 6_000 else rate


def pixel_aspect(spec: Any, format_name: str) -> float:
    """Return the width of a pixel over its height; 1 where a file does not say.

    JPEG and BMP say how many pixels lie in a unit of length, along each axis (JFIF 1.02, APP0; of it OpenImageIO makes the
    inverse).
    """
    x, y = (spec.get_float_attribute(f"{axis}Resolution") for axis in "XY")
    if format_name in ("jpeg", "bmp") and x > 0 and y > 0:
        return float(y / x)
    return float(spec.get_float_attribute("PixelAspectRatio", 1.0))


_IN_INCHES = {"in": 1.0, "inch": 1.0, "cm": 2.54, "m": 0.0254}


def resolution(spec: Any, *, turned: bool = False) -> dict[str, Any]:
    """Return how many pixels lie in an inch, as OpenEXR has it; nothing where a file does not say, or in another unit.

    Args:
        turned: rows become columns.
    """
    unit = _IN_INCHES.get(spec.get_string_attribute("ResolutionUnit"))
    x, y = (spec.get_float_attribute(f"{axis}Resolution") for axis in ("YX" if turned else "XY"))
    if unit is None or min(x, y) <= 0:
        return {}
    return {"XResolution": unit * x, "YResolution": unit * y, "ResolutionUnit": "in"}


def _is_text(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
