"""The app without a browser: every test goes through the router."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from streamlit.testing.v1 import AppTest

from fvm_core.workspace import Workspace
from ui.error_log import FILE

ROOT = Path(__file__).resolve().parents[2]
PAGES = {path.stem.split("_", 1)[1]: path for path in sorted((ROOT / "pages").glob("*.py"))}


def opened(
    workspace: Workspace, screen: str, run: str | None = None, *, may_fail: bool = False, **parameters: str
) -> AppTest:
    """A screen, run once, with query parameters; `screen` is a file name without its number.

    An error that nobody foresaw fails the test, unless it `may_fail`.
    """
    st.cache_data.clear()
    st.cache_resource.clear()
    app = AppTest.from_file(str(ROOT / "ui" / "router.py"), default_timeout=60)
    app.run()  # pages with an address of their own are known after the first run
    if screen == "start":
        return app
    if run:
        app.query_params["run"] = run
    for name, value in parameters.items():
        app.query_params[name.replace("_", "-")] = value
    app.switch_page(f"../pages/{PAGES[screen].name}")
    app.run()
    assert not app.exception, app.exception
    assert may_fail or not (workspace.path / FILE).exists(), (workspace.path / FILE).read_text()
    return app


def words(app: AppTest) -> str:
    """Everything that is written on the screen."""
    kinds = ("header", "subheader", "markdown", "caption", "error", "warning", "info", "success", "metric")
    found = []
    for kind in kinds:
        for element in app.get(kind):
            found += [str(getattr(element, "label", "")), str(getattr(element, "value", ""))]
    found += [element.proto.body for element in app.get("html")]
    found += [button.label for button in app.button]
    return "\n".join(found)


def labels(app: AppTest) -> list[str]:
    """The buttons of a screen."""
    return [button.label for button in app.button]
