"""Clusters of several machines on loopback, and what is killed there; run by test_fleet and by hand.

    python tests/cluster/cluster_scenes.py workers FOLDER    # 200 jobs, workers killed at random
    python tests/cluster/cluster_scenes.py node FOLDER       # a machine is lost with the fits on it
    python tests/cluster/cluster_scenes.py driver FOLDER     # the driver is killed, and another one goes on
    python tests/cluster/cluster_scenes.py remote FOLDER     # the driver is no machine of the cluster

Each prints one JSON object, and fails where a result is missing, double or another than without kills.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import ray
import torch
from ray.cluster_utils import Cluster

from enerv_zoo.batch import job_of, run_job
from enerv_zoo.cluster import Fleet
from enerv_zoo.fitting.checkpoint import CHECKPOINT
from enerv_zoo.fitting.plan import plan_fit
from enerv_zoo.parsing import read_mapping
from enerv_zoo.storage.folder import WEIGHTS

STORE = 100 << 20
"""Bytes of each machine's object store, which holds next to nothing."""


def job(name, **options):
    """A small fit on the bundled clip that shares a checkpoint twice a second."""
    given = {"size": "60K", "epochs": 4, "batch_size": 4, "resize": "64x36", "checkpoint_every": 0.5, **options}
    return job_of(name, "bunny", plan_fit("bunny", "nerv", device="cpu", **given))


