import os
import stat
from pathlib import Path

import pytest

from fvm_core.access import rules
from fvm_core.access.rules import Oidc, Rules
from fvm_core.errors import SaltflatError

HASH = "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaA"


def written(workspace, text: str) -> None:
    path = rules.path_of(workspace)
    path.write_text(text)
    path.chmod(0o600)


def test_without_the_file_nobody_signs_in(workspace):
    assert rules.read(workspace) == Rules()
    assert not rules.read(workspace).sign_in


def test_what_is_written_is_read_back_and_only_the_owner_of_the_file_can_read_it(workspace):
    given = Rules(
        passwords={"owner": HASH},
        oidc=Oidc({"owner": ("ada@example.org",), "reviewer": ("@example.org",)}, "google", True),
        roots=(Path("/data"),),
        hosts=("labels.example.org",),
        proxies=("127.0.0.1",),
        session_hours=2.5,
    )
    before = os.umask(0)
    try:
        rules.write(workspace, given)
    finally:
        os.umask(before)
    assert rules.read(workspace) == given
    assert stat.S_IMODE(rules.path_of(workspace).stat().st_mode) == 0o600
    assert [path.name for path in workspace.path.iterdir() if path.is_file()] == ["access.toml"]


def test_a_change_of_the_file_is_seen(workspace):
    written(workspace, "session_hours = 2\n")
    assert rules.read(workspace).session_hours == 2
    written(workspace, "session_hours = 30\n")
    assert rules.read(workspace).session_hours == 30


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pasword = 1", "pasword is not a setting"),
        ("[passwords]\nadmin = 'x'", "passwords.admin is not a setting"),
        ("[passwords]\nowner = 'plain text'", "passwords.owner is not an argon2id hash"),
        ("passwords = 'x'", "passwords is not a table"),
        ("session_hours = 0", "session_hours is 0"),
        ("session_hours = true", "session_hours is True"),
        ("session_hours = 1e9", "session_hours"),
        ("session_hours = nan", "session_hours is nan"),
        ("roots = ['data']", "whole paths"),
        ("roots = '/data'", "roots is not a list"),
        ("hosts = [1]", "hosts is not a list"),
        ("[oidc]\nprovider = 'google'", "lets nobody in"),
        ("[oidc]\nowner = ['*']", "'*'"),
        ("[oidc]\nowner = ['@']", "'@'"),
        ("[oidc]\nowner = ['ada@']", "'ada@'"),
        ("[oidc]\nowner = ['a@b@c']", "'a@b@c'"),
        ("[oidc]\nowner = [' @example.org']", "' @example.org'"),
        ("[oidc]\nowner = ['a@b.c']\nprovider = 3", "oidc.provider is 3"),
        ("[oidc]\nowner = ['a@b.c']\nunverified_emails = 'no'", "oidc.unverified_emails is 'no'"),
        ("not toml", "can't be read"),
        ("\x00", "can't be read"),
    ],
)
def test_what_is_not_understood_is_an_error_that_names_the_field(workspace, text, message):
    written(workspace, text)
    with pytest.raises(SaltflatError) as fault:
        rules.read(workspace)
    assert message in str(fault.value)
    assert "access.toml" in str(fault.value)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_change_is_not_believed(workspace, mode):
    written(workspace, "")
    rules.path_of(workspace).chmod(mode)
    with pytest.raises(SaltflatError, match="chmod 600"):
        rules.read(workspace)


@pytest.mark.parametrize(
    ("email", "role"),
    [
        ("ada@example.org", "owner"),
        ("ADA@Example.ORG", "owner"),
        ("bob@example.org", "reviewer"),
        ("bob@sub.example.org", None),
        ("bob@notexample.org", None),
        ("bob@example.org.evil.net", None),
        ("ada@evil.net", None),
        ("@example.org", "reviewer"),  # tickets refuse it: it is no address
        ("", None),
    ],
)
def test_the_list_names_addresses_and_whole_domains(email, role):
    oidc = Oidc({"owner": ("Ada@example.org",), "reviewer": ("@example.org",)})
    assert oidc.role(email) == role
