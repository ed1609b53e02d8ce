"""What a network in training makes of a few crops, as one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from expandnet_ofx.architecture import RADIUS
from expandnet_training import responses

if TYPE_CHECKING:
    from expandnet_training.loop import Trainer

CROPS = 8
STOPS = -2


@torch.no_grad()
def sheet(trainer: Trainer) -> NDArray[np.uint8]:
    """Return rows of plate, prediction and truth, two stops down: (8 crops, 3 crops, 3), of the batch of step 0."""
    recipe, batch = trainer.recipe, trainer.batches(0)
    default = torch.full_like(batch.boldness, recipe.default_boldness)
    # A network that counts what it sees in training must not count this.
    trainer.network.eval()
    found = trainer.predict(batch.crops, batch.proxies, default)
    trainer.network.train()
    halo = RADIUS if recipe.halo else 0
    plates = batch.crops[:, :, halo : halo + recipe.crop, halo : halo + recipe.crop]
    columns = [responses.srgb_light(plates), found, batch.light]
    shown = torch.cat([x[:CROPS] for x in columns], 3) * 2.0**STOPS
    codes = (responses.srgb(shown.clamp(0, 1)) * 255).round().byte()
    rows: NDArray[np.uint8] = torch.cat(list(codes), 1).permute(1, 2, 0).cpu().numpy()
    return rows
