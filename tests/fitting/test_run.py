"""Whole fits: folders, recipes, resuming, refusals."""

from __future__ import annotations

import hashlib
import json
import logging
import math

import pytest
import torch

import enerv_zoo as ez
from enerv_zoo.batch import compare
from enerv_zoo.config import FitConfig, Recipe, from_dict
from enerv_zoo.errors import ConfigError, FitError, VideoError
from enerv_zoo.fitting import run
from enerv_zoo.fitting.budget import Ending, TimeBudget
from enerv_zoo.fitting.folder import OURS, REPORT
from enerv_zoo.fitting.frame_loader import FrameLoader
from enerv_zoo.fitting.loop import Fitter
from enerv_zoo.recipes import PRESETS, list_recipes, read_recipe
from enerv_zoo.report.command import fit_command
from enerv_zoo.storage import open_run, read_description
from enerv_zoo.storage.compressed import VIDEO
from enerv_zoo.storage.record import check_selection, publish_record
from enerv_zoo.video import parse_resize
from enerv_zoo.zoo import parse_parameter_count

TINY = {"fc_dim": 8, "block_dim": 16, "mlp_dim": 8, "stem_dim": [16], "lower_width": 6}
LEFT = set(OURS) - {"checkpoint.pt", "checkpoint.previous.pt", REPORT, VIDEO}


@pytest.fixture(scope="module")
def clip():
    return ez.open_video("bunny", frames="0:6", resize="64x36")


def fit(source, **options):
    return ez.fit(source, **{"model_options": TINY, "epochs": 3, "batch_size": 2, "lr": 5e-3, **options})


@pytest.fixture(scope="module")
def fitted(clip, tmp_path_factory):
    return fit(clip, out=tmp_path_factory.mktemp("runs") / "fit", eval_every=2)


