"""`compress`: from a fit to one small file, and what that cost."""

from __future__ import annotations

import copy
import dataclasses
import functools
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from enerv_zoo.compression import search
from enerv_zoo.compression.options import CompressOptions
from enerv_zoo.compression.tuning import tuning_recipe
from enerv_zoo.config import DEFAULT_METRICS, FitConfig, MetricSpec, PartSpec, from_dict
from enerv_zoo.display import table
from enerv_zoo.errors import ConfigError, VideoError
from enerv_zoo.evaluation import Report, evaluate, mean_psnr
from enerv_zoo.evaluation.report import (
    OpenPart,
    bits_per_pixel,
    check_network,
    joint_rate,
    matching_frames,
    merged,
    part_of,
)
from enerv_zoo.files import check_target, finite
from enerv_zoo.fitting.constraint import WeightConstraint
from enerv_zoo.fitting.frame_loader import FrameLoader
from enerv_zoo.fitting.loop import Fitter
from enerv_zoo.fitting.plan import choose_device
from enerv_zoo.hub import open_run
from enerv_zoo.loading import load
from enerv_zoo.metrics import check_metrics
from enerv_zoo.metrics.columns import MISSING, names_in
from enerv_zoo.metrics.scoring import installed
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.nvz import EncodedNetwork, QuantizedTensor, encode, model_spec, pruning, write_nvz
from enerv_zoo.nvz.quantisation import QuantSpec, QuantSpecs, Scales, codable, coded, uniform_specs
from enerv_zoo.precision import denormals_flushed, plain_float32
from enerv_zoo.segmented import SegmentedVideo
from enerv_zoo.storage import Run, SegmentsDescription, segments_to_json
from enerv_zoo.storage.compressed import SUFFIX, to_network
from enerv_zoo.storage.description import FitRecord
from enerv_zoo.threads import usable_threads
from enerv_zoo.video import Video
from enerv_zoo.video.origin import protected

logger = logging.getLogger(__name__)

Fit = NeuralVideo | SegmentedVideo | str | Path
"""What can be compressed."""

DEFAULT_BITS = 8
TUNING_RATE = 5e-4
RECOMPUTED_METRICS = ("bpp", "fps", "stored_bytes", "device")
"""Metrics of a fit that, beside its scores, are others once it is compressed."""

SCORE_BYTES = 32
"""Bytes that a score, which is known last, takes in a file at most, beside its name."""

FILES_TRIED = 12
"""How often bits are chosen anew until the file, with all that it says beside its numbers, is as small as was asked."""


@dataclass(frozen=True)
class Compressed:
    """What `compress` made.

    Attributes:
        path: of the file.
        bytes: of the file.
        bpp: 8 times those over all pixels of the video; nothing is left out.
        float32_bytes: of the same numbers in float32.
        psnr_before: of the network as it was, dB; `None` where there was no video to compare.
        scores: of the file, by the metric's name; none where there was no video to compare.
        fps: frames drawn a second from the file, on this machine, or `None`.
        bits: of each coded tensor; of a video in segments, names begin with the segment's number.
        pruned: part of the matrices' numbers that are zero by pruning.
        seconds: that it took.
    """

    path: Path
    bytes: int
    bpp: float
    float32_bytes: int
    psnr_before: float | None
    scores: Mapping[str, float | None]
    fps: float | None
    bits: dict[str, float] = field(repr=False)
    pruned: float
    seconds: float

    @property
    def ratio(self) -> float:
        """How many times smaller than float32."""
        return self.float32_bytes / self.bytes

    @property
    def psnr(self) -> float | None:
        """PSNR of the file in dB; `None` where it was not measured."""
        return self.scores.get("psnr")

    @property
    def ms_ssim(self) -> float | None:
        """MS-SSIM of the file; `None` where it was not measured, or for frames too small for it."""
        return self.scores.get("ms_ssim")

    def _repr_html_(self) -> str:
        costs = [(name, getattr(self, name)) for name in ("bytes", "bpp", "ratio", "psnr_before")]
        return table(self.path.name, [*costs, *self.scores.items(), ("fps", self.fps)])


