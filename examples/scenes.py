"""Paint four pictures as pure functions of position.

A scene takes x and y, a float32 grid (h, w) as np.meshgrid makes it: y is -1 at the bottom and 1 at the top, x has
the same unit and 0 in the middle. It returns (3, h, w) scene-linear light, Rec.709 primaries, 1.0 = plate white.
Nothing depends on the number of pixels, so a picture can be painted in bands and at any size.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Plane = NDArray[Any]
"""float32: (h, w) one value per sample, or (3, h, w) a color or a vector per sample."""

_LATTICE = np.random.default_rng(20).random((256, 256), dtype=np.float32)


def rgb(red: float, green: float, blue: float) -> Plane:
    """Make a color, or any triple, that broadcasts over planes."""
    return np.array([red, green, blue], np.float32).reshape(3, 1, 1)


def smooth(low: ArrayLike, high: ArrayLike, value: Plane) -> Plane:
    """Rise from 0 at low to 1 at high with level ends."""
    start = np.asarray(low, np.float32)
    t = np.asarray((value - start) * (1 / (np.asarray(high, np.float32) - start)))
    np.clip(t, 0, 1, out=t)
    return np.asarray(t * t * (3 - 2 * t))


def mix(first: Plane, second: Plane, amount: Plane) -> Plane:
    """Blend from first (amount 0) to second (amount 1)."""
    return first + (second - first) * amount


def bell(distance: Plane) -> Plane:
    """Fall from 1 at distance 0 like a Gaussian of standard deviation 0.71."""
    return np.exp(-np.minimum(distance * distance, 80))


def length(across: Plane, along: Plane) -> Plane:
    """Return the distance from the origin; values here are far from overflow, so no need for the slower np.hypot."""
    return np.sqrt(across * across + along * along)


def part(value: Plane) -> Plane:
    """Return the fractional part, 0..1."""
    return value - np.floor(value)


def box(u: Plane, v: Plane, bounds: tuple[float, float, float, float], soft: ArrayLike = 0.004) -> Plane:
    """Cover the rectangle (u0, u1, v0, v1) with 1, edges soft over twice the given length."""
    u0, u1, v0, v1 = bounds
    soft = np.asarray(soft, np.float32)
    across = smooth(-soft, soft, u - u0) * smooth(-soft, soft, u1 - u)
    return across * smooth(-soft, soft, v - v0) * smooth(-soft, soft, v1 - v)


def scatter(u: Plane, v: Plane, seed: int = 0) -> Plane:
    """Draw one random number 0..1 per unit cell."""
    column, row = np.floor(u).astype(np.int32) + 37 * seed, np.floor(v).astype(np.int32) + 91 * seed
    return _LATTICE[row & 255, column & 255]


def noise(u: Plane, v: Plane, seed: int = 0) -> Plane:
    """Interpolate the random numbers of the cells smoothly: 0..1, features one unit wide."""
    left, low = np.floor(u), np.floor(v)
    s, t = u - left, v - low
    s, t = s * s * (3 - 2 * s), t * t * (3 - 2 * t)
    column, row = left.astype(np.int32) + 37 * seed, low.astype(np.int32) + 91 * seed
    c0, c1, r0, r1 = column & 255, (column + 1) & 255, (row & 255) << 8, ((row + 1) & 255) << 8
    flat = _LATTICE.ravel()
    under = mix(flat[r0 + c0], flat[r0 + c1], s)
    over = mix(flat[r1 + c0], flat[r1 + c1], s)
    return mix(under, over, t)


def fractal(u: Plane, v: Plane, octaves: int, seed: int = 0) -> Plane:
    """Sum octaves of noise, each half as wide and as strong as the last: 0..1 around 0.5."""
    total, weight = np.zeros(np.broadcast(u, v).shape, np.float32), 0.0
    for octave in range(octaves):
        # The turn between octaves keeps the lattices from lining up into visible rows.
        total += noise(u, v, seed + octave) * 0.5**octave
        weight += 0.5**octave
        u, v = 1.6 * u - 1.2 * v, 1.2 * u + 1.6 * v
    return total / np.float32(weight)


def paint_where(light: Plane, mask: NDArray[np.bool_], paint: Callable[..., Plane], *planes: Plane) -> None:
    """Replace the light of the masked samples by paint(*planes), evaluated for those samples only."""
    if mask.any():
        light[:, mask] = paint(*(plane[..., mask][..., None, :] for plane in planes))[:, 0]


# ---- window: a dim room with a bright view -------------------------------------------------------------------------

_WALL, _FLOOR, _CEILING, _BACK = 2.9, -1.35, 1.6, 4.6
_LENS = 0.5
_OPENING = (-1.75, 0.75, -0.55, 1.2)
_SUN_FALL = (0.42, -0.8, -0.5)


def window(x: Plane, y: Plane) -> Plane:
    """Paint a room: walls, planks and a table, lit by a window 3 to 6 stops above white."""
    ray = np.stack([x * _LENS, y * _LENS, np.ones_like(x)])
    reach = np.stack(
        [
            _WALL / np.maximum(abs(ray[0]), 1e-6),
            np.where(y < 0, np.float32(_FLOOR), np.float32(_CEILING)) / _away(ray[1]),
            _BACK * ray[2],
        ]
    )
    nearest = reach.argmin(axis=0)
    point = ray * reach.min(axis=0)
    px, py, pz = point
    # Light that has bounced around the room is dim in the corners and warm from the floor.
    near_edge = np.minimum(
        np.minimum(py - _FLOOR, _CEILING - py) + np.float32(3) * (nearest == 1),
        _BACK - pz + np.float32(3) * (nearest == 2),
    )
    fill = rgb(0.19, 0.155, 0.12) * (0.35 + 0.65 * smooth(-0.2, 1.3, near_edge)) * (0.45 + 0.55 * smooth(0, 4.5, pz))
    plaster = 0.95 + 0.1 * fractal(np.where(nearest == 0, pz, px) * 6, np.where(nearest == 1, pz, py) * 6, 2, 3)
    wall = rgb(0.53, 0.5, 0.45) * plaster
    day = np.zeros_like(wall)
    paint_where(day, nearest != 2, _daylight, point, nearest, np.sign(px))
    light = wall * (day + fill) * np.where(nearest == 1, np.float32(0.7), np.float32(1))
    paint_where(light, nearest == 2, _back_wall, px, py, wall * fill * 2.1, x, y)
    paint_where(light, (nearest == 0) & (px > 0), _painting, pz, py, light, day + fill)
    paint_where(light, (nearest == 1) & (py < 0), _planks, point, ray, day + fill)
    paint_where(light, (x > 0.4) & (y < 0.1), _table, light, ray)
    # Bright glass spreads in the lens.
    haze = bell(length((x + 0.2) / 1.1, (y - 0.14) / 0.75))
    return light + haze * rgb(0.03, 0.036, 0.045)


def _away(value: Plane) -> Plane:
    """Keep a divisor off 0."""
    return np.where(abs(value) < 1e-6, np.float32(1e-6), value)


def _panes(u: Plane, v: Plane, soft: ArrayLike) -> Plane:
    """Return how open the window is at a place on the back wall: 1 in glass, 0 in bars and wall."""
    u0, u1, v0, v1 = _OPENING
    glass = box(u, v, (u0 + 0.06, u1 - 0.06, v0 + 0.06, v1 - 0.06), soft)
    third = (u1 - u0) / 3
    bars = sum((box(u, v, (u0 + third * k - 0.025, u0 + third * k + 0.025, v0, v1), soft) for k in (1, 2)), 0 * u)
    bars = np.maximum(bars, box(u, v, (u0, u1, 0.585, 0.625), soft))
    return glass * (1 - bars)


def _daylight(point: Plane, facing: NDArray[np.intp], right: Plane) -> Plane:
    """Return the sky light that falls on side walls (facing 0), floor and ceiling (facing 1) through the window.

    The irradiance of a polygon after Lambert: a sum over its edges of angle times the normal's part along the edge.
    """
    u0, u1, v0, v1 = _OPENING
    corners = [np.asarray(c, np.float32).reshape(3, 1, 1) - point for c in
               ((u0, v0, _BACK), (u1, v0, _BACK), (u1, v1, _BACK), (u0, v1, _BACK))]  # fmt: skip
    corners = [c / np.maximum(np.sqrt((c * c).sum(axis=0)), 1e-4) for c in corners]
    seen = np.zeros_like(point[0])
    for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
        cross = (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2])
        size = np.sqrt(cross[0] ** 2 + cross[1] ** 2 + (a[0] * b[1] - a[1] * b[0]) ** 2)
        along = np.where(facing == 0, cross[0] * right, cross[1] * np.sign(point[1])) / np.maximum(size, 1e-6)
        seen += np.arccos(np.clip((a * b).sum(axis=0), -1, 1)) * along
    return abs(seen) / np.float32(2 * np.pi) * rgb(6.2, 6.4, 6.9)


def _view(x: Plane, y: Plane) -> Plane:
    """Paint what lies outside: hills under a hazy sky, 3 to 6 stops above white."""
    sky = mix(rgb(27, 30, 33), rgb(6, 11, 22), smooth(-0.1, 0.75, y))
    depth = 1 / np.maximum(y + 0.35, 0.1)
    puffs = smooth(0.5, 0.72, fractal(x * depth * 1.7 + 3, depth * 4.5, 5, 5))
    sky = mix(sky, rgb(58, 55, 50) * (0.65 + 0.35 * smooth(0.4, 0.65, fractal(x * 5, y * 9, 3, 11))), puffs * 0.85)
    land = sky
    for k, (base, color) in enumerate(((0.03, (11, 14, 17)), (-0.05, (5.5, 7.8, 5.6)), (-0.13, (2.6, 3.9, 1.1)))):
        ridge = base + 0.16 * (fractal(x * (2.2 + k) + 7 * k, 0 * x, 5, 13 + k) - 0.45)
        texture = 0.7 + 0.6 * fractal(x * 14 + k, y * 30, 3, 17 + k)
        land = mix(land, rgb(*color) * texture, smooth(-0.005, 0.005, ridge - y))
    return land


def _back_wall(u: Plane, v: Plane, wall: Plane, x: Plane, y: Plane) -> Plane:
    """Paint the wall with the window: frame, view, sill and sheer curtains."""
    u0, u1, v0, v1 = _OPENING
    frame = box(u, v, (u0 - 0.07, u1 + 0.07, v0 - 0.07, v1 + 0.07), 0.01)
    skirting = smooth(_FLOOR + 0.14, _FLOOR + 0.12, v)
    light = mix(wall * (1 - 0.3 * bell((v - _FLOOR - 0.14) / 0.012)), wall * 1.5, np.maximum(frame, skirting))
    light = light * (1 - 0.45 * box(u, v, (1.66, 2.36, -0.16, 0.82), 0.1))
    light = mix(light, rgb(0.03, 0.026, 0.022) * (1 + 0 * u), box(u, v, (1.62, 2.3, -0.08, 0.86), 0.01))
    light = mix(light, wall * rgb(1.5, 1.5, 1.5), box(u, v, (1.66, 2.26, -0.04, 0.82), 0.01))
    print_tone = smooth(0.35, 0.6, fractal(u * 3.1, v * 2.2, 4, 41))
    light = mix(
        light, mix(rgb(0.1, 0.13, 0.13), rgb(0.16, 0.07, 0.035), print_tone), box(u, v, (1.78, 2.14, 0.12, 0.7), 0.01)
    )
    # Sunlit reveals on the bars' edges, brighter toward the sill.
    light = mix(light, rgb(0.30, 0.33, 0.36) * (1 + 0.8 * smooth(v1, v0, v)), box(u, v, _OPENING, 0.01))
    glass = _panes(u, v, 0.007)
    view = np.array(light)
    paint_where(view, glass > 0, _view, x, y)
    light = mix(light, view, glass)
    sill = box(u, v, (u0 - 0.16, u1 + 0.16, v0 - 0.14, v0 - 0.05), 0.008)
    light = mix(light, rgb(0.62, 0.62, 0.6) * (0.6 + 0.9 * smooth(v0 - 0.12, v0 - 0.05, v)), sill)
    for edge, way in ((u0, 1.0), (u1, -1.0)):
        inward = (u - edge) * way
        sway = 0.03 * np.sin(v * 2.3 + edge) * smooth(1.3, -1, v)
        cloth = box(inward + sway, v, (-0.42, 0.24, _FLOOR + 0.1, v1 + 0.2), 0.012)
        fold = 0.5 + 0.5 * np.sin((inward + sway) * 44 + 1.5 * np.sin(v * 1.1 + 2 * edge))
        fold = 0.45 + 0.55 * fold * (0.7 + 0.3 * np.sin(inward * 117))
        through = box(u, v, _OPENING, 0.03) * (rgb(2.3, 2.0, 1.55) * (0.55 + 0.45 * smooth(v0, v1, v)))
        light = mix(light, (through + rgb(0.17, 0.145, 0.115)) * fold, cloth)
    return light


def _painting(z: Plane, v: Plane, wall: Plane, lit: Plane) -> Plane:
    """Hang a small landscape on the right wall."""
    shadow = box(z, v, (2.45, 3.6, -0.2, 0.75), 0.09)
    light = wall * (1 - 0.5 * shadow)
    light = mix(light, rgb(0.16, 0.09, 0.045) * lit * 1.5, box(z, v, (2.5, 3.6, -0.1, 0.75), 0.012))
    art = mix(rgb(0.55, 0.3, 0.16), rgb(0.12, 0.26, 0.36), smooth(0.15, 0.5, v + 0.3 * fractal(z * 4, v * 9, 4, 23)))
    return mix(light, art * lit * 1.3, box(z, v, (2.58, 3.52, -0.02, 0.67), 0.01))


def _planks(point: Plane, ray: Plane, lit: Plane) -> Plane:
    """Lay the floor: planks with grain, the window's sheen, the sun's pool, the table's shadow."""
    px, _, pz = point
    lane = px / 0.22
    along = pz * 0.55 + scatter(lane, 0 * lane, 1) * 7
    tone = 0.75 + 0.5 * scatter(lane, along, 2)
    grain = 0.82 + 0.36 * fractal(px * 38, pz * 2.2, 3, 29)
    seam = 1 - 0.55 * smooth(0.06, 0.0, np.minimum(part(lane), 1 - part(lane)))
    wood = rgb(0.34, 0.2, 0.105) * tone * grain * seam
    under = box(px, pz, (0.85, 2.6, 2.75, 3.75), 0.35)
    # Follow the sun back to the window; its disc blurs the edge more the farther the light fell.
    fallen = (_BACK - pz) / -_SUN_FALL[2]
    hit = _panes(px - _SUN_FALL[0] * fallen, _FLOOR - _SUN_FALL[1] * fallen, 0.008 + 0.012 * np.maximum(fallen, 0))
    light = wood * (lit * (1 - 0.75 * under) + rgb(11, 9.6, 7.6) * hit * (1 - 0.9 * under))
    mirrored = ray * _BACK
    sheen = box(mirrored[0], 2 * _FLOOR - mirrored[1], _OPENING, 0.22)
    grazing = (1 - abs(ray[1]) / np.sqrt((ray * ray).sum(axis=0))) ** 5
    return light + rgb(11, 14, 18) * sheen * (0.012 + 0.2 * grazing) * seam * (0.5 + grain * 0.5) * (1 - 0.7 * under)


