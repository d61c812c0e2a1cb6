"""A folder that is called like the demo is somebody's own."""

from fvm_core.cli.run_commands import _settings
from fvm_core.data import DatasetSpec, load_dataset, open_spec
from fvm_core.start_folder import absolute_source

from .images import picture


def test_a_folder_named_digits_is_not_hidden_by_the_demo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(load_dataset("digits")) == 1200 and absolute_source("digits") == "digits"
    for name in ("one", "two"):
        (tmp_path / "digits" / name).mkdir(parents=True)
        picture(1).save(tmp_path / "digits" / name / "x.png")
    assert load_dataset("digits").classes == ("one", "two")
    assert absolute_source("digits") == str(tmp_path / "digits")
    given = dict.fromkeys(_settings.__globals__["OPTIONS"]) | {"config": None, "estimator_settings": {}}
    settings = _settings({**given, "train": "digits", "val": "digits"})
    assert settings.train_data.source == str(tmp_path / "digits")
    assert len(open_spec(DatasetSpec("digits"))) == 1200  # as the demo's runs have written it
