"""Facts of a compression before it begins. Nothing is tuned, measured against the video, or written."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from enerv_zoo.compression.network import default_specs
from enerv_zoo.config import CompressConfig, VideoInfo, as_spec, from_dict
from enerv_zoo.hub import open_run
from enerv_zoo.keywords import CompressOptions
from enerv_zoo.loading import load
from enerv_zoo.machine import choose_device
from enerv_zoo.nvz import model_spec, pruning
from enerv_zoo.nvz.entropy import TABLE, tensor_bits
from enerv_zoo.nvz.quantisation import codable, coded
from enerv_zoo.storage.description import check_license
from enerv_zoo.summary import summarize
from enerv_zoo.threads import usable_threads

DECODED_FRAMES = 4
"""Frames that are decoded to measure the speed."""

STEP_COST = 3.0
"""Cost of a step of the tuning per frame, in decoded frames: forward and twice as much backward."""

SEARCHED_PASSES = {"bpp": 2, "max_psnr_drop": 12}
"""Passes over the video that a search for a target costs, beside probing each tensor."""


@dataclass(frozen=True)
class CompressionPreview:
    """Facts of a compression that has not begun.

    Attributes:
        model: the families' names.
        info: the video.
        parameters: stored parameters of all networks.
        macs: multiply-accumulates per frame, of the first network.
        memory_bytes: memory for the weights, their copies and decoded frames.
        seconds: time, from the measured speed of decoding.
        file_bytes: size of the file; `None` where a target in PSNR decides.
        source_bytes: bytes of the original, all of it; `None` where nobody knows.
        device: `"cpu"` or `"cuda"`.
    """

    model: str
    info: VideoInfo
    parameters: int
    macs: int
    memory_bytes: int
    seconds: float
    file_bytes: int | None
    source_bytes: int | None
    device: str


@usable_threads()
def preview_compression(
    fit: str | Path, *, device: str = "auto", **options: Unpack[CompressOptions]
) -> CompressionPreview:
    """Preview a compression; options and errors are those of `enerv_zoo.compress`."""
    config = from_dict(CompressConfig, options, "compress")
    model = None if config.entropy_model is None else as_spec(config.entropy_model)
    model_spec(model or TABLE)  # refuses a name that there is not
    check_license(config.license)
    device = choose_device(device)
    run = open_run(fit)
    video = load(run, device)
    info, bits, families = video.info, 0.0, set()
    for stored, network in zip(run.stored, video.networks(), strict=True):
        families.add(network.config.family)
        if config.bpp is not None or config.max_psnr_drop is not None:
            continue
        twin = copy.deepcopy(network)
        pruning.prune(twin.stored_parameters(), pruning.masks(twin, config.prune))
        specs = default_specs(twin, config, stored.fit)
        for name, tensor in codable(twin).items():
            bits += tensor_bits(coded(tensor, specs[name]), model)
    bits = config.bpp * info.pixels if config.bpp is not None else bits
    passes = config.tune_epochs * STEP_COST + 2 * config.measure
    passes += SEARCHED_PASSES["bpp"] if config.bpp is not None else 0
    passes += SEARCHED_PASSES["max_psnr_drop"] if config.max_psnr_drop is not None else 0
    first = next(iter(video.networks()))
    began, count = time.monotonic(), min(DECODED_FRAMES, len(first))
    for index in range(count):
        first[index]
    seconds = passes * info.frames * (time.monotonic() - began) / count
    frames = 3 * info.height * info.width
    return CompressionPreview(
        model=", ".join(sorted(families)),
        info=info,
        parameters=video.stored_numbers,
        macs=summarize(first.config, first.info).macs,
        memory_bytes=4 * 4 * first.stored_numbers
        + (info.frames if config.measure or config.needs_video else 16) * frames,
        seconds=seconds,
        file_bytes=round(bits / 8) if bits else None,
        source_bytes=video.origin.bytes if video.origin is not None else None,
        device=device,
    )
