"""Transport to and from the Hugging Face Hub: which files, checked how; and what a user's string means."""

from enerv_zoo.hub.bundled import bundled_networks, list_bundled
from enerv_zoo.hub.client import Access
from enerv_zoo.hub.pulling import pull
from enerv_zoo.hub.search import Pretrained, list_pretrained
from enerv_zoo.hub.source import describe, open_run

__all__ = [
    "Access",
    "Pretrained",
    "bundled_networks",
    "describe",
    "list_bundled",
    "list_pretrained",
    "open_run",
    "pull",
]
