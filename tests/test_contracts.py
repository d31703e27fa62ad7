"""The built-in parts of every kind against the contracts that plug-ins are tested by."""

from __future__ import annotations

import itertools
import sys

import pytest
import torch
from torch import nn

import enerv_zoo.testing as contracts
from enerv_zoo.coding import CodingHint
from enerv_zoo.config import as_spec
from enerv_zoo.errors import VideoError
from enerv_zoo.evaluation.ffmpeg import FFmpegAnchor
from enerv_zoo.nvz.entropy import TableModel
from enerv_zoo.registry import COMPONENTS, embeddings, models


@embeddings.register("random_waves")
class RandomWaves(nn.Module):
    """Random Fourier features of time, whose phases follow from random frequencies and counted-out ones."""

    fixed = False

    def __init__(self, info, grid, *, features: int = 4) -> None:
        super().__init__()
        self.shape, self.frames = (2 * features,), info.frames
        frequencies = 3 * torch.randn(features)
        self.register_buffer("frequencies", frequencies)
        self.register_buffer("phases", frequencies * torch.linspace(0, 1, features))

    def forward(self, index):
        angles = index[:, None].float() / self.frames * self.frequencies + self.phases
        return torch.cat((angles.sin(), angles.cos()), 1)


BLOCKS = [
    "nerv",
    {"name": "nerv", "upsampling": "bilinear", "norm": "instance"},
    "enerv",
    "skip",
    {"name": "skip", "block": {"name": "enerv", "activation": "sin2.5"}},
    "interpolate",
    {"name": "interpolate", "mode": "nearest", "norm": "layer_affine", "activation": "gelu"},
    "convnext",
    {"name": "convnext", "norm": "layer_affine", "bias": True, "layer_scale": 0.5, "kernel": 5},
]
EMBEDDINGS = [
    "random_waves",
    {"name": "frequency", "levels": 3, "widths": [6]},
    {"name": "frequency", "levels": 3},
    {"name": "spatial", "levels": 2, "widths": [4], "head_dim": 2, "mlp_dim": 2},
    {"name": "temporal_grid", "sizes": [2, 4], "channels": 4},
    {"name": "temporal_grid", "sizes": [2, 4], "channels": [3, 1], "size": [2, 5], "centred": True, "spread": 0.1},
    {"name": "content", "strides": [4, 2], "width": 4, "channels": 3},
    {"name": "content", "strides": [4, 2], "width": 4, "channels": 3, "layout": "dnerv"},
    {"name": "difference", "strides": [4], "width": 4, "channels": 2, "layout": "dnerv"},
    {"name": "latent", "channels": 3},
    {"name": "latent", "channels": 3, "frames": 2, "size": [1, 1]},
]
JOINS = [
    ({"name": "coupled", "hidden": [5]}, [(6,)]),
    ({"name": "product", "heads": 1, "head_dim": 2, "mlp_dim": 2}, [(6,), (6, 3, 5)]),
    ("cells", [(4, 3, 5)]),
    ("identity", [(4, 3, 5)]),
    ("conv", [(3, 3, 5)]),
    ({"name": "conv", "kernel": 1, "bias": "zero", "norm": "layer"}, [(3, 3, 5)]),
]
MODULATIONS = [
    ("temporal_affine", [(6,)]),
    ("sft", [(6,)]),
    ("add", [(2, 3, 5)]),
    ("add_tile", [(2, 3, 1)]),
    ({"name": "gate", "stride": 2}, [(2, 2, 3)]),
]
HEADS = [
    "rgb",
    {"name": "rgb", "output": "tanh", "kernel": 3},
    "multiscale",
    {"name": "flow_guided", "neighbours": [-1, 1]},
]
SKIP = {"name": "linear_skip", "factors": [4, 2]}
LARGE = ["MS_SSIM", "Fusion10", "Fusion11", "Fusion12", "Fusion10_freq"]
SMALL = ["L1", "L2", "rmse", "log_mse", "charbonnier", "SSIM", "frequency", *(f"Fusion{i}" for i in range(1, 10))]
LOSSES = [(name, side) for names, side in ((SMALL, 32), (LARGE, 176)) for name in names]
DEFLATE = """
import sys, zlib
task, source, target, *cut = sys.argv[1:]
data = open(source, "rb").read()
coded = bytes(value >> int(cut[0]) << int(cut[0]) for value in data) if cut else data
open(target, "wb").write(zlib.compress(coded) if task == "encode" else zlib.decompress(data))
"""
COMMAND = {
    "name": "command",
    "encode": [sys.executable, "-c", DEFLATE, "encode", "{input}", "{output}", "{qp}"],
    "decode": [sys.executable, "-c", DEFLATE, "decode", "{input}", "{output}"],
    "ladder": [2, 4, 6],
}
METRICS = [
    *((name, 32) for name in ("psnr", "psnr_y", "psnr_yuv", "worst_tile", "ssim", "flicker")),
    ("ms_ssim", 176),
]
ELSEWHERE = {("metric", name) for name in ("lpips", "dists", "vmaf")}
"""Parts whose weights or programs come from elsewhere; `test_metrics_elsewhere` tests them."""
OPTIMIZERS = [
    "adam",
    {"name": "nadam", "momentum_decay": 1.0},
    "nesterov_adam",
    "adamw",
    "adan",
    "lion",
    "muon",
    "muon_hidden",
    "soap",
    {"name": "sgd", "momentum": 0.5},
]
SCHEDULES = ["cosine", {"name": "cosine", "floor": 0.1}, "linear", "constant", "hinerv"]
NARROW = {"fc_dim": 8, "block_dim": 8, "mlp_dim": 8, "stem_dim": [8], "ch_t": 4, "enc_dim": [8, 4], "t_dim": [2, 4]}
NARROW |= {"lower_width": 4, "expansion": 1, "width": 8, "channels": 2, "c1": 4, "c2": 8, "d": 4}
"""Options that make networks small, of those that a family has."""


