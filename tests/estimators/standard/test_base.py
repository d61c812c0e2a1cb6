"""What all estimators declare, and what they refuse."""

from typing import get_args

import pytest
import torch

from fvm_core.errors import SaltflatError
from fvm_core.estimators.standard import ESTIMATORS, Estimator
from fvm_core.estimators.standard.base import Need
from fvm_core.estimators.standard.influence import DataInfInfluence, EKFACInfluence, LiSSAInfluence
from fvm_core.estimators.standard.lissa import LiSSA
from fvm_core.estimators.standard.probes import ProbedDataInf
from fvm_core.estimators.standard.tracin import Checkpoint, TracIn
from tests.estimators.standard.cases import batched, linear


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_estimator_declares_itself(name):
    estimator = ESTIMATORS[name]
    assert estimator.name == name
    assert estimator.title
    assert estimator.cost
    assert estimator.suspicious in ("high", "low")
    assert estimator.needs <= set(get_args(Need))
    assert estimator.needs
    assert estimator.relabels


def test_titles_tell_estimators_apart():
    assert len({estimator.title for estimator in ESTIMATORS.values()}) == len(ESTIMATORS)


def test_suspicion_is_large_where_the_declared_end_is():
    raw = torch.tensor([-2.0, 0.0, 3.0])
    model, _training, _validation = linear()
    assert torch.equal(LiSSAInfluence(model).suspicion(raw), -raw)
    assert torch.equal(ProbedDataInf(model).suspicion(raw), raw)


def test_an_estimator_that_does_not_relabel_says_so():
    class Alone(Estimator):
        title = "Alone"

        def score(self, images, labels):
            return torch.zeros(len(images))

    with pytest.raises(SaltflatError, match="Alone gives no values for other labels"):
        Alone().score_labels(torch.zeros(2, 3))


BUILDERS = {
    "lissa": lambda model: LiSSAInfluence(model, depth=5),
    "datainf": DataInfInfluence,
    "ekfac": EKFACInfluence,
    "tracin": lambda model: TracIn(model, [Checkpoint(model.state_dict(), 0.1)]),
    "probed_datainf": ProbedDataInf,
}


@pytest.fixture(params=BUILDERS)
def estimator(request):
    return BUILDERS[request.param](linear()[0])


def test_missing_sets_and_a_missing_fit_are_told(estimator):
    _model, training, validation = linear()
    with pytest.raises(SaltflatError, match=r"call fit\(\)"):
        estimator.score(*validation)
    with pytest.raises(SaltflatError, match="validation set"):
        estimator.fit(batched(training, 8), None)
    with pytest.raises(SaltflatError, match="iterated only once"):
        estimator.fit(batched(training, 8), iter(batched(validation, 8)))
    with pytest.raises(SaltflatError, match="validation set is empty"):
        estimator.fit(batched(training, 8), [])
    if "training_set" in estimator.needs:
        with pytest.raises(SaltflatError, match="training set"):
            estimator.fit(None, batched(validation, 8))
    model = estimator.model.train()
    with pytest.raises(SaltflatError, match="training mode"):
        estimator.fit(batched(training, 8), batched(validation, 8))
    model.eval()


def test_an_inverse_without_fit_is_told():
    with pytest.raises(SaltflatError, match=r"call fit\(\)"):
        LiSSA(linear()[0]).times([{}])


def test_progress_is_told_and_state_takes_the_place_of_fit(estimator):
    _model, training, validation = linear()
    told = []
    estimator.fit(
        batched(training, 8),
        batched(validation, 8),
        progress=lambda stage, done, total: told.append((done, total)),
    )
    assert told
    assert all(0 <= done <= total for done, total in told)
    wanted = estimator.score_labels(validation[0])
    state = {name: value.clone() for name, value in estimator.state().items()}
    other = BUILDERS[estimator.name](linear()[0])
    other.restore(state)
    assert torch.equal(other.score_labels(validation[0]), wanted)


def test_progress_can_stop_the_work(estimator):
    _model, training, validation = linear()

    def stop(stage, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        estimator.fit(batched(training, 8), batched(validation, 8), progress=stop)


def test_model_stays_as_it_was(estimator):
    _model, training, validation = linear()
    model = estimator.model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    estimator.fit(batched(training, 8), batched(validation, 8)).score_labels(validation[0])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
