"""Folders of scene-linear HDR images, decoded once to half floats."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.errors import InputError
from expandnet_ofx.toml_files import read_toml
from expandnet_ofx.transfer import HALF_MAX

SUFFIXES = frozenset({".exr", ".hdr", ".rgbe", ".pfm", ".tif", ".tiff"})

LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Weights of ITU-R BT.709-6, item 3.2."""


@dataclass(frozen=True, eq=False)
class HDRImage:
    """One scene-linear image, scaled so that its median luminance is 1."""

    name: str
    """File name without suffix: the place, as a split names it."""
    pixels: NDArray[np.float16]
    """(H, W, 3) linear Rec.709 light, finite and >= 0."""
    latlong: bool
    """True if it is a full panorama, latitude by longitude."""


def clean(light: NDArray[np.float32]) -> NDArray[np.float16]:
    """Return light (H, W, 3) scaled to a median luminance of 1, without NaN, infinities and negatives, as half floats.

    Raises:
        ValueError: nothing in it is light.
    """
    light = np.clip(np.nan_to_num(light, nan=0.0, posinf=HALF_MAX, neginf=0.0), 0, None)
    luminance = light @ LUMINANCE
    lit = luminance[luminance > 0]
    if not lit.size:
        raise ValueError("black")
    return np.minimum(light / np.float32(np.median(lit)), np.float32(HALF_MAX)).astype(np.float16)


def load_image(path: Path, *, latlong: bool | None = None) -> HDRImage:
    """Read one image.

    Args:
        path: EXR, Radiance, PFM or float TIFF; its first three channels are taken for linear Rec.709.
        latlong: whether it is a panorama; None takes an image twice as wide as high for one.

    Raises:
        InputError: it cannot be read, has fewer than three channels, or is black.
    """
    pixels = read_light(path)
    try:
        half = clean(pixels)
    except ValueError:
        raise InputError(f"{path}: holds no light; leave it out of the folder") from None
    height, width = half.shape[:2]
    return HDRImage(path.stem, half, width == 2 * height if latlong is None else latlong)


def read_light(path: Path) -> NDArray[np.float32]:
    """Return the first three channels (H, W, 3) of an image as they are.

    Raises:
        InputError: there are not so many, or they are integers: codes of a display and no light.
    """
    import OpenImageIO as oiio

    buffer = oiio.ImageBuf(str(path))
    if not buffer.has_error and str(buffer.spec().format) not in ("half", "float", "double"):
        raise InputError(
            f"{path}: holds {buffer.spec().format} codes, not scene-linear light; give EXR, Radiance or PFM"
        )
    # Rows are decoded when they are asked for: what is damaged shows only then.
    pixels = None if buffer.has_error else buffer.get_pixels(oiio.FLOAT)
    if buffer.has_error:
        said = (buffer.geterror() or "no reason given").splitlines()[0]
        raise InputError(f"{path}: missing or damaged ({said}); copy it again, or leave it out")
    if pixels is None or pixels.ndim != 3 or pixels.shape[2] < 3:
        raise InputError(f"{path}: not a color image that can be read; leave it out")
    light: NDArray[np.float32] = pixels[:, :, :3]
    return light


def find_images(folder: Path) -> list[Path]:
    """Return the images of a folder, sorted by name; raise `InputError` if there is none or two share a name."""
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    names = [path.stem for path in paths]
    if not paths:
        raise InputError(f"{folder}: holds no HDR images ({', '.join(sorted(SUFFIXES))}); check the path")
    doubles = sorted({name for name in names if names.count(name) > 1})
    if doubles:
        raise InputError(f"{folder}: {doubles[0]} exists in two formats; keep one")
    return paths


def load_folder(paths: Iterable[Path], *, kinds: Mapping[str, bool] | None = None) -> list[HDRImage]:
    """Read images; `kinds` says by name which are panoramas, the others are told by their shape."""
    return [load_image(path, latlong=(kinds or {}).get(path.stem)) for path in paths]


@dataclass(frozen=True, kw_only=True)
class Split:
    """Which images of a folder train, which are held out, and what is known of their kind."""

    train: list[str]
    held: list[str]
    kinds: dict[str, bool]
    """By name, whether an image is a panorama; those that are left out are told by their shape."""


def read_split(path: Path, names: Sequence[str]) -> Split:
    """Read a split.

    Args:
        path: TOML file with a list `validation` of names, and optional lists `panoramas` and `photographs`.
        names: all that are there.

    Raises:
        InputError: the file cannot be read, or names an image that is not there.
    """
    try:
        data = read_toml(path)
        held = data["validation"]
        for name in ("validation", "panoramas", "photographs"):
            given = data.get(name, [])
            if not (isinstance(given, list) and all(isinstance(item, str) for item in given)):
                raise TypeError(f"{name} is {given!r}")
        kinds = {name: kind == "panoramas" for kind in ("panoramas", "photographs") for name in data.get(kind, ())}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a split ({error}); it needs a list named validation") from error
    absent = sorted({*held, *kinds} - set(names))
    if absent:
        raise InputError(f"{path}: {absent[0]} is not in the folder; check the names, they have no suffix")
    return Split(
        train=[name for name in names if name not in held], held=[name for name in names if name in held], kinds=kinds
    )
