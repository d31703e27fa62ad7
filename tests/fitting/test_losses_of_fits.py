"""A fit's loss, however it is given: what is minimised, recorded, resumed, printed and passed on."""

from __future__ import annotations

import json
import logging

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import enerv_zoo as ez
from enerv_zoo.batch.manifest import manifest_jobs, read_manifest
from enerv_zoo.compression import compress
from enerv_zoo.errors import ConfigError, FitError
from enerv_zoo.fitting.loop import Fitter
from enerv_zoo.report.command import fit_command
from enerv_zoo.storage.record import check_selection

TINY = {"frames": "0:4", "resize": "32x18", "size": "60K", "epochs": 2, "batch_size": 2, "lr": 3e-3}
FLAGS = [word for key, value in TINY.items() for word in (f"--{key.replace('_', '-')}", str(value))]


def recorded_loss(folder):
    return json.loads((folder / "fit.json").read_text())["fit"]["loss"]


@pytest.mark.parametrize(
    ("text", "loss"),
    [
        ("L1=0.7,SSIM=0.3", {"L1": 0.7, "SSIM": 0.3}),
        ("{SSIM: 0.3, L1: 0.7}", {"L1": 0.7, "SSIM": 0.3}),
        ("{name: Fusion6}", {"name": "Fusion6"}),
        ('{"Fusion6": 1}', {"Fusion6": 1}),
    ],
)
def test_the_command_line_takes_weights_and_specs(text, loss, cli, tmp_path):
    code, _, err = cli("fit", "bunny", *FLAGS, "--loss", text, "--no-report", "--out", tmp_path / "given")
    assert code == 0, err
    assert recorded_loss(tmp_path / "given") == loss
    ez.fit("bunny", out=tmp_path / "named", loss="Fusion6", **TINY)
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("given", "named")]
    assert all(torch.equal(weights[0][name], tensor) for name, tensor in weights[1].items())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("L1=0.7,SSIM", "expected one number for each name, such as L1=0.7,SSIM=0.3"),
        ("L1=0.7,L1=0.3", "expected one number for each name"),
        ("L1=much", "expected one number for each name"),
        ("{name: charbonnier", "neither JSON nor YAML"),
        ("L1=0.7,SIM=0.3", "unknown loss 'SIM'. Did you mean 'SSIM'"),
        ("{name: charbonnier, epps: 1}", "no option 'epps'. Did you mean 'eps'"),
        ("L1=nan", "more than finite numbers"),
        ("[L1, SSIM]", "a loss is a name"),
        ("12", "unknown loss '12'"),
    ],
)
def test_the_command_line_says_what_is_wrong(text, message, cli, tmp_path):
    code, _, err = cli("fit", "bunny", *FLAGS, "--loss", text, "--no-report", "--out", tmp_path / "fit")
    assert code != 0
    assert message in " ".join(err.replace("│", " ").split())
    assert not (tmp_path / "fit").exists()


def test_options_change_what_is_minimised():
    values = [
        ez.fit("bunny", loss={"name": "charbonnier", "eps": eps}, **{**TINY, "epochs": 1}).history[0]["loss"]
        for eps in (0.1, 10)
    ]
    assert values[0] < 1 < 9.9 < values[1]


def test_a_recipe_holds_a_loss_with_options(tmp_path):
    (tmp_path / "mine.yaml").write_text("fit: {epochs: 1, loss: {L1: 1, charbonnier: {weight: 2, eps: 1e-2}}}")
    options = {key: value for key, value in TINY.items() if key != "epochs"}
    result = ez.fit("bunny", recipe=tmp_path / "mine.yaml", out=tmp_path / "fit", **options)
    loss = {"L1": 1, "charbonnier": {"weight": 2, "eps": 0.01}}
    assert recorded_loss(result.folder) == loss
    again = json.loads((result.folder / "config.json").read_text())["fit"]["recipe"]
    assert again["fit"]["loss"] == loss
    assert ez.fit("bunny", recipe=again).history == [{**result.history[0], **{
        key: pytest.approx(value, rel=10) for key, value in result.history[0].items() if "second" in key
    }}]  # fmt: skip


