"""How a fit is compressed: the arguments of `compress`, checked."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from enerv_zoo.config import Spec
from enerv_zoo.errors import ConfigError
from enerv_zoo.nvz.quantisation import Scales, check_bits


@dataclass(frozen=True)
class CompressOptions:
    """The arguments of `compress` of the same names.

    Raises:
        ConfigError: they exclude each other, or are out of range.
    """

    bits: int | None
    scales: Scales
    bpp: float | None
    max_psnr_drop: float | None
    prune: float
    tune_epochs: int
    rate_weight: float
    lr: float
    batch_size: int | None
    seed: int
    license: str | None
    measure: bool
    on_stage: Callable[[str], None]
    entropy_model: Spec | None

    def __post_init__(self) -> None:
        targets = {"bits": self.bits, "bpp": self.bpp, "max_psnr_drop": self.max_psnr_drop}
        given = [name for name, value in targets.items() if value is not None]
        if len(given) > 1:
            raise ConfigError(f"{' and '.join(given)} were given; give one of them, the others follow from it")
        if self.bits is not None:
            check_bits(self.bits)
        if self.bpp is not None and not 0 < self.bpp < math.inf:
            raise ConfigError(f"bits per pixel are more than 0, got {self.bpp}")
        if self.max_psnr_drop is not None and not 0 <= self.max_psnr_drop < math.inf:
            raise ConfigError(f"a loss of PSNR is 0 dB or more, got {self.max_psnr_drop}")
        if self.tune_epochs < 0 or not 0 <= self.rate_weight < math.inf:
            raise ConfigError(f"epochs and weights are 0 or more, got {self.tune_epochs} and {self.rate_weight}")
        if self.rate_weight and not self.tune_epochs:
            raise ConfigError("the rate is in the objective while tuning; give tune_epochs (--tune-epochs), too")

    @property
    def searched(self) -> bool:
        """Whether each tensor's grid is chosen for a target."""
        return self.bpp is not None or self.max_psnr_drop is not None

    @property
    def needs_video(self) -> bool:
        """Whether the original is needed."""
        return self.tune_epochs > 0 or self.max_psnr_drop is not None
