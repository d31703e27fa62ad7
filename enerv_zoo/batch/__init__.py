"""Many fits: jobs, manifests, and what runs them; comparisons, videos in segments, rate against distortion."""

from enerv_zoo.batch.comparison import FitsFailed, compare, comparison_table, means_over_seeds, plan_comparison
from enerv_zoo.batch.curves import RateDistortion, check_export, rate_distortion
from enerv_zoo.batch.jobs import FitJob, FitOutcome, Runner, job_of, run_here, run_job
from enerv_zoo.batch.manifest import Job, Manifest, manifest_jobs, read_manifest
from enerv_zoo.batch.pool import WorkerPool
from enerv_zoo.batch.progress import BatchStatus
from enerv_zoo.batch.publish import Publisher
from enerv_zoo.batch.rate_fits import RateFits, plan_rates
from enerv_zoo.batch.run import BatchResult, run_batch, survey_batch
from enerv_zoo.batch.segments import SegmentsResult, fit_segments

__all__ = [
    "BatchResult",
    "BatchStatus",
    "FitJob",
    "FitOutcome",
    "FitsFailed",
    "Job",
    "Manifest",
    "Publisher",
    "RateDistortion",
    "RateFits",
    "Runner",
    "SegmentsResult",
    "WorkerPool",
    "check_export",
    "compare",
    "comparison_table",
    "fit_segments",
    "job_of",
    "manifest_jobs",
    "means_over_seeds",
    "plan_comparison",
    "plan_rates",
    "rate_distortion",
    "read_manifest",
    "run_batch",
    "run_here",
    "run_job",
    "survey_batch",
]
