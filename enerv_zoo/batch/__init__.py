"""Many fits: jobs, manifests, and what runs them; comparisons, videos in segments, rate against distortion."""

from enerv_zoo.batch.comparison import FitsFailed, compare
from enerv_zoo.batch.curves import RateDistortion, rate_distortion
from enerv_zoo.batch.jobs import FitJob, FitOutcome, Runner, job_of, run_here, run_job
from enerv_zoo.batch.manifest import Job, Manifest, manifest_jobs, read_manifest
from enerv_zoo.batch.progress import FleetStatus
from enerv_zoo.batch.publish import Outcome, Publisher
from enerv_zoo.batch.run import FleetResult, run_jobs
from enerv_zoo.batch.segments import SegmentsResult, fit_segments

__all__ = [
    "FitJob",
    "FitOutcome",
    "FitsFailed",
    "FleetResult",
    "FleetStatus",
    "Job",
    "Manifest",
    "Outcome",
    "Publisher",
    "RateDistortion",
    "Runner",
    "SegmentsResult",
    "compare",
    "fit_segments",
    "job_of",
    "manifest_jobs",
    "rate_distortion",
    "read_manifest",
    "run_here",
    "run_job",
    "run_jobs",
]
