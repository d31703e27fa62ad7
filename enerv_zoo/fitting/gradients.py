"""Gradients of a batch: at once, replayed on a GPU, or in as many parts as there is memory for."""

from __future__ import annotations

import logging
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from enerv_zoo.errors import FitError
from enerv_zoo.fitting.constraint import WeightConstraint
from enerv_zoo.fitting.graph import StepGraph
from enerv_zoo.fitting.meter import EpochMeter
from enerv_zoo.losses import Loss
from enerv_zoo.network import Network
from enerv_zoo.pixels import as_float

logger = logging.getLogger(__name__)

COMPILING_COSTS = 60.0
COMPILING_SAVES = 0.25
"""Seconds that `torch.compile` is taken to cost, and the part of the rest of a fit on CUDA that it saves."""


class BatchGradients:
    """Sets the gradients of a network's parameters for a batch, and returns what an epoch's meter sums up.

    Args:
        network: whose parameters they are.
        loss: a scalar of (prediction, target), in [0, 1].
        meter: of the epoch.
        constraint: on the weights while the frames are decoded, or `None`.
        micro_batch: frames that pass the network at once.

    Attributes:
        micro_batch: as given, or fewer after memory ran out; the rest of a batch is accumulated.
        graph: that replays whole batches on a GPU, or `None`.
        may_replay: whether `enable_cuda_graphs` was called.
        changes_more: whether a pass leaves more than gradients (running statistics, neighbours' frames) or draws random
            numbers, so that it cannot be replayed, and not be left out.
    """

    def __init__(
        self, network: Network, loss: Loss, meter: EpochMeter, constraint: WeightConstraint | None, micro_batch: int
    ) -> None:
        self._network, self._loss, self._meter, self._constraint = network, loss, meter, constraint
        self.micro_batch = micro_batch
        self.graph: StepGraph | None = None
        self.may_replay = False
        normalizes = any(isinstance(part, nn.BatchNorm2d) for part in network.modules())
        is_random = constraint is not None and constraint.is_random
        self.changes_more = bool(network.neighbours) or normalizes or is_random

    def enable_cuda_graphs(self, seconds_left: float) -> None:
        """On CUDA, replay whole batches as graphs from here on, where that is possible.

        Args:
            seconds_left: that the fit will take without; where compiling the network saves more than it costs, it is
                compiled, too.
        """
        self.may_replay = True
        if self._network.device.type != "cuda":
            return
        if COMPILING_SAVES * seconds_left > COMPILING_COSTS:
            logger.info("compiling the network, as the fit will take long enough to be worth it")
            self._network.optimize(self._network.precision).train()
        if not self.changes_more:
            self.graph = StepGraph(self.accumulate, list(self._network.parameters()))

    def record_anew(self) -> None:
        """Record a step again where it is replayed: the tensors that it reads are others from here on."""
        if self.graph is not None:
            self.graph = StepGraph(self.accumulate, list(self._network.parameters()))

    @property
    def is_warmed_up(self) -> bool:
        """Return whether batches take from here on what they have taken last: what is recorded, is recorded."""
        return self.graph is None or self.graph.is_warmed_up

    def __call__(self, index: Tensor, frames: Tensor, batch: int) -> Tensor:
        """Set the gradients of frames, uint8, which are a part of a batch of `batch` frames.

        They are (B, 3, H, W), or (B, 1 + A, 3, H, W) with those around them (`Network.content_neighbours`).

        Where memory runs out, fewer frames pass at once from here on; the recipe stays.

        Returns:
            The sums of these frames, as `EpochMeter` adds them up.

        Raises:
            FitError: out of memory with a single frame, or there is no deterministic algorithm where one is asked for.
        """
        device = self._network.device
        while True:
            is_whole = len(index) > 0 and self.micro_batch >= len(index)
            accumulate = self.graph if self.graph is not None and is_whole else self.accumulate
            try:
                with (
                    torch.cuda.device(device) if device.type == "cuda" else nullcontext()
                ):  # graphs are of the current one
                    return accumulate(index, frames, batch)
            except RuntimeError as error:
                compiled = self._network.compiled
                if compiled is not None and compiled.works and not isinstance(error, torch.OutOfMemoryError):
                    compiled.stop(error)
                else:
                    self.halve(error, len(index))

    def accumulate(self, index: Tensor, frames: Tensor, batch: int) -> Tensor:
        """As a call, in parts of `micro_batch`, without replaying or trying again."""
        self._network.zero_grad(set_to_none=True)
        sums = self._meter.zeros()
        if not len(index):
            return sums
        with self._constraint.applied() if self._constraint is not None else nullcontext():
            for part, pixels in zip(index.split(self.micro_batch), frames.split(self.micro_batch), strict=True):
                pixels = as_float(pixels)
                weights = pixels[:, 3:] if pixels.ndim == 4 else pixels[:, 0, 3:]
                pixels = pixels[..., :3, :, :]
                target, around = (pixels, None) if pixels.ndim == 4 else (pixels[:, 0], pixels[:, 1:])
                target = target.contiguous(memory_format=torch.channels_last)  # as what is decoded is
                seen = weights if weights.shape[1] else None
                objective, decoded = self._network.objective(part, target, self._loss, around, seen)
                (objective * (len(part) / batch) if len(part) < batch else objective).backward()
                with torch.no_grad():
                    sums += self._meter.measure(objective, decoded.detach(), target, seen)
        return sums

    def halve(self, error: RuntimeError, batch: int) -> None:
        """Let half as many frames pass at once, after an error that says that memory ran out.

        Raises:
            FitError: a single frame is too much, or it says that there is no deterministic algorithm.
            RuntimeError: the error, if it says something else.
        """
        size = min(self.micro_batch, batch)
        if torch.are_deterministic_algorithms_enabled() and "eterministic" in str(error):
            if "CUBLAS_WORKSPACE_CONFIG" in str(error):
                raise FitError(
                    "this process has used the GPU before, in another way; start one with the environment variable "
                    "CUBLAS_WORKSPACE_CONFIG=:4096:8"
                ) from error
            raise FitError(
                "this network computes what its device has no deterministic algorithm for; fit without "
                f"deterministic=True (fit --deterministic), or on the CPU: {' '.join(str(error).split())[:200]}"
            ) from error
        if not (isinstance(error, torch.OutOfMemoryError) or "not enough memory" in str(error)):
            raise error
        if size == 1:
            raise FitError(
                "out of memory with a single frame at a time; fit a smaller network (size), or smaller frames (resize)"
            ) from error
        self.micro_batch = size // 2
        self.graph = None  # its memory is a whole batch's
        self._network.zero_grad(set_to_none=True)
        if self._network.device.type == "cuda":
            torch.cuda.empty_cache()
        logger.warning("out of memory: %d frames at a time from here on, accumulated to the batch", self.micro_batch)
