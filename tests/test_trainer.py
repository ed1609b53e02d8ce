"""The trainer: what a step minimizes, how far it goes, what is kept of it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from expandnet_training import losses
from expandnet_training.camera import CameraRanges
from expandnet_training.hdr_images import HDRImage
from expandnet_training.loop import Trainer
from panoramas import small

from expandnet_ofx.errors import InputError


def test_the_loss_of_a_batch_is_the_sum_of_what_its_recipe_names(tmp_path: Path, images: list[HDRImage]) -> None:
    """Each crop predicted by itself, beside the reduced view and under the knob of the view that it is from."""
    weights = {"beta": 0.3, "clipped_weight": 3.0, "color_weight": 0.7}
    trainer = Trainer(images, small(boldness=(0.2, 0.9), edge_weight=0.25, steady_weight=0.5, **weights), tmp_path)
    torch.nn.init.normal_(trainer.network.boldness.weight)
    batch = trainer.batches(0)
    light = batch.light.clone()
    light[0][batch.clipped[0]] = 1e5
    batch = replace(batch, light=light)
    assert batch.again is not None
    assert batch.clipped[0].any()

    def one(crops: torch.Tensor, proxies: torch.Tensor, crop: int, view: int) -> torch.Tensor:
        return trainer.predict(crops[crop, None], proxies[view, None], batch.boldness[view, None])

    with torch.no_grad():
        first = torch.cat([one(batch.crops, batch.proxies, crop, crop // 2) for crop in range(4)])
        again = torch.cat([one(*batch.again, view, view) for view in range(2)])
        target = light.clamp(max=4096)
        expected = losses.highlights(first, target, batch.clipped, **weights, quantile=batch.boldness[[0, 0, 1, 1]])
        expected = expected + 0.25 * losses.slopes(first, target, batch.clipped)
        expected = expected + 0.5 * losses.steadiness(first[[0, 2]], again, batch.clipped[[0, 2]])
        assert float(trainer.loss(batch)) == pytest.approx(float(expected), rel=1e-4)


def test_a_rate_rises_and_falls_as_half_a_cosine(tmp_path: Path, images: list[HDRImage]) -> None:
    trainer = Trainer(images, small(rate=1e-3, lowest_rate=1e-5, warm_up=4, steps=40), tmp_path)
    found = {}
    for trainer.step in (0, 10, 20, 40):
        found[trainer.step] = trainer._set_rate()
        assert [group["lr"] for group in trainer.optimizer.param_groups] == [found[trainer.step]]
    span = 1e-3 - 1e-5
    assert found[0] == pytest.approx(1e-3 / 4)
    assert found[10] == pytest.approx(1e-5 + span * (2 + math.sqrt(2)) / 4)
    assert found[20] == pytest.approx(1e-5 + span / 2)
    assert found[40] == pytest.approx(1e-5)


def test_a_plateau_lowers_the_rate_once_per_patience(tmp_path: Path, images: list[HDRImage]) -> None:
    trainer = Trainer(images, small(schedule="plateau", rate=1e-3, warm_up=0, patience=3, decay=0.5), tmp_path)
    rates = []
    for trainer.step in range(1, 9):
        trainer._note_loss(1.0)
        rates.append(1e3 * trainer.plateau["rate"])
    assert rates == pytest.approx([1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25])


@pytest.mark.parametrize(("ema", "step", "kept"), [(0.9, 0, 0.1), (0.9, 10**6, 0.9), (0.0, 10**6, 0.0)])
def test_what_ships_is_the_average_of_weights_over_steps(
    tmp_path: Path, images: list[HDRImage], ema: float, step: int, kept: float
) -> None:
    trainer = Trainer(images, small(ema=ema), tmp_path)
    before = {name: value.clone() for name, value in trainer.average.items()}
    trainer.step = step
    trainer.train_step(trainer.batches(0))
    for name, after in trainer.network.state_dict().items():
        torch.testing.assert_close(trainer.average[name], kept * before[name] + (1 - kept) * after)
    assert any(not torch.equal(value, before[name]) for name, value in trainer.average.items())


def test_steps_are_held_by_the_recipe(tmp_path: Path, images: list[HDRImage]) -> None:
    trainer = Trainer(images, small(clip_gradient=1e-3, weight_decay=0.05), tmp_path)
    assert [group["weight_decay"] for group in trainer.optimizer.param_groups] == [0.05]
    batch = trainer.batches(0)
    trainer.train_step(batch)
    squares = sum(float(p.grad.square().sum()) for p in trainer.network.parameters() if p.grad is not None)
    assert math.sqrt(squares) == pytest.approx(1e-3, rel=1e-2)
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    assert math.isnan(trainer.train_step(replace(batch, light=torch.full_like(batch.light, np.nan))))
    assert all(torch.equal(value, before[name]) for name, value in trainer.network.state_dict().items())


def test_a_run_is_kept_every_so_many_steps(tmp_path: Path, images: list[HDRImage]) -> None:
    kept = []

    def report(step: int, loss: float, rate: float) -> None:
        path = tmp_path / "optimizer.pt"
        kept.append(torch.load(path, weights_only=True)["step"] if path.exists() else None)

    Trainer(images, small(steps=5), tmp_path).run(save_every=2, report=report)
    assert kept == [None, None, 2, 2, 4]


def test_another_camera_does_not_go_on(tmp_path: Path, images: list[HDRImage]) -> None:
    Trainer(images, small(steps=1), tmp_path).run()
    with pytest.raises(InputError, match="another camera"):
        Trainer(images, small(camera=CameraRanges(graphics=0.5)), tmp_path)
