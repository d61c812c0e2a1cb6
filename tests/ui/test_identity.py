import pytest
from starlette.requests import HTTPConnection

from fvm_core.access import rules
from fvm_core.access.passwords import set_password
from fvm_core.access.people import NotSignedIn, Person
from ui import identity
from ui.gate import tickets

PASSWORDS = {"owner": "correct horse battery", "reviewer": "staple salt flat lake"}


def request(**cookies: str) -> HTTPConnection:
    sent = "; ".join(f"{name}={value}" for name, value in cookies.items()).encode()
    return HTTPConnection({"type": "http", "headers": [(b"cookie", sent)]})


def test_without_a_sign_in_there_is_no_name_and_the_person_is_the_owner(workspace):
    assert identity.name_of(request()) is None
    assert identity.role_of(request(saltflat="anything")) == "owner"


@pytest.mark.parametrize("role", ["owner", "reviewer"])
def test_name_and_role_come_from_the_sign_in(workspace, role):
    set_password(workspace, role, PASSWORDS[role])
    token = tickets.sessions(workspace).open(Person("Ada L.", role), rules.read(workspace))
    assert identity.name_of(request(saltflat=token)) == "Ada L."
    assert identity.role_of(request(saltflat=token)) == role


@pytest.mark.parametrize("cookies", [{}, {"saltflat": ""}, {"saltflat": "guess"}, {"_streamlit_user": "x"}])
def test_with_a_sign_in_a_stranger_is_an_error(workspace, cookies):
    set_password(workspace, "owner", PASSWORDS["owner"])
    for ask in (identity.name_of, identity.role_of):
        with pytest.raises(NotSignedIn, match="not signed in"):
            ask(request(**cookies))
