"""Families: pure functions from a video's size and hyper-parameters to a `ModelConfig`.

Contract. Called as `family(info, *, options)` with the video's `VideoInfo`; every option is keyword-only and has the
authors' name. A family's `widths` attribute lists the options that a size budget scales, most important first.
"""

from enerv_zoo.models.enerv import enerv
from enerv_zoo.models.nerv import nerv

__all__ = ["enerv", "nerv"]
