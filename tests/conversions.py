"""Conversions of small pictures from file to file, and what is found in the results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import OpenImageIO as oiio
from fakes import PointEngine, decode_srgb
from PIL import Image

from expandnet_ofx import Expander, Settings
from expandnet_ofx.convert import Converter
from expandnet_ofx.output_options import OutputOptions

RNG = np.random.default_rng(8)
HEIGHT, WIDTH = 40, 56


def scene() -> np.ndarray:
    """Return 8-bit codes (H, W, 3) of noise from dark to nearly white, with a clipped square in the middle."""
    codes = RNG.integers(0, 200, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    codes[12:28, 20:36] = 255
    return codes


CODES = scene()
FLAT = (slice(0, 8), slice(None))
"""Rows far from the clipped square."""


def converter(*, gain: float = 4.0, options: OutputOptions | None = None, **settings: object) -> Converter:
    chosen = Settings(**{"white": 1.0, **settings})  # type: ignore[arg-type]
    return Converter(Expander(chosen, engine=PointEngine(gain=gain)), options)


def convert(source: Path, target: Path, *, options: OutputOptions | None = None, **settings: object) -> Path:
    made = converter(options=options, **settings)
    made.render(made.prepare(source), target)
    return target


def save(path: Path, codes: np.ndarray = CODES, **options: object) -> Path:
    Image.fromarray(codes).save(path, **options)
    return path


def channels_of(path: Path, part: int = 0) -> dict[str, np.ndarray]:
    """Return each channel in its own type: half as float32, float, or uint32."""
    source = oiio.ImageInput.open(str(path))
    assert source.seek_subimage(part, 0)
    spec = source.spec()
    found = {}
    for i, name in enumerate(spec.channelnames):
        kind = str(spec.channelformats[i] if spec.channelformats else spec.format)
        found[name] = source.read_image(part, 0, i, i + 1, "uint" if kind in ("uint", "uint32") else "float")[:, :, 0]
    source.close()
    return found


def rgb(path: Path, part: int = 0) -> np.ndarray:
    found = channels_of(path, part)
    return np.stack([found[name] for name in "RGB"], 2)


def spec_of(path: Path, part: int = 0) -> oiio.ImageSpec:
    source = oiio.ImageInput.open(str(path))
    assert source.seek_subimage(part, 0)
    spec = source.spec().copy()
    source.close()
    return spec


def write_exr(
    path: Path, parts: list[dict[str, np.ndarray]], *, names: list[str] | None = None, **extra: object
) -> Path:
    """Write parts of float16, float32 or uint32 channels; attributes of `ImageSpec` are set as such, others added."""
    kinds = {"uint32": "uint", "float16": "half", "float32": "float"}
    specs, planes = [], []
    for number, channels in enumerate(parts):
        first = next(iter(channels.values()))
        formats = [kinds[plane.dtype.name] for plane in channels.values()]
        spec = oiio.ImageSpec(first.shape[1], first.shape[0], len(channels), formats[0])
        spec.channelnames = tuple(channels)
        spec.channelformats = tuple(oiio.TypeDesc(kind) for kind in formats)
        if names:
            spec.attribute("oiio:subimagename", names[number])
        for name, value in extra.items():
            if hasattr(spec, name):
                setattr(spec, name, value)
            else:
                spec.attribute(name.replace("__", ":"), *(value if isinstance(value, tuple) else (value,)))
        specs.append(spec)
        # OpenImageIO maps [0, 1] to the whole range of integers.
        full = {"uint32": 2**32 - 1}
        planes.append(
            np.stack([plane.astype(np.float64) / full.get(plane.dtype.name, 1) for plane in channels.values()], 2)
        )
    output = oiio.ImageOutput.create(str(path))
    assert output.open(str(path), tuple(specs)) if len(specs) > 1 else output.open(str(path), specs[0])
    for number, pixels in enumerate(planes):
        if number:
            assert output.open(str(path), specs[number], "AppendSubimage")
        assert output.write_image(pixels), output.geterror()
    assert output.close()
    return path


def linear_channels(codes: np.ndarray = CODES) -> dict[str, np.ndarray]:
    light = decode_srgb(codes / 255.0).astype(np.float16)
    return {name: light[:, :, i] for i, name in enumerate("RGB")}
