import platformdirs
import pytest

from fvm_core.database import connect
from fvm_core.errors import SaltflatError
from fvm_core.review.decisions import Decision, DecisionStore
from fvm_core.workspace import Workspace


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    monkeypatch.delenv("SALTFLAT_HOME", raising=False)
    monkeypatch.delenv("SALTFLAT_DATABASE", raising=False)


def test_the_folder_named_in_the_environment_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv("SALTFLAT_HOME", str(tmp_path / "a" / "home"))
    workspace = Workspace.default()
    assert workspace.path == tmp_path / "a" / "home"
    assert sorted(path.name for path in workspace.path.iterdir()) == ["cache", "datasets", "runs"]
    assert workspace.database == f"sqlite:///{tmp_path / 'a' / 'home' / 'saltflat.db'}"
    assert Workspace.default() == workspace


def test_a_relative_folder_stays_the_same_when_the_working_folder_changes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SALTFLAT_HOME", "home")
    workspace = Workspace.default()
    assert workspace.path == tmp_path / "home"


def test_the_users_home_is_meant_by_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("SALTFLAT_HOME", "~/salt")
    assert Workspace.default().path == tmp_path / "salt"


def test_without_a_setting_it_is_the_users_data_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(platformdirs, "user_data_path", lambda name: tmp_path / "data" / name)
    assert Workspace.default().path == tmp_path / "data" / "saltflat"
    monkeypatch.setenv("SALTFLAT_HOME", "")
    assert Workspace.default().path == tmp_path / "data" / "saltflat"


def test_a_file_in_the_way_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        monkeypatch.setenv("SALTFLAT_HOME", str(path))
        with pytest.raises(SaltflatError, match="SALTFLAT_HOME"):
            Workspace.default()


def test_another_database_can_be_named(tmp_path, monkeypatch):
    monkeypatch.setenv("SALTFLAT_DATABASE", "postgresql+psycopg://team@host/labels")
    assert Workspace(tmp_path).database == "postgresql+psycopg://team@host/labels"


@pytest.mark.parametrize("folder", ["plain", "with blank", "per%20cent", "hash#x", "q?x=1", "ünï", "a+b&c"])
def test_the_database_is_in_the_folder_whatever_its_name(tmp_path, folder):
    workspace = Workspace(tmp_path / folder).made()
    store = DecisionStore(workspace.database)
    assert store.record("run", [Decision(0, "s0", "keep")], "ana") == 1
    assert (workspace.path / "saltflat.db").is_file()


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("digits", "digits"),
        ("My run: №1/2", "My-run-1-2"),
        ("../../etc", "etc"),
        ("..", "run"),
        ("", "run"),
        ("שלום", "run"),
        ("v1.0_b", "v1.0_b"),
        (".hidden", "hidden"),
    ],
)
def test_run_folders_have_plain_names(tmp_path, name, folder):
    assert Workspace(tmp_path).new_run_folder(name) == tmp_path / "runs" / folder


def test_run_folders_are_new(tmp_path):
    workspace = Workspace(tmp_path).made()
    made = []
    for _ in range(3):
        made.append(workspace.new_run_folder("digits"))
        made[-1].mkdir()
    assert [path.name for path in made] == ["digits", "digits-2", "digits-3"]


def test_a_long_name_is_cut(tmp_path):
    workspace = Workspace(tmp_path).made()
    for _ in range(2):
        workspace.new_run_folder("x" * 1000).mkdir()
    assert all(len(path.name) < 100 for path in workspace.runs.iterdir())


def test_the_database_keeps_what_it_says_it_saved(tmp_path):
    engine = connect(f"sqlite:///{tmp_path / 'saltflat.db'}")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    assert connect(f"sqlite:///{tmp_path / 'saltflat.db'}") is engine


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("nonsense", "not one that SQLAlchemy knows"),
        ("oldbase://user:secret@host/name", "not one that SQLAlchemy knows"),
        ("sqlite:////nowhere/at/all/x.db", "unable to open"),
        ("mssql+pymssql://user:secret@host/name", "needs the Python package 'pymssql'"),
    ],
)
def test_databases_that_cannot_be_used_are_told_without_the_password(address, message):
    with pytest.raises(SaltflatError, match=message) as caught:
        connect(address)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_is_told(tmp_path):
    (tmp_path / "x.db").write_bytes(b"this is a text and no database at all" * 50)
    with pytest.raises(SaltflatError, match=r"x\.db can't be used: file is not a database"):
        connect(f"sqlite:///{tmp_path / 'x.db'}")
