"""What every answer tells the browser: what may run, who may frame it, what may be kept."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

import streamlit
from starlette.datastructures import MutableHeaders
from starlette.types import Message, Send

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: a form of ours would then be sent with "Origin: null".
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": (
        "accelerometer=(), browsing-topics=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), "
        "hid=(), magnetometer=(), microphone=(), midi=(), payment=(), serial=(), usb=(), "
        "xr-spatial-tracking=()"
    ),
}
_YEAR = "max-age=31536000"


def guarded(send: Send, scope: dict, host: str, keep_nothing: bool) -> Send:
    """A `send` that adds our headers to an answer; what the answer says itself about content stays.

    Args:
        send: the server's.
        scope: of the request.
        host: the Host header, checked.
        keep_nothing: whether browsers must not keep what they got (a sign-in is configured).
    """

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _ALWAYS.items():
                headers[name] = value
            headers.setdefault("Content-Security-Policy", _policy(scope["path"], host))
            if scope.get("scheme") == "https":
                headers["Strict-Transport-Security"] = _YEAR
            if keep_nothing and not scope["path"].startswith("/static/"):
                headers["Cache-Control"] = "no-store"
        await send(message)

    return sending


def _policy(path: str, host: str) -> str:
    """The content security policy: for media a sandbox, since an image may be an SVG with a script."""
    if path.startswith(("/media/", "/_stcore/")):
        return "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"
    return (
        "default-src 'none'; "
        f"script-src 'self' blob: {' '.join(_inline_scripts())}; "  # blob: the grid component
        "style-src 'self' 'unsafe-inline'; "  # the frontend styles its elements as it draws them
        "img-src 'self' data:; "
        "font-src 'self' data:; "
        # Safari does not take 'self' for WebSockets.
        f"connect-src 'self' ws://{host} wss://{host}; "
        "manifest-src 'self'; "
        "base-uri 'self'; "
        "form-action 'self'; "
        "frame-ancestors 'none'"
    )


@cache
def _inline_scripts() -> tuple[str, ...]:
    """Hashes of the scripts that Streamlit's page holds; no other script in a page runs."""
    page = Path(streamlit.__file__).with_name("static") / "index.html"
    scripts = re.findall(r"<script>(.*?)</script>", page.read_text(encoding="utf-8"), re.DOTALL)
    return tuple(source_hash(script) for script in scripts)


def source_hash(text: str) -> str:
    """A script or style as a source of a content security policy."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
