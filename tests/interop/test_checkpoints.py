"""Checkpoints from files, and those that cannot be used. (That imports are right is in test_golden.)"""

from __future__ import annotations

import json
import os

import pytest
import torch
import yaml
from safetensors.torch import save_file

import enerv_zoo as ez
from enerv_zoo.errors import EnervZooError
from enerv_zoo.interop import import_checkpoint
from enerv_zoo.registry import codebases
from enerv_zoo.testing.golden import assert_draws

SIZE = {"frames": 8, "height": 48, "width": 64}


@pytest.fixture
def values(golden):
    return golden("enerv")


@pytest.mark.parametrize("kind", ["plain", "wrapped", "parallel", "safetensors"])
def test_every_kind_of_file(tmp_path, values, kind):
    path = tmp_path / ("model.safetensors" if kind == "safetensors" else "model.pth")
    if kind == "safetensors":
        save_file(values.state, path)
    elif kind == "plain":
        torch.save(values.state, path)
    elif kind == "wrapped":
        torch.save({"epoch": 3, "state_dict": values.state}, path)
    else:
        torch.save({"model": {f"module.{name}": t for name, t in values.state.items()}}, path)
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(values.config))
    video = import_checkpoint(path, codebase="e-nerv", config=config, **SIZE)
    assert_draws(video, values)


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_pickles_run_no_code(tmp_path, values):
    torch.save({"state_dict": values.state, "args": Evil(tmp_path / "owned")}, tmp_path / "model.pth")
    with pytest.raises(EnervZooError, match="files that hold other objects are refused"):
        import_checkpoint(tmp_path / "model.pth", codebase="e-nerv", config=values.config, **SIZE)
    assert not (tmp_path / "owned").exists()


def test_training_checkpoints_of_hinerv_are_multiplied_by_their_masks(golden):
    values = golden("hinerv_compression")
    masks = {name.removeprefix("mask/1/"): mask for name, mask in values.tensors.items() if name.startswith("mask/1/")}
    training, pruned = {}, {}
    for name, tensor in values.state.items():
        part, _, last = name.rpartition(".")
        pruned[name] = tensor * masks[name] if name in masks else tensor
        if last != "weight":
            training[f"_orig_mod.{name}"] = tensor
            continue
        parametrized = f"_orig_mod.{part}.parametrizations.weight"
        training[f"{parametrized}.original"] = tensor
        if name in masks:
            training[f"{parametrized}.0.mask"] = masks[name]
        for kind in ("bitwidth", "noise_ratio"):
            training[f"{parametrized}.{int(name in masks)}.{kind}"] = torch.tensor(6.0)
    size = {"frames": 25, "height": 80, "width": 120}
    read, plain = (import_checkpoint(state, config=values.config, **size) for state in (training, pruned))
    assert all(torch.equal(tensor, plain.state_dict()[name]) for name, tensor in read.state_dict().items())
    assert sum(int((tensor == 0).sum()) for tensor in read.parameters()) == sum(int((~m).sum()) for m in masks.values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"block_type": "mlp"}, "the config's 'block_type' is 'mlp'; known: convnext"),
        ({"enc_type": "normalized+frequency"}, "'enc_type' is 'normalized.frequency'; known: normalized.temp_local"),
        ({"stem_norm": "batchnorm"}, "'stem_norm' is 'batchnorm'; known: none, layernorm-no-affine, layernorm"),
        ({"base_grid_level_scale": [2, 2, 1, 1]}, "'base_grid_level_scale' is .*; known: a 1 1 b"),
        ({"base_grid_size": [4, 3]}, "'base_grid_size' cannot be used"),
        ({"channels": 32}, "config and weights do not match"),
    ],
)
def test_configs_of_hinerv_that_do_not_fit(golden, options, message):
    values = golden("hinerv_compression")
    config = {**values.config, **options}
    with pytest.raises(EnervZooError, match=message):
        import_checkpoint(values.state, codebase="hinerv", config=config, frames=25, height=80, width=120)


def test_one_block_of_several_a_stage_keeps_its_place():
    config = {
        "model_name": "NeRV", "pos_b": 1.25, "pos_l": 4, "stem_dim_num": "5_1", "fc_hw_dim": "3_4_6", "act": "relu",
        "stride_list": [2, 2], "num_blocks": 2, "lower_width": 3,
    }  # fmt: skip
    state = {"stem.0.weight": (5, 8), "stem.0.bias": (5,), "stem.2.weight": (72, 5), "stem.2.bias": (72,)}
    for i, (before, after) in enumerate([(6, 24), (6, 6), (6, 12), (3, 3)]):
        state |= {f"layers.{i}.conv.conv.weight": (after, before, 3, 3), f"layers.{i}.conv.conv.bias": (after,)}
    state |= {"head_layers.1.weight": (3, 3, 1, 1), "head_layers.1.bias": (3,)}
    tensors = {name: torch.randn(shape) for name, shape in state.items()}
    video = import_checkpoint(tensors, codebase="e-nerv", config=config, frames=2, height=12, width=16)
    assert torch.equal(video.stages[1][1].upsample.conv.weight, tensors["layers.3.conv.conv.weight"])


