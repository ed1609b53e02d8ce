"""ICC profiles assembled from the published standard, and what the tags of a file are read as."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import OpenImageIO
import pytest

from expandnet_ofx.colortags import tagged_encoding
from expandnet_ofx.errors import InputError
from expandnet_ofx.transfer import Encoding

CODES = np.linspace(0, 1, 101, dtype=np.float32)
PICTURE = (np.arange(16 * 16 * 3).reshape(16, 16, 3) % 256).astype(np.uint8)

# Colorants as vendors' profiles hold them, adapted to D50: the sRGB profile of HP (1998), Adobe RGB (1998) of Adobe,
# Display P3 of Apple and ROMM RGB of Kodak.
SRGB_XYZ = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
ADOBE_XYZ = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
P3_XYZ = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
ROMM_XYZ = ((0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.0), (0.03134, 0.00009, 0.82491))


def s15(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def curv(*entries: int) -> bytes:
    return b"curv" + bytes(4) + struct.pack(f">I{len(entries)}H", len(entries), *entries)


def para(kind: int, *values: float) -> bytes:
    return b"para" + bytes(4) + struct.pack(">HH", kind, 0) + s15(*values)


def xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ " + bytes(4) + s15(*values)


def desc2(name: str) -> bytes:
    return b"desc" + bytes(4) + struct.pack(">I", len(name) + 1) + name.encode() + bytes(79)


def mluc(name: str) -> bytes:
    text = name.encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II4sII", 1, 12, b"enUS", len(text), 28) + text


def build(
    tags: dict[bytes, bytes], *, space: bytes = b"RGB ", kind: bytes = b"mntr", pcs: bytes = b"XYZ ", version: int = 2
) -> bytes:
    """Assemble a profile: header of 128 bytes, tag count, table, data aligned to 4."""
    table, body, at = b"", b"", 132 + 12 * len(tags)
    for signature, data in tags.items():
        table += signature + struct.pack(">II", at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(">I4sI", at + len(body), b"test", version << 24) + kind + space + pcs
    header += bytes(12) + b"acsp" + bytes(28) + s15(0.9642, 1.0, 0.8249)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def rgb_tags(colorants: tuple[tuple[float, ...], ...], curve: bytes, name: bytes | None = None) -> dict[bytes, bytes]:
    tags = {b"desc": name if name is not None else desc2("a test")}
    tags |= {tag: xyz(values) for tag, values in zip((b"rXYZ", b"gXYZ", b"bXYZ"), colorants, strict=True)}
    return tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)


def srgb_para() -> bytes:
    return para(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def srgb_table(count: int) -> bytes:
    codes = np.linspace(0, 1, count)
    light = np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)
    return curv(*(int(value) for value in np.round(light * 65535)))


def spec_of(channels: int = 3, pixel: str = "uint8") -> OpenImageIO.ImageSpec:
    return OpenImageIO.ImageSpec(4, 4, channels, pixel)


def of_file(path: Path, *, force: bool = False) -> Encoding:
    source = OpenImageIO.ImageInput.open(str(path))
    assert source is not None, OpenImageIO.geterror()
    try:
        return tagged_encoding(source.spec(), source.format_name(), path, force=force)
    finally:
        source.close()


def one_line(error: pytest.ExceptionInfo[InputError], path: Path | str) -> str:
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message
