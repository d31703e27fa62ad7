"""Phases of a fit: schedules of their own, rounding and pruning in the loop, and fits that go on after their end."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
import torch

import enerv_zoo as ez
from enerv_zoo.config import FitConfig, from_dict, to_dict
from enerv_zoo.errors import ConfigError, FitError
from enerv_zoo.fitting.constraint import WeightConstraint
from enerv_zoo.fitting.steps import LearnedSteps, RateTarget
from enerv_zoo.nvz import open_nvz

TINY = {"fc_dim": 8, "block_dim": 16, "mlp_dim": 8, "stem_dim": [16], "lower_width": 6}
FIT = {
    "model_options": TINY, "frames": "0:6", "resize": "64x36", "batch_size": 2, "lr": 5e-3, "precision": "float32",
    "loss": "L2", "checkpoint_every": 0,
}  # fmt: skip


class Stop(ez.Callback):
    """Ends a fit after a number of steps, as a crash would."""

    def __init__(self, steps):
        self.left = steps

    def on_step(self, fitter):
        self.left -= 1
        if not self.left:
            raise RuntimeError("stopped")


def stopped_after(steps, **options):
    with pytest.raises(RuntimeError, match="stopped"):
        ez.fit("bunny", callbacks=[Stop(steps)], **options)


def same_weights(one, other):
    theirs = other.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in one.state_dict().items())


def test_each_phase_has_a_schedule_of_its_own():
    result = ez.fit("bunny", epochs=4, phases=[{"epochs": 2, "lr": 1e-3}, {"epochs": 2, "lr": 1e-4}], **FIT)
    assert [row["epoch"] for row in result.history] == [1, 2, 3, 4, 5, 6, 7, 8]
    rates = [row["lr"] for row in result.history]
    assert rates[3] < rates[2] < 5e-3
    assert 1e-4 < rates[4] <= 1e-3
    assert rates[6] <= 1e-4
    assert result.metrics["epochs"] == 8
    assert result.metrics["fit_seconds"] == pytest.approx(sum(row["seconds"] for row in result.history), abs=0.01)


def test_phases_are_gone_on_with_to_the_same_bits(tmp_path):
    options = {**FIT, "epochs": 2, "phases": [{"epochs": 2, "prune": 0.3}, {"epochs": 2, "bits": 6, "lr": 1e-3}]}
    whole = ez.fit("bunny", **options)
    steps = 3  # per epoch
    for number, left in enumerate((4, 2 * steps, steps + 1, 5)):  # in each phase, and between the first two
        stopped_after(left, **options, out=tmp_path / "cut", resume=number > 0)
    cut = ez.fit("bunny", **options, out=tmp_path / "cut", resume=True)
    assert same_weights(cut.video, whole.video)
    assert [row["loss"] for row in cut.history] == [row["loss"] for row in whole.history]


def test_pruned_weights_stay_zero_in_the_phases_after():
    result = ez.fit("bunny", epochs=1, phases=[{"epochs": 1, "prune": 0.4}, {"epochs": 2}], **FIT)
    hints = result.video.coding_hints()
    prunable = [tensor for name, tensor in result.video.named_parameters() if hints[name].prunable]
    zeros, count = sum(int((each == 0).sum()) for each in prunable), sum(each.numel() for each in prunable)
    assert zeros / count == pytest.approx(0.4, abs=0.01)


def test_a_phase_with_rounding_makes_better_files(tmp_path):
    options = {**FIT, "lr": 2e-3, "checkpoint_every": 60}
    exact = ez.fit("bunny", epochs=30, phases=[{"epochs": 20}], out=tmp_path / "exact", **options)
    aware = ez.fit("bunny", epochs=30, phases=[{"epochs": 20, "bits": 4}], out=tmp_path / "aware", **options)
    files = [ez.compress(each.folder, each.folder / "x.nvz", bits=4) for each in (exact, aware)]
    assert files[1].psnr > files[0].psnr + 0.3


LEARNED = {**FIT, "model": "pca_nerv", "model_options": {}, "size": 11277, "lr": 4e-3, "batch_size": 1}


def test_a_fit_to_a_rate_takes_it_and_its_file_loses_nothing(tmp_path):
    files = {}
    for bpp in (4.0, 7.0):
        fit = ez.fit("bunny", epochs=30, bpp=bpp, out=tmp_path / f"{bpp:g}", **{**LEARNED, "checkpoint_every": 60})
        files[bpp] = ez.compress(fit.folder, tmp_path / f"{bpp:g}.nvz")
        assert 0.75 * bpp < files[bpp].bpp < 1.05 * bpp
        assert files[bpp].psnr == pytest.approx(fit.report.psnr, abs=1e-3)  # biases have 12 bits in both
        again = ez.compress(files[bpp].path, tmp_path / "again.nvz", data="bunny")
        assert again.bits == files[bpp].bits
        assert same_weights(ez.load(again.path), ez.load(files[bpp].path))
        assert ez.compress(fit.folder, tmp_path / "within.nvz", bpp=bpp).bpp <= bpp
    assert files[4.0].psnr < files[7.0].psnr


@pytest.mark.parametrize(("steps", "share"), [(160, 1.3), (800, 1.7), (None, 2.2)])
def test_a_short_fit_to_a_rate_begins_near_it(steps, share):
    video = ez.create_model("nerv", frames=24, height=36, width=64, size="20K")
    for bpp in (0.5, 1.0):
        constraint = WeightConstraint.of(video, FitConfig(bpp=bpp), steps)
        target = bpp * video.info.pixels
        first = constraint.file_bits()
        assert 0.85 * share * target < first <= share * target
        constraint.restart()
        assert constraint.file_bits() == first


def test_a_long_fit_to_a_rate_begins_with_fine_levels():
    video = ez.create_model("nerv", frames=24, height=36, width=64, size="20K")
    fine, long = (WeightConstraint.of(video, FitConfig(bpp=bpp), 9000) for bpp in (100.0, 1.0))
    assert long.file_bits() == fine.file_bits() > 2 * video.info.pixels


def test_levels_become_finer_where_many_bits_are_missing():
    target = RateTarget(1000.0, torch.device("cpu"))
    learned = LearnedSteps({"a": torch.tensor(0.5), "b": torch.tensor(2.0)})
    for bits, finer in ((1000.0, 1.0), (900.0, 1.0), (500.0, 500 / 992 * math.exp(0.12)), (1.0, math.exp(-1))):
        before = learned.sizes()
        target.follow(torch.tensor(bits), 0.5, 1.0, lambda bits=bits: bits)
        learned.refine(target.lack)
        target.restart()
        for name, size in learned.sizes().items():
            assert float(size / before[name]) == pytest.approx(finer, rel=1e-3)


class FileBits(ez.Callback):
    def on_end(self, fitter):
        self.bits = fitter.constraint.file_bits()


def test_a_fit_to_a_rate_counts_what_encoders_compute(tmp_path):
    """A file holds the content of each frame, which the fit has no tensor of."""
    estimate = FileBits()
    options = {"size": "~20K", "frames": "0:24", "resize": "64x32", "epochs": 3, "batch_size": 2, "bpp": 4.0}
    fit = ez.fit("bunny", "hnerv", **options, loss="L2", callbacks=[estimate], out=tmp_path / "fit")
    file = ez.compress(fit.folder, tmp_path / "x.nvz", measure=False, sound=False)
    content = open_nvz(file.path).sizes.tensors[0]["embeddings.content.table"]
    assert content > 1000
    assert abs(estimate.bits / 8 - file.bytes) < content / 2


def test_learned_scales_are_gone_on_with_to_the_same_bits(tmp_path):
    options = {**LEARNED, "epochs": 4, "phases": [{"epochs": 2, "bpp": None, "scales": "learned", "rate_weight": 1e-3}]}
    whole = ez.fit("bunny", bpp=4.0, **options)
    for number, left in enumerate((7, 20, 5)):
        stopped_after(left, bpp=4.0, **options, out=tmp_path / "cut", resume=number > 0)
    cut = ez.fit("bunny", bpp=4.0, **options, out=tmp_path / "cut", resume=True)
    assert same_weights(cut.video, whole.video)


def test_more_epochs_are_a_phase_of_a_fit_that_has_ended(tmp_path):
    folder = tmp_path / "fit"
    ez.fit("bunny", epochs=2, out=folder, **FIT)
    longer = ez.fit("bunny", epochs=4, out=folder, resume=True, **FIT)
    at_once = ez.fit("bunny", epochs=2, phases=[{"epochs": 2}], **FIT)
    assert same_weights(longer.video, at_once.video)
    assert [row["loss"] for row in longer.history] == [row["loss"] for row in at_once.history]
    assert json.loads((folder / "fit.json").read_text())["fit"]["phases"] == [{"epochs": 2}]
    assert longer.metrics["epochs"] == 4
    assert longer.metrics["fit_seconds"] == pytest.approx(sum(row["seconds"] for row in longer.history), abs=0.01)
    assert ez.fit("bunny", epochs=4, out=folder, resume=True, **FIT).ended_before
    assert same_weights(ez.load(folder), longer.video)


def test_a_longer_fit_is_gone_on_with_as_well(tmp_path):
    folder = tmp_path / "fit"
    ez.fit("bunny", epochs=2, out=folder, **FIT)
    stopped_after(2, epochs=4, out=folder, resume=True, **FIT)
    longer = ez.fit("bunny", epochs=4, out=folder, resume=True, **FIT)
    assert same_weights(longer.video, ez.fit("bunny", epochs=2, phases=[{"epochs": 2}], **FIT).video)


def test_a_new_phase_goes_on_after_the_end(tmp_path):
    folder = tmp_path / "fit"
    ez.fit("bunny", epochs=2, out=folder, **FIT)
    result = ez.fit("bunny", epochs=2, phases=[{"epochs": 1, "bits": 8}], out=folder, resume=True, **FIT)
    assert len(result.history) == 3


@pytest.mark.parametrize("model", ["hnerv", "ffnerv"])
def test_what_a_fit_alone_has_is_not_needed_to_go_on(model, tmp_path):
    """Encoders are gone once a fit has ended: stored content is fitted on."""
    options = {**FIT, "model": model, "model_options": {}, "size": "30K", "out": tmp_path / "fit"}
    before = ez.fit("bunny", epochs=4, **options)
    after = ez.fit("bunny", epochs=12, resume=True, **options)
    assert after.report.psnr > before.report.psnr
    assert same_weights(ez.load(tmp_path / "fit"), after.video)


def test_other_changes_are_refused(tmp_path):
    folder = tmp_path / "fit"
    ez.fit("bunny", epochs=3, out=folder, **FIT)
    for changes, message in (
        ({"epochs": 2}, "epochs was 3, now it is 2"),
        ({"epochs": 5, "lr": 1e-3}, "epochs was 3, now it is 5, lr was 0.005"),
    ):
        with pytest.raises(FitError, match=message):
            ez.fit("bunny", out=folder, resume=True, **{**FIT, **changes})
    stopped_after(2, epochs=3, out=tmp_path / "begun", **FIT)
    with pytest.raises(FitError, match="epochs was 3, now it is 4"):
        ez.fit("bunny", epochs=4, out=tmp_path / "begun", resume=True, **FIT)


def test_a_phase_with_another_optimizer_has_its_own_betas():
    phases = (
        {"epochs": 1, "optimizer": "adan"},
        {"epochs": 1},
        {"epochs": 1, "optimizer": "soap", "betas": [0.8, 0.9]},
    )
    assert [phase.betas for phase in FitConfig(epochs=2, phases=phases).split()] == [
        (0.5, 0.999), None, None, (0.8, 0.9)
    ]  # fmt: skip
    adan = FitConfig(optimizer="adan", betas=(0.98, 0.92, 0.99))
    phases = ({"epochs": 1, "optimizer": {"name": "adan", "no_prox": True}}, {"epochs": 1, "optimizer": "adam"})
    split = dataclasses.replace(adan, epochs=2, phases=phases).split()
    assert [phase.betas for phase in split] == [adan.betas, adan.betas, (0.5, 0.999)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"phases": [{"epochs": 1, "seed": 2}]}, "phase 2: seed is an option of the whole fit"),
        ({"phases": [{"lr": 1.0}]}, "phase 2: does not say for how many epochs"),
        ({"phases": [{"epochs": 1}, {"epochs": 1, "lx": 1}]}, "phase 3: FitConfig has no option 'lx'"),
        ({"phases": [{"epochs": 0}]}, "phase 2: option 'epochs'"),
        ({"phases": [{"epochs": 1}], "time_budget": 9.0}, "phases last for epochs"),
        ({"rate_weight": 0.1}, "give bits, too"),
        ({"bits": 6, "rounded_share": 0.9}, "give scales slice, too"),
        ({"bits": 1}, "greater than or equal to 2"),
    ],
)
def test_wrong_phases(options, message):
    with pytest.raises(ConfigError, match=message):
        from_dict(FitConfig, options, "fit")


def test_a_phase_is_checked_before_anything_is_fitted(tmp_path):
    for phase, message in (({"loss": "L3"}, "'L3'"), ({"optimizer": "adamm"}, "adamm")):
        with pytest.raises(ConfigError, match=message):
            ez.fit("bunny", epochs=1, phases=[{"epochs": 1, **phase}], out=tmp_path / "fit", **FIT)
    assert not (tmp_path / "fit").exists()


def test_records_of_fits_without_phases_are_as_they_were():
    assert not set(FitConfig.LATER) & set(to_dict(FitConfig()))
    config = FitConfig(phases=({"epochs": 3, "bits": 6},), prune=0.1)
    assert from_dict(FitConfig, to_dict(config)) == config
