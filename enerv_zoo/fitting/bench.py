"""Speed of fitting and decoding on this machine, in under a minute: the short form of the programs in `benchmarks/`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from enerv_zoo.config import FitConfig
from enerv_zoo.fitting.batch import choose_batch, frames_per_second
from enerv_zoo.fitting.frame_loader import FrameLoader
from enerv_zoo.fitting.memory import memory_need
from enerv_zoo.machine import choose_device
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.precision import choose_precision, plain_float32
from enerv_zoo.video import open_video
from enerv_zoo.zoo import create_model

CASES = (("0.5M", "256x144"), ("1.5M", "640x360"), ("3M", "1280x720"))
FRAMES = 16


@dataclass(frozen=True)
class Speed:
    """Speeds of one network on this machine.

    Attributes:
        size, resolution: the network's budget and its frames, WIDTHxHEIGHT.
        device, precision: what it was fitted on and in.
        batch_size: frames per step that suit the device.
        fit: frames fitted a second.
        decode: frames decoded a second, in float32.
        decode_compiled: frames decoded a second after `NeuralVideo.optimize`.
        memory_bytes: what a fit is predicted to need at most, without frames.
    """

    size: str
    resolution: str
    device: str
    precision: str
    batch_size: int
    fit: float
    decode: float
    decode_compiled: float
    memory_bytes: int


def bench(
    model: str = "enerv", cases: Sequence[tuple[str, str]] = CASES, *, device: str = "auto", seconds: float = 2.0
) -> Iterator[Speed]:
    """Measure how fast a family fits and decodes frames of the bundled clip here.

    Args:
        model: the family's name.
        cases: pairs of a size and a resolution.
        device: `"auto"`, `"cpu"`, `"cuda"`, `"cuda:1"` or `"mps"`.
        seconds: how long each measurement takes at least.

    Yields:
        The speed of each case, as soon as it is known.

    Raises:
        ConfigError: an unknown family, or a size that it cannot have.
        FitError: no CUDA where it was asked for.
    """
    device = choose_device(device)
    for size, resolution in cases:
        clip = open_video("bunny", frames=f"0:{FRAMES}", resize=resolution)
        video = create_model(model, info=clip.info, size=size).start_fitting().to(device)
        loader = FrameLoader(clip.frames, device)
        with plain_float32(benchmark=True):
            recipe = choose_batch(video, loader, FitConfig(batch_size=None))
            fit = frames_per_second(video, loader, recipe, seconds)
            plain = _decoding(video.eval().bake(loader.frames).optimize("float32", inductor=False), seconds)
            compiled = _decoding(video.optimize(), seconds)
        yield Speed(
            size=size,
            resolution=resolution,
            device=device,
            precision=choose_precision("auto", device),
            batch_size=recipe.batch_size or 1,
            fit=fit,
            decode=plain,
            decode_compiled=compiled,
            memory_bytes=memory_need(video, recipe).total - clip.frames.numel(),
        )


def _decoding(video: NeuralVideo, seconds: float) -> float:
    """Return the frames decoded per second, after all of them once to warm up."""
    list(video.decode())
    frames, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds or not frames:
        frames += sum(len(batch) for batch in video.decode())  # on the CPU in the end, so it waits for the device
    return frames / spent