def cluster(machines, **head):
    """A head without cores, and machines of one core each."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": STORE, **head})
    return made, [made.add_node(num_cpus=1, object_store_memory=STORE) for _ in range(machines)]


def weights(folder):
    return (folder / WEIGHTS).read_bytes()


def workers(folder, count=200, kills=20):
    """Jobs without number, and workers that die: every result is there once."""
    made, _ = cluster(3)
    chance, killed, last = random.Random(0), [], [time.monotonic()]

    def kill(status):
        if len(killed) < kills and status.running and time.monotonic() - last[0] > 4:
            last[0] = time.monotonic()
            chosen = chance.choice(status.running)
            with suppress(ProcessLookupError):  # what is told may be a second old
                os.kill(chosen.pid, signal.SIGKILL)
                killed.append(chosen.name)

    jobs = [
        job(f"job-{number:03}", seed=number, frames=f"{number % 100}:{number % 100 + 8}") for number in range(count)
    ]
    began = time.monotonic()
    with Fleet(made.address, on_update=kill, checkpoint_every=0.5, attempts=10) as fleet:
        outcomes = list(fleet(jobs, folder / "out"))
        seconds = time.monotonic() - began
        again = list(fleet(jobs, folder / "out"))
    made.shutdown()
    names = [outcome.name for outcome in outcomes]
    assert sorted(names) == sorted(each.name for each in jobs), "each exactly once"
    assert not [outcome for outcome in outcomes if outcome.error], "none failed"
    assert all(outcome.fitting == "nothing" for outcome in again), "nothing is done twice"
    assert not list((folder / "out").glob(f"*/{CHECKPOINT}"))
    assert not list((folder / "out").glob("*/.*")), "nothing half-written"
    for name in {*killed[:2], names[0]}:
        (alone,) = (each for each in jobs if each.name == name)
        assert run_job(alone, folder / "alone", "cpu").error is None
        assert weights(folder / "alone" / name) == weights(folder / "out" / name), name
    repeated = sum(outcome.attempts - 1 for outcome in outcomes)
    assert repeated > 0
    return {"jobs": count, "killed": len(killed), "begun_again": repeated, "seconds": round(seconds, 1)}


def node(folder):
    """A machine is lost with the fit on it: another machine goes on from the last checkpoint."""
    made, machines = cluster(3)
    lost = []

    def lose(status):
        going = [row for row in status.running if row.progress > 0.1]
        if not lost and len(going) >= 2:
            lost.extend(row.name for row in going)
            made.remove_node(machines[0], allow_graceful=False)

    jobs = [job(f"job-{number}", seed=number, frames="0:24", epochs=120) for number in range(6)]
    began = time.monotonic()
    with Fleet(made.address, on_update=lose, checkpoint_every=0.5) as fleet:
        outcomes = list(fleet(jobs, folder / "out"))
    made.shutdown()
    assert lost, "a machine was lost"
    assert sorted(outcome.name for outcome in outcomes) == [each.name for each in jobs]
    assert not [outcome for outcome in outcomes if outcome.error]
    moved = [outcome for outcome in outcomes if outcome.attempts > 1]
    assert moved, "a fit moved"
    assert all(outcome.fitting == "resume" for outcome in moved), "and went on from its checkpoint"
    for outcome in moved[:1]:
        (alone,) = (each for each in jobs if each.name == outcome.name)
        assert run_job(alone, folder / "alone", "cpu").error is None
        assert weights(folder / "alone" / alone.name) == weights(folder / "out" / alone.name)
    return {"jobs": len(jobs), "moved": len(moved), "seconds": round(time.monotonic() - began, 1)}


def unfinished(out):
    """The names of fits that have a checkpoint and have not ended."""
    return {path.parent.name for path in out.glob(f"*/{CHECKPOINT}") if not (path.parent / WEIGHTS).exists()}


def driver(folder):
    """The driver is killed: the next one finds what is done, and goes on with what was begun."""
    made, _ = cluster(2)
    out = folder / "out"
    command = [sys.executable, __file__, "drive", str(folder), made.address]
    begun: set[str] = set()
    while not begun:  # what is begun may end just as the driver is killed; then the next one is killed, too
        first = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while not (list(out.glob(f"*/{WEIGHTS}")) and unfinished(out)):
            assert first.poll() is None
            time.sleep(0.2)
        first.kill()
        first.wait()
        time.sleep(3)  # Ray ends what belonged to it
        begun = unfinished(out)
    done = {path.parent.name: path.stat().st_mtime_ns for path in out.glob(f"*/{WEIGHTS}")}
    end = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    made.shutdown()
    outcomes = {row["name"]: row["fitting"] for row in json.loads(end.stdout)}
    assert len(outcomes) == 6
    assert {outcomes[name] for name in begun} == {"resume"}, "what was begun went on"
    for name, stamp in done.items():
        assert outcomes[name] == "nothing"
        assert (out / name / WEIGHTS).stat().st_mtime_ns == stamp
    for name in outcomes:
        assert read_mapping(out / name / "metrics.json")["epochs"] == 120
    return {"jobs": 6, "done_before": len(done), "resumed": list(outcomes.values()).count("resume")}


def remote(folder):
    """The driver reaches the cluster at `ray://`: all is as from within."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made, _ = cluster(2, ray_client_server_port=port)
    command = [sys.executable, __file__, "drive", str(folder), f"ray://127.0.0.1:{port}", "4"]
    ends = [subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True) for _ in range(2)]
    made.shutdown()
    first, second = ([row["fitting"] for row in json.loads(end.stdout)] for end in ends)
    assert (first, second) == (["fit"] * 6, ["nothing"] * 6)
    return {"jobs": 6}


def drive(folder, address, epochs="120"):
    """The driver of the scenes `driver` and `remote`."""
    jobs = [job(f"job-{number}", seed=number, frames="0:24", epochs=int(epochs)) for number in range(6)]
    with Fleet(address, checkpoint_every=0.5) as fleet:
        outcomes = list(fleet(jobs, folder / "out"))
    assert not [outcome for outcome in outcomes if outcome.error], outcomes
    return [{"name": outcome.name, "fitting": outcome.fitting} for outcome in outcomes]


if __name__ == "__main__":
    scene, where, *rest = sys.argv[1:]
    os.environ["OMP_NUM_THREADS"] = "1"  # as workers of one core have it: sums are the same to the last bit
    torch.set_num_threads(1)
    result = globals()[scene](Path(where), *rest)
    ray.shutdown()
    print(json.dumps(result))
