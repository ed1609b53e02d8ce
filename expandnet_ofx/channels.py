"""Which channels of an image are its color and its alpha."""

from __future__ import annotations

from collections.abc import Sequence

RED, GREEN, BLUE = ("r", "red"), ("g", "green"), ("b", "blue")
GRAY = ("y", "l", "gray", "luminance", "i")
ALPHA = ("a", "alpha")
IDENTIFIERS = "crypto"
"""Layers that begin so hold identifiers and their coverage as float bits (Psyop, Cryptomatte specification 1.2)."""

Found = tuple[tuple[int, int, int], "int | None", bool]


def find_channels(names: Sequence[str]) -> Found:
    """Return the numbers of red, green and blue; of alpha; and whether there is color at all.

    The main layer comes first, else the first layer with color; alpha belongs to the color's own layer. A gray picture
    has its one channel three times. Positions and normals (X, Y, Z) are no color, and identifiers are none.
    """
    split = [name.lower().rpartition(".") for name in names]
    layers = list(dict.fromkeys(layer for layer, _, _ in split if not is_identifier(layer)))
    for layer in sorted(layers, key=lambda layer: layer != ""):
        own = {base: i for i, (of, _, base) in enumerate(split) if of == layer}
        alpha = _first(own, ALPHA)
        color = [_first(own, wanted) for wanted in (RED, GREEN, BLUE)]
        if None not in color:
            red, green, blue = (number for number in color if number is not None)
            return (red, green, blue), alpha, True
        gray = _first(own, GRAY)
        if gray is not None and not ({"x", "z"} & own.keys() and split[gray][2] == "y"):
            return (gray, gray, gray), alpha, True
    if is_lone(names):
        return (0, 0, 0), None, True
    alphas = [i for i, (_, _, base) in enumerate(split) if base in ALPHA]
    return (0, 0, 0), alphas[0] if alphas else None, False


def is_identifier(layer: str) -> bool:
    """Tell whether a layer, or a part by its name, holds identifiers: any word between its dots says so."""
    return any(word.startswith(IDENTIFIERS) for word in layer.lower().split("."))


def is_lone(names: Sequence[str]) -> bool:
    """Tell whether an image has one channel whose name does not say what it is: gray, if there is nothing else."""
    layer, _, base = names[0].lower().rpartition(".")
    known = base in ("z", "depth", *GRAY, *ALPHA) or is_identifier(layer)
    return len(names) == 1 and not known


def _first(own: dict[str, int], wanted: Sequence[str]) -> int | None:
    return next((own[name] for name in wanted if name in own), None)
