import pytest

from fvm_core.access.people import checked_name
from fvm_core.errors import SaltflatError


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("  Ada   Lovelace ", "Ada Lovelace"),
        ("Zoe\u0308", "Zoë"),
        ("<b>李</b>", "<b>李</b>"),
        ("x" * 60, "x" * 60),
    ],
)
def test_names_are_kept_without_surplus_space(typed, name):
    assert checked_name(typed) == name


@pytest.mark.parametrize(
    "typed",
    ["", " \t ", "x" * 61, "a\x00b", "a\x1bb", "a\u202eb", "a\u2066b", "a\u200bb", "a\ud800b", "a\ue000b"],
)
def test_names_that_can_not_be_read_are_refused(typed):
    with pytest.raises(SaltflatError, match="name"):
        checked_name(typed)
