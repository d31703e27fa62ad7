"""A real browser for tests that look at pages."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
LONG = 600.0
"""Seconds for what a browser does in one; only what never happens takes so long, also on a slow, busy machine."""


def unfit(chromium, folder):
    """Return the reason why a browser cannot show these pages: it sees no files here, or plays no H.264."""
    (folder / "probe.html").write_text("<title>probe</title>")
    tab = chromium.new_page()
    try:
        tab.goto((folder / "probe.html").as_uri(), timeout=1000 * LONG)
        plays = tab.evaluate("document.createElement('video').canPlayType('video/mp4; codecs=\"avc1.640028\"')")
    except Exception as error:  # as in a sandbox of its own (snap)
        return f"it opens no file of {folder}: {error}"
    finally:
        tab.close()
    return None if plays else "it plays no H.264"


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A Chromium that shows the pages. Without one, these tests are skipped unless `ENERV_ZOO_BROWSER` is set."""
    missing = pytest.fail if "ENERV_ZOO_BROWSER" in os.environ else pytest.skip
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        missing(f"no browser here; install one of {', '.join(BROWSERS)}")
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as driver:
        options = {"args": ["--no-sandbox", "--disable-dev-shm-usage"], "timeout": 1000 * LONG}
        try:
            chromium = driver.chromium.launch(executable_path=path, **options)
        except Error as error:  # as the command that tells to install a snap
            missing(f"{path} does not start: {error}")
        if reason := unfit(chromium, tmp_path_factory.mktemp("probe")):
            missing(f"{path}: {reason}")
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def package():
    """The unpacked npm package onnxruntime-web."""
    folder = os.environ.get("ENERV_ZOO_ORT_WEB")
    if folder is None:
        pytest.skip("set ENERV_ZOO_ORT_WEB to the unpacked npm package onnxruntime-web, of the version in runtime.py")
    return Path(folder)


def wait_for(tab, expression):
    """Wait until an expression is true; by asking, as the page's policy lets no strings be evaluated in it."""
    until = time.monotonic() + LONG
    while not tab.evaluate(expression):
        assert time.monotonic() < until, f"never true: {expression}"
        tab.wait_for_timeout(20)
