"""The fits that come with the package: what their files hold, how they decode, and what x264 gives at their bytes.

To fit them again, and to write their files:

    enerv-zoo batch configs/zoo/shelf.yaml --out runs/shelf
    enerv-zoo compress runs/shelf/bunny-pca enerv_zoo/hub/bundled/bunny-pca.nvz --overwrite --no-sound
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from common import machine, write_result

import enerv_zoo as ez
from enerv_zoo.evaluation.rates import measure_network
from enerv_zoo.hub.bundled import bundled_networks
from enerv_zoo.storage import open_run

CRF = tuple(range(14, 36, 2))
"""Of x264, which files are compared with."""


def loading(path: Path) -> dict[str, float]:
    """Seconds until the network is there, and until its first frame is."""
    start = time.perf_counter()
    video = ez.load(path)
    loaded = time.perf_counter()
    video[0]
    return {"load": round(loaded - start, 3), "first_frame": round(time.perf_counter() - loaded, 3)}


def parts(path: Path) -> dict[str, int]:
    """Bytes of the parts of a file: its description, and its tensors, by the first word of their names."""
    sizes = open_run(path).sizes
    found = {"description": sizes.head}
    for name, size in sizes.tensors[0].items():
        part = name.partition(".")[0]
        found[part] = found.get(part, 0) + size
    return found


def measured(name: str, path: Path) -> dict[str, Any]:
    """Return what a file is, and how it decodes."""
    run, seconds = open_run(path), loading(path)
    video, fit = ez.load(path), run.fit.metrics
    point = measure_network(video, run.original(), name, path.stat().st_size, fit["fit_seconds"])
    return {
        "name": name, "network": video.config.family, "stored_numbers": video.stored_numbers,
        "frames": video.info.frames, "frame": video.info.size_text, "bytes": point.bytes, "bpp": point.bpp,
        "psnr": point.psnr, "fps": point.decode_fps, "epochs": fit["epochs"], "fit_seconds": fit["fit_seconds"],
        "seconds": seconds, "parts": parts(path),
    }  # fmt: skip


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    fits, codecs = [], {}
    for name, path in bundled_networks().items():
        fits.append(measured(name, path))
        print(fits[-1], flush=True)
        original = open_run(path).original()
        if (size := original.info.size_text) not in codecs:
            codecs[size] = [point.to_dict() for point in ez.measure_codec("x264", original, list(CRF))]
    result = {"benchmark": "shelf", "machine": machine("cpu"), "fits": fits, "x264": codecs}
    write_result(f"shelf-cpu{torch.get_num_threads()}", {}, result)


if __name__ == "__main__":
    main()
