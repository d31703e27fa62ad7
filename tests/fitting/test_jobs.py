"""Many fits on one path: what identifies a job, what is done again and what is not, here and in another process."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import pickle
import shutil
import signal
import weakref
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import enerv_zoo as ez
from enerv_zoo.batch import FitJob, compare, job_of, jobs, run_here, run_job
from enerv_zoo.errors import ConfigError, FitError, VideoError
from enerv_zoo.fitting import run
from enerv_zoo.fitting.plan import plan_fit
from enerv_zoo.storage.record import METRICS
from enerv_zoo.video.identity import digest
from enerv_zoo.video.samples import SAMPLES

OPTIONS = {"size": "60K", "epochs": 2, "batch_size": 3, "frames": "0:3", "resize": "64x36"}


def job(name="fit", source="bunny", model="nerv", **options) -> FitJob:
    return job_of(name, source, plan_fit(source, model, device="cpu", **{**OPTIONS, **options}))


def edges(prediction, target):
    """A loss of one's own."""
    return (prediction.diff(dim=-1) - target.diff(dim=-1)).abs().mean()


def weights(folder):
    return ez.load(folder).state_dict()


def same(a, b):
    return all(torch.equal(a[key], b[key]) for key in a) and a.keys() == b.keys()


def test_an_id_is_of_contents_and_recipe_alone(tmp_path):
    clip = Path(shutil.copy(SAMPLES["bunny"].path, tmp_path / "clip.mp4"))
    here = job().id
    assert len(here) == 32
    assert here == job("another").id == job(source=str(clip)).id
    assert here == replace(job(), frames_in="disk").id
    others = [job(model="enerv"), job(epochs=3), job(frames="1:4"), job(size="70K"), job(seed=1)]
    assert len({here, *(other.id for other in others)}) == 6
    before = job(source=str(clip)).id
    clip.write_bytes(clip.read_bytes() + b"\0")
    assert job(source=str(clip)).id != before


def test_a_digest_is_of_contents_wherever_they_lie(tmp_path):
    video = ez.open_video("bunny", frames="0:3", resize="64x36")
    plain = video.frames.contiguous()
    assert digest(video) == digest(video.frames) == digest(plain) == digest(plain.numpy())
    changed = plain.clone()
    changed[1, 2, 3, 4] ^= 1
    assert digest(changed) != digest(plain)
    assert digest(plain.numpy().astype(np.float32)) != digest(plain)
    ez.write_video(tmp_path / "frames", video)
    told = digest(tmp_path / "frames")
    assert told == digest(shutil.copytree(tmp_path / "frames", tmp_path / "moved"))
    first, second = sorted((tmp_path / "moved").iterdir())[:2]
    first.rename(tmp_path / "aside")
    second.rename(first)
    (tmp_path / "aside").rename(second)
    assert digest(tmp_path / "moved") != told
    with pytest.raises(VideoError, match="no such file or folder"):
        digest(tmp_path / "missing.mp4")


def test_jobs_travel():
    plain = job()
    assert pickle.loads(pickle.dumps(plain)) == plain
    own = pickle.loads(pickle.dumps(job(loss=edges)))
    assert own.loss is edges
    assert own.id != plain.id
    video = ez.open_video("bunny", **{key: OPTIONS[key] for key in ("frames", "resize")})
    array = job(source=video.frames, frames=None, resize=None)
    assert pickle.loads(pickle.dumps(array)).id == array.id


def test_one_that_fails_does_not_end_the_others_and_is_tried_again(tmp_path):
    missing = tmp_path / "later.mp4"
    todo = [job("first"), job("failing", source=str(missing)), job("last")]
    outcomes = list(run_here(todo, tmp_path / "out", device="cpu"))
    assert [(o.name, o.fitting, o.metrics is None) for o in outcomes] == [
        ("first", "fit", False),
        ("failing", "nothing", True),
        ("last", "fit", False),
    ]
    assert "later.mp4" in outcomes[1].error
    assert "no such file or folder" in outcomes[1].error
    shutil.copy(SAMPLES["bunny"].path, missing)
    todo[1] = job("failing", source=str(missing))
    begun = []
    again = list(run_here(todo, tmp_path / "out", device="cpu", on_fit=begun.append))
    assert begun == ["failing"]
    assert [o.fitting for o in again] == ["nothing", "fit", "nothing"]
    assert again[0].metrics == outcomes[0].metrics == json.loads((tmp_path / "out/first" / METRICS).read_text())
    assert again[1].error is None


