"""The door around an app that answers everything, so that whatever gets in is seen."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient

from fvm_core.access.passwords import set_password
from fvm_core.access.people import NotSignedIn
from fvm_core.workspace import Workspace
from ui import identity
from ui.gate.door import door

PASSWORDS = {"owner": "correct horse battery", "reviewer": "staple salt flat lake"}
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
INSIDE = "inside"
SOCKETS = "ws://127.0.0.1:8501"


async def _everything(request) -> PlainTextResponse:
    try:
        return PlainTextResponse(f"{INSIDE} {identity.name_of(request)} {identity.role_of(request)}")
    except NotSignedIn:
        return PlainTextResponse(f"{INSIDE}, a stranger")


async def _socket(websocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(f"{INSIDE} {text}")


def guarded(address: str = "http://127.0.0.1:8501", client: str = "127.0.0.1") -> TestClient:
    """A browser at `client` before the guarded app, which is served at `address`."""
    routes = [WebSocketRoute("/{path:path}", _socket), Route("/{path:path}", _everything, methods=METHODS)]
    app = Starlette(routes=routes, middleware=door())
    return TestClient(app, base_url=address, client=(client, 50000), follow_redirects=False)


def with_passwords(*roles: str) -> None:
    """Set the passwords of these roles."""
    for role in roles or PASSWORDS:
        set_password(Workspace.default(), role, PASSWORDS[role])


def sign_in(browser: TestClient, role: str = "owner", name: str = "Ada", **more: str):
    """Send the form."""
    return browser.post("/sign-in", data={"name": name, "password": PASSWORDS[role], **more})
