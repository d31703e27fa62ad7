"""Fitting on with rounding in the loop, with pruned weights held, and with the file's size in the objective."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from enerv_zoo.compression.pruning import prune
from enerv_zoo.compression.quantisation import QuantSpecs, rounded, steps
from enerv_zoo.config import FitConfig, from_dict
from enerv_zoo.errors import ConfigError
from enerv_zoo.fitting.frame_loader import FrameLoader
from enerv_zoo.fitting.loop import Fitter
from enerv_zoo.losses import check_loss
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.storage.description import FitRecord

logger = logging.getLogger(__name__)


class TuningFitter(Fitter):
    """A fit whose steps see the network as the file will hold it.

    Frames are drawn with rounded weights; the gradient that arrives at those moves the exact ones (straight through,
    Bengio et al. 2013). The rate, if it has a weight, is that of a Laplace distribution a tensor: n log2(1 + 2e m / s)
    bits for n numbers of mean magnitude m and scale s; its gradient is added in closed form.

    Args:
        video, feed, config: as for `Fitter`.
        grids: of each tensor; a tensor that is not there is not rounded.
        kept: masks of pruned tensors.
        rate_weight: of the bits per pixel in the objective.
    """

    def __init__(
        self,
        video: NeuralVideo,
        feed: FrameLoader,
        config: FitConfig,
        grids: QuantSpecs,
        kept: Mapping[str, Tensor],
        rate_weight: float = 0.0,
    ) -> None:
        super().__init__(video, feed, config)
        self.grids, self.kept, self.rate_weight = grids, dict(kept), rate_weight
        self.tensors = dict(video.named_parameters())
        self.rated = {name for name, hint in video.coding_hints().items() if name in grids and hint.kind != "bias"}

    def _accumulate(self, index: Tensor, frames: Tensor, batch: int) -> Tensor:
        with self._as_in_the_file():
            sums = super()._accumulate(index, frames, batch)
        for name, tensor in self.tensors.items():
            if self.rate_weight and name in self.rated and tensor.grad is not None:
                tensor.grad.add_(self._rate_gradient(name, tensor.detach()))
            if name in self.kept and tensor.grad is not None:
                tensor.grad.mul_(self.kept[name])
        return sums

    @contextmanager
    def _as_in_the_file(self) -> Iterator[None]:
        exact = {name: self.tensors[name].data for name in self.grids}
        for name, grid in self.grids.items():
            self.tensors[name].data = rounded(exact[name], grid)
        try:
            yield
        finally:
            for name, data in exact.items():
                self.tensors[name].data = data

    def _rate_gradient(self, name: str, tensor: Tensor) -> Tensor:
        step = steps(tensor, self.grids[name]).mean()
        mean = tensor.abs().mean()
        slope = 2 * math.e / (math.log(2) * (step + 2 * math.e * mean))  # of n log2(1 + 2e m / s) by each magnitude
        return tensor.sign() * slope * (self.rate_weight / self.video.info.pixels)

    def fit_batch(self, index: Tensor, frames: Tensor, batch: int | None = None) -> None:
        super().fit_batch(index, frames, batch)
        prune(self.video, self.kept)  # momentum must not bring back what is gone


def tune(fitter: TuningFitter, on_epoch: Callable[[dict[str, Any]], None]) -> None:
    """Run a fit to its end; `on_epoch` is called with each epoch's row of history."""
    while not fitter.done:
        on_epoch(fitter.fit_epoch())
    fitter.video.eval()


def tuning_recipe(record: FitRecord | None, epochs: int, lr: float, seed: int, batch_size: int | None) -> FitConfig:
    """The fit's own recipe, but for what tuning changes.

    Args:
        record: of the fit; without one, the loss is L2.
        epochs, lr, seed: of the tuning.
        batch_size: the fit's own if `None`.
    """
    own = dict(record.recipe.fit) if record is not None and record.recipe is not None else {"loss": "L2"}
    changed = {"epochs": epochs, "lr": lr, "seed": seed, "time_budget": None, "eval_every": 0, "warmup": 0.1}
    recipe = from_dict(FitConfig, {**own, **changed}, "fit")
    try:
        check_loss(recipe.loss)
    except ConfigError as error:  # a callable of the user's own, or of a plug-in that is not here
        logger.warning("tuning with the loss L2, as the fit's own is not here: %s", error)
        recipe = dataclasses.replace(recipe, loss="L2")
    return dataclasses.replace(recipe, batch_size=batch_size or recipe.batch_size or 1)
