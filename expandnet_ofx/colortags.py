"""The encoding a file says it has: cICP, ICC, PNG chunks, EXIF, DPX and OpenEXR headers, in the standards' order.

OpenImageIO turns some color models into RGB without a word and leaves out some tags; those are looked up in the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from expandnet_ofx import headers, icc, primaries
from expandnet_ofx.encodings import H273_CURVES, H273_HDR, H273_PRIMARIES, UNSPECIFIED, combine
from expandnet_ofx.errors import InputError
from expandnet_ofx.format_tags import TaggedFile, from_format
from expandnet_ofx.transfer import ENCODINGS, Encoding

TIFF_RGB = (0, 1, 2, 3, 6)
"""PhotometricInterpretation of gray, RGB, palette and YCbCr, TIFF 6.0; all become RGB without a loss of meaning."""
PSD_MODELS = {4: "CMYK", 7: "multichannel"}
"""Modes of a Photoshop file that OpenImageIO reads as RGB: Adobe Photoshop File Formats Specification, file header."""


def tagged_encoding(spec: Any, format_name: str, path: Path, *, force: bool = False) -> Encoding:
    """Return the encoding a file is tagged with, else what untagged files of its kind are.

    The order is cICP, ICC profile, sRGB, gAMA and cHRM (PNG, third edition, 4.3), or the tags of another format, then
    EXIF. Untagged floats are linear and untagged integers sRGB. With `force`, log, PQ and HLG are read with sRGB's
    curve in the file's primaries (those of a movie with BT.1886's), and a gain-map JPEG as its base picture.

    Args:
        spec: OpenImageIO's `ImageSpec` of the opened file.
        format_name: OpenImageIO's name of the format, such as `png` or `openexr`.
        path: the file, for messages and for tags that OpenImageIO leaves out.
        force: read light that is not display-referred all the same.

    Raises:
        AlreadyHDRError: log, PQ, HLG or a gain map, without `force`.
        InputError: the color model is not RGB or gray, or a tag is not known here.
    """
    check_color_model(spec, format_name, path)
    file = TaggedFile(spec, format_name, path, force)
    if format_name == "cineon":
        return file.not_display("Cineon, logarithmic density,")
    if format_name == "jpeg" and (file.is_float or headers.has_gain_map(path)):
        file.refuse("a JPEG with an HDR gain map")
        if file.is_float:
            # Read with its gain map applied: linear light, not the base picture that its profile describes.
            return ENCODINGS["linear"]
    return _from_cicp(file) or _from_icc(file) or from_format(file) or _from_exif(file) or _untagged(file)


def check_color_model(spec: Any, format_name: str, path: Path) -> None:
    """Raise `InputError` if the file is CMYK, Lab or another model that OpenImageIO silently turns into RGB."""
    model = ""
    if format_name == "jpeg" and spec.get_string_attribute("jpeg:ColorSpace") in ("CMYK", "YCbCrK"):
        model = "CMYK"
    elif format_name == "tiff":
        photometric = spec.get_int_attribute("tiff:PhotometricInterpretation", 2)
        if photometric not in TIFF_RGB:
            names = {5: "CMYK", 8: "CIELAB", 9: "CIELAB", 10: "CIELAB", 32803: "raw camera data"}
            model = names.get(photometric, f"TIFF photometric interpretation {photometric}")
    elif format_name == "psd":
        model = PSD_MODELS.get(headers.psd_mode(path), "")
    if model:
        raise InputError(f"{path}: its color model is {model}, which is not read here; convert it to RGB first")


def _from_cicp(file: TaggedFile) -> Encoding | None:
    code_points = file.spec.getattribute("CICP")
    return None if code_points is None else _h273(file, [int(value) for value in code_points], "cICP")


def _h273(file: TaggedFile, code_points: Sequence[int], tag: str) -> Encoding | None:
    """Return the encoding of code points of ITU-T H.273, None if they say that nothing is specified."""
    if len(code_points) < 4 or tuple(code_points[:2]) == (UNSPECIFIED, UNSPECIFIED):
        return None
    color, transfer, _, full_range = code_points[:4]
    what = f"{tag} {'/'.join(map(str, code_points[:4]))}"
    if transfer in H273_HDR:
        return file.not_display(f"{H273_HDR[transfer]} ({what})", H273_PRIMARIES.get(color, primaries.REC709))
    if color not in H273_PRIMARIES or transfer not in H273_CURVES:
        raise file.unknown(f"{what} has primaries or a transfer not known here")
    if not full_range:
        raise InputError(f"{file.path}: {what} is narrow range; convert it to full range first, or use --input-space")
    return combine(H273_PRIMARIES[color], H273_CURVES[transfer])


def _from_icc(file: TaggedFile) -> Encoding | None:
    attribute = file.spec.getattribute("ICCProfile")
    if attribute is None:
        return None
    profile = icc.read(np.asarray(attribute).astype(np.uint8).tobytes())
    if profile is None:
        raise file.unknown("the ICC profile is broken")
    if profile.cicp and profile.cicp[1] in H273_HDR:
        return _h273(file, profile.cicp, f"ICC profile '{profile.name}' with cicp")
    known = icc.recognize(profile)
    if known is None or (profile.space == "GRAY" and file.spec.nchannels > 2):
        raise file.unknown(
            f"ICC profile '{profile.name}' is not one known here (sRGB, Display P3, Adobe RGB, ProPhoto)"
        )
    return combine(*known)


def _from_exif(file: TaggedFile) -> Encoding | None:
    """Return what Exif's ColorSpace says: 1 is sRGB (CIPA DC-008); Adobe RGB is 2, or R03 with another value."""
    space = file.spec.get_int_attribute("Exif:ColorSpace", 0)
    if space == 1:
        return ENCODINGS["srgb"]
    # OpenImageIO does not read the interoperability directory.
    marked = space == 2 or (file.format in ("jpeg", "png", "webp") and headers.has_adobe_rgb_mark(file.path))
    return ENCODINGS["adobe-rgb"] if marked else None


def _untagged(file: TaggedFile) -> Encoding:
    return ENCODINGS["linear" if file.is_float else "srgb"]
