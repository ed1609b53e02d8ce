"""Color spaces beyond the built-in ones, through OpenColorIO as OpenImageIO carries it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx import primaries
from expandnet_ofx.arrays import beside, to_host
from expandnet_ofx.errors import AlreadyHDRError, UsageError
from expandnet_ofx.image_files import check_name
from expandnet_ofx.settings import Settings
from expandnet_ofx.transfer import ENCODINGS, Array, Encoding, named_encoding

Matrix = NDArray[np.float64]

OUTPUT_SPACES: dict[str, tuple[primaries.Primaries, str]] = {
    "linear-rec709": (primaries.REC709, "lin_rec709_scene"),
    "acescg": (primaries.AP1, "lin_ap1_scene"),
    "aces2065-1": (primaries.AP0, "lin_ap0_scene"),
}
"""Built-in output spaces with their Color Interop ID."""

BUILT_IN_CONFIG = "ocio://default"
"""What OpenImageIO takes where neither an option nor $OCIO names a config."""

NOT_DISPLAY = ("log", "slog", "v-log", "pq", "st2084", "hlg", "2100", "1000nit", "2000nit", "4000nit")
"""Parts of an OpenColorIO name that tell that the space is not display-referred SDR."""


@lru_cache(maxsize=8)
def _config(ocio: str | None) -> Any:
    import OpenImageIO as oiio

    check_name(Path(ocio or ""), UsageError)
    config = oiio.ColorConfig(ocio) if ocio else oiio.ColorConfig()
    if error := config.geterror():
        raise UsageError(f"--ocio {ocio or '$OCIO'}: cannot be loaded ({error.splitlines()[0]}); check the path")
    return config


def _convert(pixels: Array, source: str, target: str, ocio: str | None) -> Array:
    """Convert (n, 3) pixels between spaces of a config."""
    import OpenImageIO as oiio

    buffer = oiio.ImageBuf(np.ascontiguousarray(pixels.reshape(1, -1, 3), np.float32))
    _config(ocio)
    result = oiio.ImageBufAlgo.colorconvert(buffer, source, target, colorconfig=ocio or "")
    if result.has_error:
        raise UsageError(f"OpenColorIO cannot convert {source!r} to {target!r}: {result.geterror()}")
    return np.asarray(result.get_pixels(oiio.FLOAT), np.float32).reshape(-1, 3)


def _known_space(name: str, ocio: str | None, option: str) -> str:
    config = _config(ocio)
    resolved: str = config.resolve(name)
    if resolved not in config.getColorSpaceNames():
        shown = ", ".join([*ENCODINGS] if option == "--input-space" else [*OUTPUT_SPACES])
        raise UsageError(f"{option} {name}: neither built in ({shown}) nor a space of the OpenColorIO config")
    return resolved


def _rec709_space(ocio: str | None) -> str:
    """Return the config's name of linear Rec.709, by which its other spaces are measured."""
    config, name = _config(ocio), "lin_rec709_scene"
    resolved: str = config.resolve(name)
    if resolved not in config.getColorSpaceNames():
        raise UsageError(f"--ocio {ocio or '$OCIO'}: has no space {name}; add that alias to its linear Rec.709")
    return resolved


def uses_config(settings: Settings) -> bool:
    """Tell whether a space of the settings is not built in, so that an OpenColorIO config says what it is."""
    inputs, outputs = {"auto", *ENCODINGS}, {None, *OUTPUT_SPACES}
    return settings.input_space not in inputs or not {settings.output_space, settings.linearized} <= outputs


def input_encoding(name: str, *, ocio: str | None = None, force: bool = False) -> Encoding:
    """Return the encoding of a name: built-in, else a display-referred space of an OpenColorIO config.

    A config's space is used if it is a curve per channel followed by a matrix, as every display and texture space is;
    both are measured from the config, so that clipping can be judged per channel in the plate's own primaries.

    Raises:
        UsageError: the name is unknown, or the space mixes channels in another way.
        AlreadyHDRError: the space is log, PQ or HLG.
    """
    if name in ENCODINGS:
        return named_encoding(name)
    return _ocio_encoding(name, ocio, force)


