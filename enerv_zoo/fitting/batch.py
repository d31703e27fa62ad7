"""Number of frames per step, where the recipe leaves it to the device."""

from __future__ import annotations

import dataclasses
import logging
import time

import torch

from enerv_zoo.config import FitConfig
from enerv_zoo.fitting.frame_loader import FrameLoader
from enerv_zoo.fitting.loop import Fitter
from enerv_zoo.fitting.ranks import ALONE, Ranks
from enerv_zoo.losses import Loss
from enerv_zoo.machine import synchronize
from enerv_zoo.neural_video import NeuralVideo

logger = logging.getLogger(__name__)

BATCHES = (1, 2, 4, 8, 16, 32)
MIN_SPEEDUP = 1.25
"""A batch twice as large has to fit this many times as many frames per second: each step then learns less a frame."""

MEASURED_SECONDS = 0.3
FRACTION = 0.03
"""Each batch is measured for so long, or for this part of a time budget if that is less."""


LONG_STEP = 3.0
"""Seconds of a first step from which on it is the measurement."""


def choose_batch(
    video: NeuralVideo, loader: FrameLoader, config: FitConfig, loss: Loss | None = None, ranks: Ranks = ALONE
) -> FitConfig:
    """The recipe with the batch size that suits the device, and the rate scaled by its root.

    Doubles the batch as long as that fits enough more frames per second. The network's weights stay as they are. Of
    several processes the first one measures; a batch holds what suits it, for each of them.
    """
    alone = ranks.broadcast_from_zero(lambda: _measured_batch(video, loader, config, loss))
    batch = min(alone * ranks.size, len(loader))
    return dataclasses.replace(config, batch_size=batch, lr=config.lr * batch**0.5)


def _measured_batch(video: NeuralVideo, loader: FrameLoader, config: FitConfig, loss: Loss | None) -> int:
    seconds = min(MEASURED_SECONDS, FRACTION * (config.time_budget or float("inf")))
    best, speed = 1, 0.0
    weights = {name: tensor.clone() for name, tensor in video.state_dict().items()}
    for batch in (size for size in BATCHES if size <= len(loader)):
        reached = frames_per_second(video, loader, dataclasses.replace(config, batch_size=batch), seconds, loss)
        if reached < MIN_SPEEDUP * speed:
            break
        best, speed = batch, reached
    video.load_state_dict(weights)
    logger.debug("%d frames per step fit %.1f frames/s", best, speed)
    return best


def frames_per_second(
    video: NeuralVideo, loader: FrameLoader, config: FitConfig, seconds: float, loss: Loss | None = None
) -> float:
    """Return how many frames steps fit per second; 0 where a batch does not pass the network at once."""
    fitter = Fitter(video, loader, config, loss=loss)
    if fitter.constraint is not None:
        fitter.constraint.as_stored = None  # what encoders compute is counted seldom, of frames that may not be here
    if fitter.gradients.micro_batch < fitter.batch_size:
        return 0.0
    index = loader.fitted[: fitter.batch_size].to(loader.frames.device)
    _, frames = next(loader.batches([index], video.content_neighbours))
    fitter.gradients.enable_cuda_graphs(0.0)
    start = _now(loader.device)
    fitter.fit_batch(index, frames)  # the first one sets things up
    if fitter.gradients.micro_batch < fitter.batch_size:  # memory ran out
        return 0.0
    if (first := _now(loader.device) - start) > LONG_STEP:
        return fitter.batch_size / first
    while not fitter.gradients.is_warmed_up:
        fitter.fit_batch(index, frames)
    steps, start = 0, _now(loader.device)
    while (spent := _now(loader.device) - start) < seconds or not steps:
        fitter.fit_batch(index, frames)
        steps += 1
    return steps * fitter.batch_size / spent


def _now(device: torch.device) -> float:
    synchronize(device)
    return time.perf_counter()
