"""The Hub of the Hub's tests, for the pages that speak of it."""

from hub.conftest import client, fit_files, hub, run_folder

__all__ = ["client", "fit_files", "hub", "run_folder"]
