"""A metric."""

import torch


class EdgeError:
    """Mean absolute difference of what neighbouring pixels of a row differ by, in levels of 8 bits."""

    unit, better, scope = "levels", "lower", "frame"

    def missing(self, info):
        return "frames are a pixel wide" if info.width < 2 else None

    def __call__(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return 255 * (prediction - target).diff(dim=-1).abs().mean(dim=(1, 2, 3))
