"""`fit`: from a video to a fitted network and the folder that holds it."""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from enerv_zoo.config import Recipe
from enerv_zoo.errors import ConfigError, FitError
from enerv_zoo.evaluation import Report, plot_psnr, write_preview
from enerv_zoo.files import remove_leftovers, write_json
from enerv_zoo.fitting.batch import choose_batch
from enerv_zoo.fitting.checkpoint import CHECKPOINT, PREVIOUS, has_checkpoint, remove_checkpoints
from enerv_zoo.fitting.feed import Feed, host_place
from enerv_zoo.fitting.guard import Guard
from enerv_zoo.fitting.journal import HISTORY, Journal
from enerv_zoo.fitting.loop import Fitter, OnStatus
from enerv_zoo.fitting.memory import MemoryNeed, frames_at_once, memory_need
from enerv_zoo.fitting.plan import FitPlan, check_record, plan_fit
from enerv_zoo.fitting.ranks import RankLost, join
from enerv_zoo.fitting.sharing import shared_psnr, shared_report
from enerv_zoo.hub.download import PREVIEW
from enerv_zoo.hub.folder import CONFIG, WEIGHTS, save
from enerv_zoo.hub.record import METRICS, RECORD, fit_record
from enerv_zoo.hub.segments import is_segmented, remove_segments
from enerv_zoo.hub.source import load
from enerv_zoo.machine import available_memory, denormals_flushed
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.precision import plain_float32
from enerv_zoo.segmented import SegmentedVideo
from enerv_zoo.video import Video, open_video
from enerv_zoo.zoo import model_config

logger = logging.getLogger(__name__)

FRAMES = "frames.csv"
CURVE = "psnr.png"
REPORT = "report.html"
OURS = (RECORD, HISTORY, METRICS, FRAMES, PREVIEW, CURVE, CHECKPOINT, PREVIOUS, CONFIG, WEIGHTS, REPORT)
"""Every file that a fit writes into its folder, and the report that the command line adds."""


@dataclass
class FitResult:
    """What `fit` gives.

    Attributes:
        video: the fitted network.
        metrics: numbers of the whole fit; also `metrics.json`.
        history: a row an epoch; also `history.jsonl`.
        report: per-frame numbers.
        folder: where all of it was written, or `None`.
    """

    video: NeuralVideo
    metrics: dict[str, Any]
    history: list[dict[str, Any]]
    report: Report
    folder: Path | None = None


def fit(
    source: Any,
    model: str | None = None,
    *,
    size: str | float | None = None,
    model_options: dict[str, Any] | None = None,
    recipe: str | Path | dict[str, Any] | Recipe | None = None,
    frames: str | None = None,
    resize: Any = None,
    crop: Any = None,
    device: str = "auto",
    frames_in: str = "auto",
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    start: str | Path | None = None,
    on_status: OnStatus | None = None,
    **options: Any,
) -> FitResult:
    """Fit a network to a video.

    Started by `torchrun`, all processes share every batch, and the first one alone writes.

    What is given here overrules the recipe, which overrules the defaults (the family's official network and E-NeRV's
    published recipe).

    Args:
        source: path, folder of images, array, tensor or sample name, as `enerv_zoo.open_video` takes it.
        model: a family's name; `"enerv"` by default.
        size: budget of stored numbers such as `"1.5M"`.
        model_options: the family's keywords.
        recipe: name of a shipped recipe or preset (`"quick"`, ...), a file, or a `Recipe`.
        frames, resize, crop: which part of the source, as `enerv_zoo.open_video` takes them.
        device: `"auto"` (CUDA where there is one), `"cpu"` or `"cuda"`.
        frames_in: where frames are while fitting: `"device"` (a GPU's memory), `"host"`, `"disk"` (a file mapped into
            memory), or `"auto"`: on the device if they fit, else in memory if they take half of what is available at
            most, else on disk.
        out: folder for the fit; nothing is written without one.
        resume: go on with the fit in `out` from its last checkpoint; everything else must be as it was.
        overwrite: replace the fit in `out`.
        start: folder of a fit whose weights to begin with, as far as the networks agree; to resume, give it again.
        on_status: called with a `Status` about twice a second.
        options: fields of `FitConfig` (`epochs=300`, `batch_size=4`, `lr=5e-3`, ...). `loss` may be a callable
            (prediction, target) -> scalar, of frames (B, 3, H, W) in [0, 1]; to resume such a fit, give it again.

    Raises:
        VideoError: the source cannot be read.
        ConfigError: unknown names or options, or ones that do not fit together.
        FitError: `out` holds a fit already, there is nothing to resume, no CUDA where it was asked for, or another
            process of the fit was lost.
    """
    began = time.monotonic()
    ranks = join(device)
    plan = ranks.together(
        lambda: plan_fit(
            source,
            model,
            size=size,
            model_options=model_options,
            recipe=recipe,
            frames=frames,
            resize=resize,
            crop=crop,
            device=device,
            **options,
        )
    )
    folder = None if out is None else Path(out)
    if folder is not None:
        chosen = ranks.decided(lambda: _check_folder(folder, plan, resume, overwrite).fit)
        plan = dataclasses.replace(plan, fit=chosen)
    original, video, feed, need = ranks.together(lambda: _prepare(source, plan, frames_in, start))
    if plan.fit.batch_size is None:
        plan = dataclasses.replace(plan, fit=choose_batch(video, feed, plan.fit, plan.loss, ranks))
        logger.info("%d frames a step suit this device; the rate is %.2g", plan.fit.batch_size, plan.fit.lr)
    (spent,) = ranks.largest(time.monotonic() - began)
    fitter = ranks.together(lambda: Fitter(video, feed, plan.fit, spent, plan.loss, ranks))
    if plan.device == "cpu":
        at_once = ranks.together(lambda: frames_at_once(need, fitter.micro_batch, available_memory()))
        fitter.micro_batch = min(fitter.micro_batch, at_once)
    journal = Journal(fitter, Guard(fitter), folder)
    if folder is not None:
        ranks.decided(lambda: _start_folder(folder, plan, keep=resume))
    if resume:
        journal.resume()
    exact = plain_float32(benchmark=True, deterministic=plan.fit.deterministic)
    with exact, denormals_flushed(), journal.signals():
        try:
            _run(journal, original, on_status)
            return _finish(journal, plan, original)
        except RankLost as lost:
            raise _after_loss(journal, lost) from lost