@dataclass(frozen=True)
class _Part:
    """A network to compress, the frames it draws, and what is known of its fit."""

    video: NeuralVideo
    original: Video | None
    record: FitRecord | None
    license: str | None


@dataclass(frozen=True)
class _Result:
    """What became of a part: what the file holds of it, and what is told of it."""

    network: EncodedNetwork
    grids: QuantSpecs
    pruned: int
    prunable: int
    psnr_before: float | None
    report: Report | None


@usable_threads()
def compress(
    fit: Fit,
    path: str | Path,
    *,
    data: Any = None,
    bits: int | None = None,
    scales: Scales = "tensor",
    bpp: float | None = None,
    max_psnr_drop: float | None = None,
    prune: float = 0.0,
    tune_epochs: int = 0,
    rate_weight: float = 0.0,
    lr: float = TUNING_RATE,
    batch_size: int | None = None,
    seed: int = 0,
    entropy_model: PartSpec = "table",
    license: str | None = None,
    device: str = "auto",
    measure: bool = True,
    on_stage: Callable[[str], None] = lambda text: None,
) -> Compressed:
    """Write a fit as one `.nvz` file of entropy-coded integers.

    The order is NeRV's: prune, tune, quantise, code (Chen et al. 2021, 3.3), with rounding in the loop while tuning.

    Args:
        fit: a network, a fit's folder, a `.nvz` file or a repository on the Hub; or a video in segments, whose networks
            are compressed one by one, each to the target, into one file.
        path: of the file, which ends in `.nvz`.
        data: the video, to tune on and to measure with; by default what the fit's folder records. A target in PSNR and
            tuning need it.
        bits: of every weight, 2 to 16 (8 if no target is given); biases have at least 12.
        scales: one for each `"tensor"`, which the entropy coder likes best, or for each output `"channel"`, which loses
            less at equal bits. Under a target, both are tried for every tensor.
        bpp: size to stay within, in bits per pixel of the video; bits are chosen for each tensor.
        max_psnr_drop: dB that the file may lose against the fit; bits are chosen for each tensor.
        prune: part of the weights to set to zero, from 0 to below 1.
        tune_epochs: passes over the video after pruning, with rounding.
        rate_weight: of the bits per pixel in the objective while tuning.
        lr, batch_size, seed: of the tuning; the batch is the fit's own by default.
        entropy_model: that codes the weights, by name (`enerv_zoo.list_components("entropy_model")`), or a spec of name
            and options. Of another one than `"table"`, readers need the package that has it.
        license: of the weights, by its identifier on the Hub; by default what the fit says.
        device: `"auto"`, `"cpu"` or `"cuda"`.
        measure: compare the fit's and the file's frames with the video's.
        on_stage: called with a line for each stage.

    Raises:
        ConfigError: targets that exclude each other or cannot be met, a video that is needed and is not there.
        EnervZooError: the fit cannot be read, or the file cannot be written.
    """
    began = time.monotonic()
    if Path(path).suffix != SUFFIX:
        raise ConfigError(f"{path}: a compressed fit is a file that ends in {SUFFIX}; choose such a name")
    wanted = CompressOptions(
        bits, scales, bpp, max_psnr_drop, prune, tune_epochs, rate_weight, lr, batch_size, seed, license, measure,
        on_stage, model_spec(entropy_model),
    )  # fmt: skip
    chosen_device = choose_device(device)
    run = open_run(fit) if isinstance(fit, str | Path) else None
    video = check_network(fit if run is None else load(run, chosen_device))
    with protected(video.origin, data):
        check_target(Path(path))
    original = _originals(run, video, data)
    if original is None and wanted.needs_video:
        raise ConfigError("tuning and a target in PSNR need the video; name it with data (compress --data)")
    made: list[_Result] = []

    def networks() -> Iterator[EncodedNetwork]:
        for part in _parts(run, video, original, chosen_device):
            with plain_float32(benchmark=True), denormals_flushed():
                made.append(_make(part, wanted))
            yield made[-1].network
            made[-1] = dataclasses.replace(made[-1], network=EncodedNetwork({}, {}))  # only its bytes stay
        on_stage("writing")

    whole = None
    if len(video.segments) > 1:
        whole = segments_to_json(SegmentsDescription(video.info, video.segments))
    with protected(video.origin, data):
        sizes = write_nvz(path, networks(), whole=whole)
    return _result(Path(path), sizes.total, video, made, time.monotonic() - began)


