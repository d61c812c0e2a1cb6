"""`saltflat run --help` names the default of every option, and it is the one that a run takes."""

import re

import pytest
import typer

from fvm_core.cli.commands import application
from fvm_core.cli.defaults import OPEN_DEFAULTS
from fvm_core.cli.estimator_options import given_settings
from fvm_core.config import OPTIONS, RunConfig
from fvm_core.data.dataset import DatasetSpec
from fvm_core.errors import SaltflatError
from fvm_core.estimators import registry

DATA = DatasetSpec("digits")
COMMAND = typer.main.get_command(application).commands["run"]
PARAMETERS = {parameter.name: parameter for parameter in COMMAND.params if parameter.name != "out"}


def default_of(place):
    value = RunConfig(DATA, DATA)
    for part in place.split("."):
        value = getattr(value, part)
    return value


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_option_says_its_default(name):
    shown = PARAMETERS[name].show_default
    assert isinstance(shown, str) and shown
    if name in OPTIONS and OPTIONS[name] not in OPEN_DEFAULTS:
        value = default_of(OPTIONS[name])
        words = {True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else value
        assert shown == (f"{words:g}" if isinstance(words, float) else str(words))


@pytest.mark.parametrize("name", registry.settings())
def test_settings_of_estimators_are_options_with_their_defaults(name):
    one, option = registry.settings()[name], PARAMETERS[name]
    assert option.opts == ["--" + name.replace("_", "-")]
    assert option.show_default == (f"{one.default:g}" if isinstance(one.default, float) else str(one.default))
    assert all(choice in option.help for choice, _words in one.choices)


def test_settings_of_ones_own_estimators():
    found = given_settings(["power=2", "rate=0.5", "deep=true", "kind=a=b"])
    assert found == {"power": 2, "rate": 0.5, "deep": True, "kind": "a=b"}
    for text in ("power", "=3", "two words=3"):
        with pytest.raises(SaltflatError, match="has not the form NAME=VALUE"):
            given_settings([text])


def test_only_open_settings_are_described_in_words():
    empty = (None, "", 0, ())
    assert {place: default_of(place) for place in OPEN_DEFAULTS if default_of(place) not in empty} == {}
    assert [
        place for place in OPTIONS.values() if default_of(place) is None and place not in OPEN_DEFAULTS
    ] == []


def test_the_help_shows_them(monkeypatch):
    from typer.testing import CliRunner

    text = CliRunner().invoke(application, ["run", "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output
    found = re.findall(r"\[default: \(", text)
    assert len(found) == len(PARAMETERS)
