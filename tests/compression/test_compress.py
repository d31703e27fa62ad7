"""From a fit to one small file: what is in it, what it costs, and what is refused."""

from __future__ import annotations

import json
import math
import pickle
import re

import numpy as np
import pytest
import torch

import enerv_zoo as ez
from enerv_zoo import hub
from enerv_zoo.coding import CodingHint
from enerv_zoo.compression import compress, search
from enerv_zoo.compression import network as compressing
from enerv_zoo.config import FitConfig
from enerv_zoo.errors import ConfigError, VideoError
from enerv_zoo.fitting.constraint import PULL, PULLED_FROM, WeightConstraint
from enerv_zoo.fitting.steps import AIM, RateTarget
from enerv_zoo.nvz import QuantizedTensor, open_nvz, pruning, write_nvz
from enerv_zoo.nvz.entropy import best_model
from enerv_zoo.nvz.quantisation import (
    VECTOR_BITS,
    QuantSpec,
    codable,
    coded,
    exact_spec,
    levels_of,
    rounded,
    spread,
    steps,
    uniform_specs,
)
from enerv_zoo.video.seen import seen_frames

CUT = {"frames": "0:6", "resize": "64x36"}
SMALL = {**CUT, "size": "90K", "batch_size": 2, "lr": 3e-3}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "bunny"
    ez.fit("bunny", "enerv", epochs=40, out=folder, **SMALL)
    return folder


@pytest.fixture
def video(run):
    return ez.load(run)


@pytest.mark.parametrize("per", ["tensor", "channel"])
@pytest.mark.parametrize("bits", [2, 6, 8, 12, 16])
def test_what_is_coded_is_what_was_rounded(video, bits, per):
    grids = uniform_specs(video, bits, per)
    for name, tensor in codable(video).items():
        grid = grids[name]
        assert grid.bits == (max(bits, 12) if tensor.ndim < 2 else bits)
        values = torch.from_numpy(coded(tensor, grid).values())
        torch.testing.assert_close(values, rounded(tensor, grid), rtol=1e-6, atol=0)
        others = [i for i in range(tensor.ndim) if i != grid.axis]
        widths = tensor.abs().max() if grid.axis is None else tensor.abs().amax(others, True)
        assert ((values - tensor).abs() <= widths * (0.5 / (2 ** (grid.bits - 1) - 1) + 1e-6)).all()
    assert any(grid.axis is not None for grid in grids.values()) == (per == "channel")


@pytest.mark.parametrize(("bits", "highest"), [(2, 1), (2.5, 2), (5, 15), (5.5, 22), (8, 127)])
def test_half_bits_are_levels_between(bits, highest):
    tensor = torch.linspace(-3, 3, 1001).view(7, 143)
    levels = coded(tensor, QuantSpec(bits)).levels
    assert (levels.min(), levels.max()) == (-highest, highest)
    assert len(np.unique(levels)) == 2 * highest + 1


@pytest.mark.parametrize("highest", [1, 2, 7, 127])
@pytest.mark.parametrize("axis", [None, 0])
def test_levels_are_recognised_to_the_bit(highest, axis):
    generator = np.random.default_rng(highest)
    levels = generator.integers(-highest, highest + 1, (5, 300), dtype=np.int32)
    scale = generator.uniform(1e-4, 3, () if axis is None else (5,)).astype(np.float32)
    tensor = torch.from_numpy(QuantizedTensor(levels, scale, axis).values())
    spec = exact_spec(tensor, CodingHint("weight", axis=0))
    assert spec.axis == axis
    assert torch.equal(torch.from_numpy(coded(tensor, spec).values()), tensor)
    assert np.array_equal(coded(tensor, spec).levels, levels)


def test_other_tensors_are_no_levels():
    generator = torch.Generator().manual_seed(0)
    for shape in ((7, 143), (3, 5), (40,)):
        assert exact_spec(torch.randn(shape, generator=generator), CodingHint("weight", axis=0)) is None
    assert exact_spec(torch.zeros(3, 100), CodingHint("weight", axis=0)).axis is None


