"""`POST /saltflat/decisions`: takes decisions from the browser, whatever screen the person is on.

The body is `{"commands": […], "watch": {"run", "rows", "reviewer", "filter"}}`, all may be left out. The
answer is `{"results": [{"key", "outcome", "reason"}], "watch": {…}}`, results in the order of the commands,
where `outcome` is

    done      on disk
    refused   never carried out, for the reason
    parked    not for this server or this person: the browser keeps it
    later     the database can't take it now: the browser keeps it and tries again

No script of a screen has to run for that, so a decision is on disk milliseconds after the key.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from fvm_core.access.people import NotSignedIn

PATH = "/saltflat/decisions"
MOST_BYTES = 2_000_000
MOST_COMMANDS = 200


def route(signed_in: Callable[[Request], str | None]) -> Route:
    """The route; `signed_in` names the person of a request where there is a sign-in."""

    async def take(request: Request) -> JSONResponse:
        if request.headers.get("content-type", "").split(";")[0] != "application/json":
            return _wrong("Decisions come as application/json.", 415)
        body = await _body(request)
        if body is None:
            return _wrong(f"Decisions come in at most {MOST_BYTES:,} bytes.", 413)
        try:
            asked = json.loads(body)
        except ValueError:
            asked = None
        if not isinstance(asked, dict) or not isinstance(asked.get("commands", []), list):
            return _wrong("The body is no list of commands.", 400)
        if len(asked.get("commands", [])) > MOST_COMMANDS:
            return _wrong(f"At most {MOST_COMMANDS} commands come at once.", 413)
        try:
            person = signed_in(request)
        except NotSignedIn as error:
            return _wrong(str(error), 401)
        # Imported here: what keeps results finds the running server then, not at its start.
        from ui.decision_answers import answer

        told, status = await run_in_threadpool(answer, asked, person)
        return JSONResponse(told, status)

    return Route(PATH, take, methods=["POST"])


async def _body(request: Request) -> bytes | None:
    """The body, None as soon as it is too long, whatever its header says."""
    parts, length = [], 0
    async for part in request.stream():
        length += len(part)
        if length > MOST_BYTES:
            return None
        parts.append(part)
    return b"".join(parts)


def _wrong(reason: str, status: int) -> JSONResponse:
    return JSONResponse({"results": [], "reason": reason}, status)
