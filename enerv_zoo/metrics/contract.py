"""The contract of a metric."""

from __future__ import annotations

from typing import Literal, Protocol

from torch import Tensor

from enerv_zoo.config import VideoInfo

Better = Literal["higher", "lower"]
Scope = Literal["frame", "clip"]


class Metric(Protocol):
    """Base of metrics; a class of its own that has all of this is one, too.

    Attributes:
        unit: of its scores, such as `"dB"`; empty for a plain number.
        better: which of two scores is the better one.
        scope: what has a score: each frame, or the whole clip.
    """

    unit: str = ""
    better: Better = "higher"
    scope: Scope = "frame"

    def missing(self, info: VideoInfo) -> str | None:
        """Return why frames like these have no score, or `None` where they have one, as all have by default.

        Args:
            info: of the frames that are compared.
        """
        return None

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the score of each frame, or of the clip.

        Shapes: (B, 3, H, W) twice, float in [0, 1] -> (B,), or () of the scope `"clip"`.
        """
        ...