class Mirrored:
    """A code base of a plug-in: E-NeRV with every tensor's name reversed."""

    def recognises(self, config, tensors):
        return config.get("mirror") is True and "thgiew.0.t_mets" in tensors

    def model(self, config, info):
        return codebases.build({"name": "e-nerv"}).model(config["of"], info)

    def tensors(self, network, state):
        turned = {name[::-1]: tensor for name, tensor in state.items()}
        return codebases.build({"name": "e-nerv"}).tensors(network, turned)


def test_a_registered_code_base_is_recognised_and_read(values, tmp_path, cli):
    codebases.register("mirrored")(Mirrored)
    state = {name[::-1]: tensor for name, tensor in values.state.items()}
    assert_draws(import_checkpoint(state, config={"mirror": True, "of": values.config}, **SIZE), values)
    torch.save(state, tmp_path / "model.pth")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"mirror": True, "of": values.config}))
    size = [word for key, value in SIZE.items() for word in (f"--{key}", value)]
    code, _, err = cli("import", tmp_path / "model.pth", "--config", tmp_path / "config.yaml", *size, "--out", "fit")
    assert code == 0, err
    assert_draws(ez.load("fit"), values)


def test_a_config_that_not_one_code_base_alone_recognises(values):
    with pytest.raises(EnervZooError, match=r"no code base recognises this config; name one .* of boosting-nerv,"):
        import_checkpoint(values.state, config={"depth": 3}, **SIZE)
    codebases.register("twin")(codebases.get("e-nerv"))
    with pytest.raises(EnervZooError, match="e-nerv and twin recognise this config"):
        import_checkpoint(values.state, config=values.config, **SIZE)


def change(values, **options):
    return {key: value for key, value in {**values.config, **options}.items() if value is not None}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pos_b": None}, "the config lacks 'pos_b'"),
        ({"model_name": "GAN"}, "'model_name' is 'GAN'; known: E_NeRV, NeRV"),
        ({"fc_hw_dim": "3_4"}, "'fc_hw_dim'|not enough"),
        ({"fc_hw_dim": "wide"}, "the config's 'fc_hw_dim' cannot be used: 'wide'"),
        ({"norm": "group"}, "the config's 'norm' is 'group'"),
        ({"block_dim": 20}, "config and weights do not match"),
        ({"fc_hw_dim": "4_4_8"}, "'xy_coord' is not the regular grid"),
        ({"sin_res": False}, "the weights lack head"),
    ],
)
def test_configs_that_do_not_fit(values, options, message):
    with pytest.raises(EnervZooError, match=message):
        import_checkpoint(values.state, codebase="e-nerv", config=change(values, **options), **SIZE)


def test_other_refusals(tmp_path, values):
    config = json.loads(values.metadata["config"])
    with pytest.raises(EnervZooError, match=r"unknown codebase 'enerv'. Did you mean 'e-nerv'\?"):
        import_checkpoint(values.state, codebase="enerv", config=config, **SIZE)
    with pytest.raises(EnervZooError, match="no such checkpoint file"):
        import_checkpoint(tmp_path / "none.pth", codebase="e-nerv", config=config, **SIZE)
    (tmp_path / "junk.pth").write_bytes(b"junk")
    with pytest.raises(EnervZooError, match="not a checkpoint of tensors, or damaged"):
        import_checkpoint(tmp_path / "junk.pth", codebase="e-nerv", config=config, **SIZE)
    with pytest.raises(EnervZooError, match="has no place in 'enerv'"):
        import_checkpoint({**values.state, "extra.weight": torch.zeros(1)}, codebase="e-nerv", config=config, **SIZE)
    name = next(name for name, tensor in values.state.items() if tensor.is_floating_point() and "bias" in name)
    broken = {**values.state, name: torch.full_like(values.state[name], torch.nan)}
    with pytest.raises(EnervZooError, match="holds infinite values or NaN; take an earlier one"):
        import_checkpoint(broken, codebase="e-nerv", config=config, **SIZE)
    with pytest.raises(EnervZooError, match="encodes content"):
        import_checkpoint(values.state, codebase="e-nerv", config=config, content=torch.zeros(1), **SIZE)
