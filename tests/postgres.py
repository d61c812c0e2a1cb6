"""A PostgreSQL server of the tests' own: in a temporary folder, on a free port of this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

_DEBIAN = Path("/usr/lib/postgresql")


def tools() -> Path:
    """Where `initdb` and `postgres` are; skips the test without them, unless a server is required."""
    places = [
        Path(found).resolve().parent for name in ("postgres", "initdb") if (found := shutil.which(name))
    ]
    places += sorted(_DEBIAN.glob("*/bin"), reverse=True)
    for place in places:
        if (place / "initdb").is_file() and (place / "postgres").is_file():
            return place
    if os.environ.get("SALTFLAT_REQUIRE_POSTGRES") == "1":
        pytest.fail("there is no PostgreSQL here, and SALTFLAT_REQUIRE_POSTGRES is 1")
    pytest.skip("there is no PostgreSQL here")


class Server:
    """A server that can be killed and started again; `address(name)` is that of a new, empty database."""

    def __init__(self):
        self._tools = tools()
        # Its server refuses to run as root; then it runs as the user that Debian's package makes.
        self._user = "postgres" if os.geteuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix="saltflat-postgres-"))
        if self._user:
            shutil.chown(self.folder, self._user)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._run(
            "initdb", "-D", self.folder / "data", "-U", "saltflat", "--auth=trust", "--no-sync", "-E", "UTF8"
        )
        self._process: subprocess.Popen | None = None
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": self.folder}
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        self._process = subprocess.Popen(
            [self._tools / "postgres", "-D", self.folder / "data", *arguments],
            user=self._user,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        import psycopg

        end = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self._url("postgres"), connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                assert time.monotonic() < end, "PostgreSQL did not start"
                time.sleep(0.1)

    def kill(self) -> None:
        """End it as a power cut would: every process of it at once, nothing is written any more."""
        import psutil

        children = psutil.Process(self._process.pid).children(recursive=True)
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()

    def close(self) -> None:
        """Stop it and remove its folder."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(timeout=60)
        shutil.rmtree(self.folder)

    def address(self, name: str) -> str:
        """The SQLAlchemy address of a new database."""
        import psycopg

        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self._url(name).replace("postgresql://", "postgresql+psycopg://")

    def _url(self, name: str) -> str:
        return f"postgresql://saltflat@127.0.0.1:{self.port}/{name}"

    def _run(self, tool: str, *arguments: object) -> None:
        done = subprocess.run(
            [self._tools / tool, *map(str, arguments)], user=self._user, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
