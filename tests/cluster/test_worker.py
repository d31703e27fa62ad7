"""What workers do, without a cluster: fits that share checkpoints, go on elsewhere, and are never done twice."""

from __future__ import annotations

import json
import shutil
import time

import pytest
import torch

import enerv_zoo as ez
from enerv_zoo.batch import job_of, progress, run_job
from enerv_zoo.batch.segments import SegmentsJob
from enerv_zoo.batch.store import Store
from enerv_zoo.batch.stored_segments import cut, finish
from enerv_zoo.cluster.worker import do, prepare
from enerv_zoo.errors import FitError, VideoError
from enerv_zoo.fitting.checkpoint import CHECKPOINT, load_checkpoint
from enerv_zoo.fitting.plan import plan_fit
from enerv_zoo.storage.folder import WEIGHTS
from enerv_zoo.video.samples import SAMPLES

OPTIONS = {"size": "60K", "epochs": 2, "batch_size": 3, "frames": "0:3", "resize": "64x36"}


def job(name="fit", source="bunny", model="nerv", **options):
    return job_of(name, source, plan_fit(source, model, device="cpu", **{**OPTIONS, **options}))


def weights(folder):
    return ez.load(folder).state_dict()


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


class Killed(BaseException):
    """What ends a worker."""


def killed_after(steps):
    """A `report` that ends the fit after some reports."""
    left = [steps]

    def report(name, facts):
        left[0] -= "psnr" in facts
        if not left[0]:
            raise Killed

    return report


@pytest.fixture
def _every_step(monkeypatch):
    """Statuses, and what workers tell, after every step."""
    monkeypatch.setattr("enerv_zoo.fitting.loop.STATUS_INTERVAL", 0.0)
    monkeypatch.setattr(progress, "REPORT_EVERY", 0.0)


def test_preparing_looks_at_numbers_alone(tmp_path):
    root = str(tmp_path)
    small, large = prepare(job(), root), prepare(job(resize="128x72"), root)
    assert small.id == job().id
    assert small.work == 3 * 36 * 64 * 2
    assert large.memory > small.memory > 60_000 * 16
    with pytest.raises(VideoError, match="no such file"):
        prepare(job(source="missing.mp4"), root)
    assert not list(tmp_path.iterdir())


def test_a_fit_is_that_of_one_machine_and_done_once(tmp_path):
    assert run_job(job(), tmp_path / "here", "cpu").error is None
    outcome = do(job(), job().id, str(tmp_path / "store"), "cpu")
    assert (outcome.fitting, outcome.error, outcome.host is None) == ("fit", None, False)
    folder = tmp_path / "store" / "fit"
    assert same(weights(folder), weights(tmp_path / "here" / "fit"))
    assert {path.name for path in (tmp_path / "here" / "fit").iterdir()} == {p.name for p in folder.iterdir()} - {
        "job.json"
    }
    stamps = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    ended = prepare(job(), str(tmp_path / "store")).ended
    assert (ended.fitting, ended.metrics) == ("nothing", outcome.metrics)
    assert prepare(job(epochs=3), str(tmp_path / "store")).ended is None
    again = do(job(), job().id, str(tmp_path / "store"), "cpu")
    assert (again.fitting, again.metrics) == ("nothing", outcome.metrics)
    assert stamps == {path: path.stat().st_mtime_ns for path in folder.iterdir()}


@pytest.mark.usefixtures("_every_step")
def test_another_worker_goes_on_from_the_checkpoint(tmp_path):
    fit = job(epochs=12, checkpoint_every=0)
    assert run_job(fit, tmp_path, "cpu").error is None
    root = str(tmp_path / "store")
    with pytest.raises(Killed):
        do(fit, fit.id, root, "cpu", report=killed_after(5))
    there = load_checkpoint(tmp_path / "store" / "fit")
    assert len(there["history"]["rows"]) == 3  # the fifth status came before the fifth step was kept
    assert not (tmp_path / "store" / "fit" / WEIGHTS).exists()
    outcome = do(fit, fit.id, root, "cpu")
    assert (outcome.fitting, outcome.error) == ("resume", None)
    assert not (tmp_path / "store" / "fit" / CHECKPOINT).exists()
    assert same(weights(tmp_path / "store" / "fit"), weights(tmp_path / "fit"))


@pytest.mark.usefixtures("_every_step")
def test_checkpoints_are_shared_while_a_fit_runs(tmp_path):
    fit, steps = job(epochs=8, checkpoint_every=0), []

    def report(name, facts):
        steps.extend(facts.keys() & {"psnr"})
        while len(steps) == 3 and not (tmp_path / "store/fit" / CHECKPOINT).exists():  # the first two steps are kept
            time.sleep(0.01)

    assert do(fit, fit.id, str(tmp_path / "store"), "cpu", every=0.05, report=report).error is None
    assert len(steps) == 8


def test_killed_while_results_are_put_counts_as_unfinished(tmp_path, monkeypatch):
    put = Store.put

    def cut_off(self, path, key):
        if key.endswith(WEIGHTS):
            raise Killed
        put(self, path, key)

    root = str(tmp_path / "store")
    with monkeypatch.context() as patch:
        patch.setattr(Store, "put", cut_off)
        with pytest.raises(Killed):
            do(job(), job().id, root, "cpu")
    assert (tmp_path / "store/fit/metrics.json").exists()
    outcome = do(job(), job().id, root, "cpu")
    assert (outcome.fitting, outcome.error) == ("fit", None)  # no checkpoint was shared to go on from
    assert ez.load(tmp_path / "store/fit").info.frames == 3


