from tests.ui.gate.conftest import quick_hashes  # noqa: F401 (a fixture)
