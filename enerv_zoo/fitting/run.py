"""`fit`: from a video to a fitted network and the folder that holds it."""

from __future__ import annotations

import dataclasses
import logging
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from enerv_zoo.config import FitConfig, Recipe, read_mapping
from enerv_zoo.errors import EnervZooError, FitError
from enerv_zoo.evaluation import Report, plot_psnr, write_preview
from enerv_zoo.files import write_json
from enerv_zoo.fitting.batch import choose_batch
from enerv_zoo.fitting.checkpoint import has_checkpoint, remove_checkpoints
from enerv_zoo.fitting.divergence import DivergenceGuard
from enerv_zoo.fitting.folder import CURVE, FRAMES, State, check_folder, read_history, read_report, start_folder
from enerv_zoo.fitting.frame_loader import FrameLoader, host_place
from enerv_zoo.fitting.loop import Fitter, OnStatus
from enerv_zoo.fitting.memory import MemoryNeed, frames_at_once, memory_need
from enerv_zoo.fitting.pace import Pace, threads_spin
from enerv_zoo.fitting.plan import FitPlan, plan_fit
from enerv_zoo.fitting.ranks import RankLost, Ranks, join
from enerv_zoo.fitting.run_logger import RunLogger
from enerv_zoo.fitting.sharing import shared_psnr, shared_report
from enerv_zoo.hub.download import PREVIEW
from enerv_zoo.loading import load
from enerv_zoo.locking import locked
from enerv_zoo.losses import lent
from enerv_zoo.machine import available_memory
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.precision import denormals_flushed, plain_float32
from enerv_zoo.segmented import SegmentedVideo
from enerv_zoo.storage.folder import read_folder, save
from enerv_zoo.storage.record import METRICS, fit_record
from enerv_zoo.threads import usable_threads
from enerv_zoo.video import Video, open_video
from enerv_zoo.video.origin import protected
from enerv_zoo.video.storage import shared_by
from enerv_zoo.zoo import Model, chosen_config

logger = logging.getLogger(__name__)

ENDED = "%s: this fit has ended, there is nothing left to do; fit --overwrite fits anew"


@dataclass
class FitResult:
    """What `fit` gives.

    Attributes:
        video: the fitted network.
        metrics: numbers of the whole fit; also `metrics.json`.
        history: a row an epoch; also `history.jsonl`.
        report: per-frame numbers.
        folder: where all of it was written, or `None`.
        ended_before: whether there was nothing left to do: the fit in the folder is complete, and was read from it.
    """

    video: NeuralVideo
    metrics: dict[str, Any]
    history: list[dict[str, Any]]
    report: Report
    folder: Path | None = None
    ended_before: bool = False


@usable_threads()
def fit(
    source: Any,
    model: Model | NeuralVideo | None = None,
    *,
    size: str | float | None = None,
    model_options: dict[str, Any] | None = None,
    recipe: str | Path | dict[str, Any] | Recipe | None = None,
    frames: str | None = None,
    resize: Any = None,
    crop: Any = None,
    square_pixels: bool | None = None,
    stream: int | None = None,
    yuv: str | None = None,
    device: str = "auto",
    frames_in: str = "auto",
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    start: str | Path | NeuralVideo | None = None,
    distributed: bool = False,
    on_status: OnStatus | None = None,
    **options: Any,
) -> FitResult:
    """Fit a network to a video.

    A KeyboardInterrupt (Ctrl-C) ends the fit at once, with a checkpoint in `out` if the step it came in can be left
    out; within `enerv_zoo.graceful_stop()` the fit ends after the current step instead. Nothing else of the process is
    changed for longer than the call; `enerv_zoo.tune_process` makes it faster on a CPU.

    What is given here overrules the recipe, which overrules the defaults (the family's official network and E-NeRV's
    published recipe).

    Args:
        source: path, folder of images, array, tensor or sample name, as `enerv_zoo.open_video` takes it.
        model: a family's name (`"enerv"` by default), a `ModelConfig`, its plain data, a YAML or JSON file of them, or
            a `NeuralVideo`, whose composition is fitted on from its weights.
        size: budget of stored numbers such as `"1.5M"`.
        model_options: the family's keywords.
        recipe: name of a bundled recipe or preset (`"quick"`, ...), a file, or a `Recipe`.
        frames, resize, crop, square_pixels, stream, yuv: which part of the source, as `enerv_zoo.open_video` takes
            them.
        device: `"auto"` (CUDA where there is one), `"cpu"` or `"cuda"`.
        frames_in: where frames are while fitting: `"device"` (a GPU's memory), `"host"`, `"disk"` (a file mapped into
            memory), or `"auto"`: on the device if they fit, else in memory if they take half of what is available at
            most, else on disk.
        out: folder for the fit; nothing is written without one.
        resume: go on with the fit in `out` from its last checkpoint; everything else must be as it was. A fit that has
            not begun is begun, and one that has ended is read, so that one call can be repeated until all is done.
        overwrite: replace the fit in `out`.
        start: a fit, or its folder, whose weights to begin with, as far as the networks agree; to resume, give it
            again.
        distributed: share every batch among all processes that `torchrun` started; rank 0 alone writes. The group of
            processes stays for the next fit, until the process ends.
        on_status: called with a `Status` about twice a second.
        options: fields of `FitConfig` (`epochs=300`, `batch_size=4`, `lr=5e-3`, ...). `loss` may also be a callable
            (prediction, target) -> scalar tensor, of frames (B, 3, H, W) in [0, 1]; to resume such a fit, give it
            again. An `nn.Module` is on the fit's device while fitting, in the mode it is in, and its own parameters are
            not trained; afterwards it is back where it was.

    Raises:
        FitInterrupted: a `KeyboardInterrupt`, once the fit was asked to stop; it says how to go on.
        VideoError: the source cannot be read.
        ConfigError: unknown names or options, or ones that do not fit together.
        FitError: `out` holds another fit, or another process writes to it; no CUDA where it was asked for; or another
            process of the fit was lost.
    """
    began = time.monotonic()
    start = model if start is None and isinstance(model, NeuralVideo) else start
    ranks = join(device, distributed)
    plan = ranks.run_on_all(
        lambda: plan_fit(
            source,
            model,
            size=size,
            model_options=model_options,
            recipe=recipe,
            frames=frames,
            resize=resize,
            crop=crop,
            square_pixels=square_pixels,
            stream=stream,
            yuv=yuv,
            device=device,
            **options,
        )
    )
    contents = ranks.broadcast_from_zero(lambda: plan.look_at(source).contents)
    plan = dataclasses.replace(plan, contents=contents)
    folder = None if out is None else Path(out)
    state: State = "new"
    if folder is not None:
        plan.origin.refuse_folder(folder)
    with locked_by_first(folder, ranks), protected(plan.origin):
        if folder is not None:
            chosen, video, state = ranks.broadcast_from_zero(lambda: _checked(folder, plan, resume, overwrite))
            plan = dataclasses.replace(plan, fit=chosen, video=video)
            if state == "ended":
                return ranks.broadcast_from_zero(lambda: _ended(folder))
        with lent(plan.loss, plan.device):
            return _fit(source, plan, folder, state, ranks, frames_in, start, on_status, began)


