"""Passwords of databases, tokens and provider secrets are in no file, log, message or screen."""

import os
import subprocess
import sys
import time
import uuid

import pytest

from fvm_core import database
from fvm_core.access import rules
from fvm_core.access.passwords import set_password
from fvm_core.access.people import Person
from fvm_core.errors import SaltflatError
from fvm_core.jobs.queue import JobQueue
from fvm_core.runs.run_folder import RunFolder
from fvm_core.workspace import Workspace
from tests.cases import tiny_config
from tests.ui.gate.doors import PASSWORDS, guarded, sign_in
from ui.gate import tickets

SECRET = "planted-hunter2"

ADDRESSES = [
    f"postgresql+psycopg://ada:{SECRET}@127.0.0.1:9/labels",
    f"postgresql://ada:{SECRET}@127.0.0.1:9/labels",
    f"postgresql+psycopg://127.0.0.1:9/labels?password={SECRET}",
    f"postgresql+psycopg://ada:a/{SECRET}@127.0.0.1:9/labels",
    f"postgresql+psycopg://ada:a@{SECRET}@127.0.0.1:9/labels",
    f"postgresql+psycopg://ada:a#{SECRET}@127.0.0.1:9/labels",
    f"postgresql+psycopg://ada:x@127.0.0.1:{SECRET}/labels",
    f"mysql://ada:{SECRET}@127.0.0.1:9/labels",
    f"no-such-thing://ada:{SECRET}@127.0.0.1:9/labels",
    f"postgres ada {SECRET}",
    f"sqlite://ada:{SECRET}@/x.db",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_message_about_the_database_holds_its_password(address):
    with pytest.raises(SaltflatError) as fault:
        database.connect(address)
    assert SECRET not in str(fault.value)


@pytest.mark.parametrize("address", ADDRESSES[:4])
@pytest.mark.parametrize("words", [["doctor"], ["export", "{run}", "--out", "{out}"]])
def test_no_command_prints_it(tmp_path, workspace, address, words):
    from tests.ui import runs

    run = runs.finished_run(workspace, limit=60)
    words = [word.format(run=run.path, out=tmp_path / "x.csv") for word in words]
    done = subprocess.run(
        [sys.executable, "-m", "fvm_core", *words],
        capture_output=True,
        text=True,
        env={**os.environ, "SALTFLAT_DATABASE": address},
    )
    assert SECRET not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def contents(folder) -> dict:
    """All files below a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_run_and_its_worker_write_it_nowhere(workspace, postgres, monkeypatch):
    """A run in the queue that works, and one that fails."""
    address = postgres.address(f"test_{uuid.uuid4().hex[:12]}").replace("saltflat@", f"saltflat:{SECRET}@")
    assert SECRET in address
    monkeypatch.setenv("SALTFLAT_DATABASE", address)
    home = Workspace.default()
    good = RunFolder.create(home.new_run_folder("good"), tiny_config())
    bad = RunFolder.create(home.new_run_folder("bad"), tiny_config())
    (bad.path / "config.toml").write_text("[train_data]\nsource = 'nowhere.csv'\n")
    queue = JobQueue(home)
    for run in (good, bad):
        queue.submit(run, "cpu")
    end = time.monotonic() + 200
    while any(queue.latest(run.path).state in ("queued", "running") for run in (good, bad)):
        assert time.monotonic() < end, "the runs did not end"
        time.sleep(0.5)
        queue.reconcile()
    assert [queue.latest(run.path).state for run in (good, bad)] == ["done", "failed"]
    for path, content in contents(home.path).items():
        assert SECRET.encode() not in content, path


def test_signing_in_writes_no_password_and_no_token(workspace, caplog):
    set_password(workspace, "owner", PASSWORDS["owner"])
    browser = guarded()
    browser.post("/sign-in", data={"name": "Ada", "password": f"{SECRET} wrong"})
    sign_in(browser)
    token = browser.cookies.get("saltflat")
    other = tickets.sessions(workspace).open(Person("Bo", "owner"), rules.read(workspace))
    assert browser.get("/review").status_code == 200
    browser.post("/sign-out")
    for secret in (SECRET, PASSWORDS["owner"], token, other):
        assert secret not in caplog.text
        for path, content in contents(workspace.path).items():
            assert secret.encode() not in content, path
    assert "Wrong password from 127.0.0.1" in caplog.text
