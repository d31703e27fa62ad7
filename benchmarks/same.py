"""Does this code compute the same as another commit's, to the last bit?

Both fit, decode, measure and compress the same short cases, each in a process of its own that imports its own checkout.
What differs is listed, and the exit code is then 1. Bits are those of this machine, on one thread.

A commit that changes what results measure, and passes, has a line in its message that begins with "Same figures:" and
says so; `report.py --older` passes over it.

    python benchmarks/same.py HEAD     # what is not yet committed
    python benchmarks/same.py HEAD~3
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import older
import torch

import enerv_zoo as ez
from enerv_zoo.hub.bundled import bundled_networks
from enerv_zoo.storage import open_run

HOW: dict[str, Any] = {"size": "0.3M", "epochs": 2, "frames": "0:4", "resize": "192x192", "device": "cpu"}
"""Of each fit of the bundled clip, with the recipe `quick`."""

FITS: dict[str, dict[str, Any]] = {
    **{
        f"{family}, {precision}": {"model": family, "precision": precision}
        for family in ez.list_models()
        for precision in ("float32", "bfloat16")
    },
    **{loss: {"model": "enerv", "loss": loss} for loss in ("L1", "Fusion10_freq", "MS_SSIM", "log_mse")},
    **{each: {"model": "nerv", "optimizer": each, "betas": None} for each in ("adam", "adan", "soap", "muon")},
    "cosine, clipped": {"model": "nerv", "schedule": "cosine", "clip_grad": 0.1},
    "averaged, in pieces": {"model": "enerv", "ema": 0.9, "batch_size": 5},
    "large frames": {"resize": "640x360", "size": "1M", "epochs": 1},
    "to a rate": {"bpp": 0.5, "epochs": 12},
}
COMPRESSIONS: dict[str, dict[str, Any]] = {
    "bits": {"bits": 6, "scales": "channel"},
    "drop": {"max_psnr_drop": 0.5},
    "tuned": {"bits": 6, "prune": 0.2, "tune": "weights", "tune_epochs": 2},
}


def digest(video: ez.NeuralVideo, *more: object) -> str:
    """A digest of a network's numbers, of its frames, and of all else that is given."""
    found = hashlib.sha256(repr(more).encode())
    for name, tensor in video.state_dict().items():
        found.update(name.encode() + tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    for frames in video.decode():
        found.update(frames.contiguous().numpy().tobytes())
    return found.hexdigest()


def digests() -> Iterator[tuple[str, str]]:
    """What the `enerv_zoo` that this process imports computes, by case."""
    with tempfile.TemporaryDirectory() as folder:
        fit = Path(folder) / "fit"
        for name, options in FITS.items():
            result = ez.fit("bunny", recipe="quick", out=fit, overwrite=True, **{**HOW, **options})
            rows = [(row["loss"], row["psnr"], row["explained"]) for row in result.history]
            yield name, digest(result.video, rows, result.metrics["psnr"], result.metrics["ms_ssim"])
        for name, options in COMPRESSIONS.items():
            coded = Path(folder) / f"{name}.nvz"
            ez.compress(fit, coded, **options)
            run = open_run(coded)  # whose bytes as a whole tell the time, too
            yield f"compressed: {name}", digest(run.network(build=ez.NeuralVideo), run.sizes.tensors)
    for name, path in bundled_networks().items():
        video = open_run(path).network(build=ez.NeuralVideo)
        scores = ez.evaluate(video, ez.open_video("bunny", resize=video.info.size_text)).scores
        yield name, digest(video, dict(scores))


def computed(code: Path) -> dict[str, str]:
    """The digests of a checkout, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(code), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--print"]
    return json.loads(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit", nargs="?", default="HEAD")
    parser.add_argument("--print", action="store_true", help="digests of the code that this process imports")
    case = parser.parse_args()
    if case.print:
        print(json.dumps(dict(digests())))
        return 0
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor() as pool:
        older.git("worktree", "add", "--quiet", "--detach", folder, case.commit)
        try:
            theirs, ours = pool.map(computed, (Path(folder), older.HERE.parent))
        finally:
            older.git("worktree", "remove", "--force", folder)
    others = [name for name in theirs | ours if theirs.get(name) != ours.get(name)]
    print(*(f"{name}: differs" for name in others), f"{len(ours)} cases, {len(others)} differ", sep="\n")
    return bool(others)


if __name__ == "__main__":
    sys.exit(main())
