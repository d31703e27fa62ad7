"""A process that imports once and then forks the processes of fits, as torchrun would start them; run by test_ranks.

Its argument names a scene; it prints one JSON object.
"""

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

import matplotlib.figure  # noqa: F401  (what a fit imports is imported before forking)
import timm.optim
import timm.scheduler  # noqa: F401
import torch
import torch._dynamo

import enerv_zoo as ez
from enerv_zoo.cli import main
from enerv_zoo.config import FitConfig
from enerv_zoo.fitting import Fitter, loop
from enerv_zoo.fitting.frame_loader import FrameLoader
from enerv_zoo.fitting.ranks import join
from enerv_zoo.fitting.sharing import shared_report
from enerv_zoo.registry import COMPONENTS, metrics

TINY = {"fc_dim": 8, "block_dim": 16, "mlp_dim": 8, "stem_dim": [16], "lower_width": 6}
OPTIONS = [part for name, value in TINY.items() for part in ("--set", f"{name}={value}")]
HERE = ["fit", "clip", *OPTIONS, "--device", "cpu", "--precision", "float32"]
FIT = [*HERE, "--batch-size", "3", "--lr", "5e-3"]
PATIENCE = 600.0
"""Seconds for whatever a scene waits for; only what never comes takes so long."""
PLACES = []
"""Sockets that hold the ports of fits as long as this process lives."""


def fork(action, rank=0, size=1, port=0, log="log"):
    """Do something in a forked process that has a place among others; what it prints goes to a file."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    signal.alarm(1800)  # whatever happens, it ends
    torch.set_num_threads(1)
    if size > 1:
        place = {
            "TORCHELASTIC_RUN_ID": "none",
            "RANK": rank,
            "LOCAL_RANK": rank,
            "WORLD_SIZE": size,
            "LOCAL_WORLD_SIZE": size,
        }
        os.environ |= {name: str(value) for name, value in place.items()}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    stream = os.open(f"{log}-{rank}.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    code = 1
    try:
        action()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def start(action, size, log="log"):
    """Do the same in `size` processes that find each other. Returns their ids, by rank."""
    place = socket.socket()
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # rank 0 may bind to it too, and no other program
    place.bind(("127.0.0.1", 0))
    PLACES.append(place)
    return [fork(action, rank, size, place.getsockname()[1], log) for rank in range(size)]


def ends(pids):
    """The exit codes of processes, or minus the signals that ended them."""
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def command(*arguments):
    """An action: `enerv-zoo` with arguments."""

    def run():
        sys.argv = ["enerv-zoo", *arguments]
        main()

    return run


def rows(folder):
    """A fit's history so far."""
    path = Path(folder) / "history.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def wait_for_epochs(folder, count):
    """Wait until a fit has done so many epochs."""
    until = time.monotonic() + PATIENCE
    while len(rows(folder)) < count:
        if time.monotonic() > until:
            raise SystemExit(f"{folder} did not come to epoch {count}: {texts('log', 2)}")
        time.sleep(0.01)


def texts(log, size):
    """What each process printed."""
    return [Path(f"{log}-{rank}.txt").read_text() for rank in range(size)]


def difference(a, b):
    """The largest difference between the weights of two fits."""
    ours, theirs = ez.load(a).state_dict(), ez.load(b).state_dict()
    return max(float((ours[name] - theirs[name]).abs().max()) for name in theirs)


def step(model, options, batch):
    """One step in whatever processes there are; the first one keeps what it knows then."""
    ranks = join("cpu", distributed="RANK" in os.environ)
    clip = ez.open_video("clip")
    config = ez.create_model(model, info=clip.info, **options).config
    video = ez.NeuralVideo.seeded(config, clip.info, 0, fitting=True)
    recipe = FitConfig(epochs=2, batch_size=batch, lr=1e-3, precision="float32")
    fitter = Fitter(video, FrameLoader(clip.frames), recipe, ranks=ranks)
    index = torch.arange(batch)
    mine = ranks.share(index)
    fitter.fit_batch(mine, clip.frames[mine], batch)
    if ranks.first:
        gradients = {name: p.grad for name, p in video.named_parameters()}
        state = {"gradients": gradients, "weights": video.state_dict(), "sums": fitter.state_dict()["sums"]}
        torch.save(state, f"step-{ranks.size}.pt")


