"""A small OIDC provider on this machine: discovery, authorisation code, token, keys."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "saltflat-test", "client-secret-of-the-test"


class Provider:
    """Signs everybody in as `claims` says, without asking.

    Attributes:
        address: of the provider.
        claims: of the person who signs in next.
        key: that ID tokens are signed with; `published` is the one that it tells the world.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.claims: dict = {}
        self.published = self.key = RSAKey.generate_key(2048, {"kid": "one"})
        self.nonces: dict[str, str] = {}

    def discovery(self) -> dict:
        """What is found under /.well-known/."""
        return {
            "issuer": self.address,
            "authorization_endpoint": f"{self.address}/authorize",
            "token_endpoint": f"{self.address}/token",
            "jwks_uri": f"{self.address}/keys",
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
        }

    def back(self, asked: dict[str, str]) -> str:
        """Where the browser is sent with its code."""
        code = f"code-{len(self.nonces)}"
        self.nonces[code] = asked["nonce"]
        return asked["redirect_uri"] + "?" + urlencode({"code": code, "state": asked["state"]})

    def tokens(self, code: str) -> dict:
        """What the code is exchanged for."""
        now = int(time.time())
        claims = {
            "iss": self.address,
            "aud": CLIENT,
            "sub": "1",
            "iat": now,
            "exp": now + 600,
            "nonce": self.nonces.pop(code),
            **self.claims,
        }
        token = jwt.encode({"alg": "RS256", "kid": "one"}, claims, self.key)
        return {"access_token": "x", "token_type": "Bearer", "expires_in": 600, "id_token": token}


@contextmanager
def provider() -> Iterator[Provider]:
    """The provider while it is served."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            split = urlsplit(self.path)
            if split.path == "/authorize":
                asked = {name: values[0] for name, values in parse_qs(split.query).items()}
                self.send_response(302)
                self.send_header("Location", found.back(asked))
                self.end_headers()
                return
            keys = {"keys": [found.published.as_dict(private=False)]}
            self._answer(keys if split.path == "/keys" else found.discovery())

        def do_POST(self) -> None:
            body = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self._answer(found.tokens(body["code"][0]))

        def _answer(self, content: dict) -> None:
            data = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_given: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        found = Provider(f"http://127.0.0.1:{served.server_address[1]}")
        Thread(target=served.serve_forever, daemon=True).start()
        yield found
        served.shutdown()
