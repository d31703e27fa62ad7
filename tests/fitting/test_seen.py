"""Masks, hold-outs and references: what is hidden or held out never comes into a network, and is scored apart."""

from __future__ import annotations

import csv
import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image

import enerv_zoo as ez
from enerv_zoo.batch.segments import SegmentsJob
from enerv_zoo.errors import ConfigError, FitError, VideoError
from enerv_zoo.fitting.folder import read_report
from enerv_zoo.fitting.plan import plan_fit
from enerv_zoo.hub.card import card
from enerv_zoo.losses import build_loss
from enerv_zoo.storage import open_run
from enerv_zoo.storage.record import check_record, publish_record
from enerv_zoo.storage.segments import Segment, SegmentsDescription
from enerv_zoo.video.seen import read_mask, restricted, seen_frames

SIDES = (48, 80)
FIT = {"resize": "40x24", "epochs": 1, "batch_size": 2, "lr": 5e-3, "precision": "float32", "fit_frames": "::2"}
NETWORKS = {
    "pca_nerv": {"width": 9, "channels": 2},  # a closed-form start
    "dnerv": {"fc_dim": 6, "lower_width": 4},  # encoders that look at neighbours, too
    "ffnerv": {"fc_dim": 6, "lower_width": 4},  # neighbours' frames in the head, three outputs
    "hnerv_latent": {"fc_dim": 6, "lower_width": 4},
}


def noise(*shape, seed=1):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def clip():
    return ez.open_video("bunny", frames="0:7", resize=SIDES).frames.contiguous()


@pytest.fixture(scope="module")
def mask():
    """A hole that moves, and one that stays."""
    weights = torch.full((7, *SIDES), 255, dtype=torch.uint8)
    for index in range(7):
        weights[index, 5:15, 8 * index : 8 * index + 12] = 0
    weights[:, 30:41, 33:50] = 0
    return weights


@pytest.fixture(scope="module")
def other(clip, mask):
    """The clip with other contents where nothing is to be seen."""
    changed = torch.where(mask[:, None] == 0, noise(*clip.shape), clip)
    changed[1::2] = noise(3, 3, *SIDES, seed=2)
    return changed


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.parametrize("model", NETWORKS)
def test_nothing_that_is_hidden_or_held_out_comes_into_the_weights(clip, mask, other, model):
    options = {key: value for key, value in NETWORKS[model].items() if key in ez.registry.models.options(model)}
    first, second = (ez.fit(each, model, model_options=options, mask=mask, **FIT) for each in (clip, other))
    assert same(first.video, second.video)
    assert [row["loss"] for row in first.history] == [row["loss"] for row in second.history]
    scores = first.report.scores
    assert {*scores} >= {"psnr_seen", "psnr_hidden", "psnr_fitted", "psnr_unseen", "ms_ssim_unseen"}
    assert [row.unseen for row in first.report.frames] == [False, True] * 3 + [False]
    unseen = [row.psnr for row in first.report.frames if row.unseen]
    assert scores["psnr_unseen"] == pytest.approx(sum(unseen) / 3)
    assert scores["psnr_unseen"] != second.report.scores["psnr_unseen"]  # that of noise
    if model == "pca_nerv":
        cells = first.video.embeddings["grid0"].grids[0]
        torch.testing.assert_close(cells[3], (cells[2] + cells[4]) / 2)


@pytest.mark.parametrize("loss", ["L1", "L2", "log_mse", "SSIM", "frequency", {"name": "MS_SSIM", "window": 3}])
def test_every_loss_takes_weights(loss):
    info = ez.VideoInfo(frames=2, height=40, width=50)
    video = ez.create_model("nerv", info=info, size="20K").train()
    built, target = build_loss(loss, 40, 50), torch.rand(2, 3, 40, 50)
    weights = (torch.rand(2, 1, 40, 50) > 0.3).float()

    def gradients(target, weights):
        video.zero_grad()
        value, _ = video.objective(torch.arange(2), target, built, None, weights)
        value.backward()
        return value, torch.cat([each.grad.flatten() for each in video.parameters()])

    value, gradient = gradients(target, weights)
    changed, same_gradient = gradients(torch.where(weights > 0, target, torch.rand(2, 3, 40, 50)), weights)
    assert torch.equal(value, changed)
    assert torch.equal(gradient, same_gradient)
    assert gradient.any()
    whole, full = gradients(target, None)
    ones, half = (gradients(target, torch.full_like(weights, share)) for share in (1.0, 0.5))
    assert torch.equal(ones[0], whole)
    torch.testing.assert_close(ones[1], full)
    torch.testing.assert_close(half[1], full / 2)


