"""Decisions of hurried people on bad connections: nothing is lost, doubled, or lands elsewhere."""

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from fvm_core.review.decisions import Decision, DecisionStore
from fvm_core.workspace import Workspace
from tests.ui import runs
from tests.ui.browser import READY, ROOT, server, wait_for
from tests.ui.review_browser import ROUTE, comes, opened, press, saved, slow

pytestmark = pytest.mark.browser


@pytest.mark.fault("another run is chosen while decisions are on a slow connection")
def test_keys_land_in_the_run_that_was_shown_wherever_the_person_goes(place, person):
    first, second = place.run(), place.run()
    page = opened(person(), place.url(first))
    slow(page)
    press(page, "akxua")
    page.locator("[data-testid=stSidebar] [data-testid=stSelectbox] input").click()
    page.locator("[role=option]").get_by_text(second.path.name).click()
    page.wait_for_function(f"() => document.saltflatStatus?.page_id.startsWith('{second.id}')")
    comes(page, lambda: len(place.states(first)) == 5)
    saved(page)
    assert place.states(second) == {}
    page.keyboard.press("k")
    comes(page, lambda: len(place.states(second)) == 1)
    assert len(place.states(first)) == 5


def _link(page, place, run):
    page.locator("[data-testid=stSidebar]").get_by_text("Scores", exact=True).click()


def _export(page, place, run):
    page.locator(".st-key-next-step-export button").click()


def _back(page, place, run):
    page.go_back()


def _reload(page, place, run):
    page.reload()


def _elsewhere(page, place, run):
    page.goto("about:blank")
    page.goto(place.url(run, "start"))


def _closed(page, place, run):
    context = page.context
    page.close()
    context.new_page().goto(place.url(run, "start"))


@pytest.mark.fault(
    "the screen is left right after the keys (link, step, Back, reload, closed tab; slow or not)"
)
@pytest.mark.parametrize("leave", [_link, _export, _back, _reload, _elsewhere, _closed])
@pytest.mark.parametrize("held", [0, 1.0])
def test_keys_followed_at_once_by_leaving_are_kept(place, person, leave, held):
    run = place.run()
    context = person()
    page = context.new_page()
    page.goto(place.url(run, "scores"))
    page.wait_for_selector(READY, timeout=60_000)
    page.goto(place.url(run))
    page.wait_for_selector(".tile[data-focus]", timeout=60_000)
    saved(page)
    if held:
        slow(page, held)
    press(page, "akxu" * 5)
    leave(page, place, run)
    comes(context.pages[-1], lambda: len(place.states(run)) == 20)
    audit = place.store.audit(run.id)
    assert len(audit) == 20
    assert set(audit["reviewer"]) == {"ana"}


@pytest.mark.fault("the export is opened while decisions are on their way")
def test_the_export_shows_what_was_decided_a_moment_before(place, person):
    run = place.run()
    page = opened(person(), place.url(run))
    slow(page)
    press(page, "xxxxx")
    _export(page, place, run)
    sign = page.locator(".sign")
    sign.get_by_text(re.compile("Saving|not saved yet")).wait_for(timeout=10_000)
    sign.wait_for(state="hidden", timeout=30_000)
    assert len(place.states(run)) == 5
    metric = page.locator("[data-testid=stMetric]").filter(has_text="Excluded")
    # A busy machine takes its time to draw the screen anew.
    wait_for(lambda: metric.locator("[data-testid=stMetricValue]").inner_text() == "5", 60)


@pytest.mark.fault("the connection is gone for a while")
def test_nothing_is_called_saved_without_a_connection_and_all_arrives_with_one(place, person):
    run = place.run()
    page = opened(person(), place.url(run))
    page.route(ROUTE, lambda route: route.abort())
    press(page, "akxu")
    page.locator(".saved").get_by_text("4 not saved yet").wait_for(timeout=15_000)
    assert "trying again" in page.locator(".why").text_content()
    assert place.states(run) == {}
    page.keyboard.press("z")  # takes back the last of them, in their order
    page.unroute(ROUTE)
    saved(page)
    assert len(place.states(run)) == 3


@pytest.mark.fault("the server carries out, its answer is lost")
def test_an_answer_that_is_lost_makes_no_second_event(place, person):
    """The server carries out, the answer does not arrive: everything is sent again, undos too."""
    run = place.run()
    page = opened(person(), place.url(run))
    lost = []

    def lose(route):
        route.fetch()
        lost.append(1)
        route.abort()

    page.route(ROUTE, lose)
    press(page, "kkkkzz")
    comes(page, lambda: len(lost) >= 4)
    page.unroute(ROUTE)
    saved(page)
    assert len(place.states(run)) == 2
    assert len(place.store.audit(run.id)) == 6


