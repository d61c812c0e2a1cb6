"""The new influence as one estimator among others, and the halves of it (table 6), written out in float64."""

import pytest
import torch

from fvm_core.errors import SaltflatError
from fvm_core.estimators.gradient_norm import GradientNorm
from fvm_core.estimators.minimum import MinimumInfluence
from fvm_core.estimators.standard_loss_change import StandardLossChange
from fvm_core.estimators.standard_parameter_change import StandardParameterChange
from fvm_core.estimators.tuned_standard_influence import TunedStandardInfluence
from tests.cases import digits, small_bn_cnn
from tests.curvature.cases import batched, gradients, label_gradients, linear


@pytest.fixture(scope="module")
def case():
    model, training, validation = linear()
    fisher = [gradients(model, *data).square().mean(0) for data in (training, validation)]
    damped = [f + 0.1 * f.mean() for f in fisher]
    every = label_gradients(model, training[0])
    mean = gradients(model, *validation).mean(0)
    return model, training, validation, fisher, damped, every, mean


def wanted(name, case):
    _model, _training, _validation, fisher, (train, val), g, mean = case
    return {
        "fvm": (g.square() / val).sum(2),
        "ablation_ss": g @ (mean / train),
        "ablation_so": g @ (mean / val),
        "ablation_os": (g.square() * fisher[1] / train.square()).sum(2),
    }[name]


CLASSES = {
    kind.name: kind
    for kind in (MinimumInfluence, TunedStandardInfluence, StandardLossChange, StandardParameterChange)
}


@pytest.mark.parametrize("name", CLASSES)
def test_every_label_by_the_formula(name, case):
    model, training, validation = case[:3]
    estimator = CLASSES[name](model).fit(batched(training, 8), batched(validation, 7))
    values = wanted(name, case)
    torch.testing.assert_close(estimator.score_labels(training[0]).double(), values, rtol=1e-5, atol=1e-9)
    own = values.gather(1, training[1][:, None])[:, 0]
    found, suggested = estimator.judge(*training)
    torch.testing.assert_close(found.double(), own, rtol=1e-5, atol=1e-9)
    assert torch.equal(suggested, estimator.suspicion(values).argmin(1))
    again = CLASSES[name](model)
    again.restore({key: value.clone() for key, value in estimator.state().items()})
    assert torch.equal(again.judge(*training)[0], found)


def test_new_influence_is_suspicious_where_it_is_large_and_the_standard_one_where_it_is_low():
    assert MinimumInfluence.suspicious == StandardParameterChange.suspicious == "high"
    assert TunedStandardInfluence.suspicious == StandardLossChange.suspicious == "low"


def test_what_is_missing_is_told(case):
    model, training, validation = case[:3]
    with pytest.raises(SaltflatError, match=r"call fit\(\)"):
        MinimumInfluence(model).score(*training)
    with pytest.raises(SaltflatError, match="needs the validation set"):
        MinimumInfluence(model).fit(batched(training, 8))
    with pytest.raises(SaltflatError, match="needs the training set"):
        StandardParameterChange(model).fit(None, batched(validation, 8))


def test_gradient_norm_suggests_the_label_with_the_smallest():
    model = small_bn_cnn()
    images, labels = digits(8)
    estimator = GradientNorm(model)
    every = estimator.score_labels(images)
    values, suggested = estimator.judge(images, labels)
    torch.testing.assert_close(values, every.gather(1, labels[:, None])[:, 0])
    assert torch.equal(suggested, every.argmin(1))
