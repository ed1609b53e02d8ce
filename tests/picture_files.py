"""Pictures in files for tests, made by other writers than the package."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
from PIL import Image

from expandnet_ofx import Settings

RNG = np.random.default_rng(5)
CODES = RNG.integers(0, 256, (17, 23, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (17, 23, 3), dtype=np.uint16)
LIGHT = (RNG.random((17, 23, 3)) * 3 - 0.5).astype(np.float32)
COVER = RNG.integers(0, 256, (17, 23, 1), dtype=np.uint8)

ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column, first row, step of columns, step of rows of each pass: ISO/IEC 15948, 8.2."""


def write_png(path: Path, codes: np.ndarray, *, interlaced: bool = False, palette: np.ndarray | None = None) -> Path:
    """Write a PNG by hand; `codes` are (H, W, C), or indices (H, W, 1) with a palette."""
    height, width, channels = codes.shape
    color = 3 if palette is not None else {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    big = codes.astype(codes.dtype.newbyteorder(">"))
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    grids = [big[y0::dy, x0::dx] for x0, y0, dx, dy in passes]
    rows = b"".join(b"\0" + row.tobytes() for grid in grids if grid.size for row in grid)
    head = struct.pack(">IIBBBBB", width, height, 8 * codes.itemsize, color, 0, 0, int(interlaced))
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    if palette is not None:
        chunks.insert(1, (b"PLTE", palette.tobytes()))
    body = b"".join(struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def write_psd(path: Path, codes: np.ndarray) -> Path:
    """Write a flat Photoshop file: header, three empty sections, uncompressed planes."""
    height, width, channels = codes.shape
    head = struct.pack(">4sH6xHIIHH", b"8BPS", 1, channels, height, width, 8 * codes.itemsize, 3)
    planes = np.moveaxis(codes, 2, 0).astype(codes.dtype.newbyteorder(">")).tobytes()
    path.write_bytes(head + struct.pack(">III", 0, 0, 0) + struct.pack(">H", 0) + planes)
    return path


def write_exr(path: Path, channels: dict[str, np.ndarray]) -> Path:
    """Write an uncompressed scan-line OpenEXR by hand; each channel keeps its own type: uint32, float16 or float32."""
    kinds = {"uint32": 0, "float16": 1, "float32": 2}
    names = sorted(channels)
    height, width = channels[names[0]].shape

    def attribute(name: str, kind: str, value: bytes) -> bytes:
        return name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(value)) + value

    entries = (n.encode() + b"\0" + struct.pack("<iiii", kinds[channels[n].dtype.name], 0, 1, 1) for n in names)
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    head = struct.pack("<II", 20000630, 2) + attribute("channels", "chlist", b"".join(entries) + b"\0")
    head += attribute("compression", "compression", b"\0") + attribute("dataWindow", "box2i", window)
    head += attribute("displayWindow", "box2i", window) + attribute("lineOrder", "lineOrder", b"\0")
    head += attribute("pixelAspectRatio", "float", struct.pack("<f", 1))
    head += attribute("screenWindowCenter", "v2f", bytes(8)) + attribute("screenWindowWidth", "float", bytes(4)) + b"\0"
    lines = [b"".join(channels[n][y].tobytes() for n in names) for y in range(height)]
    blocks = [struct.pack("<ii", y, len(line)) + line for y, line in enumerate(lines)]
    first = len(head) + 8 * height
    table = b"".join(struct.pack("<Q", first + y * len(blocks[0])) for y in range(height))
    path.write_bytes(head + table + b"".join(blocks))
    return path


def write_oiio(path: Path, pixels: np.ndarray, *, tile: int = 0, names: str = "", **attributes: object) -> Path:
    """Write with OpenImageIO; `__` in a keyword stands for the colon of an attribute's name."""
    height, width, channels = pixels.shape
    kind = {"float16": "half", "float32": "float"}.get(pixels.dtype.name, pixels.dtype.name)
    spec = oiio.ImageSpec(width, height, channels, kind)
    if names:
        spec.channelnames = tuple(names.split())
    spec.tile_width = spec.tile_height = tile
    for name, value in attributes.items():
        spec.attribute(name.replace("__", ":"), value)
    output = oiio.ImageOutput.create(str(path))
    assert output.open(str(path), spec), output.geterror()
    window = (spec.x, spec.x + width, spec.y, spec.y + height, 0, 1)
    assert output.write_tiles(*window, pixels) if tile else output.write_image(pixels), output.geterror()
    assert output.close()
    return path


def streaming(**changes: object) -> Settings:
    """Return settings under which even a tiny plate is read by rows, as a huge one is."""
    settings = Settings(**changes)  # type: ignore[arg-type]
    object.__setattr__(settings, "memory", 8)
    return settings


def write_named(folder: Path, name: str) -> tuple[Path, np.ndarray]:
    """Write one of the lossless files; return it with the codes that it holds."""
    path = folder / name.rpartition(" ")[2]
    rgba = np.concatenate((CODES, COVER), 2)
    gray, deep_gray = CODES[:, :, :1], DEEP[:, :, :1]
    bt709 = {"dpx__Transfer": "ITU-R 709-4"}
    makers = {
        "png": lambda: (write_png(path, CODES), CODES),
        "png16": lambda: (write_png(path, DEEP), DEEP),
        "gray": lambda: (write_png(path, gray), gray),
        "gray16": lambda: (write_png(path, deep_gray), deep_gray),
        "grayalpha": lambda: (write_png(path, rgba[:, :, 2:]), rgba[:, :, 2:]),
        "rgba": lambda: (write_png(path, rgba), rgba),
        "interlaced": lambda: (write_png(path, CODES, interlaced=True), CODES),
        "interlaced16": lambda: (write_png(path, DEEP, interlaced=True), DEEP),
        "palette": lambda: (write_png(path, gray, palette=PALETTE), PALETTE[gray[:, :, 0]]),
        "strips": lambda: (write_oiio(path, CODES, tiff__RowsPerStrip=5), CODES),
        "lzw": lambda: (save(path, CODES, compression="tiff_lzw"), CODES),
        "packbits": lambda: (save(path, CODES, compression="packbits"), CODES),
        "tiff16": lambda: (write_oiio(path, DEEP, compression="lzw"), DEEP),
        "tiff32f": lambda: (write_oiio(path, LIGHT, compression="zip"), LIGHT),
        "tiles": lambda: (write_oiio(path, DEEP, tile=16, compression="lzw"), DEEP),
        "planar": lambda: (write_oiio(path, CODES, planarconfig="separate"), CODES),
        "grayfloat": lambda: (save(path, LIGHT[:, :, 0]), LIGHT[:, :, :1]),
        "dpx8": lambda: (write_oiio(path, CODES, **bt709), CODES),
        "dpx16": lambda: (write_oiio(path, DEEP, **bt709), DEEP),
        "tga": lambda: (save(path, CODES), CODES),
        "tgarle": lambda: (save(path, CODES, compression="tga_rle"), CODES),
        "bmp": lambda: (save(path, CODES), CODES),
        "webp": lambda: (save(path, CODES, lossless=True), CODES),
        "jxl": lambda: (write_oiio(path, CODES, compression="jpegxl:100"), CODES),
        "jxl16": lambda: (write_oiio(path, DEEP, compression="jpegxl:100"), DEEP),
        "psd": lambda: (write_psd(path, CODES), CODES),
        "psd16": lambda: (write_psd(path, DEEP), DEEP),
        "ppm": lambda: (save(path, CODES), CODES),
        "sgi": lambda: (save(path, CODES), CODES),
        "exr": lambda: (write_oiio(path, LIGHT, compression="zip"), LIGHT),
        "exrhalf": lambda: (write_oiio(path, LIGHT.astype(np.float16), compression="piz"), LIGHT.astype(np.float16)),
        "exrtiles": lambda: (write_oiio(path, LIGHT, tile=8, compression="zips"), LIGHT),
        "exrhand": lambda: (write_exr(path, dict(zip("RGB", np.moveaxis(LIGHT, 2, 0), strict=True))), LIGHT),
    }
    return makers[name.partition(" ")[0]]()


PALETTE = RNG.integers(0, 256, (256, 3), dtype=np.uint8)


def save(path: Path, codes: np.ndarray, **options: object) -> Path:
    Image.fromarray(codes).save(path, **options)
    return path


ROWS = (
    "png a.png|png16 a.png|gray a.png|gray16 a.png|grayalpha a.png|rgba a.png|palette a.png|strips a.tif|lzw a.tif|"
    "packbits a.tif|tiff16 a.tif|tiff32f a.tif|tiles a.tif|planar a.tif|grayfloat a.tif|dpx8 a.dpx|dpx16 a.dpx|"
    "bmp a.bmp|exr a.exr|exrhalf a.exr|exrtiles a.exr|exrhand a.exr"
).split("|")
WHOLE = (
    "interlaced a.png|interlaced16 a.png|tga a.tga|tgarle a.tga|webp a.webp|jxl a.jxl|jxl16 a.jxl|psd a.psd|"
    "psd16 a.psd|ppm a.ppm|sgi a.sgi"
).split("|")
