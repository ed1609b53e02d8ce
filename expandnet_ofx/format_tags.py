"""Color tags of one format each: PNG chunks, DPX and OpenEXR headers, and the gamma of any other."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from expandnet_ofx import headers, primaries
from expandnet_ofx.encodings import PRIMARIES_NAMES, combine
from expandnet_ofx.errors import AlreadyHDRError, InputError
from expandnet_ofx.primaries import Primaries
from expandnet_ofx.transfer import ENCODINGS, Encoding

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


@dataclass(frozen=True, eq=False)
class TaggedFile:
    """An opened file, and how what it says is taken or refused."""

    spec: Any
    format: str
    path: Path
    force: bool

    @property
    def is_float(self) -> bool:
        """True if the file stores floats."""
        return str(self.spec.format) in ("half", "float", "double")

    def text(self, name: str) -> str:
        """Return an attribute that is text, empty if the file lacks it."""
        return str(self.spec.get_string_attribute(name))

    def unknown(self, what: str) -> InputError:
        """Make the error for a tag whose meaning is not known here."""
        return InputError(f"{self.path}: {what}; say what it is with --input-space")

    def refuse(self, what: str) -> None:
        """Raise `AlreadyHDRError`, unless the user forces on."""
        if not self.force:
            raise AlreadyHDRError(
                f"{self.path}: {what} is not display-referred, so there is no clipped white to recover; "
                "convert it to a display space first, or use --force to read it as sRGB"
            )

    def not_display(self, what: str, space: Primaries = primaries.REC709) -> Encoding:
        """Refuse light that is not display-referred; with force return sRGB's curve with the file's primaries."""
        self.refuse(what)
        return combine(space, "srgb")


def from_format(file: TaggedFile) -> Encoding | None:
    """Return what the tags of a format of its own say; None for formats without any."""
    if file.format == "png":
        return _from_png(file)
    if file.format == "dpx":
        return _from_dpx(file)
    if file.format == "openexr":
        return _from_openexr(file)
    gamma = 0.0 if file.is_float else float(file.spec.get_float_attribute("oiio:Gamma", 0.0))
    return combine(primaries.REC709, _gamma_curve(file, gamma)) if gamma else None


def _from_dpx(file: TaggedFile) -> Encoding:
    transfer = file.text("dpx:Transfer") or "Undefined"
    if transfer in DPX_LOG:
        return file.not_display(f"DPX transfer '{transfer}', logarithmic density,")
    if transfer not in DPX_CURVES:
        raise file.unknown(f"DPX transfer '{transfer}' does not tell how the codes become light")
    return combine(primaries.REC709, DPX_CURVES[transfer])


def _from_openexr(file: TaggedFile) -> Encoding | None:
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


def _from_png(file: TaggedFile) -> Encoding | None:
    """Return what sRGB, else gAMA and cHRM, say: PNG, third edition, 11.3.2."""
    chunks = headers.png_chunks(file.path)
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


def _gamma_curve(file: TaggedFile, gamma: float) -> str:
    """Return the curve of a decoding exponent; 2.2 stands for sRGB, which gAMA 45455 was meant to be near."""
    if abs(gamma - 2.2) < 0.03:
        return "srgb"
    if abs(gamma - 1) < 0.01:
        return "linear"
    if not 0.3 < gamma < 4:
        raise file.unknown(f"gamma {gamma:.4g} is not that of a display")
    return f"gamma{gamma:.4g}"


def _own_primaries(file: TaggedFile, tag: str, xy: ArrayLike) -> Primaries:
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