def test_a_fit_leaves_its_folder(fitted):
    names = {path.name for path in fitted.folder.iterdir()}
    assert names == LEFT
    metrics = json.loads((fitted.folder / "metrics.json").read_text())
    assert metrics == fitted.metrics
    assert metrics["psnr"] == pytest.approx(ez.evaluate(ez.load(fitted.folder), ez_clip()).psnr, abs=1e-3)
    rows = [json.loads(line) for line in (fitted.folder / "history.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[2]["loss"] < rows[0]["loss"]
    assert "eval_psnr" in rows[1]
    assert rows[2]["eval_psnr"] == pytest.approx(metrics["psnr"], abs=1e-4)


def test_a_fit_records_the_weights_that_it_began_with(fitted, clip, tmp_path):
    digest = hashlib.sha256((fitted.folder / "model.safetensors").read_bytes()).hexdigest()
    began_with = {"source": str(fitted.folder), "sha256": digest}
    runs = {"init_from": fitted.folder, "epochs": 1, "out": tmp_path / "next"}
    fit(clip, **runs)
    assert json.loads((tmp_path / "next" / "fit.json").read_text())["init_from"] == began_with
    fit(clip, **{**runs, "init_from": None, "epochs": 2}, resume=True)  # which goes on, and needs them no more
    record = json.loads((tmp_path / "next" / "fit.json").read_text())
    assert (record["init_from"], record["fit"]["phases"]) == (began_with, [{"epochs": 1}])
    assert f" --init-from {fitted.folder.name} " in fit_command(record, "again")
    publish_record(tmp_path / "next", tmp_path / "published.json")
    published = json.loads((tmp_path / "published.json").read_text())
    assert published["init_from"] == {"source": None, "sha256": digest}
    with pytest.raises(ConfigError, match="names 'init_from'"):
        check_selection({**published, "init_from": began_with}, "fit.json")
    ez.fit(clip, fitted.video, epochs=1, out=tmp_path / "same")
    assert json.loads((tmp_path / "same" / "fit.json").read_text())["init_from"] == {"source": None}
    assert "init_from" not in json.loads((fitted.folder / "fit.json").read_text())


def ez_clip():
    return ez.open_video("bunny", frames="0:6", resize="64x36")


def test_a_fits_folder_says_how_it_was_made(fitted):
    description = read_description(fitted.folder)
    assert description.fit == open_run(fitted.folder).fit
    assert {**description.fit.metrics, "recoveries": []} == fitted.metrics  # scalars alone
    assert description.fit.recipe.fit["epochs"] == fitted.metrics["epochs"]


def test_a_fit_learns(clip):
    result = fit(clip, epochs=30, batch_size=3, lr=1e-2)
    assert result.metrics["psnr"] > 17  # its mean colour alone is under 14 dB
    assert result.folder is None


def test_same_seed_same_fit(clip):
    first, again, other = (fit(clip, epochs=1, seed=seed).video.state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_every_epoch_draws_every_frame_once_in_another_order(clip):
    video = ez.create_model("enerv", info=clip.info, **TINY)
    fitter = Fitter(video, FrameLoader(clip.frames), FitConfig(epochs=2, batch_size=4))
    orders = [fitter.order(epoch).tolist() for epoch in range(2)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(6))
    assert orders[0] != orders[1]
    assert fitter.steps == 2


def test_statuses_count_up(clip, monkeypatch):
    monkeypatch.setattr("enerv_zoo.fitting.loop.STATUS_INTERVAL", 0.0)
    statuses = []
    fit(clip, epochs=2, on_status=statuses.append)
    assert [(s.epoch, s.step) for s in statuses] == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)]
    assert statuses[0].seconds_left > statuses[-1].seconds_left == 0


class Cut(Exception):
    """Stands for a process that ends in the middle of an epoch."""


def test_resume_ends_with_the_weights_of_an_uninterrupted_fit(clip, tmp_path, monkeypatch):
    monkeypatch.setattr("enerv_zoo.fitting.loop.STATUS_INTERVAL", 0.0)
    whole = fit(clip, epochs=4, out=tmp_path / "whole", checkpoint_every=0)

    def cut(status):
        if (status.epoch, status.step) == (3, 2):
            raise Cut

    with pytest.raises(Cut):
        fit(clip, epochs=4, out=tmp_path / "cut", checkpoint_every=0, on_status=cut)
    with pytest.raises(FitError, match=r"already holds a fit; resume \(fit --resume\)"):
        fit(clip, epochs=4, out=tmp_path / "cut", checkpoint_every=0)
    with pytest.raises(FitError, match=r"holds a fit with another recipe: epochs was 4, now it is 5\. Repeat"):
        fit(clip, epochs=5, out=tmp_path / "cut", checkpoint_every=0, resume=True)
    with pytest.raises(FitError, match=r"another model: size was not given, now it is '60K'\. Repeat"):
        fit(clip, epochs=4, size="60K", out=tmp_path / "cut", checkpoint_every=0, resume=True)
    resumed = fit(clip, epochs=4, out=tmp_path / "cut", checkpoint_every=0, resume=True)
    ours, theirs = resumed.video.state_dict(), whole.video.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert [row["epoch"] for row in resumed.history] == [1, 2, 3, 4]


def contents(folder):
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


class Interrupt(ez.Callback):
    """Interrupts a fit after so many of its steps, or as its n-th phase begins."""

    def __init__(self, step=None, phase=None):
        self.left, self.phases_left = step, phase

    def on_phase(self, fitter):
        if self.phases_left is not None:
            self.phases_left -= 1
            if self.phases_left == 0:
                raise KeyboardInterrupt

    def on_step(self, fitter):
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt


def interrupted(source, interrupt, **options):
    with pytest.raises(KeyboardInterrupt):
        fit(source, callbacks=[interrupt], **options)
    return fit(source, resume=True, **options)


@pytest.mark.parametrize("phases", [[], [{"epochs": 2, "prune": 0.2}], [{"epochs": 2, "lr": 1e-4}]])
@pytest.mark.parametrize("interrupt", [{"step": 6}, {"step": 9}, {"phase": 2}], ids=str)
def test_wherever_a_fit_is_interrupted_it_ends_as_if_it_had_not_been(clip, tmp_path, phases, interrupt):
    """Also after the last step of a phase (the third epoch has steps 7 to 9), and as the next one begins."""
    if not phases and "phase" in interrupt:
        interrupt = {"phase": 1}
    whole = fit(clip, phases=phases)
    options = {"phases": phases, "out": tmp_path / "fit"}
    cut = interrupted(clip, Interrupt(**interrupt), **options)
    assert [row["epoch"] for row in cut.history] == [row["epoch"] for row in whole.history]
    assert cut.metrics["epochs"] == whole.metrics["epochs"]
    assert all(torch.equal(each, whole.video.state_dict()[name]) for name, each in cut.video.state_dict().items())
    assert fit(clip, resume=True, **options).ended_before


def test_a_fit_without_its_encoder_can_be_interrupted_too(clip, tmp_path):
    """One that goes on after its end has its maps alone."""
    options = {"model": "hnerv", "size": "60K", "model_options": {}, "out": tmp_path / "fit", "loss": "L2"}
    fit(clip, **{**options, "epochs": 1})
    with pytest.raises(KeyboardInterrupt):
        fit(clip, **{**options, "epochs": 3}, resume=True, callbacks=[Interrupt(step=3)])
    on = fit(clip, **{**options, "epochs": 3}, resume=True)
    assert [row["epoch"] for row in on.history] == [1, 2, 3]


def test_a_schedule_of_a_later_phase_is_refused_before_the_first_step(clip, tmp_path):
    steps = Interrupt(step=1)
    with pytest.raises(ConfigError, match="floor is a fraction of the rate from 0 to 1, got 2"):
        fit(clip, phases=[{"epochs": 1, "schedule": {"name": "cosine", "floor": 2.0}}], callbacks=[steps])
    assert steps.left == 1


def test_resume_reads_a_fit_that_has_ended_and_changes_nothing(clip, fitted, caplog):
    before = contents(fitted.folder)
    with caplog.at_level(logging.INFO):
        again = fit(clip, out=fitted.folder, eval_every=2, resume=True)
    assert caplog.messages == [
        f"{fitted.folder}: this fit has ended, there is nothing left to do; overwrite (fit --overwrite) fits anew"
    ]
    assert contents(fitted.folder) == before
    assert again.ended_before
    assert not fitted.ended_before
    assert (again.metrics, again.history, again.report) == (fitted.metrics, fitted.history, fitted.report)
    ours, theirs = again.video.state_dict(), fitted.video.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    with pytest.raises(FitError, match="another recipe: eval_every was 2, now it is 0"):
        fit(clip, out=fitted.folder, resume=True)


def test_resume_begins_where_nothing_has_begun(clip, tmp_path):
    whole = fit(clip)
    begun = fit(clip, out=tmp_path / "new", resume=True)
    assert not begun.ended_before
    assert begun.metrics["epochs"] == 3
    ours, theirs = begun.video.state_dict(), whole.video.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("resume", [False, True])
def test_what_was_stopped_before_its_first_checkpoint_does_not_hold_the_folder(clip, tmp_path, monkeypatch, resume):
    def cut(status):
        raise Cut

    monkeypatch.setattr("enerv_zoo.fitting.loop.STATUS_INTERVAL", 0.0)
    out = tmp_path / "fit"
    with pytest.raises(Cut):
        fit(clip, out=out, on_status=cut)
    (out / ".01234567.checkpoint.pt").write_bytes(b"half")  # as a killed process leaves it
    (out / "mine.txt").write_text("mine")
    assert sorted(path.name for path in out.iterdir()) == [".01234567.checkpoint.pt", "fit.json", "mine.txt"]
    assert fit(clip, epochs=2, out=out, resume=resume).metrics["epochs"] == 2
    assert json.loads((out / "fit.json").read_text())["fit"]["epochs"] == 2
    assert {path.name for path in out.iterdir()} == {"mine.txt", *LEFT}


def test_resume_refuses_a_network_without_a_record(clip, fitted, tmp_path):
    fitted.video.save_pretrained(tmp_path / "imported")
    with pytest.raises(FitError, match=r"imported: holds no record of its fit \(fit\.json\), .*delete the folder"):
        fit(clip, out=tmp_path / "imported", resume=True)


def test_a_state_in_the_middle_of_an_epoch_goes_on_exactly(clip):
    def fitter():
        video = ez.create_model("enerv", info=clip.info, seed=1, **TINY)
        return Fitter(video, FrameLoader(clip.frames), FitConfig(epochs=1, batch_size=2, lr=5e-3))

    whole, first, second = fitter(), fitter(), fitter()
    row = whole.fit_epoch()
    index = first.order(0)[:2]
    first.fit_batch(index, clip.frames[index])
    second.load_state_dict(first.state_dict())
    assert second.fit_epoch()["loss"] == row["loss"]
    assert all(torch.equal(a, b) for a, b in zip(whole.video.parameters(), second.video.parameters(), strict=True))


def test_overwrite_replaces(clip, fitted, tmp_path):
    fit(clip, epochs=1, out=tmp_path / "fit")
    assert fit(clip, epochs=2, out=tmp_path / "fit", overwrite=True).metrics["epochs"] == 2
    with pytest.raises(FitError, match="give one of the two"):
        fit(clip, out=tmp_path / "fit", overwrite=True, resume=True)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"source": "no-such-file.mp4"}, VideoError, "no-such-file.mp4"),
        ({"frames": "0:9"}, VideoError, "6"),
        ({"model": "ennerv", "model_options": {}}, ConfigError, "Did you mean 'enerv'"),
        ({"model_options": {"fcdim": 2}}, ConfigError, "Did you mean 'fc_dim'"),
        ({"epohs": 3}, ConfigError, "Did you mean 'epochs'"),
        ({"loss": "Fusion66"}, ConfigError, "unknown loss 'Fusion66'. Did you mean 'Fusion6'"),
        ({"loss": "Fusion10"}, ConfigError, "MS-SSIM needs both sides longer than 160"),
        ({"optimizer": "adamm"}, ConfigError, "unknown optimizer 'adamm'"),
        ({"recipe": "quik"}, ConfigError, "no recipe 'quik'.*Did you mean 'quick'"),
        ({"recipe": {"modle": {}}}, ConfigError, "Did you mean 'model'"),
        ({"recipe": {"video": {"size": 3}}}, ConfigError, "the video has no option 'size'"),
        ({"device": "tpu"}, FitError, "device must be auto, cpu, cuda"),
    ],
)
def test_bad_input_is_refused_and_leaves_nothing(clip, tmp_path, options, error, message):
    source = options.pop("source", clip)
    with pytest.raises(error, match=message):
        fit(source, out=tmp_path / "fit", **options)
    assert not (tmp_path / "fit").exists()


