"""The ASGI middleware around the whole app. What it lets through is decided here and nowhere else."""

from __future__ import annotations

import logging

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fvm_core.access import rules as access_rules
from fvm_core.access.network import is_loopback
from fvm_core.access.people import OWNER, Person
from fvm_core.access.rules import Rules
from fvm_core.errors import SaltflatError
from fvm_core.workspace import Workspace
from ui.gate import headers, oidc, origins, passwords, sign_in, tickets

_log = logging.getLogger("saltflat.access")

_HOST_CONFIG = {
    "allowedOrigins": [],  # no page may drive ours by messages
    "useExternalAuthToken": False,
    "enableCustomParentMessages": False,
    "enforceDownloadInNewTab": False,
    "metricsUrl": "",
    "blockErrorDialogs": False,
    "resourceCrossOriginMode": None,
}
_CORE = ("health", "host-config", "stream")
_CORE_FOLDERS = ("upload_file", "bidi-components")
"""What the frontend asks for below `/_stcore/`; metrics, messages, script health and the agent interface
of Streamlit are not served."""

_PROXIED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
_NEXT = "saltflat_next"


def door() -> list[Middleware]:
    """The middleware of the app.

    Raises:
        SaltflatError: the rules for signing in can't be read, or the provider is not set up.
    """
    oidc.check(access_rules.read(Workspace.default()))
    return [Middleware(Door)]