def _table(light: Plane, ray: Plane) -> Plane:
    """Stand a dark table with a vase in front of the right wall."""
    top, near, far, left, right = -0.62, 2.85, 3.55, 1.15, 2.3
    reach = top / np.minimum(ray[1], -1e-3)
    u, z = ray[0] * reach, ray[2] * reach
    front_u, front_v = ray[0] * near, ray[1] * near
    for leg in (left + 0.04, right - 0.12):
        back = box(ray[0] * far, ray[1] * far, (leg, leg + 0.07, _FLOOR, top), 0.008)
        light = mix(light, rgb(0.016, 0.012, 0.009), back)
        front = box(front_u, front_v, (leg, leg + 0.08, _FLOOR, top), 0.008)
        light = mix(light, rgb(0.022, 0.016, 0.012) * (1 + smooth(0.05, 0, front_u - leg)), front)
    edge = box(front_u, front_v, (left, right, top - 0.07, top), 0.006)
    light = mix(light, rgb(0.035, 0.024, 0.017) * np.ones_like(u), edge)
    wood = rgb(0.11, 0.07, 0.042) * (0.8 + 0.4 * fractal(u * 3, z * 26, 3, 31))
    gloss = rgb(0.3, 0.34, 0.4) * smooth(2.2, 0.7, u) * (0.6 + 0.4 * smooth(near, far, z))
    surface = wood * (0.7 + 1.6 * smooth(2.4, 1.0, u)) + gloss
    light = mix(
        light,
        surface * (1 - 0.6 * bell(length(u - 1.82, (z - 3.17) * 1.2) / 0.2)),
        box(u, z, (left, right, near, far), 0.008),
    )
    height = ray[1] * 3.2 - top
    radius = 0.07 + 0.13 * np.sqrt(np.clip(1 - ((height - 0.15) / 0.2) ** 2, 0, 1)) * smooth(0.36, 0.28, height)
    side = np.clip((ray[0] * 3.2 - 1.8) / radius, -1, 1)
    vase = rgb(0.1, 0.2, 0.24) * (0.12 + 0.9 * smooth(0.3, -1.0, side)) + 2.6 * bell((side + 0.62) / 0.13) * bell(
        (height - 0.2) / 0.09
    )
    return mix(
        light,
        vase,
        smooth(1, 0.94, abs((ray[0] * 3.2 - 1.8) / radius)) * box(height, height, (0, 0.42, 0, 0.42), 0.006),
    )