@lru_cache(maxsize=16)
def _ocio_encoding(name: str, ocio: str | None, force: bool) -> Encoding:
    space, target = _known_space(name, ocio, "--input-space"), _rec709_space(ocio)
    if any(part in space.lower() for part in NOT_DISPLAY) and not force:
        raise AlreadyHDRError(f"--input-space {name}: not display-referred, so there is no clipped white; --force runs")
    black, red, green, blue, white = _convert(
        np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]], np.float32), space, target, ocio
    ).astype(np.float64)
    matrix = np.stack((red - black, green - black, blue - black), 1)
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-6:
        raise UsageError(f"--input-space {name}: not a color space of three primaries; use one that is")
    inverse = np.linalg.inv(matrix)
    if white.max() > 1.5 and not force:
        raise AlreadyHDRError(
            f"--input-space {name}: code 1 is light of {white.max():.0f}; not display-referred; --force runs"
        )

    def curve(codes: Array) -> Array:
        flat = np.asarray(to_host(codes), np.float32).reshape(-1)
        gray = _convert(np.repeat(flat[:, None], 3, 1), space, target, ocio)
        own = gray.astype(np.float64) @ inverse.T
        light: Array = beside(codes, np.asarray(own.mean(1).reshape(np.shape(codes)), np.float32))
        return light

    probe = np.random.default_rng(0).random((256, 3), np.float32)
    expected = _convert(probe, space, target, ocio)
    if np.abs(curve(probe).astype(np.float64) @ matrix.T - expected).max() > 2e-3 * max(1.0, float(white.max())):
        raise UsageError(
            f"--input-space {name}: not a curve and a matrix, so clipping cannot be judged per channel; "
            "convert the plate to a display space first"
        )
    identity = np.allclose(matrix, np.eye(3), atol=1e-4)
    return Encoding(name, curve, None if identity else matrix)


@lru_cache(maxsize=16)
def output_matrix(name: str, *, ocio: str | None = None, option: str = "--output-space") -> Matrix | None:
    """Return the matrix (3, 3) from linear Rec.709 to a scene-linear space, None where they are the same.

    Args:
        option: what the name was given as.

    Raises:
        UsageError: the name is unknown or the space is not linear.
    """
    if name == "linear-rec709":
        return None
    if name in OUTPUT_SPACES:
        return primaries.conversion(primaries.REC709, OUTPUT_SPACES[name][0])
    space, source = _known_space(name, ocio, option), _rec709_space(ocio)
    columns: Matrix = _convert(np.eye(3, dtype=np.float32), source, space, ocio).T.astype(np.float64)
    probe = np.array([[0.18, 0.18, 0.18], [100.0, 2.0, 0.5], [4.0, 30.0, 9.0]], np.float32)
    if not np.allclose(_convert(probe, source, space, ocio), probe @ columns.T, rtol=1e-3, atol=1e-4):
        raise UsageError(f"{option} {name}: not scene-linear; use a linear space such as acescg")
    return None if np.allclose(columns, np.eye(3), atol=1e-6) else columns


def interop_id(name: str, *, ocio: str | None = None) -> str | None:
    """Return the Color Interop ID to tag an output with, None if the space has none."""
    if name in OUTPUT_SPACES:
        return OUTPUT_SPACES[name][1]
    return _config(ocio).get_color_interop_id(_known_space(name, ocio, "--output-space")) or None


def describe_config(ocio: str | None = None) -> str:
    """Return name and size of the OpenColorIO config in force."""
    config = _config(ocio)
    return f"{config.configname() or 'built-in'}, {len(config.getColorSpaceNames())} spaces"
