"""Training: its losses, its recipes, runs that stop and go on; and that it learns."""

from __future__ import annotations

import json
import math
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from expandnet_training import losses
from expandnet_training.hdr_images import HDRImage
from expandnet_training.loop import Report, Trainer
from expandnet_training.models import LAST_LAYER
from expandnet_training.recipe import Recipe, load_recipe
from expandnet_training.sheet import sheet
from panoramas import CONFIGS, seeded, small

from expandnet_ofx.errors import InputError, OutputError, UsageError
from expandnet_ofx.transfer import srgb_encode
from expandnet_ofx.weights import DEFAULT_WEIGHTS, load_weights

# Losses


def test_the_papers_loss_is_zero_for_the_truth_and_counts_angles_five_times() -> None:
    target = torch.rand(2, 3, 5, 5, generator=seeded(0)) + 0.1
    assert losses.paper(target, target) == pytest.approx(0, abs=1e-5)
    red, green = torch.zeros(1, 3, 1, 1), torch.zeros(1, 3, 1, 1)
    red[0, 0], green[0, 1] = 0.6, 0.6
    assert losses.paper(red, green) == pytest.approx(2 * 0.6 / 3 + 5, abs=1e-5)


@pytest.mark.parametrize("quantile", [0.2, 0.5, 0.9])
def test_a_small_beta_finds_the_quantile_and_a_large_one_the_mean(quantile: float) -> None:
    target = torch.exp2(torch.randn(1, 3, 40, 40, generator=seeded(0)).abs())
    clipped = torch.ones_like(target, dtype=torch.bool)
    levels = torch.linspace(0, 3, 301)

    def best(beta: float, q: torch.Tensor | None) -> float:
        scores = [
            float(losses.highlights(2**level * torch.ones_like(target), target, clipped, beta=beta, clipped_weight=1.0,
                                    color_weight=0.0, quantile=q))
            for level in levels
        ]  # fmt: skip
        return 2 ** float(levels[int(np.argmin(scores))])

    found = best(1e-3, torch.tensor([quantile]))
    assert found == pytest.approx(float(np.quantile(target.numpy(), quantile)), rel=0.03)
    assert np.log2(best(20.0, None)) == pytest.approx(float(target.log2().mean()), abs=0.02)


def test_a_rim_costs_slope_and_a_constant_error_none() -> None:
    target = torch.full((1, 3, 12, 12), 8.0)
    target[:, :, :4] = 0.5
    clipped = target > 1
    assert losses.slopes(target, target, clipped) == 0
    everywhere = (torch.exp2(losses.stops(target) + 1) - 1) / losses.LOG_SCALE
    assert losses.slopes(everywhere, target, clipped) == pytest.approx(0, abs=1e-4)
    rim = target.clone()
    rim[:, :, 4] = 16
    assert losses.slopes(rim, target, clipped) > 0.05


def test_steadiness_is_the_distance_of_two_predictions_where_light_is_found() -> None:
    first = torch.full((1, 3, 4, 4), 4.0)
    clipped = torch.zeros_like(first, dtype=torch.bool)
    clipped[:, :, 0] = True
    second = first * 2
    second[:, :, 1:] = 100
    assert losses.steadiness(first, second, clipped) == pytest.approx(1, abs=2e-3)
    assert losses.steadiness(first, first, clipped) == 0


def test_clipped_channels_weigh_more_and_crops_alike() -> None:
    target = torch.full((2, 3, 10, 10), 2.0)
    clipped = torch.zeros_like(target, dtype=torch.bool)
    # Of the first crop all clips, of the second a twentieth; both miss by the same.
    clipped[0] = True
    clipped[1, :, 0, :5] = True
    missed = (torch.exp2(losses.stops(target) - 1) - 1) / losses.LOG_SCALE

    def loss(prediction: torch.Tensor, weight: float) -> float:
        settings_ = {"beta": 2.0, "color_weight": 0.0, "clipped_weight": weight}
        return float(losses.highlights(prediction, target, clipped, **settings_))

    wrong = 0.5 * 1**2 / 2
    assert loss(target, 8) == 0
    assert loss(torch.where(clipped, missed, target), 8) == pytest.approx(wrong, rel=1e-3)
    assert loss(torch.where(clipped, target, missed), 8) == pytest.approx(wrong / 8, rel=1e-3)
    first, second = missed.clone(), missed.clone()
    first[1], second[0] = 2, 2
    first[~clipped], second[~clipped] = 2, 2
    assert loss(first, 8) == pytest.approx(loss(second, 8), rel=1e-3) == pytest.approx(wrong / 2, rel=1e-3)