class Door:
    """Checks Host, origin and sign-in of every request and WebSocket, and adds headers to every answer."""

    built = False
    """Whether the app of this process has its door; the router shows nothing without one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._passwords = passwords.PasswordSignIn()
        Door.built = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            workspace = Workspace.default()
            rules = access_rules.read(workspace)
            refusal = self._refusal(scope, rules)
        except SaltflatError as error:  # rules that can't be read let nobody in
            _log.error("%s", error)
            rules, refusal = Rules(), _closed()
        sent = Headers(scope=scope)
        if scope["type"] == "http":
            send = headers.guarded(send, scope, _shown_host(sent), rules.sign_in)
        if refusal is None:
            refusal = await self._answer(scope, receive, rules, workspace)
        if refusal is None and scope["type"] == "websocket":
            receive = _while_signed_in(receive, send, dict(HTTPConnection(scope).cookies), workspace)
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()  # the handshake; closed before it is accepted, it is answered with 403
            await send({"type": "websocket.close", "code": 1008})
        else:
            await refusal(scope, receive, send)

    def _refusal(self, scope: Scope, rules: Rules) -> Response | None:
        """Why a request is turned away whoever sends it."""
        sent = Headers(scope=scope)
        method = scope.get("method", "GET")
        if not rules.sign_in and not _local(scope, sent):
            return sign_in.refused(
                "No sign-in is set up",
                "This Saltflat can be reached from other machines, and nobody has to sign in. Whoever runs "
                "it has to set a password first: saltflat password",
                403,
            )
        hosts = sent.getlist("host")
        if len(hosts) != 1 or not origins.host_fits(hosts[0], origins.allowed_hosts(rules.hosts)):
            return sign_in.refused(
                "Not under this name",
                "This Saltflat does not go by the name in your address bar. Whoever runs it can add the name "
                "to `hosts` in access.toml.",
                421,
            )
        if len(sent.getlist("origin")) > 1 or not origins.same_origin(sent, scope.get("scheme", "http")):
            return PlainTextResponse("This request comes from another page.", 403)
        if scope["type"] == "http" and not origins.may_load(sent, method):
            return PlainTextResponse("This can't be loaded into another page.", 403)
        parts = [part for part in scope["path"].split("/") if part]
        if parts[:1] == ["_stcore"] and not (
            "/".join(parts[1:]) in _CORE or (len(parts) > 2 and parts[1] in _CORE_FOLDERS)
        ):
            return PlainTextResponse("Not found.", 404)
        return None

    async def _answer(
        self, scope: Scope, receive: Receive, rules: Rules, workspace: Workspace
    ) -> Response | None:
        """The answer of the door itself, None for what the app answers."""
        http = scope["type"] == "http"
        if not rules.sign_in:
            return self._without_sign_in(scope["path"]) if http else None
        cookies = HTTPConnection(scope).cookies
        person = tickets.person(cookies, rules, workspace)
        if not http:
            return None if person else _closed()
        request = Request(scope, receive)
        if scope["path"] == sign_in.SIGN_IN:
            return await self._sign_in(request, rules, workspace, person)
        if scope["path"] == sign_in.SIGN_OUT:
            return self._sign_out(request, rules, workspace)
        if rules.oidc is not None and scope["path"] in (sign_in.LOGIN, sign_in.LOGOUT, sign_in.CALLBACK):
            if scope["path"] == sign_in.LOGOUT:
                if request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
                    return RedirectResponse(sign_in.SIGN_OUT, 303)
                oidc.revoke(cookies, rules, workspace)
            return None
        if person is None:
            return _stranger(request)
        return _for_a_person(request, person)

    def _without_sign_in(self, path: str) -> Response | None:
        if path in (sign_in.SIGN_IN, sign_in.SIGN_OUT):
            return RedirectResponse("/", 303)
        return JSONResponse(_HOST_CONFIG) if path == "/_stcore/host-config" else None

    async def _sign_in(
        self, request: Request, rules: Rules, workspace: Workspace, person: Person | None
    ) -> Response:
        if request.method == "POST" and rules.passwords:
            return await self._passwords.answer(request, rules, workspace)
        if request.method not in ("GET", "HEAD"):
            return PlainTextResponse("Not allowed.", 405, headers={"Allow": "GET, HEAD, POST"})
        way = sign_in.safe_way(request.query_params.get("next", "/"))
        if person is not None:
            return RedirectResponse(way, 303)
        if rules.oidc is not None and "provider" in request.query_params:
            return RedirectResponse(oidc.login_address(rules), 303)
        stranger = oidc.known_to_provider(request.cookies, rules, workspace)
        answer = sign_in.form(rules, way, stranger=stranger)
        if rules.oidc is not None and way != "/":
            answer.set_cookie(
                _NEXT, way, max_age=900, httponly=True, samesite="lax", secure=request.url.scheme == "https"
            )
        return answer

    def _sign_out(self, request: Request, rules: Rules, workspace: Workspace) -> Response:
        if request.method in ("GET", "HEAD") and request.headers.get("sec-fetch-site") != "same-origin":
            return sign_in.ask_sign_out()
        known = tickets.sessions(workspace)
        for name in (tickets.PLAIN, tickets.SECURE):
            if token := request.cookies.get(name):
                known.close(token)
        through_provider = oidc.revoke(request.cookies, rules, workspace)
        answer = sign_in.moved(sign_in.LOGOUT) if through_provider else RedirectResponse(sign_in.SIGN_IN, 303)
        passwords.forget(answer)
        answer.headers["Clear-Site-Data"] = '"cache"'
        return answer


def _stranger(request: Request) -> Response:
    """What somebody gets who is not signed in: the way to the sign-in for a page, else a plain refusal."""
    page = request.method in ("GET", "HEAD") and "text/html" in request.headers.get("accept", "")
    if not page or request.url.path.startswith(("/media/", "/_stcore/", "/static/", "/component/")):
        return PlainTextResponse("Sign in first.", 401)
    way = sign_in.way_of(request.scope)
    if request.headers.get("sec-fetch-site") == "cross-site":
        # The link stands on another site, so a browser that is signed in has kept its cookie back.
        return sign_in.moved(way)
    return RedirectResponse(
        sign_in.SIGN_IN + ("" if way == "/" else "?next=" + sign_in.quote(way, safe="")), 303
    )


def _for_a_person(request: Request, person: Person) -> Response | None:
    path = request.url.path
    if path == "/_stcore/host-config":
        return JSONResponse(_HOST_CONFIG)
    if path.startswith("/_stcore/upload_file") and person.role != OWNER:
        return PlainTextResponse("Only an owner can upload files.", 403)
    if path == "/" and request.method == "GET" and (wanted := request.cookies.get(_NEXT)):
        answer = RedirectResponse(sign_in.safe_way(wanted), 303)
        answer.delete_cookie(_NEXT)
        return answer
    return None


def _while_signed_in(receive: Receive, send: Send, cookies: dict[str, str], workspace: Workspace) -> Receive:
    """Take nothing more from a WebSocket whose person has signed out or been taken off the list."""

    async def receiving() -> Message:
        message = await receive()
        if message["type"] != "websocket.receive":
            return message
        try:
            rules = access_rules.read(workspace)
            fits = not rules.sign_in or tickets.person(cookies, rules, workspace) is not None
        except SaltflatError:
            fits = False
        if fits:
            return message
        await send({"type": "websocket.close", "code": 1008})
        return {"type": "websocket.disconnect", "code": 1008}

    return receiving


def _local(scope: Scope, sent: Headers) -> bool:
    """Whether the connection came in on an address that only this machine can reach, and not by a proxy."""
    server, client = scope.get("server"), scope.get("client")
    if any(name in sent for name in _PROXIED):
        return False
    return all(end is not None and is_loopback(str(end[0])) for end in (server, client))


def _shown_host(sent: Headers) -> str:
    """The Host header for the policy: only letters that end no directive."""
    host = sent.get("host", "")
    return host if host and all(sign.isalnum() or sign in ".-:[]" for sign in host) else "localhost"


def _closed() -> Response:
    return sign_in.refused(
        "Closed",
        "The rules for signing in can't be read. Whoever runs this Saltflat finds the reason in its log.",
        503,
    )
