import pytest
from argon2 import PasswordHasher

from fvm_core.access import passwords


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch):
    """Real argon2id, with less memory and time than it should have."""
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    passwords._nobodys_hash.cache_clear()
    yield
    passwords._nobodys_hash.cache_clear()