def test_only_the_same_loss_goes_on(tmp_path, monkeypatch):
    options = {**TINY, "loss": {"L1": 0.5, "charbonnier": {"weight": 1, "eps": 0.1}}, "checkpoint_every": 0}
    whole = ez.fit("bunny", **options)
    steps = []

    def interrupted(self, *arguments):
        if len(steps) == 3:
            raise KeyboardInterrupt
        steps.append(0)
        return step(self, *arguments)

    step = Fitter.fit_batch
    monkeypatch.setattr(Fitter, "fit_batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ez.fit("bunny", out=tmp_path / "fit", **options)
    monkeypatch.setattr(Fitter, "fit_batch", step)
    other = {"L1": 0.5, "charbonnier": {"weight": 1, "eps": 0.2}}
    with pytest.raises(FitError, match=r"another recipe: loss.charbonnier.eps was 0.1, now it is 0.2"):
        ez.fit("bunny", out=tmp_path / "fit", resume=True, **{**options, "loss": other})
    same = dict(reversed(options["loss"].items()))
    resumed = ez.fit("bunny", out=tmp_path / "fit", resume=True, **{**options, "loss": same})
    expected, weights = whole.video.state_dict(), resumed.video.state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in expected.items())


class Edges(nn.Module):
    """Differences of filtered frames, by a filter that could be trained."""

    def __init__(self):
        super().__init__()
        self.filter = nn.Conv2d(3, 3, (1, 2), bias=False)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, prediction, target):
        self.calls += 1
        return (self.filter(prediction) - self.filter(target)).square().mean()


def test_a_module_of_ones_own_is_minimised_and_left_as_it_was(tmp_path, caplog):
    module = Edges()
    before = module.filter.weight.clone()
    with caplog.at_level(logging.INFO):
        result = ez.fit("bunny", "enerv", loss=module, out=tmp_path / "fit", **TINY)
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    assert module.calls == 4
    assert module.filter.weight.requires_grad
    assert module.filter.weight.grad is None
    assert torch.equal(module.filter.weight, before)
    assert "the loss has 1 trainable tensors, which a fit leaves as they are" in caplog.text
    assert not any("filter" in name for name in load_file(tmp_path / "fit" / "model.safetensors"))
    assert recorded_loss(tmp_path / "fit") == f"{__name__}.Edges"
    assert fit_command(json.loads((tmp_path / "fit" / "fit.json").read_text()), "x") is None
    with caplog.at_level(logging.WARNING):
        compress(tmp_path / "fit", tmp_path / "fit.nvz", tune_epochs=1)
    assert "tuning with the loss L2, as the fit's own is not here" in caplog.text


def test_a_table_of_fits_has_losses_in_cells(tmp_path):
    table = tmp_path / "clips.csv"
    table.write_text('video,loss\nbunny,Fusion6\nbunny,"{L1: 0.7, SSIM: 0.3}"\n')
    first, second = read_manifest(table).fits
    assert (first["fit"]["loss"], second["fit"]["loss"]) == ("Fusion6", {"L1": 0.7, "SSIM": 0.3})
    table.write_text('video,loss\nbunny,"{L1: 0.7, SIM: 0.3}"\n')
    with pytest.raises(ConfigError, match="manifest, entry 1 of 'fits': unknown loss 'SIM'"):
        manifest_jobs(read_manifest(table))


@pytest.mark.parametrize(
    "loss", [7, {}, {"L1": "x"}, {"L1": {}}, ["L1"], {"name": "L1", "eps": "x" * 70_000}, "x" * 70_000]
)
def test_an_untrusted_record_with_no_loss_in_it_is_refused(loss):
    check_selection(
        {"source": "bunny", "fit": {"loss": {"L1": 1, "of a plug-in": {"weight": 1, "eps": 2}}}}, "fit.json"
    )
    with pytest.raises(ConfigError, match=r"fit\.json: fit: .*loss"):
        check_selection({"source": "bunny", "fit": {"loss": loss}}, "fit.json")
