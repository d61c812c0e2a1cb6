import pytest

from fvm_core.comparison.choice import choose
from fvm_core.review.decisions import DecisionStore
from fvm_core.runs.run_folder import RunFolder
from fvm_core.workspace import Workspace
from tests.ui import runs
from tests.ui.browser import READY, chromium_path, page_at, server, wait_for

pytestmark = pytest.mark.browser

NASTY = {
    "0": "<img src=x onerror=\"document.title='hacked'\">",
    "1": "**bold** ![x](http://127.0.0.1:9/x.png)",
    "2": ":smile: :red[x] $y$",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    chromium_path()
    workspace = Workspace(tmp_path_factory.mktemp("home")).made()
    plain = runs.finished_run(workspace, "plain", limit=300)
    nasty = runs.finished_run(workspace, "nasty", limit=300, rename=NASTY)
    with server(workspace.path) as address:
        yield address, DecisionStore(workspace.database), {"plain": plain, "nasty": nasty}


def wait_saved(page):
    page.wait_for_function(
        """() => { const host = document.querySelector('.st-key-grid');
        const find = (node) => node?.shadowRoot?.querySelector('.saved')
          ?? [...(node?.children ?? [])].map(find).find(Boolean);
        return find(host)?.dataset.state === 'saved'; }""",
        timeout=20_000,
    )


def decided(store: DecisionStore, run: RunFolder):
    return store.state(run.id)


def test_a_burst_of_keys_arrives_whole_and_undo_survives_reload(place):
    address, store, made = place
    run = made["plain"]
    with page_at(f"{address}/review?run=plain") as page:
        page.wait_for_selector(".tile[data-focus]", timeout=30_000)
        for key in "akxu" * 5:
            page.keyboard.press(key)
        wait_saved(page)
        state = decided(store, run)
        assert len(state) == 20
        assert set(state["state"]) == {"relabelled", "kept", "excluded", "unsure"}
        assert state["state"].value_counts().tolist() == [5, 5, 5, 5]
        page.keyboard.press("z")
        page.keyboard.press("z")
        wait_saved(page)
        assert len(decided(store, run)) == 18
        page.reload()
        page.wait_for_selector(".tile[data-state]", timeout=30_000)
        assert page.locator(".tile[data-state]").count() == 18
        page.reload()
        page.wait_for_selector(".tile[data-focus]", timeout=30_000)
        page.keyboard.press("k")  # at once: it concerns the first open sample, not one that is decided
        wait_for(lambda: len(decided(store, run)) == 19)
        page.keyboard.press("z")
        wait_for(lambda: len(decided(store, run)) == 18)
        page.keyboard.press("z")  # made before the reload
        wait_for(lambda: len(decided(store, run)) == 17)
        wait_for(lambda: page.locator(".tile[data-state]").count() == 17)
    audit = store.audit(run.id)
    assert len(audit) == 25
    assert audit["key"].is_unique


def test_clicks_selection_and_other_labels(place):
    address, store, made = place
    run = made["plain"]
    scores = run.scores
    with page_at(f"{address}/review?run=plain&state=unreviewed") as page:
        tiles = page.locator(".tile")
        tiles.first.wait_for(timeout=30_000)
        before = len(decided(store, run))
        row = int(tiles.nth(0).get_attribute("data-row"))
        tiles.nth(0).hover()
        tiles.nth(0).locator("[data-do=accept]").click()
        assert tiles.nth(0).get_attribute("data-state") in ("relabelled", "kept")
        tiles.nth(3).click()
        tiles.nth(6).click(modifiers=["Shift"])
        assert page.locator(".bar .chosen").text_content() == "4 selected"
        page.locator(".bar [data-do=exclude]").click()
        wait_saved(page)
        wait_for(lambda: len(decided(store, run)) == before + 5)
        page.keyboard.press("z")  # the four go back together
        wait_for(lambda: len(decided(store, run)) == before + 1)
        tiles.nth(8).click()
        other = int(tiles.nth(8).get_attribute("data-row"))
        given = scores["given_label"][other]
        label = "7" if given != "7" else "8"
        page.keyboard.press("l")
        page.keyboard.type(label)
        page.keyboard.press("Enter")
        wait_for(lambda: other in decided(store, run).index)
        assert decided(store, run).loc[other, "new_label"] == label
        assert decided(store, run).loc[row, "state"] in ("relabelled", "kept")
        page.locator(".bar").wait_for(state="hidden")
        page.keyboard.press(" ")
        assert "Why it is here" in page.locator(".drawer").text_content()


def test_labels_are_shown_literally(place):
    address, _store, _made = place
    asked = []
    with page_at(f"{address}/review?run=nasty") as page:
        page.on("request", lambda request: asked.append(request.url))
        page.wait_for_selector(".tile", timeout=30_000)
        titles = " ".join(tile.get_attribute("title") for tile in page.locator(".tile .words").all())
        assert all(label in titles for label in NASTY.values())
        page.keyboard.press("ArrowRight")
        assert " → " in page.locator(".focused").text_content()
        page.keyboard.press(" ")
        page.keyboard.press("l")
        page.goto(f"{address}/scores?run=nasty")
        page.wait_for_selector(READY, timeout=60_000)
        page.wait_for_selector(".js-plotly-plot", timeout=30_000)
        assert page.title() != "hacked"
    assert not [url for url in asked if ":9/" in url]


def test_a_cold_deep_link_goes_through_the_router(tmp_path):
    chromium_path()
    with server(tmp_path / "cold") as address, page_at(f"{address}/review") as page:
        sidebar = page.locator("[data-testid=stSidebar]")
        sidebar.get_by_text("Saltflat").wait_for(timeout=20_000)
        page.get_by_text("No run yet").wait_for(timeout=20_000)
        assert "Data & model" in sidebar.inner_text()


def test_on_a_narrow_screen_words_have_the_whole_width(place):
    address, _store, made = place
    choose(
        made["plain"],
        "fvm",
        reason="Ranked so for a reason that takes a good many words to tell. " * 3,
        by_person=False,
    )
    with page_at(f"{address}/review?run=plain") as page:
        page.set_viewport_size({"width": 800, "height": 1000})
        page.wait_for_selector(".tile[data-focus]", timeout=30_000)
        words = page.locator(".st-key-review-side [data-testid=stCaptionContainer]").filter(
            has_text="Ranked so"
        )
        side = page.locator(".st-key-review-side")
        wait_for(lambda: words.bounding_box()["width"] > 0.9 * side.bounding_box()["width"])
