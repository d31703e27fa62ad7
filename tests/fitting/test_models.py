"""Every way to say which network is fitted."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
import yaml
from registering import temporary_parts

import enerv_zoo as ez
from enerv_zoo.config import FitConfig, to_dict
from enerv_zoo.errors import ConfigError
from enerv_zoo.fitting.frame_loader import FrameLoader
from enerv_zoo.fitting.loop import Fitter
from enerv_zoo.heads.rgb import RGBHead
from enerv_zoo.registry import heads
from enerv_zoo.zoo import choose_model, model_config

TINY = {"fc_dim": 6, "block_dim": 6, "mlp_dim": 6, "stem_dim": [8], "lower_width": 4, "tm_dim": 4}
FIT = {"epochs": 2, "batch_size": 2, "loss": "L2", "precision": "float32"}


@pytest.fixture(scope="module")
def clip():
    return ez.open_video(torch.randint(0, 256, (4, 3, 36, 64), dtype=torch.uint8, generator=torch.manual_seed(0)))


@pytest.fixture(scope="module")
def config(clip):
    """E-NeRV with boosted modulation: no family makes it."""
    return model_config("enerv", clip.info, **TINY).replace_steps("temporal_affine", {"name": "sft"})


@pytest.fixture(params=["config", "data", "yaml", "json", "network"])
def model(request, config, clip, tmp_path):
    data = to_dict(config)
    if request.param == "yaml":
        (tmp_path / "network.yaml").write_text(yaml.safe_dump(data))
        return str(tmp_path / "network.yaml")
    if request.param == "json":
        (tmp_path / "network.json").write_text(json.dumps(data))
        return tmp_path / "network.json"
    return {"config": config, "data": data, "network": ez.NeuralVideo.seeded(config, clip.info, 0)}[request.param]


def test_a_changed_network_is_fitted_recorded_and_gone_on_with(model, config, clip, tmp_path):
    made = ez.fit(clip, model, out=tmp_path / "run", **FIT)
    assert made.video.config == config == ez.load(tmp_path / "run").config
    record = json.loads((tmp_path / "run" / "fit.json").read_text())
    assert record["model"] == {"name": "enerv", "config": to_dict(config)}
    again = ez.fit(clip, recipe={"model": record["model"], "fit": FIT})
    assert torch.equal(again.video[:], made.video[:]), "a record repeats the fit"
    assert ez.fit(clip, model, out=tmp_path / "run", resume=True, **FIT).ended_before


def test_a_network_is_fitted_on_from_its_weights(config, clip):
    video = ez.NeuralVideo.seeded(config, clip.info, 7)
    before = {name: tensor.clone() for name, tensor in video.state_dict().items()}
    made = ez.fit(clip, video, lr=1e-12, **FIT).video
    assert all(torch.allclose(tensor, before[name], atol=1e-6) for name, tensor in made.state_dict().items())
    assert all(torch.equal(tensor, before[name]) for name, tensor in video.state_dict().items()), "it stays as it was"


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("config", {"size": "1M"}, "a composition leaves nothing open; 'size' is an option of families"),
        ("config", {"model_options": {"fc_dim": 3}}, "a composition leaves nothing open; 'fc_dim'"),
        ("none.yaml", {}, "none.yaml: cannot be read"),
        ({"family": "x"}, {}, "ModelConfig"),
        ({"name": "enrv"}, {}, "unknown model 'enrv'. Did you mean 'enerv'"),
        ({"name": "enerv", "fc_dmi": 3}, {}, "no option 'fc_dmi'"),
        (3, {}, "expected a mapping of ModelConfig options, got int"),
    ],
)
def test_what_names_no_network_is_refused(model, options, message, config, clip):
    with pytest.raises(ConfigError, match=message):
        ez.fit(clip, config if model == "config" else model, **options, **FIT)


def test_a_recipe_s_size_is_kept_for_another_family_and_its_options_are_not():
    default = {"name": "enerv", "size": "1M", "fc_dim": 3}
    assert choose_model("nerv", default) == {"name": "nerv", "size": "1M"}
    assert choose_model("enerv", default) == choose_model(None, default) == default
    assert choose_model({"name": "nerv", "fc_dim": 4}, default, "2M") == {"name": "nerv", "fc_dim": 4, "size": "2M"}


class MeanColour(RGBHead):
    """A head that starts as the video's mean colour; it takes an embedding, whose first layer it clears."""

    def __init__(self, channels, shapes, *, kernel: int = 1):
        super().__init__(channels, [], output=0.0, kernel=kernel)
        self.shapes = shapes

    def forward(self, features, *embedded):
        assert [tuple(each.shape[1:]) for each in embedded] == list(self.shapes)
        return super().forward(features)

    def start_from(self, frames, embeddings):
        self.conv.weight.zero_()
        self.conv.bias.copy_(frames.float().mean(dim=(0, 2, 3)) / 255)
        for embedding in embeddings:
            embedding.mlp[0].bias.fill_(0.25)