def test_what_is_not_seen_is_blended_in_time_then_in_space():
    frames = torch.zeros(5, 3, 16, 16, dtype=torch.uint8)
    frames += torch.tensor([0, 10, 20, 30, 40], dtype=torch.uint8)[:, None, None, None]
    weights = torch.full((5, 16, 16), 255, dtype=torch.uint8)
    weights[1:4, 2, 3] = 0  # seen in the first and the last frame
    weights[:, 8:12, 8:12] = 0  # never seen
    weights[:2, 5, 5] = 0  # seen from the third frame on
    frames[weights[:, None].expand_as(frames) == 0] = 255
    seen, _ = seen_frames(restricted(ez.open_video(frames), weights, "0:5:4"))
    assert seen[:, 0, 2, 3].tolist() == [0, 10, 20, 30, 40]
    assert seen[:, 0, 0, 0].tolist() == [0, 10, 20, 30, 40]
    assert seen[:, 0, 5, 5].tolist() == [40] * 5
    assert seen[0, :3, 8:12, 8:12].max() == 0  # from what is around it
    assert seen[4, :3, 8:12, 8:12].unique().tolist() == [40]
    assert torch.equal(seen[:, 3], weights)


@pytest.mark.parametrize("size", ["40x24", "23x20", "128x96", "80x31"])
def test_a_resized_mask_hides_all_that_hidden_pixels_are_part_of(clip, mask, size):
    hole = torch.where(mask[:, None] == 0, noise(*clip.shape), clip)
    ours, theirs = (ez.open_video(each, crop="64x40", resize=size) for each in (clip, hole))
    weights = read_mask(mask, ours.info, crop="64x40", resize=size)
    changed = (ours.frames != theirs.frames).any(dim=1)
    assert changed.any()
    assert not weights[changed].any()
    assert (weights == 255).float().mean() > 0.2


def test_masks_of_every_kind(tmp_path, clip):
    info = ez.open_video(clip).info
    still = np.full(SIDES, 255, np.uint8)
    still[10:20, 10:20] = 0
    Image.fromarray(still).save(tmp_path / "mask.png")
    Image.fromarray(still).save(tmp_path / "mask.jpg", quality=30)
    expected = torch.from_numpy(still)[None]
    assert torch.equal(read_mask(tmp_path / "mask.png", info), expected)
    assert torch.equal(read_mask(tmp_path / "mask.png", info, frames="3:6"), expected)  # a still is for all
    assert torch.equal(read_mask(still > 0, info), expected)
    assert torch.equal(read_mask(torch.from_numpy(still) > 0, info), expected)
    assert set(read_mask(tmp_path / "mask.jpg", info)[0, :8, :8].unique().tolist()) == {255}
    moving = noise(9, *SIDES)
    for index in range(9):
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(moving[index].numpy()).save(tmp_path / "masks" / f"{index}.png")
    weights = read_mask(tmp_path / "masks", info, frames="2:9")
    assert torch.equal(weights[0] > 127, moving[2] > 127)
    for broken, message in ((still[:20], "80x20, which does not become 80x48"), (moving[:4], "4 frames")):
        with pytest.raises(VideoError, match=message):
            read_mask(broken, info)
    with pytest.raises(VideoError, match="hides every pixel"):
        restricted(ez.open_video(clip), np.zeros(SIDES, np.uint8))
    with pytest.raises(VideoError, match="reaches beyond"):
        restricted(ez.open_video(clip), fit_frames="9:")


