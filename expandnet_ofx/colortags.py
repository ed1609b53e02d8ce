"""The encoding a file says it has: cICP, ICC, PNG chunks, EXIF, DPX and OpenEXR headers, in the standards' order.

OpenImageIO turns some color models into RGB without a word and leaves out some tags; those are looked up in the file.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from expandnet_ofx import icc, primaries
from expandnet_ofx.errors import AlreadyHDRError, InputError
from expandnet_ofx.primaries import D65, Primaries
from expandnet_ofx.transfer import ENCODINGS, Encoding, gamma_decode

PRIMARIES_NAMES = {
    primaries.REC709: "rec709",
    primaries.P3_D65: "p3-d65",
    primaries.REC2020: "rec2020",
    primaries.ADOBE_RGB: "adobe-rgb",
    primaries.PROPHOTO: "prophoto",
    primaries.AP0: "ap0",
    primaries.AP1: "ap1",
}
BUILT_IN = {
    (primaries.P3_D65, "srgb"): "display-p3",
    (primaries.ADOBE_RGB, "adobe-rgb"): "adobe-rgb",
    (primaries.ADOBE_RGB, "gamma2.2"): "adobe-rgb",
    (primaries.PROPHOTO, "prophoto"): "prophoto",
    (primaries.REC2020, "bt1886"): "rec2020-bt1886",
}
"""Names in `transfer.ENCODINGS` of primaries with a curve."""

_SMPTE_170M = Primaries((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), D65)
H273_PRIMARIES = {
    1: primaries.REC709,
    4: Primaries((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), (0.310, 0.316)),
    5: Primaries((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), D65),
    6: _SMPTE_170M,
    7: _SMPTE_170M,
    9: primaries.REC2020,
    11: Primaries((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    12: primaries.P3_D65,
    22: Primaries((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), D65),
}
"""ColourPrimaries of ITU-T H.273, table 2."""
H273_CURVES = {4: "gamma2.2", 5: "gamma2.8", 8: "linear", 13: "srgb"} | dict.fromkeys((1, 6, 14, 15), "bt1886")
"""TransferCharacteristics of ITU-T H.273, table 3; camera curves are shown on a BT.1886 display."""
H273_HDR = {9: "logarithmic", 10: "logarithmic", 16: "PQ", 18: "HLG"}
UNSPECIFIED = 2
"""Code point of tables 2 and 3 for an unknown characteristic."""

DPX_CURVES = {"Linear": "linear"} | dict.fromkeys(
    (
        "Unspecified video",
        "SMPTE 274M",
        "ITU-R 709-4",
        "ITU-R 601-5 system B or G",
        "ITU-R 601-5 system M",
        "NTSC composite video",
        "PAL composite video",
    ),
    "bt1886",
)
"""Transfer characteristics of SMPTE ST 268-1:2014, byte 801 of a file, as OpenImageIO spells them."""
DPX_LOG = ("Logarithmic", "Printing density", "ADX")

INTEROP_CURVES = {
    "lin": "linear",
    "srgb": "srgb",
    "srgbe": "srgb",
    "g18": "gamma1.8",
    "g22": "gamma2.2",
    "g24": "gamma2.4",
    "g26": "gamma2.6",
}
INTEROP_HDR = {"pq": "PQ", "hlg": "HLG"}
INTEROP_PRIMARIES = {
    "rec709": primaries.REC709,
    "p3d65": primaries.P3_D65,
    "rec2020": primaries.REC2020,
    "adobergb": primaries.ADOBE_RGB,
    "ap0": primaries.AP0,
    "ap1": primaries.AP1,
}
"""Parts of the Color Interop Forum's identifiers: curve, primaries, then `scene` or `display`."""

TIFF_RGB = (0, 1, 2, 3, 6)
"""PhotometricInterpretation of gray, RGB, palette and YCbCr, TIFF 6.0; all become RGB without a loss of meaning."""
PSD_MODELS = {4: "CMYK", 7: "multichannel"}
"""Modes of a Photoshop file that OpenImageIO reads as RGB: Adobe Photoshop File Formats Specification, file header."""

HEAD_BYTES = 1 << 18
GAIN_MAP_MARKS = (
    b"http://ns.adobe.com/hdr-gain-map/",
    b"hdrgm:",
    b"urn:iso:std:iso:ts:21496:-1",
    b"http://ns.apple.com/HDRGainMap/",
    b"urn:com:apple:photo:2020:aux:hdrgainmap",
)
ADOBE_RGB_MARKS = (b"\x01\0\x02\0\x04\0\0\0R03\0", b"\0\x01\0\x02\0\0\0\x04R03\0")
"""Interoperability index R03, DCF 2.0 (CIPA DC-009-2010), as its whole directory entry in either byte order."""