def test_the_weight_of_the_rate_follows_its_target():
    target = RateTarget(8000.0, torch.device("cpu"))
    first, weights = 80_000.0, []
    for progress, bits in ((0.0, first), (0.1, first), (0.5, 19_000.0), (0.9, 4000.0)):
        target.follow(torch.tensor(bits), progress, 1.0, lambda bits=bits: 0.5 * bits)  # half of the estimate in a file
        weights.append(float(target.weight))
    assert weights[1] > weights[0], "bits are to fall, and have not"
    excess = math.log(19_000 / (2 * AIM * 8000))
    assert weights[1] == pytest.approx(1e-3 * math.exp(20 * 0.1) * 4), "an excess counts as e, and at once as 4"
    assert weights[2] == pytest.approx(1e-3 * math.exp(20 * (0.1 + 0.4 * excess) + 6 * excess), rel=1e-4)
    assert weights[3] < weights[2], "there are fewer bits than there may be"
    twin = RateTarget(8000.0, torch.device("cpu"))
    twin.load_state_dict(target.state_dict())
    for each in (target, twin):
        each.follow(torch.tensor(9000.0), 0.95, 0.2, lambda: 9000.0)
    assert torch.equal(target.weight, twin.weight)


@pytest.mark.parametrize("excess", [0.01, -0.05])
def test_too_many_bits_count_more_the_lower_the_rate_is_and_too_few_do_not(excess):
    bits, weights = AIM * 8000 * math.exp(excess), []
    for share in (1.0, 0.5, 0.1, 0.0):
        target = RateTarget(8000.0, torch.device("cpu"))
        target.follow(torch.tensor(bits), 0.5, share, lambda: bits)
        weights.append(float(target.weight))
    counted = [excess, 2 * excess, 10 * excess, 10 * excess] if excess > 0 else [excess] * 4
    assert weights == pytest.approx([1e-3 * math.exp((20 * 0.5 + 6) * each) for each in counted], rel=1e-3)


def test_levels_that_take_more_than_a_target_go_down_or_merge(run):
    def ended(bpp):
        network = ez.load(run)
        WeightConstraint.of(network, FitConfig(bits=3, bpp=bpp)).end()
        hints, tensors = network.coding_hints(), codable(network)
        specs = {name: exact_spec(tensor, hints[name]) for name, tensor in tensors.items()}
        specs = {name: spec for name, spec in specs.items() if spec is not None}
        levels = {name: coded(tensors[name], spec).levels for name, spec in specs.items()}
        return network, specs, levels, sum(best_model(each)[1] for each in levels.values())

    network, specs, free, most = ended(1e6)
    *_, down, least = ended(0.97 * most / network.info.pixels)
    assert least <= 0.97 * most
    steps_down = {int(step) for name in free for step in np.unique(np.abs(free[name]) - np.abs(down[name]))}
    assert steps_down == {0, 1}, "each stays, or goes to the level below"
    for name, choices in search.choices(network, None, specs).items():
        if len(choices) > 1:  # biases have no choice
            ratios = [choice.spec.sizes[0] / specs[name].sizes[0] for choice in choices[:-1]]
            assert ratios == pytest.approx([1, 1.1, 1.25, 1.5, 2, 3, 4, 6, 8][: len(ratios)])
            assert choices[-1].spec == QuantSpec(2), "as few bits as there may be"
            assert choices[0].error == 0


def test_a_target_is_met_to_the_last_weight_where_many_are_in_the_middle_of_two_levels(run):
    """So does a rate leave them that falls to 0 while they go to and fro."""

    def ended(bpp):
        network = ez.load(run)
        constraint = WeightConstraint.of(network, FitConfig(bits=3, bpp=bpp))
        generator = torch.Generator().manual_seed(0)
        for name, spec in uniform_specs(network, 3, "tensor").items():
            tensor = codable(network)[name].detach()
            size = spread(steps(tensor, spec), tensor, spec.axis)
            chance, above = torch.rand(2, *tensor.shape, generator=generator)
            middles = ((tensor.abs() / size).floor() + 0.5 + 1e-3 * above) * size * tensor.sign()
            tensor.copy_(torch.where(chance < 0.5, middles, tensor))
        constraint.end()
        return network.info.pixels, constraint.file_bits()

    pixels, free = ended(1e6)
    for share in (0.995, 0.98):
        _, met = ended(share * free / pixels)
        assert met == pytest.approx(share * free, rel=1e-3)
        assert met <= share * free


