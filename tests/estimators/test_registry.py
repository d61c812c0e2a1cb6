"""Estimators by name, from files and from installed packages."""

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from fvm_core.config import RunConfig
from fvm_core.data.dataset import DatasetSpec
from fvm_core.errors import SaltflatError
from fvm_core.estimators import catalogue, registry

OWN = """
from fvm_core.estimators import LogitEstimator, Setting


class Doubt(LogitEstimator):
    "1 minus the probability of the label."

    name, title, suspicious = "doubt", "Doubt", "high"
    needs = frozenset({"tuned"})
    settings = (Setting("sharpness", 2.0, "Sharpness", "Exponent of the doubt.", least=0),)

    @staticmethod
    def of_logits(logits):
        return 1 - logits.softmax(1)
"""


def written(folder, text=OWN, name="own.py"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def options(**values):
    return RunConfig.from_options(DatasetSpec("digits"), DatasetSpec("digits", split="val"), values)


def test_names_costs_and_settings_are_known_without_torch():
    code = (
        "import sys; from fvm_core.estimators import catalogue, registry; catalogue.rows(); "
        "print(len(registry.names()), 'torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.split() == [str(len(registry.names())), "False"]


def test_a_class_of_a_file(tmp_path, monkeypatch):
    path = written(tmp_path)
    kind = registry.find(f"{path}:Doubt")
    assert (kind.name, kind.title, kind.relabels) == ("doubt", "Doubt", True)
    assert registry.find(f"{path}:Doubt") is kind
    monkeypatch.chdir(tmp_path)
    assert registry.find("own.py:Doubt") is kind
    assert options(estimator=["fvm", "own.py:Doubt"]).compare.estimators == (f"{path}:Doubt",)
    # A file that was changed is another one.
    path.write_text(OWN.replace('"Doubt", "high"', '"More doubt", "high"'), encoding="utf-8")
    assert registry.find("own.py:Doubt").title == "More doubt"


FAULTS = {
    "a class that is not there": ("", "Other", r"has no Other; estimators there: Doubt\."),
    "no estimator": ("\nOther = 3\n", "Other", "no subclass of fvm_core"),
    "a name that is taken": ("\nDoubt.name = 'loss'\n", "Doubt", "called 'loss', which is taken"),
    "a name that no file can have": ("\nDoubt.name = '../x'\n", "Doubt", "a name has small letters"),
    "no name": ("\ndel Doubt.name\n", "Doubt", "doesn't declare name"),
    "no title": ("\ndel Doubt.title\n", "Doubt", "doesn't declare title"),
    "another end": ("\nDoubt.suspicious = 'up'\n", "Doubt", "say high or low"),
    "a syntax error": ("\nx = = 1\n", "Doubt", r"own\.py:\d+ can't be loaded: SyntaxError"),
    "an error on import": ("\n1 / 0\n", "Doubt", r"own\.py:16 can't be loaded: ZeroDivisionError"),
    "a method that is missing": ("\nclass Half(LogitEstimator):\n    name = title = 'half'\n    "
        "suspicious = 'low'\n    needs = frozenset({'tuned'})\n", "Half", "lacks the method of_logits"),
    "a setting that is taken": ("\nDoubt.settings = (Setting('folds', 3, 'F', 'F.'),)\n", "Doubt",
        "setting folds, which another"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_that_brings_no_estimator_is_told(tmp_path, fault):
    text, name, message = FAULTS[fault]
    path = written(tmp_path, OWN + text)
    with pytest.raises(SaltflatError, match=message):
        registry.find(f"{path}:{name}")


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(SaltflatError, match=r"none\.py can't be read"):
        registry.find(f"{tmp_path / 'none.py'}:Doubt")
    with pytest.raises(SaltflatError, match=r"no estimator `none\.py`.*path/to/file\.py:Class"):
        registry.find("none.py")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Bring a module's class by an entry point, as an installed package does."""

    def bring(name, text=OWN, attribute="Doubt"):
        written(tmp_path, text, "brought.py")
        monkeypatch.syspath_prepend(tmp_path)
        point = EntryPoint(name, f"brought:{attribute}", registry.GROUP)
        monkeypatch.setattr(registry, "entry_points", lambda group: [point])
        registry.installed.cache_clear()
        registry._from_package.cache_clear()

    yield bring
    registry.installed.cache_clear()
    registry._from_package.cache_clear()
    sys.modules.pop("brought", None)


def test_an_installed_package_brings_one(package):
    package("doubt")
    assert registry.names()[-1] == "doubt"
    assert "brought" not in sys.modules  # known by name, not loaded
    assert registry.find("doubt").title == "Doubt"
    assert ("doubt", "Doubt", "high") in {row[:3] for row in catalogue.rows()}
    config = RunConfig.from_dict(
        {
            **options(estimator=["fvm", "doubt"]).to_dict(),
            "compare": {"estimators": ["doubt"], "sharpness": 3},
        }
    )
    assert config.compare.settings == {"sharpness": 3.0}
    with pytest.raises(SaltflatError, match=r"`compare\.sharpness` is -1\.0; it must be at least 0"):
        RunConfig.from_dict({**config.to_dict(), "compare": {"estimators": ["doubt"], "sharpness": -1}})


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("other", OWN, "entry point and class need the same name"),
        ("doubt", "1 / 0", "can't be loaded: ZeroDivisionError"),
        ("doubt", "Doubt = 3", "no subclass"),
    ],
)
def test_a_package_that_brings_none_is_told(package, name, text, message):
    package(name, text)
    with pytest.raises(SaltflatError, match=message):
        registry.find(name)
    found, faults = registry.loadable()  # which lists show without it
    assert name not in found and list(faults) == [name]
    assert faults[name] == catalogue.lines()[-1]


def test_settings_of_estimators_in_a_file_of_settings():
    base = options().to_dict()
    config = RunConfig.from_dict({**base, "compare": {"members": 8, "lissa_depth": 20}})
    assert config.compare.settings == {"members": 8, "lissa_depth": 20}
    assert config.to_dict()["compare"]["members"] == 8
    assert RunConfig.from_dict(config.to_dict()) == config
    for values, message in [
        ({"members": 1}, "`compare.members` is 1; it must be at least 2"),
        ({"members": 2.5}, "a whole number"),
        ({"lissa_damping": 1.0}, "must be below 1"),
        ({"lissa_matrix": "fisher"}, "choose one of: gauss_newton, hessian"),
        ({"membres": 3}, r"Unknown setting `compare\.membres`; known here: .*members.*planted"),
        ({"settings": {"members": 3}}, r"Unknown setting `compare\.settings`"),
    ]:
        with pytest.raises(SaltflatError, match=message):
            RunConfig.from_dict({**base, "compare": values})