def _prepare(
    source: Any, plan: FitPlan, frames_in: str, start: str | Path | None
) -> tuple[Video, NeuralVideo, Feed, MemoryNeed]:
    """The original, an unfitted network for it, the frames where fitting wants them, and what that takes."""
    original = open_video(source, **plan.video, place=host_place(frames_in))
    choice = dict(plan.model)
    config = model_config(choice.pop("name"), original.info, **choice)
    video = NeuralVideo.seeded(config, original.info, plan.fit.seed, fitting=True)
    if start is not None:
        _begin_with(video, load(start))
    need = memory_need(video, plan.fit if plan.loss is None else dataclasses.replace(plan.fit, loss="L1"))
    feed = Feed(original.frames, plan.device, place=frames_in, need=need.total, on_disk=original.on_disk)
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


def _after_loss(journal: Journal, lost: RankLost) -> FitError:
    """What to tell once another process is gone: the state of the last whole step is kept."""
    if journal.folder is None:
        return FitError(f"{lost}; nothing is kept, as the fit has no folder (out)")
    kept = "is kept" if journal.save() else "could not be kept, an older checkpoint may be there"
    return FitError(f"{lost}; epoch {journal.fitter.epoch + 1} {kept}: go on with --resume, on as many as you like")


def _check_folder(folder: Path, plan: FitPlan, resume: bool, overwrite: bool) -> FitPlan:
    if resume and overwrite:
        raise FitError("resume goes on with a fit and overwrite replaces it; give one of the two")
    if folder.exists() and not folder.is_dir():
        raise FitError(f"{folder}: is a file; --out takes a folder")
    there = [name for name in OURS if (folder / name).exists()]
    if resume:
        if is_segmented(folder):
            raise FitError(f"{folder}: holds a fit in segments; repeat the command that began it, with its --segments")
        if not (folder / RECORD).is_file():
            raise FitError(f"{folder}: holds no fit to resume; leave out --resume to start one")
        if has_ended(folder):
            raise FitError(f"{folder}: this fit has ended; --overwrite replaces it")
        return check_record(folder, plan)
    if (there or is_segmented(folder)) and not overwrite:
        raise FitError(f"{folder}: already holds a fit; add --resume to go on with it or --overwrite to replace it")
    return plan


def has_ended(folder: Path) -> bool:
    """Whether a folder's fit is complete: its checkpoints go last, after weights, numbers and pictures are written."""
    return (folder / WEIGHTS).exists() and not has_checkpoint(folder)


def _start_folder(folder: Path, plan: FitPlan, keep: bool) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder, OURS)
        if keep:
            return
        remove_segments(folder)
        write_json(folder / RECORD, plan.record())
        for name in OURS:
            if name != RECORD:
                (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise FitError(f"{folder}: cannot be written ({error.strerror}); choose another --out") from error


def read_history(folder: str | Path) -> list[dict[str, Any]]:
    """The rows of a fit's `history.jsonl`; a last line that was cut off is left out.

    Raises:
        ConfigError: a line holds something else.
    """
    path = Path(folder) / HISTORY
    rows: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            break
        if not isinstance(row, dict):
            raise ConfigError(f"{path}: line {len(rows) + 1} is no mapping, as an epoch's is; the file is damaged")
        rows.append(row)
    return rows


def _run(journal: Journal, original: Video, on_status: OnStatus | None) -> None:
    """Fit to the end, keeping history and checkpoints, rolling back what collapses."""
    fitter, every = journal.fitter, journal.fitter.config.eval_every
    while not fitter.done:
        row = fitter.fit_epoch(on_status, journal.after_step)
        if not journal.guard.watch(row):
            continue
        if every and (fitter.epoch % every == 0 or fitter.done):
            with fitter.in_float32() as video:
                row["eval_psnr"] = shared_psnr(fitter.ranks, video, original)
        journal.add(row)
    journal.save()


def _finish(journal: Journal, plan: FitPlan, original: Video) -> FitResult:
    fitter, history = journal.fitter, journal.history
    folder = journal.folder if fitter.ranks.first else None
    precision = fitter.video.precision
    video = fitter.video.eval().bake(fitter.feed.frames).compile("float32", inductor=False)
    measured = fitter.evaluated_frames()
    if measured is not None:
        logger.info("the time budget leaves time to measure frames %s", measured)
    report = shared_report(fitter.ranks, video, original, measured)
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
    if folder is not None:
        save(video, folder, fit=fit_record(plan.record(), metrics))
        write_json(folder / METRICS, metrics)
        report.write_csv(folder / FRAMES)
        write_preview(video, original, folder / PREVIEW)
        plot_psnr({plan.model["name"]: history}, folder / CURVE)
        remove_checkpoints(folder)
    return FitResult(video, metrics, history, report, folder)
