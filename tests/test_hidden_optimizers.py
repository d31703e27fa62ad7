"""SOAP and Muon: which weights they are for, and what they do to them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import enerv_zoo as ez
from enerv_zoo.coding import GRID
from enerv_zoo.config import FitConfig, VideoInfo
from enerv_zoo.errors import ConfigError
from enerv_zoo.fitting.frame_loader import FrameLoader
from enerv_zoo.fitting.loop import Fitter
from enerv_zoo.optimizers import make_optimizer
from enerv_zoo.optimizers.groups import HIDDEN, hidden_weights
from enerv_zoo.registry import optimizers

NARROW = {
    "pca_nerv": {"width": 8, "channels": 2},
    "enerv": {"fc_dim": 4, "lower_width": 2, "stem_dim": [8, 4], "block_dim": 4, "mlp_dim": 4},
    "ffnerv": {"fc_dim": 4, "lower_width": 2},
    "hnerv": {"fc_dim": 4, "lower_width": 2, "enc_dim": [4, 4]},
}


def network(family):
    return ez.create_model(family, info=VideoInfo(frames=6, height=24, width=40), **NARROW[family])


@pytest.mark.parametrize("family", NARROW)
def test_hidden_weights_are_those_of_matrices_and_convolutions_outside_the_head(family):
    video = network(family)
    layers = [part for part in video.modules() if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)]
    heads = {id(part) for part in video.head.modules()}
    expected = {id(part.weight) for part in layers if id(part) not in heads}
    hidden = {id(parameter) for parameter in hidden_weights(video).values()}
    assert hidden
    assert hidden == expected
    groups = make_optimizer(video, FitConfig(optimizer="soap", betas=None, rates={"stages.0": 0.5})).param_groups
    assert sum(len(group["params"]) for group in groups) == len(list(video.parameters()))
    for group in groups:
        assert {id(parameter) in hidden for parameter in group["params"]} == {group[HIDDEN]}


def test_a_part_says_what_its_tensors_are():
    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.rows = nn.Parameter(torch.zeros(3, 4)), nn.Parameter(torch.zeros(3, 4))

        def coding_hints(self):
            return {"rows": GRID}

    assert list(hidden_weights(nn.Sequential(Table(), nn.Linear(4, 3)))) == ["0.weight", "1.weight"]


def test_optimizers_that_do_not_route_have_the_groups_of_before():
    (group,) = make_optimizer(network("enerv"), FitConfig()).param_groups
    assert HIDDEN not in group


def steps_of(optimizer, weights, gradients):
    """Take a step for each list of gradients; return the weights after each."""
    seen = []
    for each in gradients:
        for weight, gradient in zip(weights, each, strict=True):
            weight.grad = gradient.clone()
        optimizer.step()
        assert all(torch.equal(weight.grad, gradient) for weight, gradient in zip(weights, each, strict=True))
        seen.append([weight.detach().clone() for weight in weights])
    return seen


def weights_of(*shapes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


def gradients_of(steps, *shapes, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [[torch.randn(shape, generator=generator) for shape in shapes] for _ in range(steps)]


SHAPES = ((6, 4, 3, 3), (5, 7), (9,))


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize(("group", "own"), [({}, {"max_size": 1}), ({HIDDEN: False}, {})])
def test_soap_without_bases_is_adam(group, own, weight_decay):
    options = {"betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": weight_decay}
    ours, theirs, gradients = weights_of(*SHAPES), weights_of(*SHAPES), gradients_of(7, *SHAPES)
    soap = optimizers.get("soap")([{"params": ours, "lr": 1e-2, **group}], 1e-2, **own, **options)
    adam = torch.optim.AdamW(theirs, lr=1e-2, **options)
    for one, other in zip(steps_of(soap, ours, gradients), steps_of(adam, theirs, gradients), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_soap_whose_bases_are_the_identity_is_adam():
    ours, theirs = weights_of(*SHAPES), weights_of(*SHAPES)
    soap = optimizers.get("soap")([{"params": ours, "lr": 1e-2}], 1e-2, betas=(0.9, 0.99), every=1000)
    adam = torch.optim.AdamW(theirs, lr=1e-2, betas=(0.9, 0.99), weight_decay=0.0)
    first, *others = gradients_of(8, *SHAPES)
    steps_of(soap, ours, [first])
    for weight, twin in zip(ours, theirs, strict=True):  # its state but for the bases
        state = soap.state[weight]
        for axis in state.get("axes", {}).values():
            axis["basis"].copy_(torch.eye(len(axis["basis"])))
        moments = {name: torch.zeros_like(state[name]) for name in ("step", "exp_avg", "exp_avg_sq")}
        state.update(moments)
        with torch.no_grad():
            weight.copy_(twin)
    for one, other in zip(steps_of(soap, ours, others), steps_of(adam, theirs, others), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_soap_knows_no_axes_of_its_own():
    """Turned gradients give turned updates, which Adam's are not."""
    turn = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(3)))[0]
    shape = (6, 40, 3, 3)
    gradients = gradients_of(12, shape)
    turned = [[torch.einsum("ij,jklm->iklm", turn, each[0])] for each in gradients]
    updates = []
    for each in (gradients, turned):
        weight = nn.Parameter(torch.zeros(shape))
        soap = optimizers.get("soap")([{"params": [weight], "lr": 1e-2}], 1e-2, every=4)
        updates.append(steps_of(soap, [weight], each))
    for (one,), (other,) in zip(*updates, strict=True):
        torch.testing.assert_close(torch.einsum("ij,jklm->iklm", turn, one), other, rtol=1e-3, atol=2e-4)


