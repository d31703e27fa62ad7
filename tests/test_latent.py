"""Latents: maps of frames without an encoder, `hnerv_latent`, blocks with a way around, sines, the recipe `tiny`."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import enerv_zoo as ez
from enerv_zoo.config import VideoInfo
from enerv_zoo.errors import ConfigError
from enerv_zoo.interop import import_checkpoint
from enerv_zoo.layers import activation
from enerv_zoo.meta import MetaParameters
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.recipes import read_recipe
from enerv_zoo.registry import blocks, embeddings
from enerv_zoo.zoo import chosen_config, model_config

INFO = VideoInfo(frames=5, height=16, width=24)


def latent(**options):
    return embeddings.build({"name": "latent", "channels": 3, **options}, INFO, (2, 3))


def test_each_frame_has_a_small_normal_map_of_its_own():
    part = latent()
    assert part.table.shape == (5, 3, 2, 3)
    assert float(part.table.detach().std()) == pytest.approx(0.1, rel=0.3)
    index = torch.arange(5).double()
    torch.testing.assert_close(part(index), part.table, rtol=0, atol=0)
    torch.testing.assert_close(part(index[:1] + 1.25)[0], 0.75 * part.table[1] + 0.25 * part.table[2])


def test_frames_of_a_group_share_a_map_and_know_their_places():
    part = latent(frames=3, size=[1, 1])
    assert part.table.shape == (2, 3, 1, 1)
    assert part.shape == (4, 1, 1)
    maps = part(torch.tensor([0.0, 1, 2, 3, 4, 2.5]).double())[:, :, 0, 0]
    groups = torch.stack([part.table[each, :, 0, 0] for each in (0, 0, 0, 1, 1)])
    assert torch.equal(maps[:5, :3], groups)
    assert maps[:, 3].tolist() == [-1, 0, 1, -1, 0, 0]
    torch.testing.assert_close(maps[5, :3], part.table.mean(0)[:, 0, 0])


def test_bad_options_of_latents():
    for options in ({"frames": 0}, {"size": [0, 2]}, {"channels": 0}):
        with pytest.raises(ConfigError, match="integers of at least 1, got"):
            latent(**options)
    with pytest.raises(ConfigError, match="divide those of the grid"):
        NeuralVideo(model_config("hnerv_latent", INFO, latent_hw=[3, 7]), INFO)


def test_hnerv_without_its_encoder_is_hnerv_from_the_same_maps(golden):
    values = golden("hnerv")
    height, width = values.outputs[-1].shape[-2:]
    video = import_checkpoint(
        values.state,
        config=values.config,
        frames=int(values.metadata["frames"]),
        height=height,
        width=width,
        content=values.tensors["input/frames"],
    )
    config, content = video.config, video.embeddings["content"]
    spec = {"name": "latent", "channels": content.shape[0], "size": list(content.shape[1:])}
    changed = {**vars(config), "embeddings": {"latent": spec}, "join": {**config.join, "with": ["latent"]}}
    other = NeuralVideo(type(config)(**changed), video.info).eval()
    other.load_state_dict({key.replace(".content.", ".latent."): each for key, each in video.state_dict().items()})
    index = torch.tensor([0.0, 1.0, 0.5])
    with torch.inference_mode():
        assert torch.equal(other(index), video(index))


def test_latents_are_coded_as_maps_and_resumed_to_the_same_bits(tmp_path):
    class Stop(ez.Callback):
        def on_epoch(self, fitter, row):
            if row["epoch"] == 2:
                raise RuntimeError("stopped")

    options = {
        "model_options": {"fc_dim": 8, "lower_width": 4, "latent_frames": 2, "skip": True, "act": "sin1.5"},
        "frames": "0:5", "resize": "64x48", "epochs": 4, "batch_size": 2, "loss": "L2", "precision": "float32",
    }  # fmt: skip
    whole = ez.fit("bunny", "hnerv_latent", **options)
    assert whole.video.coding_hints()["embeddings.latent.table"].kind == "grid"
    cut = {**options, "out": tmp_path / "cut", "checkpoint_every": 0}
    with pytest.raises(RuntimeError, match="stopped"):
        ez.fit("bunny", "hnerv_latent", callbacks=[Stop()], **cut)
    resumed = ez.fit("bunny", "hnerv_latent", resume=True, **cut)
    state = whole.video.state_dict()
    assert all(torch.equal(each, state[name]) for name, each in resumed.video.state_dict().items())
    ez.compress(tmp_path / "cut", tmp_path / "cut.nvz", bits=16)
    decoded = ez.load(tmp_path / "cut.nvz")
    torch.testing.assert_close(decoded[:].float(), resumed.video[:].float(), rtol=0, atol=2)


def test_a_way_around_a_block_is_a_linear_map_enlarged():
    block = {"name": "nerv", "activation": "sin", "kernel": 1}
    part, x = blocks.build({"name": "skip", "block": block}, 3, 3, 2), torch.rand(2, 3, 4, 5)
    with torch.no_grad():
        part.conv.weight.copy_(torch.eye(3)[:, :, None, None])
        part.conv.bias.zero_()
    around = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(part(x), part.block(x) + around)
    with pytest.raises(ConfigError, match=r"block 'skip': block 'nerv' has no option 'kernle'"):
        blocks.build({"name": "skip", "block": {"name": "nerv", "kernle": 1}}, 3, 3, 2)


def test_sines_of_any_frequency():
    x = torch.linspace(-2, 2, 9)
    for name, frequency in (("sin", 1.0), ("sin30", 30.0), ("sin2.5", 2.5)):
        assert torch.equal(activation(name)(x), torch.sin(frequency * x))
    for name in ("sin0", "sine", "sin-1", "sin1e3"):
        with pytest.raises(ConfigError, match=f"unknown activation '{name}'"):
            activation(name)


@pytest.mark.parametrize("frames", [2, 133, 1200])
def test_the_tiny_recipe_has_its_size_and_28_values_per_pair(frames):
    info = VideoInfo(frames=frames, height=384, width=512)
    with MetaParameters():
        video = NeuralVideo(chosen_config(read_recipe("tiny").model, info), info)
    assert video.stored_numbers == pytest.approx(229_000, rel=0.02)
    assert video.embeddings["latent"].table.shape == ((frames + 1) // 2, 28, 1, 1)
    assert video.decoded_size == (384, 512)


def test_the_tiny_recipe_is_fitted_through_a_frozen_network(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2)).eval()
    before = {name: each.clone() for name, each in network.state_dict().items()}

    class Features(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, prediction, target):
            return F.mse_loss(self.network(prediction), self.network(target))

    options = {"frames": "0:5", "resize": "64x48", "epochs": 6, "lr": 1e-2, "out": tmp_path / "tiny"}
    result = ez.fit("bunny", recipe="tiny", loss=Features(), **options)
    assert result.history[-1]["loss"] < 0.7 * result.history[0]["loss"]
    assert result.video.stored_numbers == pytest.approx(229_000, rel=0.02)
    assert all(torch.equal(each, before[name]) for name, each in network.state_dict().items())
    assert torch.equal(ez.load(tmp_path / "tiny")[:], result.video[:])
