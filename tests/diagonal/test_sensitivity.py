"""What a change of the damping does to the ranking, and that the estimator does not notice."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from fvm_core.diagonal.influence import DiagonalInfluence
from fvm_core.diagonal.sensitivity import damping_sensitivity
from fvm_core.errors import SaltflatError
from tests.cases import digits, small_bn_cnn

DAMPING = 0.1


@pytest.fixture(scope="module")
def model():
    return small_bn_cnn()


def fitted(model, damping=DAMPING, **options):
    return DiagonalInfluence(model, digits(2)[0], damping=damping, **options).fit([digits(40, split="val")])


def batches(count=40, size=16):
    images, labels = digits(count)
    return [(images[i : i + size], labels[i : i + size]) for i in range(0, count, size)]


@pytest.mark.parametrize("kind", ["relative", "absolute"])
def test_scores_are_those_of_an_estimator_with_that_damping(model, kind):
    found = damping_sensitivity(fitted(model, damping_kind=kind), iter(batches()))
    assert found.factors == (0.01, 0.1, 1, 10, 100)
    assert found.scores.shape == (5, 40)
    for factor, damping, scores in zip(found.factors, found.damping, found.scores, strict=True):
        other = fitted(model, DAMPING * factor, damping_kind=kind)
        wanted = torch.cat([other.score(*batch)[0] for batch in batches()]).numpy()
        np.testing.assert_allclose(scores, wanted, rtol=1e-5)
        assert damping == pytest.approx(other.effective_damping())


def test_correlation_and_overlap(model):
    found = damping_sensitivity(fitted(model), batches(), factors=(100, 1, 1e-3))
    reference = found.scores[1]
    for place in range(3):
        wanted = spearmanr(found.scores[place], reference).statistic
        assert found.correlation[place] == pytest.approx(wanted)
        top = {int(i) for i in np.argsort(found.scores[place])[-4:]}
        assert found.overlap[place] == len(top & {int(i) for i in np.argsort(reference)[-4:]}) / 4
    assert found.correlation[1] == pytest.approx(1)
    assert found.overlap[1] == 1
    assert found.correlation[2] < 1


def test_the_estimator_keeps_its_own_damping(model):
    estimator = fitted(model)
    images, labels = digits(8)
    wanted = estimator.score(images, labels)[0]

    def broken():
        yield images, labels
        raise OSError("the disk is gone")

    damping_sensitivity(estimator, batches())
    assert estimator.damping == DAMPING
    assert torch.equal(estimator.score(images, labels)[0], wanted)
    with pytest.raises(OSError, match="disk"):
        damping_sensitivity(estimator, broken())
    assert estimator.damping == DAMPING
    assert torch.equal(estimator.score(images, labels)[0], wanted)


def test_one_sample(model):
    found = damping_sensitivity(fitted(model), batches(1), factors=(1, 10))
    assert np.isnan(found.correlation).all()
    assert (found.overlap == 1).all()


def test_what_can_not_be_compared_is_told(model):
    with pytest.raises(SaltflatError, match="no samples"):
        damping_sensitivity(fitted(model), [])
    with pytest.raises(SaltflatError, match="fit"):
        damping_sensitivity(DiagonalInfluence(model, digits(2)[0]), batches())
    with pytest.raises(ValueError, match="1 among them"):
        damping_sensitivity(fitted(model), batches(), factors=(0.1, 10))
