"""A server of its own and a Chromium for tests that need real keys, clicks and JavaScript."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

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


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def server(home: Path, port: int | None = None, **environment: str) -> Iterator[str]:
    """The app on a free port with its own workspace; yields its address."""
    port = port or free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port), "--log-level", "warning"],
        cwd=ROOT,
        env={**os.environ, "SALTFLAT_HOME": str(home), **environment},
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
def chromium() -> Iterator:
    """A Chromium without a page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def page_at(address: str, reviewer: str | None = "ana", **options: object) -> Iterator:
    """A Chromium page that has loaded an address of the app, in a browser that knows the person's name."""
    with chromium() as browser:
        page = browser.new_page(**{"viewport": {"width": 1440, "height": 900}, **options})
        if reviewer is not None:
            page.add_init_script(f"localStorage.setItem('saltflat-reviewer', {json.dumps(reviewer)})")
        page.goto(address)
        page.wait_for_selector(READY, timeout=60_000)
        yield page


def _wait(address: str, process: subprocess.Popen) -> None:
    for _ in range(240):
        assert process.poll() is None, "the server ended at once"
        try:
            urllib.request.urlopen(f"{address}/_stcore/health", timeout=2).close()
            return
        except urllib.error.HTTPError as answer:
            if answer.code == 401:  # it asks for a sign-in
                return
            time.sleep(0.25)
        except OSError:
            time.sleep(0.25)
    raise AssertionError("the server did not start within a minute")


def wait_for(condition: Callable[[], bool], seconds: float = 15) -> None:
    """Look again and again until something is so; fails the test if it never is."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Somebody else's page on another port of this machine."""
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as other:
        Thread(target=other.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{other.server_address[1]}/"
        other.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_given: object) -> None:
        """Say nothing."""
