"""Keys of hurried people: none goes dead, none decides what nobody saw."""

import re

import pytest

from tests.ui.browser import wait_for
from tests.ui.review_browser import comes, images_are_here, opened, press, saved

pytestmark = pytest.mark.browser


@pytest.mark.fault("keys right after a change of the filter")
def test_keys_work_right_after_every_change_of_the_filter(place, person):
    run = place.run()
    page = opened(person(), place.url(run, above="0"))
    side = page.locator(".st-key-review-side")

    def sort(word):
        side.locator(".st-key-sort input").click()
        page.locator("[role=option]").get_by_text(word, exact=True).click()

    def percentile(value):
        side.locator(".st-key-above input").fill(str(value))
        page.keyboard.press("Enter")

    changes = [
        lambda: sort("Loss"),
        lambda: percentile(30),
        lambda: side.locator(".st-key-state").get_by_text("unreviewed").click(),
        lambda: side.locator(".st-key-changed label").first.click(),
        lambda: side.locator(".st-key-above button").last.click(),
        lambda: sort("Order of the dataset"),
    ]
    # New images may be there before a poll sees that they were waited for.
    page.locator(".tiles").evaluate(
        """node => { const root = node.getRootNode(); window.waited = 0; new MutationObserver(() => {
          if (root.querySelector('.tiles[data-waiting]')) window.waited += 1;
        }).observe(root, { subtree: true, childList: true, attributes: true, attributeFilter: ['data-waiting'] }); }"""
    )
    for number, change in enumerate(changes, 1):
        before = page.evaluate("() => window.waited")
        change()
        comes(page, lambda before=before: page.evaluate("() => window.waited") > before, 15)
        images_are_here(page)
        page.keyboard.press("x")
        wait_for(lambda expected=number: len(place.states(run)) == expected)


@pytest.mark.parametrize("way", ["typed", "by Tab"])
def test_who_goes_on_in_the_filters_keeps_the_keys_there(place, person, way):
    run = place.run()
    page = opened(person(), place.url(run, above="0"))
    side = page.locator(".st-key-review-side")
    side.locator(".st-key-sort input").click()
    page.locator("[role=option]").get_by_text("Loss", exact=True).click()
    number = side.locator(".st-key-above input")
    if way == "typed":
        number.fill("30")
    else:
        page.keyboard.press("Tab")
        number.focus()
    page.wait_for_timeout(500)  # longer than the grid takes to get the keys back
    if way == "by Tab":
        page.keyboard.press("Control+a")
        page.keyboard.type("30")
    page.keyboard.press("Enter")
    page.wait_for_function("() => /above=30/.test(location.search)", timeout=15_000)
    page.wait_for_timeout(500)
    saved(page)
    assert place.states(run) == {}


def test_keys_while_images_are_on_their_way_decide_nothing_and_say_so(place, person):
    run = place.run()
    page = opened(person(), place.url(run, above="0"))
    press(page, "nx")
    page.locator(".told").get_by_text("Page 2 is on its way").wait_for(timeout=3_000)
    images_are_here(page)
    page.wait_for_function("() => location.search.includes('page=2')")
    saved(page)
    assert place.states(run) == {}
    press(page, "x")
    wait_for(lambda: len(place.states(run)) == 1)
    ranked = run.scores["suspicion"].sort_values(ascending=False).index
    assert list(place.states(run)) == [ranked[60]]


@pytest.mark.fault("quick page keys")
@pytest.mark.parametrize("keys", ["n", "nn", "nnn", "nnnp", "nnnnnnnnnn"])
def test_quick_page_keys_add_up_and_everything_shows_one_page(place, person, keys):
    run = place.run()  # 300 samples: 5 pages
    page = opened(person(), place.url(run, above="0"))
    press(page, keys)
    expected = max(1, min(5, 1 + keys.count("n") - keys.count("p")))
    page.wait_for_function(f"() => location.search.includes('page={expected}')", timeout=15_000)
    images_are_here(page)
    assert page.locator(".pager input").input_value() == str(expected)
    first = 60 * (expected - 1)
    assert page.locator(".range").text_content() == f"{first + 1} to {first + 60} of 300"
    ranked = run.scores["suspicion"].sort_values(ascending=False).index
    assert int(page.locator(".tile").first.get_attribute("data-row")) == ranked[first]
    page.go_back()
    page.wait_for_timeout(1500)

    def shows_what_its_address_names():
        named = int((re.search(r"page=(\d+)", page.url) or [0, 1])[1])
        return (
            page.locator(".pager input").input_value() == str(named)
            and page.locator(".range").text_content().startswith(f"{60 * named - 59} to")
            and int(page.locator(".tile").first.get_attribute("data-row")) == ranked[60 * named - 60]
        )

    comes(page, shows_what_its_address_names, 15)


# Both keys in one step of the browser: the server runs once, for the second, and has nothing new to send.
TOGETHER = """keys => { for (const key of keys)
  document.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true })); }"""


