"""First weights that are scaled over frames: whitened maps, convolutions of one deviation, restarts as first starts."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import enerv_zoo as ez
from enerv_zoo.config import FitConfig
from enerv_zoo.content import encoded_tables
from enerv_zoo.fitting.first_weights import SCALED, scale_values
from enerv_zoo.fitting.frame_loader import FrameLoader
from enerv_zoo.fitting.loop import Fitter
from enerv_zoo.layers.upsampling import CompactConv, PixelShuffleConv
from enerv_zoo.network import Network
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.zoo import model_config

STD = 0.5


@pytest.fixture(scope="module")
def clip():
    return ez.open_video("bunny", frames="0:12", resize="80x48")


def network(name: str, clip: ez.Video, seed: int = 0, **options) -> NeuralVideo:
    return NeuralVideo.seeded(model_config(name, clip.info, size="~0.2M", **options), clip.info, seed, fitting=True)


def deviations(video: Network, frames: torch.Tensor) -> dict[str, float]:
    """Of what each upsampling layer and convolution of the join and the stages gives over all frames."""
    seen: dict[str, float] = {}
    kinds = (PixelShuffleConv, CompactConv, nn.Conv2d, nn.ConvTranspose2d)
    handles = [
        layer.register_forward_hook(lambda *given, name=name: seen.update({name: float(given[2].std())}))
        for name, layer in video.named_modules()
        if name.startswith(("join", "stages")) and isinstance(layer, kinds)
    ]
    with torch.no_grad():
        video.objective(torch.arange(len(frames)).double(), frames / 255, nn.functional.mse_loss)
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("nerv", {}),
        ("nerv", {"conv_type": "deconv"}),
        ("nerv", {"conv_type": "bilinear", "num_blocks": 2}),
        ("hnerv", {}),
        ("ffnerv", {}),
        ("enerv", {}),
    ],
)
def test_convolutions_give_values_of_one_deviation(clip, name, options):
    few = ez.open_video(clip.frames[:SCALED])
    video = network(name, few, **options)
    before = deviations(video, few.frames)
    scale_values(video, few.frames, STD)
    after = deviations(video, few.frames)
    assert max(abs(value - STD) for value in before.values()) > 0.1
    assert after == pytest.approx(dict.fromkeys(after, STD), rel=1e-3)


@pytest.mark.parametrize("name", ["hnerv", "dnerv"])
def test_maps_of_content_are_whitened(clip, name):
    video = network(name, clip)
    scale_values(video, clip.frames, STD)
    tables = encoded_tables(video.encoding(), clip.frames, torch.device("cpu"), 4)
    assert len(tables) == (2 if name == "dnerv" else 1)
    for table in tables.values():
        cells = table.double().transpose(0, 1).flatten(1)
        rank = min(len(cells), cells.shape[1] - 1)
        assert cells[:rank].mean(dim=1).abs().max() < 1e-2
        torch.testing.assert_close(torch.cov(cells[:rank], correction=0), torch.eye(rank).double(), rtol=0, atol=2e-2)


@pytest.mark.parametrize("name", ez.list_models())
def test_every_family_can_begin_so(clip, name):
    video, again, before = network(name, clip), network(name, clip), network(name, clip).state_dict()
    state = torch.random.get_rng_state()
    scale_values(video, clip.frames, STD)
    assert torch.equal(torch.random.get_rng_state(), state)
    scale_values(again, clip.frames, STD)
    for key, tensor in video.state_dict().items():
        assert tensor.isfinite().all()
        assert torch.equal(tensor, again.state_dict()[key])
        if key.startswith("head"):
            assert torch.equal(tensor, before[key])


def test_frames_that_are_all_alike_leave_finite_weights(clip):
    grey = torch.full_like(clip.frames, 90)
    video = network("hnerv", ez.open_video(grey))
    scale_values(video, grey, STD)
    assert all(tensor.isfinite().all() for tensor in video.state_dict().values())


def test_a_restart_begins_as_a_first_start(clip):
    fitter = Fitter(network("hnerv", clip), FrameLoader(clip.frames), FitConfig(epochs=2, loss="L2", start_std=STD))
    fitter.restart(seed=3)
    expected = network("hnerv", clip, seed=3)
    scale_values(expected, clip.frames, STD)
    for name, tensor in fitter.video.state_dict().items():
        assert torch.equal(tensor, expected.state_dict()[name])


def test_hnerv_leaves_the_mean_image_sooner(clip):
    options = {"size": "60K", "model_options": {"enc_dim": [16, 16]}, "epochs": 16, "batch_size": 2, "lr": 3e-3}
    options |= {"loss": "L2", "precision": "float32"}
    published = ez.fit(clip, "hnerv", **options)
    scaled = ez.fit(clip, "hnerv", start_std=STD, **options)
    assert scaled.metrics["psnr"] > published.metrics["psnr"] + 0.5
