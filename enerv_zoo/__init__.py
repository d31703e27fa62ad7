"""enerv_zoo: neural video representations, networks that are the video.

    import enerv_zoo as ez

    result = ez.fit("bunny", model="enerv", size="1.5M", epochs=20)
    result.video[0]                     # the first frame, uint8 (3, H, W), drawn by the network
    ez.evaluate(result.video, "bunny").psnr

Names load when they are first used, so importing this package is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Callback": "fitting",
    "ConfigError": "errors",
    "EnervZooError": "errors",
    "FitConfig": "config",
    "FitError": "errors",
    "FitInterrupted": "fitting",
    "Fleet": "cluster",
    "FrameError": "errors",
    "HubError": "errors",
    "ModelConfig": "composition",
    "NeuralVideo": "neural_video",
    "SegmentedVideo": "segmented",
    "VideoError": "errors",
    "VideoInfo": "config",
    "WorkerPool": "batch",
    "compare": "batch",
    "compress": "compression",
    "create_model": "zoo",
    "summarize": "summary",
    "evaluate": "evaluation",
    "fit": "fitting",
    "fit_segments": "batch",
    "graceful_stop": "stopping",
    "import_checkpoint": "interop",
    "list_components": "zoo",
    "list_models": "zoo",
    "list_pretrained": "hub",
    "list_recipes": "recipes",
    "load": "loading",
    "open_video": "video",
    "pull": "hub",
    "push": "loading",
    "rate_distortion": "batch",
    "render": "evaluation",
    "tune_process": "machine",
    "write_report": "report",
    "write_video": "video",
}

__all__ = ["__version__", *_HOMES]

if TYPE_CHECKING:
    from enerv_zoo.batch import WorkerPool, compare, fit_segments, rate_distortion
    from enerv_zoo.cluster import Fleet
    from enerv_zoo.composition import ModelConfig
    from enerv_zoo.compression import compress
    from enerv_zoo.config import FitConfig, VideoInfo
    from enerv_zoo.errors import ConfigError, EnervZooError, FitError, FrameError, HubError, VideoError
    from enerv_zoo.evaluation import evaluate, render
    from enerv_zoo.fitting import Callback, FitInterrupted, fit
    from enerv_zoo.hub import list_pretrained, pull
    from enerv_zoo.interop import import_checkpoint
    from enerv_zoo.loading import load, push
    from enerv_zoo.machine import tune_process
    from enerv_zoo.neural_video import NeuralVideo
    from enerv_zoo.recipes import list_recipes
    from enerv_zoo.report import write_report
    from enerv_zoo.segmented import SegmentedVideo
    from enerv_zoo.stopping import graceful_stop
    from enerv_zoo.summary import summarize
    from enerv_zoo.video import open_video, write_video
    from enerv_zoo.zoo import create_model, list_components, list_models


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'enerv_zoo' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"enerv_zoo.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
