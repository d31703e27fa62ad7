"""Many fits by processes on this machine: same bits, killed workers, interruptions; nothing waits for a clock."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import enerv_zoo as ez
from enerv_zoo.batch import FitJob, WorkerPool, job_of, pool, run_here
from enerv_zoo.batch.progress import Task
from enerv_zoo.errors import ConfigError
from enerv_zoo.fitting.checkpoint import CHECKPOINT
from enerv_zoo.fitting.plan import plan_fit
from enerv_zoo.storage.folder import WEIGHTS

OPTIONS = {"size": "60K", "epochs": 2, "batch_size": 3, "frames": "0:3", "resize": "64x36"}


def job(name="fit", source="bunny", **options) -> FitJob:
    return job_of(name, source, plan_fit(source, "nerv", device="cpu", **{**OPTIONS, **options}))


def own_pool(workers=1, **options) -> WorkerPool:
    """A pool whose workers sum in the order of this process."""
    return WorkerPool(workers, threads=torch.get_num_threads(), **options)


def ends_its_process(prediction, target):
    """A loss with which no worker survives."""
    os.kill(os.getpid(), signal.SIGKILL)


def kills_once(prediction, target):
    """A loss that ends its process by SIGKILL once a checkpoint is there, the first time."""
    if Path("killed").exists() or not Path("out/fit", CHECKPOINT).exists():
        return (prediction - target).abs().mean()
    Path("killed").touch()
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def gentle(prediction, target):
    """What `kills_once` is where it does not kill."""
    return (prediction - target).abs().mean()


def test_bits_are_those_of_this_process_and_nothing_is_done_twice(tmp_path):
    missing = job("missing", source=str(tmp_path / "missing.mp4"))
    jobs = [job("first"), missing, job("second", seed=1)]
    here = {outcome.name: outcome for outcome in run_here(jobs, tmp_path / "here", device="cpu")}
    with own_pool(2) as pool:
        there = {outcome.name: outcome for outcome in pool(jobs, tmp_path / "there", device="cpu")}
        again = {outcome.name: outcome for outcome in pool(jobs, tmp_path / "there", device="cpu")}
        assert pool.status is not None
        assert (pool.status.done, pool.status.failed, pool.status.lost) == (2, 1, 0)
    for name in ("first", "second"):
        assert (tmp_path / "here" / name / WEIGHTS).read_bytes() == (tmp_path / "there" / name / WEIGHTS).read_bytes()
        assert (there[name].fitting, again[name].fitting) == ("fit", "nothing")
        assert there[name].metrics["psnr"] == here[name].metrics["psnr"]
        assert there[name].seconds > 0
    assert "no such file or folder" in there["missing"].error


def test_a_killed_worker_is_replaced_and_its_fit_goes_on_to_the_same_bits(tmp_path):
    def fit(loss):
        return job(epochs=6, checkpoint_every=0, loss=loss)

    (alone,) = run_here([fit(gentle)], tmp_path / "alone", device="cpu")
    assert alone.error is None
    with own_pool() as pool:
        (outcome,) = pool([fit(kills_once)], tmp_path / "out", device="cpu")
        assert pool.status is not None
        assert pool.status.lost == 1
    assert (outcome.error, outcome.fitting, outcome.attempts) == (None, "resume", 2)
    assert (tmp_path / "killed").exists()
    assert (tmp_path / "out/fit" / WEIGHTS).read_bytes() == (tmp_path / "alone/fit" / WEIGHTS).read_bytes()
    assert not (tmp_path / "out/fit" / CHECKPOINT).exists()


def test_what_cannot_be_sent_or_kills_its_workers_fails_alone(tmp_path):
    local = job("local", loss=lambda prediction, target: (prediction - target).abs().mean())
    with own_pool(attempts=2) as pool:
        jobs = [local, job("deadly", loss=ends_its_process), job("other")]
        outcomes = {outcome.name: outcome for outcome in pool(jobs, tmp_path / "out", device="cpu")}
    assert "cannot be sent to another process" in outcomes["local"].error
    assert outcomes["deadly"].error == "its worker was lost 2 times (exit code -9); given up"
    assert (outcomes["deadly"].attempts, outcomes["other"].error) == (2, None)


def add(a: int, b: int) -> int:
    if b == 0:
        raise ValueError("nothing\nto add")
    return a + b


def test_a_function_is_called_by_workers():
    with own_pool() as pool:
        assert sorted(pool.map(add, {"a": (1, 2), "b": (3, 0)})) == [("a", 3, None), ("b", None, "nothing to add")]


def test_a_result_that_nobody_waits_for_stops_its_fit_with_a_checkpoint(tmp_path, monkeypatch):
    """The pool is left, as by Ctrl-C, while a fit without end runs: it ends after its step, and goes on later."""
    monkeypatch.setattr(pool, "LOOK_EVERY", 0.01)
    endless = job(epochs=1_000_000, checkpoint_every=1e9)

    def interrupted(status):
        if status.running and status.running[0].progress > 0:
            raise KeyboardInterrupt

    with own_pool(on_update=interrupted) as workers:
        with pytest.raises(KeyboardInterrupt):
            list(workers([endless], tmp_path / "out", device="cpu"))
        assert multiprocessing.active_children() == []
    assert (tmp_path / "out/fit" / CHECKPOINT).exists()  # no other one was due
    assert not (tmp_path / "out/fit" / WEIGHTS).exists()
    assert [path.name for path in (tmp_path / "out/fit").glob(".*")] == []  # no lock, nothing half-written


PARENT = """
import os, signal, sys
from enerv_zoo.batch import WorkerPool, job_of
from enerv_zoo.fitting.plan import plan_fit

