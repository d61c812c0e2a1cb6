"""One damaged file never stops the app: it is named, with the reason and a way out, and the rest works."""

import pytest
import streamlit as st

from fvm_core.jobs.queue import JobQueue
from fvm_core.runs.run_folder import RunFolder
from fvm_core.workspace import Workspace
from tests.ui import damage, runs
from tests.ui.app import PAGES, labels, opened, words

SCREENS = [name for name in PAGES if name != "start"]
BLOCKING = ("scores.parquet", "estimators/fvm.json", *damage.OTHERS)
PARTLY = [file for file in (*damage.RESULTS, *damage.LIVE) if file not in BLOCKING]
KINDS = list(damage.KINDS)
SILENT = {*((file, kind) for file in damage.LIVE for kind in KINDS), ("checksums.json", "missing")}
# Every kind of damage to every file is in tests/pipeline/test_damage.py; all screens are drawn for all
# kinds where a run can't be shown, and for two of them where it is shown in part.
CASES = [(file, kind) for file in BLOCKING for kind in KINDS if (file, kind) != ("choice.json", "missing")]
CASES += [(file, kind) for n, file in enumerate(PARTLY) for kind in ("wrong type", KINDS[n % 3])]


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return damage.whole_run(Workspace(tmp_path_factory.mktemp("template")).made())


def screens(workspace, run):
    """All screens of a run, one after the other, as one person opens them."""
    app = opened(workspace, "start")
    yield "start", app
    for screen in SCREENS:
        app.query_params["run"] = run
        app.switch_page(f"../pages/{PAGES[screen].name}")
        app.run()
        assert not app.exception, (screen, app.exception)
        yield screen, app


def said(app) -> str:
    return words(app).replace("\\", "").replace("\u2060", "")


@pytest.mark.parametrize(("file", "kind"), CASES)
def test_a_damaged_file_is_named_on_every_screen(workspace, template, file, kind):
    run = damage.copied(template, workspace, "victim")
    damage.damage(run, file, kind)
    for screen, app in screens(workspace, "victim"):
        text = said(app)
        if screen == "data_and_model" or (file, kind) in SILENT:
            assert "Repair this run" not in labels(app)
            continue
        assert file in text and "damaged" in text, (screen, text)
        assert screen == "start" or "Repair this run" in labels(app)


def test_the_other_runs_work_on_every_screen(workspace, template):
    for number, file in enumerate((*damage.RESULTS, *damage.OTHERS)):
        victim = damage.copied(template, workspace, f"victim-{number}")
        damage.damage(victim, file, KINDS[number % len(KINDS)])
    runs.finished_run(workspace, "sound", limit=60)
    for screen, app in screens(workspace, "sound"):
        text = said(app)
        if screen == "start":
            assert text.count("Open it to repair it") >= 7  # of the newest eight
        else:
            assert not app.error, (screen, text)
            assert "sound" in text or screen == "data_and_model"


def test_a_copied_run_folder_does_not_stop_the_list(workspace, template):
    """Both have the same id."""
    for name in ("one", "two"):
        damage.copied(template, workspace, name)
    assert labels(opened(workspace, "start")).count("Open") == 3  # with that of a folder from elsewhere


def test_repair_does_the_damaged_stages_again(workspace, template, monkeypatch):
    monkeypatch.setattr(JobQueue, "reconcile", lambda self: None)  # no worker in this test
    run = damage.copied(template, workspace, "victim")
    damage.damage(run, "scores.parquet", "truncated")
    damage.damage(run, "choice.json", "binary")
    app = opened(workspace, "scores", "victim")
    app.button(key="repair").click().run()
    assert not app.exception and not app.error
    (job,) = JobQueue(workspace).all()
    assert job.state == "queued" and job.run_path == str(run.path)
    stages = run.info["stages"]
    assert [stage for stage in ("score", "relabel", "compare") if stage in stages] == []
    assert run.done("curvature") and run.done("embed")
    assert not (run.path / "choice.json").exists()
    assert "waiting" in said(app)


def test_run_json_is_put_back_from_its_copy(workspace, template):
    run = damage.copied(template, workspace, "victim")
    before = run.info
    damage.damage(run, "run.json", "missing")
    app = opened(workspace, "run", "victim")
    app.button(key="repair").click().run()
    assert RunFolder(run.path).info == before
    assert "Flagged" in said(app)
    assert not JobQueue(workspace).all()


def test_what_cannot_be_repaired_says_how_to_go_on(workspace, template):
    run = damage.copied(template, workspace, "victim")
    for name in ("run.json", "run.json.bak"):
        (run.path / name).write_text("[]")
    app = opened(workspace, "review", "victim")
    app.button(key="repair").click().run()
    assert "saltflat run --config" in said(app)


def test_an_unforeseen_error_is_told_and_logged(workspace, monkeypatch):
    from ui import results

    def broken(run):
        raise ZeroDivisionError("a **bold** fault")

    runs.finished_run(workspace, "sound", limit=60)
    monkeypatch.setattr(results, "table", broken)
    app = opened(workspace, "scores", "sound", may_fail=True)
    assert not app.exception
    (box,) = app.error
    assert "ZeroDivisionError: a \\*\\*bold\\*\\* fault" in box.value.replace(":\u2060", ":")
    log = workspace.path / "app.log"
    assert str(log) in said(app)
    assert "Traceback" in log.read_text() and "ZeroDivisionError: a **bold** fault" in log.read_text()
    log.unlink()
    log.mkdir()  # now it can't be written
    app.run()
    assert "in the terminal" in said(app)
    log.rmdir()


def test_streamlits_own_error_page_shows_neither_details_nor_links():
    st.config.get_config_options(force_reparse=True)
    assert st.config.get_option("client.showErrorDetails") == "none"
    assert st.config.get_option("client.showErrorLinks") is False
