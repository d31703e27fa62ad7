"""Weights <-> storage: a fit's folder, a compressed file, and repositories on the Hugging Face Hub."""

from enerv_zoo.hub.client import Access
from enerv_zoo.hub.compressed import read_compressed, write_compressed
from enerv_zoo.hub.description import Description, FitRecord, read_description
from enerv_zoo.hub.folder import read_config, save
from enerv_zoo.hub.pulling import pull
from enerv_zoo.hub.search import Pretrained, list_pretrained
from enerv_zoo.hub.segments import (
    SegmentsDescription,
    is_segmented,
    read_segments,
    save_segments,
    segment_folder,
    segments_to_json,
    write_segments,
)
from enerv_zoo.hub.shipping import list_shipped, shipped
from enerv_zoo.hub.source import SegmentsSummary, Summary, describe, describe_any, load, locate
from enerv_zoo.hub.upload import push, push_video

__all__ = [
    "Access",
    "Description",
    "FitRecord",
    "Pretrained",
    "SegmentsDescription",
    "SegmentsSummary",
    "Summary",
    "describe",
    "describe_any",
    "is_segmented",
    "list_pretrained",
    "list_shipped",
    "load",
    "locate",
    "pull",
    "push",
    "push_video",
    "read_compressed",
    "read_config",
    "read_description",
    "read_segments",
    "save",
    "save_segments",
    "segment_folder",
    "segments_to_json",
    "shipped",
    "write_compressed",
    "write_segments",
]
