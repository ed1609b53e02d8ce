"""Plots and picture sheets of an evaluation, PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_ofx.transfer import srgb_encode
from expandnet_training.figures import EDGES, Row, mean, over_places

Array = NDArray[np.float32]

EXPOSURES = (0, -2, -4)
"""Stops that the rows of a picture sheet are shown at."""


def write_plots(folder: Path, rows: Sequence[Row], *, base: str) -> None:
    """Write scatter.png, brightness.png and energy.png for cases with a known response stored in 8 bits."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    plain = [row for row in rows if row["response"] == "known" and row["storage"] == "8-bit"]
    methods = list(dict.fromkeys(row["method"] for row in plain))
    for name, draw in (("scatter", _scatter), ("brightness", _brightness), ("energy", _energy)):
        figure, axes = pyplot.subplots(figsize=(8, 6), layout="constrained")
        draw(axes, plain, [method for method in methods if not method.endswith(" raw")], base)
        figure.savefig(folder / f"{name}.png", dpi=120)
        pyplot.close(figure)


def _scatter(axes: Any, rows: Sequence[Row], methods: Sequence[str], base: str) -> None:
    """Draw the error of each picture against that of the bare plate: below the line is better."""
    lookup: dict[str, dict[Any, float]] = {}
    for row in rows:
        lookup.setdefault(row["method"], {})[row["place"], row["share"]] = row["error"]
    for method in methods:
        if method != base:
            pairs = [(lookup[base][picture], error) for picture, error in lookup[method].items()]
            axes.scatter(*zip(*pairs, strict=True), s=16, label=method)
    most = max(value for found in lookup.values() for value in found.values() if np.isfinite(value))
    axes.plot([0, most], [0, most], color="gray", linewidth=1)
    axes.set(xlabel=f"error of the {base} in stops", ylabel="error in stops", title="Each picture, clipped channels")
    axes.legend()


def _brightness(axes: Any, rows: Sequence[Row], methods: Sequence[str], base: str) -> None:
    """Draw the mean error against how far the truth lies above white."""
    centers = [0.5 * (low + high) for low, high in zip(EDGES, (*EDGES[1:-1], 8), strict=False)]
    for method in methods:
        own = [row for row in rows if row["method"] == method]
        biases = [mean([row[f"bias_from{low:g}"] for row in own]) for low in EDGES[:-1]]
        axes.plot(centers, biases, marker="o", label=method)
    axes.axhline(0, color="gray", linewidth=1)
    axes.set(
        xlabel="truth in stops above white", ylabel="mean error in stops", title="Too dark below 0, too bright above"
    )
    axes.legend()


def _energy(axes: Any, rows: Sequence[Row], methods: Sequence[str], base: str) -> None:
    """Draw recovered light against error: the aim is at the left, at 1."""
    for method in methods:
        error, energy = (mean(list(over_places(rows, method, name).values())) for name in ("error", "energy"))
        axes.scatter([error], [energy], s=40)
        axes.annotate(method, (error, energy), textcoords="offset points", xytext=(6, 4))
    axes.axhline(1, color="gray", linewidth=1)
    axes.set(xlabel="error in stops, clipped channels", ylabel="recovered over missing light", title="Error and energy")
    axes.margins(0.25)


def write_sheet(
    path: Path, pictures: Mapping[str, Array], *, column: int | None = None, texts: Mapping[str, str] | None = None
) -> None:
    """Write a sheet: one column per picture (H, W, 3) of light over white, one row per exposure.

    Args:
        path: where it goes.
        pictures: by name.
        column: width that pictures are reduced to, None for their own.
        texts: what else the PNG says, by key.
    """
    from PIL import Image, ImageDraw, PngImagePlugin

    height, width = next(iter(pictures.values())).shape[:2]
    if column is not None:
        height, width = round(height * column / width), column
    sheet = Image.new("RGB", (width * len(pictures), 18 + height * len(EXPOSURES)))
    canvas = ImageDraw.Draw(sheet)
    for column, (name, light) in enumerate(pictures.items()):
        canvas.text((column * width + 4, 3), name, fill="white")
        for row, stops in enumerate(EXPOSURES):
            codes = np.rint(255 * srgb_encode(np.clip(light * 2.0**stops, 0, 1))).astype(np.uint8)
            shown = Image.fromarray(codes).resize((width, height), Image.Resampling.BOX)
            sheet.paste(shown, (column * width, 18 + row * height))
            canvas.text((column * width + 4, 18 + row * height + 2), f"{stops:+d} stops" if stops else "", fill="white")
    said = PngImagePlugin.PngInfo()
    for key, text in (texts or {}).items():
        said.add_text(key, text)
    sheet.save(path, pnginfo=said)
