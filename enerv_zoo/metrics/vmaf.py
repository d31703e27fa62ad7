"""VMAF, by a program that computes it: FFmpeg with libvmaf, or `vmaf`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from enerv_zoo.errors import ConfigError
from enerv_zoo.metrics.contract import Metric
from enerv_zoo.metrics.peak_signal import luma
from enerv_zoo.registry import metrics

_QUIET: dict[str, Any] = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "errors": "replace"}
"""How programs are run: FFmpeg would take keys from the caller's input, of which `q` ends it."""

DECODED, ORIGINAL, SCORES = "decoded.y4m", "original.y4m", "scores.json"


@metrics.register("vmaf")
class VMAF(Metric):
    """VMAF (Li et al. 2016, Netflix), 0 to 100, mean over the frames of a clip.

    It is computed by the first of these: FFmpeg on the PATH if it has libvmaf, the program `vmaf` on the PATH, the
    FFmpeg of the package imageio-ffmpeg (`enerv-zoo[metrics]`). They get luma alone, of which VMAF is made: BT.709, 8
    bits, limited range.

    Args:
        model: a version that the program has, such as `"vmaf_v0.6.1"`, for television in full HD, `"vmaf_4k_v0.6.1"` or
            `"vmaf_v0.6.1neg"`, which does not reward enhancement.

    Raises:
        ConfigError: no such program, or no such version.
    """

    better, scope = "higher", "clip"

    def __init__(self, *, model: str = "vmaf_v0.6.1") -> None:
        if not re.fullmatch(r"[\w.]+", model):
            raise ConfigError(f"the model is a version such as vmaf_v0.6.1, got {model!r:.80}")
        self._command = _command(model)

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Shapes: (N, 3, H, W) twice -> ().

        Raises:
            ConfigError: the program fails.
        """
        with tempfile.TemporaryDirectory(prefix="enerv-zoo-vmaf-") as folder:
            for name, frames in ((DECODED, prediction), (ORIGINAL, target)):
                _write_y4m(frames, Path(folder, name))
            done = subprocess.run(self._command, cwd=folder, **_QUIET)
            try:
                done.check_returncode()
                pooled = json.loads(Path(folder, SCORES).read_text())["pooled_metrics"]
                return torch.tensor(float(pooled["vmaf"]["mean"]))
            except (subprocess.CalledProcessError, OSError, ValueError, KeyError) as error:
                said = " ".join(done.stderr.split())[-300:] or f"it ended with {done.returncode}"
                raise ConfigError(f"metric 'vmaf': {self._command[0]} gave no score: {said}") from error


def _command(model: str) -> list[str]:
    """Return a command that reads both files in its folder and writes the scores.

    Raises:
        ConfigError: nothing here computes VMAF.
    """
    filters = f"libvmaf=model=version={model}:log_fmt=json:log_path={SCORES}"
    with_filter = ["-v", "error", "-i", DECODED, "-i", ORIGINAL, "-lavfi", filters, "-f", "null", "-"]
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg and _has_libvmaf(ffmpeg):
        return [ffmpeg, *with_filter]
    if program := shutil.which("vmaf"):
        options = ["-r", ORIGINAL, "-d", DECODED, "--model", f"version={model}", "--json", "-o", SCORES]
        return [program, *options]
    try:
        bundled = import_module("imageio_ffmpeg").get_ffmpeg_exe()
    except (ImportError, RuntimeError):
        bundled = None
    if bundled and _has_libvmaf(bundled):
        return [bundled, *with_filter]
    raise ConfigError(
        "nothing here computes it: put an FFmpeg with libvmaf, or the program vmaf, on the PATH, or "
        "pip install 'enerv-zoo[metrics]'"
    )


def _has_libvmaf(ffmpeg: str) -> bool:
    try:
        done = subprocess.run([ffmpeg, "-hide_banner", "-filters"], **_QUIET)
    except OSError:
        return False
    return " libvmaf " in done.stdout


def _write_y4m(frames: Tensor, path: Path) -> None:
    """Write the luma of frames (N, 3, H, W), float in [0, 1], as YUV4MPEG2 with colourless chroma (4:2:0)."""
    height, width = frames.shape[-2:]
    chroma = bytes([128]) * (2 * ((height + 1) // 2) * ((width + 1) // 2))
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F25:1 Ip A1:1 C420jpeg\n".encode())
        for frame in frames:
            plane = (16 + 219 * luma(frame[None].float())).round_().clamp_(16, 235).to(torch.uint8)
            file.write(b"FRAME\n" + plane.cpu().numpy().tobytes() + chroma)
