"""A wet street at night with lamps, signs and cars."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scenes.brushes import Plane, bell, box, fractal, length, mix, noise, paint_where, part, rgb, scatter, smooth

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


def paint(x: Plane, y: Plane) -> Plane:
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
    light = _storeys(wall, depth, height, top)
    light = _shops(light, depth, height, house, road)
    light = mix(light, dusk, smooth(-0.06, 0.06, height - top))
    return mix(light, dusk + rgb(0.035, 0.024, 0.018), 1 - np.exp(-depth / 75))


def _storeys(wall: Plane, depth: Plane, height: Plane, top: Plane) -> Plane:
    """Set windows into the wall over the shops; behind some of them somebody is at home."""
    storey, bay = (height - 4.1) / 2.9, depth / 1.9
    inside_u, inside_v = part(bay), part(storey)
    cell = scatter(bay, storey, 7)
    warmth = scatter(bay, storey, 9)
    curtain = 0.45 + 0.55 * noise(bay * 6, storey * 1.3, 11)
    glow = mix(rgb(1.7, 0.8, 0.24), rgb(0.42, 0.62, 0.95), smooth(0.62, 0.7, warmth)) * (0.25 + 1.2 * warmth) * curtain
    pane = box(inside_u, inside_v, (0.2, 0.8, 0.18, 0.82), 0.03) * (1 - 0.8 * bell((inside_u - 0.5) / 0.03))
    pane = pane * (height > 4.1) * (height < top - 0.6)
    return mix(wall, wall * 0.3 + rgb(0.008, 0.01, 0.016), pane) + glow * pane * (cell > 0.62)


def _shops(light: Plane, depth: Plane, height: Plane, house: Plane, road: Plane) -> Plane:
    """Open shops on the ground floor, each with its board over the window."""
    zero = 0 * depth
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
    return mix(light, dye * 0.06 + 0 * light, board) + dye * letters * (shop > 0.22)


def _neon(sign: tuple[Any, ...]) -> Callable[..., Plane]:
    """Make the painter of one sign that hangs out from the wall: tubes, and their glow in the damp air."""
    _, _, (near, far), (low, high), color, kind = sign
    wide, tall = far - near, high - low

    def draw(light: Plane, across: Plane, height: Plane, road: Plane) -> Plane:
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

    return draw


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
