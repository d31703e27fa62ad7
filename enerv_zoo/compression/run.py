"""`compress`: from a fit to one small file, and what that cost."""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from enerv_zoo.compression import pruning, search
from enerv_zoo.compression.quantisation import Bits, codable, coded, even_bits, rounded
from enerv_zoo.compression.tuning import TuningFitter, tune
from enerv_zoo.config import FitConfig, from_dict
from enerv_zoo.errors import ConfigError
from enerv_zoo.evaluation import Report, evaluate, mean_psnr
from enerv_zoo.fitting.feed import Feed
from enerv_zoo.fitting.plan import choose_device, open_original
from enerv_zoo.hub import load
from enerv_zoo.hub.compressed import to_network, write_compressed
from enerv_zoo.hub.description import FitRecord
from enerv_zoo.hub.record import read_fit
from enerv_zoo.machine import denormals_flushed
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.nvz import Coded, encode
from enerv_zoo.precision import plain_float32
from enerv_zoo.video import Video, open_video

DEFAULT_BITS = 8
TUNING_RATE = 5e-4
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
        psnr_before, psnr: of the network as it was and of the file, dB; `None` where there was no video to compare.
        ms_ssim: of the file, or `None`.
        fps: frames drawn a second from the file, on this machine, or `None`.
        bits: of each coded tensor.
        pruned: part of the matrices' numbers that are zero by pruning.
        seconds: that it took.
    """

    path: Path
    bytes: int
    bpp: float
    float32_bytes: int
    psnr_before: float | None
    psnr: float | None
    ms_ssim: float | None
    fps: float | None
    bits: dict[str, int]
    pruned: float
    seconds: float

    @property
    def ratio(self) -> float:
        """How many times smaller than float32."""
        return self.float32_bytes / self.bytes


@dataclass(frozen=True)
class _Source:
    """A network to compress, and what is known of it."""

    video: NeuralVideo
    original: Video | None
    record: FitRecord | None


def compress(
    fit: NeuralVideo | str | Path,
    path: str | Path,
    *,
    data: Any = None,
    bits: int | None = None,
    bpp: float | None = None,
    max_psnr_drop: float | None = None,
    prune: float = 0.0,
    tune_epochs: int = 0,
    rate_weight: float = 0.0,
    lr: float = TUNING_RATE,
    batch_size: int | None = None,
    seed: int = 0,
    device: str = "auto",
    on_stage: Callable[[str], None] = lambda text: None,
) -> Compressed:
    """Write a fit as one `.nvz` file of entropy-coded whole numbers.

    The order is NeRV's: prune, tune, quantise, code (Chen et al. 2021, 3.3), with rounding in the loop while tuning.

    Args:
        fit: a network, a fit's folder, a `.nvz` file or a repository on the Hub.
        path: of the file, which ends in `.nvz`.
        data: the video, to tune on and to measure with; by default what the fit's folder records. A target in PSNR and
            tuning need it.
        bits: of every weight, 2 to 16 (8 if no target is given); biases have at least 12.
        bpp: size to stay within, in bits per pixel of the video; bits are chosen for each tensor.
        max_psnr_drop: dB that the file may lose against the fit; bits are chosen for each tensor.
        prune: part of the weights to set to zero, from 0 to below 1.
        tune_epochs: passes over the video after pruning, with rounding.
        rate_weight: of the bits per pixel in the objective while tuning.
        lr, batch_size, seed: of the tuning; the batch is the fit's own by default.
        device: `"auto"`, `"cpu"` or `"cuda"`.
        on_stage: called with a line for each stage.

    Raises:
        ConfigError: targets that exclude each other or cannot be met, a video that is needed and is not there.
        EnervZooError: the fit cannot be read, or the file cannot be written.
    """
    began = time.monotonic()
    _check_targets(path, bits, bpp, max_psnr_drop, rate_weight, tune_epochs)
    source = _open(fit, data, choose_device(device))
    if source.original is None and (tune_epochs or max_psnr_drop is not None):
        raise ConfigError("tuning and a target in PSNR need the video; name it with data (--data)")
    video, original = source.video, source.original
    with plain_float32(benchmark=True), denormals_flushed():
        before = mean_psnr(video, original) if original is not None else None
        kept = pruning.masks(video, prune)
        pruning.prune(video, kept)
        chosen = _chosen(source, bits, bpp, max_psnr_drop, before, on_stage)
        if tune_epochs and original is not None:
            recipe = _recipe(source.record, tune_epochs, lr, batch_size, seed)
            feed = Feed(original.frames, str(video.device), on_disk=original.on_disk)
            fitter = TuningFitter(video, feed, recipe, chosen, kept, rate_weight)
            tune(fitter, lambda row: on_stage(f"epoch {row['epoch']} of {tune_epochs}: {row['psnr']:.2f} dB"))
            if bits is None and (bpp is not None or max_psnr_drop is not None):
                chosen = _chosen(source, bits, bpp, max_psnr_drop, before, on_stage)
    on_stage("writing")
    sizes = write_compressed(video, _coded(video, chosen), path, fit=source.record)
    report = None if original is None else evaluate(load(path, str(video.device)), original)
    return _result(Path(path), sizes.total, video, chosen, kept, before, report, time.monotonic() - began)


def _check_targets(
    path: str | Path,
    bits: int | None,
    bpp: float | None,
    drop: float | None,
    rate_weight: float,
    tune_epochs: int,
) -> None:
    if Path(path).suffix != ".nvz":
        raise ConfigError(f"{path}: a compressed fit is a file that ends in .nvz; choose such a name")
    given = [name for name, value in (("bits", bits), ("bpp", bpp), ("max_psnr_drop", drop)) if value is not None]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)} were given; give one of them, the others follow from it")
    if bpp is not None and bpp <= 0:
        raise ConfigError(f"bits per pixel are more than 0, got {bpp}")
    if drop is not None and drop < 0:
        raise ConfigError(f"a loss of PSNR is 0 dB or more, got {drop}")
    if tune_epochs < 0 or rate_weight < 0:
        raise ConfigError(f"epochs and weights are 0 or more, got {tune_epochs} and {rate_weight}")
    if rate_weight and not tune_epochs:
        raise ConfigError("the rate is in the objective while tuning; give tune_epochs (--tune-epochs), too")


def _open(fit: NeuralVideo | str | Path, data: Any, device: str) -> _Source:
    if isinstance(fit, NeuralVideo):
        video, record = copy.deepcopy(fit), None
        original = None if data is None else open_video(data)
    else:
        found = load(fit, device)
        if not isinstance(found, NeuralVideo):
            raise ConfigError(f"{fit}: is a video in segments; compress the folder of each segment")
        video = found
        record = read_fit(Path(fit)) if Path(fit).is_dir() else None
        original = _original(fit, data)
    video.file_bytes = None  # what is measured from here on is another network
    return _Source(video.to(device).eval(), original, record)


def _original(run: str | Path, data: Any) -> Video | None:
    """The video that a fit was made from, cut as it was then; `None` where nobody knows it."""
    if data is None and not Path(run).exists():
        return None
    try:
        return open_original(run, data)
    except ConfigError:
        raise
    except Exception:
        if data is not None:
            raise
        return None


def _chosen(
    source: _Source,
    bits: int | None,
    bpp: float | None,
    drop: float | None,
    before: float | None,
    on_stage: Callable[[str], None],
) -> dict[str, int]:
    video, original, record = source.video, source.original, source.record
    if bpp is None and drop is None:
        return even_bits(video, DEFAULT_BITS if bits is None else bits)
    on_stage("measuring what each tensor's bits are worth")
    found = search.choices(video)
    if bpp is not None:
        info = video.info
        return _within_file(video, found, bpp * info.frames * info.height * info.width / 8, record)
    assert original is not None
    assert before is not None
    assert drop is not None
    floor = before - drop
    chosen = search.within_drop(found, lambda trial: mean_psnr(_as_in_the_file(video, trial), original) >= floor)
    reached = mean_psnr(_as_in_the_file(video, chosen), original)
    if reached < floor:
        raise ConfigError(
            f"with the most bits the file has {reached:.2f} dB, {before - reached:.2f} dB less than the fit; "
            f"allow for a larger loss than {drop:g} dB, prune less, or tune longer"
        )
    return chosen


def _within_file(
    video: NeuralVideo, found: dict[str, list[search.Choice]], limit: float, record: FitRecord | None
) -> dict[str, int]:
    """The bits with the least error whose file takes at most `limit` bytes; what the coder adds is measured."""
    spare = 0.0
    for _ in range(FILES_TRIED):
        chosen = search.within_size(found, 8 * (limit - spare))
        size = len(encode([to_network(video, _coded(video, chosen), fit=record)]))
        if size <= limit:
            return chosen
        spare += size - limit
    raise ConfigError(
        f"no file of at most {limit:,.0f} bytes was found, the last one took {size:,}; ask for a little more"
    )


def _coded(video: NeuralVideo, bits: Bits) -> dict[str, Coded]:
    return {name: coded(name, tensor, bits[name]) for name, tensor in codable(video).items()}


def _as_in_the_file(video: NeuralVideo, bits: Bits) -> NeuralVideo:
    twin = copy.deepcopy(video)
    for name, parameter in twin.named_parameters():
        parameter.data = rounded(name, parameter.data, bits[name])
    return twin


def _recipe(record: FitRecord | None, epochs: int, lr: float, batch_size: int | None, seed: int) -> FitConfig:
    """The fit's own recipe, but for what tuning changes."""
    known = dict(record.recipe.fit) if record is not None and record.recipe is not None else {"loss": "L2"}
    tuning = {"epochs": epochs, "lr": lr, "seed": seed, "time_budget": None, "eval_every": 0, "warmup": 0.1}
    base = from_dict(FitConfig, {**known, **tuning}, "fit")
    return dataclasses.replace(base, batch_size=batch_size or base.batch_size or 1)


def _result(
    path: Path,
    size: int,
    video: NeuralVideo,
    bits: dict[str, int],
    kept: dict[str, Any],
    before: float | None,
    report: Report | None,
    seconds: float,
) -> Compressed:
    info = video.info
    numbers = sum(mask.numel() for mask in kept.values())
    zeros = sum(int((~mask).sum()) for mask in kept.values())
    return Compressed(
        path=path,
        bytes=size,
        bpp=8 * size / (info.frames * info.height * info.width),
        float32_bytes=4 * video.stored_numbers,
        psnr_before=before,
        psnr=report.psnr if report else None,
        ms_ssim=report.ms_ssim if report else None,
        fps=report.fps if report else None,
        bits=bits,
        pruned=zeros / numbers if numbers else 0.0,
        seconds=round(seconds, 3),
    )
