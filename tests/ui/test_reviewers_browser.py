"""Several people and tabs in one review: names, undo, and what the others do."""

import pytest

from fvm_core.review.decisions import Decision
from tests.ui.browser import wait_for
from tests.ui.review_browser import opened, press, saved

pytestmark = pytest.mark.browser


def test_the_first_decision_asks_for_a_name_once_and_each_browser_has_its_own(place, person):
    run = place.run()
    page = opened(person(None), place.url(run))
    press(page, "k")
    page.locator(".who").wait_for()
    assert place.states(run) == {}
    page.keyboard.type("  Ana  Maria ")
    page.keyboard.press("Enter")
    saved(page)
    press(page, "kk")
    saved(page)
    other = opened(person(None), place.url(run))
    press(other, "k")
    other.locator(".who").wait_for()
    other.keyboard.press("Escape")
    assert len(place.states(run)) == 3  # without a name nothing is decided
    press(other, "k")
    other.keyboard.type("Bo")
    other.keyboard.press("Enter")
    saved(other)
    assert place.store.state(run.id)["reviewer"].value_counts().to_dict() == {"Ana Maria": 3, "Bo": 1}
    press(other, "zz")
    other.locator(".told").get_by_text("Nothing of yours").wait_for(timeout=5_000)
    saved(other)
    assert place.store.state(run.id)["reviewer"].tolist() == ["Ana Maria"] * 3
    other.reload()
    other.wait_for_selector(".tile[data-focus]", timeout=60_000)
    press(other, "k")
    wait_for(lambda: len(place.states(run)) == 4)


@pytest.mark.fault("two tabs of one person, and another person in between")
def test_undo_takes_back_what_this_tab_shows_and_not_another_tabs(place, person):
    run = place.run()
    context = person()
    one, two = opened(context, place.url(run)), opened(context, place.url(run))
    one.bring_to_front()
    press(one, "k")
    saved(one)
    two.bring_to_front()
    two.locator(".tile").nth(5).click()
    two.keyboard.press("Escape")
    press(two, "x")
    saved(two)
    one.bring_to_front()
    press(one, "z")
    wait_for(lambda: list(place.states(run).values()) == ["excluded"])
    press(one, "z")  # not of this tab: offered, not done
    one.locator(".told").get_by_text("earlier visit").wait_for(timeout=5_000)
    saved(one)
    assert list(place.states(run).values()) == ["excluded"]
    two.bring_to_front()
    first = int(two.locator(".tile").nth(5).get_attribute("data-row"))
    sample = run.scores["id"][first]
    place.store.record(run.id, [Decision(first, sample, "unsure")], "bo")
    press(two, "z")
    two.locator(".told").get_by_text("unsure by bo").wait_for(timeout=10_000)
    assert place.states(run) == {first: "unsure"}


@pytest.mark.fault("a double click on a button")
@pytest.mark.parametrize("button", ["accept", "keep", "exclude", "unsure"])
def test_a_double_click_decides_once(place, person, button):
    run = place.run()
    page = opened(person(), place.url(run))
    tile = page.locator(".tile").nth(2)
    tile.hover()
    tile.locator(f"[data-do={button}]").dblclick()
    saved(page)
    wait_for(lambda: len(place.states(run)) == 1)
    page.locator(".tile").nth(7).click()
    page.locator(".tile").nth(9).click(modifiers=["Shift"])
    page.locator(f".bar [data-do={button}]").dblclick()
    saved(page)
    wait_for(lambda: len(place.states(run)) == 4)
    page.locator(".row [data-do=undo]").dblclick()
    saved(page)
    wait_for(lambda: len(place.states(run)) == 1)
    audit = place.store.audit(run.id)
    assert len(audit) == 4 + 3
    page.wait_for_timeout(600)
    page.locator(".tile").nth(2).hover()
    page.locator(".tile").nth(2).locator(
        f"[data-do={button}]"
    ).click()  # decided again, nothing was undone there
    saved(page)
    assert len(place.store.audit(run.id)) == 7


def test_all_of_a_filter_is_accepted_once_and_undone_at_once(place, person):
    run = place.run()
    page = opened(person(), place.url(run, above="66"))
    press(page, "x")
    page.locator("[data-do=all]").click()
    yes = page.locator("[data-do=all-yes]")
    yes.wait_for()
    scores = run.scores
    different = (scores["percentile"] >= 66) & (scores["given_label"] != scores["suggested_label"])
    count = int(different.sum()) - 1
    assert yes.text_content() == f"Relabel {count}"
    yes.dblclick()
    saved(page)
    wait_for(lambda: place.store.counts(run.id)["relabelled"] == count)
    assert len(place.store.audit(run.id)) == count + 1
    wait_for(lambda: page.locator(".tile[data-state=relabelled]").count() > 10)
    page.locator(".tiles").focus()
    press(page, "z")
    wait_for(lambda: list(place.states(run).values()) == ["excluded"])


def test_what_others_decide_is_seen_without_a_reload(place, person):
    run = place.run()
    one, two = opened(person("ana"), place.url(run)), opened(person("bo"), place.url(run))
    press(one, "xk")
    wait_for(lambda: two.locator(".tile[data-state]").count() == 2, 20)
    wait_for(lambda: two.locator(".progress").text_content().startswith("2 of"))
    two.locator(".tile").first.click()
    assert "excluded by ana" in two.locator(".focused").text_content()
