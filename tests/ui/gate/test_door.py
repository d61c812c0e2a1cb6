"""Nobody gets in: every address, every method, WebSockets too, and only from our own page."""

import pytest
from starlette.websockets import WebSocketDisconnect

from fvm_core.access import rules
from fvm_core.access.passwords import remove_password, set_password
from fvm_core.access.rules import Oidc, Rules
from tests.ui.gate.doors import INSIDE, METHODS, SOCKETS, guarded, sign_in, with_passwords

ADDRESSES = [
    "/",
    "/start",
    "/review?run=x&above=0",
    "/media/0123.csv",
    "/media/../media/0123.csv",
    "/_stcore/health",
    "/_stcore/host-config",
    "/_stcore/upload_file/session/file",
    "/_stcore/bidi-components/x/y.js",
    "/component/x/index.html",
    "/static/js/index.js",
    "/app/static/x",
    "/saltflat/decisions",
    "/favicon.png",
    "/sign-in/../review",
    "/sign-in/",
    "//sign-in",
    "/SIGN-IN",
    "/sign-in%2f..%2freview",
    "/sign-inx",
    "/auth/login",
    "/auth/logout",
    "/oauth2callback",
    "/auth/login/../../review",
]


@pytest.mark.fault("a stranger asks for every address")
@pytest.mark.parametrize("address", ADDRESSES)
def test_a_stranger_gets_nothing_at_any_address_by_any_method(workspace, address):
    with_passwords()
    browser = guarded()
    browser.cookies.set("saltflat", "guess")
    browser.cookies.set("_streamlit_user", "guess")
    for method in METHODS:
        for accept in ("text/html", "*/*"):
            answer = browser.request(method, f"http://127.0.0.1:8501{address}", headers={"accept": accept})
            assert INSIDE not in answer.text, (method, address)
            assert answer.status_code in (303, 401), (method, address, answer.status_code)
            if answer.status_code == 303:
                assert answer.headers["location"].startswith("/sign-in")


@pytest.mark.fault("a stranger opens a WebSocket")
@pytest.mark.parametrize("address", ["/_stcore/stream", "/", "/sign-in", "/any/thing"])
def test_a_stranger_opens_no_websocket(workspace, address):
    with_passwords()
    with pytest.raises(WebSocketDisconnect), guarded().websocket_connect(f"{SOCKETS}{address}"):
        pass


@pytest.mark.parametrize("role", ["owner", "reviewer"])
def test_whoever_signs_in_is_known_everywhere(workspace, role):
    with_passwords()
    browser = guarded()
    assert sign_in(browser, role, "Ada L.").status_code == 303
    assert browser.get("/review").text == f"{INSIDE} Ada L. {role}"
    assert browser.post("/saltflat/decisions").text == f"{INSIDE} Ada L. {role}"
    with browser.websocket_connect(f"{SOCKETS}/_stcore/stream") as socket:
        socket.send_text("x")
        assert socket.receive_text() == f"{INSIDE} x"
    assert guarded().get("/review").status_code == 401


def test_only_owners_upload(workspace):
    with_passwords()
    for role, status in (("owner", 200), ("reviewer", 403)):
        browser = guarded()
        sign_in(browser, role)
        for method in ("PUT", "DELETE"):
            assert browser.request(method, "/_stcore/upload_file/a/b").status_code == status


def end_by_sign_out(browser, workspace):
    assert browser.post("/sign-out").status_code == 303


def end_by_new_password(browser, workspace):
    set_password(workspace, "owner", "another long password")


def end_by_no_password(browser, workspace):
    set_password(workspace, "reviewer", "another long password")
    remove_password(workspace, "owner")


def end_by_damaged_rules(browser, workspace):
    rules.path_of(workspace).write_text("[passwords")


@pytest.mark.parametrize(
    "end", [end_by_sign_out, end_by_new_password, end_by_no_password, end_by_damaged_rules]
)
def test_once_a_sign_in_has_ended_a_copied_cookie_and_an_open_websocket_are_worth_nothing(workspace, end):
    with_passwords("owner")
    browser = guarded()
    sign_in(browser)
    copied = browser.cookies.get("saltflat")
    with browser.websocket_connect(f"{SOCKETS}/_stcore/stream") as socket:
        end(browser, workspace)
        socket.send_text("x")
        with pytest.raises(WebSocketDisconnect):
            socket.receive_text()
    browser.cookies.clear()
    browser.cookies.set("saltflat", copied)
    answer = browser.get("/review")
    assert answer.status_code in (401, 503) and INSIDE not in answer.text


