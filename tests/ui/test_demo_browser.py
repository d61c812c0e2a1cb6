"""The main job as a person does it: the demo from the first click to the exported file."""

import pandas as pd
import pytest

from fvm_core.jobs.queue import JobQueue
from fvm_core.review.decisions import DecisionStore
from fvm_core.runs.run_folder import RunFolder
from fvm_core.workspace import Workspace
from tests.ui.browser import READY, chromium_path, page_at, server, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]


def start_the_demo_and_leave(workspace: Workspace) -> RunFolder:
    """Click the demo, see it run, refresh, close the browser, stop the server."""
    with server(workspace.path) as address, page_at(address) as page:
        page.locator(".st-key-demo button").click()
        page.wait_for_url("**/run?run=digits-demo*", timeout=60_000)
        page.get_by_text("left in this stage").wait_for(timeout=60_000)
        page.reload()
        page.wait_for_selector(READY, timeout=60_000)
        page.locator(".st-key-cancel button").wait_for(timeout=60_000)
        return RunFolder.open(workspace.runs / "digits-demo")


def test_demo_to_csv(tmp_path):
    chromium_path()
    workspace = Workspace(tmp_path / "home").made()
    run = start_the_demo_and_leave(workspace)
    assert JobQueue(workspace).latest(run.path).state == "running", "the worker outlives the server"
    with server(workspace.path) as address, page_at(f"{address}/run?run=digits-demo") as page:
        page.get_by_text("Finished in").wait_for(timeout=300_000)
        page.goto(f"{address}/scores?run=digits-demo")
        page.wait_for_selector(".js-plotly-plot", timeout=60_000)
        page.locator(".st-key-next-step-review button").click()
        tiles = page.locator(".tile")
        tiles.first.wait_for(timeout=60_000)
        store = DecisionStore(workspace.database)
        for key in ("Enter", "a", "a", "Enter", "a"):
            page.keyboard.press(key)
        for place in range(20, 25):
            tiles.nth(place).hover()
            tiles.nth(place).locator("[data-do=accept]").click()
        wait_for(lambda: len(store.state(run.id)) == 10, 30)
        page.locator("[data-do=undo]").click()
        wait_for(lambda: len(store.state(run.id)) == 9, 30)
        page.reload()
        page.wait_for_selector(".tile[data-state]", timeout=60_000)
        assert page.locator(".tile[data-state]").count() == 9

        page.locator(".st-key-next-step-export button").click()
        page.locator(".st-key-download button").wait_for(timeout=60_000)
        with page.expect_download() as download:
            page.locator(".st-key-download button").click()
        download.value.save_as(tmp_path / "clean.csv")

    scores = run.scores
    clean = pd.read_csv(tmp_path / "clean.csv", dtype=str, keep_default_na=False)
    assert clean["id"].tolist() == scores["id"].tolist()
    assert clean["given_label"].tolist() == scores["given_label"].tolist()
    changed = clean.index[clean["clean_label"] != clean["given_label"]]
    assert sorted(changed) == sorted(store.state(run.id).index)
    assert len(changed) == 9
    assert (clean["clean_label"][changed] == scores["suggested_label"][changed]).all()
    # Planted noise is known: nearly all of what the most suspicious images became is right.
    assert (clean["clean_label"][changed] == scores["true_label"][changed]).sum() >= 8
    assert run.metrics["roc_auc"] >= 0.99
    assert run.metrics["relabel_accuracy_mislabelled"] >= 0.85