@pytest.mark.parametrize("steps", [100, 1000])
def test_weights_are_pulled_to_levels_whose_sizes_are_learned_as_far_in_any_number_of_steps(run, steps):
    network = ez.load(run)
    constraint = WeightConstraint.of(network, FitConfig(bits=3, scales="learned"))
    hints = network.coding_hints()

    def weights():
        return {name: codable(network)[name].clone() for name in constraint.specs if hints[name].kind != "bias"}

    def levels():
        with constraint.applied():
            return weights()

    def distances():
        targets = levels()
        return torch.cat([(targets[name] - weight).flatten() for name, weight in weights().items()])

    first, far = levels(), distances()
    for step in range(steps):
        constraint.after_step(step / steps)
        if step / steps <= PULLED_FROM:
            torch.testing.assert_close(distances(), far, rtol=0, atol=0)
    left = math.exp(-PULL * (1 - PULLED_FROM) / 2)  # the part rises from 0 to PULL
    torch.testing.assert_close(distances(), left * far, rtol=0.1, atol=1e-3 * float(far.abs().max()))
    torch.testing.assert_close(levels(), first, rtol=0, atol=0)


def test_a_tensor_of_zeros_stays_zero():
    assert not coded(torch.zeros(3, 100), QuantSpec(4, 0)).values().any()


def test_the_file_holds_the_rounded_network_and_says_its_own_size(run, video, tmp_path):
    path = tmp_path / "bunny.nvz"
    made = compress(run, path)
    again = ez.load(path)
    for name, parameter in again.named_parameters():
        expected = rounded(dict(video.named_parameters())[name].detach(), QuantSpec(made.bits[name]))
        torch.testing.assert_close(parameter.detach(), expected, rtol=1e-6, atol=0)
    assert made.bytes + made.sound_bytes == path.stat().st_size
    assert made.bpp == pytest.approx(8 * made.bytes / (6 * 36 * 64))
    assert made.ratio > 3
    assert made.psnr == pytest.approx(ez.evaluate(again, ez.open_video("bunny", frames="0:6", resize="64x36")).psnr)
    assert abs(made.psnr - made.psnr_before) < 0.15
    assert {bits for name, bits in made.bits.items() if dict(video.named_parameters())[name].ndim < 2} == {12}


def test_a_scale_for_each_channel_loses_less_and_takes_more(run, tmp_path):
    one = compress(run, tmp_path / "one.nvz", bits=6)
    many = compress(run, tmp_path / "many.nvz", bits=6, scales="channel")
    assert many.bytes > one.bytes
    assert many.psnr > one.psnr - 0.1


def test_the_file_says_how_good_it_is_and_keeps_the_licence(run, tmp_path):
    made = compress(run, tmp_path / "x.nvz", bits=5, license="cc-by-3.0")
    description = hub.describe(tmp_path / "x.nvz").description
    assert description.license == "cc-by-3.0"
    assert description.fit.metrics["psnr"] == made.psnr < made.psnr_before
    assert description.fit.metrics["epochs"] == 40
    assert not {"bpp", "stored_bytes", "fps"} & description.fit.metrics.keys(), "those were the folder's"
    assert description.fit.recipe.model["name"] == "enerv"
    compress(tmp_path / "x.nvz", tmp_path / "y.nvz", bits=4, measure=False)
    again = hub.describe(tmp_path / "y.nvz").description
    assert again.license == "cc-by-3.0"
    assert "psnr" not in again.fit.metrics


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.4, 0.95])
def test_exactly_the_smallest_weights_are_pruned(video, fraction):
    masks = pruning.masks(video, fraction)
    matrices = {name: t for name, t in codable(video).items() if t.ndim > 1}
    numbers = sum(t.numel() for t in matrices.values())
    gone = [matrices[name][~mask].abs() for name, mask in masks.items()]
    stays = [matrices[name][mask].abs() for name, mask in masks.items()]
    assert sum(part.numel() for part in gone) == round(fraction * numbers)
    if fraction:
        assert torch.cat(gone).max() <= torch.cat(stays).min()
        pruning.prune(video.stored_parameters(), masks)
        assert sum(int((t == 0).sum()) for t in matrices.values()) >= round(fraction * numbers)


