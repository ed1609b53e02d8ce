"""The paper's protocol: LDR pictures of HDR ones, and how a result is scaled before it is compared.

What the paper and its authors say: optimally exposed and culled pictures; 0.1 and 99.9 percentiles of a result moved to 1
and 999 cd/m2 (display-referred), or to those of the HDR picture (scene-referred); an operator that takes a maximum luminance
is given the display's, or its own default (dmarnerides/hdr-expandnet, issues 9 and 10). The rest is `Choices`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from expandnet_training import responses
from expandnet_training.camera import quantize
from expandnet_training.cases import Case, view_of
from expandnet_training.hdr_images import LUMINANCE, HDRImage
from numpy.typing import NDArray

from expandnet_comparison.choices import Choices, Referred

Array = NDArray[np.float32]


def comparison_cases(images: Sequence[HDRImage], choices: Choices, *, makers: Sequence[str]) -> Iterator[Case]:
    """Yield the cases of places: one view each, every LDR maker, known and random response, 8 bits.

    Args:
        images: places, any scale.
        choices: see there.
        makers: of `MAKERS`; `series` stands for its exposures.
    """
    for number, image in enumerate(images):
        view = view_of(image, torch.from_numpy(image.pixels).permute(2, 0, 1), 0)
        light = np.ascontiguousarray(view.permute(1, 2, 0).numpy()).astype(np.float32)
        for maker in makers:
            for name, black, white in _levels(light, maker, choices):
                for response in ("known", "random"):
                    # One camera photographs all exposures of a place.
                    generator = torch.Generator().manual_seed(number)
                    plate = photograph(light, black, white, response, choices, generator)
                    yield Case(
                        place=image.name,
                        share=round(float((light.max(2) > white).mean()), 4),
                        response=response,
                        storage="8-bit",
                        plate=plate,
                        truth=light / np.float32(white),
                        maker=name,
                    )


MAKERS = ("optimal", "culling", "series")


def _levels(light: Array, maker: str, choices: Choices) -> list[tuple[str, float, float]]:
    """Return names with the light that becomes black and white."""
    if maker == "culling":
        values = light if choices.culled_of == "values" else light @ LUMINANCE
        low, high = np.percentile(values, [100 * choices.culled, 100 * (1 - choices.culled)])
        return [("culling", float(low), float(max(high, low + 1e-6)))]
    white = optimal_white(light, choices.window_stops)
    if maker == "series":
        return [(f"{stops:+g} stops", 0.0, white * 2.0**-stops) for stops in choices.series]
    return [("optimal", 0.0, white)]


def optimal_white(light: Array, window_stops: float) -> float:
    """Return the light that white stands for so that most pixels are well exposed.

    Debattista et al., "Optimal exposure compression for high dynamic range content", The Visual Computer 31, 2015: the
    window over the histogram of log luminance that holds most of it.
    """
    stops = np.sort(np.log2(np.maximum(light @ LUMINANCE, 2.0**-24)).ravel())
    first = np.searchsorted(stops, stops - window_stops)
    held = np.arange(len(stops)) - first
    return float(2.0 ** stops[int(held.argmax())])


def photograph(
    light: Array, black: float, white: float, response: str, choices: Choices, generator: torch.Generator
) -> NDArray[np.uint8]:
    """Return the 8-bit picture (H, W, 3) of light: black to white, clipped, through a response."""
    sensed = torch.from_numpy(np.clip((light - black) / (white - black), 0, 1).astype(np.float32))
    first, second = torch.rand(2, generator=generator)
    chosen = int(torch.randint(1, len(responses.RESPONSES), (), generator=generator))
    if response == "known":
        codes = sensed ** (1 / choices.gamma)
    else:
        channels_first = sensed.permute(2, 0, 1)[None]
        codes = responses.apply(channels_first, torch.tensor([chosen]), first[None], second[None])[0].permute(1, 2, 0)
    return (quantize(codes) * 255).round().byte().numpy()


def in_nits(case: Case, light: Array, referred: Referred, choices: Choices) -> tuple[Array, Array]:
    """Return a result and its truth in cd/m2, both (H, W, 3), scaled by their percentiles.

    Args:
        case: holds the truth.
        light: a method's result, any scale.
        referred: `display`: both moved to the display's range. `scene`: the truth's white at `choices.white`, the result
            moved to the truth's percentiles.
        choices: see there.
    """
    truth = case.truth * np.float32(choices.white)
    if referred == "display":
        truth = moved(truth, choices.display, choices)
        target = choices.display
    else:
        target = _percentiles(truth, choices)
    found = moved(light, target, choices)
    return np.maximum(found, np.float32(choices.least)), np.maximum(truth, np.float32(choices.least))


def moved(light: NDArray[np.floating], target: Sequence[float], choices: Choices) -> Array:
    """Return light moved by one straight line, so that its percentiles lie at a target."""
    low, high = _percentiles(light, choices)
    slope = (target[1] - target[0]) / (high - low) if high > low else 0.0
    return (target[0] + (light.astype(np.float64) - low) * slope).astype(np.float32)


def _percentiles(light: NDArray[np.floating], choices: Choices) -> tuple[float, float]:
    """Return the k-th least and the k-th largest value, k a share of all of them (alex04072000/SingleHDR, issue 4)."""
    values = light if choices.percentiles_of == "values" else light @ LUMINANCE
    count = values.size
    low, high = choices.percentiles
    places = (max(round(count * low / 100), 1) - 1, count - max(round(count * (100 - high) / 100), 1))
    found = np.partition(values.ravel(), places)
    return float(found[places[0]]), float(found[places[1]])