# ---------------------------------------------------------------------- what is compressed


def _originals(run: Run | None, video: NeuralVideo | SegmentedVideo, data: Any) -> OpenPart | None:
    """Return what opens the frames of each part, cut as they were for the fit; `None` where nobody knows them."""
    if run is None:
        return None if data is None else part_of(data, video)
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


def _parts(
    run: Run | None, video: NeuralVideo | SegmentedVideo, original: OpenPart | None, device: str
) -> Iterator[_Part]:
    """Iterate over copies of a video's networks, with what is known of each."""
    for number, network in enumerate(video.networks()):
        twin = copy.deepcopy(network).to(device).eval()
        twin.file_bytes = None  # what is measured from here on is another network
        stored = run.stored[number] if run is not None else None
        fit, license = (stored.fit, stored.description.license) if stored is not None else (None, None)
        yield _Part(twin, original(number) if original else None, fit, license)


# ---------------------------------------------------------------------- one network


def _make(part: _Part, wanted: CompressOptions) -> _Result:
    video, original = part.video, part.original
    if original is not None:
        matching_frames(video, original, None)
    compared = wanted.measure or wanted.max_psnr_drop is not None
    before = mean_psnr(video, original) if compared and original is not None else None
    kept = pruning.masks(video, wanted.prune)
    pruning.prune(video.stored_parameters(), kept)
    grids = _chosen(part, wanted, before)
    if wanted.tune_epochs and original is not None:
        feed = FrameLoader(original.frames, str(video.device), on_disk=original.on_disk)
        recipe = tuning_recipe(part.record, wanted.tune_epochs, wanted.lr, wanted.seed, wanted.batch_size)
        fitter = Fitter(video, feed, recipe, constraint=WeightConstraint(video, grids, kept, wanted.rate_weight))
        while not fitter.done:
            row = fitter.fit_epoch()
            wanted.on_stage(f"epoch {row['epoch']} of {wanted.tune_epochs}: {row['psnr']:.2f} dB")
        video.eval()
        if wanted.searched:
            grids = _chosen(part, wanted, before)
    numbers = sum(mask.numel() for mask in kept.values())
    zeros = sum(int((~mask).sum()) for mask in kept.values())
    levels = _coded(video, grids)
    report = None
    if original is not None and wanted.measure:
        report = evaluate(_as_in_the_file(video, levels), original, metrics=_metrics(part.record))
    return _Result(_network(part, wanted, levels, report), grids, zeros, numbers, before, report)


def _network(
    part: _Part, wanted: CompressOptions, levels: dict[str, QuantizedTensor], report: Report | None = None
) -> EncodedNetwork:
    """What the file holds of a part."""
    if wanted.entropy_model is not None:
        levels = {n: dataclasses.replace(t, entropy_model=wanted.entropy_model) for n, t in levels.items()}
    return to_network(part.video, levels, fit=_record(part.record, report), license=wanted.license or part.license)


def _record(record: FitRecord | None, report: Report | None) -> FitRecord | None:
    """What the file says of its fit: of the numbers, those that are its own."""
    if record is None:
        return None
    before = names_in(record.metrics)
    others = {*RECOMPUTED_METRICS, *before, *(name + MISSING for name in before)}
    same = {name: value for name, value in record.metrics.items() if name not in others}
    return dataclasses.replace(record, metrics=finite({**same, **(report.scores if report else {})}))


