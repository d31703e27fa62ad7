"""A step's forward and backward pass as one CUDA graph: hundreds of kernels, and one word from the host.

E-NeRV's step is some 350 kernels and as many views, which PyTorch takes longer to ask for one by one than a large GPU
takes to run them. Replayed as a graph they follow each other without the host.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

logger = logging.getLogger(__name__)

WARM = 3
"""Steps that run as they are before one is recorded: libraries choose their algorithms in the first ones."""

TOLERANCE = 0.02
"""What a replayed step's sums and gradients may differ from those of the same step run as it is, relative to their
norms: kernels may add up in another order, in bfloat16 too."""

Accumulate = Callable[[Tensor, Tensor, int], Tensor]
"""(index (B,), frames (B, 3, H, W), frames of the whole batch) -> sums; leaves gradients in the parameters."""

Record = Callable[[Callable[[], None]], Callable[[], None]]
"""Records what a function asks of the device, and gives what replays it on the same memory."""


def record(function: Callable[[], None]) -> Callable[[], None]:
    """`Record` as CUDA has it."""
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()  # of the current device: PyTorch keeps one of the first
    with torch.cuda.graph(
        graph, stream=stream, capture_error_mode="thread_local"
    ):  # another thread may be sending frames
        function()
    return graph.replay


class StepGraph:
    """Runs `accumulate`: as it is at first, then as a recording of it, for all steps of one shape.

    The first replay is compared with the same step run as it is. Where recording fails or the two differ, one line is
    logged, and every step runs as it is from then on; so do steps of another shape, such as the last of an epoch.

    Args:
        accumulate: sets the gradients anew, from numbers on the device alone, and changes nothing else.
        parameters: whose gradients they are.
        record: how to record.

    Attributes:
        works: `False` once it has failed.
    """

    def __init__(self, accumulate: Accumulate, parameters: Sequence[nn.Parameter], record: Record = record) -> None:
        self.works = True
        self._accumulate, self._parameters, self._record = accumulate, parameters, record
        self._shape: tuple[torch.Size, int] | None = None
        self._seen = 0
        self._replay: Callable[[], None] | None = None
        self._index = self._frames = self.sums = torch.empty(0)
        self._gradients: list[Tensor | None] = []

    @property
    def is_warmed_up(self) -> bool:
        """Return whether it is known how steps are run: recorded, or as they are."""
        return not self.works or self._replay is not None

    def __call__(self, index: Tensor, frames: Tensor, batch: int) -> Tensor:
        """Run `accumulate`; the sums that are returned hold until the next call."""
        if self._shape is None:
            self._shape = frames.shape, batch
        if not self.works or self._shape != (frames.shape, batch):
            return self._accumulate(index, frames, batch)
        if self._replay is None:
            sums = self._accumulate(index, frames, batch)
            self._seen += 1
            if self._seen > WARM:
                self._start(index, frames, batch, sums)
            return sums
        self._index.copy_(index)
        self._frames.copy_(frames)
        self._replay()
        self._set_gradients(self._gradients)
        return self.sums

    def _start(self, index: Tensor, frames: Tensor, batch: int, sums: Tensor) -> None:
        """Record a step that has just run, and compare; its own gradients stay in the parameters."""
        gradients = [parameter.grad for parameter in self._parameters]
        self._index, self._frames = index.clone(), frames.clone()

        def step() -> None:
            self.sums = self._accumulate(self._index, self._frames, batch)

        try:
            replay = self._record(step)
            self._gradients = [parameter.grad for parameter in self._parameters]
            replay()
            self._compare([sums, *gradients], [self.sums, *self._gradients])
            self._replay = replay
        except Exception as error:  # what a driver, a library or a loss of the user's own raises has no common class
            self.works = False
            self._gradients = []
            reason = (str(error).strip() or "no reason given").splitlines()[0]
            logger.warning("going on without CUDA graphs: %s: %.200s", type(error).__name__, reason)
        self._set_gradients(gradients)

    def _compare(self, ours: Sequence[Tensor | None], theirs: Sequence[Tensor | None]) -> None:
        pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if a is not None or b is not None]
        if any(a is None or b is None for a, b in pairs):
            raise RuntimeError("a replayed step has other gradients")
        distances = torch.stack([(a - b).norm() for a, b in pairs if a is not None and b is not None])
        lengths = torch.stack([a.norm() for a, _ in pairs if a is not None])
        sums, gradients = distances[0] / lengths[0], distances[1:].norm() / lengths[1:].norm()
        if not (sums <= TOLERANCE and gradients <= TOLERANCE):
            raise RuntimeError(f"a replayed step differs by {float(sums):.1e}, its gradients by {float(gradients):.1e}")

    def _set_gradients(self, gradients: Sequence[Tensor | None]) -> None:
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient
