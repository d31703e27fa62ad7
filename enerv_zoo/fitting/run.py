"""`fit`: from a video to a fitted network and the folder that holds it."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Unpack

import torch

from enerv_zoo.config import FitConfig, Recipe
from enerv_zoo.errors import VideoError
from enerv_zoo.evaluation import evaluate, plot_psnr, write_preview
from enerv_zoo.files import write_json
from enerv_zoo.fitting.batch import choose_batch
from enerv_zoo.fitting.budget import (
    PICTURES_SECONDS,
    REPORT_SECONDS,
    REPORT_SECONDS_PER_PIXEL,
    Clock,
    Ending,
    TimeBudget,
)
from enerv_zoo.fitting.callbacks import Callback, Callbacks
from enerv_zoo.fitting.checkpoint import Checkpoints, ending
from enerv_zoo.fitting.choice import choose_on_zero
from enerv_zoo.fitting.divergence import DivergenceGuard
from enerv_zoo.fitting.first_weights import begin_with, set_first_weights
from enerv_zoo.fitting.folder import CURVE, FRAMES, FitFolder
from enerv_zoo.fitting.frame_loader import FrameLoader, host_place
from enerv_zoo.fitting.history import History
from enerv_zoo.fitting.interruption import Interruption
from enerv_zoo.fitting.loop import Fitter
from enerv_zoo.fitting.memory import frames_at_once, memory_need
from enerv_zoo.fitting.pace import Pace, may_choose_threads
from enerv_zoo.fitting.plan import default_recipe, plan_fit, read_contents
from enerv_zoo.fitting.ranks import join
from enerv_zoo.fitting.result import FitResult, read_result
from enerv_zoo.fitting.sharing import shared_psnr, shared_report
from enerv_zoo.hub.download import PREVIEW
from enerv_zoo.keywords import FitOptions
from enerv_zoo.loading import load
from enerv_zoo.losses import lent
from enerv_zoo.machine import available_memory
from enerv_zoo.metrics import Scorer
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.optimizers import make_optimizer
from enerv_zoo.optimizers.schedules import Scheduler
from enerv_zoo.precision import denormals_flushed, plain_float32, workspace_of_cublas
from enerv_zoo.progress import OnStatus, reported_to, shown_progress, stage
from enerv_zoo.storage import open_run
from enerv_zoo.storage.folder import FolderNetwork, save
from enerv_zoo.storage.originals import open_alike
from enerv_zoo.storage.record import METRICS, fit_record
from enerv_zoo.threads import usable_threads
from enerv_zoo.video import Video, open_video
from enerv_zoo.video.seen import restricted, seen_frames
from enerv_zoo.video.storage import shared_by
from enerv_zoo.zoo import Model, chosen_config

logger = logging.getLogger(__name__)

EVALUATED_PIXELS = 500_000
"""Pixels of the frames whose evaluation is timed for a time budget: one batch of them."""

NOTED_BYTES = 1 << 30
"""A fit that takes more memory says so, as one does whose frames are not where it computes."""


@usable_threads()
def fit(
    source: Any,
    model: Model | NeuralVideo | None = None,
    *,
    size: str | float | None = None,
    model_options: dict[str, Any] | None = None,
    recipe: str | Path | dict[str, Any] | Recipe | None = None,
    device: str = "auto",
    frames_in: str = "auto",
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    init_from: str | Path | NeuralVideo | None = None,
    mask: Any = None,
    reference: Any = None,
    distributed: bool = False,
    sound: bool = True,
    callbacks: Iterable[Callback] = (),
    progress: bool | None = None,
    on_status: OnStatus | None = None,
    began: float | None = None,
    report_follows: bool = False,
    **options: Unpack[FitOptions],
) -> FitResult:
    """Fit a network to a video.

    A KeyboardInterrupt (Ctrl-C) ends the fit at once, with a checkpoint in `out` if the step it came in can be left
    out; within `enerv_zoo.graceful_stop()` the fit ends after the current step instead. Nothing else of the process is
    changed for longer than the call; `enerv_zoo.tune_process` makes it faster on a CPU.

    What is given here overrules the recipe, which overrules the defaults: the family's official network and E-NeRV's
    published recipe. Where neither recipe nor model is named, the recipe is `auto`: a time budget of five minutes, for
    which the size of frames and of the network are chosen, as far as they are not given (`enerv_zoo.fitting.choice`).
    `fit.json` has what was chosen, and a fit goes on with that.

    Args:
        source: path, folder of images, array, tensor or sample name, as `enerv_zoo.open_video` takes it.
        model: a family's name, a `ModelConfig`, its plain data, a YAML or JSON file of them, or
            a `NeuralVideo`, whose composition is fitted on from its weights.
        size: budget of stored parameters such as `"1.5M"`; `"auto"` for one that suits the video and the time.
        model_options: the family's keywords.
        recipe: name of a bundled recipe or preset (`"auto"`, `"quick"`, ...), a file, or a `Recipe`.
        device: `"auto"` (CUDA where there is one), `"cpu"`, `"cuda"`, `"cuda:1"` or `"mps"`.
        frames_in: where frames are while fitting: `"device"` (a GPU's memory), `"host"`, `"disk"` (a file mapped into
            memory), or `"auto"`: on the device if they fit, else in memory if they take half of what is available at
            most, else on disk.
        out: folder for the fit; nothing is written without one.
        resume: go on with the fit in `out` from its last checkpoint; everything else must be as it was. A fit that has
            not begun is begun, and one that has ended is read, so that one call can be repeated until all is done.
            With more `epochs`, or more `phases`, a fit that has ended goes on from its weights: the epochs that are
            missing are one more phase, with a schedule of its own.
        overwrite: replace the fit in `out`.
        init_from: a fit, or its folder, whose weights to begin with, as far as the networks agree; to resume, give it
            again.
        mask: weights of pixels, as a video, an image or an array: white or 1 is fitted, black or 0 is hidden, and
            nothing of what is hidden comes into the network; greys multiply gradients. A still is for all frames. It is
            cropped and resized as the source is.
        reference: frames to score the fit against in place of the source's: the clean video of a noisy one.
        distributed: share every batch among all processes that `torchrun` started; rank 0 alone writes. The group of
            processes stays for the next fit, until the process ends.
        sound: keep the sound of the source beside the network, as it is compressed there, and with it title, time of
            recording and chapters.
        callbacks: called during the fit (`enerv_zoo.Callback`); their states are in the checkpoints.
        progress: show a bar; by default in a notebook, and where the standard error output is a terminal, unless
            `on_status` is given.
        on_status: called with a `Status` about twice a second.
        began: when the time budget began, by `time.monotonic()`; by default now.
        report_follows: leave time of the budget for `enerv_zoo.write_report` of this fit.
        options: which part of the source, by fields of `VideoSelection` (`frames="0:8"`, `resize="360p"` or `"auto"`,
            ...); and how it is fitted, by fields of `FitConfig` (`epochs=300`, `batch_size=4`, `lr=5e-3`, ...). `loss`
            may also be a callable (prediction, target) -> scalar tensor, of frames (B, 3, H, W) in [0, 1]; to resume
            such a fit, give it again. An `nn.Module` is on the fit's device while fitting, in the mode it is in, and
            its own parameters are not trained; afterwards it is back where it was.

    Raises:
        FitInterrupted: a `KeyboardInterrupt`, once the fit was asked to stop; it says how to go on.
        VideoError: the source cannot be read.
        ConfigError: unknown names or options, or ones that do not fit together.
        FitError: `out` holds another fit, or another process writes to it; no CUDA where it was asked for; or another
            process of the fit was lost.
    """
    clock = Clock(time.monotonic() if began is None else began)
    ranks = join(device, distributed)
    with ranks.all_or_none():
        begun = Path(out) if resume and out is not None else None
        recipe = default_recipe(recipe, model, model_options, begun)
        plan = plan_fit(
            source, model, size=size, model_options=model_options, recipe=recipe, device=device, mask=mask,
            reference=reference, **options,
        )  # fmt: skip
    weights = model if init_from is None and isinstance(model, NeuralVideo) else init_from
    with ExitStack() as stack:
        stack.enter_context(torch.enable_grad())  # a KeyboardInterrupt within a step of PyTorch's may leave it off
        title = Path(plan.source or "video").stem
        bar = stack.enter_context(shown_progress(title, False if on_status or not ranks.first else progress))
        stage("reading")
        contents = ranks.broadcast_from_zero(read_contents, source)
        plan = dataclasses.replace(plan, contents=contents, init_from=weights)
        folder = stack.enter_context(FitFolder.opened(out, plan, ranks, resume, overwrite))
        stack.enter_context(lent(plan.loss, plan.device))
        stack.enter_context(workspace_of_cublas(plan.fit.deterministic))
        if folder.state == "ended":
            return ranks.broadcast_from_zero(read_result, folder.path)
        chosen = choose_on_zero(ranks, folder.plan, source, clock.began, report_follows)
        folder = dataclasses.replace(folder, plan=chosen)
        state = folder.last_state()
        with shared_by(ranks.launch.local_size), ranks.all_or_none():
            session = _Session(source, folder, state, frames_in, callbacks, sound)
        return session.run(on_status or bar, clock, report_follows)


class _Session:
    """A fit from its opened video to its result.

    Args:
        source: the video.
        folder: where the fit goes, and what is planned.
        state: that the fit goes on from (`FitFolder.last_state`).
        frames_in: where frames are while fitting.
        callbacks: the user's own.
        sound: whether to keep the source's sound.
    """

    def __init__(
        self,
        source: Any,
        folder: FitFolder,
        state: dict[str, Any],
        frames_in: str,
        callbacks: Iterable[Callback],
        sound: bool,
    ) -> None:
        self.folder, self.ranks, self.plan = folder, folder.ranks, folder.plan
        self._state = state
        self._closed_form: dict[str, torch.Tensor] | None = None
        start = time.monotonic()
        place = host_place(frames_in)
        as_before = {} if folder.state == "new" else {"full_depth": False}  # where nothing is recorded
        opened = open_video(source, **{**as_before, **self.plan.video}, place=place)
        if opened.frames.is_floating_point():
            self.plan = self.plan.for_colour(opened.info.colour)
        fitted = restricted(opened, self.plan.mask, self.plan.fit.fit_frames, **self.plan.video)
        fitted = fitted if sound else fitted.without_sound()
        self.original = fitted if self.plan.reference is None else self._reference(fitted, place)
        self._frames, on_disk = seen_frames(fitted, place)
        self._reading_seconds = time.monotonic() - start
        self.video = self._network()
        self.video.origin, self.video.read_sound = self.plan.origin, self.original.read_sound
        fit = self.plan.fit if self.plan.loss is None else dataclasses.replace(self.plan.fit, loss="L1")
        self.need = memory_need(self.video, fit)
        self.loader = FrameLoader(
            self._frames, self.plan.device, place=frames_in, need=self.need.total - self.need.frames, on_disk=on_disk,
            fitted=None if fitted.seen is None else fitted.seen.fitted,
        )  # fmt: skip
        is_noted = self.loader.is_streamed or self.need.total > NOTED_BYTES
        (logger.info if is_noted else logger.debug)("frames: %s; fitting needs %s", self.loader.description, self.need)
        Scorer(self.plan.fit.metrics, self.original.info)  # refuses now what cannot be measured
        for phase in self.plan.fit.split()[1:]:
            Scheduler(make_optimizer(self.video, phase), phase, 1)  # refuses now what it would refuse after hours
        self.guard, self.history, self.own = DivergenceGuard(), History(folder.own), Callbacks(callbacks)
        with_states = Callbacks([self.guard, self.history, self.own])
        self.checkpoints = Checkpoints(folder.path, with_states)
        self.interruption = Interruption(self.checkpoints, self.ranks)
        self.callbacks = Callbacks([with_states, self.interruption, self.checkpoints])

    def _reference(self, fitted: Video, place: str) -> Video:
        """Return the video with the frames that are scored against in place of those that are fitted.

        Raises:
            VideoError: they are not as many, or not as large.
        """
        reference = open_alike(self.plan.reference, self.plan.video, place=place)
        if reference.frames.shape != fitted.frames.shape:
            raise VideoError(
                f"the reference has {len(reference)} frames of {reference.info.size_text}, the video has "
                f"{len(fitted)} of {fitted.info.size_text}; give one that is cut and sized alike"
            )
        return dataclasses.replace(fitted, frames=reference.frames, on_disk=reference.on_disk)

    def _network(self) -> NeuralVideo:
        """Return the network as it is before the first step."""
        info = self.original.info
        if self.folder.state == "extended":
            assert self.folder.path is not None
            return FolderNetwork(self.folder.path).read(NeuralVideo).start_fitting(encode=False)
        config, seed = chosen_config(self.plan.model, info), self.plan.fit.seed
        video = NeuralVideo.seeded(config, info, seed, fitting=True)
        if "fitter" in self._state:  # a checkpoint has its weights; of a fit that was gone on with, none of encoders
            is_whole = len(self._state["fitter"]["model"]) >= len(video.state_dict())
            return video if is_whole else NeuralVideo.seeded(config, info, seed).start_fitting(encode=False)
        weights, std = self.plan.init_from, self.plan.fit.start_std
        if weights is None:
            stage("starting in closed form")
            self._closed_form = set_first_weights(video, self._frames, std)
        else:
            begin_with(video, weights if isinstance(weights, NeuralVideo) else load(weights), self._frames, std)
        return video

    def run(self, on_status: OnStatus | None, clock: Clock, report_follows: bool) -> FitResult:
        """Fit all phases that are left, and measure the result.

        Args:
            on_status: called about twice a second.
            clock: of the fit's time budget.
            report_follows: whether the budget is for a report, too.
        """
        self.ranks.broadcast_weights(self.video)
        if self.plan.fit.batch_size is None:
            stage("choosing a batch size")
            fit = choose_batch(self.video, self.loader, self.plan.fit, self.plan.loss, self.ranks)
            self.plan = dataclasses.replace(self.plan, fit=fit)
            logger.info("frames per step that suit this device: %d; the rate is %.2g", fit.batch_size, fit.lr)
        phases = self.plan.fit.split()
        may_change = may_choose_threads() and not self.plan.fit.deterministic and self.ranks.size == 1
        pace = Pace(may_change) if self.plan.device == "cpu" else None
        state = self._state
        with self.ranks.all_or_none():
            fitter = self._fitter(phases, state, pace)
        self.folder.start(self.plan)
        self._begin(fitter, state)
        exact = plain_float32(benchmark=True, deterministic=self.plan.fit.deterministic)
        with exact, denormals_flushed(), self.interruption.handled():
            if self.plan.fit.time_budget is not None:
                fitter.budget = self._budget(fitter, self.plan.fit.time_budget, clock, report_follows)
            self._run_phase(fitter, on_status)
            for number in range(state["phase"] + 1, len(phases)):
                state = {"phase": number, "before": (fitter.total_seconds, fitter.total_frames)}
                fitter = self._fitter(phases, state, pace)
                self._begin(fitter, state)
                self._run_phase(fitter, on_status)
            self.interruption.begin_measuring()
            return self._finish(fitter)

    def _fitter(self, phases: list[FitConfig], state: dict[str, Any], pace: Pace | None) -> Fitter:
        """Return the loop of the phase that a state names."""
        number = state["phase"]
        own_loss = self.plan.loss if phases[number].loss == phases[0].loss else None
        fitter = Fitter(
            self.video, self.loader, phases[number], own_loss, self.ranks, pace,
            epochs_before=sum(phase.epochs for phase in phases[:number]),
            total_epochs=sum(phase.epochs for phase in phases),
        )  # fmt: skip
        fitter.closed_form = self._closed_form
        fitter.seconds_before, fitter.frames_before = state.get("before", (0.0, 0))
        if self.plan.device == "cpu":
            gradients = fitter.gradients
            at_once = frames_at_once(self.need, gradients.micro_batch, available_memory())
            gradients.micro_batch = min(gradients.micro_batch, at_once)
        return fitter

    def _budget(self, fitter: Fitter, seconds: float, clock: Clock, report_follows: bool) -> TimeBudget:
        """Return the time budget; the evaluation of a few frames tells how much of it the end takes."""
        info = self.original.info
        count = min(max(EVALUATED_PIXELS // (info.height * info.width), 1), info.frames)
        with fitter.in_float32() as video, reported_to(None):
            for _ in range(2):  # the first one sets things up
                start = time.monotonic()
                evaluate(video, self.original, metrics=self.plan.fit.metrics, frames=f"0:{count}")
                per_frame = (time.monotonic() - start) / count
        fixed, per_shown = 0.0 if self.folder.path is None else PICTURES_SECONDS * clock.load, 0.0
        if report_follows:
            fixed += REPORT_SECONDS * clock.load + self._reading_seconds  # which reads the original again
            per_shown = per_frame + REPORT_SECONDS_PER_PIXEL * clock.load * info.height * info.width
        per_frame /= self.ranks.size
        numbers = self.ranks.all_reduce_max(clock.spent, fixed, per_frame, per_shown)
        budget = TimeBudget(seconds, numbers[0], info.frames, Ending(*numbers[1:]))
        logger.debug("%s, %.1f s for steps", budget, budget.available)
        return budget

    def _begin(self, fitter: Fitter, state: dict[str, Any]) -> None:
        """Begin a phase, or go on where a checkpoint was."""
        if "fitter" in state:
            fitter.load_state_dict(state["fitter"])
        self.checkpoints.coming = state["phase"]
        self.callbacks.on_phase(fitter)
        self.checkpoints.callbacks.load_state_dict(state)

    def _run_phase(self, fitter: Fitter, on_status: OnStatus | None) -> None:
        while not fitter.done or fitter.step:  # a checkpoint of an epoch's last step is gone on with at its end
            row = fitter.fit_epoch(on_status, lambda: self.callbacks.on_step(fitter))
            is_accepted = self.callbacks.on_epoch(fitter, row)
            fitter.is_consistent = True
            if is_accepted and (every := fitter.config.eval_every) and (fitter.epoch % every == 0 or fitter.done):
                with fitter.in_float32() as video:
                    scores = {"psnr": shared_psnr(self.ranks, video, self.original)}
                self.callbacks.on_evaluation(fitter, scores)
        fitter.end()
        self.checkpoints.save()

    def _finish(self, fitter: Fitter) -> FitResult:
        """Measure the fitted network, and write the folder."""
        precision = fitter.video.precision
        video = fitter.video.eval().bake(fitter.loader.frames, fitter.loader.fitted).optimize("float32", inductor=False)
        measured = None
        if fitter.budget is not None and fitter.budget.measured_every > 1:
            measured = f"::{fitter.budget.measured_every}"
            logger.info("the time budget leaves time to measure frames %s", measured)
        report = shared_report(self.ranks, video, self.original, self.plan.fit.metrics, measured)
        self.own.on_evaluation(fitter, dict(report.scores))
        self.own.on_end(fitter)
        info, folder, rows = self.original.info, self.folder.own, self.history.rows
        metrics = {
            **{key: value for key, value in report.to_dict().items() if key != "frames"},
            "model": self.plan.model["name"],
            "frames": len(self.original),
            "frames_measured": len(report.frames),
            "height": info.height,
            "width": info.width,
            "epochs": len(rows),
            "batch_size": fitter.batch_size,
            "precision": precision,
            "fit_seconds": round(fitter.total_seconds, 3),
            "fit_frames_per_second": round(fitter.total_frames / max(fitter.total_seconds, 1e-9), 3),
            "recoveries": self.guard.recoveries,
        }
        if folder is not None:
            stage("writing the fit")
            with ending(folder):
                save(video, folder, fit=fit_record(self.plan.record(), metrics))
                video.read_sound = open_run(folder).read_sound
                write_json(folder / METRICS, metrics)
                report.write_csv(folder / FRAMES)
                write_preview(video, self.original, folder / PREVIEW)
                if len(rows) > 1:  # one epoch is no curve
                    plot_psnr({self.plan.model["name"]: rows}, folder / CURVE)
        return FitResult(video, metrics, rows, report, folder)