if __name__ == "__main__":
    options = {"size": "60K", "epochs": 1_000_000, "batch_size": 3, "frames": "0:3", "resize": "64x36"}
    job = job_of("fit", "bunny", plan_fit("bunny", "nerv", device="cpu", checkpoint_every=1e9, **options))

    def ended(status):
        if status.running and status.running[0].progress > 0:
            os.kill(os.getpid(), signal.SIGKILL)

    with WorkerPool(1, on_update=ended) as pool:
        list(pool([job], "out", device="cpu"))
"""


@pytest.mark.skipif(not hasattr(os, "setsid"), reason="a process that was killed leaves no code")
def test_workers_end_with_the_process_that_started_them_and_keep_what_they_did(tmp_path):
    (tmp_path / "parent.py").write_text(PARENT)
    environment = {**os.environ, "PYTHONPATH": str(Path(ez.__file__).parents[1])}
    parent = subprocess.Popen([sys.executable, "parent.py"], stdout=subprocess.PIPE, text=True, env=environment)
    assert parent.stdout is not None
    parent.stdout.read()  # until the worker, which has it too, is gone
    assert parent.wait() == -signal.SIGKILL
    assert (tmp_path / "out/fit" / CHECKPOINT).exists()  # no other one was due


def test_each_gpu_has_one_worker(monkeypatch):
    """Of two GPUs that this process may use, workers take the first that is free, and a third one shares."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    gpus = WorkerPool()
    gpus.device = "cuda"
    assert gpus.room() == 2
    assert [gpus.environment_of(place)["CUDA_VISIBLE_DEVICES"] for place in range(3)] == ["4", "7", "4"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert [gpus.environment_of(place)["CUDA_VISIBLE_DEVICES"] for place in range(2)] == ["0", "1"]


def test_a_worker_has_one_task_and_its_place_is_taken_again(monkeypatch):
    """As many tasks as places are out at once, and the worker that replaces a lost one has its place."""
    with WorkerPool(2, threads=1) as workers:
        tasks = [Task(str(number), add, (number, 1), 1.0) for number in range(2)]
        first, second = (workers.begin(task) for task in tasks)
        assert (first.place, second.place) == (0, 1)
        first.process.kill()
        first.process.join()
        running = dict(zip((first, second), tasks, strict=True))
        answers = {}
        while len(answers) < 2:
            for worker, answer in workers.wait(running):
                del running[worker]
                answers[worker] = answer
        assert answers[first].lost == "exit code -9"
        assert answers[second].value == 2
        assert workers.begin(tasks[0]) is second
        assert workers.begin(tasks[1]).place == 0


def test_cores_are_shared_out(monkeypatch):
    monkeypatch.setattr(pool, "available_cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    threads = [WorkerPool(workers).environment_of(0)["OMP_NUM_THREADS"] for workers in (None, 1, 3, 99)]
    assert threads == ["1", "8", "2", "1"]
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert WorkerPool(2).environment_of(0)["OMP_NUM_THREADS"] == "5"
    assert WorkerPool(2, threads=3).environment_of(0)["OMP_NUM_THREADS"] == "3"


def test_what_cannot_be_is_refused_before_a_process_is_started(tmp_path):
    for options in ({"workers": 0}, {"threads": 0}, {"attempts": 0}):
        with pytest.raises(ConfigError, match="above 0"):
            WorkerPool(**options)
    workers = WorkerPool(1)
    with pytest.raises(ConfigError, match="two fits would be called 'fit'"):
        list(workers([job(), job()], tmp_path, device="cpu"))
    with pytest.raises(ConfigError, match="only a Ray cluster fits into an address"):
        list(workers([job()], "s3://bucket/fits", device="cpu"))
    assert multiprocessing.active_children() == []


def test_the_command_line_has_workers(tmp_path, cli):
    """A manifest with a video in segments, a comparison and a film in segments, all by workers."""
    tiny = {"frames": "0:4", "resize": "64x36", "fit": {"epochs": 1, "batch_size": 2}, "size": "60K", "model": "nerv"}
    entries = [{"video": "bunny", "seeds": [0, 1], **tiny}, {"video": "bunny", "segments": 2, "name": "long", **tiny}]
    Path("zoo.yaml").write_text(json.dumps({"format": 2, "fits": entries}))
    code, out, _ = cli("batch", "zoo.yaml", "--workers", 1, "--out", "zoo", "--device", "cpu", "--json")
    result = json.loads(out)
    assert (code, result["failed"], result["lost"]) == (0, 0, 0)
    assert [row["name"] for row in result["fits"]] == [
        "bunny-nerv-60k-seed0", "bunny-nerv-60k-seed1", "long", "long/segment-00000", "long/segment-00001",
    ]  # fmt: skip
    assert {row["fitting"] for row in result["fits"] if "/" in row["name"]} == {"fit"}
    assert len(ez.load("zoo/long")) == 4
    assert Path("zoo/report.html").is_file()
    code, out, _ = cli("batch", "zoo.yaml", "--dry-run", "--out", "zoo", "--json")
    assert [row["fitting"] for row in json.loads(out)] == ["nothing"] * 3

    few = ("--frames", "0:4", "--resize", "64x36", "--size", "60K", "--epochs", "1", "--batch-size", "2")
    cut = ("fit", "bunny", "--model", "nerv", "--segments", 2, "--out", "cut", "--no-report", "--workers", 1, "--json")
    code, out, _ = cli(*cut, *few, "--device", "cpu")
    assert (code, json.loads(out)["segments"]) == (0, 2)
    assert cli("batch", "zoo.yaml", "--workers", 2, "--address", "local")[0] == 2
    assert cli("fit", "bunny", "--workers", 2)[0] == 2


def test_what_is_not_there_is_told_by_a_rehearsal_and_counted_once(tmp_path, monkeypatch, cli):
    """Segments and pushes are no fits of their own in the counts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    common = "nerv,20K,1,0:6,64x36,2"
    rows = ["video,model,size,epochs,frames,resize,format,segments,name"]
    rows += [f"bunny,{common},,one", f"bunny,{common},3,parts", f"nothere.mp4,{common},,missing"]
    Path("clips.csv").write_text("\n".join(rows) + "\n")
    code, out, _ = cli("batch", "clips.csv", "--dry-run", "--json")
    assert [bool(row["error"]) for row in json.loads(out)] == [False, False, True]
    assert "nothere.mp4" in json.loads(out)[2]["error"]
    code, out, err = cli("batch", "clips.csv", "--out", "out")
    assert code == 1
    assert "2 of 3 done" in out
    assert "1 of 3 failed, first missing" in err
    assert "attempts" not in out
    assert max(len(line) for line in out.splitlines() if line.startswith(" ")) <= 80


def test_a_rehearsal_looks_at_the_options_of_segments_too_and_knows_the_home_folder(tmp_path, monkeypatch, cli):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    tiny = {"video": "bunny", "model": "nerv", "size": "20K", "frames": "0:4", "resize": "64x36", "segments": 2}
    rows = []
    for epochs in (1, 2):
        Path("zoo.yaml").write_text(json.dumps({"format": 2, "fits": [{**tiny, "fit": {"epochs": epochs}}]}))
        if epochs == 1:
            assert cli("batch", "zoo.yaml", "--out=~/zoo", "--device", "cpu")[0] == 0
        rows += json.loads(cli("batch", "zoo.yaml", "--out=~/zoo", "--dry-run", "--json")[1])
    assert (rows[0]["fitting"], rows[0]["error"]) == ("nothing", None)
    assert "epochs was 1, now it is 2" in rows[1]["error"]
