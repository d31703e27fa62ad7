"""Progress of a fit, as it is reported while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Status:
    """Progress of a fit. Loss and PSNR are means over the epoch so far, of frames as they were decoded while fitting.

    Attributes:
        epoch: 1-based, over all phases; epochs: of how many, `None` under a time budget.
        step: steps done in this epoch; steps: of how many.
        loss: of the objective.
        psnr: dB.
        lr: learning rate of the last step.
        progress: fraction of the fit that is done.
        frames_per_second: fitted since the start of this phase.
        seconds_left: until the last step.
    """

    epoch: int
    epochs: int | None
    step: int
    steps: int
    loss: float
    psnr: float
    lr: float
    progress: float
    frames_per_second: float
    seconds_left: float


OnStatus = Callable[[Status], None]
