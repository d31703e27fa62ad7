"""`compress`: from a fit to one small file."""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Unpack

from enerv_zoo.compression.network import CompressedNetwork, NetworkCompression
from enerv_zoo.compression.result import Compressed
from enerv_zoo.config import CompressConfig, from_dict
from enerv_zoo.errors import ConfigError, VideoError
from enerv_zoo.evaluation.report import OpenPart, bits_per_pixel, check_network, joint_rate, merged, part_of
from enerv_zoo.exporting.graph import graph_section
from enerv_zoo.exporting.onnx_model import check_installed
from enerv_zoo.files import check_target, check_writable
from enerv_zoo.hub import open_run
from enerv_zoo.keywords import CompressOptions
from enerv_zoo.loading import load
from enerv_zoo.machine import choose_device
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.nvz import EncodedNetwork, Section, Sizes, model_spec, write_nvz
from enerv_zoo.nvz.entropy import TABLE
from enerv_zoo.nvz.head import MAX_SECTIONS
from enerv_zoo.precision import denormals_flushed, plain_float32
from enerv_zoo.segmented import SegmentedVideo
from enerv_zoo.storage import Run, SegmentsDescription, segments_to_json
from enerv_zoo.storage.compressed import SUFFIX
from enerv_zoo.storage.description import check_license
from enerv_zoo.storage.sound import SECTION, sound_sections
from enerv_zoo.threads import usable_threads
from enerv_zoo.video.origin import protected

SECTION_ENTRY_BYTES = 96
"""Bytes that a section's entry in the head takes at most: they count with the networks."""

logger = logging.getLogger(__name__)

Fit = NeuralVideo | SegmentedVideo | str | Path
"""What can be compressed."""


@usable_threads()
def compress(
    fit: Fit,
    path: str | Path,
    *,
    data: Any = None,
    device: str = "auto",
    on_stage: Callable[[str], object] = lambda text: None,
    **options: Unpack[CompressOptions],
) -> Compressed:
    """Write a fit as one `.nvz` file of entropy-coded integers.

    The order is NeRV's: prune, tune, quantise, code (Chen et al. 2021, 3.3), with rounding in the loop while tuning.

    Args:
        fit: a network, a fit's folder, a `.nvz` file or a repository on the Hub; or a video in segments, whose networks
            are compressed one by one, each to the target, into one file.
        path: of the file, which ends in `.nvz`.
        data: the video, to tune on and to measure with; by default what the fit's folder records. A target in PSNR and
            tuning need it.
        device: `"auto"`, `"cpu"`, `"cuda"`, `"cuda:1"` or `"mps"`.
        on_stage: called with a line for each stage.
        options: fields of `enerv_zoo.config.CompressConfig`: `bits`, or a target (`bpp`, `max_psnr_drop`); `prune`,
            `tune_epochs`, `entropy_model` and others.

    Raises:
        ConfigError: targets that exclude each other or cannot be met, a video that is needed and is not there.
        EnervZooError: the fit cannot be read, or the file cannot be written.
    """
    began = time.monotonic()
    if Path(path).suffix != SUFFIX:
        raise ConfigError(f"{path}: a compressed fit is a file that ends in {SUFFIX}; choose such a name")
    check_writable(path)
    config = from_dict(CompressConfig, options, "compress")
    model_spec(config.entropy_model or TABLE)  # refuses a name that there is not
    check_license(config.license)
    if config.embed_graph:
        check_installed()
    device = choose_device(device)
    run = open_run(fit) if isinstance(fit, str | Path) else None
    video = check_network(fit if run is None else load(run, device))
    if config.embed_graph and len(video.segments) + bool(config.sound and video.sound) > MAX_SECTIONS:
        raise ConfigError(
            f"a file holds {MAX_SECTIONS} graphs at most, one less with sound, and the video has {len(video.segments)} "
            "segments; leave out embed_graph"
        )
    with protected(video.origin, data):
        check_target(Path(path))
    original = _originals(run, video, data) if config.measure or config.needs_video else None
    if original is None and config.needs_video:
        raise ConfigError("tuning and a target in PSNR need the video; name it with data (compress --data)")
    fitted = _fitted(run) if config.tune_epochs and data is None and run is not None else None
    networks: list[CompressedNetwork] = []
    sound = sound_sections(video.sound if config.sound else None)
    graphs: list[Section] = []

    def encoded_networks() -> Iterator[EncodedNetwork]:
        for compression in _compressions(run, video, original, fitted, device, config, on_stage, len(sound)):
            with plain_float32(benchmark=True), denormals_flushed():
                networks.append(compression.run())
            if config.embed_graph:
                graphs.append(graph_section(compression.video, networks[-1].encoded, len(graphs)))
            yield networks[-1].encoded
            networks[-1] = dataclasses.replace(networks[-1], encoded=EncodedNetwork({}, {}))  # only its bytes stay
        on_stage("writing")

    whole = None
    if len(video.segments) > 1:
        info = video.info if config.sound else dataclasses.replace(video.info, tags=None)
        whole = segments_to_json(SegmentsDescription(info, video.segments))
    with protected(video.origin, data):
        sizes = write_nvz(path, encoded_networks(), whole=whole, sections=itertools.chain(sound, graphs))
    return _result(Path(path), sizes, video, networks, time.monotonic() - began)