# ---- sky: a lake and hills under a sun 9 stops above white ---------------------------------------------------------

_SUN = (0.62, 0.34)
_SHORE = -0.36
_RIDGES = (
    # base, height, color, haze; far to near
    (0.0, 0.38, (0.16, 0.2, 0.28), 0.6),
    (-0.12, 0.28, (0.07, 0.1, 0.1), 0.26),
    (-0.25, 0.16, (0.03, 0.042, 0.024), 0.05),
)


def sky(x: Plane, y: Plane) -> Plane:
    """Paint a lake below hills and clouds, with the sun in the frame."""
    water = y < _SHORE
    # Waves tilt the mirror more the nearer they are.
    depth = 1 / np.maximum(_SHORE - y, 0.012)
    wave = fractal(x * depth * 2.4, depth * 5.5, 3, 51) - 0.5
    near = smooth(0, 0.6, _SHORE - y)
    seen = np.where(water, 2 * _SHORE - y + wave * (0.05 + 0.5 * near), y)
    seen = np.where(water, np.maximum(seen, _SHORE + 0.004), seen)
    light = _heaven(x, seen)
    light = _hills(light, x, seen)
    paint_where(light, water, _lake, light, x, y, wave)
    light = _foreground(light, x, y)
    # What the lens scatters lies over everything, trees included.
    away = length(x - _SUN[0], y - _SUN[1])
    return light + rgb(0.5, 0.4, 0.27) * (0.009 / (away * away + 0.04) + 0.03 * bell(away / 0.8))


