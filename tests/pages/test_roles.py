"""What reviewers can't do and where paths from the browser end, on every screen and at the place of action."""

from dataclasses import replace

import pytest
from PIL import Image

from fvm_core import start_folder
from fvm_core.access import rules
from fvm_core.access.passwords import set_password
from fvm_core.access.people import Person
from fvm_core.config import MODEL_FILES
from fvm_core.errors import SaltflatError
from tests.ui import runs
from tests.ui.app import opened, words
from tests.ui.gate.conftest import quick_hashes  # noqa: F401 (a fixture)
from ui import catalog, identity, starting
from ui.gate.door import Door


def signed_in_as(monkeypatch, workspace, role: str) -> None:
    if not rules.read(workspace).sign_in:
        set_password(workspace, "owner", "correct horse battery")
    monkeypatch.setattr(identity, "_here", lambda: Person("Bo", role))
    monkeypatch.setattr(Door, "built", True)


@pytest.fixture
def started(tmp_path, monkeypatch):
    """The folder where the app was started, a secret beside it, and links and tables that lead there."""
    folder, secret = tmp_path / "started", tmp_path / "secret"
    for kind in ("cat", "dog"):
        for place in (folder / "photos" / kind, secret / "photos" / kind):
            place.mkdir(parents=True)
            for number in range(6):
                Image.new("RGB", (8, 8), (number * 9, 0, 0)).save(place / f"{number}.png")
    (secret / "labels.csv").write_text("path,label\nphotos/cat/0.png,cat\nphotos/dog/0.png,dog\n")
    (secret / "weights.pt").write_bytes(b"x")
    (folder / "link").symlink_to(secret)
    (folder / "names.csv").write_text(f"path,label\n{secret}/photos/cat/0.png,cat\nphotos/dog/0.png,dog\n")
    (folder / "up.csv").write_text("path,label\n../secret/photos/cat/0.png,cat\nphotos/dog/0.png,dog\n")
    linked = folder / "linked"
    for kind in ("cat", "dog"):
        (linked / kind).mkdir(parents=True)
        (linked / kind / "0.png").symlink_to(secret / "photos" / kind / "0.png")
    monkeypatch.setenv(start_folder.VARIABLE, str(folder))
    return folder


REVIEWER_SEES = {
    "start": ("start runs and open run folders", ["demo", "clean", "open-run"]),
    "data_and_model": ("start runs", []),
    "run": ("start and cancel runs", ["again"]),
    "compare": ("choose what the review ranks by", ["use"]),
    "export": ("write files on the server", ["write"]),
}


@pytest.mark.parametrize("screen", REVIEWER_SEES)
def test_reviewers_are_told_what_only_owners_can_do(workspace, monkeypatch, screen):
    run = runs.with_planted(runs.finished_run(workspace, limit=100))
    doing, closed = REVIEWER_SEES[screen]
    for role in ("owner", "reviewer"):
        signed_in_as(monkeypatch, workspace, role)
        app = opened(workspace, screen, run.path.name)
        shown = words(app)
        assert f"Bo · {role}" in shown and "/sign-out" in shown
        assert (f"only an owner can {doing}" in shown) == (role == "reviewer")
        if role == "reviewer":
            assert all(app.button(key=key).disabled for key in closed)
    if screen == "data_and_model":
        assert not app.text_input


@pytest.mark.parametrize("screen", ["review", "scores"])
def test_reviewers_review(workspace, monkeypatch, screen):
    run = runs.finished_run(workspace, limit=100)
    signed_in_as(monkeypatch, workspace, "reviewer")
    app = opened(workspace, screen, run.path.name)
    assert not app.error and "only an owner" not in words(app)


def test_what_is_refused_is_refused_without_a_widget_too(workspace, monkeypatch):
    run = runs.finished_run(workspace, limit=100)
    waiting = runs.new_run(workspace, "waiting")
    before = sorted(workspace.runs.iterdir())
    signed_in_as(monkeypatch, workspace, "reviewer")
    for act in (
        lambda: starting.start(runs.config("more")),
        lambda: starting.resume(waiting),
        lambda: catalog.remember(str(run.path)),
    ):
        with pytest.raises(SaltflatError, match="signed in as a reviewer; only an owner"):
            act()
    assert sorted(workspace.runs.iterdir()) == before


def test_a_button_that_was_open_before_the_role_changed_does_nothing(workspace, monkeypatch, tmp_path):
    run = runs.finished_run(workspace, limit=100)
    signed_in_as(monkeypatch, workspace, "owner")
    app = opened(workspace, "export", run.path.name)
    target = workspace.path / "clean.csv"
    app.text_input(key="target").set_value(str(target)).run()
    signed_in_as(monkeypatch, workspace, "reviewer")
    app.button(key="write").click().run()
    assert not target.exists()


def test_a_page_shows_nothing_once_the_sign_in_has_ended(workspace, monkeypatch):
    run = runs.finished_run(workspace, limit=100)
    set_password(workspace, "owner", "correct horse battery")
    monkeypatch.setattr(Door, "built", True)
    monkeypatch.setattr(identity, "_here", lambda: identity._person({"saltflat": "of yesterday"}))
    for screen in ("scores", "review", "export", "compare", "run", "data_and_model"):
        app = opened(workspace, screen, run.path.name)
        shown = words(app)
        assert "not signed in" in shown and run.path.name not in shown
        assert not app.dataframe and not app.button


