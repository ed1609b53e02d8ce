"""The figures of every method on every case, and their summary over places."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expandnet_training import metrics
from expandnet_training.cases import Case
from expandnet_training.methods import Method, linearized
from expandnet_training.steady import unsteadiness

FIGURES = (
    "error", "error95", "bias1", "bias2", "bias4", "energy", "hue", "psnr", "ssim", "ms_ssim", "jod",
    "exposed", "kept", "unsteady", "unsteady95",
)  # fmt: skip
"""Mean and 95th percentile error in stops of clipped channels; mean error in stops where the truth lies 1, 2 and 4 stops
above white; recovered over missing light; hue error in degrees; PU21-PSNR in dB, SSIM and MS-SSIM, and ColorVideoVDP in
JOD, all after the response is taken out where it is unknown; error in stops of measured channels, and their largest
change of light; mean and 95th percentile in stops that light moves by when the camera drifts."""

GAINS = ("error", "psnr", "jod")
"""Figures whose difference to the reference rows comes with an interval."""

EDGES = (0, 0.5, 1, 2, 3, 4, 6, 16)
"""Stops above white between which errors are told apart."""

MEASURED = 0.94 * 250 / 255
"""Share of full scale below which a channel has no matte: the default threshold, less noise."""

SHIFTS = tuple(range(1, 9))

Row = dict[str, Any]
Quality = Callable[[NDArray[np.float32], NDArray[np.float32]], float]


def measure(case: Case, method: Method, *, number: int, quick: bool, jod: Quality | None) -> Row:
    """Return the figures of one method on one case.

    Args:
        case: plate and truth.
        method: what is measured.
        number: of the case; a quick run drifts by one shift of eight, in turn.
        quick: JOD at 7 and 15 percent only, one drift.
        jod: ColorVideoVDP, where it is installed.
    """
    light, truth, clipped = method(case.plate), case.truth, case.clipped
    errors = np.abs(metrics.errors_in_stops(light, truth, clipped))
    measured = case.plate < MEASURED * 255
    plain = case.response == "known" and case.storage == "8-bit"
    seen = light if case.response == "known" else metrics.without_response(light, truth)
    shifts = (SHIFTS[number % len(SHIFTS)],) if quick else SHIFTS
    moves = unsteadiness(method, case.plate, light, shifts) if plain else (float("nan"),) * 2
    judged = jod is not None and plain and (not quick or case.share in (0.07, 0.15))
    row: Row = {
        "error": float(errors.mean()) if errors.size else float("nan"),
        "error95": float(np.percentile(errors, 95)) if errors.size else float("nan"),
        **{f"bias{n}": metrics.bias_above(light, truth, clipped, stops=n) for n in (1, 2, 4)},
        "energy": metrics.energy(light, truth, clipped),
        "hue": metrics.hue_error(light, truth, clipped),
        "psnr": metrics.pu21_psnr(seen, truth),
        "ssim": metrics.pu21_ssim(seen, truth),
        "ms_ssim": metrics.pu21_ssim(seen, truth, scales=5),
        "jod": jod(seen, truth) if jod is not None and judged else float("nan"),
        "exposed": metrics.exposed_error(light, truth, measured),
        "kept": float(np.abs(light - linearized(case.plate))[measured].max(initial=0.0)),
        "unsteady": moves[0],
        "unsteady95": moves[1],
    }
    by_brightness = metrics.error_by_brightness(light, truth, clipped, EDGES)
    for low, (bias, error, count) in zip(EDGES, by_brightness, strict=False):
        row |= {f"bias_from{low:g}": bias, f"error_from{low:g}": error, f"count_from{low:g}": count}
    return row


def setting(row: Row) -> tuple[float, str, str]:
    """Return what a row was measured under: share, response, storage."""
    return row["share"], row["response"], row["storage"]


def over_places(rows: Sequence[Row], method: str, figure: str) -> dict[str, float]:
    """Return the mean of one figure of one method for each place."""
    found: dict[str, list[float]] = {}
    for row in rows:
        if row["method"] == method:
            found.setdefault(row["place"], []).append(row[figure])
    return {place: mean(values) for place, values in found.items()}


def summarize(rows: Sequence[Row], *, bases: Sequence[str]) -> list[Row]:
    """Return one row per method and setting, and per method over all settings with a known response.

    Each holds the means over places, and for `GAINS` the 95 percent BCa intervals of the difference to each of `bases`.
    """
    groups: list[tuple[tuple[Any, ...], list[Row]]] = []
    known = [
        row for row in rows if row["response"] == "known" and row["storage"] == "8-bit" and row["share"] in (0.07, 0.15)
    ]
    if known:
        groups.append((("7 and 15", "known", "8-bit"), known))
    for key in sorted({setting(row) for row in rows}):
        groups.append((key, [row for row in rows if setting(row) == key]))
    summary = []
    for key, group in groups:
        for method in dict.fromkeys(row["method"] for row in group):
            entry: Row = {"share": key[0], "response": key[1], "storage": key[2], "method": method}
            for figure in FIGURES:
                own = over_places(group, method, figure)
                entry[figure] = mean(list(own.values()))
                for base in bases if figure in GAINS else ():
                    other = over_places(group, base, figure)
                    entry[f"{figure} over {base}"] = metrics.bca_interval(
                        np.array([own[place] - other[place] for place in own if place in other])
                    )
            summary.append(entry)
    return summary


def mean(values: Sequence[float]) -> float:
    """Return the mean of the values that are known, NaN if none is."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")
