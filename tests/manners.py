"""A host process that uses the package, and looks at itself before and after; run by test_manners.

Its argument names what it does; it prints one JSON object: aspects of the process that are not as they were.
"""

import atexit
import ctypes
import gc
import json
import logging
import os
import random
import resource
import signal
import sys
import threading
import warnings
from contextlib import suppress
from pathlib import Path

AMBIENT = {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}
TINY = {"model_options": {"fc_dim": 8, "block_dim": 16, "mlp_dim": 8, "stem_dim": [16], "lower_width": 6}}
FIT = {**TINY, "frames": "0:3", "resize": "64x36", "epochs": 2, "batch_size": 2, "device": "cpu"}
LARGE = {"frames": 2, "height": 216, "width": 384}  # a frame of which is work for several threads


def torch_state() -> dict[str, object]:
    """What PyTorch keeps for the whole process, as it says itself, and as it behaves."""
    import torch

    cudnn = torch.backends.cudnn
    large = torch.full((1 << 18,), 1e-30)
    return {
        "threads": torch.get_num_threads(),
        "interop threads": torch.get_num_interop_threads(),
        "torch's random state": torch.get_rng_state().tolist(),
        "default dtype": str(torch.get_default_dtype()),
        "default device": str(torch.get_default_device()),
        "deterministic": [
            torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled(),
        ],
        "cudnn": [cudnn.enabled, cudnn.benchmark, cudnn.benchmark_limit, cudnn.deterministic, cudnn.allow_tf32],
        "matmul": [torch.get_float32_matmul_precision(), torch.backends.mkldnn.enabled],
        "gradients": [torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")],
        "denormals that are flushed": int((large * 1e-10 == 0).sum()),  # by whichever thread
    }  # fmt: skip


def own_state() -> dict[str, object]:
    """What Python keeps for the whole process."""
    import numpy

    loggers = logging.root.manager.loggerDict.copy()
    return {
        "signals": {number: str(signal.getsignal(number)) for number in signal.valid_signals()},
        "environment": dict(os.environ),
        "warnings": [list(map(str, warnings.filters)), str(warnings.showwarning)],
        "logging": {
            name: [logger.level, list(map(str, logger.handlers)), logger.propagate, logger.disabled]
            for name, logger in {"": logging.root, **loggers}.items()
            if isinstance(logger, logging.Logger) and name.partition(".")[0] in ("", "enerv_zoo", "torch", "PIL")
            and (logger.level or logger.handlers or not logger.propagate or logger.disabled)
        },
        "random state": [str(random.getstate()), str(numpy.random.get_state())],
        "NumPy's errors": numpy.geterr(),
        "atexit": atexit._ncallbacks(),
        "garbage": [gc.isenabled(), gc.get_threshold()],
        "hooks": [str(sys.excepthook), str(threading.excepthook), str(sys.displayhook)],
        "running threads": sorted(thread.name for thread in threading.enumerate()),
        "folder": str(Path.cwd()),
        "rounding": ctypes.CDLL(None).fegetround(),
        "scheduling": scheduling() if hasattr(os, "sched_getscheduler") else None,
    }  # fmt: skip


def scheduling() -> list[int]:
    """The policies of all threads; one may end while it is looked at."""
    policies = set()
    for path in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):
            policies.add(os.sched_getscheduler(int(path.name)))
    return sorted(policies)