def scene_step(model, options, batch=3, size=2):
    """A step of two processes, the second of which has fewer frames, against a step of one."""
    codes = ends(start(lambda: step(model, options, batch), size)) + ends([fork(lambda: step(model, options, batch))])
    one, two = (torch.load(f"step-{count}.pt") for count in (1, size))
    worst = {
        part: max(float((one[part][name] - two[part][name]).abs().max()) for name in one[part])
        for part in ("gradients", "weights")
    }
    scale = max(float(g.abs().max()) for g in one["gradients"].values())
    return {"codes": codes, "scale": scale, "sums": [one["sums"].tolist(), two["sums"].tolist()], **worst}


def measure():
    """Measure a network by metrics of frames and of the clip, in whatever processes there are; each prints scores."""

    @metrics.register("shaking")
    class Shaking:
        unit, better, scope = "", "lower", "clip"

        def missing(self, info):
            return None

        def __call__(self, prediction, target):
            return (prediction.diff(dim=0) - target.diff(dim=0)).abs().mean()

    ranks = join("cpu", distributed="RANK" in os.environ)
    clip = ez.open_video("clip")
    video = ez.create_model("enerv", info=clip.info, **TINY).eval()
    found = {
        ",".join(names): dict(shared_report(ranks, video, clip, names, None).scores)
        for names in (["psnr"], ["shaking", "psnr"])
    }
    print(json.dumps(found))


def scene_measured():
    """Scores of one process and of two."""
    codes = ends([fork(measure, log="alone")]) + ends(start(measure, 2, log="both"))
    return {"codes": codes, "scores": [json.loads(text) for text in (*texts("alone", 1), *texts("both", 2))]}


def scene_whole():
    """Whole fits, of one process and of three; the last batch of each epoch has a frame for the first one alone."""
    arguments = [*FIT, "--epochs", "4", "--eval-every", "2", "--json"]
    codes = ends([fork(command(*arguments, "--out", "one"), log="one")])
    codes += ends(start(command(*arguments, "--out", "three"), 3, log="three"))
    metrics = [json.loads((Path(name) / "metrics.json").read_text()) for name in ("one", "three")]
    return {
        "codes": codes,
        "metrics": metrics,
        "history": [rows(name) for name in ("one", "three")],
        "weights": difference("one", "three"),
        "printed": texts("three", 3),
        "frames": [len((Path(name) / "frames.csv").read_text().splitlines()) for name in ("one", "three")],
    }


def scene_lost():
    """A process is killed; what the first one keeps is gone on with by one process, to the end of the recipe."""
    arguments = [*FIT, "--epochs", "12", "--checkpoint-every", "1000"]
    whole = ends([fork(command(*arguments, "--out", "whole"), log="whole")])
    pids = start(command(*arguments, "--out", "cut"), 2)
    wait_for_epochs("cut", 3)
    os.kill(pids[1], signal.SIGKILL)
    codes, told = ends(pids), texts("log", 2)
    kept = len(rows("cut"))
    resumed = ends([fork(command(*arguments, "--out", "cut", "--resume"), log="resumed")])
    again = [rows(name)[-1]["psnr"] for name in ("whole", "cut")]
    return {"codes": codes, "told": told, "kept": kept, "resumed": resumed, "whole": whole, "psnr": again}


def scene_stopped():
    """A signal reaches the second process alone: both stop after the same step. Two go on where one was stopped."""
    arguments = [*FIT, "--epochs", "100000", "--out", "stopped"]
    pids = start(command(*arguments), 2)
    wait_for_epochs("stopped", 2)
    os.kill(pids[1], signal.SIGTERM)
    codes, told = ends(pids), texts("log", 2)
    before = len(rows("stopped"))
    pids = start(command(*arguments, "--resume"), 2)
    wait_for_epochs("stopped", before + 2)
    os.kill(pids[0], signal.SIGINT)
    epochs = [row["epoch"] for row in rows("stopped")]
    again = ends(pids)
    return {"codes": codes, "told": told, "again": again, "in_order": epochs == list(range(1, len(epochs) + 1))}


