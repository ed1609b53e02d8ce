"""What a comparison looks like: box plots per metric."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from expandnet_comparison.measure import Record
from expandnet_comparison.methods import Row
from expandnet_comparison.quality import TITLES
from expandnet_comparison.report import title
from expandnet_comparison.summary import groups


def write_boxes(folder: Path, records: Sequence[Record], rows: Sequence[Row], metrics: Sequence[str]) -> None:
    """Write one plot per metric: a panel per setting, a box per method over the places.

    Boxes span the quartiles, whiskers 1.5 of their distance; those that stand apart are gray.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    for metric in metrics:
        settings = [group for group in groups(records) if np.isfinite(_values(records, group, metric)).any()]
        if not settings:
            continue
        columns = min(4, len(settings))
        lines = -(-len(settings) // columns)
        figure, axes = pyplot.subplots(
            lines, columns, figsize=(4.2 * columns, 0.6 + 4.4 * lines), layout="constrained", squeeze=False, sharey=True
        )
        for axis, group in zip(axes.flat, settings, strict=False):
            found = [_values(records, group, metric, row.name) for row in rows]
            boxes = axis.boxplot(
                [values[np.isfinite(values)] for values in found],
                orientation="horizontal",
                patch_artist=True,
                widths=0.6,
            )
            for box, row in zip(boxes["boxes"], rows, strict=True):
                box.set_facecolor("0.85" if row.apart else "#9ecae1" if row.name.startswith("EXP") else "#fee6ce")
            axis.set_title(title(group).replace(", ", ",\n", 1), fontsize=9)
            axis.grid(axis="x", alpha=0.3)
        axes[0, 0].set_yticks(range(1, len(rows) + 1), [row.name for row in rows])
        axes[0, 0].invert_yaxis()
        for axis in axes[:, 0]:
            axis.tick_params(axis="y", labelsize=8)
        for axis in axes.flat[len(settings) :]:
            axis.remove()
        figure.suptitle(TITLES[metric])
        figure.savefig(folder / f"box_{metric}.png", dpi=100)
        pyplot.close(figure)


def _values(
    records: Sequence[Record], group: tuple[str, str, str], metric: str, method: str | None = None
) -> NDArray[np.float64]:
    return np.array(
        [
            record[metric]
            for record in records
            if (record["maker"], record["response"], record["referred"]) == group and method in (None, record["method"])
        ],
        np.float64,
    )
