from concurrent.futures import ThreadPoolExecutor

import pytest

from fvm_core.access.attempts import FREE, FREE_TOGETHER, LONGEST, WINDOW, Attempts


class Clock:
    now = 5000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def fail(attempts: Attempts, clock: Clock, address: str) -> int:
    """One more wrong password, as soon as it is let through; returns the wait before it."""
    wait = attempts.begin(address)
    clock.now += wait
    assert wait == 0 or attempts.begin(address) == 0
    return wait


def test_the_wait_doubles_and_has_an_end(clock):
    attempts = Attempts(clock)
    waits = [fail(attempts, clock, "10.0.0.1") for _ in range(FREE + 14)]
    assert waits[:FREE] == [0] * FREE
    assert waits[FREE : FREE + 6] == [2, 4, 8, 16, 32, 64]
    assert waits[-1] == LONGEST


def test_a_right_password_forgives_and_time_does(clock):
    attempts = Attempts(clock)
    for _ in range(FREE + 2):
        fail(attempts, clock, "10.0.0.1")
    assert attempts.begin("10.0.0.1") > 0
    clock.now += 2 * LONGEST + 1
    assert attempts.begin("10.0.0.1") == 0
    attempts.right("10.0.0.1")
    assert [attempts.begin("10.0.0.1") for _ in range(FREE)] == [0] * FREE


@pytest.mark.parametrize(
    "same",
    [
        ("10.0.0.1", "::ffff:10.0.0.1"),
        ("2001:db8::1", "2001:db8::ffff:2"),
        ("fe80::1%eth0", "fe80::1%eth1"),
    ],
)
def test_one_host_is_one_address(clock, same):
    attempts = Attempts(clock)
    for turn in range(FREE):
        assert attempts.begin(same[turn % 2]) == 0
    assert attempts.begin(same[0]) > 0 and attempts.begin(same[1]) > 0
    assert attempts.begin("10.9.9.9") == 0


def test_many_addresses_together_wait_too(clock):
    attempts = Attempts(clock)
    for number in range(FREE_TOGETHER):
        assert attempts.begin(f"10.1.{number}.1") == 0
    assert attempts.begin("10.2.0.1") > 0
    clock.now += WINDOW + 1
    assert attempts.begin("10.2.0.1") == 0


def test_tries_at_the_same_time_are_all_counted(clock):
    attempts = Attempts(clock)
    with ThreadPoolExecutor(16) as pool:
        waits = list(pool.map(lambda _: attempts.begin("10.0.0.1"), range(64)))
    assert waits.count(0) == FREE
