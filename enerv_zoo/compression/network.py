"""Compression of one network: prune, tune, choose bit widths, quantise (Chen et al. 2021, section 3.3)."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from enerv_zoo.coding import named_parts
from enerv_zoo.compression import search
from enerv_zoo.compression.rounding import LearnedRounding
from enerv_zoo.compression.tuning import tuning_recipe
from enerv_zoo.config import DEFAULT_METRICS, CompressConfig, FitConfig, MetricSpec, as_spec, from_dict
from enerv_zoo.config.compress import DEFAULT_BITS
from enerv_zoo.errors import ConfigError, UnmetTarget
from enerv_zoo.evaluation import Report, evaluate, mean_psnr
from enerv_zoo.evaluation.report import matching_frames
from enerv_zoo.files import finite
from enerv_zoo.fitting.constraint import WeightConstraint
from enerv_zoo.fitting.frame_loader import FrameLoader
from enerv_zoo.fitting.loop import Fitter
from enerv_zoo.metrics import check_metrics
from enerv_zoo.metrics.columns import MISSING, names_in
from enerv_zoo.metrics.scoring import installed
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.nvz import EncodedNetwork, QuantizedTensor, encode, pruning
from enerv_zoo.nvz.entropy import best_model
from enerv_zoo.nvz.quantisation import (
    VECTOR_BITS,
    QuantSpec,
    QuantSpecs,
    codable,
    coded,
    exact_spec,
    rounded,
    uniform_specs,
)
from enerv_zoo.storage.compressed import to_network
from enerv_zoo.storage.description import FitRecord
from enerv_zoo.video import Video
from enerv_zoo.video.seen import seen_frames

RECOMPUTED_METRICS = ("bpp", "fps", "stored_bytes", "device")
"""Metrics of a fit that, beside its scores, are others once it is compressed."""

SCORE_BYTES = 32
"""Bytes that a score, which is known last, takes in a file at most, beside its name."""

TUNED_SHARE = 0.97
"""Levels are tuned for this part of a target size, as they take a little more bits afterwards."""

MAX_ENCODINGS = 12
"""Choices of bits that are encoded until the whole file, description included, is as small as the target."""


@dataclass(frozen=True)
class CompressedNetwork:
    """A network as the file holds it.

    Attributes:
        encoded: the file's content.
        specs: levels of each tensor.
        pruned: parameters that pruning set to zero.
        prunable: parameters that it could.
        psnr_before: PSNR of the network before, in dB; `None` where it was not measured.
        report: measurements of the encoded network; `None` where there are none.
    """

    encoded: EncodedNetwork
    specs: QuantSpecs
    pruned: int
    prunable: int
    psnr_before: float | None
    report: Report | None


def exact_specs(video: NeuralVideo) -> dict[str, QuantSpec]:
    """Return the levels of the tensors whose values are levels already, as those of a fit to learned scales are."""
    hints = video.coding_hints()
    specs = {name: exact_spec(tensor, hints[name]) for name, tensor in codable(video).items()}
    return {name: spec for name, spec in specs.items() if spec is not None}


def default_specs(video: NeuralVideo, config: CompressConfig, record: FitRecord | None) -> dict[str, QuantSpec]:
    """Return the levels of each tensor that a config gives.

    Where it gives no bits, they are those that weights are on already, or the fit's last phase rounded them to.
    """
    parts = named_parts(list(codable(video)), config.part_bits, "part_bits")
    of_parts = {bits: uniform_specs(video, bits, config.scales) for bits in config.part_bits.values()}
    chosen = {name: of_parts[config.part_bits[part]][name] for name, part in parts.items()}
    if config.bits is not None:
        return {**uniform_specs(video, config.bits, config.scales), **chosen}
    last = from_dict(FitConfig, record.recipe.fit).split()[-1] if record and record.recipe else FitConfig()
    bits, scales = DEFAULT_BITS, config.scales
    if scales == "tensor" and last.bits is not None and last.scales != "learned":
        bits, scales = last.bits, last.scales
    return {**uniform_specs(video, bits, scales), **exact_specs(video), **chosen}


class NetworkCompression:
    """Compression of one network.

    Args:
        video: the network, which is changed.
        original: the frames that it is measured with, or `None`.
        tuned_on: the frames that it was fitted to, or `None`; others where the fit has a reference.
        record: of its fit, or `None`.
        license: of the weights, where the config names none.
        config: of the compression.
        on_stage: called with a line for each stage.
        reserved: bytes of a target size that are for something else in the head.
    """

    def __init__(
        self,
        video: NeuralVideo,
        original: Video | None,
        tuned_on: Video | None,
        record: FitRecord | None,
        license: str | None,
        config: CompressConfig,
        on_stage: Callable[[str], object],
        reserved: int = 0,
    ) -> None:
        self.tuned_on = tuned_on
        self.video, self.original, self.record, self.config, self.on_stage = video, original, record, config, on_stage
        self.license, self.reserved = config.license or license, reserved
        self.entropy_model = None if config.entropy_model is None else as_spec(config.entropy_model)
        recipe = record.recipe if record else None
        # Metrics of the fit, as far as they are installed here.
        self.metrics: Sequence[MetricSpec] = installed(
            from_dict(FitConfig, recipe.fit).metrics if recipe else DEFAULT_METRICS
        )

    def run(self) -> CompressedNetwork:
        """Prune, tune, quantise and measure the network.

        Raises:
            ConfigError: a target cannot be met.
            VideoError: the original has another size or length.
        """
        video, original, config = self.video, self.original, self.config
        for frames in (original, self.tuned_on):
            if frames is not None:
                matching_frames(video, frames, None)
        is_compared = original is not None and (config.measure or config.max_psnr_drop is not None)
        before = mean_psnr(video, original) if is_compared and original is not None else None
        masks = pruning.masks(video, config.prune)
        pruning.prune(video.stored_parameters(), masks)
        exact = exact_specs(video) if config.searches else {}
        specs = self._choose_specs(before, exact, TUNED_SHARE if config.tune_epochs else 1.0)
        if config.tune_epochs and self.tuned_on is not None:
            kind = LearnedRounding if config.tune == "rounding" else WeightConstraint
            constraint = kind(video, specs, masks, config.rate_weight, self.entropy_model)
            self._tune(self.tuned_on, constraint)
            specs = dict(constraint.specs)
            if config.searches:
                self._round(specs)
                specs = self._choose_specs(before, specs)
        tensors = self._quantize(specs)
        report = None
        if original is not None and config.measure:
            report = evaluate(self._decoded(tensors), original, metrics=self.metrics)
        prunable = sum(mask.numel() for mask in masks.values())
        pruned = prunable - sum(int(mask.sum()) for mask in masks.values())
        return CompressedNetwork(self._encoded(tensors, report), specs, pruned, prunable, before, report)

    def _tune(self, video: Video, constraint: WeightConstraint) -> None:
        config = self.config
        frames, on_disk = seen_frames(video)
        fitted = None if video.seen is None else video.seen.fitted
        loader = FrameLoader(frames, str(self.video.device), on_disk=on_disk, fitted=fitted)
        fitter = Fitter(self.video, loader, tuning_recipe(self.record, config), constraint=constraint)
        while not fitter.done:
            row = fitter.fit_epoch()
            self.on_stage(f"epoch {row['epoch']} of {config.tune_epochs}: {row['psnr']:.2f} dB")
        self.video.eval().precision = "float32"  # in which files are measured

    def _choose_specs(
        self, before: float | None, tuned: dict[str, QuantSpec], share: float = 1.0
    ) -> dict[str, QuantSpec]:
        """Choose the levels of each tensor.

        Args:
            before: PSNR of the network before, in dB, where it is known.
            tuned: levels that weights are on, which a target takes where they fit it.
            share: of a target size.
        """
        config = self.config
        if not config.searches:
            return default_specs(self.video, config, self.record)
        if config.bpp is not None:
            limit = share * config.bpp * self.video.info.pixels / 8 - self.reserved
            finest = {**uniform_specs(self.video, VECTOR_BITS), **tuned}
            if self._file_size(finest) <= limit:
                return finest
            return self._within_file(self._choices(tuned), limit)
        choices = self._choices(tuned)
        assert before is not None
        assert config.max_psnr_drop is not None
        return self._within_drop(choices, before, config.max_psnr_drop)

    def _choices(self, tuned: QuantSpecs) -> search.Choices:
        self.on_stage("measuring how much each tensor's bits change the frames")
        return search.choices(self.video, self.entropy_model, tuned)

    def _round(self, specs: QuantSpecs) -> None:
        """Give the weights the values that they have once they are coded."""
        for name, parameter in self.video.stored_parameters().items():
            parameter.data = rounded(parameter.data, specs[name])

    def _within_drop(self, choices: search.Choices, before: float, drop: float) -> dict[str, QuantSpec]:
        assert self.original is not None
        original = self.original

        def psnr(specs: QuantSpecs) -> float:
            return mean_psnr(self._decoded(self._quantize(specs)), original)

        specs = search.within_drop(choices, lambda trial: psnr(trial) >= before - drop)
        reached = psnr(specs)
        if reached < before - drop:
            raise ConfigError(
                f"with the most bits the file has {reached:.2f} dB, {before - reached:.2f} dB less than the fit; "
                f"allow for a larger loss than {drop:g} dB, prune less, or tune longer"
            )
        return specs

    def _within_file(self, choices: search.Choices, limit: float) -> dict[str, QuantSpec]:
        """Return the specs with the least error whose file takes at most `limit` bytes, which encoding measures."""
        overhead = 0.0
        for attempt in range(MAX_ENCODINGS):
            specs = search.within_size(choices, 8 * (limit - overhead))
            size = self._file_size(specs)
            if size <= limit:
                return specs
            overhead += (size - limit) * 2**attempt  # a small step may change no tensor's choice
        raise UnmetTarget(
            f"no file of at most {limit:,.0f} bytes was found, the last one took {size:,}; ask for a little more"
        )

    def _file_size(self, specs: QuantSpecs) -> int:
        """Return the bytes of the file, scores included."""
        scores = sum(SCORE_BYTES + len(spec["name"]) for spec in check_metrics(self.metrics))
        return len(encode([self._encoded(self._quantize(specs))])) + scores

    def _quantize(self, specs: QuantSpecs) -> dict[str, QuantizedTensor]:
        return {name: coded(tensor, specs[name]) for name, tensor in codable(self.video).items()}

    def _decoded(self, tensors: dict[str, QuantizedTensor]) -> NeuralVideo:
        """Return the network that the file decodes to, bit for bit."""
        twin = copy.deepcopy(self.video)
        for name, parameter in twin.named_parameters():
            parameter.data = torch.from_numpy(tensors[name].values()).to(parameter.device)
        return twin

    def _encoded(self, tensors: dict[str, QuantizedTensor], report: Report | None = None) -> EncodedNetwork:
        """Return the network for a file; entropy models are chosen here, as levels that are only tried need none."""
        models = {name: best_model(each.levels, self.entropy_model)[0] for name, each in tensors.items()}
        tensors = {name: dataclasses.replace(each, entropy_model=models[name]) for name, each in tensors.items()}
        return to_network(self.video, tensors, fit=self._record(report), license=self.license)

    def _record(self, report: Report | None) -> FitRecord | None:
        """Return the record of the fit with the scores of the file and its options, without the network's scores."""
        if self.record is None:
            return None
        scores = names_in(self.record.metrics)
        replaced = {*RECOMPUTED_METRICS, *scores, *(name + MISSING for name in scores)}
        metrics = {name: value for name, value in self.record.metrics.items() if name not in replaced}
        scores_of_file = report.scores if report else {}
        return dataclasses.replace(
            self.record,
            metrics=finite({**metrics, **scores_of_file}),
            compression=self.config.changes() or None,
        )
