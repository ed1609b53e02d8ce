"""RGB primaries and the matrices between linear color spaces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Chromaticity = tuple[float, float]

D65: Chromaticity = (0.3127, 0.3290)
D50: Chromaticity = (0.3457, 0.3585)
ACES_WHITE: Chromaticity = (0.32168, 0.33767)


@dataclass(frozen=True)
class Primaries:
    """CIE 1931 xy of red, green, blue and white."""

    red: Chromaticity
    green: Chromaticity
    blue: Chromaticity
    white: Chromaticity


REC709 = Primaries((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), D65)
"""ITU-R BT.709-6, item 1.3."""
P3_D65 = Primaries((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), D65)
"""SMPTE EG 432-1."""
REC2020 = Primaries((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), D65)
"""ITU-R BT.2020-2, table 3."""
ADOBE_RGB = Primaries((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), D65)
"""Adobe RGB (1998) Color Image Encoding, 4.3.1."""
PROPHOTO = Primaries((0.734699, 0.265301), (0.159597, 0.840403), (0.036598, 0.000105), D50)
"""ISO 22028-2:2013 (ROMM RGB), 4.2."""
AP0 = Primaries((0.7347, 0.2653), (0.0, 1.0), (0.0001, -0.0770), ACES_WHITE)
"""SMPTE ST 2065-1:2021, 4.3."""
AP1 = Primaries((0.713, 0.293), (0.165, 0.830), (0.128, 0.044), ACES_WHITE)
"""Academy S-2014-004 (ACEScg)."""

BRADFORD: Matrix = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
"""Cone responses of the Bradford adaptation: ICC.1:2022, Annex E.3."""


def _xyz(xy: Chromaticity) -> Matrix:
    x, y = xy
    return np.array([x / y, 1.0, (1.0 - x - y) / y])


def to_xyz(primaries: Primaries) -> Matrix:
    """Return the matrix (3, 3) from linear RGB to CIE XYZ, Y of white 1: SMPTE RP 177-1993, 3.3."""
    columns = np.stack([_xyz(xy) for xy in (primaries.red, primaries.green, primaries.blue)], 1)
    matrix: Matrix = np.asarray(columns * np.linalg.solve(columns, _xyz(primaries.white)), np.float64)
    return matrix


def adaptation(source: Chromaticity, target: Chromaticity) -> Matrix:
    """Return the Bradford adaptation (3, 3) of XYZ from one white to another: ICC.1:2022, Annex E.3."""
    gain = (BRADFORD @ _xyz(target)) / (BRADFORD @ _xyz(source))
    matrix: Matrix = np.linalg.inv(BRADFORD) @ np.diag(gain) @ BRADFORD
    return matrix


def conversion(source: Primaries, target: Primaries) -> Matrix:
    """Return the matrix (3, 3) between linear RGB spaces, Bradford-adapted where the whites differ."""
    matrix = to_xyz(source)
    if source.white != target.white:
        matrix = adaptation(source.white, target.white) @ matrix
    result: Matrix = np.asarray(np.linalg.solve(to_xyz(target), matrix), np.float64)
    return result


def to_rec709(source: Primaries) -> Matrix:
    """Return the matrix (3, 3) from linear `source` to linear Rec.709."""
    return conversion(source, REC709)