def narrow(name):
    """Return the spec of a small network of a family."""
    options = {key: value for key, value in NARROW.items() if key in models.options(name)}
    return {"name": name, **options, **({"channels": 16} if name == "hinerv" else {})}


def contract(kind, **attributes):
    """Return a class of tests for a part; its name says which."""
    name = "".join(word.title() for word in str(as_spec(attributes["part"])).split())
    return type(f"{kind.__name__}{name}", (kind,), attributes)


CLASSES = [
    *(contract(contracts.BlockTests, part=part) for part in BLOCKS),
    *(contract(contracts.EmbeddingTests, part=part) for part in EMBEDDINGS),
    *(contract(contracts.JoinTests, part=part, shapes=shapes) for part, shapes in JOINS),
    *(contract(contracts.ModulationTests, part=part, shapes=shapes) for part, shapes in MODULATIONS),
    *(contract(contracts.HeadTests, part=part) for part in HEADS),
    contract(contracts.HeadTests, part=SKIP, shapes=[(3, 2, 3), (2, 4, 6)]),
    *(contract(contracts.LossTests, part=part, size=(side, side + 16)) for part, side in LOSSES),
    *(contract(contracts.MetricTests, part=part, size=(side, side + 16)) for part, side in METRICS),
    *(contract(contracts.OptimizerTests, part=part) for part in OPTIMIZERS),
    *(contract(contracts.ScheduleTests, part=part) for part in SCHEDULES),
    *(contract(contracts.FamilyTests, part=narrow(name), size="100K") for name in models.names()),
    contract(contracts.FamilyTests, part={**narrow("hnerv_latent"), "latent_frames": 2, "skip": True}, size=None),
    *(contract(contracts.EntropyModelTests, part=part) for part in ("table", "temporal")),
    *(contract(contracts.AnchorTests, part=part) for part in ("x264", "x265", "svtav1", "vp9", COMMAND)),
]
CHECKS = [
    pytest.param(each, name, id=f"{number}-{each.registry.kind}-{as_spec(each.part)['name']}-{name[5:]}")
    for number, each in enumerate(CLASSES)
    for name in dir(each)
    if name.startswith("test_")
]


@pytest.mark.parametrize(("kind", "check"), CHECKS)
def test_contract(kind, check):
    getattr(kind(), check)()


def test_every_built_in_part_is_tested():
    tested = {(each.registry.kind, as_spec(each.part)["name"]) for each in CLASSES} | ELSEWHERE
    for kind, registry in COMPONENTS.items():
        if kind not in ("optimizer", "codebase"):  # timm's are timm's to test; code bases are in test_golden
            assert {name for known, name in tested if known == kind} == set(registry.names()), kind


# ---------------------------------------------------------------------- parts that break their contract