def test_no_cuda_where_it_was_asked_for(clip, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(FitError, match="no CUDA device"):
        fit(clip, device="cuda")


def test_out_that_is_a_file(clip, tmp_path):
    (tmp_path / "fit").write_text("mine")
    with pytest.raises(FitError, match="is a file"):
        fit(clip, out=tmp_path / "fit")
    assert (tmp_path / "fit").read_text() == "mine"


def test_damaged_checkpoint_is_named(clip, tmp_path):
    fit(clip, epochs=1, out=tmp_path / "fit")
    (tmp_path / "fit" / "model.safetensors").unlink()
    (tmp_path / "fit" / "checkpoint.pt").write_bytes(b"PK junk")
    with pytest.raises(FitError, match=r"checkpoint\.pt damaged, there is no checkpoint to go on from"):
        fit(clip, epochs=1, out=tmp_path / "fit", resume=True)


def test_recipe_is_overruled_by_what_is_given():
    recipe = Recipe(model={"name": "nerv", "size": "1M"}, fit={"epochs": 7, "lr": 1e-3}, video={"resize": "64x36"})
    plan = run.plan_fit("bunny", size="2M", model_options={"act": "relu"}, recipe=recipe, frames="0:2", epochs=9)
    assert plan.model == {"name": "nerv", "size": "2M", "act": "relu"}
    assert (plan.fit.epochs, plan.fit.lr) == (9, 1e-3)
    assert plan.video == {"frames": "0:2", "resize": "64x36"}


@pytest.mark.parametrize("name", list_recipes())
def test_bundled_recipes_describe_networks_that_exist(name):
    recipe = read_recipe(name)
    assert recipe.description
    from_dict(FitConfig, recipe.fit)
    size = recipe.video.get("resize", "auto")
    height, width = parse_resize("1280x720" if size == "auto" else size).size(720, 1280)
    choice = {key: value for key, value in recipe.model.items() if value != "auto"}
    with torch.device("meta"):
        video = ez.NeuralVideo(
            ez.zoo.model_config(choice.pop("name"), ez.VideoInfo(132, height, width), **choice),
            ez.VideoInfo(132, height, width),
        )
    if "size" in choice:
        assert video.stored_numbers == pytest.approx(parse_parameter_count(choice["size"]), rel=0.02)


def test_presets_are_recipes():
    for preset, name in PRESETS.items():
        assert read_recipe(preset) == read_recipe(name)


def test_original_of_a_fit_is_cut_as_it_was(tmp_path):
    fit("bunny", frames="2:4", resize="64x36", crop="1280x640", epochs=1, out=tmp_path / "fit")
    ours = open_run(tmp_path / "fit").original()
    assert torch.equal(ours.frames, ez.open_video("bunny", frames="2:4", crop="1280x640", resize="64x36").frames)
    other = open_run(tmp_path / "fit").original(ez.open_video("bunny", frames="7:10"))
    assert other.frames.shape == (3, 3, 36, 64)


def test_compare_goes_on_with_a_fit_that_ended_before_its_numbers_were_written(clip, tmp_path, monkeypatch):
    options = {"epochs": 1, "batch_size": 3, "size": "60K"}
    write_json = run.write_json

    def cut(path, data):
        if path.name == "metrics.json":
            raise Cut
        write_json(path, data)

    monkeypatch.setattr(run, "write_json", cut)
    with pytest.raises(FitError, match=r"1 of 1 fits failed, first nerv: Cut"):
        compare(clip, ["nerv"], out=tmp_path, **options)
    assert (tmp_path / "nerv" / "model.safetensors").exists()
    monkeypatch.setattr(run, "write_json", write_json)
    assert compare(clip, ["nerv"], out=tmp_path, **options)["nerv"]["epochs"] == 1


def test_compare_fits_all_and_keeps_what_has_ended(clip, tmp_path):
    started = []
    options = {"epochs": 1, "batch_size": 3, "size": "60K"}
    first = compare(clip, ["nerv", "enerv"], out=tmp_path, on_model=started.append, **options)
    assert set(first) == {"nerv", "enerv"}
    again = compare(clip, ["nerv", "enerv"], out=tmp_path, on_model=started.append, **options)
    assert again == first == json.loads((tmp_path / "compare.json").read_text())
    assert started == ["nerv", "enerv"]
    assert (tmp_path / "psnr.png").exists()
    with pytest.raises(FitError, match="epochs"):
        compare(clip, ["nerv"], out=tmp_path, **{**options, "epochs": 2})
    with pytest.raises(ConfigError, match="unknown model 'nerf'"):
        compare(clip, ["nerf"], out=tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_epochs_or_a_time_budget(tmp_path):
    with pytest.raises(ConfigError, match="got epochs=3 and time_budget=9; give one"):
        ez.fit("bunny", epochs=3, time_budget=9, out=tmp_path / "fit")
    assert not (tmp_path / "fit").exists()
    budgeted = run.plan_fit("bunny", recipe="quick", time_budget=9, device="cpu")
    assert (budgeted.fit.epochs, budgeted.fit.time_budget) == (FitConfig().epochs, 9)  # the recipe's are not used
    again = run.plan_fit("bunny", recipe={"fit": {"time_budget": 9}}, epochs=3, device="cpu")
    assert (again.fit.epochs, again.fit.time_budget) == (3, None)


def test_the_record_has_the_batch_that_was_chosen_and_a_fit_goes_on_with_it(clip, tmp_path):
    class Stop(ez.Callback):
        def on_epoch(self, fitter, row):
            raise RuntimeError("stopped")

    options = {"model_options": TINY, "time_budget": 60.0, "loss": "L2", "checkpoint_every": 0, "out": tmp_path / "fit"}
    with pytest.raises(RuntimeError, match="stopped"):
        ez.fit(clip, callbacks=[Stop()], **options)
    record = json.loads((tmp_path / "fit" / "fit.json").read_text())["fit"]
    assert isinstance(record["batch_size"], int)
    with pytest.raises(RuntimeError, match="stopped"):
        ez.fit(clip, callbacks=[Stop()], resume=True, **options)
    assert json.loads((tmp_path / "fit" / "fit.json").read_text())["fit"] == record


def test_a_short_time_budget_measures_as_many_frames_as_it_has_time_for(clip, monkeypatch, caplog):
    budget = TimeBudget(16.0, frames=len(clip), ending=Ending(fixed=2.0, per_frame=1.0))  # the end may take 4 s
    assert budget.measured_every == math.ceil(len(clip) / 4)
    monkeypatch.setattr(TimeBudget, "measured_every", 3)
    with caplog.at_level(logging.INFO):
        result = ez.fit(clip, model_options=TINY, time_budget=0.5, batch_size=4)
    assert result.metrics["frames_measured"] == len(range(0, len(clip), 3))
    assert [row.frame for row in result.report.frames] == list(range(0, len(clip), 3))
    assert "measure frames ::3" in caplog.text


def edges(prediction, target):
    """A loss of one's own: differences between neighbouring pixels."""
    return ((prediction.diff(dim=-1) - target.diff(dim=-1)) ** 2).mean()


def test_a_loss_of_ones_own_is_minimised_and_recorded_by_its_name(tmp_path):
    options = {"frames": "0:3", "resize": "64x36", "size": "90K", "epochs": 4, "batch_size": 1, "lr": 3e-3}
    result = ez.fit("bunny", loss=edges, out=tmp_path / "run", **options)
    losses = [row["loss"] for row in result.history]
    assert losses[-1] < losses[0]
    assert json.loads((tmp_path / "run" / "fit.json").read_text())["fit"]["loss"] == f"{__name__}.edges"
    with pytest.raises(ConfigError, match="unknown loss"):
        ez.fit("bunny", loss=f"{__name__}.edges", **options)