def test_a_rim_costs_the_same_in_rows_and_in_columns() -> None:
    target = torch.full((1, 3, 12, 12), 8.0)
    twice = target.clone()
    twice[:, :, 6:] = (torch.exp2(losses.stops(target[:, :, 6:]) + 1) - 1) / losses.LOG_SCALE
    below = torch.zeros_like(target, dtype=torch.bool)
    below[:, :, 6:] = True
    # One of two neighbors clipped: 6 of the steps down and 6 rows of steps aside; the error jumps at the first of them.
    expected = 12 / (6 * 12 + 6 * 11)
    assert losses.slopes(twice, target, below) == pytest.approx(expected, rel=1e-4)
    turned = [x.transpose(2, 3) for x in (twice, target, below)]
    assert losses.slopes(*turned) == pytest.approx(expected, rel=1e-4)


def test_colors_cost_by_their_angle_where_a_channel_clipped() -> None:
    target = torch.full((1, 3, 4, 4), 2.0)
    prediction = target.clone()
    prediction[:, 0, :2] = 4
    prediction[:, 0, 2:] = 9
    clipped = torch.zeros_like(target, dtype=torch.bool)
    clipped[:, 0, :2] = True

    def loss(weight: float) -> float:
        plain = {"beta": 2.0, "clipped_weight": 8.0, "color_weight": weight}
        return float(losses.highlights(prediction, target, clipped, **plain))

    # Between (4, 2, 2) and (1, 1, 1).
    cosine = 8 / math.sqrt(24 * 3)
    assert loss(0.7) - loss(0) == pytest.approx(0.7 * (1 - cosine), rel=1e-4)


def test_a_quantile_leaves_channels_that_did_not_clip_alone() -> None:
    target = torch.full((1, 3, 4, 4), 2.0)
    clipped = torch.zeros_like(target, dtype=torch.bool)
    plain = {"beta": 2.0, "clipped_weight": 8.0, "color_weight": 0.0}
    for wrong in (target / 2, target * 2):
        bold = losses.highlights(wrong, target, clipped, **plain, quantile=torch.tensor([0.9]))
        assert float(bold) == float(losses.highlights(wrong, target, clipped, **plain)) > 0


def test_a_crop_with_next_to_nothing_clipped_counts_less() -> None:
    target = torch.full((2, 3, 10, 10), 2.0)
    clipped = torch.zeros_like(target, dtype=torch.bool)
    clipped[0] = True
    # One of 300 values, where 2 percent are needed to count in full.
    clipped[1, 0, 0, 0] = True
    missed = (torch.exp2(losses.stops(target) - 1) - 1) / losses.LOG_SCALE
    prediction = target.clone()
    prediction[1, 0, 0, 0] = missed[1, 0, 0, 0]
    found = float(losses.highlights(prediction, target, clipped, beta=2.0, clipped_weight=1.0, color_weight=0.0))
    share = (1 / 300) / 0.02
    assert found == pytest.approx(0.25 * share / (1 + share), rel=1e-3)


# Recipes and the loop


@pytest.mark.parametrize("name", ["paper", "vfx"])
def test_shipped_recipes_are_valid_and_say_what_their_weights_are(name: str) -> None:
    recipe = load_recipe(CONFIGS / f"{name}.toml", steps=3)
    assert recipe.steps == 3
    if name == "paper":
        assert (recipe.rate, recipe.batch, recipe.crop, recipe.decay, recipe.lowest_rate) == (7e-5, 12, 256, 0.8, 1e-7)
        assert recipe.contract.input_stretch
        assert not recipe.contract.absolute
    else:
        assert recipe.contract.absolute
        assert (recipe.contract.output_peak, recipe.contract.output_stops) == (4096, 20)


