"""What a fit keeps and logs beside its folder, and the maps within a network."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

import enerv_zoo as ez
from enerv_zoo.fitting.loggers import TensorBoard

TINY = ("--model", "nerv", "--size", "60K", "--frames", "0:3", "--resize", "64x36", "--batch-size", 3, "--no-report")


def test_epochs_are_kept_and_logged(tmp_path, cli, monkeypatch):
    pytest.importorskip("tensorboard")
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = tmp_path / "run"
    asked = ("--epochs", 4, "--eval-every", 2, "--keep", "1,4", "--log", "tensorboard,wandb")
    code, _, error = cli("fit", "bunny", "--out", run, *TINY, *asked)
    assert code == 0, error
    rows = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    first, last, video = (ez.load(path) for path in (run / "epoch-1", run / "epoch-4", run))
    for name, tensor in video.state_dict().items():
        assert torch.equal(last.state_dict()[name], tensor)
    assert any(not torch.equal(first.state_dict()[name], tensor) for name, tensor in video.state_dict().items())
    assert not (run / "epoch-2").exists()

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "log")).Reload()
    for name in ("loss", "psnr", "lr"):
        logged = [(event.step, event.value) for event in events.Scalars(f"fit/{name}")]
        assert logged == [(row["epoch"], pytest.approx(row[name], rel=1e-5)) for row in rows]
    steps = [event.step for event in events.Scalars("evaluation/psnr")]
    assert steps == [2, 4, 4], "every second epoch, and at the end"
    (file,) = (run / "log").glob("wandb/offline-run-*/run-*.wandb")
    assert file.stat().st_size > 1000
    for option, message in (
        (("--keep", "0"), "count from 1, got 0"),
        (("--keep", "x"), "epochs such as 10,100, got 'x'"),
        (("--log", "paper"), "expected tensorboard or wandb, got 'paper'"),
    ):
        assert message in cli("fit", "bunny", "--out", tmp_path / "no", *TINY, *option)[2]
    assert not (tmp_path / "no").exists()


def test_a_fit_that_goes_on_to_its_last_measurement_erases_no_epoch(tmp_path):
    pytest.importorskip("tensorboard")
    begun, sent = [], []

    class Writer:
        def __init__(self, folder, purge_step):
            begun.append(purge_step)

        def add_scalar(self, name, value, step):
            sent.append((name, step))

        def flush(self):
            pass

    logger = TensorBoard(tmp_path)
    logger._make = Writer
    ranks = SimpleNamespace(first=True)
    logger.on_evaluation(SimpleNamespace(ranks=ranks, epochs_before=4, epoch=2), {"psnr": 30.0})
    assert (begun, sent) == ([7], [("evaluation/psnr", 6)])


def test_features_are_the_maps_between_the_parts():
    info = ez.VideoInfo(frames=4, height=36, width=64)
    video = ez.create_model("enerv", info=info, size="60K").eval()
    index = torch.tensor([0.0, 2.5])
    maps = video.features(index)
    assert [name for name in maps if name.startswith("stages")] == [f"stages.{i}" for i in range(len(video.stages))]
    assert {name.removeprefix("embeddings.") for name in maps if name.startswith("emb")} == set(video.config.embeddings)
    assert [maps[f"stages.{i}"].shape[1] for i in range(len(video.stages))] == list(video.config.channels[1:])
    again = video.stages[1](maps["stages.0"], {name: maps[f"embeddings.{name}"] for name in video._steering}, "float32")
    torch.testing.assert_close(again, maps["stages.1"])
    maps["stages.0"].sum().backward()
    assert any(parameter.grad is not None for parameter in video.parameters())
    assert not any(module._forward_hooks for module in video.modules())
    with pytest.raises(ez.FrameError, match="tensor of indices"):
        video.features(3)