def _heaven(x: Plane, y: Plane) -> Plane:
    """Paint sky, clouds and sun."""
    away = length(x - _SUN[0], y - _SUN[1])
    blue = mix(rgb(0.62, 0.7, 0.78), rgb(0.09, 0.2, 0.5), smooth(_SHORE, 1.25, y))
    blue = mix(blue, rgb(0.95, 0.62, 0.36), 0.75 * bell((y - _SHORE - 0.05) / 0.3) * bell((x - _SUN[0]) / 1.8))
    aureole = rgb(1.0, 0.68, 0.34) * (0.036 / (away**2 + 0.012) + 0.5 * bell(away / 0.5))
    aureole = aureole + rgb(24, 17, 9) * bell(away / 0.085)
    disc = rgb(620, 500, 330) * smooth(0.043, 0.034, away)
    depth = 1 / (np.maximum(y - _SHORE, 0) + 0.25)
    u, v = x * depth * 1.15, depth * 2.6
    density = fractal(u, v, 6, 61)
    # A second look a step toward the sun tells how much cloud stands between.
    du, dv = (_SUN[0] - x) * depth * 0.11, (y - _SUN[1]) * depth * 0.28
    between = fractal(u + du, v + dv, 4, 61)
    cover = smooth(0.43, 0.62, density) * smooth(_SHORE, _SHORE + 0.3, y)
    shade = smooth(-0.12, 0.16, density - between)
    body = mix(rgb(0.3, 0.33, 0.41), rgb(0.98, 0.8, 0.62), shade) * (1 + 0.5 * bell(away / 0.9) * rgb(1.1, 0.8, 0.5))
    rim = rgb(4.2, 2.9, 1.6) * (cover * (1 - cover) * 4) * (bell(away / 0.42) + 0.08 * bell(away / 0.9))
    thick = cover * (0.4 + 0.55 * smooth(0.5, 0.75, density))
    clear = blue + aureole
    # The disc burns through the thin veil in front of it.
    return mix(clear, body + 0.55 * aureole, thick) + rim + disc * (1 - 0.5 * thick)


def _hills(light: Plane, x: Plane, y: Plane) -> Plane:
    """Stack three ridges, the farther the hazier and the warmer under the sun."""
    glow = bell((x - _SUN[0]) / 0.7)
    column = x[:1]
    for k, (base, tall, tint, haze) in enumerate(_RIDGES):
        ridge = base + tall * (fractal(column * (1.1 + 0.7 * k) + 9 * k, 0 * column + k, 6, 71 + k) - 0.5)
        trees = 0.012 * (k == 2) * fractal(column * 90, 0 * column, 2, 79)
        below = ridge + trees - y
        slope = np.ones_like(light)
        paint_where(slope, below > -0.005, _slope, x * (5 + 5 * k) - below * 3, y * (9 + 5 * k))
        tone = rgb(*tint) * slope + rgb(0.62, 0.36, 0.17) * glow * haze + rgb(0.05, 0.065, 0.1) * haze
        tone = tone + rgb(0.17, 0.13, 0.11) * smooth(0.16, 0.0, y - _SHORE) * haze
        light = mix(light, tone, smooth(-0.004, 0.004, below))
    return light


def _slope(u: Plane, v: Plane) -> Plane:
    """Vary a hillside's tone with woods and clearings."""
    return (0.45 + 1.1 * fractal(u, v, 4, 75)) * rgb(1, 1, 1)


def _lake(mirrored: Plane, x: Plane, y: Plane, wave: Plane) -> Plane:
    """Tint the mirror image, and lay the sun's glitter on the waves."""
    near = smooth(0, 0.7, _SHORE - y)
    light = np.minimum(mirrored, 1.6) * rgb(0.62, 0.68, 0.72) * (1 - 0.45 * near) + rgb(0.006, 0.014, 0.018)
    depth = 1 / np.maximum(_SHORE - y, 0.02)
    facet = fractal(x * (24 + 3 * depth), (_SHORE - y) * (60 + 34 * depth * 0.3), 3, 83)
    path = bell((x - _SUN[0] - 0.15 * wave) / (0.09 + 0.34 * near))
    sparkle = smooth(0.56, 0.74, facet) ** 2
    return light + rgb(26, 20, 13) * path * sparkle + rgb(0.55, 0.42, 0.28) * path


def _foreground(light: Plane, x: Plane, y: Plane) -> Plane:
    """Close the frame with a grassy bank and a tree in backlight."""
    column = x[:1]
    bank = -0.86 + 0.17 * smooth(0.2, -1.7, column) + 0.05 * (fractal(column * 2, 0 * column, 3, 91) - 0.5)
    depth = bank - y
    paint_where(light, (abs(x + 1.2) < 0.75) & (y > -0.95), _tree, light, x + 1.2, y)
    paint_where(light, depth > -0.1, _grass, light, x, y, depth)
    return light


def _grass(light: Plane, x: Plane, y: Plane, depth: Plane) -> Plane:
    """Grow blades along the bank's edge, lit from behind at their tips."""
    blades = 0.09 * fractal(x * 75 + 3 * y, y * 3, 2, 93) * fractal(x * 9, 0 * x, 2, 95)
    turf = rgb(0.04, 0.05, 0.013) * (0.25 + 1.5 * fractal(x * 60, y * 14, 3, 97))
    tips = smooth(0.1, -0.05, depth) * fractal(x * 70, y * 6, 2, 99) * bell((x - 0.4) / 1.4)
    return mix(light, turf + rgb(0.4, 0.27, 0.05) * tips, smooth(-0.004, 0.004, depth + blades))


def _tree(light: Plane, x: Plane, y: Plane) -> Plane:
    """Grow a tree around x = 0: a trunk, clumps of leaves, gaps of sky, and a lit rim toward the sun."""
    bend = x - 0.05 * np.sin(y * 3)
    width = 0.016 + 0.035 * smooth(-0.2, -0.85, y)
    trunk = smooth(0.004, -0.004, abs(bend) - width) * box(y, y, (-0.9, 0.2, -0.9, 0.2), 0.01)
    bark = rgb(0.02, 0.015, 0.01) + rgb(0.2, 0.12, 0.05) * smooth(0.2, 1.1, bend / width)
    light = mix(light, bark * (0.6 + 0.8 * fractal(x * 70, y * 9, 2, 107)), trunk)
    clump = fractal(x * 3.3 + 2, y * 3.3, 3, 101)
    leaves = fractal(x * 26, y * 26, 3, 103)
    crown = 1.1 * clump + 0.55 * leaves - 0.32 - 0.55 * (length(x / 0.5, (y - 0.26) / 0.5)) ** 2.2
    sunward = fractal((x - 0.05) * 3.3 + 2, (y - 0.01) * 3.3, 3, 101)
    lit = 0.6 * smooth(-0.05, 0.14, clump - sunward + 0.5 * (leaves - 0.5)) + 0.6 * smooth(0.3, 0.0, crown) * smooth(
        -0.3, 0.4, x
    )
    leaf = mix(rgb(0.008, 0.012, 0.005), rgb(0.105, 0.1, 0.016), lit) * (0.3 + 1.5 * leaves)
    return mix(light, leaf, smooth(0.0, 0.07, crown))


