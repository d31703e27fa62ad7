"""Every embedding with every fusion, block and head: fitted a step, saved, loaded; or refused with the reason."""

from __future__ import annotations

import itertools

import pytest
import torch

import enerv_zoo as ez
from enerv_zoo.composition import ModelConfig
from enerv_zoo.config import FitConfig, VideoInfo
from enerv_zoo.errors import ConfigError
from enerv_zoo.fitting.frame_loader import FrameLoader
from enerv_zoo.fitting.loop import Fitter
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.registry import fusion

INFO = VideoInfo(frames=3, height=16, width=16)
GRID = (4, 4)
WIDTH = 4

EMBEDDINGS = {
    "frequency": {"levels": 2, "widths": [4]},
    "spatial": {"levels": 2, "widths": [4], "head_dim": 2, "mlp_dim": 2},
    "temporal_grid": {"sizes": [2], "channels": 4},
    "content": {"strides": [4], "width": 4, "channels": 4},
    "difference": {"strides": [4], "width": 4, "channels": 4},
    "latent": {"channels": 4},
}
"""Small options for each; a kind of part that is registered and not here is built with its defaults."""

JOINS = {"coupled": {"hidden": [4]}, "product": {"heads": 1, "head_dim": 2, "mlp_dim": 2}}

GRID_OF_TIME = {"name": "temporal_grid", "sizes": [2], "channels": 4}


def vector(number: int) -> dict:
    return {"name": "frequency", **EMBEDDINGS["frequency"]}


STEERING = {
    "add": lambda number: {**GRID_OF_TIME, "scale": 2**number},
    "add_tile": lambda number: {**GRID_OF_TIME, "size": [2, 4]},
    "gate": lambda number: {**GRID_OF_TIME, "scale": 2**number},
}
"""The embedding that a modulation takes in stage `number`; by default a vector."""


def names(kind: str) -> list[str]:
    return ez.list_components(kind)


def of_role(role: str) -> list[str]:
    return [name for name in names("fusion") if getattr(fusion.get(name), "role", None) == role]


def composed(inputs: tuple[str, ...], join: str, modulate: str | None, block: str, head: str) -> ModelConfig:
    embeddings = {f"{name}{i}": {"name": name, **EMBEDDINGS.get(name, {})} for i, name in enumerate(inputs)}
    joined = list(embeddings)
    stages = []
    for number in range(2):
        step = {"name": block, "channels": WIDTH, "stride": 2}
        if modulate is None:
            stages.append((step,))
            continue
        steered = {"name": modulate, "with": f"steering{number}"}
        embeddings[f"steering{number}"] = STEERING.get(modulate, vector)(number)
        stages.append((steered, step, *([steered] if modulate == "sft" else [])))
    skips = head == "linear_skip"
    embeddings |= {"skipped": {**GRID_OF_TIME, "centred": True}} if skips else {}
    return ModelConfig(
        family="anything",
        grid=GRID,
        embeddings=embeddings,
        join={
            "name": join,
            **JOINS.get(join, {}),
            "with": joined,
            "channels": WIDTH,
        },
        stages=tuple(stages),
        head={"name": head, **({"with": "skipped", "factors": [4]} if skips else {})},
    )


def fits(inputs: tuple[str, ...], join: str) -> bool:
    """What the contracts of joins allow, said once more: which shapes each takes."""
    kinds = tuple("vector" if name == "frequency" else "map" for name in inputs)
    return {
        "coupled": kinds == ("vector",),
        "product": kinds == ("vector", "map"),
        "cells": kinds == ("map",),
        "conv": kinds == ("map",),
        "identity": kinds == ("map",),
    }[join]


INPUTS = [*((name,) for name in names("embedding")), *itertools.permutations(names("embedding"), 2)]
WIRED = [(inputs, join) for inputs in INPUTS for join in of_role("join") if fits(inputs, join)]
SENSELESS = [(inputs, join) for inputs in INPUTS for join in of_role("join") if not fits(inputs, join)]
DECODERS = list(itertools.product([None, *of_role("modulate")], names("block"), names("head")))


def works(config: ModelConfig, folder) -> None:
    """One step of a fit, saved, loaded: the same frames."""
    frames = (torch.rand(3, 3, 16, 16) * 255).to(torch.uint8)
    video = NeuralVideo.seeded(config, INFO, 0, fitting=True)
    fitter = Fitter(video, FrameLoader(frames), FitConfig(epochs=1, batch_size=3, loss="L1", precision="float32"))
    before = {name: p.detach().clone() for name, p in video.named_parameters()}
    fitter.fit_batch(torch.arange(3), frames)
    assert any(not torch.equal(p, before[name]) for name, p in video.named_parameters())
    assert torch.isfinite(fitter.meter.sums).all()
    video.eval().bake(frames).save_pretrained(folder)
    again = ez.load(folder)
    assert torch.equal(again[:], video[:])


@pytest.mark.parametrize(
    ("inputs", "join"), WIRED, ids=lambda value: "+".join([value] if isinstance(value, str) else value)
)
def test_every_embedding_with_every_join(inputs, join, tmp_path):
    """And each of them with a decoder of its own, all of which are tried with one of them below."""
    number = WIRED.index((inputs, join))
    works(composed(inputs, join, *DECODERS[(7 * number) % len(DECODERS)]), tmp_path / "run")


@pytest.mark.parametrize(("modulate", "block", "head"), DECODERS)
def test_every_modulation_with_every_block_and_head(modulate, block, head, tmp_path):
    inputs, join = WIRED[DECODERS.index((modulate, block, head)) % len(WIRED)]
    works(composed(inputs, join, modulate, block, head), tmp_path / "run")


@pytest.mark.parametrize(
    ("inputs", "join"), SENSELESS, ids=lambda value: "+".join([value] if isinstance(value, str) else value)
)
def test_what_makes_no_sense_is_refused_with_the_reason(inputs, join):
    with pytest.raises(ConfigError, match=rf"fusion '{join}': it (joins|takes) .*, got"):
        NeuralVideo(composed(inputs, join, None, "nerv", "rgb"), INFO)


def test_parts_in_the_wrong_place_are_refused():
    with pytest.raises(ConfigError, match="is a 'modulate' part, here a 'join' one is needed: cells, conv, coupled"):
        NeuralVideo(composed(("frequency",), "sft", None, "nerv", "rgb"), INFO)
    with pytest.raises(ConfigError, match="is a 'join' part, here a 'modulate' one is needed"):
        NeuralVideo(composed(("frequency",), "coupled", "coupled", "nerv", "rgb"), INFO)