def _fit(
    source: Any,
    plan: FitPlan,
    folder: Path | None,
    state: State,
    ranks: Ranks,
    frames_in: str,
    start: str | Path | NeuralVideo | None,
    on_status: OnStatus | None,
    began: float,
) -> FitResult:
    """Fit what is left to fit, into a folder that nobody else writes to."""
    with shared_by(ranks.launch.local_size):
        original, video, feed, need = ranks.run_on_all(lambda: _prepare(source, plan, frames_in, start))
    if plan.fit.batch_size is None:
        plan = dataclasses.replace(plan, fit=choose_batch(video, feed, plan.fit, plan.loss, ranks))
        logger.info("%d frames a step suit this device; the rate is %.2g", plan.fit.batch_size, plan.fit.lr)
    (spent,) = ranks.all_reduce_max(time.monotonic() - began)
    pace = _pace(plan, ranks)
    fitter = ranks.run_on_all(lambda: Fitter(video, feed, plan.fit, spent, plan.loss, ranks, pace))
    if plan.device == "cpu":
        at_once = ranks.run_on_all(lambda: frames_at_once(need, fitter.micro_batch, available_memory()))
        fitter.micro_batch = min(fitter.micro_batch, at_once)
    journal = RunLogger(fitter, DivergenceGuard(fitter), folder)
    if folder is not None:
        ranks.broadcast_from_zero(lambda: start_folder(folder, plan, state))
    if state == "begun":
        journal.resume()
    exact = plain_float32(benchmark=True, deterministic=plan.fit.deterministic)
    with exact, denormals_flushed(), journal.stopping():
        try:
            _run(journal, original, on_status)
            return _finish(journal, plan, original)
        except RankLost as lost:
            raise _after_loss(journal, lost) from lost


@contextmanager
def locked_by_first(folder: Path | None, ranks: Ranks) -> Iterator[None]:
    """Keep others from writing to the folder while the block runs; rank 0 does so for all.

    Raises:
        FitError: as `enerv_zoo.locking.locked` does.
    """
    with ExitStack() as stack:
        if folder is not None:
            ranks.broadcast_from_zero(lambda: stack.enter_context(locked(folder)))
        yield


def _checked(folder: Path, plan: FitPlan, resume: bool, overwrite: bool) -> tuple[FitConfig, dict[str, Any], State]:
    chosen, state = check_folder(folder, plan, resume, overwrite)
    return chosen.fit, chosen.video, state


def _ended(folder: Path) -> FitResult:
    """The fit that a folder holds, as it ended."""
    logger.info(ENDED, folder)
    metrics, report = read_mapping(folder / METRICS), read_report(folder)
    return FitResult(read_folder(folder, NeuralVideo), metrics, read_history(folder), report, folder, ended_before=True)


