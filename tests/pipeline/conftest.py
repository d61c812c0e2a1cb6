import pytest

from fvm_core.pipeline.runner import start


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A workspace for all runs of a module."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def started(home, tmp_path_factory):
    """Makes a run in that workspace."""

    def make(sets, **options):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SALTFLAT_HOME", str(home))
            return start(*sets, out=tmp_path_factory.mktemp("run") / "run", **options)

    return make