class Conv(nn.Module):
    """A block that keeps the contract, but for what subclasses change."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv, self.stride = nn.Conv2d(in_channels, out_channels, 3, padding=1), stride

    def forward(self, x):
        return self.conv(nn.functional.interpolate(x, scale_factor=self.stride))


class OfOneSize(Conv):
    def forward(self, x):
        return self.conv(x)


class OfTheBatch(Conv):
    def forward(self, x):
        return super().forward(x - x.mean(dim=0))


class WithIdleWeights(Conv):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.idle = nn.Parameter(torch.zeros(3))


class WithHiddenState(Conv):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.noise = torch.randn(1)

    def forward(self, x):
        return super().forward(x) + self.noise


class WithHintsOfOthers(Conv):
    def coding_hints(self):
        return {"convolution.weight": CodingHint("weight")}


class Undocumented(Conv):
    pass


class Forgetful(torch.optim.Optimizer):
    """Signs with momentum, which its state does not hold."""

    def __init__(self, groups, lr):
        super().__init__(groups, {"lr": lr})
        self.momentum: dict = {}

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                self.momentum[p] = p.grad + 0.9 * self.momentum.get(p, 0)
                p -= group["lr"] * self.momentum[p].sign()


class Upside:
    unit, better, scope = "", "higher", "frame"

    def missing(self, info):
        return None

    def __call__(self, prediction, target):
        return (prediction - target).abs().mean(dim=(1, 2, 3))


class Mixed(Upside):
    better = "lower"

    def __call__(self, prediction, target):
        return super().__call__(prediction, target) - prediction.mean() + target.mean()


class Lossy(TableModel):
    def encode(self, levels):
        return super().encode(levels.clamp(-20, 20))


class Detached(TableModel):
    def bits(self, values):
        return super().bits(values.detach()) + 0 * values.sum()


class Silent(FFmpegAnchor):
    def decode(self, data):
        yield from list(super().decode(data))[1:]


def counting(lr, steps):
    calls = itertools.count(1)
    return lambda step: lr / next(calls)


BROKEN = [
    (contracts.BlockTests, OfOneSize, "shapes"),
    (contracts.BlockTests, OfTheBatch, "frames_do_not_depend_on_the_others_of_a_batch"),
    (contracts.BlockTests, WithIdleWeights, "every_parameter_gets_a_finite_gradient"),
    (contracts.BlockTests, WithHiddenState, "it_goes_on_from_its_state_to_the_same_bits"),
    (contracts.BlockTests, WithHintsOfOthers, "its_coding_hints_are_of_its_own_tensors"),
    (contracts.BlockTests, Undocumented, "it_is_registered_and_documented"),
    (contracts.LossTests, lambda height, width: lambda p, t: (p - t).square().mean(dim=(1, 2, 3)), "it_is_a_scalar"),
    (contracts.LossTests, lambda height, width: lambda p, t: (p - t).mean(), "nothing_is_better"),
    (contracts.LossTests, lambda height, width: lambda p, t: (p - t).square().mean().sqrt(), "it_is_finite_where"),
    (contracts.MetricTests, Upside, "nothing_scores_better_than_the_frames_themselves"),
    (contracts.MetricTests, Mixed, "scores_depend_on_the_frames_alone"),
    (contracts.OptimizerTests, Forgetful, "it_goes_on_from_its_state_to_the_same_bits"),
    (contracts.ScheduleTests, counting, "a_rate_depends_on_its_step_alone"),
    (contracts.ScheduleTests, lambda lr, steps: lambda step: 2 * lr, "rates_are_from_zero_to_the_peak"),
    (contracts.EntropyModelTests, Lossy, "levels_come_back"),
    (contracts.EntropyModelTests, Detached, "bits_are_a_differentiable_estimate_of_the_bytes"),
    (contracts.AnchorTests, lambda: Silent("libx264", {}, (20, 40), 51), "better_qualities_take_more_bytes"),
]


@pytest.mark.parametrize(("kind", "broken", "check"), BROKEN)
def test_a_part_that_breaks_its_contract_is_found(kind, broken, check):
    kind.registry.register("broken")(broken)
    (name,) = [name for name in dir(kind) if name.startswith(f"test_{check}")]
    with pytest.raises((AssertionError, VideoError)):
        getattr(type("Tests", (kind,), {"part": "broken"})(), name)()