@pytest.mark.fault("quick page keys")
@pytest.mark.parametrize(
    "keys", [["n", "p"], ["n", "n", "p"], ["n", "n", "p", "p"], ["p", "n", "p"]], ids="".join
)
def test_keys_are_not_dead_after_page_keys_that_lead_back(place, person, keys):
    run = place.run()
    page = opened(person(), place.url(run, above="0"))
    ranked = run.scores["suspicion"].sort_values(ascending=False).index
    number = 1
    for _ in range(5):
        page.evaluate(TOGETHER, keys)
        for key in keys:
            number = max(1, number + {"n": 1, "p": -1}[key])
        images_are_here(page)
        assert int(page.locator(".tile").first.get_attribute("data-row")) == ranked[60 * (number - 1)]
        page.evaluate(TOGETHER, ["p"] * 4)
        images_are_here(page)
        number = 1
    press(page, "x")
    wait_for(lambda: list(place.states(run)) == [ranked[0]])


@pytest.mark.parametrize(
    "keys", [["ArrowRight", "ArrowLeft"], [" ", " "], ["n", "p"]], ids=["there", "closed", "page"]
)
def test_the_bigger_picture_is_there_however_one_came_back(place, person, keys):
    run = place.run(limit=120, truth=False, side=300)
    page = opened(person(), place.url(run, above="0"))

    def big():
        thumbnail = page.locator(".tile[data-focus] img").get_attribute("src")
        return page.locator(".drawer img").get_attribute("src") != thumbnail

    page.keyboard.press("Space")
    comes(page, big, 10)
    for pause in (0, 400):  # less, and more, than a focus rests before its picture is asked for
        for key in keys:
            page.evaluate(TOGETHER, [key])
            page.wait_for_timeout(pause)
        images_are_here(page)
        comes(page, big, 10)


@pytest.mark.fault("a key is held")
def test_a_held_key_decides_once_and_a_held_arrow_moves_on(place, person):
    run = place.run()
    page = opened(person(), place.url(run))
    for key in ("a", "x", "z", "n"):
        for _ in range(8):
            page.keyboard.down(key)
        page.keyboard.up(key)
    saved(page)
    page.wait_for_timeout(1000)
    # A new page puts the focus on its first.
    images_are_here(page)
    assert len(place.states(run)) == 1  # one accepted; one excluded, and taken back
    assert len(place.store.audit(run.id)) == 3
    assert "page=2" in page.url or page.locator(".pager").is_hidden()
    for _ in range(4):
        page.keyboard.down("ArrowRight")
    page.keyboard.up("ArrowRight")
    assert page.locator(".tile[data-focus]").get_attribute("data-index") == "4"


LABELS = {
    "ends": [f"a wetland bird of the northern river valley, plumage variety number {k}" for k in range(10)],
    "begins": [
        f"{k} wetland bird of the northern river valley, adult plumage, seen in winter" for k in range(10)
    ],
    "middle": [f"North American river otter ({k} years old), photographed in the wild" for k in range(10)],
    "classes": [f"class_with_a_rather_long_name_{k:03d}" for k in range(10)],
    "one in the other": ["otter" + " of the river" * k for k in range(10)],
    "wide": ["W" * 40 + str(k) + "W" * 40 for k in range(10)],
}


@pytest.mark.parametrize("names", LABELS.values(), ids=LABELS.keys())
@pytest.mark.parametrize("width", [1440, 800])
def test_labels_that_differ_look_different_on_a_tile_and_are_whole_on_focus(place, person, names, width):
    run = place.run(limit=120, rename={str(k): name for k, name in enumerate(names)})
    page = opened(person(), place.url(run, above="0"))
    page.set_viewport_size({"width": width, "height": 900})
    page.wait_for_timeout(300)
    scores = run.scores
    for tile in page.locator(".tile").all()[:12]:
        row = int(tile.get_attribute("data-row"))
        given, suggested = scores["given_label"][row], scores["suggested_label"][row]
        words = tile.locator(".words")
        shown = words.locator(".given").text_content()
        fits = "node => [...node.children].every(n => n.offsetWidth <= node.clientWidth)"
        assert words.evaluate(fits), shown
        if given != suggested:
            assert words.locator(".target").text_content() != shown
        tile.click()
        line = page.locator(".focused").text_content()
        assert given in line
        assert suggested in line
        page.keyboard.press("Escape")


def test_labels_without_an_influence_stand_apart_from_those_ranked_by_it(place, person):
    run = place.run(limit=60, exact=2)
    page = opened(person(), place.url(run, above="0"))
    page.keyboard.press("Space")
    panel = page.locator(".drawer")
    panel.locator("h4").first.wait_for()
    wanted = run.scores["alternatives"][int(page.locator(".tile[data-focus]").get_attribute("data-row"))]
    order = panel.locator("h4, .option .name").all_text_contents()
    start = order.index("Labels, smallest influence first")
    given = {entry["label"]: entry for entry in wanted}
    assert [name.removesuffix(" (given)") for name in order[start + 1 : start + 3]] == list(given)[:2]
    assert order[start + 3] == "Next by the model's probability, not ranked by influence"
    assert order[start + 4].removesuffix(" (given)") == list(given)[2]
    last = panel.locator(".option").last
    assert "was not computed" in last.text_content()
    assert panel.get_by_text("Suspicion 98.3").is_visible()  # 59 of 60 are below, not 60 of 60
