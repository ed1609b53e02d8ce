"""A lake and hills under a sun 9 stops above white."""

from __future__ import annotations

import numpy as np

from scenes.brushes import Plane, bell, box, fractal, length, mix, paint_where, rgb, smooth

_SUN = (0.62, 0.34)
_SHORE = -0.36
_RIDGES = (
    # base, height, color, haze; far to near
    (0.0, 0.38, (0.16, 0.2, 0.28), 0.6),
    (-0.12, 0.28, (0.07, 0.1, 0.1), 0.26),
    (-0.25, 0.16, (0.03, 0.042, 0.024), 0.05),
)


def paint(x: Plane, y: Plane) -> Plane:
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