# ---- night: a wet street with lamps, signs and cars ----------------------------------------------------------------

_HALF_STREET, _EYE, _FIELD = 6.5, 1.6, 0.62
_VANISH = (0.12, -0.16)
_LAMPS = tuple((side * 5.0, depth, 5.4) for depth in (40.0, 29.0, 20.0, 13.0, 8.2) for side in (-1, 1))
_SIGNS = (
    # side, depth, across from the wall, lowest and highest edge, tube color, kind
    (-1, 22.0, (0.2, 1.3), (3.8, 7.6), (5.0, 22.0, 1.2), "bars"),
    (1, 19.0, (0.2, 1.5), (3.6, 6.8), (1.2, 9.0, 30.0), "frame"),
    (-1, 13.5, (0.2, 1.5), (3.5, 6.6), (34.0, 1.4, 12.0), "frame"),
    (1, 10.6, (0.15, 1.55), (3.3, 4.7), (38.0, 5.0, 0.9), "ring"),
    (-1, 9.2, (0.15, 1.2), (3.0, 4.1), (1.0, 20.0, 22.0), "ring"),
)


def night(x: Plane, y: Plane) -> Plane:
    """Paint a street at night; the wet road mirrors all of it."""
    dx, dy = (x - _VANISH[0]) * _FIELD, (y - _VANISH[1]) * _FIELD
    wall = _HALF_STREET / np.maximum(abs(dx), 0.055)
    road = dy * wall + _EYE < 0
    ground = _EYE / np.maximum(-dy, 0.01)
    ripple = np.where(road, fractal(dx * ground * 2.6, ground * 1.1, 3, 111) - 0.5, np.float32(0))
    # Below the road line the ray has bounced: the same street at mirrored heights, pulled into streaks by the ripples.
    rise = np.where(road, -dy - 2 * _EYE / wall, dy) * (1 + 0.9 * ripple)
    sideways = dx * (1 + 0.08 * ripple)
    light = _facades(sideways, rise, wall, road.astype(np.float32))
    for sign in _SIGNS:
        depth = np.float32(sign[1])
        height = np.where(road, -dy * depth - _EYE, dy * depth + _EYE) * (1 + 0.7 * ripple)
        across = _HALF_STREET - sideways * depth * sign[0]
        around = (abs(across - 0.8) < 3.5) & (abs(height - 5) < 6)
        paint_where(light, around, _neon(sign), light, across, height, road.astype(np.float32))
    puddle = smooth(-0.12, 0.1, ripple + 0.15 * np.sin(dx * ground * 1.3))
    paint_where(light, road, _asphalt, light, dx * ground, ground, puddle)
    for lamp in _LAMPS:
        light = light * (1 - _pole(lamp, x, y)) + _lamp(lamp, x, y, ripple)
    for car in ((-1.9, 24.0, False), (1.9, 17.0, True), (-1.95, 10.0, False)):
        u, v = dx * car[1] - car[0], dy * car[1] + _EYE
        paint_where(light, (abs(u) < 2.2) & (abs(v) < 1.8), _car, light, u, v)
        light = light + _headlights(car, x, y, ripple * (v < 0), v)
    return light


def _project(across: float, depth: float, height: float) -> tuple[float, float]:
    """Find where a point of the street stands in the frame."""
    return across / depth / _FIELD + _VANISH[0], (height - _EYE) / depth / _FIELD + _VANISH[1]


def _facades(dx: Plane, dy: Plane, depth: Plane, road: Plane) -> Plane:
    """Paint both rows of houses and the dusk between them, softly where the road mirrors them."""
    height = dy * depth + _EYE
    side = (dx > 0).astype(np.float32)
    house = depth / 9 + 0.37 * side
    zero = 0 * dx
    top = 9 + 9 * scatter(house, zero, 3) + 2 * side
    dusk = mix(rgb(0.16, 0.09, 0.075), rgb(0.012, 0.022, 0.06), smooth(0, 0.55, dy))
    dusk = dusk * (0.75 + 0.5 * fractal(dx * 4, dy * 9, 3, 121))
    # The lamps stand 10 m apart or so; walls catch the nearest two.
    lit = sum((1 / ((depth - d) ** 2 + (height - 5.2) ** 2 + 5) for _, d, _ in _LAMPS[::2]), zero)
    tone = 0.25 + 0.5 * scatter(house, zero, 5)
    brick = 0.8 + 0.4 * fractal(depth * 3, height * 3, 2, 125)
    wall = rgb(1.0, 0.62, 0.33) * (lit * tone * 0.75 * brick) + rgb(0.006, 0.008, 0.014)
    storey, bay = (height - 4.1) / 2.9, depth / 1.9
    inside_u, inside_v = part(bay), part(storey)
    cell = scatter(bay, storey, 7)
    warmth = scatter(bay, storey, 9)
    curtain = 0.45 + 0.55 * noise(bay * 6, storey * 1.3, 11)
    glow = mix(rgb(1.7, 0.8, 0.24), rgb(0.42, 0.62, 0.95), smooth(0.62, 0.7, warmth)) * (0.25 + 1.2 * warmth) * curtain
    pane = box(inside_u, inside_v, (0.2, 0.8, 0.18, 0.82), 0.03) * (1 - 0.8 * bell((inside_u - 0.5) / 0.03))
    pane = pane * (height > 4.1) * (height < top - 0.6)
    light = mix(wall, wall * 0.3 + rgb(0.008, 0.01, 0.016), pane) + glow * pane * (cell > 0.62)
    shop = scatter(house, zero, 13)
    shelf = (
        0.35
        + 0.65 * noise(depth * 2.2, height * 2.4, 15) * smooth(3.1, 1.6, height)
        + 0.5 * bell((height - 2.75) / 0.16)
    )
    # Goods on shelves, each of its own height and darkness; a wet road is too rough to mirror them.
    row, lot = height / 0.62, depth / 0.34
    tall = scatter(lot, row, 21)
    goods = smooth(0.03, -0.03, part(row) - 0.2 - 0.6 * tall) * smooth(0.05, 0.12, part(lot)) * (tall > 0.25)
    goods = 1 - (0.35 + 0.5 * scatter(lot, row, 22)) * goods * smooth(2.3, 2.2, height) * (1 - 0.8 * road)
    front = mix(rgb(2.3, 1.25, 0.42), rgb(0.62, 1.0, 1.3), smooth(0.6, 0.62, shop))
    front = mix(front, rgb(1.9, 0.3, 0.9), smooth(0.8, 0.82, shop)) * shelf * goods
    width = part(house) * 9
    glass = box(width, height, (0.7, 8.3, 0.55, 2.95), 0.05 + 0.4 * road) * (
        1 - box(width, height, (4.1, 4.5, 0, 3), 0.04)
    )
    light = light + front * glass * (shop > 0.22)
    board = box(width, height, (0.5, 8.5, 3.1, 3.7), 0.04)
    letters = smooth(0.5, 0.62, noise(width * 3.2, height * 3.5, 17)) * box(width, height, (1.5, 7.5, 3.22, 3.58), 0.03)
    dye = mix(rgb(5, 0.5, 0.25), rgb(0.4, 3.6, 1.1), smooth(0.45, 0.5, scatter(house, zero, 19)))
    light = mix(light, dye * 0.06 + 0 * light, board) + dye * letters * (shop > 0.22)
    light = mix(light, dusk, smooth(-0.06, 0.06, height - top))
    return mix(light, dusk + rgb(0.035, 0.024, 0.018), 1 - np.exp(-depth / 75))


