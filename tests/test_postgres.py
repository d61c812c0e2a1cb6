"""The promises of `SALTFLAT_DATABASE=postgresql+psycopg://…` against a real server."""

import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

from fvm_core import backup, migrations
from fvm_core.database import DatabaseError, connect, metadata
from fvm_core.jobs.queue import JobQueue
from fvm_core.review.decisions import Decision, DecisionStore
from fvm_core.runs.run_folder import RunFolder
from fvm_core.workspace import Workspace
from tests.cases import tiny_config
from tests.jobs.test_queue import wait
from tests.postgres import Server

RUN = "run-1"
RELEASED = Path(__file__).parent / "released" / "0.1" / "saltflat.sql"


@pytest.fixture
def address(postgres) -> str:
    return postgres.address(f"test_{uuid.uuid4().hex[:12]}")


@pytest.fixture
def own_server():
    """A server that the test may kill."""
    server = Server()
    yield server
    server.close()


def test_the_migrations_give_the_tables_that_the_code_knows(address):
    with connect(address).connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert migrations.version_of(connection) == migrations.HEAD


@pytest.mark.fault("four processes open a new database at once")
def test_processes_that_open_a_new_database_at_once_make_it_once(address):
    code = f"from fvm_core.review.decisions import DecisionStore; print(DecisionStore({address!r}).revision('x'))"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for process in started:
        out, error = process.communicate(timeout=60)
        assert (process.returncode, out.strip()) == (0, "0"), error


def test_a_database_of_version_0_1_is_brought_up_to_date(address):
    engine = create_engine(address)
    statements = RELEASED.read_text(encoding="utf-8").replace(
        'INTEGER NOT NULL, \n\t"key"', 'SERIAL NOT NULL, \n\t"key"'
    )
    wanted = [part for part in statements.split(";\n") if part.startswith(("CREATE", "INSERT"))]
    with engine.begin() as connection:
        for statement in wanted:
            connection.execute(text(statement.replace(":", r"\:")))
        connection.execute(text("SELECT setval('decision_events_id_seq', 10)"))
    engine.dispose()
    store = DecisionStore(address)
    run = store.audit("d1a60e33bc44")["run"].iloc[0]
    assert store.state(run)["state"].to_dict() == {0: "relabelled", 1: "excluded", 2: "kept"}
    assert store.versions(run)[1] == "c"
    assert store.undo(run, "c", "bo").done
    assert store.state(run)["state"].to_dict() == {0: "relabelled", 1: "kept", 2: "kept"}


def test_a_job_runs_with_its_queue_on_the_server(address, workspace, monkeypatch):
    monkeypatch.setenv("SALTFLAT_DATABASE", address)
    queue = JobQueue(Workspace.default())
    number = queue.submit(RunFolder.create(workspace.runs / "run", tiny_config()), "cpu")
    assert wait(queue, number, lambda job: job.state not in ("queued", "running")).state == "done"
    assert not (workspace.path / "saltflat.db").exists()


@pytest.mark.fault("PostgreSQL is killed under ten writers and started again")
def test_ten_writers_lose_nothing_while_the_database_is_killed_and_started_again(own_server):
    address = own_server.address("labels")
    store = DecisionStore(address)
    failures, begun = [], threading.Event()

    def write(writer: int) -> None:
        for number in range(30):
            row, key = writer * 100 + number, f"{writer}-{number}"
            while True:  # as the browser does: the same command again until there is an answer
                try:
                    outcome = store.carry_out(
                        RUN, key, [Decision(row, f"s{row}", "keep")], [""], f"w{writer}"
                    )
                    assert outcome.done
                    break
                except DatabaseError as error:
                    failures.append(str(error))
                    time.sleep(0.05)
            if number == 10:
                begun.set()

    with ThreadPoolExecutor(10) as pool:
        working = [pool.submit(write, writer) for writer in range(10)]
        assert begun.wait(60)
        own_server.kill()
        time.sleep(0.5)
        own_server.start()
        for done in working:
            done.result(timeout=120)
    assert failures, "the database was not missed"
    assert not any("Traceback" in failure for failure in failures)
    audit = store.audit(RUN)
    assert len(audit) == 300
    assert audit["batch"].is_unique
    assert len(store.state(RUN)) == 300


def test_a_workspace_on_the_server_is_backed_up_and_put_back(
    postgres, address, workspace, tmp_path, monkeypatch
):
    monkeypatch.setenv("SALTFLAT_DATABASE", address)
    store = DecisionStore(address)
    store.carry_out(RUN, "a", [Decision(0, "s\0\x1a0", "relabel", "old", "né\0w", 0.5, 3)], [""], "ana")
    store.carry_out(RUN, "b", [Decision(0, "s\0\x1a0", "exclude")], ["a"], "ana")
    store.undo(RUN, "b", "ana")
    assert backup.backup(workspace, tmp_path / "saved.tar").events == 3
    other = postgres.address(f"test_{uuid.uuid4().hex[:12]}")
    monkeypatch.setenv("SALTFLAT_DATABASE", other)
    elsewhere = Workspace(tmp_path / "elsewhere")
    backup.restore(elsewhere, tmp_path / "saved.tar")
    again = DecisionStore(other)
    assert again.audit(RUN).equals(store.audit(RUN))
    assert again.state(RUN).equals(store.state(RUN))
    assert again.carry_out(RUN, "c", [Decision(1, "s1", "keep")], [""], "bo").done  # numbers go on
    assert backup.restore(elsewhere, tmp_path / "saved.tar").kept == ("saltflat.db",)
    backup.restore(elsewhere, tmp_path / "saved.tar", replace=True)
    assert again.state(RUN).equals(store.state(RUN))
    monkeypatch.delenv("SALTFLAT_DATABASE")
    backup.restore(Workspace(tmp_path / "file"), tmp_path / "saved.tar")  # from a server into a file
    assert DecisionStore(Workspace(tmp_path / "file").database).state(RUN).equals(store.state(RUN))


def test_a_server_that_is_not_there_is_told_without_the_password():
    with pytest.raises(DatabaseError, match="can't be used") as caught:
        connect("postgresql+psycopg://team:secret@127.0.0.1:1/labels")
    assert "secret" not in str(caught.value)
