"""Networks on this machine's disks: folders, compressed files and videos in segments, and what is checked of them."""

from enerv_zoo.storage.description import Description, FitRecord, read_description
from enerv_zoo.storage.run import Run, open_run
from enerv_zoo.storage.segments import Segment, SegmentsDescription, read_segments, segments_to_json

__all__ = [
    "Description",
    "FitRecord",
    "Run",
    "Segment",
    "SegmentsDescription",
    "open_run",
    "read_description",
    "read_segments",
    "segments_to_json",
]
