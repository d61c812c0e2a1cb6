"""What a person does in the review, in Chromium, and how long a test waits for it."""

import time

from fvm_core.review.decisions import DecisionStore
from tests.ui import runs

ROUTE = "**/saltflat/decisions"
SAVED = """() => { const find = (node) => node?.shadowRoot?.querySelector('.saved')
  ?? [...(node?.children ?? [])].map(find).find(Boolean);
  return find(document.querySelector('.st-key-grid'))?.textContent === 'Saved'; }"""


class Place:
    """A workspace with some runs and the app in front of it."""

    def __init__(self, workspace, address):
        self.workspace, self.address = workspace, address
        self.store = DecisionStore(workspace.database)
        self.made = 0

    def run(self, limit=300, **more):
        self.made += 1
        return runs.finished_run(self.workspace, f"run{self.made}", limit=limit, **more)

    def states(self, run):
        return self.store.state(run.id)["state"].to_dict()

    def url(self, run, screen="review", **more):
        values = "".join(f"&{name}={value}" for name, value in more.items())
        return f"{self.address}/{screen}?run={run.path.name}{values}"


def opened(context, url):
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector(".tile[data-focus]", timeout=60_000)
    page.wait_for_function(SAVED, timeout=20_000)
    return page


def slow(page, seconds=1.0):
    """Hold every decision back, as a slow connection does."""

    def later(route):
        time.sleep(seconds)
        route.continue_()

    page.route(ROUTE, later)


def press(page, keys):
    for key in keys:
        page.keyboard.press(key)


def comes(page, condition, seconds=30):
    """Wait as `wait_for` does, while Playwright goes on handling what the page sends."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        page.wait_for_timeout(100)


def images_are_here(page):
    """Wait for the page or the filter that was asked for: until then keys decide nothing."""
    page.locator(".tiles:not([data-waiting])").wait_for(timeout=30_000)


def saved(page):
    page.wait_for_function(SAVED, timeout=30_000)
