"""Before a fit begins: what was chosen for it, and questions where it takes hours or more bytes than its frames."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from enerv_zoo.cli import console
from enerv_zoo.cli.console import count, megabytes
from enerv_zoo.cli.progress import shown
from enerv_zoo.errors import ConfigError
from enerv_zoo.shell import duration

if TYPE_CHECKING:
    from enerv_zoo.config import VideoInfo
    from enerv_zoo.fitting.plan import FitPlan
    from enerv_zoo.summary import ModelSummary

logger = logging.getLogger(__name__)

LONG = 3600.0
"""Seconds on a CPU from which on a fit is begun after a question alone."""

SLOW_CORE = 5e9
"""Multiply-accumulates per second that every machine makes: what takes less than `LONG` there is not measured."""

SEGMENT_FRAMES = 250
"""Frames of a segment, as long as the video is not cut."""


def decide(plan: FitPlan, source: str, began: float | None, report: bool, segments: str | None, yes: bool) -> FitPlan:
    """Return the plan of a fit that is about to begin, without anything open; ask what has to be asked.

    Args:
        plan: the fit.
        source: the video.
        began: when the time budget began, by `time.monotonic()`.
        report: whether a report follows.
        segments: how the video is cut, if it is; a plan that is open stays open until then.
        yes: whether to go on without a question.

    Raises:
        ConfigError: the network is larger than its frames, or the fit is not wanted.
    """
    from enerv_zoo.fitting.choice import choose, look
    from enerv_zoo.fitting.plan import depends_on_speed, is_open
    from enerv_zoo.summary import summarize
    from enerv_zoo.zoo import chosen_config

    was_open, is_timed, size = is_open(plan), depends_on_speed(plan), plan.model.get("size")
    if was_open and segments is not None:
        return plan
    with shown("looking at the video"):
        plan = choose(plan, source, began, report)
        info = look(source, plan, frames=1).info
        part = info if segments is None else replace(info, frames=min(info.frames, SEGMENT_FRAMES))
        summary = summarize(chosen_config(plan.model, part), part)
        seconds = 0.0 if yes else _seconds(plan, info, part, summary)
    if is_timed and (size != plan.model.get("size") or "resize" in plan.video):  # else it is all as it was given
        logger.info("for more: --time-budget 1h, --resize full, --size 3M; as published, on a GPU: --preset paper")
    _check_size(4 * summary.stored_numbers, part, source, is_refused=not (yes or was_open))
    if seconds > LONG:
        _ask(plan, info, seconds)
    return plan


def _seconds(plan: FitPlan, info: VideoInfo, part: VideoInfo, summary: ModelSummary) -> float:
    """Estimate the time of a fit on a CPU; 0 where nobody needs to be asked."""
    from enerv_zoo.fitting.preview import EVALUATION_PASSES, measure_fit

    frames = (plan.fit.total_epochs + EVALUATION_PASSES) * info.frames
    if plan.device != "cpu" or plan.fit.time_budget is not None or 3 * summary.macs * frames < LONG * SLOW_CORE:
        return 0.0
    speed = measure_fit(plan, part).frames_per_second
    return frames / speed if speed else 0.0  # where the memory does not suffice, the fit says so


def _check_size(stored: int, info: VideoInfo, source: str, is_refused: bool) -> None:
    """Say that a network is larger than the frames, or the original, that it is to show.

    Raises:
        ConfigError: it is larger than the frames, and refused.
    """
    from enerv_zoo.video.identity import size_of

    raw, original = 3 * info.pixels, size_of(source)
    if stored > raw:
        text = (
            f"the network takes {megabytes(stored)} in float32, and the {count(info.frames, 'frame')} of "
            f"{info.size_text} that it shows take {megabytes(raw)} as they are"
        )
        if is_refused:
            raise ConfigError(f"{text}; choose a smaller one, such as --size {max(raw // 8000, 1)}K, or add --yes")
        logger.info(text)
    elif original is not None and stored // 4 > original:
        text = "even in 8 bits per parameter, the network is larger than the original: %s and %s"
        logger.info(text, megabytes(stored // 4), megabytes(original))


def _ask(plan: FitPlan, info: VideoInfo, seconds: float) -> None:
    """Ask whether to fit for hours.

    Raises:
        ConfigError: no, or nobody is there to answer.
    """
    text = (
        f"{plan.fit.total_epochs} epochs of {count(info.frames, 'frame')} of {info.size_text} take about "
        f"{duration(seconds)} on this CPU; --time-budget 10m, --resize 360p, --size, --epochs or --frames ::2 bring "
        "that down"
    )
    if not sys.stdin.isatty():
        raise ConfigError(f"{text}, and --yes fits all the same")
    console.err.print(text, soft_wrap=False)
    if not typer.confirm("Fit for so long?", err=True):
        raise ConfigError("nothing was fitted")
