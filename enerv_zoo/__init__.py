"""enerv_zoo: neural video representations, networks that are the video.

    import enerv_zoo as ez

    result = ez.fit("bunny", model="enerv", size="1.5M", epochs=20)
    result.video[0]                     # the first frame, uint8 (3, H, W), decoded by the network
    ez.evaluate(result.video, "bunny").psnr

Names load when they are first used, so importing this package is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from enerv_zoo.batch import WorkerPool, compare, fit_segments, rate_distortion
    from enerv_zoo.cluster import Fleet
    from enerv_zoo.composition import ModelConfig
    from enerv_zoo.compression import compress
    from enerv_zoo.config import FitConfig, VideoInfo
    from enerv_zoo.errors import ConfigError, EnervZooError, FitError, FrameError, HubError, VideoError
    from enerv_zoo.evaluation import bd_rate, evaluate, measure_codec, render
    from enerv_zoo.exporting import export, write_player
    from enerv_zoo.fitting import Callback, FitInterrupted, TimeLapse, fit
    from enerv_zoo.hub import list_pretrained, pull
    from enerv_zoo.interop import import_checkpoint
    from enerv_zoo.loading import load, push
    from enerv_zoo.machine import tune_process
    from enerv_zoo.neural_video import NeuralVideo
    from enerv_zoo.published_results import published
    from enerv_zoo.recipes import list_recipes
    from enerv_zoo.report import LivePage, write_report
    from enerv_zoo.segmented import SegmentedVideo
    from enerv_zoo.stopping import graceful_stop
    from enerv_zoo.summary import summarize
    from enerv_zoo.video import open_video, write_video
    from enerv_zoo.zoo import create_model, list_components, list_models

__all__ = [
    "Callback",
    "ConfigError",
    "EnervZooError",
    "FitConfig",
    "FitError",
    "FitInterrupted",
    "Fleet",
    "FrameError",
    "HubError",
    "LivePage",
    "ModelConfig",
    "NeuralVideo",
    "SegmentedVideo",
    "TimeLapse",
    "VideoError",
    "VideoInfo",
    "WorkerPool",
    "__version__",
    "bd_rate",
    "compare",
    "compress",
    "create_model",
    "evaluate",
    "export",
    "fit",
    "fit_segments",
    "graceful_stop",
    "import_checkpoint",
    "list_components",
    "list_models",
    "list_pretrained",
    "list_recipes",
    "load",
    "measure_codec",
    "open_video",
    "published",
    "pull",
    "push",
    "rate_distortion",
    "render",
    "summarize",
    "tune_process",
    "write_player",
    "write_report",
    "write_video",
]

_HOMES = {
    "batch": "WorkerPool compare fit_segments rate_distortion",
    "cluster": "Fleet",
    "composition": "ModelConfig",
    "compression": "compress",
    "config": "FitConfig VideoInfo",
    "errors": "ConfigError EnervZooError FitError FrameError HubError VideoError",
    "evaluation": "bd_rate evaluate measure_codec render",
    "exporting": "export write_player",
    "fitting": "Callback FitInterrupted TimeLapse fit",
    "hub": "list_pretrained pull",
    "interop": "import_checkpoint",
    "loading": "load push",
    "machine": "tune_process",
    "neural_video": "NeuralVideo",
    "published_results": "published",
    "recipes": "list_recipes",
    "report": "LivePage write_report",
    "segmented": "SegmentedVideo",
    "stopping": "graceful_stop",
    "summary": "summarize",
    "video": "open_video write_video",
    "zoo": "create_model list_components list_models",
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names.split()}
"""The modules that have the public names."""

if not TYPE_CHECKING:  # type checkers read the imports above, and refuse any other name

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module 'enerv_zoo' has no attribute {name!r}")
        value = getattr(importlib.import_module(f"enerv_zoo.{_MODULES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
