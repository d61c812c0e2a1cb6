"""The sign-in in a browser: cold deep links, media, downloads and uploads of the served app are behind it."""

import urllib.error
import urllib.request

import pytest

from fvm_core.access import rules
from fvm_core.access.passwords import set_password
from fvm_core.workspace import Workspace
from tests.ui import runs
from tests.ui.browser import READY, chromium, chromium_path, server, serving
from tests.ui.gate.doors import PASSWORDS

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    chromium_path()
    workspace = Workspace(tmp_path_factory.mktemp("home")).made()
    runs.finished_run(workspace, "plain", limit=300)
    for role, word in PASSWORDS.items():
        set_password(workspace, role, word)
    with server(workspace.path) as address, chromium() as browser:
        yield address, browser, workspace


def status(url: str, method: str = "GET", cookie: str = "") -> int:
    """What somebody gets who has the address."""
    request = urllib.request.Request(url, method=method, headers={"Cookie": cookie})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as answer:
        return answer.code


def signed_in(place, role: str, way: str = "review?run=plain"):
    """A page of a new browser profile, signed in by hand from a deep link."""
    address, browser, _workspace = place
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="dark")
    page = context.new_page()
    page.goto(f"{address}/{way}")
    assert "/sign-in?next=" in page.url
    page.get_by_label("Your name").fill(f"Ada {role}")
    page.get_by_label("Password").fill(PASSWORDS[role])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_selector(READY, timeout=60_000)
    return page


def test_a_cold_deep_link_leads_to_the_form_and_back(place):
    page = signed_in(place, "reviewer")
    assert page.url.endswith("/review?run=plain")
    page.wait_for_selector(".tile", timeout=30_000)
    sidebar = page.locator("[data-testid=stSidebar]").inner_text()
    assert "Ada reviewer · reviewer" in sidebar
    page.get_by_text("Sign out").click()
    page.get_by_label("Password").wait_for()
    page.goto(f"{place[0]}/review?run=plain")
    assert "/sign-in" in page.url and page.locator(".tile").count() == 0
    page.context.close()


def test_a_wrong_password_is_told_and_leaves_the_name(place):
    address, browser, _workspace = place
    page = browser.new_page()
    page.goto(f"{address}/scores?run=plain")
    page.get_by_label("Your name").fill("Ada")
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Sign in").click()
    assert page.get_by_role("alert").inner_text() == "The password is not right."
    assert page.get_by_label("Your name").input_value() == "Ada"
    page.close()


def test_downloads_and_pictures_are_for_those_who_are_signed_in(place):
    address = place[0]
    page = signed_in(place, "reviewer", "export?run=plain")
    page.locator(".st-key-download button").wait_for(timeout=60_000)
    with page.expect_download() as download:
        page.locator(".st-key-download button").click()
    url = download.value.url
    assert "/media/" in url
    cookie = "; ".join(f"{one['name']}={one['value']}" for one in page.context.cookies())
    assert status(url, cookie=cookie) == 200
    for stranger in ("", "saltflat=guess"):
        for method in ("GET", "HEAD"):
            assert status(url, method, stranger) == 401
            assert status(f"{address}/_stcore/health", method, stranger) == 401
        assert status(f"{address}/_stcore/upload_file/a/b", "PUT", stranger) == 401
    assert status(f"{address}/_stcore/upload_file/a/b", "PUT", cookie) == 403
    page.context.close()


def test_an_open_page_ends_with_the_password(place):
    _address, _browser, workspace = place
    page = signed_in(place, "owner", "scores?run=plain")
    page.wait_for_selector(".js-plotly-plot", timeout=60_000)
    changed = "quite another password"
    set_password(workspace, "owner", changed)
    try:
        page.get_by_text("Compare", exact=True).first.click()
        page.get_by_text("Connection failed with status 401").wait_for(timeout=30_000)
        assert page.get_by_text("Which score should the review rank by?").count() == 0
        page.reload()
        assert "/sign-in" in page.url
    finally:
        set_password(workspace, "owner", PASSWORDS["owner"])
    assert rules.read(workspace).sign_in
    page.context.close()


def test_a_page_on_another_port_can_not_use_the_sign_in(place, tmp_path):
    """Cookies know no port, so the browser would send ours along."""
    address = place[0]
    page = signed_in(place, "owner", "scores?run=plain")
    (tmp_path / "index.html").write_text("<title>elsewhere</title>")
    with serving(tmp_path) as other:
        page.goto(other)
        assert page.title() == "elsewhere"
        found = page.evaluate(
            """async (address) => {
                const tried = {};
                tried.socket = await new Promise((done) => {
                    const socket = new WebSocket(address.replace("http", "ws") + "/_stcore/stream", ["streamlit"]);
                    socket.onopen = () => done("open");
                    socket.onerror = () => done("refused");
                });
                const load = (tag, source) => new Promise((done) => {
                    const element = document.createElement(tag);
                    element.onload = () => done("loaded");
                    element.onerror = () => done("refused");
                    element.src = source;
                    document.body.append(element);
                });
                tried.script = await load("script", address + "/static/js/none.js");
                tried.image = await load("img", address + "/favicon.png");
                for (const mode of ["cors", "no-cors"]) {
                    const options = {method: "POST", mode, credentials: "include"};
                    tried[mode] = await fetch(address + "/sign-out", options).then((a) => a.type, () => "refused");
                }
                return tried;
            }""",
            address,
        )
        assert found == {"socket": "refused", "script": "refused", "image": "refused"} | {
            "cors": "refused",
            "no-cors": "refused",
        }
    page.goto(f"{address}/scores?run=plain")
    page.wait_for_selector(READY, timeout=60_000)
    assert "/sign-in" not in page.url, "the sign-in still holds: nothing of that came through"
    page.context.close()
