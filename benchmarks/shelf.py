"""The fits that come with the package: from their folders to files, what these hold, and what they cost beside x264.

Rows of fits that are not given are kept.

enerv-zoo batch configs/zoo/shelf.yaml --out runs/shelf
python benchmarks/shelf.py runs/shelf/*/
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from common import commit, machine, read_result, write_result

import enerv_zoo as ez
from enerv_zoo.hub.bundled import BUNDLED
from enerv_zoo.storage import open_run
from enerv_zoo.storage.compressed import SUFFIX

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


def bundle(folder: Path) -> dict[str, Any]:
    """Write the file of a fit, and return what it is."""
    run = open_run(folder)
    path, fit = BUNDLED / f"{folder.name}{SUFFIX}", run.fit.metrics
    made = ez.compress(folder, path, license="cc-by-3.0", sound=False)
    video = ez.load(path)
    return {
        "name": folder.name, "network": video.config.family, "stored_numbers": video.stored_numbers,
        "frames": video.info.frames, "frame": video.info.size_text, "bytes": made.bytes, "bpp": made.bpp,
        "psnr_before": made.psnr_before, "psnr": made.psnr, "ms_ssim": made.ms_ssim, "fps": made.fps,
        "epochs": fit["epochs"], "fit_seconds": fit["fit_seconds"], "seconds": loading(path),
        "parts": parts(path), "commit": commit(),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of fits; their names are those of the files")
    case = vars(parser.parse_args())
    name = f"shelf-cpu{torch.get_num_threads()}"
    before = read_result(name)
    fits, codecs = (
        {fit["name"]: {"commit": before["commit"]} | fit for fit in before.get("fits", [])},
        before.get("x264", {}),
    )
    for folder in case.pop("runs"):
        fits[folder.name] = bundle(folder)
        print(fits[folder.name], flush=True)
        original = open_run(folder).original()
        if (size := original.info.size_text) not in codecs:
            codecs[size] = [point.to_dict() for point in ez.measure_codec("x264", original, list(CRF))]
    result = {"benchmark": "shelf", "machine": machine("cpu"), "fits": [*fits.values()], "x264": codecs}
    write_result(name, case, result)


if __name__ == "__main__":
    main()
