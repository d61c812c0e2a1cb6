"""Databases that go away, are replaced, or are of another version."""

import shutil
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from fvm_core import database, migrations
from fvm_core.database import DatabaseError, connect, metadata
from fvm_core.errors import SaltflatError
from fvm_core.jobs import queue as _jobs  # noqa: F401 (registers its table)
from fvm_core.review.decisions import Decision, DecisionStore

RUN = "run"


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "saltflat.db"


@pytest.fixture
def store(file) -> DecisionStore:
    found = DecisionStore(f"sqlite:///{file}")
    found.record(RUN, [Decision(0, "s0", "keep")], "ana")
    return found


def keep(store, row=1):
    return store.record(RUN, [Decision(row, f"s{row}", "keep")], "ana")


def _delete(file):
    file.unlink()


def _delete_all(file):
    for path in file.parent.glob("saltflat.db*"):
        path.unlink()


def _move(file):
    file.rename(file.with_name("elsewhere.db"))


def _empty(file):
    file.unlink()
    file.touch()


def _text(file):
    file.unlink()
    file.write_text("no database " * 200)


def _folder(file):
    file.unlink()
    file.mkdir()


@pytest.mark.fault("the database file is deleted, moved or replaced while it is in use")
@pytest.mark.parametrize("harm", [_delete, _delete_all, _move, _empty, _text, _folder])
def test_a_database_that_goes_away_takes_nothing_more(store, file, harm):
    harm(file)
    for _ in range(3):
        with pytest.raises(DatabaseError):
            keep(store)
        with pytest.raises(DatabaseError):
            store.state(RUN)
    assert harm not in (_delete, _delete_all, _move) or not file.exists()  # it is never made anew


@pytest.mark.fault("the database file is deleted in the middle of a transaction")
def test_a_database_that_goes_away_while_it_is_written_to_did_not_save(store, file):
    with (
        pytest.raises(DatabaseError, match="deleted or moved"),
        database.writing(connect(f"sqlite:///{file}"), next(iter(metadata.sorted_tables))),
    ):
        file.unlink()


def test_a_database_that_is_put_back_is_used_again(store, file):
    copy = file.with_name("copy.db")
    with sqlite3.connect(file) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    _delete_all(file)
    with pytest.raises(DatabaseError, match=r"deleted or moved away.*saltflat restore"):
        keep(store)
    shutil.copy(copy, file)
    assert store.state(RUN).index.tolist() == [0]
    assert keep(store) == 1
    assert store.state(RUN).index.tolist() == [0, 1]


@pytest.mark.fault("the write-ahead log is deleted while it is in use")
def test_a_lost_write_ahead_log_loses_nothing(store, file):
    Path(f"{file}-wal").unlink()
    try:
        keep(store)
    except DatabaseError:  # other connections may still hold the old one
        keep(store)
    assert store.state(RUN).index.tolist() == [0, 1]
    connect(f"sqlite:///{file}").dispose()
    with sqlite3.connect(file) as again:
        assert again.execute("SELECT COUNT(*) FROM decision_events").fetchone() == (2,)
        assert again.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize(
    "address", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true"]
)
def test_a_database_in_memory_is_refused(address):
    with pytest.raises(SaltflatError, match="needs a file"):
        connect(address)


def test_the_migrations_give_the_tables_that_the_code_knows(file):
    with connect(f"sqlite:///{file}").connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
        assert differences == []
        assert migrations.version_of(connection) == migrations.HEAD


def test_a_database_of_a_later_version_is_refused_and_left_alone(file):
    connect(f"sqlite:///{file}").dispose()
    with sqlite3.connect(file) as later:
        later.execute("UPDATE alembic_version SET version_num = '9999'")
    database._opened.cache_clear()
    with pytest.raises(SaltflatError, match=r"schema version 9999.*Update Saltflat"):
        connect(f"sqlite:///{file}")
    with sqlite3.connect(file) as later:
        assert later.execute("SELECT version_num FROM alembic_version").fetchone() == ("9999",)


@pytest.mark.fault("a migration fails half-way")
def test_a_migration_that_fails_leaves_the_database_as_it_was(file, monkeypatch):
    dump = (Path(__file__).parent / "released" / "0.1" / "saltflat.sql").read_text(encoding="utf-8")
    with sqlite3.connect(file) as old:
        old.executescript(dump.replace("'ana'", "NULL", 1).replace("reviewer TEXT NOT NULL", "reviewer TEXT"))
        before = "\n".join(old.iterdump())
    with pytest.raises(DatabaseError, match="NOT NULL"):
        connect(f"sqlite:///{file}")
    with sqlite3.connect(file) as old:
        assert "\n".join(old.iterdump()) == before
