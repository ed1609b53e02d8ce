"""The training loop."""

from __future__ import annotations

import json
import math
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from expandnet_ofx.errors import UsageError
from expandnet_training import losses
from expandnet_training.batches import Batch, Batches
from expandnet_training.checkpoint import check_writable, load_checkpoint, save_checkpoint
from expandnet_training.hdr_images import HDRImage
from expandnet_training.models import open_network
from expandnet_training.recipe import Recipe

Report = Callable[[int, float, float], None]

MOST_LOST = 100
"""Steps on end without a finite loss after which a run is given up."""


@contextmanager
def whole() -> Iterator[None]:
    """Let signals wait until what is done here is done: half a step in a checkpoint would be taken twice."""
    held: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # SIGBREAK is the CTRL_BREAK of Windows.
    names = ("SIGINT", "SIGTERM", "SIGBREAK")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.signal(number, lambda number, _: held.append(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if held:
            signal.raise_signal(held[0])


def chosen_parameters(network: nn.Module, only: Sequence[str]) -> list[nn.Parameter]:
    """Return the parameters whose names begin with one of these, all if there are none; the others take no gradients.

    Raises:
        UsageError: no parameter begins so.
    """
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not only or name.startswith(tuple(only)))
    for start in only:
        if not any(name.startswith(start) for name, _ in network.named_parameters()):
            raise UsageError(f"only: no parameter begins with {start!r}; see `expandnet_ofx.architecture`")
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


class Trainer:
    """Trains one network by one recipe.

    Args:
        images: what is trained on.
        recipe: how.
        folder: where checkpoints go; a run that is there goes on where it stopped.
        device: `cpu`, `cuda` or `cuda:N`.
        start: weights to begin with rather than random ones; a run that goes on has no use for them.
    """

    def __init__(
        self,
        images: Sequence[HDRImage],
        recipe: Recipe,
        folder: Path,
        *,
        device: str = "cpu",
        start: Path | None = None,
    ) -> None:
        self.recipe = recipe
        self.folder = folder
        self.device = torch.device(device)
        torch.manual_seed(recipe.seed)
        network = open_network(recipe, start).to(self.device)
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
        self.optimizer = kind(
            chosen_parameters(self.network, recipe.only), lr=recipe.rate, weight_decay=recipe.weight_decay
        )
        self.average = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        self.step = 0
        self.lost = 0
        """Steps on end whose loss was not finite."""
        self.images = sorted(image.name for image in images)
        self.plateau = {"rate": recipe.rate, "best": math.inf, "since": 0, "mean": math.nan}
        self.batches = Batches(images, recipe, self.device)
        # Not after hours of work.
        check_writable(folder)
        load_checkpoint(self, folder)

    def run(self, *, save_every: int = 1000, report: Report | None = None) -> None:
        """Train to the recipe's last step; checkpoints appear only when complete."""
        try:
            while self.step < self.recipe.steps:
                rate = self._set_rate()
                batch = self.batches(self.step)
                with whole():
                    loss = self.train_step(batch)
                    self.step += 1
                    self._note_loss(loss)
                if self.lost >= MOST_LOST:
                    raise UsageError(
                        f"recipe {self.recipe.name}: the loss is not finite for {MOST_LOST} steps on end; lower the rate"
                    )
                if report is not None:
                    report(self.step, loss, rate)
                if self.step % save_every == 0:
                    save_checkpoint(self, self.folder)
        finally:
            save_checkpoint(self, self.folder)

    def train_step(self, batch: Batch) -> float:
        """Learn from one batch; return its loss. A batch whose loss is not finite is left out."""
        loss = self.loss(batch)
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

    def predict(self, crops: Tensor, proxies: Tensor, boldness: Tensor) -> Tensor:
        """Return light over white (N, 3, crop, crop) of crops whose views (N / k, 3, 256, 256) follow each other.

        With the paper's recipe it is relative, from 0 to 1.
        """
        half = torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.precision == "mixed")
        if self.recipe.network != "expandnet":
            with half:
                light: Tensor = self.network(crops.contiguous(memory_format=torch.channels_last))
            return light
        expand = self.network.expand_inside if self.recipe.halo else self.network.expand
        with half:
            features = self.network.global_features(proxies.contiguous(memory_format=torch.channels_last))
            features = self.network.condition(features.float(), boldness, proxies)
            features = features.repeat_interleave(len(crops) // len(proxies), 0)
            y = expand(crops.contiguous(memory_format=torch.channels_last), features).float()
        found: Tensor = self.recipe.contract.to_light(y, torch)
        return found

    def loss(self, batch: Batch) -> Tensor:
        """Return the recipe's loss of a batch."""
        recipe, contract = self.recipe, self.recipe.contract
        light = self.predict(batch.crops, batch.proxies, batch.boldness)
        if recipe.loss == "paper":
            return losses.paper(light, batch.light)
        target = batch.light.clamp(max=contract.output_peak)
        if recipe.loss == "illumination":
            return losses.illumination(light, target, batch.clipped)
        loss = losses.highlights(
            light,
            target,
            batch.clipped,
            beta=recipe.beta,
            clipped_weight=recipe.clipped_weight,
            color_weight=recipe.color_weight,
            quantile=batch.boldness.repeat_interleave(recipe.crops_per_view, 0) if recipe.boldness else None,
        )
        if recipe.edge_weight:
            loss = loss + recipe.edge_weight * losses.slopes(light, target, batch.clipped)
        if batch.again is not None:
            crops, proxies = batch.again
            again = self.predict(crops, proxies, batch.boldness)
            first = slice(None, None, recipe.crops_per_view)
            loss = loss + recipe.steady_weight * losses.steadiness(light[first], again, batch.clipped[first])
        return loss

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
        self.lost = 0 if math.isfinite(loss) else self.lost + 1
        if self.lost:
            return
        state["mean"] = loss if math.isnan(state["mean"]) else 0.99 * state["mean"] + 0.01 * loss
        if self.step <= recipe.hold or state["mean"] < state["best"] * (1 - 1e-4):
            state["best"], state["since"] = state["mean"], 0
        else:
            state["since"] += 1
        if state["since"] >= recipe.patience:
            state["rate"], state["since"] = max(recipe.lowest_rate, state["rate"] * recipe.decay), 0

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step)) if self.recipe.ema else 0.0
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)

    def state(self) -> dict[str, Any]:
        """Return what a run needs beside its averaged weights to go on."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "plateau": self.plateau,
            "images": json.dumps(self.images),
        }