def scene_silent():
    """A process stops to answer: the others wait as long as they are told to, and end."""
    os.environ["ENERV_ZOO_PATIENCE"] = "20"
    pids = start(command(*FIT, "--epochs", "100000", "--out", "silent"), 2)
    wait_for_epochs("silent", 2)
    os.kill(pids[1], signal.SIGSTOP)
    first = ends(pids[:1])
    os.kill(pids[1], signal.SIGKILL)
    del os.environ["ENERV_ZOO_PATIENCE"]
    return {
        "first": first,
        "told": texts("log", 1)[0],
        "kept": Path("silent/checkpoint.pt").exists(),
        "_": ends(pids[1:]),
    }


def scene_starved():
    """Memory runs out in the second process: first with two frames at a time, then with a single one."""
    objective = ez.NeuralVideo.objective

    def starve(most):
        def short(self, index, *rest):
            if os.environ.get("RANK") == "1" and len(index) > most and not index.is_meta:
                raise torch.OutOfMemoryError("not enough memory")
            return objective(self, index, *rest)

        return short

    arguments = [*FIT, "--batch-size", "6", "--epochs", "3"]
    result = {"plain": ends(start(command(*arguments, "--out", "plain"), 2))}
    ez.NeuralVideo.objective = starve(1)
    result["halved"] = ends(start(command(*arguments, "--out", "halved"), 2))
    result["weights"] = difference("plain", "halved")
    ez.NeuralVideo.objective = starve(0)
    result["ended"] = ends(start(command(*arguments, "--out", "ended"), 2))
    ez.NeuralVideo.objective = objective
    return {**result, "told": texts("log", 2)}


def scene_collapsed():
    """The loss stops to be a number in the second process alone; all roll back alike. And a bad source ends all."""
    fit_batch, poisoned = loop.Fitter.fit_batch, []

    def poison(self, index, frames, batch=None):
        if os.environ.get("RANK") == "1" and self.epoch == 2 and not poisoned:
            poisoned.append(True)
            with torch.no_grad():
                next(self.video.parameters()).fill_(float("nan"))
        fit_batch(self, index, frames, batch)

    loop.Fitter.fit_batch = poison
    codes = ends(start(command(*FIT, "--epochs", "5", "--out", "collapsed"), 2))
    loop.Fitter.fit_batch = fit_batch
    metrics = json.loads(Path("collapsed/metrics.json").read_text())
    budget = ends(start(command(*HERE, "--time-budget", "4s", "--out", "timed"), 2))
    recipe = json.loads(Path("timed/fit.json").read_text())["fit"]
    refused = ends(start(command(*FIT, "--frames", "0:70"), 2, log="refused"))
    other = ends(start(command("models"), 2, log="other"))
    return {
        "codes": codes, "recoveries": metrics["recoveries"], "budget": budget, "batch": recipe["batch_size"],
        "refused": refused, "told": texts("refused", 2), "other": other,
    }  # fmt: skip


def scene_segments():
    """A long video in segments, each a fit of two processes."""
    arguments = [*FIT, "--epochs", "1", "--segments", "2"]
    codes = ends(start(command(*arguments, "--out", "parts"), 2, log="parts"))
    codes += ends([fork(command(*arguments, "--out", "part"))])
    metrics = [json.loads((Path(name) / "metrics.json").read_text())["psnr"] for name in ("part", "parts")]
    return {"codes": codes, "psnr": metrics, "told": texts("parts", 2)}


def main_():
    for parts in COMPONENTS.values():
        parts.names()
    scenes = {
        "step": lambda: scene_step("enerv", TINY),
        "few": lambda: scene_step("enerv", TINY, batch=2, size=3),
        "remembered": lambda: scene_step("ffnerv", {"fc_dim": 4, "expansion": 1, "lower_width": 4, "t_dim": [2, 4]}),
        "statistics": lambda: scene_step("nerv", {"size": "60K", "norm": "batch"}, batch=2),
        "measured": scene_measured,
        "whole": scene_whole,
        "lost": scene_lost,
        "stopped": scene_stopped,
        "silent": scene_silent,
        "starved": scene_starved,
        "collapsed": scene_collapsed,
        "segments": scene_segments,
    }
    results = {name: scenes[name]() for name in sys.argv[1].split(",")}
    print(json.dumps(results))


main_()