def test_the_bases_of_soap_follow_the_eigenvectors():
    weight = nn.Parameter(torch.zeros(5, 6))
    soap = optimizers.get("soap")([{"params": [weight], "lr": 1e-3}], 1e-3, every=2, betas=(0.9, 0.9))
    scales = torch.tensor([8.0, 4.0, 2.0, 1.0, 0.5])
    turn = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(3)))[0]
    generator = torch.Generator().manual_seed(4)
    for _ in range(200):
        weight.grad = turn @ (scales[:, None] * torch.linalg.qr(torch.randn(6, 5, generator=generator))[0].T)
        soap.step()
    axis = soap.state[weight]["axes"][0]
    torch.testing.assert_close(axis["basis"].T @ axis["basis"], torch.eye(5), rtol=0, atol=1e-5)
    torch.testing.assert_close((axis["basis"].T @ turn).abs(), torch.eye(5), rtol=0, atol=1e-2)


def test_options_of_soap():
    (weight,) = weights_of((4, 3))
    with pytest.raises(ConfigError, match="every is at least 1 step, got 0"):
        optimizers.build({"name": "soap", "every": 0}, [{"params": [weight]}], 1e-2)


def test_muons_update_is_orthogonal_and_others_are_adams():
    weight, bias, table = weights_of((8, 5, 3, 3), (7,), (6, 9))
    before = [each.detach().clone() for each in (weight, bias, table)]
    groups = [{"params": [weight], "lr": 1e-2, HIDDEN: True}, {"params": [bias, table], "lr": 1e-2, HIDDEN: False}]
    muon = optimizers.get("muon_hidden")(groups, 1e-2)
    assert [group[HIDDEN] for group in muon.param_groups] == [True, False]
    steps_of(muon, [weight, bias, table], gradients_of(1, *(each.shape for each in before)))
    update, *others = (each.detach() - old for each, old in zip((weight, bias, table), before, strict=True))
    singular = torch.linalg.svdvals(update.flatten(1)) / (1e-2 * 0.2 * 45**0.5)
    assert singular.min() > 0.7
    assert singular.max() < 1.3
    for each in others:  # Adam's first step is the rate in the gradient's direction
        torch.testing.assert_close(each.abs(), torch.full_like(each, 1e-2), rtol=1e-3, atol=0)


@pytest.mark.parametrize("optimizer", ["soap", "muon_hidden"])
def test_a_fit_gets_on_with_them(optimizer):
    clip = ez.open_video("bunny", frames="0:6", resize="40x24")
    config = FitConfig(optimizer=optimizer, betas=None, lr=5e-3, epochs=12, batch_size=2, loss="L2", ema=0.9)
    fitter = Fitter(network("pca_nerv"), FrameLoader(clip.frames), config)
    rows = [fitter.fit_epoch() for _ in range(12)]
    assert rows[-1]["loss"] < 0.6 * rows[0]["loss"]