def test_contents_that_were_fitted_under_another_name_are_copied(tmp_path):
    clip = shutil.copy(SAMPLES["bunny"].path, tmp_path / "mine.mp4")
    root, first, second = str(tmp_path / "store"), job("first"), job("second", source=str(clip))
    assert first.id == second.id
    assert do(first, first.id, root, "cpu").fitting == "fit"
    copied = do(second, second.id, root, "cpu")
    assert (copied.fitting, copied.error) == ("nothing", None)
    assert same(weights(tmp_path / "store/first"), weights(tmp_path / "store/second"))
    assert json.loads((tmp_path / "store/second/fit.json").read_text())["source"] == str(clip)
    assert do(second, second.id, root, "cpu").error is None


def test_a_folder_of_another_job_is_refused(tmp_path):
    clip, root = tmp_path / "clip.mp4", str(tmp_path / "store")
    shutil.copy(SAMPLES["bunny"].path, clip)
    before = job(source=str(clip))
    assert do(before, before.id, root, "cpu").error is None
    clip.write_bytes(clip.read_bytes() + b"\0")
    after = job(source=str(clip))
    assert "holds the fit of another video or recipe" in do(after, after.id, root, "cpu").error
    assert "holds the fit of another" in do(job(epochs=3), job(epochs=3).id, root, "cpu").error


def test_an_index_cannot_name_a_folder_elsewhere(tmp_path):
    root = tmp_path / "store"
    assert do(job("fit"), job().id, str(tmp_path / "outside"), "cpu").error is None
    (root / ".jobs").mkdir(parents=True)
    (root / ".jobs" / f"{job().id}.json").write_text(json.dumps({"name": "../outside/fit"}))
    assert do(job("fit"), job().id, str(root), "cpu").fitting == "fit"


def test_what_fails_says_so(tmp_path):
    bad = job(source="bunny", frames="0:999")
    assert "which has 132 frames" in do(bad, "0" * 32, str(tmp_path), "cpu").error


def test_sizes_are_chosen_once_for_all_segments(tmp_path):
    plan = plan_fit("bunny", recipe="auto", frames="0:24", time_budget=30.0, device="cpu")
    jobs = cut(SegmentsJob("long", "bunny", plan, "2"), str(tmp_path))
    sizes = {(part.recipe.model["size"], part.recipe.video.get("resize")) for part in jobs}
    assert len(sizes) == 1
    assert "auto" not in next(iter(sizes))
    record = json.loads((tmp_path / "long" / "fit.json").read_text())
    assert sizes == {(record["model"]["size"], record["video"].get("resize"))}
    info = ez.open_video("bunny", frames="0:1", resize=record["video"].get("resize")).info
    described = json.loads((tmp_path / "long" / "segments.json").read_text())["video"]
    assert (described["height"], described["width"]) == (info.height, info.width)
    assert cut(SegmentsJob("long", "bunny", plan, "2"), str(tmp_path)) == jobs


def test_a_worker_that_is_lost_loses_no_sound(tmp_path, monkeypatch):
    long = SegmentsJob("long", "bunny", plan_fit("bunny", "nerv", device="cpu", **{**OPTIONS, "frames": "0:50"}), "2")
    put = Store.put

    def lost(self, path, name):
        if name.endswith("sound.mp4"):
            raise Killed
        put(self, path, name)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "put", lost)
        with pytest.raises(Killed):
            cut(long, str(tmp_path))
    cut(long, str(tmp_path))
    assert (tmp_path / "long" / "sound.mp4").is_file()


def test_segments_know_their_video_wherever_they_are_fitted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ez.write_video("clip.mkv", ez.open_video("bunny", frames="0:6", resize="64x36"))
    shutil.copyfile("clip.mkv", "same.mkv")
    options = {**OPTIONS, "frames": "0:6", "resize": None}
    long = SegmentsJob(
        "long", "clip.mkv", plan_fit("clip.mkv", "nerv", device="cpu", reference="same.mkv", **options), "2"
    )
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    jobs = cut(long, str(tmp_path / "store"))
    assert {(part.source, part.reference) for part in jobs} == {
        (str(tmp_path / "clip.mkv"), str(tmp_path / "same.mkv"))
    }
    contents = json.loads((tmp_path / "store" / "long" / "fit.json").read_text())["source_contents"]
    assert contents["bytes"] == (tmp_path / "clip.mkv").stat().st_size


def test_segments_are_jobs_and_become_one_video(tmp_path):
    plan = plan_fit("bunny", "nerv", device="cpu", **{**OPTIONS, "frames": "2:14"})
    long, root = SegmentsJob("long", "bunny", plan, "2"), str(tmp_path / "store")
    jobs = cut(long, root)
    assert [part.name for part in jobs] == ["long/segment-00000", "long/segment-00001"]
    assert [part.recipe.video["frames"] for part in jobs] == ["2:8", "8:14"]
    assert cut(long, root) == jobs
    for part in reversed(jobs):
        assert do(part, part.id, root, "cpu").error is None
    metrics = finish("long", root)
    video = ez.load(tmp_path / "store" / "long")
    assert (len(video), metrics["segments"], metrics["frames"]) == (12, 2, 12)
    given = {**OPTIONS, "frames": "2:14", "segments": 2}
    alone = ez.fit_segments("bunny", "nerv", out=tmp_path / "alone", **given)
    assert same(video.network(1).state_dict(), alone.video.network(1).state_dict())
    assert alone.metrics["psnr"] == metrics["psnr"]
    other = SegmentsJob("long", "bunny", plan, "3")
    with pytest.raises(FitError, match="other segments"):
        cut(other, root)
