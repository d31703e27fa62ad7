"""Families at every size, budgets, listings."""

from __future__ import annotations

import pytest
import torch
from registering import temporary_parts

import enerv_zoo as ez
from enerv_zoo import registry
from enerv_zoo.composition import ModelConfig
from enerv_zoo.errors import ConfigError
from enerv_zoo.meta import MetaParameters
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.recipes import read_recipe
from enerv_zoo.zoo import (
    TOLERANCE,
    create_model,
    list_components,
    list_models,
    model_config,
    nearest_size,
    parse_parameter_count,
)

SIZES = [(720, 1280), (1280, 720), (768, 1366), (480, 854), (131, 175), (17, 33), (272, 640), (4, 5), (1, 1)]


def counted(name: str, height: int, width: int, frames: int = 132, **options) -> NeuralVideo:
    info = ez.VideoInfo(frames=frames, height=height, width=width)
    with MetaParameters():
        return NeuralVideo(model_config(name, info, **options), info)


def test_the_papers_network_has_the_papers_parameters():
    video = counted("enerv", 720, 1280)
    assert video.stored_numbers + video.fixed_numbers == 12_490_602
    assert video.fixed_numbers == 288


def test_nerv_large_as_in_the_enerv_papers_comparison():
    video = counted("nerv", 720, 1280, fc_dim=112, pos_l=80, act="gelu", sigmoid=True)
    assert round(video.stored_numbers / 1e6, 2) == 12.57


def test_dnerv_decodes_with_the_published_parameters():
    video, longer = (counted(height=960, width=1920, frames=frames, **read_recipe("dnerv").model) for frames in (1, 51))
    assert video.stored_numbers == 3_405_368 + 6_528
    assert longer.stored_numbers == video.stored_numbers + 50 * 6_528


TINY = {
    "fc_dim": 8, "stem_dim": [8], "lower_width": 4, "block_dim": 8, "mlp_dim": 8, "enc_dim": [4, 2], "ch_t": 4,
    "t_dim": [2, 3], "channels": 8, "enc_grid_channels": 2, "base_grid_channels": 2, "c1": 4, "c2": 8,
}  # fmt: skip
COARSE = ("dnerv", "hnerv", "hnerv_boost", "hnerv_latent")
"""Families whose grid has fewer cells, as a map is stored per frame: it fits less well."""


@pytest.mark.parametrize("name", list_models())
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_any_frame_size_is_drawn(name, height, width):
    options = {key: value for key, value in TINY.items() if key in registry.models.options(name)}
    large = height * width > 200_000
    if large:
        video = counted(name, height, width, **options)
    else:
        video = create_model(name, frames=3, height=height, width=width, **options).eval()
        frames = video(torch.tensor([0, 2]))
        assert frames.shape == (2, 3, height, width)
        assert 0 <= frames.min() <= frames.max() <= 1
    if name == "pca_nerv":  # cells of one size, whatever the frame's
        assert all(0 <= drawn - side < 64 for drawn, side in zip(video.decoded_size, (height, width), strict=True))
        return
    surplus = video.decoded_size[0] * video.decoded_size[1] / (height * width)
    assert surplus < (1.2 if name in COARSE else 1.1)
    assert len(video.config.stages) <= 5


@pytest.mark.parametrize("name", list_models())
@pytest.mark.parametrize(("size", "height", "width"), [("0.35M", 720, 1280), ("3M", 144, 256), ("1.5M", 131, 175)])
def test_budget_is_met(name, size, height, width):
    stored = counted(name, height, width, size=size).stored_numbers
    assert abs(stored - parse_parameter_count(size)) <= TOLERANCE * parse_parameter_count(size)


def test_budget_keeps_the_widths_that_were_given():
    config = model_config("enerv", ez.VideoInfo(132, 144, 256), size="0.5M", fc_dim=40)
    assert config.channels[0] == 40


def test_a_size_with_a_tilde_takes_the_nearest_within_a_tenth():
    info, widths = ez.VideoInfo(132, 720, 1280), {"stem_dim": [128], "lower_width": 16}
    with pytest.raises(ConfigError, match=r"the nearest is 511,863"):
        model_config("nerv", info, size="0.5M", **widths)
    assert model_config("nerv", info, size="~0.5M", **widths) == model_config("nerv", info, size=511_863, **widths)
    assert nearest_size({"name": "nerv", "size": "~0.5M", **widths}, info) == "~0.5M"
    with pytest.raises(ConfigError, match=r"cannot have 60,000 stored parameters"):
        model_config("nerv", info, size="~60K", lower_width=96)


