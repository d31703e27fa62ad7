"""Frame size and network of a fit that leaves them open: as large as there is time for, on this machine.

A network's quality grows with its epochs and its size, a picture's with its pixels, and time has to be shared out among
the three. What is known of that, from measurements of this project and from the sizes that papers use:

- About 20 epochs of 0.5 M parameters at 256x144 and 132 frames reach 32.9 dB, about 75 reach 34.5 dB (`docs/zoo.md`): a
  doubling is worth 0.8 dB. With 5 epochs or fewer, little beyond the closed form's picture is learnt.
- A step takes about 8.7 ms of a core for a frame of 256x144, and about in proportion to the pixels.
- Networks of 0.5 M for 4.9 million pixels (`configs/quick.yaml`) and of 3 M for 108 million (132 frames of 1280x640, a
  size that papers report) suit their videos: parameters grow with the pixels to the power of 0.6.

`choose_size` is all of it. The step speed is measured with the network that is chosen, which is repeated until it does
not change any more.

A fit to a rate (`bpp`) has the network that suits the rate instead (`size_for_rate`).
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from enerv_zoo.config import OPEN, Spec, VideoInfo
from enerv_zoo.errors import ConfigError
from enerv_zoo.fitting.budget import PICTURES_SECONDS, REPORT_SECONDS
from enerv_zoo.fitting.plan import FitPlan, depends_on_speed, is_open
from enerv_zoo.fitting.preview import measure_fit
from enerv_zoo.fitting.ranks import Ranks
from enerv_zoo.shell import duration
from enerv_zoo.video.reading import prepare
from enerv_zoo.video.scenes import survey
from enerv_zoo.video.sizes import parse_resize
from enerv_zoo.video.source import ReadOptions
from enerv_zoo.video.transforms import Transform
from enerv_zoo.zoo import NEAR, nearest_size

logger = logging.getLogger(__name__)

EPOCHS = 40.0
"""Epochs for which frames are chosen as large as there is time for."""

OTHER_EPOCHS = 1.0
"""What the start in closed form, the evaluation and the report take, in epochs."""

FEWEST_EPOCHS = 5

CORE_SPEED = 256 * 144 / 8.7e-3
"""Pixels that one core fits per second, before it is measured."""

SLOWEST = CORE_SPEED / 20
"""Pixels per second that every machine and network fits; where that suffices, nothing is measured."""

SUITED_PARAMETERS, SUITED_PIXELS, GROWTH = 0.5e6, 132 * 256 * 144, 0.6
"""A network that suits a video, and the power of the pixels with which it grows."""

SURPLUS_GROWTH = 1 / 3
"""The power with which it grows where there is time for more epochs of frames in full size: part of it, as a file grows
with the network."""

MOST_PER_PIXEL = 0.3
"""Parameters per pixel at the most: as float32, they take two fifths of the frames as they are."""

BITS_PER_PARAMETER = 2.0
"""Bits of a parameter in a network of the size that measured best for a rate (docs/compression.md)."""

FILE_BITS = 8 * 1600
"""Bits of a file without its levels: its head, scales and tables take 1.5 to 2.5 kB."""

FEWEST_BITS = 8 * 4000
"""Bits of the smallest file that is fitted for; of a smaller one most are head, and what they leave shows no video."""

RAW_BITS = 24
"""Bits per pixel of the frames as they are."""

FEWEST_PIXELS = 128 * 72
"""Pixels of a frame below which frames are not made smaller."""

AS_IT_IS = 0.9
"""Frames that would be resized to this part of their pixels, or to more, are taken as they are."""

DEFAULT_SECONDS = 300.0
"""Time of a fit that leaves sizes open, and says how many epochs."""

ROUNDS, SAME = 3, 1.25
"""Measurements at the most, and the ratio of frame sizes that are about the same."""

MEASURED_SECONDS = 0.4
"""Length of each measurement, after a first step."""

READ_FRAMES = 8
READ_SIZE = "0.05MP"
"""Frames that are read to see how long all take, and the size to which they are resized there."""


@dataclass(frozen=True)
class Sizes:
    """A choice.

    Attributes:
        pixels: of a frame.
        parameters: stored.
        epochs: for which there is time.
    """

    pixels: float
    parameters: float
    epochs: float


def choose_size(
    frames: int, pixels: float, work: float, *, epochs: float = EPOCHS, fewest_pixels: float = FEWEST_PIXELS
) -> Sizes:
    """Choose the size of frames and the network.

    Frames are as large as `epochs` of them allow. Where frames in full size leave time, it is for more epochs and for a
    larger network.

    Args:
        frames: of the video, or of each of its segments.
        pixels: of a frame in full size.
        work: pixels of `frames` that steps can fit in the time; each epoch takes `frames` times those of a frame.
        epochs: to be fitted.
        fewest_pixels: of a frame; those of the full size leave no choice.
    """
    passes = work / frames
    size = min(pixels, max(passes / epochs, fewest_pixels))
    surplus = max(passes / (epochs * size), 1.0)
    suited = SUITED_PARAMETERS * (frames * size / SUITED_PIXELS) ** GROWTH * surplus**SURPLUS_GROWTH
    return Sizes(size, min(suited, MOST_PER_PIXEL * frames * size), passes / size)


def size_for_rate(model: Spec, info: VideoInfo, bpp: float) -> str | int | None:
    """Return the number of stored parameters that suits a fit to a rate; `None` where no width is left to scale.

    Args:
        model: the network (`enerv_zoo.zoo.choose_model`), whose size is left open.
        info: the frames that the file shows.
        bpp: bits per pixel of the file.

    Raises:
        ConfigError: unknown family or option, or no network of the family has such a rate.
    """
    if bpp >= RAW_BITS:
        raise ConfigError(f"the frames as they are take {RAW_BITS} bits per pixel, got {bpp:g}; ask for fewer (bpp)")
    suited = budget = max(round((bpp * info.pixels - FILE_BITS) / BITS_PER_PARAMETER), 1)
    while (size := nearest_size({**model, "size": budget}, info)) is not None and int(size) > (1 + NEAR) * budget:
        budget *= 2  # until there is one
    if budget > suited or bpp * info.pixels < FEWEST_BITS:
        least = max(BITS_PER_PARAMETER * budget + FILE_BITS, FEWEST_BITS) / info.pixels
        raise ConfigError(
            f"no {model['name']} for {info.frames} frames of {info.size_text} is small enough for {bpp:g} bits per "
            f"pixel; ask for {1.05 * least:.2g} or more (bpp)"
        )
    return size


def at_rate(plan: FitPlan, info: VideoInfo) -> FitPlan:
    """Return a plan whose network has the size that suits its rate, where it leaves that open.

    Args:
        plan: a fit, whose frames are decided.
        info: these frames.

    Raises:
        ConfigError: as `size_for_rate` does.
    """
    if plan.fit.bpp is None or plan.model.get("size") != OPEN:
        return plan
    return replace(plan, model=_sized(plan.model, size_for_rate(plan.model, info, plan.fit.bpp)))


def _sized(model: Spec, size: str | int | None) -> dict[str, Any]:
    """Return a network with a size; without one where it is `None`."""
    return {**{key: value for key, value in model.items() if key != "size"}, **({} if size is None else {"size": size})}


@dataclass(frozen=True)
class Clip:
    """A video before its size is chosen.

    Attributes:
        info: its frames in full size, or as large as the plan says.
        reading: seconds to read a frame.
    """

    info: VideoInfo
    reading: float


def look(source: Any, plan: FitPlan, frames: int = READ_FRAMES) -> Clip:
    """Read a few frames of the video of a plan.

    Raises:
        VideoError: it cannot be read, or has fewer frames than the plan takes.
    """
    options = {key: value for key, value in plan.video.items() if value not in (None, OPEN)}
    part, resize, crop = (options.pop(key, None) for key in ("frames", "resize", "crop"))
    reading = prepare(source, part, resize, crop, ReadOptions(**options))
    shrink = Transform(reading.transform.crop, parse_resize(READ_SIZE))
    start, times = time.monotonic(), []
    for frame, _ in islice(reading.frames(), frames):
        size = reading.transform.size(*frame.shape[:2])
        shrink(frame)
        times.append(time.monotonic() - start)
    count = reading.source.count
    if count is None or (reading.selection.stop or 0) > count:  # a claim, or less than is asked for
        count = survey(source, **{**plan.video, "resize": None}, scenes=False).info.frames
    else:
        count = len(reading.selection.indices(count))
    return Clip(VideoInfo(count, *size), times[-1] / len(times))


def choose(
    plan: FitPlan, source: Any, began: float | None = None, report_follows: bool = False, segments: Sequence[int] = ()
) -> FitPlan:
    """Return a plan that leaves nothing open, and log it; what it says already stays. Takes a second or two.

    Args:
        plan: the fit.
        source: the video, as `enerv_zoo.fit` takes it.
        began: when its time budget began, by `time.monotonic()`; by default now.
        report_follows: whether the budget is for a report, too.
        segments: frames of each segment; none where one network is fitted to all.

    Raises:
        EnervZooError: the video cannot be read, or no network can be made for it.
    """
    if not is_open(plan):
        return plan
    if not depends_on_speed(plan):
        chosen = at_rate(plan, look(source, plan, frames=1).info)
        name = chosen.model["name"]
        logger.info("chosen for %g bits per pixel: %s, %s parameters", plan.fit.bpp, name, _size_text(chosen))
        return chosen
    began = time.monotonic() if began is None else began
    clip = look(source, plan)
    frames, pixels = clip.info.frames, clip.info.height * clip.info.width
    longest = max(segments, default=frames)
    fewest = FEWEST_PIXELS if plan.video.get("resize") == OPEN else pixels
    seconds, epochs = plan.fit.time_budget or DEFAULT_SECONDS, EPOCHS
    if plan.fit.time_budget is None:
        epochs = float(plan.fit.total_epochs)
    reads = 2 if report_follows else 1  # it reads the original again
    after = PICTURES_SECONDS + reads * frames * clip.reading + (REPORT_SECONDS if report_follows else 0.0)
    speed, measured = CORE_SPEED, 0
    if plan.model.get("size") != OPEN and epochs * frames * pixels < SLOWEST * seconds:
        return replace(plan, video={key: value for key, value in plan.video.items() if key != "resize"})
    for _ in range(ROUNDS):
        left = max(seconds - (time.monotonic() - began) - after, 1.0)
        work = speed * left * longest / frames * epochs / (epochs + OTHER_EPOCHS)
        sizes = choose_size(longest, pixels, work, epochs=epochs, fewest_pixels=fewest)
        chosen, info = _decided(plan, replace(clip.info, frames=longest), sizes)
        size = info.height * info.width
        if measured and max(size, measured) <= SAME * min(size, measured):
            break
        rate, measured = measure_fit(chosen, info, MEASURED_SECONDS).frames_per_second, size
        if not rate and fewest < size:  # the memory does not suffice
            pixels = max(size // 2, fewest)
        else:
            speed = rate * size or speed
    if plan.fit.time_budget is not None:
        chosen = replace(chosen, timed_epochs=max(round(sizes.epochs), 1))
    logger.info(_described(chosen, info, clip.info, frames, seconds))
    if sizes.epochs < FEWEST_EPOCHS and plan.fit.time_budget is not None:
        logger.warning(too_short(seconds, sizes.epochs, frames))
    return chosen


def choose_on_zero(ranks: Ranks, plan: FitPlan, *arguments: Any) -> FitPlan:
    """Let rank 0 `choose`, for every process."""
    if not is_open(plan):
        return plan
    return replace(plan, **ranks.broadcast_from_zero(lambda: choose(plan, *arguments).decisions))


def _decided(plan: FitPlan, full: VideoInfo, sizes: Sizes) -> tuple[FitPlan, VideoInfo]:
    """Return a plan with sizes in place of what it leaves open, and its frames."""
    video, model, info = dict(plan.video), dict(plan.model), full
    if video.get("resize") == OPEN:
        del video["resize"]
        if sizes.pixels < AS_IT_IS * full.height * full.width:
            video["resize"] = f"{sizes.pixels / 1e6:.2g}MP"
            height, width = parse_resize(video["resize"]).size(full.height, full.width)
            info = replace(full, height=height, width=width)
    if model.get("size") == OPEN and plan.fit.bpp is None:
        size = max(sizes.parameters, 1e3)
        unit, letter = (1e6, "M") if size >= 1e6 else (1e3, "K")
        text = f"{float(f'{size / unit:.2g}'):g}{letter}"
        model = _sized(model, nearest_size({**model, "size": text}, info))
    return at_rate(replace(plan, model=model, video=video), info), info


def _described(plan: FitPlan, info: VideoInfo, full: VideoInfo, frames: int, seconds: float) -> str:
    whole = "full size" if info.size_text == full.size_text else f"of {full.size_text}"
    epochs = plan.timed_epochs or plan.fit.total_epochs
    return (
        f"chosen for {duration(seconds)} on {plan.device}: {plan.model['name']}, {_size_text(plan)} parameters, "
        f"{info.size_text} ({whole}), about {epochs} epochs of {frames} frames"
    )


def _size_text(plan: FitPlan) -> str:
    size = plan.model.get("size", "its own number of")
    return f"{size:,}" if isinstance(size, int) else str(size)


def too_short(seconds: float, epochs: float, frames: int) -> str:
    """Return a note on a time budget that is over after few epochs, and what would do.

    Args:
        seconds: of the budget.
        epochs: for which there is time.
        frames: of the video.
    """
    times = FEWEST_EPOCHS / max(epochs, 0.1)
    longer = duration(math.ceil(seconds * times / 10) * 10)
    every = min(math.ceil(times), frames)
    return (
        f"{duration(seconds)} are enough for about {epochs:.1f} epochs of {frames} frames; for {FEWEST_EPOCHS}, give "
        f"about {longer} (time_budget), fit every {every}. frame (frames='::{every}'), or smaller frames (resize)"
    )
