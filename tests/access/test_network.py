import pytest

from fvm_core.access.network import is_loopback


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1", "localhost"])
def test_this_machine_only(address):
    assert is_loopback(address)


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "::", "", "0", "10.0.0.1", "169.254.1.1", "fe80::1%eth0", "::ffff:10.0.0.1"),
        *("nowhere.invalid", "127.0.0.1.nowhere.invalid", "/run/app.sock"),
    ],
)
def test_everything_else(address):
    assert not is_loopback(address)
