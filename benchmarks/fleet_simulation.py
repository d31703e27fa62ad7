"""A fleet of thousands of workers that fail, simulated with measured times: how much of it works, how long its tail is.

Workers take jobs from a driver that hands out so many a second; a job takes what was measured, times a factor that
varies; a worker fails at random, and its job goes on elsewhere from the last checkpoint; a few workers are always slow.

    python benchmarks/fleet_simulation.py
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import simpy
from common import RESULTS, write_result
from rich.console import Console
from rich.table import Table

HOUR = 3600.0
FLEET = json.loads((RESULTS / "fleet-cpu2.json").read_text())
"""What `fleet.py` has measured of a real fleet."""


@dataclass(frozen=True)
class Scenario:
    """A fleet and what it has to do.

    Attributes:
        jobs: how many.
        workers: processes that fit.
        job_seconds: of a fit, on average.
        variation: standard deviation of that, over the mean.
        slow: share of workers that take twice as long.
        hours_between_failures: of one worker.
        recovery: seconds until a failed worker is back.
        checkpoint_every: seconds of work that a failure costs at most.
        overhead: seconds of a job beside its fit.
        dispatch: seconds of the driver's time for each job.
    """

    jobs: int = 20_000
    workers: int = 1000
    job_seconds: float = 900.0
    variation: float = max(each["variation"] for each in FLEET["fit_seconds"].values())
    slow: float = 0.02
    hours_between_failures: float = 24.0
    recovery: float = 120.0
    checkpoint_every: float = 60.0
    overhead: float = FLEET["seconds_beside_the_fit"]
    dispatch: float = 0.015


@dataclass
class Progress:
    """What is counted on the way."""

    useful: float = 0.0
    lost: float = 0.0
    failures: int = 0
    ended: list[float] = field(default_factory=list)


def simulate(scenario: Scenario, seed: int = 0) -> dict[str, float]:
    """One run: seconds until all is done, the share of time that workers fit, and the tail."""
    env, chance = simpy.Environment(), random.Random(seed)
    driver, progress = simpy.Resource(env), Progress()
    spread = scenario.variation
    waiting = deque(scenario.job_seconds * max(chance.gauss(1, spread), 0.1) for _ in range(scenario.jobs))

    def worker(speed: float) -> Iterator[Any]:
        failure = env.now + chance.expovariate(1 / (scenario.hours_between_failures * HOUR))
        while len(progress.ended) < scenario.jobs:
            if not waiting:
                yield env.timeout(1.0 + chance.random())
                continue
            work = waiting.popleft()
            with driver.request() as turn:
                yield turn
                yield env.timeout(scenario.dispatch)
            needed = scenario.overhead + work / speed
            if env.now + needed <= failure:
                yield env.timeout(needed)
                progress.useful += work / speed
                progress.ended.append(env.now)
                continue
            lasted = max(failure - env.now, 0.0)
            yield env.timeout(lasted)
            done = max(lasted - scenario.overhead, 0.0)
            kept = done - done % scenario.checkpoint_every
            progress.useful, progress.lost, progress.failures = (
                progress.useful + kept,
                progress.lost + done - kept,
                progress.failures + 1,
            )
            waiting.appendleft(work - kept * speed)
            yield env.timeout(scenario.recovery)
            failure = env.now + chance.expovariate(1 / (scenario.hours_between_failures * HOUR))

    for number in range(scenario.workers):
        env.process(worker(0.5 if number < scenario.slow * scenario.workers else 1.0))
    env.run()
    ended = sorted(progress.ended)
    seconds = ended[-1]
    return {
        "hours": seconds / HOUR,
        "utilisation": progress.useful / (seconds * scenario.workers),
        "lost": progress.lost / (progress.useful + progress.lost),
        "failures": progress.failures,
        "tail": (seconds - ended[int(0.95 * len(ended))]) / seconds,
        "job_p50": statistics.median(ended) / HOUR,
    }


BASE = Scenario()
SCENARIOS = {
    "as it is": BASE,
    "no failures": replace(BASE, hours_between_failures=1e9),
    "no slow workers": replace(BASE, slow=0.0),
    "a failure per 2 hours": replace(BASE, hours_between_failures=2.0),
    "that, and a checkpoint per 10 minutes": replace(BASE, hours_between_failures=2.0, checkpoint_every=600.0),
    "that, and no checkpoints": replace(BASE, hours_between_failures=2.0, checkpoint_every=1e9),
    "two jobs per worker": replace(BASE, jobs=2000),
    "jobs of a minute": replace(BASE, jobs=200_000, job_seconds=60.0),
    "jobs of a minute, 4,000 workers": replace(BASE, jobs=200_000, job_seconds=60.0, workers=4000),
    "16,000 workers": replace(BASE, jobs=100_000, workers=16_000),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dispatch", type=float, default=BASE.dispatch, help="seconds of the driver for each job")
    parser.add_argument("--variation", type=float, default=BASE.variation, help="of jobs; as fleet.py has it")
    parser.add_argument("--overhead", type=float, default=BASE.overhead, help="seconds of a job beside its fit")
    case = vars(parser.parse_args())
    rows = []
    table = Table("scenario", "hours", "utilisation", "work lost", "failures", "tail", title="simulated")
    for name, scenario in SCENARIOS.items():
        chosen = replace(scenario, **case)
        found = {key: round(value, 4) for key, value in simulate(chosen).items()}
        rows.append({"scenario": name, **asdict(chosen), **found})
        table.add_row(name, f"{found['hours']:.2f}", f"{found['utilisation']:.1%}", f"{found['lost']:.2%}",
                      f"{found['failures']:.0f}", f"{found['tail']:.1%}")  # fmt: skip
    Console().print(table)
    write_result("fleet_simulation-base", case, {"benchmark": "fleet_simulation", "rows": rows})


if __name__ == "__main__":
    main()
