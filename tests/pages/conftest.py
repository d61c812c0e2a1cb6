"""No screen may fail in a way that nobody foresaw, also after a click."""

import pytest

from ui.error_log import FILE


@pytest.fixture(autouse=True)
def nothing_unforeseen(own_workspace, tmp_path):
    """The app catches such errors, so a test has to look into the log."""
    yield
    log = tmp_path / "home" / FILE
    assert not log.exists(), log.read_text()