def _metrics(record: FitRecord | None) -> Sequence[MetricSpec]:
    """What the fit was measured by, as far as it is installed here."""
    recipe = record.recipe if record else None
    return installed(from_dict(FitConfig, recipe.fit).metrics if recipe else DEFAULT_METRICS)


def _chosen(part: _Part, wanted: CompressOptions, before: float | None) -> dict[str, QuantSpec]:
    video, original, drop = part.video, part.original, wanted.max_psnr_drop
    if not wanted.searched:
        return uniform_specs(video, DEFAULT_BITS if wanted.bits is None else wanted.bits, wanted.scales)
    wanted.on_stage("measuring what each tensor's bits are worth")
    found = search.choices(video)
    if wanted.bpp is not None:
        return _within_file(part, wanted, found, wanted.bpp * video.info.pixels / 8)
    assert original is not None
    assert before is not None
    assert drop is not None
    floor = before - drop

    def quality(grids: QuantSpecs) -> float:
        return mean_psnr(_as_in_the_file(video, _coded(video, grids)), original)

    chosen = search.within_drop(found, lambda trial: quality(trial) >= floor)
    reached = quality(chosen)
    if reached < floor:
        raise ConfigError(
            f"with the most bits the file has {reached:.2f} dB, {before - reached:.2f} dB less than the fit; "
            f"allow for a larger loss than {drop:g} dB, prune less, or tune longer"
        )
    return chosen


def _within_file(
    part: _Part, wanted: CompressOptions, found: dict[str, list[search.Choice]], limit: float
) -> dict[str, QuantSpec]:
    """The grids with the least error whose file takes at most `limit` bytes; what the coder adds is measured."""
    spare = 0.0
    scores = sum(SCORE_BYTES + len(spec["name"]) for spec in check_metrics(_metrics(part.record)))
    for _ in range(FILES_TRIED):
        chosen = search.within_size(found, 8 * (limit - spare))
        size = len(encode([_network(part, wanted, _coded(part.video, chosen))])) + scores
        if size <= limit:
            return chosen
        spare += size - limit
    raise ConfigError(
        f"no file of at most {limit:,.0f} bytes was found, the last one took {size:,}; ask for a little more"
    )


def _coded(video: NeuralVideo, grids: QuantSpecs) -> dict[str, QuantizedTensor]:
    return {name: coded(tensor, grids[name]) for name, tensor in codable(video).items()}


def _as_in_the_file(video: NeuralVideo, levels: dict[str, QuantizedTensor]) -> NeuralVideo:
    """The network that the file decodes to, bit for bit."""
    twin = copy.deepcopy(video)
    for name, parameter in twin.named_parameters():
        parameter.data = torch.from_numpy(levels[name].values()).to(parameter.device)
    return twin


def _result(
    path: Path,
    size: int,
    video: NeuralVideo | SegmentedVideo,
    made: Sequence[_Result],
    seconds: float,
) -> Compressed:
    info = video.info
    frames = [segment.frames for segment in video.segments]
    before = [part.psnr_before for part in made]
    known = [quality * count for quality, count in zip(before, frames, strict=True) if quality is not None]
    reports = [part.report for part in made if part.report is not None]
    report = merged(reports) if reports else None
    prunable = sum(part.prunable for part in made)
    widths: dict[str, float] = {}
    for number, part in enumerate(made):
        of = f"{number}." if len(made) > 1 else ""
        widths |= {of + name: grid.bits for name, grid in part.grids.items()}
    return Compressed(
        path=path,
        bytes=size,
        bpp=bits_per_pixel(size, info),
        float32_bytes=4 * video.stored_numbers,
        psnr_before=sum(known) / info.frames if known else None,
        scores=report.scores if report else {},
        fps=joint_rate(reports) if reports else None,
        bits=widths,
        pruned=sum(part.pruned for part in made) / prunable if prunable else 0.0,
        seconds=round(seconds, 3),
    )
