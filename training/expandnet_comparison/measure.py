"""Measure every row on every case, in as many processes as asked for."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from expandnet_training.cases import Case
from numpy.typing import NDArray

from expandnet_comparison.choices import REFERRED, Choices
from expandnet_comparison.methods import Row, rows
from expandnet_comparison.protocol import in_nits
from expandnet_comparison.quality import Judge
from expandnet_comparison.sheets import Sheet
from expandnet_comparison.store import Store

Record = dict[str, Any]
"""One row on one case under one scaling: method, place, maker, response, referred, seconds, and metrics by name."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured; opens the same rows in every process."""

    choices: Choices
    weights: Path
    authors: Path | None
    networks: Mapping[str, Path]
    device: str
    metrics: tuple[str, ...]
    again: frozenset[str]
    """Metrics that are measured although they are known."""
    cache: Path
    sheets: Path | None = None
    """Folder of a sheet per picture, display-referred, known response; None for no sheets."""

    def rows(self) -> list[Row]:
        """Return the rows of the comparison."""
        return rows(
            self.choices, weights=self.weights, authors=self.authors, networks=self.networks, device=self.device
        )


class Meter:
    """Measures cases; opened once per process."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._rows = plan.rows()
        self._judge = Judge(plan.choices, plan.metrics)

    def __call__(self, case: Case) -> list[Record]:
        """Return the records of a case; what was measured before is taken from its file."""
        store = Store(self._plan.cache, case, self._plan.choices)
        truths: dict[str, NDArray[np.float32]] = {}
        sheet = self._sheet(case, store)
        shown: dict[str, NDArray[np.floating]] = {}
        records = []
        for row in self._rows:
            held = store.get(row)
            light: NDArray[np.floating] | None = None
            for referred in REFERRED:
                known = held[referred]
                missing = [name for name in self._plan.metrics if name in self._plan.again or name not in known]
                if missing and (light is None or row.referred):
                    started = time.perf_counter()
                    light = row.expand(case.plate, referred)
                    held["seconds"] = time.perf_counter() - started
                if missing and light is not None:
                    found, truth = in_nits(case, light, referred, self._plan.choices)
                    # One array per scaling, by which the judge knows that it has seen the truth.
                    truth = truths.setdefault(referred, truth)
                    if sheet is not None and referred == "display":
                        shown[row.name] = found
                    for name in missing:
                        value = (
                            self._judge(found, truth, name, referred=referred) if np.isfinite(found).all() else math.nan
                        )
                        known[name] = value if math.isfinite(value) else None
                values = {name: math.nan if known[name] is None else known[name] for name in self._plan.metrics}
                records.append(
                    {
                        "method": row.name, "place": case.place, "maker": case.maker, "response": case.response,
                        "referred": referred, "clipped": case.share, "seconds": held["seconds"], **values,
                    }
                )  # fmt: skip
        store.save()
        if sheet is not None:
            sheet.write(self._columns(case, shown))
        return records

    def _sheet(self, case: Case, store: Store) -> Sheet | None:
        """Return the sheet that is to be drawn of a case, None for none."""
        if self._plan.sheets is None or case.response != "known":
            return None
        path = self._plan.sheets / f"{case.place}.{case.maker.replace(' ', '')}.png"
        sheet = Sheet(path, store.made_from(self._rows))
        return None if sheet.stays else sheet

    def _columns(self, case: Case, shown: Mapping[str, NDArray[np.floating]]) -> dict[str, NDArray[np.floating]]:
        """Return the light of all rows in their order, then the truth; what was not measured now is expanded."""
        columns: dict[str, NDArray[np.floating]] = {}
        for row in self._rows:
            light = shown.get(row.name)
            if light is None:
                light, _ = in_nits(case, row.expand(case.plate, "display"), "display", self._plan.choices)
            columns[row.name] = light
        # Whose light is moved beside it does not matter to the truth.
        _, columns["truth"] = in_nits(case, columns[self._rows[0].name], "display", self._plan.choices)
        return columns


def measured(plan: Plan, cases: Iterable[Case], *, workers: int) -> Iterator[list[Record]]:
    """Yield the records of cases as they are done, in any order."""
    if workers == 1:
        import torch

        # Seconds are those of one thread, here as in processes.
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            meter = Meter(plan)
            yield from (meter(case) for case in cases)
        finally:
            torch.set_num_threads(before)
        return
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_open, initargs=(plan,))
    try:
        waiting: set[Future[list[Record]]] = set()
        for case in cases:
            waiting.add(pool.submit(_measure, case))
            # Pictures wait in memory: no more than the workers will take soon.
            if len(waiting) > 2 * workers:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (one.result() for one in done)
        yield from (one.result() for one in waiting)
    finally:
        pool.shutdown(cancel_futures=True)


_METER: list[Meter] = []


def _open(plan: Plan) -> None:
    import torch

    # An interrupt is the first process's: it lets the pictures in work finish and be kept.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    _METER[:] = [Meter(plan)]


def _measure(case: Case) -> list[Record]:
    return _METER[0](case)


def in_order(records: Iterable[Record], names: Sequence[str]) -> list[Record]:
    """Return records sorted by place, maker, response and scaling, methods in the order of their rows."""
    order = {name: number for number, name in enumerate(names)}
    keys = ("place", "maker", "response", "referred")
    return sorted(records, key=lambda record: (*(record[key] for key in keys), order[record["method"]]))