def faults() -> int:
    """Pages that the system gives for 64 MiB three times over: none where the allocator keeps what is freed."""
    import torch

    torch.empty(16 << 20).fill_(1.0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(3):
        torch.empty(16 << 20).fill_(1.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def in_a_child(action) -> object:
    """Do something in a forked process; gives what it returns, or how it ended."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(600)  # one that waits for threads that are not there waits for ever
        try:
            os.write(writing, json.dumps(action()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return json.loads(text) if text else f"ended with {code}"


def snapshot() -> dict[str, object]:
    """The process, aspect by aspect."""
    import torch

    state = {**own_state(), **torch_state()}
    state["threads of a forked process"] = in_a_child(torch.get_num_threads)
    return state


# ---------------------------------------------------------------------- what hosts do


def fit(ez, folder):
    """Fit, with checkpoints after every step and a callback; among variables that look like torchrun's."""
    os.environ.update(AMBIENT)
    seen = []

    def look(status):
        seen.append(str(signal.getsignal(signal.SIGINT)) + str(signal.getsignal(signal.SIGTERM)))

    before = str(signal.getsignal(signal.SIGINT)) + str(signal.getsignal(signal.SIGTERM))
    result = ez.fit("bunny", **FIT, out=folder / "fit", on_status=look, deterministic=True, checkpoint_every=0)
    assert len(result.history) == 2
    assert set(seen) <= {before}


def decode(ez, folder):
    """Decode by every way there is."""
    for video in (ez.load("bunny-sample"), ez.load(folder / "large")):
        video[0], video[[0, 1]], next(video.decode()), video.get_frame_played_at(0.0)


def workers(ez, folder):
    """Decode in the workers of a `DataLoader`, and in forked processes, without threads of the parent."""
    import torch

    video = ez.load(folder / "large")
    expected = video[:]
    for batch in torch.utils.data.DataLoader(video, batch_size=2, num_workers=2, generator=torch.Generator()):
        assert (batch.short() - expected.short()).abs().max() <= 1

    def child():
        frame = video[1]
        return [torch.get_num_threads(), (frame[:, ::9].short() - expected[1][:, ::9].short()).abs().max().item()]

    threads, difference = in_a_child(child)
    assert threads == torch.get_num_threads()
    assert difference <= 1


def evaluate(ez, folder):
    """Measure a network."""
    ez.evaluate(ez.load(folder / "made"), ez.open_video("bunny", frames="0:3", resize="64x36"))


def compress(ez, folder):
    """Compress a network, with tuning."""
    ez.compress(folder / "made", folder / "made.nvz", bits=6, tune_epochs=1, prune=0.1)
    ez.load(folder / "made.nvz")[0]


def render(ez, folder):
    """Write a video's file."""
    ez.render(ez.load(folder / "made"), folder / "made.mp4", source=None)


def distance(ez, folder):
    """Measure an encoder that reads its settings from the environment."""
    from enerv_zoo.evaluation.anchors import available, measure_codec

    for name in available(["svtav1"]):
        list(measure_codec(name.label, ez.open_video("bunny", frames="0:2", resize="64x64"), [50]))


HOSTS = {action.__name__: action for action in (fit, decode, workers, evaluate, compress, render, distance)}


def differences(before, after):
    """The aspects that are not as they were, as they were and are."""
    return {
        name: {key: [str(before[name].get(key)), str(value)] for key, value in after[name].items()
               if before[name].get(key) != value} if isinstance(before[name], dict)
        else [str(before[name])[-300:], str(after[name])[-300:]]
        for name in before if before[name] != after[name]
    }  # fmt: skip


def importing():
    """Import the package and ask for its names; other packages' imports are theirs, so none is imported here."""
    before = own_state()
    import enerv_zoo

    dir(enerv_zoo), enerv_zoo.list_models(), enerv_zoo.graceful_stop
    return differences(before, own_state())


def using():
    """Each of `HOSTS` in turn; the packages that ours stands on are imported before."""
    import av  # noqa: F401
    import huggingface_hub  # noqa: F401
    import matplotlib.figure  # noqa: F401
    import PIL.Image  # noqa: F401
    import timm.optim
    import timm.scheduler  # noqa: F401
    import torch
    import torch._dynamo
    import torch.utils.data
    from torch import multiprocessing  # noqa: F401

    import enerv_zoo as ez

    folder = Path.cwd()
    ez.fit("bunny", **FIT, out=folder / "made")  # in which libraries import what they import at their first use
    ez.create_model("enerv", size="0.2M", **LARGE).save_pretrained(folder / "large")
    list(torch.utils.data.DataLoader([0], num_workers=1))  # PyTorch watches its workers by SIGCHLD from here on
    result = {}
    for name, host in HOSTS.items():
        for key in AMBIENT:
            os.environ.pop(key, None)
        if name == "fit":
            os.environ.update(AMBIENT)
        pages, before = faults(), snapshot()
        host(ez, folder)
        result[name] = differences(before, snapshot())
        if faults() < pages / 2:
            result[name]["allocator"] = [pages, faults()]
    return result


def first():
    """A fit that is the first that this process computes: threads that it starts stay, and must not keep its ways."""
    import torch

    import enerv_zoo as ez

    threads, filters = torch.get_num_threads(), list(warnings.filters)
    ez.fit("bunny", **FIT)
    ez.load("bunny-sample")[0]
    return {
        "flushed": torch_state()["denormals that are flushed"],
        "threads": [threads, torch.get_num_threads()],
        "filters": [str(each) for each in warnings.filters if each not in filters],
    }


def interrupted():
    """A KeyboardInterrupt, at any moment of any step, leaves a state that goes on to the same weights."""
    import torch

    import enerv_zoo as ez
    from enerv_zoo.fitting.loop import Fitter

    recipe = {**FIT, "epochs": 40, "checkpoint_every": 1000.0}
    chance, fit_epoch = random.Random(int(sys.argv[2])), Fitter.fit_epoch

    def press(number, frame):
        raise KeyboardInterrupt

    def begin(self, *arguments):
        if not (signal.getitimer(signal.ITIMER_VIRTUAL)[0] or self.epoch in begun):
            begun.add(self.epoch)
            signal.setitimer(signal.ITIMER_VIRTUAL, chance.uniform(1e-6, 0.1))  # of the processor's time, not the day's
        return fit_epoch(self, *arguments)

    whole = ez.fit("bunny", **recipe)
    signal.signal(signal.SIGVTALRM, press)
    Fitter.fit_epoch = begin
    told, kept = [], False
    for _ in range(8):
        begun = set()
        try:
            ez.fit("bunny", **recipe, out="cut", resume=kept, overwrite=not kept)
            break
        except KeyboardInterrupt as stop:
            told.append([type(stop).__name__, str(stop)])
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        kept = Path("cut/checkpoint.pt").exists()
    Fitter.fit_epoch = fit_epoch
    last = ez.fit("bunny", **recipe, out="cut", resume=kept, overwrite=not kept)
    ours, theirs = last.video.state_dict(), whole.video.state_dict()
    return {
        "told": told,
        "same": all(torch.equal(ours[name], theirs[name]) for name in theirs),
        "epochs": [[row["epoch"] for row in fit.history] for fit in (last, whole)],
    }


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]]()))
