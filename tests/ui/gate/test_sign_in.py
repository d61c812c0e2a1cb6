"""The form: what it sets, where it leads, how often it may be wrong."""

import re

import pytest

from fvm_core.access.attempts import FREE
from tests.ui.gate.doors import INSIDE, PASSWORDS, guarded, sign_in, with_passwords


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(workspace):
    with_passwords("owner")
    cookie = sign_in(guarded()).headers["set-cookie"]
    assert re.fullmatch(r"saltflat=[\w-]{43}; HttpOnly; Max-Age=43200; Path=/; SameSite=strict", cookie), (
        cookie
    )
    secure = sign_in(guarded("https://127.0.0.1:8501")).headers["set-cookie"]
    assert secure.startswith("__Host-saltflat=") and "; Secure" in secure and "Domain" not in secure


def test_each_sign_in_has_a_token_of_its_own(workspace):
    with_passwords("owner")
    browser = guarded()
    browser.cookies.set("saltflat", "planted")
    first, second = (sign_in(browser).headers["set-cookie"] for _ in range(2))
    assert first != second and "planted" not in first


@pytest.mark.parametrize(
    ("way", "leads_to"),
    [
        ("/review?run=x&above=90", "/review?run=x&above=90"),
        ("/", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/\t/evil.example", "/"),
        ("/x\r\nSet-Cookie: a=b", "/"),
        ("/sign-out", "/"),
        ("/auth/logout", "/"),
        ("", "/"),
        ("/" + "x" * 5000, "/"),
        ("/ü", "/"),
    ],
)
def test_afterwards_one_is_where_one_wanted_to_be_and_never_elsewhere(workspace, way, leads_to):
    with_passwords("owner")
    browser = guarded()
    assert sign_in(browser, next=way).headers["location"] == leads_to
    assert browser.get("/sign-in", params={"next": way}).headers["location"] == leads_to


def test_a_deep_link_comes_back_after_the_sign_in(workspace):
    with_passwords("owner")
    browser = guarded()
    page = browser.get("/review?run=a%20b&rows=1,2", headers={"accept": "text/html"})
    form = browser.get(page.headers["location"])
    way = re.search(r'name="next" value="([^"]*)"', form.text).group(1).replace("&amp;", "&")
    assert way == "/review?run=a%20b&rows=1,2"
    assert sign_in(browser, next=way).headers["location"] == way


def test_a_link_on_another_site_finds_those_who_are_signed_in(workspace):
    """Strict cookies are kept back from such links: our page asks again by itself."""
    with_passwords("owner")
    sent = {"accept": "text/html", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    answer = guarded().get("/review?x=%22%3E", headers={**sent, "sec-fetch-dest": "document"})
    assert answer.status_code == 200 and INSIDE not in answer.text
    assert 'http-equiv="refresh" content="0; url=/review?x=%22%3E"' in answer.text


def test_what_is_typed_and_asked_for_stays_text(workspace):
    with_passwords("owner")
    nasty = '"><script>alert(1)</script>'
    browser = guarded()
    for answer in (
        browser.post("/sign-in", data={"name": nasty, "password": "wrong", "next": "/x?" + nasty}),
        browser.get("/sign-in", params={"next": "/x?" + nasty}),
    ):
        assert "<script" not in answer.text


def test_wrong_passwords_all_look_the_same(workspace):
    with_passwords("reviewer")
    answers = {
        re.sub(r'value="[^"]*"', "", guarded().post("/sign-in", data={"name": name, "password": word}).text)
        for name in ("Ada", "root")
        for word in ("", "wrong", PASSWORDS["owner"], "x" * 5000)
    }
    assert len(answers) == 1
    assert "The password is not right." in answers.pop()


@pytest.mark.fault("passwords are guessed")
def test_too_many_wrong_passwords_have_to_wait_and_a_right_one_too(workspace):
    with_passwords("owner")
    browser = guarded()
    for _ in range(FREE):
        assert browser.post("/sign-in", data={"name": "Ada", "password": "wrong"}).status_code == 401
    answer = sign_in(browser)
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "2"
    assert "set-cookie" not in answer.headers
    assert sign_in(browser, name="Bob").status_code == 429, "another name is no way around it"


@pytest.mark.parametrize(
    "request_",
    [
        {"content": b"x" * 20_000, "headers": {"content-type": "application/x-www-form-urlencoded"}},
        {"json": {"name": "Ada", "password": PASSWORDS["owner"]}},
        {"files": {"name": b"Ada", "password": PASSWORDS["owner"].encode()}},
        {
            "content": b"&" * 100 + b"name=a&password=b",
            "headers": {"content-type": "application/x-www-form-urlencoded"},
        },
        {"content": b""},
    ],
)
def test_what_is_not_the_form_is_refused(workspace, request_):
    with_passwords("owner")
    answer = guarded().post("/sign-in", **request_)
    assert answer.status_code == 400 and "set-cookie" not in answer.headers


@pytest.mark.parametrize("name", ["", "  ", "x" * 61, "a\u202eb", "a\x00b"])
def test_the_name_beside_decisions_has_to_be_readable(workspace, name):
    with_passwords("owner")
    answer = sign_in(guarded(), name=name)
    assert answer.status_code == 400 and 'role="alert"' in answer.text


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods(workspace, method):
    with_passwords("owner")
    assert guarded().request(method, "/sign-in").status_code == 405


def test_a_link_elsewhere_signs_nobody_out_and_ours_does(workspace):
    with_passwords("owner")
    browser = guarded()
    sign_in(browser)
    elsewhere = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert "Sign out?" in browser.get("/sign-out", headers=elsewhere).text
    assert "Sign out?" in browser.get("/sign-out").text
    assert INSIDE in browser.get("/review").text
    answer = browser.get("/sign-out", headers={"sec-fetch-site": "same-origin"})
    assert answer.headers["location"] == "/sign-in"
    assert answer.headers["clear-site-data"] == '"cache"'
    assert browser.get("/review").status_code == 401


def test_without_a_sign_in_there_is_no_form(workspace):
    browser = guarded()
    for path in ("/sign-in", "/sign-out"):
        assert browser.get(path).headers["location"] == "/"
        assert browser.post(path).headers["location"] == "/"
