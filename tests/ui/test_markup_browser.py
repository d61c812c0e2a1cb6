"""Names that are markup, script or invisible are planted everywhere and stay text on every screen."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fvm_core.review.decisions import Decision, DecisionStore
from fvm_core.workspace import Workspace
from tests.ui import runs
from tests.ui.browser import READY, chromium, chromium_path, server

pytestmark = pytest.mark.browser

NASTY = [
    '<img src=x onerror="alert(1)">',
    "\"'><script>alert(2)</script>",
    "![x](http://127.0.0.1:9/x.png)",
    "[x](javascript:alert(3)) <svg/onload=alert(4)>",
    ":red[x] $y$ **b** `c` :smile: #h",
    "\u202egnp.exe \u2066a\u2069",
    "\x01\x1b[31m\x07\x7f",
    "{{7*7}} ${alert(5)} %s %n",
    "</style></script><iframe src=javascript:alert(6)>",
    '<a href="http://127.0.0.1:9/">x</a>&lt;b&gt;',
]
NAME = "<img src=x onerror=alert(7)>![x](http://127.0.0.1:9/n.png)"


def planted(workspace: Workspace):
    """A run whose classes, ids, name, reviewers, problems and scores of others are nasty."""
    run = runs.finished_run(workspace, NAME, limit=120, rename={str(k): NASTY[k] for k in range(10)})
    scores = pq.read_table(run.path / "scores.parquet")
    ids = [f"{NASTY[row % 10]} {row}" for row in range(len(scores))]
    paths = [f"/photos/{NASTY[row % 10]}.png" for row in range(len(scores))]
    for name, values in (("id", ids), ("path", paths)):
        scores = scores.set_column(scores.schema.get_field_index(name), name, pa.array(values))
    run.write_table("scores.parquet", scores)
    runs.with_planted(run)
    for path in (run.path / "estimators").glob("lissa.json"):
        about = json.loads(path.read_text())
        path.write_text(json.dumps({**about, "title": NASTY[2] + NASTY[0]}))
    run.update(
        problems=[
            {
                "kind": NASTY[3],
                "severity": "warning",
                "where": NASTY[0],
                "message": NASTY[1] + NASTY[2],
                "count": 1,
            }
        ]
    )
    run.log(" ".join(NASTY))
    store = DecisionStore(workspace.database)
    given, suggested = run.scores["given_label"], run.scores["suggested_label"]
    for row in range(30):
        decision = Decision(
            row, ids[row], "relabel", given[row], suggested[row] if row % 2 else NASTY[row % 10]
        )
        store.record(run.id, [decision], NASTY[row % 10] + NAME)
    broken = runs.failed_run(workspace, "broken" + NASTY[0])
    runs.add_job(workspace, broken, "failed", phase=NASTY[1], error="\n".join(NASTY) + NAME)
    return run, broken


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    chromium_path()
    workspace = Workspace(tmp_path_factory.mktemp("home")).made()
    run, broken = planted(workspace)
    with server(workspace.path) as address, chromium() as browser:
        yield address, browser, run.path.name, broken.path.name


SCREENS = {
    "start": "?run={run}",
    "data": "data?like={run}",
    "run": "run?run={run}",
    "failed run": "run?run={broken}",
    "scores": "scores?run={run}",
    "review": "review?run={run}&above=0",
    "compare": "compare?run={run}",
    "export": "export?run={run}&auto=true",
    "an address": "review?run={nasty}&page={nasty}&state={nasty}&rows={nasty}&label={nasty}",
}


@pytest.mark.fault("labels, ids, run and reviewer names hold markup and scripts")
@pytest.mark.parametrize("screen", SCREENS)
def test_planted_names_stay_text(place, screen):
    address, browser, run, broken = place
    page = browser.new_page(viewport={"width": 1440, "height": 2400})
    seen = []
    page.on("dialog", lambda dialog: (seen.append(f"dialog {dialog.message}"), dialog.dismiss()))
    page.on("pageerror", lambda error: seen.append(f"error {error}"))
    page.on("popup", lambda popup: seen.append(f"window {popup.url}"))
    page.on("console", lambda line: seen.append(line.text) if "Content Security" in line.text else None)
    page.on("request", lambda request: seen.append(request.url) if _elsewhere(request.url, address) else None)
    way = SCREENS[screen].format(run=run, broken=broken, nasty="%3Cimg%20src=x%20onerror=alert(8)%3E")
    page.goto(f"{address}/{way}")
    page.wait_for_selector(READY, timeout=60_000)
    if screen == "review":
        page.locator(".tile[data-focus]").wait_for(timeout=30_000)
        words = " ".join(one.get_attribute("title") for one in page.locator(".tile .words").all())
        assert sum(label in words for label in NASTY) >= 8, "labels are shown as they are"
        for key in (" ", "l"):
            page.keyboard.press(key)
        page.wait_for_timeout(300)
    if screen in ("scores", "compare"):
        page.wait_for_selector(".js-plotly-plot", timeout=30_000)
    for expander in page.locator("[data-testid=stExpander] summary").all():
        expander.click()
    page.wait_for_selector(READY, timeout=60_000)
    page.wait_for_timeout(500)
    assert page.locator("[data-testid=stException]").count() == 0
    assert page.locator("script:not([src])").count() == 1, "only Streamlit's own"
    assert page.locator("iframe, [onerror], [onload], a[href^='javascript:'], a[href*=':9/']").count() == 0
    assert seen == []
    page.close()


def _elsewhere(url: str, address: str) -> bool:
    return not url.startswith((address, address.replace("http", "ws"), "data:", f"blob:{address}"))
