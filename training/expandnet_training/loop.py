"""The training loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from expandnet_ofx.architecture import RADIUS
from expandnet_ofx.network import ExpandNet
from expandnet_training import losses
from expandnet_training.batches import Batch, Batches
from expandnet_training.checkpoint import load_checkpoint, save_checkpoint
from expandnet_training.hdr_images import HDRImage
from expandnet_training.recipe import Recipe

Report = Callable[[int, float, float], None]


class Trainer:
    """Trains one network by one recipe.

    Args:
        images: what is trained on.
        recipe: how.
        folder: where checkpoints go; a run that is there goes on where it stopped.
        device: `cpu`, `cuda` or `cuda:N`.
    """

    def __init__(self, images: Sequence[HDRImage], recipe: Recipe, folder: Path, *, device: str = "cpu") -> None:
        self.recipe = recipe
        self.folder = folder
        self.device = torch.device(device)
        torch.manual_seed(recipe.seed)
        self.network = ExpandNet().to(self.device)
        kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
        self.optimizer = kind(self.network.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay)
        self.average = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        self.step = 0
        self.plateau = {"rate": recipe.rate, "best": math.inf, "since": 0, "mean": math.nan}
        self._batches = Batches(images, recipe, self.device)
        load_checkpoint(self, folder)

    def run(self, *, save_every: int = 1000, report: Report | None = None) -> None:
        """Train to the recipe's last step; checkpoints appear only when complete."""
        try:
            while self.step < self.recipe.steps:
                rate = self._set_rate()
                loss = self.train_step(self._batches(self.step))
                self.step += 1
                self._note_loss(loss)
                if report is not None:
                    report(self.step, loss, rate)
                if self.step % save_every == 0:
                    save_checkpoint(self, self.folder)
        finally:
            save_checkpoint(self, self.folder)

    def train_step(self, batch: Batch) -> float:
        """Learn from one batch; return its loss. A batch whose loss is not finite is left out."""
        # Half the bits only on a GPU, whose tensor cores gain from them; on the CPU a run is exact and resumable.
        half = torch.autocast("cuda", torch.bfloat16) if self.device.type == "cuda" else nullcontext()
        with half:
            y = self.predict(batch)
        loss = self._loss(y.float(), batch)
        value = float(loss.detach())
        if not math.isfinite(value):
            return math.nan
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.recipe.clip_gradient:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip_gradient)
        self.optimizer.step()
        self._update_average()
        return value

    def predict(self, batch: Batch) -> Tensor:
        """Return sigmoid values (N, 3, crop, crop); padding never reaches what is kept, where crops have a halo."""
        features = self.network.global_features(batch.proxies.contiguous(memory_format=torch.channels_last))
        features = features.repeat_interleave(self.recipe.crops_per_view, 0)
        y = self.network.expand(batch.crops.contiguous(memory_format=torch.channels_last), features)
        return y[:, :, RADIUS:-RADIUS, RADIUS:-RADIUS] if self.recipe.halo else y

    def _loss(self, y: Tensor, batch: Batch) -> Tensor:
        recipe = self.recipe
        if recipe.loss == "paper":
            return losses.paper(y, batch.light)
        return losses.highlights(
            recipe.contract.to_light(y, torch),
            batch.light,
            batch.clipped,
            beta=recipe.beta,
            clipped_weight=recipe.clipped_weight,
            color_weight=recipe.color_weight,
        )

    def _set_rate(self) -> float:
        recipe = self.recipe
        if recipe.schedule == "cosine":
            share = self.step / recipe.steps
            rate = recipe.lowest_rate + (recipe.rate - recipe.lowest_rate) * 0.5 * (1 + math.cos(math.pi * share))
        else:
            rate = self.plateau["rate"]
        rate *= min(1.0, (self.step + 1) / max(1, recipe.warm_up))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def _note_loss(self, loss: float) -> None:
        """Let the plateau schedule know a loss: it lowers the rate when a running mean stops getting better."""
        state, recipe = self.plateau, self.recipe
        if not math.isfinite(loss):
            return
        state["mean"] = loss if math.isnan(state["mean"]) else 0.99 * state["mean"] + 0.01 * loss
        if state["mean"] < state["best"] * (1 - 1e-4):
            state["best"], state["since"] = state["mean"], 0
        else:
            state["since"] += 1
        if state["since"] >= recipe.patience:
            state["rate"], state["since"] = max(recipe.lowest_rate, state["rate"] * recipe.decay), 0

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step)) if self.recipe.ema else 0.0
        for name, value in self.network.state_dict().items():
            self.average[name].lerp_(value, 1 - decay)

    def state(self) -> dict[str, Any]:
        """Return what a run needs beside its averaged weights to go on."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "plateau": self.plateau,
        }
