import json
import stat

import pytest

from fvm_core.access import sessions as module
from fvm_core.access.people import Person
from fvm_core.access.rules import Rules
from fvm_core.access.sessions import Sessions

RULES = Rules(passwords={"owner": "$argon2id$one", "reviewer": "$argon2id$two"}, session_hours=2)
ADA, BOB = Person("Ada", "owner"), Person("Bob", "reviewer")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_a_token_is_its_persons_until_it_runs_out(tmp_path, clock):
    known = Sessions(tmp_path / "sessions.json", clock)
    ada, bob = known.open(ADA, RULES), known.open(BOB, RULES)
    assert ada != bob
    clock.now += 2 * 3600 - 1
    assert (known.find(ada, RULES), known.find(bob, RULES)) == (ADA, BOB)
    clock.now += 1
    assert (known.find(ada, RULES), known.find(bob, RULES)) == (None, None)


def test_the_file_holds_no_token_and_survives_a_restart(tmp_path, clock):
    path = tmp_path / "sessions.json"
    token = Sessions(path, clock).open(ADA, RULES)
    assert token not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Sessions(path, clock).find(token, RULES) == ADA


def test_sign_out_is_remembered_by_the_server(tmp_path, clock):
    known = Sessions(tmp_path / "sessions.json", clock)
    token = known.open(ADA, RULES)
    known.close(token)
    assert known.find(token, RULES) is None
    assert Sessions(tmp_path / "sessions.json", clock).find(token, RULES) is None


@pytest.mark.parametrize(
    "changed", [{"owner": "$argon2id$new", "reviewer": "$argon2id$two"}, {"reviewer": "$argon2id$two"}, {}]
)
def test_sessions_end_with_the_password_that_opened_them(tmp_path, clock, changed):
    known = Sessions(tmp_path / "sessions.json", clock)
    ada, bob = known.open(ADA, RULES), known.open(BOB, RULES)
    later = Rules(passwords=changed)
    assert known.find(ada, later) is None
    assert known.find(bob, later) == (BOB if "reviewer" in changed else None)


def test_a_revoked_ticket_stays_revoked(tmp_path, clock):
    known = Sessions(tmp_path / "sessions.json", clock)
    known.revoke(b"claims", RULES)
    assert known.is_revoked(b"claims") and not known.is_revoked(b"other")
    assert Sessions(tmp_path / "sessions.json", clock).is_revoked(b"claims")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"open": {"x": {"role": "owner"}}, "revoked": {}}'])
def test_a_damaged_file_signs_everybody_out(tmp_path, clock, text):
    path = tmp_path / "sessions.json"
    token = Sessions(path, clock).open(ADA, RULES)
    path.write_text(text)
    assert Sessions(path, clock).find(token, RULES) is None


def test_a_role_that_is_none_is_not_taken_from_the_file(tmp_path, clock):
    path = tmp_path / "sessions.json"
    token = Sessions(path, clock).open(ADA, RULES)
    content = json.loads(path.read_text())
    for one in content["open"].values():
        one["role"] = "root"
    path.write_text(json.dumps(content))
    assert Sessions(path, clock).find(token, RULES) is None


def test_the_file_does_not_grow_without_end(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(module, "MOST", 3)
    known = Sessions(tmp_path / "sessions.json", clock)
    tokens = []
    for _ in range(5):
        clock.now += 1
        tokens.append(known.open(ADA, RULES))
    assert [known.find(token, RULES) is not None for token in tokens] == [False, False, True, True, True]
