"""Facts of a fit before it begins: frames, network, memory, time, bytes. Nothing is fitted or written."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from enerv_zoo.config import VideoInfo
from enerv_zoo.config.compress import DEFAULT_BITS
from enerv_zoo.errors import FitError
from enerv_zoo.fitting.batch import choose_batch, frames_per_second
from enerv_zoo.fitting.frame_loader import FrameLoader
from enerv_zoo.fitting.memory import MemoryNeed, frames_at_once, memory_need
from enerv_zoo.fitting.plan import FitPlan
from enerv_zoo.machine import available_memory
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.precision import denormals_flushed, plain_float32
from enerv_zoo.summary import summarize
from enerv_zoo.threads import usable_threads
from enerv_zoo.zoo import chosen_config

MEASURED_FRAMES = 8
"""Frames that steps are measured on, unless a batch has more."""

MEASURED_SECONDS = 1.0

EVALUATION_PASSES = 0.5
"""Cost of the evaluation at the end, in epochs."""


@dataclass(frozen=True)
class FitPreview:
    """Facts of a fit that has not begun.

    Attributes:
        model: the family's name.
        info: the frames that are fitted.
        networks: how many; one, or one per segment.
        parameters: stored parameters of all networks.
        macs: multiply-accumulates per frame.
        stored_bytes: bytes of the parameters in float32.
        coded_bytes: bytes of the parameters in 8 bits each; entropy coding takes about that or less.
        raw_bytes: bytes of the frames as 8-bit RGB.
        source_bytes: bytes of the original, all of it; `None` where it has none, or nobody knows.
        memory_bytes: largest memory of the fit on its device.
        available_bytes: memory of the host that is free now; `None` where the system does not say.
        batch_size: frames per step.
        epochs: of all phases; under a time budget an estimate.
        is_timed: whether the fit has a time budget.
        seconds: time of the fit and its evaluation, measured on a few steps on this machine; `None` where the memory
            does not suffice.
        device: `"cpu"` or `"cuda"`.
    """

    model: str
    info: VideoInfo
    networks: int
    parameters: int
    macs: int
    stored_bytes: int
    coded_bytes: int
    raw_bytes: int
    source_bytes: int | None
    memory_bytes: int
    available_bytes: int | None
    batch_size: int
    epochs: int
    is_timed: bool
    seconds: float | None
    device: str


@usable_threads()
def preview_fit(
    plan: FitPlan, info: VideoInfo, source_bytes: int | None = None, segments: Sequence[int] = ()
) -> FitPreview:
    """Preview a fit; a few steps on random frames measure its time.

    Args:
        plan: the fit.
        info: the frames that are fitted.
        source_bytes: bytes of the original.
        segments: frames of each segment; none where one network is fitted to all.

    Raises:
        ConfigError: the network cannot be made.
    """
    lengths = list(segments) or [info.frames]
    part = dataclasses.replace(info, frames=max(lengths), timestamps=None)
    measured = measure_fit(plan, part)
    summary, need, speed = summarize(measured.video.config, part), measured.need, measured.frames_per_second
    epochs = plan.fit.total_epochs
    seconds: float | None = None
    if speed and plan.fit.time_budget is not None:
        seconds = plan.fit.time_budget
        epochs = plan.timed_epochs or max(round(seconds * speed / info.frames - EVALUATION_PASSES), 1)
    elif speed:
        seconds = (epochs + EVALUATION_PASSES) * info.frames / speed
    parameters = len(lengths) * summary.stored_numbers
    return FitPreview(
        model=str(plan.model["name"]),
        info=info,
        networks=len(lengths),
        parameters=parameters,
        macs=summary.macs,
        stored_bytes=4 * parameters,
        coded_bytes=round(parameters * DEFAULT_BITS if plan.fit.bpp is None else plan.fit.bpp * info.pixels) // 8,
        raw_bytes=3 * info.pixels,
        source_bytes=source_bytes,
        memory_bytes=need.total,
        available_bytes=available_memory(),
        batch_size=measured.batch_size,
        epochs=epochs,
        is_timed=plan.fit.time_budget is not None,
        seconds=seconds,
        device=plan.device,
    )


@dataclass(frozen=True)
class MeasuredFit:
    """A network, and how fast it is fitted here.

    Attributes:
        video: the network.
        need: memory of the fit.
        batch_size: frames per step.
        frames_per_second: that steps fit; 0 where the memory does not suffice.
    """

    video: NeuralVideo
    need: MemoryNeed
    batch_size: int
    frames_per_second: float


@usable_threads()
def measure_fit(plan: FitPlan, info: VideoInfo, seconds: float = MEASURED_SECONDS) -> MeasuredFit:
    """Measure steps of a fit on random frames, for so many seconds.

    Raises:
        ConfigError: the network cannot be made.
    """
    video = NeuralVideo.seeded(chosen_config(plan.model, info), info, plan.fit.seed, fitting=True)
    fit = dataclasses.replace(plan.fit, phases=(), loss=plan.fit.loss if plan.loss is None else "L1")
    need = memory_need(video, fit)
    try:
        at_once = frames_at_once(need, need.batch, available_memory() if plan.device == "cpu" else None)
    except FitError:
        return MeasuredFit(video, need, need.batch, 0.0)
    generator = torch.Generator().manual_seed(0)
    count = min(max(fit.batch_size or 1, MEASURED_FRAMES), info.frames)
    frames = torch.randint(256, (count, 3, info.height, info.width), dtype=torch.uint8, generator=generator)
    loader = FrameLoader(frames, plan.device)
    video = video.to(plan.device)
    with plain_float32(benchmark=True), denormals_flushed():
        if fit.batch_size is None:
            fit = choose_batch(video, loader, fit)
        batch = min(fit.batch_size or 1, at_once, count)
        speed = frames_per_second(video, loader, dataclasses.replace(fit, batch_size=batch), seconds)
    return MeasuredFit(video, need, fit.batch_size or 1, speed)