@pytest.mark.fault("an undo in a list before a command that is refused")
def test_a_refused_command_is_told_and_what_came_before_it_is_done_once(place, person):
    run = place.run()
    page = opened(person(), place.url(run))
    rows = [int(page.locator(".tile").nth(n).get_attribute("data-row")) for n in range(4)]
    press(page, "kk")
    saved(page)
    names = run.scores["id"]
    page.route(ROUTE, lambda route: route.abort())  # what bo decides is not seen here
    place.store.record(run.id, [Decision(rows[2], names[rows[2]], "exclude")], "bo")
    press(page, "zk")  # takes back the second, decides on it anew
    press(page, "k")  # the third: bo was there first
    page.unroute(ROUTE)
    page.locator(".told").get_by_text("excluded by bo").wait_for(timeout=10_000)
    saved(page)
    assert place.states(run) == {rows[0]: "kept", rows[1]: "kept", rows[2]: "excluded"}
    time.sleep(5)  # nothing is sent again
    assert (place.store.audit(run.id)["action"] == "undo").sum() == 1
    assert page.locator(".tile").nth(2).get_attribute("data-state") == "excluded"


NO_STORAGE = """for (const name of ['localStorage', 'sessionStorage']) Object.defineProperty(window, name,
  { get() { throw new DOMException('switched off', 'SecurityError'); } });"""
FULL_STORAGE = (
    """Storage.prototype.setItem = function () { throw new DOMException('full', 'QuotaExceededError'); };"""
)


@pytest.mark.fault("the browser's storage is full or switched off")
@pytest.mark.parametrize("harm", [NO_STORAGE, FULL_STORAGE], ids=["switched off", "full"])
def test_a_browser_without_storage_can_decide_too(place, person, harm):
    run = place.run()
    context = person(None)
    context.add_init_script(harm)
    page = opened(context, place.url(run))
    press(page, "k")
    page.locator(".who").wait_for()
    page.keyboard.type("Ana")
    page.keyboard.press("Enter")
    press(page, "xz")
    saved(page)
    wait_for(lambda: place.states(run) and set(place.states(run).values()) == {"kept"})


@pytest.mark.fault("the run of waiting decisions is not on this server")
def test_decisions_for_a_run_that_this_server_does_not_have_wait(place, person):
    run = place.run()
    context = person()
    page = opened(context, place.url(run))
    page.route(ROUTE, lambda route: route.abort())
    press(page, "kk")
    away = place.workspace.path / "elsewhere"
    run.path.rename(away)
    page.unroute(ROUTE)
    page.goto(f"{place.address}/start")
    sign = page.locator(".sign")
    sign.get_by_text("not among the runs").wait_for(timeout=20_000)
    away.rename(run.path)
    assert place.states(run) == {}
    page.reload()
    comes(page, lambda: len(place.states(run)) == 2)
    sign.wait_for(state="hidden", timeout=10_000)


@contextmanager
def _own_server(home, port):
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port), "--log-level", "warning"],
        cwd=ROOT,
        env={**os.environ, "SALTFLAT_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.fault("SIGKILL of the server under the keys")
def test_a_server_killed_under_the_keys_and_started_again_loses_nothing(tmp_path, person):
    workspace = Workspace(tmp_path / "home").made()
    run = runs.finished_run(workspace, "run", limit=300)
    store, port = DecisionStore(workspace.database), _free_port()
    context = person()
    with _own_server(workspace.path, port) as process:
        wait_for(lambda: _answers(port), 60)
        page = opened(context, f"http://127.0.0.1:{port}/review?run=run")
        press(page, "kkk")
        process.send_signal(signal.SIGKILL)
        press(page, "xxxx")
        page.locator(".saved").get_by_text("not saved yet").wait_for(timeout=15_000)
    with _own_server(workspace.path, port):
        wait_for(lambda: len(store.state(run.id)) == 7, 60)
        assert store.counts(run.id) == {"kept": 3, "excluded": 4, "relabelled": 0, "unsure": 0}
        assert len(store.audit(run.id)) == 7


@pytest.mark.fault("the database is deleted under the running server, and put back")
def test_a_database_deleted_under_the_server_is_never_called_saved(tmp_path, person):
    workspace = Workspace(tmp_path / "home").made()
    run = runs.finished_run(workspace, "run", limit=120)
    copy = workspace.path / "copy.db"
    with server(workspace.path) as address:
        page = opened(person(), f"{address}/review?run=run")
        press(page, "kk")
        saved(page)
        with sqlite3.connect(workspace.path / "saltflat.db") as old, sqlite3.connect(copy) as new:
            old.backup(new)
        for file in workspace.path.glob("saltflat.db*"):
            file.unlink()
        page.locator(".saved").get_by_text("Can't save now").wait_for(timeout=20_000)
        press(page, "xx")
        page.locator(".saved").get_by_text("2 not saved yet").wait_for(timeout=20_000)
        assert "deleted or moved away" in page.locator(".why").text_content()
        copy.rename(workspace.path / "saltflat.db")
        saved(page)
    assert DecisionStore(workspace.database).counts(run.id)["excluded"] == 2
