"""A workspace with the app in front of it, and browsers of several people."""

import pytest

from fvm_core.workspace import Workspace
from tests.ui import browser
from tests.ui.browser import chromium_path, server
from tests.ui.review_browser import Place


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    chromium_path()
    workspace = Workspace(tmp_path_factory.mktemp("home")).made()
    with server(workspace.path) as address:
        yield Place(workspace, address)


@pytest.fixture(scope="module")
def chromium():
    with browser.chromium() as found:
        yield found


@pytest.fixture
def person(chromium):
    """Makes browsers of their own: `person("bo")` is another person's."""
    contexts = []

    def new(name="ana"):
        context = chromium.new_context(viewport={"width": 1440, "height": 900})
        if name:
            context.add_init_script(f"localStorage.setItem('saltflat-reviewer', '{name}')")
        contexts.append(context)
        return context

    yield new
    for context in contexts:
        context.close()
