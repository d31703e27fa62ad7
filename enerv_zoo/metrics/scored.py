"""Results that hold scores by name."""

from __future__ import annotations

from collections.abc import Mapping

from enerv_zoo.errors import ConfigError
from enerv_zoo.metrics.columns import Column, column


class Scored:
    """A result with scores by the metric's name; the two that are measured by default are attributes, too."""

    scores: Mapping[str, float | None]

    @property
    def psnr(self) -> float:
        """PSNR in dB, infinite where all is exact.

        Raises:
            ConfigError: it was not measured.
        """
        value = self._score("psnr")
        if value is None:
            raise ConfigError("psnr is missing, which all frames have; the file that this was read from is damaged")
        return value

    @property
    def ms_ssim(self) -> float | None:
        """MS-SSIM, 0 to 1; `None` for frames too small for it.

        Raises:
            ConfigError: it was not measured.
        """
        return self._score("ms_ssim")

    @property
    def columns(self) -> list[Column]:
        """Columns of the scores, in their order; the first one leads."""
        return [column(name) for name in self.scores]

    def _score(self, name: str) -> float | None:
        if name not in self.scores:
            raise ConfigError(
                f"{name} was not measured, only {', '.join(self.scores) or 'nothing'}; name it in metrics"
            )
        return self.scores[name]