def _neon(sign: tuple[Any, ...]) -> Callable[..., Plane]:
    """Make the painter of one sign that hangs out from the wall: tubes, and their glow in the damp air."""
    _, _, (near, far), (low, high), color, kind = sign
    wide, tall = far - near, high - low

    def paint(light: Plane, across: Plane, height: Plane, road: Plane) -> Plane:
        pu, pv = abs(across - (near + far) / 2), abs(height - (low + high) / 2)
        if kind == "ring":
            tube = abs(length(pu, pv) - wide * 0.42)
            tube = np.minimum(tube, length(np.maximum(pu - 0.25, 0), pv))
        else:
            ou, ov = pu - wide * 0.42, pv - tall * 0.45
            tube = abs(length(np.maximum(ou, 0), np.maximum(ov, 0)) + np.minimum(np.maximum(ou, ov), 0))
            rung = part((height - low) / tall * 5) * tall / 5 - tall / 10
            stroke = length(np.maximum(pu - wide * 0.2, 0), rung)
            tube = np.minimum(tube, np.where(pv < tall * 0.4, stroke, np.float32(9)))
        face = box(pu, pv, (-1, wide * 0.5, -1, tall * 0.5), 0.05)
        reach = length(np.maximum(pu - 0.3, 0), np.maximum(pv - 0.4 * tall, 0)) / 0.7
        # The road's mirror is blurred: wider tubes with the same light in them.
        width = 0.065 + 0.16 * road
        glow = bell(tube / width) * (0.065 / width) + 0.04 * bell(tube / 0.22) + 0.012 * face
        return light + rgb(*color) * (glow + 0.007 / (1 + reach * reach) ** 2)

    return paint


def _asphalt(mirrored: Plane, across: Plane, depth: Plane, puddle: Plane) -> Plane:
    """Dim the mirror image by how flat it is seen, and add what the road itself throws back."""
    grazing = smooth(2.0, 14, depth)
    grit = 0.7 + 0.6 * fractal(across * 14, depth * 14, 2, 131)
    pools = sum((1 / ((depth - d) ** 2 + (abs(across) - 4.5) ** 2 + 9) for _, d, _ in _LAMPS[::2]), 0 * depth)
    paving = rgb(0.9, 0.6, 0.35) * (pools * 0.32 * grit) + rgb(0.004, 0.005, 0.008)
    dashes = box(across, depth % 4, (-0.08, 0.08, 0.6, 2.4), 0.03) + box(
        abs(across), depth % 4, (4.1, 4.22, -1, 5), 0.03
    )
    paving = paving * (1 + 3.5 * dashes * (0.5 + 0.5 * grit))
    return paving + mirrored * (0.14 + 0.46 * grazing) * (0.35 + 0.75 * puddle)


def _lamp(lamp: tuple[float, float, float], x: Plane, y: Plane, ripple: Plane) -> Plane:
    """Hang one sodium lamp: core, halo, and its streak on the road."""
    across, depth, height = lamp
    u, v = _project(across, depth, height)
    size = 0.3 / depth
    away = length(x - u, (y - v) * 1.3)
    spread = away / size
    halo = 0.008 / (1 + spread * spread / 8) ** 1.35 + 0.0005 * bell(away / 0.2)
    _, low = _project(across, depth, -height)
    streak = (
        bell((x - u + 0.3 * ripple * size) / (size * 2.2)) * bell((y - low) / (0.16 + 2.2 * size)) * (y < _VANISH[1])
    )
    wet = streak * smooth(-0.25, 0.28, ripple) ** 2 * 0.022 * smooth(_VANISH[1], _VANISH[1] - 0.08, y)
    return rgb(210, 128, 46) * (smooth(1.25, 0.75, spread) + halo + wet)


def _pole(lamp: tuple[float, float, float], x: Plane, y: Plane) -> Plane:
    """Cover the lamp's pole and arm."""
    across, depth, height = lamp
    foot = across + (0.9 if across > 0 else -0.9)
    left, low = _project(foot, depth, 0)
    inner, high = _project(across, depth, height + 0.06)
    thick = 0.06 / depth / _FIELD
    arm = box(x, y, (min(left, inner), max(left, inner), high, high + 1.4 * thick))
    return 0.85 * np.maximum(box(x, y, (left - thick, left + thick, low, high + thick)), arm)


def _car(light: Plane, u: Plane, v: Plane) -> Plane:
    """Park a dark car body over the light: u meters from its middle, v meters over the road."""
    cabin = abs(u) - 0.62 - 0.2 * smooth(1.45, 0.85, v)
    roof = smooth(0.03, -0.03, cabin) * box(v, v, (0.85, 1.46, 0.85, 1.46), 0.05)
    body = np.maximum(box(u, v, (-0.9, 0.9, 0.28, 0.92), 0.05), roof)
    wheels = box(abs(u), v, (0.58, 0.86, 0.0, 0.5), 0.04)
    shade = rgb(0.02, 0.021, 0.026) + rgb(0.16, 0.1, 0.06) * bell((v - 0.94) / 0.06)
    shade = shade + rgb(0.09, 0.06, 0.04) * bell((v - 1.45) / 0.05)
    glass = smooth(0.03, -0.03, cabin + 0.1) * box(v, v, (0.96, 1.38, 0.96, 1.38), 0.03)
    shade = shade + rgb(0.03, 0.034, 0.045) * glass * (1 + u)
    light = light * (1 - 0.75 * bell(u) * bell(v / 0.16))
    light = mix(light, rgb(0.006, 0.006, 0.007), wheels)
    return mix(light, shade, body)