def test_budget_that_cannot_be_met_names_the_nearest():
    with pytest.raises(ConfigError, match=r"cannot have 1,000 stored parameters; the nearest is [\d,]+"):
        counted("enerv", 144, 256, size=1000)


def test_a_budget_is_met_with_the_parts_that_there_are():
    """Networks are counted once; with another part under the same name they are counted again."""
    for kernel in (1, 5, 1):
        with temporary_parts():
            register_own(kernel)
            stored = counted("own", 8, 8, size="~9000").stored_numbers
            assert abs(stored - 9000) <= 900


def register_own(kernel):
    @registry.models.register("own")
    def own(info, *, width=8):
        stage = {"name": "own", "channels": width, "stride": 2}
        grid = {"name": "temporal_grid", "sizes": [4], "channels": width}
        join = {"name": "conv", "with": ["grid"], "channels": width}
        parts = {"embeddings": {"grid": grid}, "join": join, "stages": [[stage]], "head": {"name": "rgb"}}
        return ModelConfig(family="own", grid=(4, 4), **parts)

    own.widths = ("width",)

    @registry.blocks.register("own")
    class Own(torch.nn.ConvTranspose2d):
        def __init__(self, in_channels, out_channels, stride):
            super().__init__(in_channels, out_channels, kernel + 1, stride, (kernel - 1) // 2)


@pytest.mark.parametrize(
    ("size", "number"), [("1.5M", 1_500_000), ("350k", 350_000), (2e6, 2_000_000), ("800", 800), (".5m", 500_000)]
)
def test_sizes_are_read(size, number):
    assert parse_parameter_count(size) == number


@pytest.mark.parametrize("size", ["", "big", "-1M", "0", "1.5X", "nan", "1e99"])
def test_bad_sizes_are_refused(size):
    with pytest.raises(ConfigError, match="a size is a number of stored parameters"):
        parse_parameter_count(size)


def test_listing():
    assert list_models("hnerv*") == ["hnerv", "hnerv_boost", "hnerv_latent", "hnerv_nerv"]
    assert "nerv" in list_components("block")
    with pytest.raises(ConfigError, match=r"no kind of part is called 'blok'. Did you mean 'block'\?"):
        list_components("blok")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "ennerv"}, r"unknown model 'ennerv'. Did you mean 'enerv'\?"),
        ({"fcdim": 3}, r"model 'nerv' has no option 'fcdim'. Did you mean 'fc_dim'\?"),
        ({"act": "geluu"}, r"block 'nerv': unknown activation 'geluu'. Did you mean 'gelu'\?|unknown activation"),
        ({"conv_type": "none"}, "unknown upsampling 'none'"),
        ({"time": "later"}, "time is 'inclusive'"),
        ({"stride_list": [2, 2], "fc_hw": [2, 2]}, "decodes to less than 64x36; it needs at least 16x9"),
        ({"fc_hw": [9, 16]}, "a grid of .* was given without strides"),
        ({"stride_list": [0, 2]}, "strides must be integers of at least 1|division"),
        ({"stem_dim": 5}, r"model 'nerv': the option 'stem_dim' is 5, expected Sequence\[int\]"),
        ({"fc_dim": "wide"}, "fc_dim|width|wide"),
        ({"name": "hnerv", "enc_dim": [16]}, r"model 'hnerv' cannot be made with \{'enc_dim': \[16\]\}: "),
        ({"name": "hnerv", "reduce": 0}, "cannot be made with .*: .*zero"),
        ({"name": "dnerv", "diff_enc_list": [2, 2]}, r"diff_enc_list \[2, 2\] comes to 4; the gate takes maps"),
        ({"name": "hinerv", "kernels": [2]}, "a kernel is odd, got 2"),
    ],
)
def test_bad_options_are_refused_by_name(options, message):
    with pytest.raises(ConfigError, match=message):
        create_model(options.pop("name", "nerv"), frames=2, height=36, width=64, **options)


def test_same_seed_same_weights_and_the_global_generator_is_left_alone():
    state = torch.get_rng_state()
    first, again = (create_model("enerv", frames=2, height=18, width=32, size="60K", seed=5) for _ in range(2))
    other = create_model("enerv", frames=2, height=18, width=32, size="60K", seed=6)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(next(first.parameters()), next(other.parameters()))
    assert torch.equal(state, torch.get_rng_state())