def test_tuning_brings_back_what_few_bits_and_pruning_cost(run, tmp_path):
    coarse = compress(run, tmp_path / "coarse.nvz", bits=4, prune=0.4)
    tuned = compress(run, tmp_path / "tuned.nvz", bits=4, prune=0.4, tune_epochs=10)
    assert tuned.psnr > coarse.psnr + 1
    assert tuned.pruned == coarse.pruned == pytest.approx(0.4, abs=1e-3)
    weights = ez.load(tmp_path / "tuned.nvz").state_dict()
    zeros = sum(int((t == 0).sum()) for t in weights.values() if t.ndim > 1)
    assert zeros >= 0.4 * sum(t.numel() for t in weights.values() if t.ndim > 1) - 1
    again = compress(run, tmp_path / "again.nvz", bits=4, prune=0.4, tune_epochs=10)
    assert (tmp_path / "again.nvz").read_bytes() == (tmp_path / "tuned.nvz").read_bytes()
    assert again.psnr == tuned.psnr


@pytest.mark.parametrize("scales", ["tensor", "channel", "slice"])
def test_learned_rounding_takes_one_of_the_two_levels_beside_each_weight(run, tmp_path, scales):
    options = {"bits": 4, "scales": scales, "prune": 0.1}
    nearest = compress(run, tmp_path / "nearest.nvz", **options)
    made = compress(run, tmp_path / "made.nvz", tune="rounding", tune_epochs=10, lr=3e-3, **options)
    assert made.psnr > nearest.psnr + 0.1
    exact, first, learned = (ez.load(path) for path in (run, nearest.path, made.path))
    pruning.prune(exact.stored_parameters(), pruning.masks(exact, 0.1))
    moved = 0
    for name, weights in codable(exact).items():
        spec = QuantSpec(12) if exact.coding_hints()[name].kind == "bias" else uniform_specs(exact, 4, scales)[name]
        _, size = levels_of(weights, spec)
        value = codable(learned)[name]
        assert ((value - weights).abs() <= 1.003 * size).all()  # scales of slices are stored in 11 bits
        moved += int(((value - codable(first)[name]).abs() > 0.5 * size).sum())
    assert moved > 50
    assert made.pruned == nearest.pruned > 0


def test_parts_have_bits_of_their_own(run, tmp_path, cli):
    code, out, _ = cli(
        "compress", run, tmp_path / "a.nvz", "--bits", 4, "--part-bits", "head=9,stages=6,stages.0=5", "--no-measure",
        "--json",
    )  # fmt: skip
    assert code == 0
    matrices = {name: bits for name, bits in json.loads(out)["bits"].items() if bits != VECTOR_BITS}
    parts = {
        part: {bits for name, bits in matrices.items() if name.startswith(part)} for part in ("head", "stages", "")
    }
    assert parts == {"head": {9}, "stages": {5, 6}, "": {4, 5, 6, 9}}
    with pytest.raises(ConfigError, match=r"part_bits: the network has no part 'heads'. Did you mean 'head'\?"):
        compress(run, tmp_path / "b.nvz", part_bits={"heads": 6})
    with pytest.raises(ConfigError, match="bpp chooses the bits of each tensor"):
        compress(run, tmp_path / "b.nvz", bpp=0.1, part_bits={"head": 6})


def test_a_rate_in_the_objective_makes_the_file_smaller(run, tmp_path):
    tuning = {"bits": 6, "tune_epochs": 20, "lr": 2e-3}
    plain = compress(run, tmp_path / "plain.nvz", **tuning)
    rated = compress(run, tmp_path / "rated.nvz", rate_weight=0.01, **tuning)
    assert rated.bytes < 0.9 * plain.bytes
    assert rated.psnr > plain.psnr - 0.3


