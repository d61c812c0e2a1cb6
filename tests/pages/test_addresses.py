"""An address that names no run never opens another one, and paths mean the person's own folder."""

import pytest

from fvm_core import start_folder
from tests.ui import runs
from tests.ui.app import PAGES, labels, opened, words

SCREENS = [name for name in PAGES if name not in ("start", "data_and_model")]
LEFT = [b"", b"[]", b"\x00\xff", b'{"opened": "x"}']


def said(app) -> str:
    return words(app).replace("\\", "").replace("\u2060", "")


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("address", ["nosuch", "first-rum", "../../etc", "/nowhere/at/all", "**x**"])
def test_an_unknown_run_is_told(workspace, screen, address):
    runs.finished_run(workspace, "first-run", limit=60)
    runs.new_run(workspace, "second")
    app = opened(workspace, screen, address)
    text = said(app)
    assert "There is no such run" in text and f"“{address}”" in text
    assert not app.metric and not app.dataframe and not app.get("plotly_chart")
    assert app.query_params["run"] in (address, [address])
    assert any("first-run · finished" in label.replace("\\", "") for label in labels(app))
    if address == "first-rum":
        assert "Did you mean" in text
    app.button(key="choose-first-run").click().run()
    assert app.query_params["run"] in ("first-run", ["first-run"])
    assert "There is no such run" not in said(app)


def test_start_and_data_only_say_so(workspace):
    runs.finished_run(workspace, "first-run", limit=60)
    app = opened(workspace, "start", "nosuch")
    assert "first-run" in said(app)
    app = opened(workspace, "data_and_model", "nosuch")
    assert "What you will see here" in said(app)


def test_without_a_run_in_the_address_the_newest_sound_one_is_shown(workspace):
    runs.finished_run(workspace, "sound", limit=60)
    broken = runs.new_run(workspace, "broken")
    (broken.path / "run.json").write_text("[]")
    app = opened(workspace, "scores")
    assert app.query_params["run"] in ("sound", ["sound"])
    assert "How many labels look wrong?" in said(app)


@pytest.mark.parametrize("content", LEFT)
def test_damaged_settings_of_the_workspace_stop_no_screen(workspace, content):
    runs.finished_run(workspace, "first-run", limit=60)
    (workspace.path / "settings.json").write_bytes(content)
    app = opened(workspace, "start")
    assert "settings.json is damaged" in said(app) and "first-run" in said(app)
    for screen in SCREENS:
        assert not opened(workspace, screen, "first-run").error


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.setenv(start_folder.VARIABLE, str(tmp_path / "mine"))
    return tmp_path / "mine"


def test_an_export_lands_in_the_persons_folder(workspace, folder):
    runs.finished_run(workspace, "first-run", limit=60)
    app = opened(workspace, "export", "first-run")
    app.text_input(key="target").set_value("relative.csv").run()
    assert f"That is {folder / 'relative.csv'}" in said(app)
    app.button(key="write").click().run()
    assert (folder / "relative.csv").is_file()


def test_every_path_on_every_screen_is_shown_whole(workspace, folder):
    runs.finished_run(workspace, "first-run", limit=60)
    (folder / "other.csv").write_text("id,score\n")
    for screen, key in {
        "start": "run-path",
        "data_and_model": "train-path",
        "compare": "external-path",
        "export": "target",
    }.items():
        app = opened(workspace, screen, "first-run")
        app.text_input(key=key).set_value("sub/x.csv").run()
        assert f"That is {folder / 'sub' / 'x.csv'}" in said(app), screen
    app = opened(workspace, "data_and_model", train_path="x.csv")
    app.text_input(key="val-path").set_value("y.csv").run()
    app.text_input(key="checkpoint").set_value("w.pt").run()
    for name in ("x.csv", "y.csv", "w.pt"):
        assert f"That is {folder / name}" in said(app)
    assert f"'{folder / 'x.csv'}'" in said(app)


def test_what_can_be_no_path_is_told_on_every_screen(workspace, folder):
    runs.finished_run(workspace, "first-run", limit=60)
    for screen, key in {
        "start": "run-path",
        "data_and_model": "train-path",
        "compare": "external-path",
        "export": "target",
    }.items():
        app = opened(workspace, screen, "first-run")
        app.text_input(key=key).set_value("~nobody-of-that-name/x").run()
        assert "is no path that can be used" in said(app), screen
