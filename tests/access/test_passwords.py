import pytest
from argon2 import PasswordHasher, Type, extract_parameters

from fvm_core.access import rules
from fvm_core.access.passwords import remove_password, role_with, set_password
from fvm_core.errors import SaltflatError

OWNER, REVIEWER = "correct horse battery", "staple salt flat lake"


def test_only_the_hash_is_kept_and_each_password_has_its_role(workspace):
    set_password(workspace, "owner", OWNER)
    set_password(workspace, "reviewer", REVIEWER)
    text = rules.path_of(workspace).read_text()
    assert OWNER not in text and REVIEWER not in text
    assert text.count("$argon2id$") == 2
    found = rules.read(workspace)
    assert [role_with(found, word) for word in (OWNER, REVIEWER)] == ["owner", "reviewer"]
    for wrong in ("", OWNER[:-1], OWNER + " ", OWNER.upper(), "nobody's", "x" * 100_000, "\ud800", "\x00"):
        assert role_with(found, wrong) is None


def test_a_role_without_a_password_can_not_be_had_by_any(workspace):
    set_password(workspace, "reviewer", REVIEWER)
    for word in ("nobody's", "", "None"):
        assert role_with(rules.read(workspace), word) is None


def test_the_same_password_typed_on_another_keyboard_is_the_same(workspace):
    set_password(workspace, "owner", "schlüssel für alle")  # composed
    assert role_with(rules.read(workspace), "schlu\u0308ssel fu\u0308r alle") == "owner"


@pytest.mark.parametrize(
    ("word", "message"),
    [("short", "at least 12"), ("", "at least 12"), ("a" * 40, "five different"), ("ab" * 600, "1000")],
)
def test_weak_passwords_are_refused_and_change_nothing(workspace, word, message):
    with pytest.raises(SaltflatError, match=message) as fault:
        set_password(workspace, "owner", word)
    assert not rules.path_of(workspace).exists()
    assert not word or word not in str(fault.value)


def test_two_roles_never_share_a_password(workspace):
    set_password(workspace, "owner", OWNER)
    with pytest.raises(SaltflatError, match="role owner already"):
        set_password(workspace, "reviewer", OWNER)
    set_password(workspace, "owner", OWNER)  # the same again is fine


def test_a_password_can_be_taken_back(workspace):
    set_password(workspace, "owner", OWNER)
    remove_password(workspace, "owner")
    assert not rules.read(workspace).sign_in
    with pytest.raises(SaltflatError, match="no password"):
        remove_password(workspace, "owner")


def test_a_guess_costs_as_much_as_is_recommended():
    """RFC 9106, second recommended option: 64 MiB, 3 passes, 4 lanes."""
    found = extract_parameters(PasswordHasher().hash("any"))
    assert (found.type, found.memory_cost, found.time_cost, found.parallelism) == (Type.ID, 65536, 3, 4)
