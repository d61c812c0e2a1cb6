"""A server of its own and a Chromium for tests that need real keys, clicks and JavaScript."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage"]
READY = "[data-testid=stApp][data-test-script-state=notRunning][data-test-connection-state=CONNECTED]"


def chromium_path() -> str | None:
    """Where Chromium is; skips the test without one, unless a browser is required."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None and os.environ.get("SALTFLAT_REQUIRE_BROWSER") != "1":
        pytest.skip("there is no Chromium here")
    return found  # None lets Playwright use its own, and fail if it has none


@contextmanager
def server(home: Path) -> Iterator[str]:
    """The app on a free port with its own workspace; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port), "--log-level", "warning"],
        cwd=ROOT,
        env={**os.environ, "SALTFLAT_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(address, process)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=20)


@contextmanager
def page_at(address: str, **options: object) -> Iterator:
    """A Chromium page that has loaded an address of the app."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1440, "height": 900}, **options)
        page.goto(address)
        page.wait_for_selector(READY, timeout=60_000)
        yield page
        browser.close()


def _wait(address: str, process: subprocess.Popen) -> None:
    for _ in range(240):
        assert process.poll() is None, "the server ended at once"
        try:
            urllib.request.urlopen(f"{address}/_stcore/health", timeout=2).close()
            return
        except OSError:
            time.sleep(0.25)
    raise AssertionError("the server did not start within a minute")


def wait_for(condition: Callable[[], bool], seconds: float = 15) -> None:
    """Look again and again until something is so; fails the test if it never is."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)