@pytest.mark.parametrize(
    ("text", "what"),
    [('network = "unt"\nhalo = false\ntail = true', "tail"),
     ("stepz = 3", "stepz"), ("crop = 4", "crop"), ('loss = "paper"', "loss"), ("[camera]\nfog = 1", "fog"),
     ("batch = 3", "batch"),
     ("boldness = [0.9, 0.1]", "boldness"), ("pyramid = 2", "pyramid"),
     ("edge_weight = -1", "edge"), ("not toml", "not a recipe"),
     ('optimizer = "sgd"', "optimizer: need one of adamw, adam"), ('precision = "half"', "precision"),
     ('schedule = "linear"', "schedule"), ('halo = "no"', "halo: need true or false"), ("view = [48]", "view: need 2 of"),
     ("crops_per_view = 0", "crops_per_view"), ('clip_gradient = "x"', "clip_gradient: need a number"),
     ("steps = 2.5", "steps: need a whole number"), ("seed = -1", "seed"), ('name = "a/b"', "name"),
     ("boldness = 3", "boldness"), ('[camera]\nnoise = [0, "x"]', "camera.noise"), ("[camera]\nblur = 1.0", "camera.blur")],
)  # fmt: skip
def test_wrong_recipes_are_named(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=what):
        load_recipe(path)


def test_a_stopped_run_goes_on_bit_for_bit(tmp_path: Path, images: list[HDRImage]) -> None:
    whole = Trainer(images, small(), tmp_path / "whole")
    whole.run()

    with pytest.raises(KeyboardInterrupt):
        Trainer(images, small(), tmp_path / "again").run(report=_interrupt_at(3))
    rest = Trainer(images, small(), tmp_path / "again")
    assert rest.step == 3
    rest.run()
    for name, value in whole.average.items():
        assert torch.equal(value, rest.average[name]), name
    weights = load_weights(tmp_path / "again" / "small.safetensors")
    assert weights.contract == small().contract
    np.testing.assert_array_equal(weights.state["end_net.1.bias"], whole.average["end_net.1.bias"].numpy())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_end_of_a_step(
    tmp_path: Path, images: list[HDRImage], number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Trainer(images, small(), tmp_path / "whole")
    whole.run()
    again = Trainer(images, small(), tmp_path / "again")
    take = again.optimizer.step

    def step(*arguments: object) -> None:
        take(*arguments)
        if again.step == 2:
            # Weights have moved, their average has not, and the step is not counted.
            signal.raise_signal(number)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(again.optimizer, "step", step)
    before = signal.signal(number, stop)
    try:
        with pytest.raises(KeyboardInterrupt):
            again.run()
        assert signal.getsignal(number) is stop
    finally:
        signal.signal(number, before)
    rest = Trainer(images, small(), tmp_path / "again")
    assert rest.step == 3
    rest.run()
    for name, value in whole.average.items():
        assert torch.equal(value, rest.average[name]), name


def test_a_run_without_a_finite_loss_is_given_up(
    tmp_path: Path, images: list[HDRImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("expandnet_training.loop.MOST_LOST", 2)
    trainer = Trainer(images, small(), tmp_path)
    monkeypatch.setattr(trainer, "loss", lambda _: torch.tensor(math.nan))
    with pytest.raises(UsageError, match="not finite for 2 steps"):
        trainer.run()


def test_other_images_do_not_go_on(tmp_path: Path, images: list[HDRImage]) -> None:
    Trainer(images[:1], small(steps=1), tmp_path).run()
    with pytest.raises(InputError, match="other images"):
        Trainer(images, small(), tmp_path)
    Trainer(images[:1], small(steps=2), tmp_path).run()


def test_a_run_of_before_goes_on_with_what_it_does_not_know_of(tmp_path: Path, images: list[HDRImage]) -> None:
    Trainer(images, small(steps=1), tmp_path).run()
    state = torch.load(tmp_path / "optimizer.pt", weights_only=True)
    recipe = json.loads(state["recipe"])
    del state["images"], recipe["hold"]
    torch.save({**state, "recipe": json.dumps(recipe)}, tmp_path / "optimizer.pt")
    assert Trainer(images, small(), tmp_path).step == 1


def test_a_rate_is_held_and_then_falls_on_a_plateau(tmp_path: Path, images: list[HDRImage]) -> None:
    recipe = small(schedule="plateau", rate=1e-3, warm_up=0, hold=6, patience=2, decay=0.5)
    trainer = Trainer(images, recipe, tmp_path)
    rates = []
    for trainer.step in range(1, 14):
        # It gets worse while the rate is held, and then no better.
        trainer._note_loss(1.0 if trainer.step < 5 else 2.0)
        rates.append(trainer.plateau["rate"])
    assert rates[:7] == [1e-3] * 7
    assert rates[-1] < 1e-3
    assert sorted(rates, reverse=True) == rates


def test_another_recipe_does_not_go_on(tmp_path: Path, images: list[HDRImage]) -> None:
    Trainer(images, small(steps=1), tmp_path).run()
    with pytest.raises(InputError, match="another rate"):
        Trainer(images, small(rate=2e-3), tmp_path)
    (tmp_path / "optimizer.pt").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"optimizer\.pt"):
        Trainer(images, small(), tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"network": {}}, {"optimizer": {}}, {"average": {}}, {"step": "x"}, {"plateau": 3}, {"recipe": "[]"}, {"network": None},
    ],
)  # fmt: skip
def test_an_incomplete_checkpoint_is_named(tmp_path: Path, images: list[HDRImage], change: dict) -> None:
    Trainer(images, small(steps=1), tmp_path).run()
    state = torch.load(tmp_path / "optimizer.pt", weights_only=True) | change
    torch.save({name: value for name, value in state.items() if value is not None}, tmp_path / "optimizer.pt")
    with pytest.raises(InputError, match=r"optimizer\.pt: .*remove it to start anew"):
        Trainer(images, small(), tmp_path)