def _originals(run: Run | None, video: NeuralVideo | SegmentedVideo, data: Any) -> OpenPart | None:
    """Return what opens the frames of each part, cut as they were for the fit; `None` where nobody knows them."""
    if run is None:
        return None if data is None else part_of(data, video)[0]
    try:
        original = functools.lru_cache(maxsize=1)(run.originals(data))
        original(0)
    except ConfigError:
        raise
    except Exception as error:
        if data is not None:
            raise
        if isinstance(error, VideoError):  # it is recorded, and cannot be read
            logger.warning("%s", error)
        return None
    return original


def _fitted(run: Run) -> OpenPart | None:
    """Return what opens the frames to tune on, where they are not those to measure with: of a fit with a reference.

    Raises:
        ConfigError: they were an array.
    """
    if "reference" not in run.record:
        return None
    if (source := run.record.get("source")) is None:
        raise ConfigError("tuning needs what was fitted, and that was an array; name it with data (compress --data)")
    return functools.lru_cache(maxsize=1)(run.originals(source))


def _compressions(
    run: Run | None,
    video: NeuralVideo | SegmentedVideo,
    original: OpenPart | None,
    fitted: OpenPart | None,
    device: str,
    config: CompressConfig,
    on_stage: Callable[[str], object],
    sections: int,
) -> Iterator[NetworkCompression]:
    """Iterate over compressions of copies of a video's networks; the file has so many sections beside their graphs."""
    for number, network in enumerate(video.networks()):
        twin = copy.deepcopy(network).to(device).eval()
        twin.file_bytes = twin.read_sound = None  # it is another network from here on
        twin.precision = "float32"
        if not config.sound:
            twin.info = dataclasses.replace(twin.info, tags=None)
        stored = run.stored[number] if run is not None else None
        record, license = (stored.fit, stored.description.license) if stored is not None else (None, None)
        frames = original(number) if original else None
        reserved = SECTION_ENTRY_BYTES * (config.embed_graph + (sections if number == 0 else 0))
        tuned_on = fitted(number) if fitted else frames
        yield NetworkCompression(twin, frames, tuned_on, record, license, config, on_stage, reserved)


def _result(
    path: Path,
    sizes: Sizes,
    video: NeuralVideo | SegmentedVideo,
    networks: Sequence[CompressedNetwork],
    seconds: float,
) -> Compressed:
    info = video.info
    frames = [segment.frames for segment in video.segments]
    before = [
        part.psnr_before * count for part, count in zip(networks, frames, strict=True) if part.psnr_before is not None
    ]
    reports = [part.report for part in networks if part.report is not None]
    report = merged(reports) if reports else None
    prunable = sum(part.prunable for part in networks)
    widths: dict[str, float] = {}
    for number, part in enumerate(networks):
        prefix = f"{number}." if len(networks) > 1 else ""
        widths |= {prefix + name: spec.bits for name, spec in part.specs.items()}
    return Compressed(
        path=path,
        bytes=sizes.networks,
        bpp=bits_per_pixel(sizes.networks, info),
        sound_bytes=sizes.sections.get(SECTION, 0),
        graph_bytes=sum(size for name, size in sizes.sections.items() if name != SECTION),
        float32_bytes=4 * video.stored_numbers,
        raw_bytes=3 * info.pixels,
        source_bytes=video.origin.bytes if video.origin is not None else None,
        psnr_before=sum(before) / info.frames if before else None,
        scores=report.scores if report else {},
        fps=joint_rate(reports) if reports else None,
        bits=widths,
        pruned=sum(part.pruned for part in networks) / prunable if prunable else 0.0,
        seconds=round(seconds, 3),
    )
