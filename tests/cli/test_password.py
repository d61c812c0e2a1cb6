import stat

import pytest

from fvm_core.access import rules
from fvm_core.access.passwords import role_with
from fvm_core.cli import password as module
from fvm_core.errors import SaltflatError
from tests.cli.test_commands import call

WORD = "correct horse battery"


@pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\nmore\n"])
def test_from_a_file_for_servers(workspace, tmp_path, ending):
    (tmp_path / "word").write_bytes((WORD + ending).encode())
    printed = call("password", "reviewer", "--file", tmp_path / "word").output
    assert role_with(rules.read(workspace), WORD) == "reviewer"
    assert WORD not in printed and "argon2" not in printed
    assert stat.S_IMODE(rules.path_of(workspace).stat().st_mode) == 0o600


def test_a_file_that_is_not_there_is_told(workspace, tmp_path):
    with pytest.raises(SaltflatError, match="none can't be read"):
        call("password", "--file", tmp_path / "none")


def test_asked_twice(workspace, monkeypatch):
    monkeypatch.setattr(
        module, "sys", type("Terminal", (), {"stdin": type("In", (), {"isatty": lambda: True})})
    )
    answers = iter([WORD, WORD, WORD, WORD + "x"])
    monkeypatch.setattr(module.getpass, "getpass", lambda _question: next(answers))
    call("password")
    assert role_with(rules.read(workspace), WORD) == "owner"
    with pytest.raises(SaltflatError, match="not the same"):
        call("password")
    assert role_with(rules.read(workspace), WORD) == "owner"


def test_without_a_terminal_it_is_not_asked(workspace):
    with pytest.raises(SaltflatError, match="--file"):
        call("password")


@pytest.mark.parametrize("role", ["admin", "", "Owner"])
def test_roles_that_are_none(workspace, role):
    with pytest.raises(SaltflatError, match="there are: owner, reviewer"):
        call("password", role)


def test_taken_back(workspace, tmp_path):
    (tmp_path / "word").write_text(WORD)
    call("password", "--file", tmp_path / "word")
    assert "serves this machine only" in call("password", "--remove").output.replace("\n", " ")
    assert not rules.read(workspace).sign_in
