"""Families: pure functions from a video's size and hyper-parameters to a `ModelConfig`.

Contract. Called as `family(info, *, options)` with the video's `VideoInfo`; every option is keyword-only and has the
authors' name. A family's `widths` attribute lists the options that a size budget scales, most important first.
"""

from enerv_zoo.models.boost import enerv_boost, hnerv_boost, nerv_boost
from enerv_zoo.models.dnerv import dnerv
from enerv_zoo.models.enerv import enerv
from enerv_zoo.models.enerv_variants import enerv_coupled, enerv_grids, enerv_nerv_block, enerv_unmodulated
from enerv_zoo.models.ffnerv import ffnerv
from enerv_zoo.models.hinerv import hinerv
from enerv_zoo.models.hnerv import hnerv, hnerv_latent, hnerv_nerv
from enerv_zoo.models.nerv import nerv
from enerv_zoo.models.pca_nerv import pca_nerv
from enerv_zoo.models.rnerv import rnerv

__all__ = [
    "dnerv",
    "enerv",
    "enerv_boost",
    "enerv_coupled",
    "enerv_grids",
    "enerv_nerv_block",
    "enerv_unmodulated",
    "ffnerv",
    "hinerv",
    "hnerv",
    "hnerv_boost",
    "hnerv_latent",
    "hnerv_nerv",
    "nerv",
    "nerv_boost",
    "pca_nerv",
    "rnerv",
]