def test_parts_start_in_closed_form_once_and_with_the_embeddings_they_take(config, clip):
    heads.register("mean_colour")(MeanColour)
    changed = dataclasses.replace(config, head={"name": "mean_colour", "with": "time"})
    made = ez.fit(clip, changed, lr=1e-12, **FIT).video
    mean = clip.frames.float().mean(dim=(0, 2, 3)) / 255
    torch.testing.assert_close(made(torch.tensor([2.0]))[0].mean(dim=(1, 2)), mean, rtol=0, atol=1e-5)
    assert torch.allclose(made.embeddings["time"].mlp[0].bias, torch.tensor(0.25))
    moved = {name: tensor + 0.03 for name, tensor in made.state_dict().items()}
    made.load_state_dict(moved)
    again = ez.fit(clip, made, lr=1e-12, **FIT).video
    assert all(torch.allclose(tensor, moved[name], atol=1e-5) for name, tensor in again.state_dict().items())
    fitter = Fitter(made, FrameLoader(clip.frames), FitConfig(**FIT))
    fitter.restart(seed=3)
    torch.testing.assert_close(fitter.video.head.conv.bias.detach(), mean)


PARTS = """
import torch
from torch import nn
from enerv_zoo.registry import blocks

@blocks.register("doubling")
class Doubling(nn.Module):
    def __init__(self, in_channels, out_channels, stride, *, power=1.0):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.stride, self.power = stride, power

    def forward(self, x):
        return torch.sin(self.conv(x.repeat_interleave(self.stride, 2).repeat_interleave(self.stride, 3)))
"""


def test_the_command_line_takes_a_network_and_parts_from_files(config, tmp_path, cli):
    (tmp_path / "parts.py").write_text(PARTS)
    (tmp_path / "network.yaml").write_text(yaml.safe_dump(to_dict(config.replace_steps("*nerv", {"name": "doubling"}))))
    fit = ("fit", "bunny", "--model", "network.yaml", "--frames", "0:4", "--resize", "64x36", "--epochs", "1")
    with temporary_parts():
        code, out, err = cli("--import", "parts.py", *fit, "--loss", "L2", "--out", "run", "--no-report", "--json")
        assert code == 0, err
        assert json.loads(out)["model"] == "enerv"
    code, _, err = cli("info", "run")
    assert code == 1
    assert "unknown block 'doubling'" in err
    code, out, err = cli("info", "run", "--import", "parts.py")
    assert code == 0, err
    assert "doubling x" in out


@pytest.mark.parametrize(
    ("content", "message"), [(None, "no such Python file"), ("1 / 0", r"cannot be imported \(ZeroDivisionError")]
)
def test_files_of_parts_that_cannot_be_imported_are_named(content, message, tmp_path):
    from enerv_zoo.registry import import_file

    if content is not None:
        (tmp_path / "parts.py").write_text(content)
    with pytest.raises(ConfigError, match=message):
        import_file(tmp_path / "parts.py")
