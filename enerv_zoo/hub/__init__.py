"""Transport to and from the Hugging Face Hub: which files, checked how; and what a user's string means."""

from enerv_zoo.hub.bundled import bundled_networks, list_bundled
from enerv_zoo.hub.client import Access
from enerv_zoo.hub.pulling import pull
from enerv_zoo.hub.search import Pretrained, list_pretrained
from enerv_zoo.hub.source import SegmentsSummary, Summary, describe, describe_any, locate

__all__ = [
    "Access",
    "Pretrained",
    "SegmentsSummary",
    "Summary",
    "bundled_networks",
    "describe",
    "describe_any",
    "list_bundled",
    "list_pretrained",
    "locate",
    "pull",
]
