"""A case and a method of a comparison."""

from __future__ import annotations

import numpy as np
from expandnet_comparison.choices import Choices
from expandnet_comparison.methods import Row
from expandnet_training.cases import Case

CHOICES = Choices()


def case_of(seed: int = 0, *, size: tuple[int, int] = (40, 50)) -> Case:
    rng = np.random.default_rng(seed)
    truth = np.exp2(rng.normal(size=(*size, 3)) * 2 - 2).astype(np.float32)
    plate = (np.clip(truth, 0, 1) ** (1 / 2.2) * 255).round().astype(np.uint8)
    return Case(place="p", share=0.1, response="known", storage="8-bit", plate=plate, truth=truth, maker="optimal")


def row_of(name: str, samples: int | None = None) -> Row:
    return Row(name=name, what="", license="", expand=lambda plate, _: plate / 255.0, samples=samples)