def test_files_of_a_fit_of_a_noisy_masked_clip(tmp_path, clip, mask, cli):
    noisy = (clip.short() + noise(*clip.shape) % 40 - 20).clamp(0, 255).byte()
    for name, frames in (("noisy", noisy), ("clean", clip)):
        ez.write_video(tmp_path / name, frames)
    Image.fromarray(mask[0].numpy()).save("mask.png")
    command = ["fit", "noisy", "--model", "pca_nerv", "--set", "width=9", "--set", "channels=2", "--resize", "40x24",
               "--epochs", 2, "--batch-size", 4, "--out", "run", "--no-report", "--fit-frames", "::2",
               "--mask", "mask.png", "--reference", "clean"]  # fmt: skip
    code, printed, error = cli(*command)
    assert code == 0, error
    assert "PSNR, hidden pixels" in printed
    record, metrics = (json.loads((tmp_path / "run" / name).read_text()) for name in ("fit.json", "metrics.json"))
    assert record["mask"]["source"] == str(tmp_path / "mask.png")
    assert len(record["mask"]["sha256"]) == 64
    rows = list(csv.DictReader((tmp_path / "run" / "frames.csv").open()))
    assert [row["unseen"] for row in rows] == ["0", "1"] * 3 + ["0"]
    report = read_report(tmp_path / "run")
    assert report.scores == {name: metrics[name] for name in report.scores}
    run, video = open_run("run"), ez.load("run")
    again = ez.evaluate(video, run.originals()(0))
    assert again.scores == pytest.approx(report.scores)
    cleaner = ez.open_video("clean", resize="40x24")
    assert again.psnr == pytest.approx(ez.evaluate(video, cleaner, mask="mask.png", fit_frames="::2").psnr)
    code, printed, error = cli("eval", "run", "--json")
    assert json.loads(printed)["psnr_unseen"] == pytest.approx(metrics["psnr_unseen"])
    text = card(run.description, "user/run", picture=False, clip=None)
    assert "PSNR, unseen frames (dB)" in text
    publish_record(tmp_path / "run", tmp_path / "public" / "fit.json")
    check_record(tmp_path / "public")
    with pytest.raises(ConfigError, match="names 'mask'"):
        check_record(tmp_path / "run") if record["source"] is None else _check_without_source(tmp_path, record)
    assert cli(*command, "--resume")[0] == 0
    Image.fromarray(mask[3].numpy()).save("mask.png")
    code, _, error = cli(*command, "--resume")
    assert code != 0
    assert "another mask" in error
    code, _, error = cli(*command[:-4], "--reference", "clean", "--resume")
    assert "another mask" in error


def _check_without_source(folder, record):
    (folder / "stripped").mkdir()
    (folder / "stripped" / "fit.json").write_text(json.dumps({**record, "source": None}))
    check_record(folder / "stripped")


def test_a_masked_fit_goes_on_to_the_same_bits_and_is_tuned_without_what_is_hidden(tmp_path, clip, mask, other):
    Image.fromarray(mask[0].numpy()).save("mask.png")
    own = torch.where(mask[:1, None] == 0, other, clip)
    options = {**FIT, "model": "pca_nerv", "model_options": NETWORKS["pca_nerv"], "mask": "mask.png", "epochs": 3}

    class Stop(ez.Callback):
        def on_epoch(self, fitter, row):
            if fitter.current_epoch == 2:
                raise KeyboardInterrupt
            return True

    whole = ez.fit(clip, **options, out="whole")
    with pytest.raises(KeyboardInterrupt):
        ez.fit(clip, **options, out="run", callbacks=[Stop()], checkpoint_every=0)
    assert same(ez.fit(clip, **options, out="run", checkpoint_every=0, resume=True).video, whole.video)
    tuned = [
        ez.compress("whole", f"{number}.nvz", data=frames, tune_epochs=1, measure=False).path.read_bytes()
        for number, frames in enumerate((clip, torch.cat([own[:1], noise(1, 3, *SIDES), own[2:]])))
    ]
    assert tuned[0] == tuned[1]


def test_segments_fit_their_part_of_the_frames():
    plan = plan_fit("bunny", "pca_nerv", epochs=1, fit_frames="1::3", mask="mask.png", device="cpu")
    info = ez.VideoInfo(frames=20, height=36, width=64)
    job = SegmentsJob("", "bunny", plan, "2")
    parts = job.jobs(SegmentsDescription(info, (Segment(0, 9), Segment(9, 11))))
    assert [part.recipe.fit["fit_frames"] for part in parts] == ["1:8:3", "1:11:3"]  # 1, 4, 7, 10, ...
    assert {part.mask for part in parts} == {"mask.png"}
    with pytest.raises(FitError, match="leaves segment 1"):
        dataclasses.replace(job, plan=plan_fit("bunny", "pca_nerv", fit_frames="0:5", device="cpu")).jobs(
            SegmentsDescription(info, (Segment(0, 9), Segment(9, 11)))
        )
