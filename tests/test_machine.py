"""What a process may use, read from control groups as the kernel writes them."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import pytest
import torch

from enerv_zoo import machine, threads
from enerv_zoo.precision import denormals_flushed

GROUP = "pod/container"


@pytest.fixture
def control_group(tmp_path, monkeypatch):
    """Write the files of this process's control group and of those around it."""
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    read = machine.text_of
    monkeypatch.setattr(machine, "text_of", lambda path: f"0::/{GROUP}\n" if path.parts[1] == "proc" else read(path))

    def write(group, **files):
        (tmp_path / group).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (tmp_path / group / name.replace("_", ".", 1)).write_text(text)

    return write


def test_cores_are_those_of_the_container(control_group):
    bound = machine.available_cores()
    control_group(GROUP, cpu_max="max 100000\n")
    assert machine.available_cores() == bound
    control_group("pod", cpu_max="50000 100000\n")
    assert machine.available_cores() == 1
    control_group("pod", cpu_max=f"{1000 * 100_000} 100000\n")
    assert machine.available_cores() == bound


def test_memory_is_what_the_container_leaves(control_group):
    free = machine.available_memory()
    assert free > 1 << 26
    control_group("pod", memory_max="max\n", memory_current="5000\n")
    control_group(
        GROUP, memory_max="1000000\n", memory_current="900000\n", memory_stat="anon 1\ninactive_file 300000\n"
    )
    assert machine.available_memory() == 400_000
    control_group("pod", memory_max="1000\n", memory_current="5000\n")
    assert machine.available_memory() == 0


def test_damaged_control_files_limit_nothing(control_group):
    bound = machine.available_cores()
    control_group(GROUP, cpu_max="", memory_max="what\n", memory_current="\n")
    assert machine.available_cores() == bound
    assert machine.available_memory() > 1 << 26


FAULTS = """
import resource, torch
import enerv_zoo as ez
from enerv_zoo import machine
ez.tune_process()
kept = machine.keep_freed_memory()
for _ in range(20):  # glibc needs a few to find an order
    torch.ones(16, 1 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    torch.ones(16, 1 << 20)
print(torch.get_num_threads(), int(kept), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="tunes glibc")
@pytest.mark.parametrize(("environment", "kept"), [({}, True), ({"MALLOC_TRIM_THRESHOLD_": "131072"}, False)])
def test_freed_memory_stays_unless_the_environment_says_otherwise(environment, kept):
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_")) and k != "OMP_NUM_THREADS"}
    done = subprocess.run([sys.executable, "-c", FAULTS], env={**plain, **environment}, capture_output=True, check=True)
    threads, told, faults = map(int, done.stdout.split())
    assert threads <= machine.available_cores()
    assert told == kept
    assert faults < 1000 or not kept, "64 MiB five times over are 81,920 pages of 4 KiB"


TUNED = """
import gc, json, os, sys
import enerv_zoo as ez
if "late" in sys.argv:
    import torch
before, young = dict(os.environ), gc.get_threshold()[:2]
ez.tune_process()
early, searched = "torch" not in sys.modules, gc.get_stats()[2]["collections"]
import torch
changed = {k: v for k, v in os.environ.items() if before.get(k) != v}
searches = (gc.get_stats()[2]["collections"] - searched, gc.get_threshold()[:2] == young)
print(json.dumps([early, torch.get_num_threads(), changed, searches]))
"""


@pytest.mark.parametrize(
    ("environment", "arguments", "expected"),
    [
        ({}, [], {"GOMP_SPINCOUNT": str(machine.SPINS)}),
        ({}, ["late"], {}),
        ({"OMP_WAIT_POLICY": "active"}, [], {}),
        ({"GOMP_SPINCOUNT": "7"}, [], {}),
    ],
)
def test_tuning_says_how_threads_wait_before_torch_is_imported(environment, arguments, expected):
    ours = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    plain = {name: value for name, value in os.environ.items() if name not in ours}
    command = [sys.executable, "-c", TUNED, *arguments]
    done = subprocess.run(command, env={**plain, **environment}, capture_output=True, text=True, check=True)
    early, threads, changed, (searches, young_as_before) = json.loads(done.stdout)
    assert early == ("late" not in arguments)
    assert young_as_before
    assert searches == 0 or sys.version_info >= (3, 14), "all objects are searched while modules are imported"
    assert threads <= machine.available_cores()
    limited = {} if "late" in arguments else {"OMP_NUM_THREADS": str(machine.available_cores())}
    assert changed in (expected, {**expected, **limited})  # the second where the tests run in a container with a quota


def test_a_container_with_fewer_cores_gets_fewer_threads(control_group, monkeypatch):
    control_group(GROUP, cpu_max="100000 100000\n")
    monkeypatch.setattr(threads, "allowed_threads", threads.allowed_threads.__wrapped__)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with threads.usable_threads():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
        monkeypatch.setenv("OMP_NUM_THREADS", "3")
        with threads.usable_threads():
            assert torch.get_num_threads() == 3
        monkeypatch.delenv("OMP_NUM_THREADS")
        machine.tune_process()
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_denormals_are_flushed_within_alone():
    def product() -> float:
        return float(torch.tensor(1e-20) * torch.tensor(1e-20))

    assert product() > 0
    with denormals_flushed():
        assert product() == 0
        with denormals_flushed():
            pass
        assert product() == 0, "the inner one leaves it as it was"
    assert product() > 0


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="the system has no such policies")
def test_threads_are_scheduled_as_before_whatever_a_library_does():
    """By another policy that everybody may take; the test of the codec's takes real time where it may."""
    usual, seen = os.sched_getscheduler(0), {}
    ready, ended = threading.Event(), threading.Event()

    def work():
        seen["before"] = os.sched_getscheduler(0)
        ready.set()
        ended.wait()
        seen["after"] = os.sched_getscheduler(0)

    with machine.scheduling_kept():
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        thread = threading.Thread(target=work)
        thread.start()
        ready.wait()
    assert os.sched_getscheduler(0) == usual
    ended.set()
    thread.join()
    assert seen == {"before": os.SCHED_BATCH, "after": usual}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not say how large a process is")
def test_memory_is_given_back_where_the_process_has_grown():
    """A search for garbage takes half a second, which many small fits need not spend."""

    class Cycle:
        def __init__(self, size):
            self.itself, self.content = self, bytearray(size)

    gc.disable()
    try:
        machine.release_memory()
        machine.release_memory()  # the first one may have been the first of all
        small = weakref.ref(Cycle(1000))
        machine.release_memory()
        assert small() is not None
        large = weakref.ref(Cycle(2 * machine.GROWN_BYTES))
        machine.release_memory()
        assert (small(), large()) == (None, None)
    finally:
        gc.enable()