def test_a_loss_of_ones_own_is_what_a_job_fits_with(tmp_path):
    outcome = run_job(job("own", loss=edges, epochs=1), tmp_path, "cpu")
    assert outcome.error is None
    assert json.loads((tmp_path / "own" / "fit.json").read_text())["fit"]["loss"] == f"{__name__}.edges"


def test_a_folder_that_was_fitted_otherwise_is_refused(tmp_path):
    assert run_job(job(epochs=1), tmp_path, "cpu").error is None
    before = weights(tmp_path / "fit")
    assert "holds a fit with another recipe: epochs was" in run_job(job(epochs=2), tmp_path, "cpu").error
    assert same(before, weights(tmp_path / "fit"))
    (tmp_path / "fit" / "fit.json").unlink()
    assert "without the record of its fit" in run_job(job(epochs=1), tmp_path, "cpu").error


def test_what_cannot_be_done_is_refused_before_anything_is(tmp_path):
    with pytest.raises(ConfigError, match=r"two fits would be called 'fit'"):
        list(run_here([job(), job(epochs=3)], tmp_path / "out", device="cpu"))
    with pytest.raises(FitError, match="device must be auto, cpu, cuda"):
        list(run_here([job()], tmp_path / "out", device="tpu"))
    with pytest.raises(ConfigError, match="model 'nerv' has no option 'fc'"):
        job(model_options={"fc": 3})
    with pytest.raises(ConfigError, match=r"unknown model 'nerf'\. Did you mean 'nerv'"):
        job(model="nerf")
    assert not (tmp_path / "out").exists()


def killed(job, out):
    """Do a job, and be killed when its weights are written and its numbers are not."""
    write_json = run.write_json

    def cut(path, data):
        if path.name == METRICS:
            os.kill(os.getpid(), signal.SIGKILL)
        write_json(path, data)

    run.write_json = cut
    run_job(job, out, "cpu")


@pytest.fixture(scope="module")
def processes():
    """Processes that share their imports, and no threads with this one."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["enerv_zoo.batch", "timm.optim", "timm.scheduler", "torch._dynamo", "matplotlib.figure"]
    )
    return context


def test_a_process_killed_between_weights_and_numbers_is_made_up_for(tmp_path, processes):
    process = processes.Process(target=killed, args=(job(), tmp_path), daemon=True)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert (tmp_path / "fit" / "model.safetensors").exists()
    assert not (tmp_path / "fit" / METRICS).exists()
    outcome = run_job(job(), tmp_path, "cpu")
    assert (outcome.fitting, outcome.error, outcome.metrics["epochs"]) == ("resume", None, 2)
    assert run_job(job(), tmp_path, "cpu").fitting == "nothing"
    assert run_job(job("whole"), tmp_path, "cpu").metrics["psnr"] == pytest.approx(outcome.metrics["psnr"], abs=0.05)


def test_what_a_job_leaves_in_a_cycle_is_gone_before_the_next(tmp_path):
    class Cycle:
        pass

    def leaving(prediction, target):
        cycle = Cycle()
        cycle.itself, cycle.tensor = cycle, prediction
        left.append(weakref.ref(cycle))
        return (prediction - target).abs().mean()

    left = []
    gc.disable()
    try:
        assert run_job(job(loss=leaving), tmp_path, "cpu").error is None
    finally:
        gc.enable()
    assert left
    assert all(cycle() is None for cycle in left)


def test_another_process_can_do_the_fits(tmp_path, processes):
    def elsewhere(jobs, out, *, device="auto", on_fit=lambda name: None):
        """A runner that gives outcomes as they end, not in the order of their jobs."""
        with ProcessPoolExecutor(1, mp_context=processes) as pool:
            for done in as_completed([pool.submit(run_job, job, out, device) for job in reversed(jobs)]):
                yield done.result()

    options = {**OPTIONS, "device": "cpu", "out": tmp_path}
    results = compare("bunny", ["nerv", "enerv"], runner=elsewhere, **options)
    assert list(results) == ["nerv", "enerv"]
    assert compare("bunny", ["nerv", "enerv"], runner=run_here, **options) == results


def test_an_interruption_is_no_failure(tmp_path, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(jobs, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(run_here([job(), job("other")], tmp_path, device="cpu"))