def test_a_websocket_opened_before_there_was_a_sign_in_ends_with_it(workspace):
    with guarded().websocket_connect(f"{SOCKETS}/_stcore/stream") as socket:
        socket.send_text("x")
        assert socket.receive_text() == f"{INSIDE} x"
        with_passwords("owner")
        socket.send_text("x")
        with pytest.raises(WebSocketDisconnect):
            socket.receive_text()


PLACES = [
    ("http://127.0.0.1:8501", "127.0.0.1", {}, True),
    ("http://[::1]:8501", "::1", {}, True),
    ("http://10.0.0.5:8501", "10.0.0.9", {"host": "127.0.0.1:8501"}, False),
    ("http://10.0.0.5:8501", "10.0.0.5", {"host": "localhost"}, False),
    ("http://127.0.0.1:8501", "10.0.0.9", {}, False),
    ("http://127.0.0.1:8501", "127.0.0.1", {"x-forwarded-for": "10.0.0.9"}, False),
    ("http://127.0.0.1:8501", "127.0.0.1", {"forwarded": "for=10.0.0.9"}, False),
    ("http://127.0.0.1:8501", "127.0.0.1", {"x-forwarded-host": "x"}, False),
]


@pytest.mark.parametrize(("address", "client", "sent", "fits"), PLACES)
def test_without_a_sign_in_only_this_machine_is_served_however_the_server_was_started(
    workspace, address, client, sent, fits
):
    answer = guarded(address, client).get("/review", headers=sent)
    assert (INSIDE in answer.text) == fits
    if not fits:
        assert answer.status_code == 403 and "saltflat password" in answer.text


HOSTS = [
    ("127.0.0.1:8501", True),
    ("localhost:8501", True),
    ("LOCALHOST.:9", True),
    ("[::1]:8501", True),
    ("labels.example.org", True),
    ("evil.example", False),
    ("127.0.0.1.evil.example", False),
    ("localhost.evil.example:8501", False),
    ("evil.example@127.0.0.1:8501", False),
    ("127.0.0.1:8501@evil.example", False),
    ("127.0.0.1:8501/evil", False),
    ("127.0.0.1:x", False),
    ("0.0.0.0:8501", False),
    ("[::ffff:127.0.0.1]", False),
    ("127.1", False),
    ("", False),
    ("*", False),
]


@pytest.mark.fault("another name points at this machine (DNS rebinding)")
@pytest.mark.parametrize(("host", "fits"), HOSTS)
@pytest.mark.parametrize("signed_in", [False, True])
def test_names_that_an_attacker_points_at_this_machine_are_refused(workspace, host, fits, signed_in):
    rules.write(workspace, Rules(hosts=("Labels.example.org",)))
    if signed_in:
        with_passwords("owner")
    browser = guarded()
    if signed_in:
        sign_in(browser)
    answer = browser.get("/review", headers={"host": host})
    assert (answer.status_code, INSIDE in answer.text) == ((200, True) if fits else (421, False))


ORIGINS = [
    ("http://127.0.0.1:8501", True),
    ("http://127.0.0.1:9999", False),
    ("http://127.0.0.1", False),
    ("http://localhost:8501", False),
    ("https://127.0.0.1:8501.evil.example", False),
    ("http://127.0.0.1:8501@evil.example", False),
    ("http://evil.example", False),
    ("file://127.0.0.1:8501", False),
    ("null", False),
    ("", False),
    ("http://127.0.0.1:x", False),
]


@pytest.mark.fault("a page of another port or host acts for the person")
@pytest.mark.parametrize(("origin", "fits"), ORIGINS)
@pytest.mark.parametrize("signed_in", [False, True])
def test_pages_on_other_ports_and_hosts_can_not_act_for_the_person(workspace, origin, fits, signed_in):
    if signed_in:
        with_passwords("owner")
    browser = guarded()
    if signed_in:
        sign_in(browser)
    for method in METHODS:
        answer = browser.request(method, "/saltflat/decisions", headers={"origin": origin})
        assert answer.status_code == (200 if fits else 403), method
    if fits:
        with browser.websocket_connect(f"{SOCKETS}/_stcore/stream", headers={"origin": origin}):
            pass
    else:
        with (
            pytest.raises(WebSocketDisconnect),
            browser.websocket_connect(f"{SOCKETS}/_stcore/stream", headers={"origin": origin}),
        ):
            pass


