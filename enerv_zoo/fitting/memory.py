"""Memory need of a fit, counted before its first step on shapes alone."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass

import torch
from torch import Tensor

from enerv_zoo.config import FitConfig
from enerv_zoo.errors import EnervZooError, FitError
from enerv_zoo.losses import build_loss, ready_loss
from enerv_zoo.meta import MetaParameters, meta_arithmetic
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.precision import widest

logger = logging.getLogger(__name__)

FLOAT = 4


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes that a fit needs on its device.

    Attributes:
        weights: weights, their gradients and the optimizer's two moments; weights and moments of two earlier epochs, to
            go back to; the same of the weights' average, if there is one.
        saved: what one forward pass of a batch saves for its backward pass, the loss included; of the phase that saves
            most.
        frames: the video's frames, as uint8.
        batch: frames per step of that phase.
    """

    weights: int
    saved: int
    frames: int
    batch: int = 1

    @property
    def total(self) -> int:
        """An upper estimate of the peak: on the way back, gradients come to at most as much as was saved."""
        return self.weights + 2 * self.saved + self.frames

    def __str__(self) -> str:
        megabytes = [f"{size / 1e6:,.0f}" for size in (self.total, self.weights, 2 * self.saved, self.frames)]
        return "up to about {} MB: weights {}, activations {}, frames {}".format(*megabytes)


def frames_at_once(need: MemoryNeed, batch: int, available: int | None) -> int:
    """Return how many frames of a batch may pass a network at once, so that a fit stays within a host's memory.

    A system that runs out of memory kills the process without a word, so this is decided beforehand; a GPU's own
    memory is tried, as running out of it does no harm.

    Args:
        need: of the fit, for whatever batch; its frames are in memory already.
        batch: frames per step.
        available: bytes, or `None` where nobody knows.

    Raises:
        FitError: a single frame is too much, even if the estimate is twice too high.
    """
    if available is None:
        return batch
    at_once, per_frame = batch, need.saved / need.batch
    while at_once > 1 and need.weights + 2 * per_frame * at_once > available:
        at_once = (at_once + 1) // 2
    least = need.weights + per_frame * at_once
    if least > available:
        raise FitError(
            f"fitting needs at least {least / 1e6:,.0f} MB of memory, {available / 1e6:,.0f} are available; fit a "
            "smaller network (size), or smaller frames (resize)"
        )
    if at_once < batch:
        logger.warning("memory is short: %d of %d frames pass at once, accumulated to the batch", at_once, batch)
    return at_once


def memory_need(video: NeuralVideo, config: FitConfig) -> MemoryNeed:
    """Count what fitting `video` with `config` needs.

    The network and its loss run once on PyTorch's meta device, which computes shapes and no numbers, and float32 ones
    whatever the recipe's precision: with bfloat16 a fit takes less. A batch that is still to be chosen counts as 1.
    """
    info = video.info
    with MetaParameters():
        twin = NeuralVideo(video.config, info).train()
        twin = (twin.start_fitting() if video.is_fitting else twin).to("meta")
    phases = config.split()
    batches = [min(phase.batch_size or 1, info.frames) for phase in phases]
    saved, batch = max((saved_bytes(twin, phase, batch), batch) for phase, batch in zip(phases, batches, strict=True))
    averaged = any(phase.ema is not None for phase in phases)
    return MemoryNeed(
        weights=(13 if averaged else 10) * FLOAT * sum(p.numel() for p in video.parameters()),
        saved=saved,
        frames=info.frames * 3 * info.height * info.width,
        batch=batch,
    )


def saved_bytes(video: NeuralVideo, config: FitConfig, batch: int) -> int:
    """Bytes that a forward pass of `batch` frames and its loss save for the backward pass, weights left out.

    A third party's loss that cannot compute on shapes alone counts as L1, and a part that cannot as nothing: a fit that
    takes more memory than there is divides its batches.
    """
    for loss in (config.loss, "L1"):
        try:
            return _saved_bytes(video, dataclasses.replace(config, loss=loss), batch)
        except EnervZooError:
            raise
        except Exception:
            logger.debug("the memory of a pass with the loss %s is not known", loss, exc_info=True)
    return 0


def _saved_bytes(video: NeuralVideo, config: FitConfig, batch: int) -> int:
    info, device = video.info, video.device
    own = {_storage(tensor) for tensor in (*video.parameters(), *video.buffers())}
    saved: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        if _storage(tensor) not in own:
            saved[_storage(tensor)] = tensor
        return tensor

    loss = ready_loss(build_loss(config.loss, info.height, info.width), device)
    target = torch.zeros(batch, 3, info.height, info.width, device=device)
    with meta_arithmetic(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        video.objective(torch.zeros(batch, dtype=widest(device), device=device), target, loss)
        return sum(tensor.untyped_storage().nbytes() for tensor in saved.values())


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
