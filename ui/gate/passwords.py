"""Signing in with a shared password: the form's POST, the limits on tries, the cookie."""

from __future__ import annotations

import asyncio
import logging
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from fvm_core.access.attempts import Attempts
from fvm_core.access.passwords import role_with
from fvm_core.access.people import Person, checked_name
from fvm_core.access.rules import Rules
from fvm_core.errors import SaltflatError
from fvm_core.workspace import Workspace
from ui.gate import sign_in, tickets

_log = logging.getLogger("saltflat.access")

LARGEST = 16_384
"""Bytes of a form."""


class PasswordSignIn:
    """Answers the form; knows how often which address was wrong."""

    def __init__(self, attempts: Attempts | None = None) -> None:
        self._attempts = attempts or Attempts()
        self._one_at_a_time = asyncio.Lock()  # each takes 64 MiB and all cores

    async def answer(self, request: Request, rules: Rules, workspace: Workspace) -> Response:
        """Let somebody in whose password is right, with a cookie for their session."""
        body = await _body(request)
        if body is None or not _is_form(request):
            return PlainTextResponse("This is not the sign-in form.", 400)
        fields = _fields(body)
        way, typed = sign_in.safe_way(fields.get("next", "/")), fields.get("name", "")
        try:
            name = checked_name(typed)
        except SaltflatError as problem:
            return sign_in.form(rules, way, str(problem), 400, typed[:200])
        address = request.client.host if request.client else ""
        if wait := self._attempts.begin(address):
            message = f"Too many wrong passwords. Try again in {wait} s."
            answer = sign_in.form(rules, way, message, 429, name)
            answer.headers["Retry-After"] = str(wait)
            return answer
        async with self._one_at_a_time:
            role = await run_in_threadpool(role_with, rules, fields.get("password", ""))
        if role is None:
            _log.warning("Wrong password from %s", address)
            return sign_in.form(rules, way, "The password is not right.", 401, name)
        self._attempts.right(address)
        try:
            token = tickets.sessions(workspace).open(Person(name, role), rules)
        except SaltflatError as problem:
            return sign_in.form(rules, way, str(problem), 500, name)
        answer = RedirectResponse(way, 303)
        secure = request.url.scheme == "https"
        answer.set_cookie(
            tickets.SECURE if secure else tickets.PLAIN,
            token,
            max_age=int(3600 * rules.session_hours),
            httponly=True,
            samesite="strict",
            secure=secure,
        )
        return answer


def forget(answer: Response) -> None:
    """Have the browser throw its cookies away."""
    answer.delete_cookie(tickets.PLAIN, httponly=True, samesite="strict")
    answer.delete_cookie(tickets.SECURE, httponly=True, samesite="strict", secure=True)


def _is_form(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/x-www-form-urlencoded"


async def _body(request: Request) -> bytes | None:
    """The whole body, None if it is larger than any sign-in form."""
    found = b""
    async for part in request.stream():
        found += part
        if len(found) > LARGEST:
            return None
    return found


def _fields(body: bytes) -> dict[str, str]:
    try:
        found = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        return {}
    return {name: values[0] for name, values in found.items()}
