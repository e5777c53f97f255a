"""The system's Chromium, which `scripts/setup` installs: where a page is to be looked at, its absence is a failure."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .shell import LabError


def path() -> str:
    """:raises LabError: there is none"""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    raise LabError("Chromium is not installed; `make setup-test` installs it")


@contextmanager
def chromium(*more: str) -> Iterator[Any]:
    """A headless browser by Playwright, closed at the end. :param more: further arguments of Chromium"""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage", *more]
        browser = playwright.chromium.launch(executable_path=path(), args=arguments, timeout=120_000)
        try:
            yield browser
        finally:
            browser.close()
