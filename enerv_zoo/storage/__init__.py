"""Networks on this machine's disks: folders, compressed files and videos in segments, and what is checked of them."""

from enerv_zoo.storage.compressed import SUFFIX, file_or_folder, is_compressed, record_of, write_compressed
from enerv_zoo.storage.description import CONFIG, Description, FitRecord, read_description
from enerv_zoo.storage.folder import WEIGHTS, read_config, save
from enerv_zoo.storage.record import METRICS, RECORD, fit_record, read_fit
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
    "Segment",
    "SegmentsDescription",
    "file_or_folder",
    "fit_record",
    "is_compressed",
    "is_segmented",
    "read_config",
    "read_description",
    "read_fit",
    "read_segments",
    "record_of",
    "save",
    "save_segments",
    "segment_folder",
    "segments_to_json",
    "write_compressed",
    "write_segments",
]