def _prepare(
    source: Any, plan: FitPlan, frames_in: str, start: str | Path | NeuralVideo | None
) -> tuple[Video, NeuralVideo, FrameLoader, MemoryNeed]:
    """The original, an unfitted network for it, the frames where fitting wants them, and what that takes."""
    original = open_video(source, **plan.video, place=host_place(frames_in))
    config = chosen_config(plan.model, original.info)
    video = NeuralVideo.seeded(config, original.info, plan.fit.seed, fitting=True)
    if start is not None:
        _begin_with(video, start if isinstance(start, NeuralVideo) else load(start))
    else:
        video.start_from(original.frames)
    need = memory_need(video, plan.fit if plan.loss is None else dataclasses.replace(plan.fit, loss="L1"))
    feed = FrameLoader(original.frames, plan.device, place=frames_in, need=need.total, on_disk=original.on_disk)
    logger.info("frames: %s; fitting needs %s", feed.description, need)
    return original, video, feed, need


def _begin_with(video: NeuralVideo, other: NeuralVideo | SegmentedVideo) -> None:
    """Copy what weights of another network there are of the same name and shape."""
    if not isinstance(other, NeuralVideo):
        raise FitError("a fit begins with the weights of one network, not with those of a video in segments")
    own, found = video.state_dict(), other.state_dict()
    alike = {name: found[name] for name, tensor in own.items() if name in found and found[name].shape == tensor.shape}
    video.load_state_dict({**own, **alike})
    logger.info("beginning with %d of %d tensors of another fit", len(alike), len(own))


def _pace(plan: FitPlan, ranks: Ranks) -> Pace | None:
    """What watches the steps of a fit on a CPU; nothing changes threads that the user has chosen, or that sleep."""
    if plan.device != "cpu":
        return None
    chosen = plan.fit.deterministic or "OMP_NUM_THREADS" in os.environ or ranks.size > 1
    return Pace(may_change=threads_spin() and not chosen)


def _after_loss(journal: RunLogger, lost: RankLost) -> FitError:
    """What to tell once another process is gone: the state of the last whole step is kept."""
    if journal.folder is None:
        return FitError(f"{lost}; nothing is kept, as the fit has no folder (out)")
    kept = "is kept" if journal.save() else "could not be kept, an older checkpoint may be there"
    return FitError(f"{lost}; epoch {journal.fitter.epoch + 1} {kept}: go on with fit --resume, on as many as you like")


def _run(journal: RunLogger, original: Video, on_status: OnStatus | None) -> None:
    """Fit to the end, keeping history and checkpoints, rolling back what collapses."""
    fitter, every = journal.fitter, journal.fitter.config.eval_every
    while not fitter.done:
        row = fitter.fit_epoch(on_status, journal.after_step)
        healthy = journal.guard.watch(row)
        if healthy:
            journal.add(row)
        fitter.is_consistent = True
        if not healthy:
            continue
        if every and (fitter.epoch % every == 0 or fitter.done):
            with fitter.in_float32() as video:
                row["eval_psnr"] = shared_psnr(fitter.ranks, video, original)
            journal.add(row)
    journal.save()
    journal.begin_measuring()


def _finish(journal: RunLogger, plan: FitPlan, original: Video) -> FitResult:
    fitter, history = journal.fitter, journal.history
    folder = journal.folder if fitter.ranks.first else None
    precision = fitter.video.precision
    video = fitter.video.eval().bake(fitter.feed.frames).optimize("float32", inductor=False)
    measured = fitter.evaluated_frames()
    if measured is not None:
        logger.info("the time budget leaves time to measure frames %s", measured)
    report = shared_report(fitter.ranks, video, original, plan.fit.metrics, measured)
    metrics = {
        **{key: value for key, value in report.to_dict().items() if key != "frames"},
        "model": plan.model["name"],
        "frames": len(original),
        "frames_measured": len(report.frames),
        "height": original.info.height,
        "width": original.info.width,
        "epochs": len(history),
        "batch_size": fitter.batch_size,
        "precision": precision,
        "fit_seconds": round(fitter.seconds, 3),
        "fit_frames_per_second": round(fitter.frames_fitted / max(fitter.seconds, 1e-9), 3),
        "recoveries": journal.guard.recoveries,
    }
    video.origin = plan.origin
    if folder is not None:
        with _keeping_the_checkpoint(folder):
            save(video, folder, fit=fit_record(plan.record(), metrics))
            write_json(folder / METRICS, metrics)
            report.write_csv(folder / FRAMES)
            write_preview(video, original, folder / PREVIEW)
            plot_psnr({plan.model["name"]: history}, folder / CURVE)
            remove_checkpoints(folder)
    return FitResult(video, metrics, history, report, folder)


@contextmanager
def _keeping_the_checkpoint(folder: Path) -> Iterator[None]:
    """Say what to do where the results of a fit cannot be written, whose last checkpoint is there."""
    try:
        yield
    except EnervZooError as error:
        if not has_checkpoint(folder):
            raise
        raise FitError(
            f"{error}; the last checkpoint is kept: make room, and repeat the command (fit needs --resume)"
        ) from error
