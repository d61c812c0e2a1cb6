import socket

import pytest

from fvm_core.cli.serve import _own_names, serve
from fvm_core.errors import SaltflatError


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
