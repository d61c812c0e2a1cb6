from pathlib import Path

import pytest

from fvm_core import start_folder
from fvm_core.errors import SaltflatError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.setenv(start_folder.VARIABLE, str(tmp_path / "mine"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("x.csv", "mine/x.csv"),
        ("./a/../x.csv", "mine/x.csv"),
        ("../x.csv", "x.csv"),
        ("~/x.csv", "home/x.csv"),
        ("a b/ü.csv", "mine/a b/ü.csv"),
    ],
)
def test_relative_paths_begin_where_the_person_started(folder, typed, meant):
    assert start_folder.absolute(typed) == folder / meant
    assert start_folder.absolute_source(typed) == str(folder / meant)


def test_sources_that_are_no_paths(folder):
    assert start_folder.absolute_source("digits") == "digits"
    assert start_folder.absolute_source("") == ""
    assert start_folder.absolute_source("cifar10:data") == f"cifar10:{folder / 'mine' / 'data'}"
    assert start_folder.absolute_source(str(folder)) == str(folder)


def test_without_an_app_it_is_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.delenv(start_folder.VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    assert start_folder.absolute("x") == Path(tmp_path / "x")


@pytest.mark.parametrize("typed", ["a\0b", "~nobody-of-that-name/x"])
def test_what_can_be_no_path_is_told(folder, typed):
    with pytest.raises(SaltflatError, match="is no path that can be used"):
        start_folder.absolute(typed)
