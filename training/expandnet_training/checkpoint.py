"""Checkpoints: weights that could ship, with their contract, and beside them what the run needs to go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from expandnet_ofx.errors import InputError, OutputError
from expandnet_ofx.partials import new_file, partial_name
from expandnet_ofx.weights import save_weights
from expandnet_ofx.weights_import import UNPICKLING_FAILURES

if TYPE_CHECKING:
    from expandnet_training.loop import Trainer

OPTIMIZER = "optimizer.pt"

OTHER_FORMAT = "expandnet-comparison-1"
"""Format of weights of other networks, in their metadata."""


def weights_file(folder: Path, name: str) -> Path:
    """Return where the weights of a run lie."""
    return folder / f"{name}.safetensors"


def check_writable(folder: Path) -> None:
    """Make the folder of a run; raise `OutputError` if checkpoints cannot be put there."""
    probe = partial_name(folder / OPTIMIZER)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror or error}); choose another folder") from error


def save_checkpoint(trainer: Trainer, folder: Path) -> None:
    """Write both files; each appears under its name only when complete, the one that resumes last."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe = trainer.recipe
    if recipe.network == "expandnet":
        state = {name: value.detach().float().cpu().numpy() for name, value in trainer.average.items()}
        save_weights(weights_file(folder, recipe.name), state, recipe.contract)
    else:
        save_other(weights_file(folder, recipe.name), trainer)
    average = {name: value.cpu() for name, value in trainer.average.items()}
    with new_file(folder / OPTIMIZER) as partial:
        torch.save({"recipe": json.dumps(recipe.to_dict()), "average": average, **trainer.state()}, partial)


def save_other(path: Path, trainer: Trainer) -> None:
    """Write averaged weights of a network that ExpandNet is compared with: its name and the samples seen are metadata."""
    from safetensors.torch import save

    recipe = trainer.recipe
    about = {"format": OTHER_FORMAT, "name": recipe.name, "network": recipe.network}
    about["samples"] = str(trainer.step * recipe.batch)
    state = {name: value.detach().cpu().contiguous() for name, value in trainer.average.items()}
    with new_file(path) as partial:
        partial.write_bytes(save(state, about))


def load_checkpoint(trainer: Trainer, folder: Path) -> None:
    """Go on with the run in a folder, if there is one.

    Raises:
        InputError: it was made by another recipe or on other images, or cannot be read.
    """
    path = folder / OPTIMIZER
    if not path.exists():
        return
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        before = json.loads(state["recipe"])
        if not isinstance(before, dict):
            raise TypeError(f"recipe is {before!r}")
    except (OSError, *UNPICKLING_FAILURES) as error:
        raise InputError(f"{path}: cannot be read ({type(error).__name__}); remove it to start anew") from error
    now = json.loads(json.dumps(trainer.recipe.to_dict()))
    # What a recipe of before does not know of is as it was.
    changed = sorted(key for key in now if before.get(key, now[key]) != now[key] and key != "steps")
    if changed:
        raise InputError(f"{path}: made with another {changed[0]}; take another folder, or remove it to start anew")
    # Runs of earlier versions do not say what they were trained on.
    images = json.loads(state.get("images", "null"))
    if images is not None and images != trainer.images:
        other = sorted(set(images) ^ set(trainer.images))
        raise InputError(
            f"{path}: trained on other images ({len(images)}, now {len(trainer.images)}; {', '.join(other[:3])}); give the "
            "same --data and --split, or take another folder"
        )
    try:
        trainer.network.load_state_dict(state["network"])
        trainer.optimizer.load_state_dict(state["optimizer"])
        trainer.step, trainer.plateau = int(state["step"]), {**trainer.plateau, **state["plateau"]}
        trainer.average = {name: state["average"][name].to(trainer.device) for name in trainer.average}
    except UNPICKLING_FAILURES as error:
        raise InputError(f"{path}: incomplete ({type(error).__name__}); remove it to start anew") from error