@pytest.mark.parametrize(
    ("origin", "host", "scheme", "fits"),
    [
        ("https://labels.example.org", "labels.example.org", "https", True),
        ("https://labels.example.org", "labels.example.org", "http", True),  # a proxy that says nothing
        ("https://labels.example.org:443", "labels.example.org", "https", True),
        ("http://labels.example.org", "labels.example.org", "https", False),
        ("https://labels.example.org:444", "labels.example.org", "https", False),
        ("https://labels.example.org", "labels.example.org:8501", "http", False),
    ],
)
def test_default_ports(workspace, origin, host, scheme, fits):
    rules.write(workspace, Rules(hosts=("labels.example.org",)))
    browser = guarded(f"{scheme}://127.0.0.1:8501")
    answer = browser.post("/saltflat/decisions", headers={"origin": origin, "host": host})
    assert answer.status_code == (200 if fits else 403)


LOADS = [
    ("same-origin", "cors", "empty", True),
    ("none", "navigate", "document", True),
    ("cross-site", "navigate", "document", True),
    ("same-site", "navigate", "document", True),
    ("same-site", "navigate", "iframe", False),
    ("cross-site", "navigate", "embed", False),
    ("same-site", "no-cors", "image", False),
    ("same-site", "no-cors", "script", False),
    ("cross-site", "cors", "empty", False),
]


@pytest.mark.fault("another page loads ours")
@pytest.mark.parametrize(("site", "mode", "dest", "fits"), LOADS)
def test_nothing_is_loaded_into_other_pages(workspace, site, mode, dest, fits):
    sent = {"sec-fetch-site": site, "sec-fetch-mode": mode, "sec-fetch-dest": dest}
    assert guarded().get("/media/x.png", headers=sent).status_code == (200 if fits else 403)
    if site not in ("same-origin", "none"):
        assert guarded().post("/media/x.png", headers=sent).status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        *("metrics", "message", "script-health-check", "", "x", "/metrics", "health/", "health/x"),
        *("agent/interact", "agent/mcp", "agent/openapi.json"),
        *("upload_file", "allowed-message-origins", "stream/x"),
    ],
)
def test_of_streamlits_own_addresses_only_those_that_the_frontend_needs_are_served(workspace, path):
    for signed_in in (False, True):
        if signed_in:
            with_passwords("owner")
        browser = guarded()
        if signed_in:
            sign_in(browser)
        served = path == "health/"  # the same address, which Streamlit answers or not
        for method in ("GET", "POST"):
            assert browser.request(method, f"/_stcore/{path}").status_code == (200 if served else 404)


@pytest.mark.parametrize("signed_in", [False, True])
def test_no_page_may_steer_ours_by_messages(workspace, signed_in):
    if signed_in:
        with_passwords("owner")
    browser = guarded()
    if signed_in:
        sign_in(browser)
    answer = browser.get("/_stcore/host-config")
    assert answer.json()["allowedOrigins"] == []
    assert answer.json()["enableCustomParentMessages"] is False


def test_every_answer_says_what_the_browser_may_do_with_it(workspace):
    with_passwords("owner")
    browser = guarded()
    answers = [browser.get("/sign-in"), browser.get("/x"), browser.get("/x", headers={"host": "evil"})]
    sign_in(browser)
    answers += [browser.get("/review"), browser.get("/media/x.svg"), browser.get("/_stcore/metrics")]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        scripts = policy.partition("script-src")[2].partition(";")[0]
        assert "unsafe" not in scripts and "http" not in scripts
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert "camera=()" in answer.headers["permissions-policy"]
        assert answer.headers["cache-control"] == "no-store"
    assert "sandbox" in answers[4].headers["content-security-policy"]
    assert "cache-control" not in browser.get("/static/js/index.js").headers


def test_rules_that_can_not_be_read_close_the_app(workspace):
    browser = guarded()
    assert INSIDE in browser.get("/review").text
    rules.path_of(workspace).write_text("[passwords")
    answer = browser.get("/review")
    assert (answer.status_code, INSIDE in answer.text) == (503, False)
    assert str(workspace.path) not in answer.text
    with pytest.raises(WebSocketDisconnect), browser.websocket_connect(f"{SOCKETS}/_stcore/stream"):
        pass


def test_the_providers_addresses_are_open_only_where_there_is_a_provider(workspace):
    browser = guarded()
    rules.write(workspace, Rules(oidc=Oidc({"owner": ("ada@example.org",)})))
    for path in ("/auth/login", "/auth/logout", "/oauth2callback"):
        assert browser.get(path).status_code != 401
    assert browser.get("/auth/login/x").status_code == 401
    answer = browser.get(
        "/auth/logout",
        headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
        | {"sec-fetch-dest": "document"},
    )
    assert answer.headers["location"] == "/sign-out"
