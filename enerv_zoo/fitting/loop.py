"""Training loop of one phase: epochs of steps over all frames, without a needless word to or from the device."""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from enerv_zoo.compatibility import current_names
from enerv_zoo.config import FitConfig
from enerv_zoo.errors import FitError
from enerv_zoo.fitting.average import WeightAverage
from enerv_zoo.fitting.budget import TimeBudget
from enerv_zoo.fitting.constraint import WeightConstraint
from enerv_zoo.fitting.first_weights import set_first_weights
from enerv_zoo.fitting.frame_loader import FrameLoader
from enerv_zoo.fitting.gradients import BatchGradients
from enerv_zoo.fitting.meter import EpochMeter
from enerv_zoo.fitting.pace import Pace
from enerv_zoo.fitting.ranks import ALONE, Ranks
from enerv_zoo.fitting.sharing import SharedStep
from enerv_zoo.losses import Loss, build_loss, ready_loss
from enerv_zoo.machine import synchronize
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.optimizers import Scheduler, make_optimizer
from enerv_zoo.progress import OnStatus, Status

logger = logging.getLogger(__name__)

STATUS_INTERVAL = 0.5
"""Seconds between two looks at the numbers within an epoch; each one waits for the device."""

STEPS_BETWEEN_SYNCS = 32
"""Steps after which the host waits for a GPU, so that its clock tells the GPU's time; between them it runs ahead."""

OnStep = Callable[[], None]


