"""Fits on one self-contained page."""

from enerv_zoo.report.live import LivePage
from enerv_zoo.report.page import write_report

__all__ = ["LivePage", "write_report"]
