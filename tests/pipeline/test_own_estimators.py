"""Somebody's own scores in a run: beside the others, with settings, and what becomes of their faults."""

from dataclasses import replace

import numpy as np
import pytest

from fvm_core.comparison.results import descriptions, read_result
from fvm_core.config import CompareConfig
from fvm_core.errors import SaltflatError
from fvm_core.pipeline.preflight import checked
from fvm_core.pipeline.prepare import open_data
from fvm_core.pipeline.runner import execute
from fvm_core.runs.run_folder import RunFolder
from tests.cases import tiny_config

SCORES = '''
import torch
from fvm_core.estimators import Estimator, LogitEstimator, Setting


class Distance(Estimator):
    """Distance to the mean image of the label's class, to a power."""

    name, title, suspicious, cost = "distance", "Distance to the class", "high", "none"
    needs = frozenset({"theta_star", "training_set"})
    settings = (Setting("power", 1.0, "Power", "Of the distance.", least=0),)

    def __init__(self, model, power):
        self.power = power

    @classmethod
    def options(cls, config):
        return {"power": cls.value(config, "power")}

    def fit(self, training=None, validation=None, *, progress=None):
        images = torch.cat([part for part, _ in training]).flatten(1)
        labels = torch.cat([part for _, part in training])
        self.means = torch.stack([images[labels == k].mean(0) for k in range(int(labels.max()) + 1)])
        return self

    def state(self):
        return {"means": self.means}

    def restore(self, state):
        self.means = state["means"]

    def score(self, images, labels):
        return (images.flatten(1) - self.means[labels]).norm(dim=1) ** self.power


class Costly(Distance):
    name = "costly"
    settings = ()

    @classmethod
    def options(cls, config):
        return {"power": 1.0}

    @classmethod
    def phases(cls, sizes):
        return {"scoring": sizes.samples}


class Short(Costly):
    name, title = "short", "Short"
    phases = Estimator.phases

    def score(self, images, labels):
        return super().score(images, labels)[1:]


class Wrong(LogitEstimator):
    name, title, suspicious = "wrong", "Wrong labels", "low"
    needs = frozenset({"tuned"})

    @staticmethod
    def of_logits(logits):
        raise TypeError("not today")


class Failing(Distance):
    name, title, settings = "failing", "One that fails", ()

    def __init__(self, model, power=1.0):
        super().__init__(model, power)

    @classmethod
    def options(cls, config):
        return {}

    def score(self, images, labels):
        raise ValueError("no such thing")
'''


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "scores.py"
    path.write_text(SCORES, encoding="utf-8")
    return path


def config_with(file, *names, **settings):
    compare = CompareConfig(estimators=tuple(f"{file}:{name}" for name in names), settings=settings)
    return replace(tiny_config(), compare=compare)


def test_they_stand_beside_the_others(file, tmp_path, monkeypatch):
    run = execute(RunFolder.create(tmp_path / "run", config_with(file, "Failing", "Distance", power=2)))
    assert run.finished
    found = {one.name: one for one in descriptions(run.path)}
    about = found["distance"]
    assert about.title == "Distance to the class"
    assert about.settings == {"power": 2.0, "from": f"{file}:Distance"}
    assert not about.relabels and not about.external and about.trained_only
    table = read_result(run.path, "distance")
    assert len(table) == run.info["samples"] and np.isfinite(table["value"]).all()
    assert "suggested_label" not in table
    assert "failing" not in found
    (reason,) = run.info["stages"]["compare"]["failed"].values()
    assert reason.startswith("ValueError: no such thing") and f"{file}:" in reason
    # Added to a run that is finished, with the same values.
    plain = execute(RunFolder.create(tmp_path / "plain", replace(run.config, compare=CompareConfig())))
    with pytest.raises(SaltflatError, match="no Other"):
        plain.add_estimators([f"{file}:Other"])
    assert plain.finished and plain.config.compare.estimators == ()
    monkeypatch.chdir(tmp_path)
    plain.add_estimators(["scores.py:Distance"])
    monkeypatch.chdir("/")  # where the worker may be
    assert plain.config.compare.estimators == (f"{file}:Distance",)
    execute(plain)
    first = read_result(plain.path, "distance")["value"].to_numpy()
    np.testing.assert_allclose(first**2, table["value"], rtol=1e-5)


def test_one_that_fails_takes_no_other_with_it(file, tmp_path):
    config = config_with(file, "Wrong", "Short")
    names = ("tuned_margin", *config.compare.estimators, "margin")
    config = replace(config, compare=replace(config.compare, estimators=names))
    run = execute(RunFolder.create(tmp_path / "run", config))
    assert {"tuned_margin", "margin"} <= {one.name for one in descriptions(run.path)}
    failed = run.info["stages"]["compare"]["failed"]
    assert set(failed) == {"wrong", "short"}
    assert "TypeError: not today" in failed["wrong"]
    assert "Short gave values" in failed["short"] and "samples; give (" in failed["short"]


def test_what_cannot_be_is_told_before_a_run_has_a_folder(file):
    train, val = open_data(tiny_config())
    with pytest.raises(SaltflatError, match=r"scores\.py has no Other"):
        checked(config_with(file, "Other"), train, val)
    with pytest.raises(SaltflatError, match=r"Unknown setting `compare\.powr`; known here: .*power"):
        checked(config_with(file, "Distance", powr=2.0), train, val)
    with pytest.raises(SaltflatError, match=r"`compare\.power` is -1\.0; it must be at least 0"):
        checked(config_with(file, "Distance", power=-1), train, val)
    with pytest.raises(SaltflatError, match=r"can't say what it takes: AttributeError: .*samples"):
        checked(config_with(file, "Costly"), train, val)
    other = file.with_name("again.py")
    other.write_text(SCORES, encoding="utf-8")
    config = config_with(file, "Distance")
    twice = (*config.compare.estimators, f"{other}:Distance")
    with pytest.raises(SaltflatError, match="Two of the estimators are called distance"):
        checked(replace(config, compare=replace(config.compare, estimators=twice)), train, val)


def test_a_file_that_is_gone_is_told_when_the_run_goes_on(file, tmp_path):
    run = RunFolder.create(tmp_path / "run", config_with(file, "Distance"))
    file.unlink()
    with pytest.raises(SaltflatError, match=r"scores\.py can't be read"):
        execute(run)
    file.write_text(SCORES, encoding="utf-8")
    assert execute(run).finished
    # Gone when all but the scores is done: the run is finished without it, and has it once it is asked for again.
    run.add_estimators([f"{file}:Short", "margin"])
    file.unlink()
    assert execute(run).finished
    assert "can't be read" in run.info["stages"]["compare"]["failed"][f"{file}:Short"]
    assert "margin" in {one.name for one in descriptions(run.path)}
    file.write_text(SCORES.replace("(images, labels)[1:]", "(images, labels)"), encoding="utf-8")
    run.add_estimators([f"{file}:Short"])
    execute(run)
    assert run.info["stages"]["compare"]["failed"] == {}
    assert "short" in {one.name for one in descriptions(run.path)}
