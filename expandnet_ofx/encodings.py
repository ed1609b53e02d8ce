"""Encodings made of primaries and a curve, and the code points of ITU-T H.273 that name both."""

from __future__ import annotations

from functools import lru_cache

from expandnet_ofx import primaries
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
H273_CURVES = {4: "gamma2.2", 5: "gamma2.8", 8: "linear", 13: "srgb"} | dict.fromkeys((1, 6, 7, 11, 14, 15), "bt1886")
"""TransferCharacteristics of ITU-T H.273, table 3; camera curves are shown on a BT.1886 display."""
H273_HDR = {9: "logarithmic", 10: "logarithmic", 16: "PQ", 18: "HLG"}
UNSPECIFIED = 2
"""Code point of tables 2 and 3 for an unknown characteristic."""


@lru_cache(maxsize=64)
def combine(space: Primaries, curve: str) -> Encoding:
    """Return the encoding of primaries with a curve, named as in `transfer.ENCODINGS` or `gamma` and a number.

    Built-in encodings are returned as they are; others are made once, so that their tables are made once.
    """
    if space == primaries.REC709 and curve in ENCODINGS and ENCODINGS[curve].to_rec709 is None:
        return ENCODINGS[curve]
    if (space, curve) in BUILT_IN:
        return ENCODINGS[BUILT_IN[space, curve]]
    decode = ENCODINGS[curve].curve if curve in ENCODINGS else gamma_decode(float(curve.removeprefix("gamma")))
    if space == primaries.REC709:
        # ProPhoto's curve, 1.8 with a linear foot, is found with other primaries too.
        return Encoding(f"rec709-{curve}" if curve in ENCODINGS else curve, decode)
    return Encoding(f"{PRIMARIES_NAMES.get(space, 'own')}-{curve}", decode, primaries.to_rec709(space))
