"""What the nodes of the fake host do to pictures: real files through OpenImageIO, arrays in between."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio
from fakes import decode_srgb

LETTERS = {"r": "rgba.red", "g": "rgba.green", "b": "rgba.blue", "a": "rgba.alpha"}
NAMES = {"R": "rgba.red", "G": "rgba.green", "B": "rgba.blue", "A": "rgba.alpha"}
PARTS = {"R": "red", "G": "green", "B": "blue", "A": "alpha"}


@dataclass(frozen=True)
class Picture:
    """Channels by Nuke's names, (H, W) float32 over the data window."""

    channels: Mapping[str, np.ndarray]
    origin: tuple[int, int] = (0, 0)
    display: tuple[int, int] = (0, 0)
    aspect: float = 1.0
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the data window."""
        height, width = next(iter(self.channels.values())).shape
        return width, height

    def channel(self, name: str) -> np.ndarray:
        """Return a channel; one that is not there is black, as in Nuke."""
        found = self.channels.get(name)
        width, height = self.size
        return np.zeros((height, width), np.float32) if found is None else found


def nuke_name(channel: str) -> str:
    """Return Nuke's name of a channel of a file: `matte.R` is matte.red, `R` is rgba.red, `Z` is other.Z."""
    layer, dot, part = channel.rpartition(".")
    if not dot:
        return NAMES.get(channel, f"other.{channel}")
    return f"{layer}.{PARTS.get(part, part)}"


def read_file(path: Path) -> Picture:
    """Read a picture with its windows, codes or light as stored."""
    buffer = oiio.ImageBuf(str(path))
    pixels = buffer.get_pixels(oiio.FLOAT)
    assert not buffer.has_error, buffer.geterror()
    spec = buffer.spec()
    pixels = np.asarray(pixels).reshape(spec.height, spec.width, spec.nchannels)
    channels = {nuke_name(name): pixels[:, :, k] for k, name in enumerate(spec.channelnames)}
    return Picture(
        channels,
        (spec.x, spec.y),
        (spec.full_width, spec.full_height),
        spec.get_float_attribute("PixelAspectRatio", 1.0),
    )


def write_file(path: Path, picture: Picture, names: list[str], kind: str, compression: str) -> str:
    """Write channels of a picture as EXR; return what went wrong, empty if nothing did."""
    width, height = picture.size
    spec = oiio.ImageSpec(width, height, len(names), kind)
    spec.channelnames = tuple({v: k for k, v in NAMES.items()}[name] for name in names)
    spec.x, spec.y = picture.origin
    spec.full_width, spec.full_height = picture.display
    spec.attribute("PixelAspectRatio", picture.aspect)
    spec.attribute("compression", compression)
    output = oiio.ImageOutput.create(str(path))
    if not output.open(str(path), spec):
        return str(output.geterror())
    pixels = np.stack([picture.channel(name) for name in names], 2)
    done = output.write_image(np.ascontiguousarray(pixels, np.float32)) and output.close()
    return "" if done else str(output.geterror())


def linearized(picture: Picture, colorspace: str) -> Picture:
    """Undo what a Read's colorspace says, as Nuke's own mode does; curves written here on their own."""
    curves: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "sRGB": decode_srgb,
        "linear": lambda x: x,
        "Gamma2.2": lambda x: np.maximum(x, 0) ** 2.2,
    }
    color = {"rgba.red", "rgba.green", "rgba.blue"}
    curve = curves[colorspace]
    channels = {
        name: curve(value).astype(np.float32) if name in color else value for name, value in picture.channels.items()
    }
    return replace(picture, channels=channels)


def halved(picture: Picture) -> Picture:
    """Return a picture as proxy mode gives it: every second pixel."""
    channels = {name: value[::2, ::2] for name, value in picture.channels.items()}
    return replace(picture, channels=channels, display=(picture.display[0] // 2, picture.display[1] // 2))


# Expressions, as Nuke's manual describes them under "Expression syntax": C-like, pointwise.

TOKEN = re.compile(r"\s*(\d+\.?\d*|[A-Za-z_]\w*(?:\.\w+)*|&&|\|\||[<>=!]=|[-+*/()?:,<>!])")


def evaluate(text: str, look_up: Callable[[str], Any]) -> Any:
    """Evaluate an expression on arrays; `look_up` gives what names stand for."""
    tokens = _tokens(text)
    value = _ternary(tokens, look_up)
    assert not tokens, f"{text}: left over {tokens}"
    return value


def names_in(text: str) -> set[str]:
    """Return the names that an expression mentions."""
    return {token for token in _tokens(text) if re.match(r"[A-Za-z_]", token)}


def _tokens(text: str) -> list[str]:
    tokens, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = TOKEN.match(text, at)
        assert match, f"{text[at:]}: not an expression"
        tokens.append(match[1])
        at = match.end()
    return tokens


def _ternary(tokens: list[str], look_up: Callable[[str], Any]) -> Any:
    condition = _binary(tokens, look_up, 0)
    if tokens[:1] != ["?"]:
        return condition
    tokens.pop(0)
    yes = _ternary(tokens, look_up)
    assert tokens.pop(0) == ":"
    return np.where(np.asarray(condition) != 0, yes, _ternary(tokens, look_up))


LEVELS: list[dict[str, Callable[[Any, Any], Any]]] = [
    {"||": np.logical_or},
    {"&&": np.logical_and},
    {"<": np.less, ">": np.greater, "<=": np.less_equal, ">=": np.greater_equal, "==": np.equal, "!=": np.not_equal},
    {"+": np.add, "-": np.subtract},
    {"*": np.multiply, "/": np.divide},
]


def _binary(tokens: list[str], look_up: Callable[[str], Any], level: int) -> Any:
    if level == len(LEVELS):
        return _unary(tokens, look_up)
    value = _binary(tokens, look_up, level + 1)
    while tokens and tokens[0] in LEVELS[level]:
        how = LEVELS[level][tokens.pop(0)]
        with np.errstate(all="ignore"):
            value = how(value, _binary(tokens, look_up, level + 1))
    return value


def _unary(tokens: list[str], look_up: Callable[[str], Any]) -> Any:
    token = tokens.pop(0)
    if token == "-":
        return -_unary(tokens, look_up)
    if token == "!":
        return np.logical_not(_unary(tokens, look_up))
    if token == "(":
        value = _ternary(tokens, look_up)
        assert tokens.pop(0) == ")"
        return value
    if token[0].isdigit():
        return float(token)
    if tokens[:1] == ["("]:
        assert token == "pow", f"{token}: not a function that is known"
        tokens.pop(0)
        base = _ternary(tokens, look_up)
        assert tokens.pop(0) == ","
        power = _ternary(tokens, look_up)
        assert tokens.pop(0) == ")"
        with np.errstate(all="ignore"):
            return np.power(np.asarray(base, np.float64), power)
    return look_up(token)
