"""Fits on one self-contained page."""

from enerv_zoo.report.page import write_report

__all__ = ["write_report"]
