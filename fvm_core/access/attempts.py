"""Wrong passwords cost time: for the address they come from, and for everybody together."""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

FREE = 3
"""Wrong passwords of one address without a wait."""
LONGEST = 900.0
"""Seconds that one address waits at most after a wrong password."""
FREE_TOGETHER = 40
"""Wrong passwords of all addresses within `WINDOW` without a wait for everybody."""
LONGEST_TOGETHER = 30.0
WINDOW = 900.0
_ADDRESSES = 10_000


@dataclass
class _Record:
    failures: int = 0
    last: float = 0.0


class Attempts:
    """Counts wrong passwords and says how long the next try has to wait.

    Args:
        now: the clock, in seconds; it must not go back.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._records: OrderedDict[str, _Record] = OrderedDict()
        self._together: deque[float] = deque()

    def begin(self, address: str) -> int:
        """Take a try for `address`: 0 if it may go on, else the whole seconds that it has to wait.

        The try counts as wrong from now on, until `right` says otherwise, so that many at once
        are no way around the count.
        """
        key = _network(address)
        with self._lock:
            now = self._now()
            while self._together and self._together[0] <= now - WINDOW:
                self._together.popleft()
            wait = max(self._wait_alone(key, now), self._wait_together(now))
            if wait > 0:
                return math.ceil(wait)
            record = self._records.setdefault(key, _Record())
            record.failures, record.last = record.failures + 1, now
            self._records.move_to_end(key)
            while len(self._records) > _ADDRESSES:
                self._records.popitem(last=False)
            self._together.append(now)
            return 0

    def right(self, address: str) -> None:
        """The password was right: nothing counts against the address."""
        with self._lock:
            self._records.pop(_network(address), None)
            if self._together:
                self._together.pop()

    def _wait_alone(self, key: str, now: float) -> float:
        record = self._records.get(key)
        if record is None or record.failures < FREE:
            return 0.0
        if now - record.last > 2 * LONGEST:
            del self._records[key]
            return 0.0
        return record.last + min(2.0 ** (record.failures - FREE + 1), LONGEST) - now

    def _wait_together(self, now: float) -> float:
        surplus = len(self._together) - FREE_TOGETHER
        if surplus < 0:
            return 0.0
        return self._together[-1] + min(2.0 ** (surplus / 4), LONGEST_TOGETHER) - now


def _network(address: str) -> str:
    """Whom an address belongs to: one host gets 2⁶⁴ addresses of IPv6 at once."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if found.version == 6:
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