def test_a_place_that_cannot_be_written_is_told_before_the_first_step(tmp_path: Path, images: list[HDRImage]) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", Path("/proc/run")):
        with pytest.raises(OutputError, match="choose another folder"):
            Trainer(images, small(), folder)


def test_a_run_starts_from_weights_that_are_told_less(tmp_path: Path, images: list[HDRImage]) -> None:
    first = Trainer(images, small(boldness=(0.2, 0.9)), tmp_path / "first")
    first.run()
    start = tmp_path / "first" / "small.safetensors"
    recipe = small(boldness=(0.2, 0.9), tail=True)
    second = Trainer(images, recipe, tmp_path / "second", start=start)
    batch = second.batches(0)
    first.network.load_state_dict(first.average)
    with torch.no_grad():
        before, after = (each.predict(batch.crops, batch.proxies, batch.boldness) for each in (first, second))
    assert torch.equal(before, after)
    second.run()
    assert np.abs(load_weights(tmp_path / "second" / "small.safetensors").state["tail.weight"]).max() > 0
    again = Trainer(images, recipe, tmp_path / "second", start=start)
    assert again.step == second.step
    assert torch.equal(again.average["tail.weight"], second.average["tail.weight"])


def test_only_what_is_named_is_trained(tmp_path: Path, images: list[HDRImage]) -> None:
    recipe = small(boldness=(0.2, 0.9), tail=True, only=("tail", "boldness"))
    trainer = Trainer(images, recipe, tmp_path)
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    trainer.run()
    moved = {name for name, value in trainer.network.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"tail.weight", "boldness.weight"}
    with pytest.raises(UsageError, match="nothing"):
        Trainer(images, small(only=("nothing",)), tmp_path / "other")


@pytest.mark.parametrize(
    ("recipe", "what"),
    [
        (small(loss="paper", curve="linear", stretch=True, makes="tonemap"), "input_stretch"),
        (small(antialias=False), "antialias"),
        (small(), r"boldness\.weight"),
        (small(network="unt", halo=False), "another network"),
    ],
)
def test_weights_of_another_kind_are_no_start(
    tmp_path: Path, images: list[HDRImage], recipe: Recipe, what: str
) -> None:
    with pytest.raises(UsageError, match=what):
        Trainer(images, recipe, tmp_path, start=DEFAULT_WEIGHTS)


