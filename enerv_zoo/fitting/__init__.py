"""Frames -> weights: recipes, the loop, checkpoints, and the folder that a fit leaves."""

from enerv_zoo.fitting.bench import Speed, bench
from enerv_zoo.fitting.callbacks import Callback
from enerv_zoo.fitting.comparison import FitsFailed, compare
from enerv_zoo.fitting.interruption import FitInterrupted
from enerv_zoo.fitting.jobs import FitJob, FitOutcome, Runner, job_of, run_here, run_job
from enerv_zoo.fitting.loop import Fitter
from enerv_zoo.fitting.manifest import Job, Manifest, manifest_jobs, read_manifest
from enerv_zoo.fitting.plan import open_original
from enerv_zoo.fitting.publish import Outcome, Publisher
from enerv_zoo.fitting.run import FitResult, fit
from enerv_zoo.fitting.segments import SegmentsResult, fit_segments, part_opener
from enerv_zoo.fitting.status import Status

__all__ = [
    "Callback",
    "FitInterrupted",
    "FitJob",
    "FitOutcome",
    "FitResult",
    "FitsFailed",
    "Fitter",
    "Job",
    "Manifest",
    "Outcome",
    "Publisher",
    "Runner",
    "SegmentsResult",
    "Speed",
    "Status",
    "bench",
    "compare",
    "fit",
    "fit_segments",
    "job_of",
    "manifest_jobs",
    "open_original",
    "part_opener",
    "read_manifest",
    "run_here",
    "run_job",
]
