"""Many fits on many machines: a Ray cluster as the runner of fits, results and checkpoints in a shared folder."""

from enerv_zoo.cluster.fleet import Fleet
from enerv_zoo.cluster.progress import FleetStatus
from enerv_zoo.cluster.run import FleetResult, run_jobs

__all__ = ["Fleet", "FleetResult", "FleetStatus", "run_jobs"]