def test_the_rates_gradient_is_that_of_its_formula(video):
    """n log2(1 + 2e m) of n weights of mean magnitude m in steps, by finite differences."""
    grids = uniform_specs(video, 6, "channel")
    constraint = WeightConstraint(video, grids, {}, rate_weight=1.0)
    name = next(name for name, tensor in codable(video).items() if tensor.shape[2:].numel() > 1)
    tensor = codable(video)[name].double()
    step = spread(steps(tensor, grids[name]), tensor, grids[name].axis)

    def rate(weights):
        return weights.numel() * math.log2(1 + 2 * math.e * float((weights / step).abs().mean())) / (6 * 36 * 64)

    moved = tensor.clone(memory_format=torch.contiguous_format)
    moved.flatten()[3] += 1e-4 * moved.flatten()[3].sign()
    slope = (rate(moved) - rate(tensor)) / 1e-4
    parameter = dict(video.named_parameters())[name]
    parameter.grad = torch.zeros_like(parameter)
    constraint.after_backward()
    gradient = parameter.grad.flatten()[3]
    assert abs(float(gradient)) == pytest.approx(slope, rel=0.02)


def test_what_a_price_leaves_of_a_limit_is_spent():
    spec = QuantSpec(8)
    costs = {"a": [search.Choice(spec, 100, 0.0), search.Choice(spec, 10, 5.0), search.Choice(spec, 40, 4.0)],
             "b": [search.Choice(spec, 30, 0.0), search.Choice(spec, 20, 1.0)]}  # fmt: skip
    cheap = {name: min(each, key=lambda choice: choice.size) for name, each in costs.items()}
    sizes = {limit: [c.size for c in search.filled(costs, cheap, limit).values()] for limit in (30, 45, 65, 99, 130)}
    assert sizes == {30: [10, 20], 45: [10, 30], 65: [10, 30], 99: [40, 30], 130: [100, 30]}


def test_levels_that_were_tuned_for_stay_within_a_target(run, tmp_path):
    plain = compress(run, tmp_path / "plain.nvz", bits=6)
    tuned = compress(run, tmp_path / "tuned.nvz", bpp=plain.bpp, tune_epochs=4, lr=2e-3)
    assert tuned.bpp <= plain.bpp
    assert tuned.psnr > plain.psnr + 0.05


def test_a_target_in_bits_per_pixel_is_kept(run, tmp_path):
    whole = compress(run, tmp_path / "whole.nvz")
    half = compress(run, tmp_path / "half.nvz", bpp=0.6 * whole.bpp)
    assert 0.85 * 0.6 * whole.bpp < half.bpp <= 0.6 * whole.bpp
    assert len({bits for bits in half.bits.values() if bits != 12}) > 1, "tensors get what they are worth"
    with pytest.raises(ConfigError, match=r"takes at least [\d,]+ bytes, the target leaves"):
        compress(run, tmp_path / "none.nvz", bpp=0.05 * whole.bpp)
    assert not (tmp_path / "none.nvz").exists()


def test_a_target_in_psnr_is_kept_with_fewer_bytes(run, tmp_path):
    whole = compress(run, tmp_path / "whole.nvz", bits=8)
    made = compress(run, tmp_path / "small.nvz", max_psnr_drop=0.5)
    assert made.psnr_before - made.psnr <= 0.5
    assert made.bytes < whole.bytes
    with pytest.raises(ConfigError, match="prune less, or tune longer"):
        compress(run, tmp_path / "none.nvz", max_psnr_drop=0.1, prune=0.9)


def test_errors_between_those_that_were_measured_are_about_what_is_assumed(video):
    """The search measures a tensor in three widths; in others the frames' error is what it assumes, within 3 times."""
    found = search.choices(video)
    name = max((n for n in found if len(found[n]) > 1), key=lambda n: found[n][0].error)
    frames = [0.0, 1.0, 2.0, 4.0, 5.0]
    exact = search.decoded(video, frames)
    parameter = dict(video.named_parameters())[name]
    tensor = parameter.data
    for spec in map(QuantSpec, (2.5, 4, 6, 9)):
        parameter.data = rounded(tensor, spec)
        error = float((search.decoded(video, frames) - exact).square().mean())
        assumed = next(choice.error for choice in found[name] if choice.spec == spec)
        assert 1 / 3 < error / assumed < 3, spec