@dataclass(frozen=True, eq=False)
class _File:
    spec: Any
    format: str
    path: Path
    force: bool

    @property
    def is_float(self) -> bool:
        return str(self.spec.format) in ("half", "float", "double")

    def text(self, name: str) -> str:
        return str(self.spec.get_string_attribute(name))

    def unknown(self, what: str) -> InputError:
        return InputError(f"{self.path}: {what}; say what it is with --input-space")

    def refuse(self, what: str) -> None:
        if not self.force:
            raise AlreadyHDRError(
                f"{self.path}: {what} is not display-referred, so there is no clipped white to recover; "
                "convert it to a display space first, or use --force to read it as sRGB"
            )

    def not_display(self, what: str, space: Primaries = primaries.REC709) -> Encoding:
        """Refuse light that is not display-referred; with force return sRGB's curve with the file's primaries."""
        self.refuse(what)
        return combine(space, "srgb")


def tagged_encoding(spec: Any, format_name: str, path: Path, *, force: bool = False) -> Encoding:
    """Return the encoding a file is tagged with, else what untagged files of its kind are.

    The order is cICP, ICC profile, sRGB, gAMA and cHRM (PNG, third edition, 4.3), or the tags of another format, then
    EXIF. Untagged floats are linear and untagged integers sRGB. With `force`, log, PQ and HLG are read with sRGB's
    curve in the file's primaries, and a gain-map JPEG as its base picture.

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
    file = _File(spec, format_name, path, force)
    if format_name == "cineon":
        return file.not_display("Cineon, logarithmic density,")
    if format_name == "jpeg" and (file.is_float or _has_gain_map(path)):
        file.refuse("a JPEG with an HDR gain map")
        if file.is_float:
            # Read with its gain map applied: linear light, not the base picture that its profile describes.
            return ENCODINGS["linear"]
    return _from_cicp(file) or _from_icc(file) or _from_format(file) or _from_exif(file) or _untagged(file)


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
        model = PSD_MODELS.get(int.from_bytes(_head(path, 26)[24:26], "big"), "")
    if model:
        raise InputError(f"{path}: its color model is {model}, which is not read here; convert it to RGB first")


@lru_cache(maxsize=64)
def combine(space: Primaries, curve: str) -> Encoding:
    """Return the encoding of primaries with a curve, named as in `transfer.ENCODINGS` or `gamma` and a number.

    Built-in encodings are returned as they are; others are made once, so that their tables are made once.
    """
    if space == primaries.REC709 and curve in ENCODINGS:
        return ENCODINGS[curve]
    if (space, curve) in BUILT_IN:
        return ENCODINGS[BUILT_IN[space, curve]]
    decode = ENCODINGS[curve].curve if curve in ENCODINGS else gamma_decode(float(curve.removeprefix("gamma")))
    if space == primaries.REC709:
        return Encoding(curve, decode)
    return Encoding(f"{PRIMARIES_NAMES.get(space, 'own')}-{curve}", decode, primaries.to_rec709(space))


def _head(path: Path, size: int = HEAD_BYTES) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(size)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error


def _has_gain_map(path: Path) -> bool:
    """Tell whether a JPEG holds a gain map: Ultra HDR, ISO/TS 21496-1 or Apple's."""
    head = _head(path)
    if any(mark in head for mark in GAIN_MAP_MARKS):
        return True
    if b"MPF\0" not in head:
        return False
    # Apple describes the gain map only in the second picture of the multi-picture file (CIPA DC-007), far into it.
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return any(data.find(mark) >= 0 for mark in GAIN_MAP_MARKS)


def _from_cicp(file: _File) -> Encoding | None:
    code_points = file.spec.getattribute("CICP")
    return None if code_points is None else _h273(file, [int(value) for value in code_points], "cICP")


def _h273(file: _File, code_points: Sequence[int], tag: str) -> Encoding | None:
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


def _from_icc(file: _File) -> Encoding | None:
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


def _from_format(file: _File) -> Encoding | None:
    """Return what the tags of a format of its own say; None for formats without any."""
    if file.format == "png":
        return _from_png(file)
    if file.format == "dpx":
        return _from_dpx(file)
    if file.format == "openexr":
        return _from_openexr(file)
    gamma = 0.0 if file.is_float else float(file.spec.get_float_attribute("oiio:Gamma", 0.0))
    return combine(primaries.REC709, _gamma_curve(file, gamma)) if gamma else None


def _from_dpx(file: _File) -> Encoding:
    transfer = file.text("dpx:Transfer") or "Undefined"
    if transfer in DPX_LOG:
        return file.not_display(f"DPX transfer '{transfer}', logarithmic density,")
    if transfer not in DPX_CURVES:
        raise file.unknown(f"DPX transfer '{transfer}' does not tell how the codes become light")
    return combine(primaries.REC709, DPX_CURVES[transfer])


