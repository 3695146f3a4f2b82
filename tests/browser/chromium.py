"""Debian's Chromium, driven by Playwright."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest
from playwright.sync_api import Browser, sync_playwright

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
_FOUND: Final = next((path for name in _NAMES if (path := shutil.which(name))), None)
LACKING: Final = "Chromium is missing: scripts/prerequisites.sh --browser"
needs_chromium = pytest.mark.skipif(_FOUND is None, reason=LACKING)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run the browser until the end of the block. Playwright holds the thread's event loop."""
    if _FOUND is None:
        raise RuntimeError(LACKING)
    sandbox = [] if os.geteuid() else ["--no-sandbox"]  # Chromium has none for root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_FOUND, args=sandbox)
        try:
            yield browser
        finally:
            browser.close()
