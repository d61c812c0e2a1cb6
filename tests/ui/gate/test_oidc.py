"""Signing in through a provider, with the served app and a provider on this machine."""

from dataclasses import replace

import pytest
from joserfc.jwk import RSAKey

from fvm_core.access import rules
from fvm_core.access.rules import Oidc, Rules
from fvm_core.errors import SaltflatError
from fvm_core.workspace import Workspace
from tests.ui.browser import free_port, server
from tests.ui.gate.provider import CLIENT, SECRET, provider
from ui.gate import oidc

httpx = pytest.importorskip("httpx")
PEOPLE = {"owner": ("ada@example.org",), "reviewer": ("@labels.example.org",)}
PAGE = {"accept": "text/html"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    pytest.importorskip("authlib")
    workspace = Workspace(tmp_path_factory.mktemp("home")).made()
    rules.write(workspace, Rules(oidc=Oidc(PEOPLE)))
    port = free_port()
    with provider() as other:
        secrets = tmp_path_factory.mktemp("person")
        (secrets / ".streamlit").mkdir()
        (secrets / ".streamlit" / "secrets.toml").write_text(
            f'[auth]\nredirect_uri = "http://127.0.0.1:{port}/oauth2callback"\n'
            f'cookie_secret = "{"0123456789abcdef" * 3}"\nclient_id = "{CLIENT}"\nclient_secret = "{SECRET}"\n'
            f'server_metadata_url = "{other.address}/.well-known/openid-configuration"\n'
        )
        with server(workspace.path, port, HOME=str(secrets)) as address:
            yield address, other, workspace


@pytest.fixture
def browser(place):
    with httpx.Client(base_url=place[0], headers=PAGE, follow_redirects=True, timeout=60) as client:
        yield client


def ada(**more: object) -> dict:
    return {"email": "ada@example.org", "email_verified": True, "name": "Ada", **more}


def test_people_on_the_list_come_back_to_where_they_wanted_to_be(place, browser):
    place[1].claims = ada()
    page = browser.get("/review?run=x")
    assert "Sign in with your organisation" in page.text and 'type="password"' not in page.text
    page = browser.get("/sign-in?provider=1")
    assert str(page.url).endswith("/review?run=x")
    assert "<title>Streamlit</title>" in page.text
    assert browser.get("/_stcore/health").status_code == 200
    browser.cookies.clear()
    assert browser.get("/_stcore/health").status_code == 401


REFUSED = {
    "a stranger": ada(email="eve@example.org"),
    "another domain": ada(email="ada@example.org.evil.net"),
    "a subdomain": ada(email="eve@x.labels.example.org"),
    "not verified": ada(email_verified=False),
    "verified in words": ada(email_verified="true"),
    "says nothing about verification": {"email": "ada@example.org"},
    "no address": {"email_verified": True},
    "two addresses": ada(email="eve@evil.net@labels.example.org"),
    "invisible letters": ada(email="eve\u202e@labels.example.org"),
    "a list": ada(email=["ada@example.org"]),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_nobody_else_gets_in(place, browser, kind):
    place[1].claims = REFUSED[kind]
    page = browser.get("/sign-in?provider=1")
    assert page.url.path == "/sign-in"
    assert "This account may not use this Saltflat" in page.text
    assert browser.get("/_stcore/health").status_code == 401


@pytest.mark.fault("a token that the provider did not give for this sign-in")
@pytest.mark.parametrize("wrong", ["key", "audience", "issuer", "expired", "nonce"])
def test_a_token_that_the_provider_has_not_given_for_this_sign_in_is_refused(place, browser, wrong):
    other = place[1]
    other.claims = ada(
        **{"audience": {"aud": "x"}, "issuer": {"iss": "x"}, "expired": {"exp": 1}}.get(wrong, {})
    )
    if wrong == "nonce":
        other.claims = ada(nonce="x")
    if wrong == "key":
        other.key = RSAKey.generate_key(2048, {"kid": "one"})
    try:
        page = browser.get("/sign-in?provider=1")
    finally:
        other.key = other.published
    assert page.url.path == "/sign-in"
    assert browser.get("/_stcore/health").status_code == 401


def test_sign_out_ends_copies_of_the_cookie_too(place, browser):
    place[1].claims = ada()
    browser.get("/sign-in?provider=1")
    copied = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    assert httpx.get(f"{place[0]}/_stcore/health", headers={"cookie": copied}).status_code == 200
    page = browser.post("/sign-out")
    assert "/auth/logout" in page.text  # the page goes on there by itself
    browser.get("/auth/logout")
    assert browser.get("/_stcore/health").status_code == 401
    assert httpx.get(f"{place[0]}/_stcore/health", headers={"cookie": copied}).status_code == 401


def test_whoever_is_taken_off_the_list_is_out_at_once(place, browser):
    place[1].claims = ada(email="bob@labels.example.org")
    browser.get("/sign-in?provider=1")
    assert browser.get("/_stcore/health").status_code == 200
    assert browser.request("PUT", "/_stcore/upload_file/a/b").status_code == 403, "a reviewer"
    before = rules.read(place[2])
    rules.write(place[2], replace(before, oidc=Oidc({"owner": ("ada@example.org",)})))
    try:
        assert browser.get("/_stcore/health").status_code == 401
    finally:
        rules.write(place[2], before)


def test_cookies_that_streamlit_has_not_signed_are_nothing(place):
    from streamlit.web.server.starlette.starlette_app_utils import create_signed_value

    claims = (
        '{"email": "ada@example.org", "email_verified": true, "is_logged_in": true, "provider": "default"}'
    )
    for secret in ("", "guess", "0123456789abcdef" * 2):
        value = create_signed_value(secret, "_streamlit_user", claims).decode()
        answer = httpx.get(f"{place[0]}/_stcore/health", headers={"cookie": f"_streamlit_user={value}"})
        assert answer.status_code == 401


@pytest.mark.parametrize(
    ("secrets", "message"),
    [
        (None, "not complete|no such|secrets"),
        ("[auth]\nclient_id = 'x'\n", "not complete"),
        (
            "[auth]\nclient_id='x'\nclient_secret='y'\nserver_metadata_url='http://127.0.0.1:9/'\n"
            "redirect_uri='http://127.0.0.1:8501/oauth2callback'\ncookie_secret='short'\n",
            "cookie_secret",
        ),
        (
            "[auth]\nclient_id='x'\nclient_secret='y'\nserver_metadata_url='http://127.0.0.1:9/'\n"
            f"redirect_uri='http://127.0.0.1:8501/elsewhere'\ncookie_secret='{'0123' * 8}'\n",
            "redirect_uri",
        ),
    ],
)
def test_a_provider_that_is_not_set_up_is_told_at_the_start(tmp_path, monkeypatch, secrets, message):
    from streamlit import config
    from streamlit.runtime.secrets import Secrets

    path = tmp_path / "secrets.toml"
    if secrets:
        path.write_text(secrets)
    asked = config.get_option
    monkeypatch.setattr(
        config, "get_option", lambda name: [str(path)] if name == "secrets.files" else asked(name)
    )
    monkeypatch.setattr("streamlit.auth_util.secrets_singleton", Secrets())
    with pytest.raises(SaltflatError, match=message):
        oidc.check(Rules(oidc=Oidc(PEOPLE)))
