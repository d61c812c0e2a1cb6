"""A run that can't be started from a screen: told there, nothing left behind, and the next press works."""

from __future__ import annotations

import pytest

from fvm_core.jobs.queue import JobQueue
from fvm_core.runs import run_folder
from tests.ui.app import opened, words

DIGITS = {"train_kind": "Digits demo", "val_kind": "Digits demo"}
BUTTONS = {"start": ("start", "demo", {}), "data and model": ("data_and_model", "run-it", DIGITS)}


def _full(*_, **__):
    raise OSError(28, "No space left on device")


@pytest.fixture(params=list(BUTTONS))
def screen(request, workspace, monkeypatch):
    """A screen with a button that starts a run, the button's key, and no worker."""
    monkeypatch.setattr(JobQueue, "reconcile", lambda self: None)
    name, button, choices = BUTTONS[request.param]
    return opened(workspace, name, **choices), button


@pytest.mark.fault("full disk")
@pytest.mark.parametrize("where", ["settings", "queue"])
def test_a_full_disk_is_told_and_leaves_nothing(screen, where, workspace, monkeypatch):
    app, button = screen
    with monkeypatch.context() as fault:
        if where == "settings":
            fault.setattr(run_folder, "write_json", _full)
        else:
            fault.setattr(JobQueue, "submit", _full)
        app.button(key=button).click().run()
    assert not app.exception
    assert "No space left on device" in words(app)
    assert list((workspace.path / "runs").glob("*")) == [] and JobQueue(workspace).all() == []
    app.button(key=button).click().run()
    assert not app.exception and not app.error
    (job,) = JobQueue(workspace).all()
    assert [str(path) for path in (workspace.path / "runs").glob("*")] == [job.run_path]
