"""Movies written plane by plane for tests, and code values that standards publish."""

from fractions import Fraction

import numpy as np
import pytest

from expandnet_ofx.movies import Movie

av = pytest.importorskip("av")

WIDTH, HEIGHT = 64, 48

# 100 percent and 75 percent color bars, 8-bit limited range Y', Cb, Cr as published: SMPTE RP 219 for BT.709, BT.801
# for BT.601.
BARS_709 = {
    (1, 1, 1): (235, 128, 128),
    (1, 1, 0): (219, 16, 138),
    (0, 1, 1): (188, 154, 16),
    (0, 1, 0): (173, 42, 26),
    (1, 0, 1): (78, 214, 230),
    (1, 0, 0): (63, 102, 240),
    (0, 0, 1): (32, 240, 118),
    (0, 0, 0): (16, 128, 128),
    (0.75, 0.75, 0.75): (180, 128, 128),
    (0.75, 0.75, 0): (168, 44, 136),
    (0, 0.75, 0.75): (145, 147, 44),
    (0, 0.75, 0): (133, 63, 52),
    (0.75, 0, 0.75): (63, 193, 204),
    (0.75, 0, 0): (51, 109, 212),
    (0, 0, 0.75): (28, 212, 120),
}
BARS_601 = {
    (1, 1, 1): (235, 128, 128),
    (1, 1, 0): (210, 16, 146),
    (0, 1, 1): (170, 166, 16),
    (0, 1, 0): (145, 54, 34),
    (1, 0, 1): (106, 202, 222),
    (1, 0, 0): (81, 90, 240),
    (0, 0, 1): (41, 240, 110),
    (0, 0, 0): (16, 128, 128),
}
# T.871 clause 7 at full range; a code of 255.5 is stored as 255.
RED_JPEG = (76, 85, 255)


def planes_of(colors, fmt, *, width=WIDTH, height=HEIGHT):
    """Stripe the Y', Cb, Cr codes across the width; return the planes of a planar format."""
    pixel = av.VideoFormat(fmt, width, height)
    wide = np.repeat(np.asarray(colors), width // len(colors), axis=0)
    wide = np.concatenate([wide, np.repeat(wide[-1:], width - len(wide), axis=0)])
    planes = []
    for channel, part in enumerate(pixel.components[:3]):
        step = width // part.width
        planes.append(np.broadcast_to(wide[::step, channel], (part.height, part.width)))
    return planes


def frame_of(planes, fmt, *, width=WIDTH, height=HEIGHT):
    frame = av.VideoFrame(width, height, fmt)
    dtype = np.uint8 if frame.format.components[0].bits <= 8 else np.uint16
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.zeros((len(values), plane.line_size // dtype().itemsize), dtype)
        flat = np.asarray(values, dtype).reshape(len(values), -1)
        rows[:, : flat.shape[1]] = flat
        plane.update(rows.tobytes())
    return frame


def write(path, frames, *, codec="ffv1", options=None, tags=None, stamps=None, rate=24, rotation=None, mux=None):
    first = frames[0]
    with av.open(str(path), "w", options=mux or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = first.width, first.height, first.format.name
        for name, value in (tags or {}).items():
            setattr(stream.codec_context, name, value)
        if rotation is not None:
            stream.set_display_rotation(rotation)
        stamps = stamps or range(len(frames))
        stream.codec_context.time_base = 1 / Fraction(rate)
        for stamp, frame in zip(stamps, frames, strict=True):
            frame.pts, frame.time_base = stamp, 1 / Fraction(rate)
            for name in ("colorspace", "color_range", "color_trc", "color_primaries"):
                if tags and name in tags:
                    setattr(frame, name, tags[name])
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def read(path, **options):
    with Movie(path, **options) as movie:
        return movie.info, [codes for _, codes in movie]


def noise(count, fmt="yuv420p"):
    rng = np.random.default_rng(1)
    shapes = [(p.height, p.width) for p in av.VideoFormat(fmt, WIDTH, HEIGHT).components]
    return [frame_of([rng.integers(40, 200, shape) for shape in shapes], fmt) for _ in range(count)]


def stripes(codes, count):
    """Return the codes in the middle of each of `count` stripes, as shares of full scale."""
    size = codes.shape[1] // count
    return codes[codes.shape[0] // 2, size // 2 : size * count : size].astype(float) / 65535


ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH]
