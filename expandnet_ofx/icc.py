"""ICC profiles of three primaries or one gray channel: read defensively, and recognized by what they do.

Clause numbers are those of ICC.1:2022. A profile is matched by primaries and curve, never by its name, so copies of a
space from any vendor and of any version are the same space.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx import primaries
from expandnet_ofx.primaries import Matrix, Primaries
from expandnet_ofx.transfer import ENCODINGS

PROBES: NDArray[np.float64] = np.linspace(0, 1, 33)
"""Codes at which a profile's curve is compared."""
CURVE_TOLERANCE = 0.006
"""Largest difference of decoded light: sRGB and gamma 2.2, the closest pair told apart, differ by 0.0085."""
PRIMARIES_TOLERANCE = 0.003
"""Largest difference of an XYZ entry: vendors round, and adapt their white, slightly differently."""
MAX_TAGS = 256
"""Real profiles hold fewer than 60 tags; more is a broken or hostile file."""

SPACES = (
    primaries.REC709,
    primaries.P3_D65,
    primaries.ADOBE_RGB,
    primaries.PROPHOTO,
    primaries.REC2020,
    primaries.AP0,
    primaries.AP1,
)
OWN_CURVES = {primaries.ADOBE_RGB: "adobe-rgb", primaries.PROPHOTO: "prophoto"}
COMMON_CURVES = ("srgb", "gamma2.2", "rec709-scene", "bt1886", "linear", "prophoto")
LUT_TAGS = (b"A2B0", b"A2B1", b"A2B2", b"D2B0", b"D2B1", b"D2B2", b"D2B3")
"""Tags that take precedence over primaries and curves: 8.10.2."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Profile:
    """What of a profile decides how codes become light."""

    name: str
    """Description, printable and at most 60 characters; `unnamed` where there is none."""
    space: str
    """Data color space signature without padding, such as `RGB`, `GRAY` or `CMYK`: 7.2.6."""
    cicp: tuple[int, int, int, int] | None
    """Primaries, transfer, matrix and full-range flag of ITU-T H.273: 9.2.17."""
    to_xyz: Matrix | None
    """Matrix (3, 3) from linear RGB to XYZ of the profile connection space, D50; None unless the profile is one."""
    curves: NDArray[np.float64] | None
    """Light of each channel at `PROBES`, (3, 33) or (1, 33) for gray; None where a curve is missing or broken."""


def read(data: bytes) -> Profile | None:
    """Return what a profile says, None if the bytes are no profile; broken parts of it are None in the result.

    Never raises on any bytes, and allocates no more than a few times their length.
    """
    if len(data) < 132 or data[36:40] != b"acsp":
        return None
    tags = _tag_table(data)
    space = data[16:20].decode("ascii", "replace").strip()
    # Only XYZ connects through primaries; in Lab a gray curve would be lightness: Annex F.
    device = data[12:16] in (b"mntr", b"scnr", b"prtr", b"spac") and data[20:24] == b"XYZ "
    matrix_profile = device and not any(tag in tags for tag in LUT_TAGS)
    gray = space == "GRAY"
    return Profile(
        name=_name(tags.get(b"desc", b"")),
        space=space,
        cicp=_cicp(tags.get(b"cicp", b"")),
        to_xyz=_matrix(tags) if matrix_profile and not gray else None,
        curves=_curves(tags, gray) if matrix_profile else None,
    )


def recognize(profile: Profile) -> tuple[Primaries, str] | None:
    """Return the primaries and the name of the curve of a profile, None if either is not known here.

    The curve is a name of `transfer.ENCODINGS`; gray profiles count as Rec.709, whose matrix leaves gray alone.
    """
    curves, matrix = profile.curves, profile.to_xyz
    if curves is None:
        return None
    if profile.space == "GRAY":
        return _with_curve(primaries.REC709, curves)
    if profile.space != "RGB" or matrix is None:
        return None
    differences = [(float(np.abs(_adapted(space) - matrix).max()), space) for space in SPACES]
    difference, nearest = min(differences, key=lambda pair: pair[0])
    return _with_curve(nearest, curves) if difference < PRIMARIES_TOLERANCE else None


def _with_curve(space: Primaries, curves: NDArray[np.float64]) -> tuple[Primaries, str] | None:
    own = OWN_CURVES.get(space)
    names = [*([own] if own else []), *COMMON_CURVES]
    differences = [float(np.abs(curves - _probed(name)).max()) for name in names]
    # Rounded, so that a space's own curve wins over one that is the same within a profile's precision.
    best = min(range(len(names)), key=lambda index: round(differences[index], 3))
    return (space, names[best]) if differences[best] < CURVE_TOLERANCE else None


@lru_cache(maxsize=16)
def _probed(name: str) -> NDArray[np.float64]:
    curve: Callable[[Any], Any] = ENCODINGS[name].curve
    return np.asarray(curve(PROBES), np.float64)


@lru_cache(maxsize=16)
def _adapted(space: Primaries) -> Matrix:
    adapted: Matrix = primaries.adaptation(space.white, primaries.D50) @ primaries.to_xyz(space)
    return adapted


def _integer(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


def _tag_table(data: bytes) -> dict[bytes, bytes]:
    """Return the tags this module reads: 7.3; a tag that reaches beyond the data is left out."""
    wanted = {b"desc", b"cicp", b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC", b"kTRC", *LUT_TAGS}
    count = _integer(data, 128)
    tags: dict[bytes, bytes] = {}
    for entry in range(132, 132 + 12 * count if count <= MAX_TAGS else 132, 12):
        signature, offset, size = data[entry : entry + 4], _integer(data, entry + 4), _integer(data, entry + 8)
        if signature in wanted and offset + size <= len(data):
            tags.setdefault(signature, data[offset : offset + size])
    return tags


def _name(tag: bytes) -> str:
    """Return the text of a multiLocalizedUnicodeType, 10.15, or of the textDescriptionType of version 2."""
    text = ""
    if tag[:4] == b"mluc" and len(tag) >= 28:
        size, offset = _integer(tag, 20), _integer(tag, 24)
        text = tag[offset : offset + min(size, 400)].decode("utf-16-be", "replace")
    elif tag[:4] == b"desc":
        text = tag[12 : 12 + min(_integer(tag, 8), 200)].decode("ascii", "replace")
    return "".join(char for char in text if char.isprintable())[:60].strip() or "unnamed"


def _cicp(tag: bytes) -> tuple[int, int, int, int] | None:
    return (tag[8], tag[9], tag[10], tag[11]) if tag[:4] == b"cicp" and len(tag) >= 12 else None


def _matrix(tags: dict[bytes, bytes]) -> Matrix | None:
    columns = []
    for name in (b"rXYZ", b"gXYZ", b"bXYZ"):
        tag = tags.get(name, b"")
        if tag[:4] != b"XYZ " or len(tag) < 20:
            return None
        columns.append(np.array(struct.unpack_from(">3i", tag, 8)) / 65536)
    return np.stack(columns, 1)


def _curves(tags: dict[bytes, bytes], gray: bool) -> NDArray[np.float64] | None:
    names = (b"kTRC",) if gray else (b"rTRC", b"gTRC", b"bTRC")
    curves = [_curve(tags.get(name, b"")) for name in names]
    found = [curve for curve in curves if curve is not None and np.isfinite(curve).all()]
    return np.stack(found) if len(found) == len(names) else None


def _curve(tag: bytes) -> NDArray[np.float64] | None:
    """Return the light at `PROBES` of a curveType, 10.6, or a parametricCurveType, 10.18; None for anything else."""
    if tag[:4] == b"para" and len(tag) >= 12:
        return _parametric(int.from_bytes(tag[8:10], "big"), tag)
    if tag[:4] != b"curv" or len(tag) < 12:
        return None
    count = _integer(tag, 8)
    if count > 65536 or len(tag) < 12 + 2 * count:
        return None
    entries = np.frombuffer(tag, ">u2", count, 12).astype(np.float64)
    if count == 0:
        return PROBES
    if count == 1:
        return np.asarray(PROBES ** (entries[0] / 256), np.float64)
    return np.asarray(np.interp(PROBES, np.linspace(0, 1, count), entries / 65535), np.float64)


def _parametric(kind: int, tag: bytes) -> NDArray[np.float64] | None:
    """Evaluate the functions of 10.18, all of the form (a X + b)^g + e from X = d on, c X + f below."""
    lengths = (1, 3, 4, 5, 7)
    if kind >= len(lengths) or len(tag) < 12 + 4 * lengths[kind]:
        return None
    g, *rest = (value / 65536 for value in struct.unpack_from(f">{lengths[kind]}i", tag, 12))
    a, b, c, d, e, f = 1.0, 0.0, 0.0, 0.0, 0.0, 0.0
    if kind in (1, 2):
        a, b = rest[:2]
        if a == 0:
            return None
        d = -b / a
        e = f = rest[2] if kind == 2 else 0.0
    elif kind == 3:
        a, b, c, d = rest
    elif kind == 4:
        a, b, c, d, e, f = rest
    with np.errstate(all="ignore"):
        upper = np.power(np.maximum(a * PROBES + b, 0), g) + e
    return np.asarray(np.where(d <= PROBES, upper, c * PROBES + f), np.float64)
