"""Speed of decoding, whatever is done with the frames."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from torch import Tensor

from enerv_zoo.machine import synchronize


class Timer:
    """Times what an iterator does, and not what is done with its items."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.laps: list[tuple[int, float]] = []

    def timed(self, batches: Iterator[Tensor]) -> Iterator[Tensor]:
        """Yield batches, timed."""
        while True:
            start = time.perf_counter()
            batch = next(batches, None)
            if batch is None:
                return
            synchronize(self.device)
            self.laps.append((len(batch), time.perf_counter() - start))
            yield batch

    def rate(self) -> float:
        """Return the frames per second, without the first batch (which warms up) where there are more."""
        laps = self.laps[1:] or self.laps
        return sum(frames for frames, _ in laps) / max(sum(seconds for _, seconds in laps), 1e-9)