class Fitter:
    """Fits a network to frames: one phase of a fit.

    Args:
        video: the network; fitted in place.
        loader: the frames; its device is where the network goes.
        config: the recipe, with a batch size.
        loss: a callable (prediction, target) -> scalar in place of the one that the recipe names; a module is moved to
            the loader's device.
        pace: watches how fast steps are on a CPU, and may change the number of threads.
        ranks: the processes that share each batch. All of them step alike: what depends on the clock, on memory or on
            a signal is agreed on first.
        constraint: on the weights in every step; by default what the recipe says (`bits`, `prune`).
        epochs_before: epochs of the phases before this one.
        total_epochs: epochs of all phases; by default those of the recipe.

    Attributes:
        epoch: epochs that are over.
        step: steps that are over in the current one.
        rate_scale: factor on the learning rate; lowered after a collapse.
        attempt: how often the fit was rolled back; another attempt takes frames in another order.
        seconds_before, frames_before: what the phases before this one took, and how many frames they fitted.
        began: progress at which the weights were initial ones: 0, or more after a restart under a time budget.
        seconds, frames_fitted: what all steps so far took, and how many frames they fitted.
        seconds_between: what was done between steps took: evaluations, checkpoints, the guard's looks, callbacks.
        budget: the time budget, or `None`; by default that of the recipe, nothing of which is spent.
        closed_form: tensors set in closed form (`set_first_weights`), by name; `None` where a restart computes them.
        ends_epoch: set by a callback after a step, ends the epoch there.
        gradients: of batches; its `micro_batch` frames pass the network at once.
        is_consistent: whether the state is that of a whole step; not so while a step changes it, nor after an epoch
            until its row of history is kept.

    Raises:
        ConfigError: an unknown loss or optimiser, or a loss that frames of this size do not allow.
    """

    def __init__(
        self,
        video: NeuralVideo,
        loader: FrameLoader,
        config: FitConfig,
        loss: Loss | None = None,
        ranks: Ranks = ALONE,
        pace: Pace | None = None,
        constraint: WeightConstraint | None = None,
        epochs_before: int = 0,
        total_epochs: int | None = None,
    ) -> None:
        self.pace = pace
        self.config = config
        self.ranks = ranks
        self.loader = loader
        self.device = loader.device
        self.video = video.to(self.device).optimize(config.precision, inductor=False).train()
        built = build_loss(config.loss, video.info.height, video.info.width) if loss is None else loss
        self.loss = ready_loss(built, self.device)
        self.batch_size = config.batch_size or 1
        self.steps = math.ceil(len(loader) / self.batch_size)
        self.optimizer = make_optimizer(video, config)
        steps = config.epochs * self.steps
        self.scheduler = Scheduler(self.optimizer, config, steps)
        self.constraint = constraint or WeightConstraint.of(video, config, None if config.time_budget else steps)
        if self.constraint is not None and video.encoding():
            self.constraint.as_stored = self.in_float32
        self.average = None if config.ema is None else WeightAverage(video, config.ema)
        self.epochs_before = epochs_before
        self.total_epochs = total_epochs or config.epochs
        self.epoch = self.step = self.attempt = 0
        self.rate_scale, self.began = 1.0, 0.0
        self.closed_form: dict[str, Tensor] | None = None
        self.ends_epoch = False
        time_budget = config.time_budget
        self.budget = None if time_budget is None else TimeBudget(time_budget, frames=len(loader))
        self._looked = 0.0  # when the last status was given, in seconds of fitting
        self.is_consistent = True
        self.seconds, self.seconds_between, self.frames_fitted = 0.0, 0.0, 0
        self._mark: float | None = None  # when the last lap ended
        self._pause = 0.0  # since the last step, as far as it is not counted yet
        self.seconds_before, self.frames_before = 0.0, 0
        self.meter = EpochMeter(loader.frames, self.device)
        self._shared = SharedStep(ranks, self.video)
        self.gradients = BatchGradients(self.video, self.loss, self.meter, self.constraint, self.batch_size)

    # ------------------------------------------------------------------ how far

    @property
    def progress(self) -> float:
        """Fraction of the fit that is done: of its steps, or of its time where it has a budget."""
        if self.budget is not None:
            return self.budget.progress(self._elapsed, self.frames_fitted / self.batch_size)
        return (self.epoch * self.steps + self.step) / (self.config.epochs * self.steps)

    @property
    def _elapsed(self) -> float:
        return self.seconds + self.seconds_between

    @property
    def schedule(self) -> float:
        """Fraction of the rate's schedule that is over: that of `progress` since these weights were initial ones."""
        return (self.progress - self.began) / (1 - self.began) if self.began < 1 else 1.0

    @property
    def total_seconds(self) -> float:
        """Seconds of all steps so far, those of earlier phases too."""
        return self.seconds_before + self.seconds

    @property
    def total_frames(self) -> int:
        """Frames fitted so far, in earlier phases too."""
        return self.frames_before + self.frames_fitted

    @property
    def done(self) -> bool:
        """Return whether the last step is over."""
        return self.progress >= 1

    @property
    def pays_for_bits(self) -> bool:
        """Return whether weights are worth their bits alone, so that frames may become worse without a collapse."""
        return self.constraint is not None and self.constraint.is_rated

    @property
    def current_epoch(self) -> int:
        """The current epoch, 1-based, over all phases."""
        return self.epochs_before + self.epoch + 1

    @property
    def steps_done(self) -> int:
        """Steps since the start of the phase."""
        return self.epoch * self.steps + self.step

    def order(self, epoch: int) -> Tensor:
        """Indices of all fitted frames in the order of an epoch: a function of seed, attempt and epoch alone."""
        if not self.config.shuffle:
            return self.loader.fitted
        seed = (self.config.seed * 1_000_003 + self.attempt * 500_009 + self.epochs_before + epoch) % 2**64
        return self.loader.fitted[torch.randperm(len(self.loader), generator=torch.Generator().manual_seed(seed))]

    # ------------------------------------------------------------------ steps

    def fit_epoch(self, on_status: OnStatus | None = None, on_step: OnStep | None = None) -> dict[str, Any]:
        """Run what is left of the current epoch; it ends early where time is up, a callback says so (`ends_epoch`), or
        the loss is not finite any more.

        Args:
            on_status: called about twice a second.
            on_step: called after every step.

        Returns:
            The epoch's row of history: epoch (1-based), loss, psnr, contrast (variance of the decoded frames over that
            of the video's), explained (fraction of the video's coarse changes in time that the frames show; 0 or less
            for the mean image, `None` where there are none), lr, seconds, frames_per_second.
        """
        order = self.order(self.epoch).to(self.loader.frames.device)  # once, rather than a copy for every step
        left = () if self.ends_epoch else order.split(self.batch_size)[self.step :]
        if self._mark is None:
            self._mark = time.perf_counter()
        self._pause += self._lap()
        shares = self.loader.batches((self.ranks.share(batch) for batch in left), self.video.content_neighbours)
        for batch, (index, frames) in zip(left, shares, strict=True):
            self.fit_batch(index, frames, len(batch))
            self._count_time(lap := self._lap())
            if self.pace is not None:
                self.pace.after_step(lap, len(batch))
            if self.step % STEPS_BETWEEN_SYNCS == 0:
                self._catch_up()
            if self.seconds - self._looked >= STATUS_INTERVAL:
                self._catch_up()
                self._looked = self.seconds
                status = self._status()
                if not math.isfinite(status.loss):
                    break
                if on_status is not None:
                    on_status(status)
            if on_step is not None:
                on_step()
            self._pause += self._lap()
            if self.ends_epoch or (self.budget is not None and self.done):
                break
        self.ends_epoch = False
        self._catch_up()
        row = self._end_epoch()
        if not (self.gradients.may_replay or self.config.deterministic):
            self.gradients.enable_cuda_graphs(self._status().seconds_left)
        return row

    def _catch_up(self) -> None:
        """Wait until a GPU has done what it was asked for: that time counts, too."""
        if self.device.type != "cpu":
            self._pause += self._lap()
            synchronize(self.device)
            self._count_time(self._lap())

    def _lap(self) -> float:
        """Return the seconds since this was last asked for."""
        before, self._mark = self._mark, time.perf_counter()
        return 0.0 if before is None else self._mark - before

    def _count_time(self, lap: float) -> None:
        """Add the seconds of a step, and those since the one before, as the slowest process has them.

        Schedules so stay the same everywhere.
        """
        lap, pause = self.ranks.all_reduce_max(lap, self._pause)
        self.seconds += lap
        self.meter.seconds += lap
        self.seconds_between += pause
        self._pause = 0.0

    def fit_batch(self, index: Tensor, frames: Tensor, batch: int | None = None) -> None:
        """One step on frames, uint8, of indices (B,): this process's part of a batch of `batch` frames.

        They are (B, 3, H, W), or (B, 1 + A, 3, H, W) with those around them (`Network.content_neighbours`).

        Raises:
            FitError: out of memory with a single frame, here or in another process.
            RankLost: another process is gone; the state is that of the last step.
        """
        batch = len(index) if batch is None else batch
        progress = self.schedule
        place = progress * self.config.epochs * self.steps
        self.scheduler.set_rate(place, self.steps_done, self.rate_scale)
        sums, failure = self.meter.zeros(), None
        self.is_consistent = not self.gradients.changes_more
        try:
            sums = self.gradients(index, frames, batch)
        except FitError as error:
            failure = error
        self.gradients.micro_batch = self._shared.agree(failure, self.gradients.micro_batch)
        self.is_consistent = False
        self._shared.add(sums, index, batch)
        if self.constraint is not None:
            self.constraint.after_backward(progress, self.scheduler.lr / self.config.lr)
        if self.config.clip_grad is not None:
            torch.nn.utils.clip_grad_norm_(self.video.parameters(), self.config.clip_grad)
        self.optimizer.step()
        if self.constraint is not None:
            self.constraint.after_step(progress)
        if self.average is not None:
            self.average.update(self.steps_done)
        self.meter.add(sums, batch)
        self.frames_fitted += batch
        self.step += 1
        self.is_consistent = True

    def _end_epoch(self) -> dict[str, Any]:
        status = self._status()
        row = {"epoch": status.epoch, "loss": status.loss, "psnr": status.psnr, "lr": status.lr, **self.meter.row()}
        self.is_consistent = False
        self.epoch += 1
        self.step = 0
        self.meter.reset()
        return row

    def _status(self) -> Status:
        loss, quality = self.meter.means()
        progress = self.progress
        return Status(
            epoch=self.current_epoch,
            epochs=self.total_epochs if self.config.time_budget is None else None,
            step=self.step,
            steps=self.steps,
            loss=loss,
            psnr=quality,
            lr=self.scheduler.lr * self.rate_scale,
            progress=(self.epochs_before + progress * self.config.epochs) / self.total_epochs,
            frames_per_second=self.frames_fitted / max(self.seconds, 1e-9),
            seconds_left=self._seconds_left(progress),
        )

    def _seconds_left(self, progress: float) -> float:
        """Estimate the seconds of all steps that are left, those of later phases too."""
        if not progress:
            return 0.0
        phases = (self.total_epochs - self.epochs_before) / self.config.epochs
        return self._elapsed * (phases - progress) / progress

    # ------------------------------------------------------------------ states

    @contextmanager
    def in_float32(self) -> Iterator[NeuralVideo]:
        """The network as it would be if the fit ended here, computing in float32 while the block runs."""
        with self.average.applied() if self.average is not None else nullcontext():
            if self.video.is_fitting or self.loader.has_unseen:
                baked = copy.deepcopy(self.video).bake(self.loader.frames, self.loader.fitted)
                baked.precision = "float32"
                yield baked
                return
            with self.video.in_float32():
                yield self.video

    def end(self) -> None:
        """Make the weights those that the phase is to end with: their average, if there is one, or their levels."""
        if self.average is not None:
            self.average.adopt()
        if self.constraint is not None:
            self.constraint.end()

    def healthy(self) -> bool:
        """Return whether every weight, every average of one and every sum is finite."""
        averages = self.average.tensors if self.average is not None else ()
        return all(bool(t.isfinite().all()) for t in (*self.video.parameters(), *averages, self.meter.sums))

    def restart(self, seed: int) -> None:
        """Begin again from other initial weights, with the whole schedule; rate, attempts and spent time stay."""
        video = self.video
        fresh = NeuralVideo.seeded(video.config, video.info, seed, fitting=video.is_fitting)
        self.closed_form = set_first_weights(fresh, self.loader.frames, self.config.start_std, self.closed_form)
        self.ranks.broadcast_weights(fresh)
        video.load_state_dict(fresh.state_dict())
        self.optimizer.state.clear()
        if self.average is not None:
            self.average.reset()
        if self.constraint is not None:
            self.constraint.restart()
            self.gradients.record_anew()
        self.epoch = self.step = 0
        self.meter.reset()
        self.began = self.progress

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs to go on exactly here; tensors are the fitter's own."""
        return {
            "model": self.video.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            **self.meter.state_dict(),
            "on_one_thread": self.pace is not None and self.pace.on_one_thread,
            "constraint": self.constraint and self.constraint.state_dict(),
            **({} if self.average is None else {"average": self.average.state_dict()}),
            **{name: getattr(self, name) for name in _COUNTERS},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state of the same recipe; older ones have the names of format 1, and fewer counters."""
        model = current_names(self.video.config, state["model"])
        places = {name: place for place, (name, _) in enumerate(self.video.named_parameters())}
        order = [places[name] for name in model if name in places]
        moments = {order[place]: value for place, value in state["optimizer"]["state"].items()}
        self.video.load_state_dict(model)
        self.optimizer.load_state_dict({**state["optimizer"], "state": moments})
        self.meter.load_state_dict(state)
        if self.pace is not None:
            self.pace.use(state.get("on_one_thread", False))
        if self.constraint is not None:
            self.constraint.load_state_dict(state["constraint"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        for name in _COUNTERS:
            setattr(self, name, state.get(name, getattr(self, name)))


_COUNTERS = (
    "epoch", "step", "attempt", "rate_scale", "began", "seconds", "frames_fitted", "seconds_before", "frames_before",
    "seconds_between",
)  # fmt: skip