def _headlights(car: tuple[float, float, bool], x: Plane, y: Plane, ripple: Plane, v: Plane) -> Plane:
    """Light a car's head or tail lamps: core, halo, flare and the streaks on the road."""
    across, depth, leaving = car
    shine = np.zeros_like(x)
    size = (0.13 if leaving else 0.15) / depth / _FIELD
    for lamp in (-0.66, 0.66):
        u = x - _project(across + lamp, depth, 0.68)[0]
        up = y - _project(across + lamp, depth, 0.68)[1]
        low = y - _project(across + lamp, depth, -1.1)[1]
        away = length(u, up * (1.6 if leaving else 1.0))
        spread, haze = away / size, bell(away / 0.2)
        halo = 0.014 / (1 + spread * spread / 5) ** 1.3 + haze * (0.0007 + 0.003 * bell(up / (0.25 * size)))
        wet = bell((u + 0.4 * ripple * size) / (size * 1.7)) * bell(low / (2.2 / depth)) * (v < 0)
        shine += smooth(1.2, 0.7, spread) + halo + 0.018 * wet * smooth(-0.3, 0.25, ripple)
    return shine * (rgb(30, 1.6, 0.7) if leaving else rgb(150, 158, 165))


# ---- metal: spheres and a cylinder under area lights ---------------------------------------------------------------

_BALLS = (
    # center, radius, reflectance at normal incidence, roughness, brushed
    ((-1.42, 0.92, 0.55), 0.92, (0.62, 0.61, 0.6), 0.34, True),
    ((0.32, 0.62, -0.35), 0.62, (1.0, 0.72, 0.3), 0.1, False),
    ((2.62, 0.55, 0.1), 0.55, (0.95, 0.5, 0.36), 0.26, True),
    ((-0.5, 0.3, -1.25), 0.3, (0.9, 0.92, 0.95), 0.03, False),
    ((1.2, 0.26, -1.35), 0.26, (0.2, 0.36, 0.85), 0.16, False),
    ((-2.35, 0.33, -0.85), 0.33, (0.75, 0.2, 0.28), 0.2, False),
)
_DRUM = ((1.5, 0.95), 0.62, 1.5, (0.7, 0.69, 0.68), 0.26)
_LIGHTS = (
    # direction, half width, half height, color
    ((-0.62, 0.72, -0.5), 0.36, 0.26, (19.0, 18.2, 16.8)),
    ((0.9, 0.35, -0.45), 0.12, 0.52, (17.0, 6.6, 1.5)),
    ((-0.95, 0.22, 0.1), 0.1, 0.5, (1.3, 6.0, 15.0)),
    ((0.25, 0.85, 0.75), 0.5, 0.12, (7.0, 7.4, 8.2)),
    ((0.35, 0.5, -0.95), 0.1, 0.1, (9.0, 1.2, 5.0)),
    ((-0.12, 0.2, -0.97), 0.42, 0.16, (1.15, 1.25, 1.5)),
)


def _frame(direction: tuple[float, float, float]) -> tuple[list[float], list[float], list[float]]:
    """Return a light's direction, and what is across and up as seen along it, of length 1 each."""
    toward = np.asarray(direction) / np.linalg.norm(direction)
    across = np.cross((0, 1, 0), toward)
    across = across / np.linalg.norm(across)
    return toward.tolist(), across.tolist(), np.cross(toward, across).tolist()


_FRAMES = tuple(_frame(light[0]) for light in _LIGHTS)


def metal(x: Plane, y: Plane) -> Plane:
    """Paint brushed and polished metal on a satin table, under area lights."""
    ray = _unit(np.stack([x * 0.345, y * 0.345 - 0.165, np.ones_like(x)]))
    eye = np.broadcast_to(rgb(0.12, 1.95, -6.6), ray.shape)
    return 1.5 * _trace(eye, ray, 2)


def _unit(vector: Plane) -> Plane:
    """Scale vectors to length 1."""
    return vector / np.sqrt((vector * vector).sum(axis=0))


def _trace(start: Plane, ray: Plane, bounces: int) -> Plane:
    """Follow rays to the nearest surface and return the light that comes back."""
    light = np.empty_like(ray)
    nearest = np.full_like(ray[0], 1e9)
    table = -start[1] / np.minimum(ray[1], -1e-4)
    hit = (ray[1] < -1e-3) & (table > 1e-3)
    nearest = np.where(hit, table, nearest)
    struck = np.where(hit, 0, -1)
    for k, (center, radius, *_) in enumerate(_BALLS):
        offset = start - rgb(*center)
        along = (offset * ray).sum(axis=0)
        inside = along * along - (offset * offset).sum(axis=0) + np.float32(radius**2)
        reach = -along - np.sqrt(np.maximum(inside, 0))
        hit = (inside > 0) & (reach > 1e-3) & (reach < nearest)
        nearest, struck = np.where(hit, reach, nearest), np.where(hit, k + 1, struck)
    side, top = _drum_reach(start, ray)
    for reach, code in ((side, len(_BALLS) + 1), (top, len(_BALLS) + 2)):
        hit = reach < nearest
        nearest, struck = np.where(hit, reach, nearest), np.where(hit, code, struck)
    point = start + ray * nearest
    paint_where(light, struck < 0, lambda r: _surroundings(r, np.full_like(r[0], 0.02)), ray)
    paint_where(light, struck == 0, partial(_table_top, bounces=bounces), point, ray)
    for k, ball in enumerate(_BALLS):
        paint_where(light, struck == k + 1, partial(_ball, ball=ball, bounces=bounces), point, ray)
    paint_where(light, struck == len(_BALLS) + 1, partial(_drum_wall, bounces=bounces), point, ray)
    paint_where(light, struck == len(_BALLS) + 2, partial(_drum_top, bounces=bounces), point, ray)
    return light


def _ball(point: Plane, ray: Plane, ball: tuple[Any, ...], bounces: int) -> Plane:
    """Shade one of the spheres, brushed around its vertical axis."""
    center, radius, color, rough, brushed = ball
    offset = point - rgb(*center)
    return _metal(point, ray, offset / np.float32(radius), (color, rough, brushed, offset[1]), bounces)


def _drum_wall(point: Plane, ray: Plane, bounces: int) -> Plane:
    """Shade the cylinder's wall, turned on a lathe."""
    (cx, cz), radius, _, color, rough = _DRUM
    normal = (point - rgb(cx, 0, cz)) * rgb(1, 0, 1) / np.float32(radius)
    return _metal(point, ray, normal, (color, rough, True, point[1]), bounces)


def _drum_top(point: Plane, ray: Plane, bounces: int) -> Plane:
    """Shade the cylinder's top, grooved in circles."""
    (cx, cz), _, _, color, rough = _DRUM
    groove = length(point[0] - cx, point[2] - cz)
    return _metal(point, ray, rgb(0, 1, 0) + 0 * point, (color, rough, True, groove), bounces)


