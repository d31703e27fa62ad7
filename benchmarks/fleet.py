"""A fleet of real fits: the bundled clip in segments, two families, on as many workers as there are cores.

Says how long it took, how much of that the workers fitted, what a job costs beside its fit, how much fits vary, and how
long it takes to find that nothing is left to do.

    python benchmarks/fleet.py --segments 12 --epochs 12
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from typing import Any

from common import machine, write_result

from enerv_zoo.batch import manifest_jobs, run_jobs
from enerv_zoo.batch.manifest import Manifest
from enerv_zoo.cluster import Fleet
from enerv_zoo.machine import available_cores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segments", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--resolution", default="256x144")
    parser.add_argument("--models", default="nerv,enerv")
    case = vars(parser.parse_args())
    group = {
        "videos": ["bunny"],
        "models": case["models"].split(","),
        "sizes": ["0.35M"],
        "segments": case["segments"],
        "resize": case["resolution"],
        "fit": {"epochs": case["epochs"], "batch_size": 2, "lr": 3e-3, "loss": "L2"},
    }
    jobs, cores = manifest_jobs(Manifest((group,))), available_cores()
    with tempfile.TemporaryDirectory() as out, Fleet() as fleet:
        began = time.perf_counter()
        result = run_jobs(jobs, fleet, out)
        seconds = time.perf_counter() - began
        began = time.perf_counter()
        again = run_jobs(jobs, fleet, out)
        nothing = time.perf_counter() - began
    fits = [row for row in result.rows if row["part_of"] is not None]
    assert not result.failed
    assert [row["psnr"] for row in again.rows] == [row["psnr"] for row in result.rows]
    pure = [row["fit_seconds"] for row in fits]
    outcome: dict[str, Any] = {
        "jobs": len(fits),
        "workers": cores,
        "seconds": round(seconds, 1),
        "fitting_share": round(sum(pure) / (seconds * cores), 3),
        "job_seconds": round(statistics.mean(row["seconds"] for row in fits), 2),
        "fit_seconds": {
            model: {
                "mean": round(statistics.mean(own), 2),
                "variation": round(statistics.stdev(own) / statistics.mean(own), 3),
            }
            for model in group["models"]
            if (own := [row["fit_seconds"] for row in fits if row["model"] == model])
        },
        "seconds_beside_the_fit": round(statistics.median(row["seconds"] - row["fit_seconds"] for row in fits), 2),
        "nothing_to_do_seconds": round(nothing, 1),
        "psnr": {row["model"]: round(row["psnr"], 2) for row in result.rows if row["part_of"] is None},
    }
    print(outcome)
    write_result(f"fleet-cpu{cores}", case, {"benchmark": "fleet", "machine": machine("cpu"), **outcome})


if __name__ == "__main__":
    main()