@pytest.mark.parametrize("precision", ["fp32", "mixed"])
def test_a_run_with_everything_goes_on_bit_for_bit(tmp_path: Path, images: list[HDRImage], precision: str) -> None:
    recipe = small(steps=4, boldness=(0.2, 0.9), steady_weight=0.5, edge_weight=0.5, pyramid=0.5, precision=precision)
    whole = Trainer(images, recipe, tmp_path / "whole")
    whole.run()
    with pytest.raises(KeyboardInterrupt):
        Trainer(images, recipe, tmp_path / "again").run(report=_interrupt_at(2))
    rest = Trainer(images, recipe, tmp_path / "again")
    rest.run()
    for name, value in whole.average.items():
        assert torch.equal(value, rest.average[name]), name
    weights = load_weights(tmp_path / "again" / "small.safetensors")
    assert weights.contract.boldness == recipe.default_boldness
    assert np.abs(weights.state["boldness.weight"]).max() > 0


def test_a_start_keeps_signals_alive(tmp_path: Path, images: list[HDRImage]) -> None:
    network = Trainer(images, small(), tmp_path).network
    for name, layer in network.named_modules():
        if isinstance(layer, torch.nn.Conv2d):
            fan_in = layer.weight[0].numel()
            size = LAST_LAYER if name == "end_net.1" else 1
            assert float(layer.weight.detach().var()) * fan_in == pytest.approx(size**2, rel=0.25), name
            assert not layer.bias.any()
    signal = torch.randn(1, 3, 96, 96, generator=seeded(0))
    with torch.no_grad():
        for name in ("local_net.0", "local_net.1"):
            signal = network.get_submodule(name)(signal)
            assert 0.5 < float(signal[:, :, 8:-8, 8:-8].std()) < 1.5, "SELU keeps the variance near 1"


def test_a_sheet_shows_plate_prediction_and_truth(tmp_path: Path, images: list[HDRImage]) -> None:
    trainer = Trainer(images, small(boldness=(0.2, 0.9)), tmp_path)
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    picture = sheet(trainer)
    assert picture.dtype == np.uint8
    assert picture.shape == (4 * 16, 3 * 16, 3)
    batch = trainer.batches(0)
    shown = (srgb_encode((batch.light / 4).clamp(0, 1)) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(picture[:, 32:], shown.reshape(64, 16, 3))
    assert all(torch.equal(value, before[name]) for name, value in trainer.network.state_dict().items())


def test_a_sheet_is_not_seen_by_a_network_that_counts(tmp_path: Path, images: list[HDRImage]) -> None:
    trainer = Trainer(images, small(network="unt", halo=False, batch=2, crop=256, view=(256, 264)), tmp_path)
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    assert any("running_mean" in name for name in before)
    sheet(trainer)
    assert all(torch.equal(value, before[name]) for name, value in trainer.network.state_dict().items())
    assert trainer.network.training


def _interrupt_at(last: int) -> Report:
    def report(step: int, loss: float, rate: float) -> None:
        if step == last:
            raise KeyboardInterrupt

    return report


@pytest.mark.parametrize("recipe", ["vfx", "paper"])
def test_it_learns(tmp_path: Path, images: list[HDRImage], recipe: str) -> None:
    if recipe == "paper":
        pytest.importorskip("cv2")
        chosen = load_recipe(CONFIGS / "paper.toml", steps=12, batch=2, crop=64)
        chosen = Recipe(**{**chosen.to_dict(), "view": (64, 64), "rate": 1e-3, "camera": chosen.camera})
    else:
        chosen = small(steps=25, rate=2e-3)
    trainer = Trainer(images, chosen, tmp_path)
    batch = trainer.batches(0)
    with torch.no_grad():
        before = float(trainer.loss(batch))
    for _ in range(chosen.steps):
        trainer.train_step(batch)
    with torch.no_grad():
        after = float(trainer.loss(batch))
    assert after < 0.85 * before
