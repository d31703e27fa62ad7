"""Networks on this machine's disks: folders, compressed files and videos in segments, and what is checked of them."""

from enerv_zoo.storage.compressed import SUFFIX, write_compressed
from enerv_zoo.storage.description import CONFIG, Description, FitRecord, read_description
from enerv_zoo.storage.folder import WEIGHTS, save
from enerv_zoo.storage.record import METRICS, RECORD, fit_record
from enerv_zoo.storage.run import Run, open_run
from enerv_zoo.storage.segments import (
    Segment,
    SegmentsDescription,
    is_segmented,
    read_segments,
    save_segments,
    segment_folder,
    segments_to_json,
    write_segments,
)

__all__ = [
    "CONFIG",
    "METRICS",
    "RECORD",
    "SUFFIX",
    "WEIGHTS",
    "Description",
    "FitRecord",
    "Run",
    "Segment",
    "SegmentsDescription",
    "fit_record",
    "is_segmented",
    "open_run",
    "read_description",
    "read_segments",
    "save",
    "save_segments",
    "segment_folder",
    "segments_to_json",
    "write_compressed",
    "write_segments",
]