def _from_openexr(file: _File) -> Encoding | None:
    # Only here: tools carry this text over when they convert an EXR to PNG, where it is then wrong.
    if identifier := file.text("colorInteropID"):
        curve, _, rest = identifier.partition("_")
        gamut, _, state = rest.partition("_")
        if gamut in INTEROP_PRIMARIES and state in ("scene", "display"):
            if curve in INTEROP_HDR:
                return file.not_display(f"{INTEROP_HDR[curve]} ({identifier})", INTEROP_PRIMARIES[gamut])
            if curve in INTEROP_CURVES:
                return combine(INTEROP_PRIMARIES[gamut], INTEROP_CURVES[curve])
        raise file.unknown(f"colorInteropID '{identifier}' is not one known here")
    chromaticities = file.spec.getattribute("chromaticities")
    if chromaticities is None:
        return None
    return combine(_own_primaries(file, "chromaticities", chromaticities), "linear")


def _from_png(file: _File) -> Encoding | None:
    """Return what sRGB, else gAMA and cHRM, say: PNG, third edition, 11.3.2."""
    chunks = _png_chunks(file.path)
    if b"sRGB" in chunks:
        return ENCODINGS["srgb"]
    gamma, chroma = chunks.get(b"gAMA", b""), chunks.get(b"cHRM", b"")
    space, curve = primaries.REC709, "srgb"
    if len(chroma) == 32:
        white, *colors = np.reshape(struct.unpack(">8I", chroma), (4, 2)) / 100000
        space = _own_primaries(file, "cHRM", np.ravel([*colors, white]))
    if len(gamma) == 4:
        curve = _gamma_curve(file, 100000 / max(int.from_bytes(gamma, "big"), 1))
    return combine(space, curve) if gamma or chroma else None


def _png_chunks(path: Path) -> dict[bytes, bytes]:
    """Return the chunks sRGB, gAMA and cHRM that stand before the picture: PNG, third edition, 5.3 and 5.6."""
    chunks: dict[bytes, bytes] = {}
    if not _head(path, 8).startswith(b"\x89PNG"):
        return chunks
    with path.open("rb") as stream:
        stream.seek(8)
        while len(header := stream.read(8)) == 8 and header[4:] not in (b"IDAT", b"IEND"):
            size = int.from_bytes(header[:4], "big")
            kept = stream.read(min(size, 32)) if header[4:] in (b"sRGB", b"gAMA", b"cHRM") else b""
            if kept:
                chunks[header[4:]] = kept
            stream.seek(size - len(kept) + 4, 1)
    return chunks


def _gamma_curve(file: _File, gamma: float) -> str:
    """Return the curve of a decoding exponent; 2.2 stands for sRGB, which gAMA 45455 was meant to be near."""
    if abs(gamma - 2.2) < 0.03:
        return "srgb"
    if abs(gamma - 1) < 0.01:
        return "linear"
    if not 0.3 < gamma < 4:
        raise file.unknown(f"gamma {gamma:.4g} is not that of a display")
    return f"gamma{gamma:.4g}"


def _own_primaries(file: _File, tag: str, xy: ArrayLike) -> Primaries:
    """Return primaries of red, green, blue and white in (8,) xy, snapped to known ones within 0.001."""
    values = np.asarray(xy, np.float64).reshape(4, 2)
    for known in PRIMARIES_NAMES:
        if np.abs(values - (known.red, known.green, known.blue, known.white)).max() < 0.001:
            return known
    xyz = np.column_stack((values, 1 - values.sum(1))).T
    usable = np.isfinite(xyz).all() and np.abs(xyz).max() < 2 and np.abs(xyz[1]).min() > 1e-4
    if usable and abs(np.linalg.det(xyz[:, :3])) > 1e-3 and (np.linalg.solve(xyz[:, :3], xyz[:, 3]) > 0).all():
        red, green, blue, white = ((float(x), float(y)) for x, y in values)
        return Primaries(red, green, blue, white)
    raise file.unknown(f"{tag} {' '.join(f'{value:.4g}' for value in values.ravel())} are no usable primaries")


def _from_exif(file: _File) -> Encoding | None:
    """Return what Exif's ColorSpace says: 1 is sRGB (CIPA DC-008); Adobe RGB is 2, or R03 with another value."""
    space = file.spec.get_int_attribute("Exif:ColorSpace", 0)
    if space == 1:
        return ENCODINGS["srgb"]
    # OpenImageIO does not read the interoperability directory.
    head = _head(file.path) if file.format in ("jpeg", "png", "webp") and space != 2 else b""
    return ENCODINGS["adobe-rgb"] if space == 2 or any(mark in head for mark in ADOBE_RGB_MARKS) else None


def _untagged(file: _File) -> Encoding:
    return ENCODINGS["linear" if file.is_float else "srgb"]
