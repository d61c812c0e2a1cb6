"""Whether an address can be reached from this machine only."""

from __future__ import annotations

import ipaddress
import socket


def is_loopback(address: str) -> bool:
    """Whether an address or a name of this machine can be reached from this machine only."""
    try:
        found = [ipaddress.ip_address(address.partition("%")[0])]
    except ValueError:
        if not address:
            return False
        try:
            entries = socket.getaddrinfo(address, None)
        except (OSError, UnicodeError):
            return False
        found = [ipaddress.ip_address(entry[4][0].partition("%")[0]) for entry in entries]
    return all((getattr(one, "ipv4_mapped", None) or one).is_loopback for one in found)
