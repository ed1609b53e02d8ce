"""Metal spheres and a cylinder under area lights."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from scenes.brushes import Plane, bell, fractal, length, mix, paint_where, rgb, smooth

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


def paint(x: Plane, y: Plane) -> Plane:
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
