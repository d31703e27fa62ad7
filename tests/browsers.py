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


missing = pytest.fail if "ENERV_ZOO_BROWSER" in os.environ else pytest.skip


def launched(kind, *arguments):
    """Start a Chromium of this machine."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        missing(f"no browser here; install one of {', '.join(BROWSERS)}")
    options = ["--no-sandbox", "--disable-dev-shm-usage", *arguments]
    return kind.launch(executable_path=path, args=options, timeout=1000 * LONG)


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A Chromium that shows the pages. Without one, these tests are skipped unless `ENERV_ZOO_BROWSER` is set."""
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as driver:
        try:
            chromium = launched(driver.chromium)
        except Error as error:  # as the command that tells to install a snap
            missing(f"the browser does not start: {error}")
        if reason := unfit(chromium, tmp_path_factory.mktemp("probe")):
            missing(reason)
        yield chromium
        chromium.close()


@pytest.fixture
def gpu_browser(browser):
    """A Chromium with WebGPU, which its CPU computes; the test is skipped where it has none."""
    chromium = launched(browser.browser_type, "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader")
    tab = chromium.new_page()
    tab.goto("chrome://version")  # a secure context; others have no WebGPU
    if not tab.evaluate("navigator.gpu?.requestAdapter().then((adapter) => adapter !== null)"):
        pytest.skip("this browser has no WebGPU without a GPU (SwiftShader)")
    tab.close()
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
