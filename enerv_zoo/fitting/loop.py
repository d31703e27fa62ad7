"""The loop: epochs of steps over all frames, without a needless word to or from the device."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from enerv_zoo.config import FitConfig
from enerv_zoo.errors import ConfigError
from enerv_zoo.metrics import psnr
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.registry import losses

STATUS_INTERVAL = 0.5
"""Seconds between two statuses within an epoch; each one waits for the device."""

WARMUP_FLOOR = 0.1
"""Fraction of the peak rate at which the warm-up starts."""


@dataclass(frozen=True)
class Status:
    """How far a fit is. Loss and PSNR are means over the epoch so far, of frames as they were drawn while fitting.

    Attributes:
        epoch: 1-based; epochs: of how many.
        step: steps done in this epoch; steps: of how many.
        loss: of the objective.
        psnr: dB.
        lr: learning rate of the last step.
        frames_per_second: fitted since the start of this run.
        seconds_left: until the last step.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    psnr: float
    lr: float
    frames_per_second: float
    seconds_left: float


OnStatus = Callable[[Status], None]


class Fitter:
    """Fits a network to frames.

    Args:
        video: the network; fitted in place, on `device`.
        frames: (N, 3, H, W), uint8.
        config: the recipe.
        device: `"cpu"` or `"cuda"`.

    Raises:
        ConfigError: an unknown loss or optimiser, or a loss that frames of this size do not allow.
    """

    def __init__(self, video: NeuralVideo, frames: Tensor, config: FitConfig, device: str = "cpu") -> None:
        self.config = config
        self.video = video.to(device).train()
        self.device = torch.device(device)
        self.frames = frames.to(device) if self.device.type == "cuda" else frames
        self.loss = losses.get(config.loss)(video.info.height, video.info.width)
        self.steps = math.ceil(len(frames) / config.batch_size)
        self.optimizer = make_optimizer(video, config)
        self.scheduler = make_scheduler(self.optimizer, config, config.epochs * self.steps)
        self.epoch = 0
        self.step = 0
        self._sums = torch.zeros(2, dtype=torch.float64, device=self.device)
        self._frames_done = 0

    @property
    def done(self) -> bool:
        """Whether every epoch is over."""
        return self.epoch >= self.config.epochs

    def order(self, epoch: int) -> Tensor:
        """Indices of all frames in the order of an epoch: a function of seed and epoch alone."""
        if not self.config.shuffle:
            return torch.arange(len(self.frames))
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + epoch)
        return torch.randperm(len(self.frames), generator=generator)

    def fit_epoch(self, on_status: OnStatus | None = None) -> dict[str, Any]:
        """Run what is left of the current epoch.

        Returns:
            The epoch's row of history: epoch (1-based), loss, psnr, lr, seconds, frames_per_second.
        """
        start = last = time.perf_counter()
        batches = self.order(self.epoch).split(self.config.batch_size)
        fitted_before = self._frames_done
        for index in batches[self.step :]:
            self._fit_batch(index)
            now = time.perf_counter()
            if on_status is not None and now - last >= STATUS_INTERVAL:
                last = now
                on_status(self._status((self._frames_done - fitted_before) / (now - start)))
        status = self._status(0.0)  # waits for the device
        seconds = time.perf_counter() - start
        rate = (self._frames_done - fitted_before) / max(seconds, 1e-9)
        self.epoch += 1
        self.step = 0
        self._frames_done = 0
        self._sums.zero_()
        row = {"epoch": self.epoch, "loss": status.loss, "psnr": status.psnr, "lr": status.lr}
        return {**row, "seconds": round(seconds, 4), "frames_per_second": round(rate, 3)}

    def _fit_batch(self, index: Tensor) -> None:
        self.scheduler.step_update(self.epoch * self.steps + self.step)
        target = self.frames[index.to(self.frames.device)].to(self.device).float() / 255
        objective, drawn = self.video.objective(index, target, self.loss)
        self.optimizer.zero_grad(set_to_none=True)
        objective.backward()
        if self.config.clip_grad is not None:
            torch.nn.utils.clip_grad_norm_(self.video.parameters(), self.config.clip_grad)
        self.optimizer.step()
        with torch.no_grad():
            self._sums += torch.stack((objective.detach() * len(index), psnr(drawn.detach(), target).sum()))
        self._frames_done += len(index)
        self.step += 1

    def _status(self, rate: float) -> Status:
        loss, quality = (self._sums / max(self._frames_done, 1)).tolist()
        left = (self.config.epochs - self.epoch) * len(self.frames) - self._frames_done
        return Status(
            epoch=self.epoch + 1,
            epochs=self.config.epochs,
            step=self.step,
            steps=self.steps,
            loss=loss,
            psnr=quality,
            lr=self.optimizer.param_groups[0]["lr"],
            frames_per_second=rate,
            seconds_left=left / rate if rate else 0.0,
        )

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs to go on exactly here."""
        return {
            "model": self.video.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "sums": self._sums.cpu(),
            "frames_done": self._frames_done,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state of the same recipe."""
        self.video.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.step, self._frames_done = state["epoch"], state["step"], state["frames_done"]
        self._sums.copy_(state["sums"])


def make_optimizer(video: NeuralVideo, config: FitConfig) -> torch.optim.Optimizer:
    """The timm optimiser that a recipe names, over all parameters alike.

    Raises:
        ConfigError: timm has no such optimiser, or it refuses the recipe's numbers.
    """
    from timm.optim import create_optimizer_v2, list_optimizers

    known = [str(name) for name in list_optimizers()]
    if config.optimizer not in known:
        raise ConfigError(f"unknown optimizer {config.optimizer!r}; timm has {', '.join(known)}")
    try:
        return create_optimizer_v2(
            list(video.parameters()),
            opt=config.optimizer,
            lr=config.lr,
            weight_decay=config.weight_decay,
            betas=config.betas,
            eps=config.eps,
        )
    except (TypeError, ValueError, ImportError, AssertionError) as error:
        raise ConfigError(f"optimizer {config.optimizer!r} refuses this recipe: {error}") from error


def make_scheduler(optimizer: torch.optim.Optimizer, config: FitConfig, steps: int) -> Any:
    """Linear warm-up from a tenth of the rate, then a half cosine to zero, set before each step k = 0 .. steps - 1.

    With K_w = warmup * steps: 0.1 + 0.9 k / K_w below K_w, then (1 + cos(pi (k - K_w) / (steps - K_w))) / 2. This is
    E-NeRV's schedule (warmup 0.2) and HNeRV's `cosine_0.1_1_0.1` (warmup 0.1).
    """
    from timm.scheduler import CosineLRScheduler

    warmup = config.warmup * steps
    return CosineLRScheduler(
        optimizer,
        t_initial=steps - warmup,  # type: ignore[arg-type]  # fractions of a step are fine
        warmup_t=warmup,  # type: ignore[arg-type]
        warmup_lr_init=WARMUP_FLOOR * config.lr,
        warmup_prefix=True,
        t_in_epochs=False,
    )