def _drum_reach(start: Plane, ray: Plane) -> tuple[Plane, Plane]:
    """Return the distances to the cylinder's wall and top; 1e9 where missed."""
    (cx, cz), radius, height, *_ = _DRUM
    ox, oz = start[0] - cx, start[2] - cz
    flat = np.maximum(ray[0] ** 2 + ray[2] ** 2, 1e-9)
    along = (ox * ray[0] + oz * ray[2]) / flat
    inside = along * along - (ox * ox + oz * oz - np.float32(radius**2)) / flat
    side = -along - np.sqrt(np.maximum(inside, 0))
    level = start[1] + side * ray[1]
    side = np.where((inside > 0) & (side > 1e-3) & (level > 0) & (level < height), side, np.float32(1e9))
    top = (height - start[1]) / np.minimum(ray[1], -1e-4)
    away = length(ox + top * ray[0], oz + top * ray[2])
    return side, np.where((ray[1] < -1e-3) & (top > 1e-3) & (away < radius), top, np.float32(1e9))


def _surroundings(ray: Plane, rough: Plane, spread: float = 1.0) -> Plane:
    """Return the studio's light from a direction, as a lobe of the given roughness sees it.

    A lobe of roughness a blurs a light's edge over about a^2 of angle and leaves long faint tails, like the
    distribution of Walter et al. 2007 (GGX). spread widens the lobe across the brushing.
    """
    dx, dy, dz = ray
    light = mix(rgb(0.034, 0.04, 0.052), rgb(0.008, 0.01, 0.015), smooth(-0.1, 0.3, dy))
    light = light + rgb(0.1, 0.094, 0.096) * bell(length(dx + 0.12, (dy - 0.02) * 1.5) / 0.3) * (dz > 0)
    blur = 0.012 + 0.55 * rough * rough + 0.12 * rough
    for (toward, across, up), (_, wide, tall, color) in zip(_FRAMES, _LIGHTS, strict=True):
        ahead = dx * toward[0] + dy * toward[1] + dz * toward[2]
        # In units of the blur, on the plane through the light; no light is seen from behind.
        scale = 1 / (np.maximum(ahead, 0.05) * blur)
        u = abs(dx * across[0] + dy * across[1] + dz * across[2]) * scale
        v = abs(dx * up[0] + dy * up[1] + dz * up[2]) * (scale / spread)
        lobe = _rise(wide / blur - u) + _rise(wide / blur + u)
        lobe = lobe * (_rise(tall / (blur * spread) - v) + _rise(tall / (blur * spread) + v))
        light = light + rgb(*color) * (lobe * smooth(0.05, 0.3, ahead) / 4)
    return light


def _rise(value: Plane) -> Plane:
    """Go from -1 to 1 around 0 with the slow tails of a power law."""
    return value / np.sqrt(1 + value * value)


def _metal(point: Plane, ray: Plane, normal: Plane, finish: tuple[Any, ...], bounces: int) -> Plane:
    """Shade metal: the blurred studio, the other objects mirrored in it, and Schlick's rise toward the rim."""
    color, rough, brushed, groove = finish
    facing = np.clip(-(ray * normal).sum(axis=0), 0, 1)
    fresnel = rgb(*color) + (1 - rgb(*color)) * (1 - facing) ** 5
    scratch = 0 * groove
    if brushed:
        turn = np.arctan2(normal[0], normal[2])
        scratch = fractal(groove * 70, turn * 1.5, 3, 141) - 0.5
        normal = _unit(normal + rgb(0, 1, 0) * scratch * 0.16)
    bounce = ray - 2 * (ray * normal).sum(axis=0) * normal
    alpha = np.clip(rough * (1 + 0.5 * scratch), 0.02, 1)
    studio = _surroundings(bounce, alpha, 2.2 if brushed else 1.0)
    # Below the horizon the lobe sees the table, softly where the metal is rough.
    table = rgb(0.085, 0.08, 0.078) * (0.4 + 0.6 * smooth(-1, 0.2, bounce[1]))
    seen = mix(studio, table, smooth(0.04 + 0.5 * rough, -0.04 - 0.5 * rough, bounce[1]))
    if bounces > 1:
        mirrored = _trace(point + normal * np.float32(1e-3), bounce, bounces - 1)
        seen = mix(mirrored, seen, np.asarray(np.clip(rough * 3.2, 0.0, 0.85), np.float32))
    # Near the table little of the studio gets in.
    return seen * fresnel * (0.35 + 0.65 * smooth(0, 0.35, point[1])) * (1 + 0.35 * scratch)


def _table_top(point: Plane, ray: Plane, bounces: int) -> Plane:
    """Shade the table: satin wood-black lacquer, contact shadows, and a soft mirror image."""
    px, _, pz = point
    open_sky = np.ones_like(px)
    warm, cool = np.ones_like(px), np.ones_like(px)
    (cx, cz), wide, tall, *_ = _DRUM
    for center, radius in [(b[0], b[1]) for b in _BALLS] + [((cx, tall / 2, cz), wide * 1.15)]:
        ux, uz = px - center[0], pz - center[2]
        flat = ux * ux + uz * uz
        # A sphere's share of the sky over a point: (r / d)^2 times the cosine: its form factor.
        open_sky = open_sky * (1 - np.clip(radius**2 * center[1] / (flat + center[1] ** 2) ** 1.5, 0, 1))
        for shade, (dx, dy, dz) in ((warm, _FRAMES[0][0]), (cool, _FRAMES[1][0])):
            ahead = -(ux * dx + uz * dz) + center[1] * dy
            miss = np.sqrt(np.maximum(flat + center[1] ** 2 - ahead**2, 0))
            shade *= 1 - 0.85 * smooth(radius * 1.3, radius * 0.55, miss) * (ahead > 0)
    pool = 1 / (1 + ((px + 0.5) ** 2 + (pz + 0.3) ** 2) / 7)
    base = rgb(0.5, 0.48, 0.45) * warm * pool + rgb(0.1, 0.04, 0.012) * cool + rgb(0.1, 0.12, 0.16)
    grain = 0.85 + 0.3 * fractal(px * 1.6, pz * 22, 3, 151)
    light = rgb(0.24, 0.2, 0.18) * base * (0.25 + 0.75 * open_sky) * grain
    bounce = ray * rgb(1, -1, 1)
    grazing = (1 - np.clip(-ray[1], 0, 1)) ** 4
    if bounces > 1:
        bounce = _unit(bounce + rgb(0, 1, 0) * (grain - 1) * 0.15)
        light = light + _trace(point + rgb(0, 1e-3, 0), bounce, bounces - 1) * (0.05 + 0.3 * grazing) * grain
    # The table runs out into the dark of the studio.
    return mix(light, _surroundings(ray, 0 * px + np.float32(0.02)), smooth(1.5, 9, length(px * 0.7, pz)))
