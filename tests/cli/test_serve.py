import inspect
import os
import socket
from pathlib import Path

import pytest

from fvm_core import start_folder
from fvm_core.access import places, rules
from fvm_core.access.rules import Oidc, Rules
from fvm_core.cli import commands
from fvm_core.cli import serve as module
from fvm_core.cli.serve import _own_names, serve
from fvm_core.errors import SaltflatError
from tests.cli.test_commands import call


def test_only_names_of_this_machine_are_let_in():
    assert _own_names("127.0.0.1") == {"127.0.0.1"}
    assert _own_names("::1") == {"[::1]"}
    everywhere = _own_names("0.0.0.0")
    assert {socket.gethostname(), "127.0.0.1"} <= everywhere
    assert "*" not in everywhere


def test_a_taken_port_is_told():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SaltflatError, match=f"Port {port} on 127.0.0.1 can't be used"):
            serve("127.0.0.1", port)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "nowhere.invalid", "0", ""])
def test_without_a_sign_in_no_other_machine_is_let_in(workspace, monkeypatch, host):
    monkeypatch.setattr("uvicorn.run", lambda *_given, **_named: pytest.fail("it was served"))
    with pytest.raises(SaltflatError, match="saltflat password") as fault:
        serve(host, 8501)
    assert str(rules.path_of(workspace)) in str(fault.value)
    with pytest.raises(SaltflatError, match="saltflat password"):
        call("app", "--host", host)


def served_with(monkeypatch, *given: object) -> dict:
    """What uvicorn is told."""
    found = {}
    monkeypatch.setattr("uvicorn.run", lambda _app, **named: found.update(named))
    monkeypatch.chdir(Path.cwd())
    for name in (start_folder.VARIABLE, places.REACHABLE, "SALTFLAT_ALLOWED_HOSTS"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(module, "_free", lambda _host, _port: None)
    serve(*given)
    return found


@pytest.mark.parametrize(
    "given",
    [
        Rules(passwords={"reviewer": "$argon2id$x"}, proxies=("10.0.0.7",)),
        Rules(oidc=Oidc({"owner": ("ada@example.org",)})),
    ],
)
def test_with_a_sign_in_it_is_served(workspace, monkeypatch, given):
    rules.write(workspace, given)
    started_in = Path.cwd()
    found = served_with(monkeypatch, "0.0.0.0", 8501)
    assert found["host"] == "0.0.0.0"
    assert found["access_log"] is False and found["server_header"] is False
    assert (found["proxy_headers"], found["forwarded_allow_ips"]) == (
        bool(given.proxies),
        list(given.proxies),
    )
    assert os.environ[places.REACHABLE] == "1"
    assert os.environ[start_folder.VARIABLE] == str(started_in)


def test_this_machine_only_is_the_default(workspace, monkeypatch):
    found = served_with(monkeypatch, "127.0.0.1", 8501)
    assert (found["host"], found["proxy_headers"]) == ("127.0.0.1", False)
    assert os.environ[places.REACHABLE] == "0"
    assert inspect.signature(commands.app).parameters["host"].default == "127.0.0.1"


def test_https_needs_both_files(workspace, tmp_path):
    (tmp_path / "cert.pem").write_text("x")
    with pytest.raises(SaltflatError, match="--cert and --key"):
        serve("127.0.0.1", 8501, tmp_path / "cert.pem")
    with pytest.raises(SaltflatError, match="none"):
        serve("127.0.0.1", 8501, tmp_path / "cert.pem", tmp_path / "none.pem")
