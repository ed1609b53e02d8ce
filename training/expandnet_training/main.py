"""`expandnet-train`: a recipe and a folder of HDR images in, weights out."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from expandnet_batch.edge import run_command

from expandnet_ofx.errors import UsageError

if TYPE_CHECKING:
    from expandnet_training.loop import Trainer


@click.command("expandnet-train", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", type=click.Path(path_type=Path), required=True, help="Recipe, see training/configs.")
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder of HDR images (EXR, Radiance).")
@click.option("--split", type=click.Path(path_type=Path), default=None, help="TOML that names what is held out.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder of the run.")
@click.option("--start", type=click.Path(path_type=Path), default=None, help="Weights to go on from, not random ones.")
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda[:N]", help="Where to train.")
@click.option("--steps", type=int, default=None, help="Another number of steps than the recipe's.")
@click.option("--batch", type=int, default=None, help="Another number of crops per step.")
@click.option(
    "--save-every", type=click.IntRange(min=1), default=1000, show_default=True, help="Steps between checkpoints."
)
@click.option("--log/--no-log", default=True, show_default=True, help="Write TensorBoard events, if it is installed.")
def command(config: Path, data: Path, split: Path | None, output: Path, **options: Any) -> None:
    """Train ExpandNet by a recipe.

    A run that is already in the output folder goes on where it stopped; on the CPU its weights are bit for bit those of
    a run that was never stopped.
    """
    from expandnet_batch.runtime import keep_memory

    from expandnet_training.hdr_images import Split, find_images, load_folder, read_split
    from expandnet_training.loop import Trainer
    from expandnet_training.recipe import load_recipe

    keep_memory()
    recipe = load_recipe(config, steps=options["steps"], batch=options["batch"])
    paths = find_images(data)
    names = [path.stem for path in paths]
    chosen = read_split(split, names) if split else Split(train=names, held=[], kinds={})
    kept = set(chosen.train)
    if not kept:
        raise UsageError(f"{split}: holds out every image of {data}; nothing is left to train on")
    images = load_folder([path for path in paths if path.stem in kept], kinds=chosen.kinds)
    trainer = Trainer(images, recipe, output, device=_device(options["device"]), start=options["start"])
    click.echo(f"{recipe.name}: {len(images)} images, step {trainer.step} of {recipe.steps} on {trainer.device}")
    _train(trainer, options["save_every"], options["log"])


def _device(name: str) -> str:
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    from expandnet_ofx.engine_torch import open_device

    return str(open_device(name))


def _train(trainer: Trainer, save_every: int, log: bool) -> None:
    from tqdm import tqdm

    from expandnet_training.sheet import sheet

    writer = _events(trainer.folder) if log else None
    recipe, mean, started, first = trainer.recipe, math.nan, time.perf_counter(), trainer.step
    with tqdm(total=recipe.steps, initial=trainer.step, unit=" steps", mininterval=1.0) as bar:

        def report(step: int, loss: float, rate: float) -> None:
            nonlocal mean
            if math.isfinite(loss):
                mean = loss if math.isnan(mean) else 0.99 * mean + 0.01 * loss
            samples = (step - first) * recipe.batch / (time.perf_counter() - started)
            bar.set_postfix_str(f"loss {mean:.4f}, {samples:.0f} samples/s", refresh=False)
            bar.update(1)
            if writer is not None and step % 20 == 0:
                writer.add_scalar("loss", loss, step)
                writer.add_scalar("rate", rate, step)
            if writer is not None and step % save_every == 0:
                writer.add_image("plate, prediction, truth at -2 stops", sheet(trainer), step, dataformats="HWC")

        trainer.run(save_every=save_every, report=report)
    if writer is not None:
        writer.close()


def _events(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder))  # type: ignore[no-untyped-call]


def main() -> None:
    """Run `expandnet-train`."""
    sys.exit(run_command(command))


if __name__ == "__main__":
    main()
