"""A dim room with a bright view, 3 to 6 stops above white."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scenes.brushes import Plane, bell, box, fractal, length, mix, paint_where, part, rgb, scatter, smooth

_WALL, _FLOOR, _CEILING, _BACK = 2.9, -1.35, 1.6, 4.6
_LENS = 0.5
_OPENING = (-1.75, 0.75, -0.55, 1.2)
_SUN_FALL = (0.42, -0.8, -0.5)


def paint(x: Plane, y: Plane) -> Plane:
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
