"""What the bases of all estimators answer; `test_suite` runs over every one of them."""

import pytest
import torch

from fvm_core.curvature.lissa import LiSSA
from fvm_core.errors import SaltflatError
from fvm_core.estimators import Estimator
from fvm_core.estimators.lissa import LiSSAInfluence
from fvm_core.estimators.probed_datainf import ProbedDataInf
from tests.curvature.cases import linear


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


def test_an_inverse_without_fit_is_told():
    with pytest.raises(SaltflatError, match=r"call fit\(\)"):
        LiSSA(linear()[0]).times([{}])