def test_an_error_beyond_those_that_were_measured_changes_by_four_a_bit():
    assert [search.error_in(bits, (16.0, 4.0, 1.0)) for bits in (2, 3, 4, 5, 7, 9)] == [64, 16, 8, 4, 1, 1 / 16]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": 1}, "'bits': input should be greater than or equal to 2, got 1"),
        ({"scales": "row"}, "'scales': input should be 'tensor', 'channel' or 'slice', got 'row'"),
        ({"bits": 8, "bpp": 0.1}, "bits and bpp were given; give one of them"),
        ({"bits": 2.5}, "'bits': input should be a valid integer"),
        ({"bpp": 0}, "'bpp': input should be greater than 0, got 0"),
        ({"bpp": float("nan")}, "'bpp': input should be "),
        ({"max_psnr_drop": float("nan")}, "'max_psnr_drop': input should be "),
        ({"tune_epochs": 1, "rate_weight": float("inf")}, "'rate_weight': input should be a finite number, got inf"),
        ({"max_psnr_drop": -1}, "'max_psnr_drop': input should be greater than or equal to 0, got -1"),
        ({"prune": 1.0}, "'prune': input should be less than 1, got 1.0"),
        ({"bit": 6}, "CompressConfig has no option 'bit'. Did you mean 'bits'?"),
        ({"rate_weight": 1e-3}, "give tune_epochs"),
        ({"tune": "rounding"}, "give tune_epochs"),
        ({"tune": "steps", "tune_epochs": 1}, "'tune': "),
        ({"tune_epochs": -1}, "'tune_epochs': input should be greater than or equal to 0"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_written(run, tmp_path, options, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        compress(run, tmp_path / "x.nvz", **options)
    assert not list(tmp_path.iterdir())


def test_other_refusals(video, run, tmp_path):
    with pytest.raises(ConfigError, match=r"is a file that ends in \.nvz"):
        compress(run, tmp_path / "x.bin")
    with pytest.raises(ConfigError, match="need the video; name it with data"):
        compress(video, tmp_path / "x.nvz", tune_epochs=1)
    with pytest.raises(VideoError, match=r"decodes to \d+x\d+, 'bunny' is 1280x720"):
        compress(video, tmp_path / "x.nvz", data="bunny")
    with pytest.raises(ConfigError, match="a licence is named by its identifier"):
        compress(run, tmp_path / "x.nvz", license="CC-BY-4.0", on_stage=lambda line: pytest.fail(line))
    assert not list(tmp_path.iterdir())


def test_a_network_without_its_video_is_written_unmeasured(video, tmp_path):
    before = {name: t.clone() for name, t in video.state_dict().items()}
    made = compress(video, tmp_path / "x.nvz", bits=5, prune=0.5)
    assert made.psnr is None
    assert all(torch.equal(t, before[name]) for name, t in video.state_dict().items()), "the network is left alone"


def test_a_fit_with_a_reference_is_tuned_on_what_it_was_fitted_to(tmp_path, monkeypatch):
    clean = ez.open_video("bunny", frames="0:4", resize="64x36")
    noise = torch.randint(-60, 61, clean.frames.shape, generator=torch.Generator().manual_seed(0))
    noisy = (clean.frames.int() + noise).clamp(0, 255).byte()
    for name, frames in (("clean", clean.frames), ("noisy", noisy)):
        ez.write_video(tmp_path / name, frames)
    fit = {"size": "90K", "epochs": 2, "batch_size": 2, "reference": str(tmp_path / "clean")}
    ez.fit(tmp_path / "noisy", "nerv", out=tmp_path / "run", **fit)
    tuned = []
    monkeypatch.setattr(compressing, "seen_frames", lambda video: (tuned.append(video.frames), seen_frames(video))[1])
    made = compress(tmp_path / "run", tmp_path / "x.nvz", tune_epochs=1)
    assert [torch.equal(frames, noisy) for frames in tuned] == [True]
    assert made.psnr == pytest.approx(ez.evaluate(ez.load(tmp_path / "x.nvz"), clean).psnr, abs=1e-3)
    compress(tmp_path / "run", tmp_path / "y.nvz", tune_epochs=1, data=tmp_path / "noisy")
    del tuned[:]
    rates = {"sizes": ["90K"], "bits": (6,), "codecs": (), "tune_epochs": 1}
    fit_alone = {name: value for name, value in fit.items() if name != "size"}
    ez.rate_distortion(tmp_path / "noisy", ["nerv"], out=tmp_path / "rd", **rates, **fit_alone)
    ez.rate_distortion(noisy.numpy(), ["nerv"], out=tmp_path / "rd-array", **rates, **fit_alone)
    assert [torch.equal(frames, noisy) for frames in tuned] == [True, True]
    ez.fit(noisy.numpy(), "nerv", out=tmp_path / "array", **fit)
    with pytest.raises(ConfigError, match="tuning needs what was fitted, and that was an array"):
        compress(tmp_path / "array", tmp_path / "z.nvz", tune_epochs=1)


def test_a_file_is_measured_as_it_is_decoded_whatever_a_fit_computed_in(run, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "enerv_zoo.network.choose_precision", lambda name, device: "bfloat16" if name == "auto" else name
    )
    for options in ({"tune_epochs": 1}, {}):
        made = compress(ez.load(run).optimize(), tmp_path / "x.nvz", data=ez.open_video("bunny", **CUT), **options)
        again = ez.evaluate(ez.load(tmp_path / "x.nvz"), ez.open_video("bunny", **CUT))
        assert made.psnr == pytest.approx(again.psnr, abs=1e-4)


def test_what_is_not_measured_is_not_opened(run, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "enerv_zoo.storage.run.open_recorded", lambda *arguments, **options: pytest.fail("it was opened")
    )
    assert compress(run, tmp_path / "x.nvz", measure=False).psnr is None


@pytest.mark.parametrize("name", ["hnerv", "ffnerv", "rnerv", "enerv_boost"])
def test_every_kind_of_network_is_compressed(name, tmp_path):
    options = {"frames": "0:4", "resize": "64x36", "epochs": 2, "batch_size": 2, "loss": "L2", "size": "0.5M"}
    ez.fit("bunny", name, out=tmp_path / "run", **options)
    made = compress(tmp_path / "run", tmp_path / "x.nvz", tune_epochs=1)
    assert np.isfinite(made.psnr)
    assert ez.load(tmp_path / "x.nvz")[1:3].shape == (2, 3, 36, 64)


def test_on_the_command_line(run, tmp_path, cli):
    code, out, _ = cli("compress", run, tmp_path / "b.nvz", "--bits", 6)
    assert code == 0
    for word in ("bits per pixel", "times smaller", "in 6", "PSNR", "dB against the fit", "enerv-zoo render"):
        assert word in out
    code, _, err = cli("compress", run, tmp_path / "b.nvz")
    assert code == 1
    assert "is there already; choose another name or add --overwrite" in err
    code, out, _ = cli("compress", run, tmp_path / "b.nvz", "--overwrite", "--json")
    made = json.loads(out)
    assert made["bytes"] + made["sound_bytes"] == (tmp_path / "b.nvz").stat().st_size
    code, out, _ = cli("info", tmp_path / "b.nvz")
    assert code == 0
    assert "bytes" in out or "MB" in out


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A folder of three segments, of the clip's first seven frames."""
    folder = tmp_path_factory.mktemp("segments") / "bunny"
    recipe = {"resize": "64x36", "size": "60K", "batch_size": 2, "epochs": 2, "loss": "L2"}
    ez.fit_segments("bunny", "nerv", out=folder, segments=3, frames="0:7", **recipe)
    return folder


def test_a_video_in_segments_is_one_file(parts, tmp_path):
    path = tmp_path / "bunny.nvz"
    made = compress(parts, path)
    again, whole = ez.load(path), ez.load(parts)
    assert isinstance(again, ez.SegmentedVideo)
    assert (again.info, again.segments) == (whole.info, whole.segments)
    for network, exact in zip(again.networks(), whole.networks(), strict=True):
        for name, parameter in network.named_parameters():
            grid = QuantSpec(12 if parameter.ndim < 2 else 8)
            torch.testing.assert_close(
                parameter, rounded(dict(exact.named_parameters())[name], grid), rtol=1e-6, atol=0
            )
    assert torch.equal(again[5], torch.cat([again[:5], again[5:]])[5])
    report = ez.evaluate(again, ez.open_video("bunny", frames="0:7", resize="64x36"))
    assert report.stored_bytes == made.bytes == path.stat().st_size - made.sound_bytes
    assert made.bpp == report.bpp == 8 * made.bytes / (7 * 36 * 64)
    assert made.psnr == pytest.approx(report.psnr)
    assert made.psnr == pytest.approx(made.psnr_before, abs=0.2)
    assert {name.split(".")[0] for name in made.bits} == {"0", "1", "2"}
    assert made.float32_bytes == 4 * whole.stored_numbers
    assert torch.equal(pickle.loads(pickle.dumps(again))[6], again[6])


def test_a_file_of_segments_is_compressed_again_and_each_part_keeps_to_the_target(parts, tmp_path):
    first = compress(parts, tmp_path / "first.nvz")
    made = compress(tmp_path / "first.nvz", tmp_path / "again.nvz", bpp=0.7 * first.bpp)
    assert made.bpp <= 0.7 * first.bpp
    assert made.psnr is not None, "the file names the sample and the frames of each part"
    tuned = compress(parts, tmp_path / "tuned.nvz", bits=4, tune_epochs=4)
    assert tuned.psnr > compress(parts, tmp_path / "coarse.nvz", bits=4).psnr
    from_memory = compress(
        ez.load(parts), tmp_path / "memory.nvz", data=ez.open_video("bunny", frames="0:7", resize="64x36")
    )
    assert from_memory.psnr == pytest.approx(first.psnr)


def test_a_file_of_segments_on_the_command_line(parts, tmp_path, cli):
    file = tmp_path / "bunny.nvz"
    assert cli("compress", parts, file)[0] == 0
    code, out, _ = cli("info", file)
    size = open_nvz(file).sizes.networks
    assert (code, "3 of 2 to 3 frames; 3 fitted" in out, f"{size:,} bytes" in out) == (0, True, True)
    assert json.loads(cli("info", file, "--json")[1])["weights_bytes"] == size
    for arguments in ((), ("bunny",)):
        code, out, _ = cli("eval", file, *arguments, "--json")
        assert json.loads(out)["stored_bytes"] == size
    assert cli("render", file, tmp_path / "bunny.mp4")[0] == 0
    assert len(ez.open_video(tmp_path / "bunny.mp4")) == 7


def test_a_file_whose_segments_do_not_match_is_refused(parts, tmp_path):
    compress(parts, tmp_path / "x.nvz")
    file = open_nvz(tmp_path / "x.nvz")
    networks = [file.read(number) for number in range(3)]
    for name, kept, whole, message in (
        ("fewer", networks[:2], file.whole, "has 2 networks for 3 segments"),
        ("none", networks, None, "holds 3 networks and does not say of which segments"),
        ("other", networks, {**file.whole, "format": 99}, "format 99 is not one that"),
        ("order", networks[::-1], file.whole, "segment 0 decodes to 3 frames of 64x36; expected 2"),
    ):
        write_nvz(tmp_path / f"{name}.nvz", kept, whole=whole)
        with pytest.raises(ConfigError, match=message):
            ez.load(tmp_path / f"{name}.nvz")[0]
    with pytest.raises(ConfigError, match="holds a video in segments"):
        hub.describe(tmp_path / "x.nvz").only()
    with pytest.raises(ConfigError, match="number 7 is not one of them"):
        file.read(7)
