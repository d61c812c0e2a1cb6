"""Compare as a person uses it: choose the score, and go from a disagreement to the review."""

import pytest

from fvm_core.comparison import choice
from tests.ui import runs
from tests.ui.browser import READY, page_at, server, wait_for

pytestmark = pytest.mark.browser


def test_choose_a_score_and_review_a_disagreement(workspace):
    run = runs.with_planted(runs.finished_run(workspace, truth=False))
    with server(workspace.path) as address, page_at(f"{address}/compare?run={run.path.name}") as page:
        page.get_by_text("Recommended: Loss of the tuned model.").wait_for()
        page.locator(".st-key-use button").click()
        page.get_by_text("ranked by Loss of the tuned model").wait_for()
        assert choice.chosen(run) == "tuned_loss"
        wait_for(lambda: page.locator(".st-key-use button").is_disabled())
        wait_for(lambda: page.locator(".js-plotly-plot").count() >= 4)

        page.wait_for_selector(READY)
        tiles = page.locator(".sf-pairs a")
        assert tiles.count() == 24
        row = tiles.first.get_attribute("href").rpartition("rows=")[2]
        tiles.first.click()
        page.get_by_role("button", name="Only 1 chosen sample ✕").wait_for(timeout=30_000)
        assert f"rows={row}" in page.url
        page.get_by_role("button", name="Only 1 chosen sample ✕").click()
        page.wait_for_url(lambda url: "rows=" not in url)
