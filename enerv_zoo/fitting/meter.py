"""Means over an epoch, gathered on the device without waiting for it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from enerv_zoo.fitting.explained import Cells, coarse_variance, contrast
from enerv_zoo.metrics.peak_signal import psnr_of_errors
from enerv_zoo.precision import widest

MIN_CONTRAST_VARIANCE = 1e-4
"""Contrast is measured where the video's own variance is larger."""


class EpochMeter:
    """Sums over the frames of an epoch: objective, PSNR, and what tells a network from one of a constant image.

    Args:
        frames: the video's, (N, 3, H, W), uint8.
        device: where the sums are.

    Attributes:
        sums: (5,), float64 (float32 on MPS), on the device.
        cells: averages frames over their cells.
        frames: that the sums are of.
        seconds: that fitting them took.
    """

    def __init__(self, frames: Tensor, device: torch.device) -> None:
        self.sums = torch.zeros(5, dtype=widest(device), device=device)
        self.frames = 0
        self.seconds = 0.0
        self._coarse_variance = coarse_variance(frames)
        self.cells = Cells(frames.shape[2:], device)

    def zeros(self) -> Tensor:
        """Return sums of no frames."""
        return torch.zeros_like(self.sums)

    def measure(self, objective: Tensor, decoded: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the sums (5,) of frames (B, 3, H, W), in [0, 1], whose mean objective is given.

        With weights of their pixels (B, 1, H, W), those of the pixels that are seen.
        """
        errors = decoded - target
        quality = psnr_of_errors(errors, weights).sum()
        if weights is not None:
            errors, target = torch.where(weights > 0, errors, 0), torch.where(weights > 0, target, decoded)
        variances = contrast(decoded), contrast(target), self.cells(errors).square().mean(dim=(1, 2, 3)).sum()
        return torch.stack((objective * len(target), quality, *variances))

    def add(self, sums: Tensor, frames: int) -> None:
        """Add the sums of a batch."""
        self.sums += sums
        self.frames += frames

    def means(self) -> tuple[float, float]:
        """Return the mean objective and PSNR (dB) so far; waits for the device."""
        objective, quality = (self.sums[:2] / max(self.frames, 1)).tolist()
        return objective, quality

    def row(self) -> dict[str, Any]:
        """Return the epoch's part of a row of history; waits for the device."""
        variance, target_variance, coarse = (self.sums[2:] / max(self.frames, 1)).tolist()
        return {
            "contrast": variance / target_variance if target_variance > MIN_CONTRAST_VARIANCE else None,
            "explained": 1 - coarse / self._coarse_variance if self._coarse_variance else None,
            "seconds": round(self.seconds, 4),
            "frames_per_second": round(self.frames / max(self.seconds, 1e-9), 3),
        }

    def reset(self) -> None:
        """Begin another epoch."""
        self.frames, self.seconds = 0, 0.0
        self.sums.zero_()

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps; the tensor is this one's own."""
        return {"sums": self.sums, "_frames_done": self.frames, "_epoch_seconds": self.seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with the sums of a checkpoint; those of older ones are fewer."""
        self.reset()
        self.sums[: len(state["sums"])].copy_(state["sums"])
        self.frames, self.seconds = state["_frames_done"], state["_epoch_seconds"]
