"""`export`: from a fit to a file that other runtimes decode."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path
from typing import Any, get_args

import torch

from enerv_zoo import __version__
from enerv_zoo.errors import ConfigError
from enerv_zoo.evaluation.report import check_network
from enerv_zoo.exporting import onnx_model
from enerv_zoo.exporting.decoder import Decoder, Index, Output, Precision, rounded
from enerv_zoo.files import check_writable, replacing
from enerv_zoo.hub import open_run
from enerv_zoo.loading import load
from enerv_zoo.network import Network
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.progress import stage
from enerv_zoo.segmented import SegmentedVideo
from enerv_zoo.storage import Run
from enerv_zoo.threads import usable_threads
from enerv_zoo.video.origin import protected

ONNX, TORCH = ".onnx", ".pt2"
MAX_BATCH = 1024


def export(
    fit: NeuralVideo | SegmentedVideo | Run | str | Path,
    path: str | Path,
    *,
    precision: Precision = "float32",
    batch: int | str = "dynamic",
    output: Output = "uint8",
    index: Index = "float64",
) -> Path:
    """Write a network as a model that decodes without this package: ONNX, or a `torch.export` program.

    The model has one input, `index`, (B,): frame indices, integer or fractional. Its output is `frames`.
    Before an ONNX model is written, onnxruntime's frames are compared with the network's: they are within 1e-4, and
    8-bit ones within 1.

    Args:
        fit: a network, or what `enerv_zoo.load` takes.
        path: of the file, which ends in `.onnx` or `.pt2`.
        precision: of the stored weights: `"float32"`, or `"float16"` for half the bytes; either computes in float32.
        batch: `"dynamic"` for any number of indices per call, or that number.
        output: `"uint8"` for frames (B, 3, H, W) as `video[i]` gives them, `"float32"` for the same in [0, 1],
            `"sdr"` for these converted to SDR (`enerv_zoo.video.tones`), or `"rgba"` for (B, H, W, 4) uint8.
        index: the input's type: `"float64"`, or `"float32"` of an ONNX model for runtimes that have nothing wider, such
            as onnxruntime-web with WebGPU.

    Returns:
        The path of the file. The model's metadata are those of the video (`name`, `frames`, `width`, `height`, `fps`,
        `timestamps`, `attribution`), `license` of the weights, `family`, `precision` and `version` of this package.

    Raises:
        ConfigError: an option that there is not, a video in segments, or the extra `enerv-zoo[export]` is missing.
        EnervZooError: the fit cannot be read, decodes otherwise as a model, or the file cannot be written.
    """
    target, size = Path(path), _batch_size(batch)
    check_choice("precision", precision, Precision)
    check_choice("output", output, Output)
    check_choice("index", index, Index)
    if target.suffix not in (ONNX, TORCH):
        raise ConfigError(f"{path}: expected a name that ends in {ONNX} or {TORCH}")
    if target.suffix == TORCH and index != "float64":
        raise ConfigError(f"{path}: a {TORCH} program takes float64 indices, got index={index!r}")
    if target.suffix == ONNX:
        onnx_model.check_installed()
    check_writable(target)
    video, run = opened(fit)
    if len(video.segments) > 1:
        raise ConfigError(f"a model is of one network, got {video!r:.80}; name the folder of one segment")
    network = video.network(0)
    metadata = describe(network, run, precision, output)
    with protected(video.origin), replacing(target) as temporary:
        temporary.write_bytes(exported(network, target.suffix, precision, size, output, metadata, index))
    return target


def opened(fit: Any) -> tuple[NeuralVideo | SegmentedVideo, Run | None]:
    """Return the video of a fit, and the run that it lies in; `None` for a network in memory.

    Raises:
        ConfigError: it is no fit, or a network that is still being fitted.
    """
    run = open_run(fit) if isinstance(fit, str | Path) else fit if isinstance(fit, Run) else None
    video = check_network(fit if run is None else load(run))
    if len(video.segments) == 1:
        video.network(0).weights()  # refuses a network that is being fitted
    return video, run


@usable_threads()
@torch.no_grad()
def exported(
    network: Network,
    suffix: str,
    precision: Precision,
    batch: int | None,
    output: Output,
    metadata: dict[str, str],
    index: Index = "float64",
) -> bytes:
    """Return the contents of a model's file."""
    stage("translating")
    network = rounded(network, precision)
    decoder = Decoder(network, output, index=index)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporters, about themselves
        if suffix == TORCH:
            file = io.BytesIO()
            torch.export.save(decoder.program(batch), file, extra_files={"metadata.json": json.dumps(metadata)})
            return file.getvalue()
        model = onnx_model.to_onnx(decoder, batch, precision, metadata)
    stage("comparing with onnxruntime")
    onnx_model.check_model(model, network, output, batch)
    return model.SerializeToString()


def _batch_size(batch: Any) -> int | None:
    text = str(batch)
    if text == "dynamic":
        return None
    if not text.isdecimal() or not 1 <= int(text) <= MAX_BATCH:
        raise ConfigError(f"a batch is 'dynamic' or a number of frames from 1 to {MAX_BATCH}, got {batch!r}")
    return int(text)


def check_choice(name: str, value: Any, choices: Any) -> None:
    """Refuse a value that is none of a `Literal`'s.

    Raises:
        ConfigError: says which there are.
    """
    if value not in get_args(choices):
        raise ConfigError(f"{name} is one of {', '.join(get_args(choices))}, got {value!r}")


def describe(video: Network, run: Run | None, precision: Precision, output: Output) -> dict[str, str]:
    """Return what a model says of its video, as texts; what is not known is left out."""
    info = video.info
    facts = {
        "library": "enerv-zoo",
        "version": __version__,
        "family": video.config.family,
        "name": info.name,
        "frames": info.frames,
        "width": info.width,
        "height": info.height,
        "fps": info.fps,
        "timestamps": info.timestamps and json.dumps(info.timestamps),
        "pixel_aspect": None if info.pixel_aspect == 1 else "{}:{}".format(*info.pixel_aspect.as_integer_ratio()),
        "attribution": info.attribution,
        "license": run and run.description.license,
        "precision": precision,
        "output": output,
    }
    return {key: str(value) for key, value in facts.items() if value is not None}