def test_without_its_door_the_app_shows_nothing_behind_a_sign_in(workspace, monkeypatch):
    run = runs.finished_run(workspace, limit=100)
    signed_in_as(monkeypatch, workspace, "owner")
    monkeypatch.setattr(Door, "built", False)
    app = opened(workspace, "scores", run.path.name)
    assert "saltflat app" in app.error[0].value and not app.button


SOURCES = [
    "{secret}/photos",
    "{secret}/labels.csv",
    "../secret/photos",
    "photos/../../secret/labels.csv",
    "link/photos",
    "link/labels.csv",
    "cifar10:{secret}",
    "cifar100:../secret",
    "names.csv",
    "up.csv",
    "linked",
    "/etc/passwd",
    "/proc/self/environ",
]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("part", ["train", "val"])
def test_images_are_read_from_the_allowed_folders_only(workspace, monkeypatch, started, source, part):
    signed_in_as(monkeypatch, workspace, "owner")
    good = {"train-path": str(started / "photos"), "val-path": str(started / "photos")}
    source = source.format(secret=started.parent / "secret")
    app = opened(
        workspace, "data_and_model", **{name.replace("-", "_"): value for name, value in good.items()}
    )
    assert not app.error, [error.value for error in app.error]
    app.text_input(key=f"{part}-path").set_value(source).run()
    assert any("outside of the folders" in error.value.replace("\\", "") for error in app.error), words(app)
    assert not [button for button in app.button if button.key == "run-it"]


@pytest.mark.parametrize("source", [*SOURCES[:-4], "link/weights.pt"])
def test_a_run_can_not_be_started_with_other_paths_either(workspace, monkeypatch, started, source):
    signed_in_as(monkeypatch, workspace, "owner")
    monkeypatch.setattr(starting.JobQueue, "submit", lambda *_given: pytest.fail("it was queued"))
    source = source.format(secret=started.parent / "secret")
    config = runs.config("x")
    if ".csv" not in source or "secret" in source or "link" in source:
        for other in (
            replace(config, train_data=replace(config.train_data, source=source)),
            replace(config, val_data=replace(config.val_data, source=source)),
            *(
                replace(
                    config,
                    model=replace(
                        config.model, **{name: source.removeprefix("cifar10:").removeprefix("cifar100:")}
                    ),
                )
                for name in MODEL_FILES
            ),
        ):
            with pytest.raises(SaltflatError, match="outside of the folders"):
                starting.start(other)
    assert not list(workspace.runs.iterdir())


OTHERS = ["{secret}/{name}", "../secret/{name}", "link/{name}", "photos/../../secret/{name}", "/etc/{name}"]


@pytest.mark.parametrize("path", OTHERS)
def test_checkpoints_scores_exports_and_run_folders_too(workspace, monkeypatch, started, path):
    signed_in_as(monkeypatch, workspace, "owner")
    run = runs.with_planted(runs.finished_run(workspace, limit=100))
    secret = started.parent / "secret"
    (secret / "scores.csv").write_text("id,score\n0,1\n")
    run.path.rename(secret / "run")
    elsewhere, run = secret / "run", runs.finished_run(workspace, limit=100)

    def given(name: str) -> str:
        return path.format(secret=secret, name=name)

    def refused(app) -> bool:
        return any("outside of the folders" in error.value.replace("\\", "") for error in app.error)

    app = opened(
        workspace, "data_and_model", train_path=str(started / "photos"), val_path=str(started / "photos")
    )
    for key in ("backbone-weights", "features", "checkpoint"):
        app.text_input(key=key).set_value(given("weights.pt")).run()
        assert refused(app), key
        app.text_input(key=key).set_value("").run()
    app = opened(workspace, "compare", run.path.name)
    app.text_input(key="external-path").set_value(given("scores.csv")).run()
    assert refused(app)
    app = opened(workspace, "export", run.path.name)
    app.text_input(key="target").set_value(given("new.csv")).run()
    app.button(key="write").click().run()
    assert refused(app) and not (secret / "new.csv").exists()
    app = opened(workspace, "start")
    app.text_input(key="run-path").set_value(given("run")).run()
    app.button(key="open-run").click().run()
    assert refused(app)
    assert elsewhere.name not in [card.key for card in catalog.cards()]


def test_a_folder_opened_before_is_not_shown_once_it_is_out_of_reach(workspace, monkeypatch, started):
    run = runs.finished_run(workspace, limit=100)
    elsewhere = started.parent / "secret" / "run"
    run.path.rename(elsewhere)
    key = catalog.remember(str(elsewhere))
    assert [card.key for card in catalog.cards()] == [key]
    signed_in_as(monkeypatch, workspace, "owner")
    assert catalog.cards() == []
    rules.write(workspace, rules.Rules(passwords=rules.read(workspace).passwords, roots=(elsewhere,)))
    assert [card.key for card in catalog.cards()] == [key]
