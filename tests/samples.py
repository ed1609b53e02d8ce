"""Small sound files of many formats and flavors, to be damaged by tests. No torch here."""

from __future__ import annotations

import io
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio
from PIL import Image, ImageCms

DATE = "2020:01:01 00:00:00"
"""Left out, OpenImageIO would write the time of the run, and cases would differ from run to run."""

KINDS = {"uint8": "uint8", "uint16": "uint16", "float16": "half", "float32": "float"}


def picture(dtype: type = np.uint8, channels: int = 3, height: int = 17, width: int = 23) -> np.ndarray:
    """Return a gradient with texture and a white rectangle."""
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(1).random((height, width, channels)) * 0.05
    pixels = (x / width + 0.3 * y / height)[:, :, None] * (np.arange(channels) + 1) / channels + noise
    pixels[3:8, 5:12] = 1
    scale = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1
    return (pixels.clip(0, 1) * scale).astype(dtype)


def peak_mib() -> int:
    """Return the peak memory of this process since the last call in MiB, 0 where the system does not tell."""
    try:
        peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) >> 10
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, IndexError):
        return 0
    return peak


def stored(suffix: str, pixels: np.ndarray, *, tile: int = 0, parts: int = 1, **attributes: Any) -> bytes:
    """Return a file that OpenImageIO writes."""
    spec = oiio.ImageSpec(pixels.shape[1], pixels.shape[0], pixels.shape[2], KINDS[pixels.dtype.name])
    for name, value in {"Make": "Camera", "DateTime": DATE, **attributes}.items():
        spec.attribute(name.replace("__", ":"), value)
    spec.tile_width = spec.tile_height = tile
    specs = []
    for number in range(parts):
        specs.append(oiio.ImageSpec(spec))
        specs[-1].attribute("name", f"part{number}")
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / f"x.{suffix}")
        output = oiio.ImageOutput.create(path)
        assert output.open(path, tuple(specs) if parts > 1 else spec), output.geterror()
        for number in range(parts):
            assert not number or output.open(path, specs[number], "AppendSubimage")
            assert output.write_image(pixels), output.geterror()
        output.close()
        return Path(path).read_bytes()


def pillow(kind: str, image: Image.Image | np.ndarray, **options: Any) -> bytes:
    """Return a file that Pillow writes."""
    stream = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(stream, kind, **options)
    return stream.getvalue()


def photoshop(pixels: np.ndarray, *, runs: bool = False) -> bytes:
    """Return a flat PSD (Adobe Photoshop file format specification): header, three empty sections, planes."""
    height, width, channels = pixels.shape
    head = struct.pack(">4sH6xHIIHH12x", b"8BPS", 1, channels, height, width, 8 * pixels.itemsize, 3)
    planes = np.moveaxis(pixels.astype(pixels.dtype.newbyteorder(">")), 2, 0)
    if not runs:
        return head + struct.pack(">H", 0) + planes.tobytes()
    rows = [bytes([width - 1]) + row.tobytes() for plane in planes for row in plane]
    return head + struct.pack(f">H{len(rows)}H", 1, *map(len, rows)) + b"".join(rows)


def _png() -> list[bytes]:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    # ICC.1:2022, 7.2.8: the date of creation, and from v4 on (7.2.18) an identifier that covers it.
    profile[24:36] = bytes(12)
    profile[84:100] = bytes(16)
    return [
        stored("png", picture()),
        stored("png", picture(np.uint16)),
        stored("png", picture(channels=4)),
        pillow("PNG", picture(), icc_profile=bytes(profile)),
        pillow("PNG", picture()[:, :, 0]),
    ]


def _jpeg() -> list[bytes]:
    return [
        stored("jpg", picture()),
        pillow("JPEG", picture(), progressive=True),
        pillow("JPEG", picture()[:, :, 0]),
    ]


def _tiff() -> list[bytes]:
    return [
        stored("tif", picture(), compression="none"),
        stored("tif", picture(np.uint16), compression="lzw"),
        stored("tif", picture(np.float32), compression="zip"),
        stored("tif", picture(channels=4), tile=16),
        pillow("TIFF", picture(), compression="jpeg"),
    ]


def _dpx() -> list[bytes]:
    return [
        stored("dpx", picture(), dpx__Transfer="Rec709"),
        stored("dpx", picture(np.uint16), oiio__BitsPerSample=10, dpx__Transfer="Rec709"),
        stored("dpx", picture(channels=4), dpx__Transfer="Rec709"),
    ]


def _exr() -> list[bytes]:
    compressions = ("none", "rle", "zip", "zips", "piz", "pxr24", "b44", "dwaa")
    return [stored("exr", picture(np.float16), compression=name) for name in compressions] + [
        stored("exr", picture(np.float32), tile=16),
        stored("exr", picture(np.float16), parts=2),
        stored("exr", picture(np.float32, 4)),
    ]


def _gif() -> list[bytes]:
    first, second = (Image.fromarray(pixels).quantize(16) for pixels in (picture(), picture()[::-1].copy()))
    return [stored("gif", picture()), pillow("GIF", first, save_all=True, append_images=[second])]


FORMATS: dict[str, Callable[[], list[bytes]]] = {
    "png": _png,
    "jpg": _jpeg,
    "tif": _tiff,
    "dpx": _dpx,
    "exr": _exr,
    "tga": lambda: [
        stored("tga", picture()),
        stored("tga", picture(channels=4)),
        stored("tga", picture(), compression="rle"),
    ],
    "bmp": lambda: [
        stored("bmp", picture()),
        pillow("BMP", picture(channels=4)),
        pillow("BMP", Image.fromarray(picture()).quantize(16)),
    ],
    "webp": lambda: [stored("webp", picture()), pillow("WEBP", picture(channels=4), lossless=True)],
    "jxl": lambda: [stored("jxl", picture()), stored("jxl", picture(np.float32)), stored("jxl", picture(channels=4))],
    "psd": lambda: [photoshop(picture()), photoshop(picture(), runs=True), photoshop(picture(np.uint16))],
    "hdr": lambda: [stored("hdr", picture(np.float32))],
    "gif": _gif,
    "jp2": lambda: [
        pillow("JPEG2000", picture()),
        pillow("JPEG2000", picture(channels=4)),
        pillow("JPEG2000", picture(), no_jp2=True, irreversible=True, tile_size=(16, 16)),
    ],
    "ppm": lambda: [stored("ppm", picture()), stored("pgm", picture(channels=1)), stored("pfm", picture(np.float32))],
    "sgi": lambda: [stored("sgi", picture()), stored("sgi", picture(np.uint16)), pillow("SGI", picture())],
    "iff": lambda: [stored("iff", picture()), stored("iff", picture(np.uint16))],
    "ico": lambda: [stored("ico", picture(channels=4, height=16, width=16))],
    "fits": lambda: [stored("fits", picture(np.float32, 1))],
    "rla": lambda: [stored("rla", picture()), stored("rla", picture(np.uint16))],
}
"""Sound files per format, each of another flavor."""
