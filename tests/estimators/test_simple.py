"""Loss, margin and gradient norm against their definitions."""

import pytest
import torch
from torch import nn

from fvm_core.errors import SaltflatError
from fvm_core.estimators.gradient_norm import GradientNorm
from fvm_core.estimators.loss import Loss, TunedLoss
from fvm_core.estimators.margin import Margin
from tests.cases import digits, small_bn_cnn
from tests.curvature.cases import label_gradients


@pytest.fixture(scope="module")
def model():
    return small_bn_cnn()


def test_loss(model):
    images, labels = digits(12)
    logits = model(images).detach()
    for estimator in (Loss(model), TunedLoss(model)):
        torch.testing.assert_close(
            estimator.score(images, labels), nn.functional.cross_entropy(logits, labels, reduction="none")
        )
        assert torch.equal(estimator.suspicion(estimator.score_labels(images)).argmin(1), logits.argmax(1))


def test_confident_losses_differ():
    logits = torch.tensor([[20.0, 0.0], [25.0, 0.0]])
    found = Loss(nn.Identity().eval()).score(logits, torch.tensor([0, 0]))
    torch.testing.assert_close(found, torch.exp(torch.tensor([-20.0, -25.0])), rtol=1e-5, atol=0)


def test_margin(model):
    images, labels = digits(12)
    p = model(images).detach().softmax(1)
    wanted = torch.empty_like(p)
    for k in range(10):
        others = torch.cat([p[:, :k], p[:, k + 1 :]], 1)
        wanted[:, k] = p[:, k] - others.max(1).values
    estimator = Margin(model)
    torch.testing.assert_close(estimator.score_labels(images), wanted)
    torch.testing.assert_close(estimator.score(images, labels), wanted.gather(1, labels[:, None])[:, 0])
    assert torch.equal(estimator.suspicion(wanted).argmin(1), p.argmax(1))


def test_margin_of_a_tie_is_zero():
    logits = torch.tensor([[1.0, 1.0, 0.0]])
    found = Margin(nn.Identity().eval()).score_labels(logits)
    assert found[0, :2].abs().max() == 0


def test_gradient_norm(model):
    images, labels = digits(6)
    estimator = GradientNorm(model)
    wanted = label_gradients(model, images, 10).square().sum(2)
    torch.testing.assert_close(estimator.score_labels(images), wanted, rtol=1e-4, atol=0)
    own = wanted.gather(1, labels[:, None])[:, 0]
    torch.testing.assert_close(estimator.score(images, labels), own, rtol=1e-4, atol=0)


def test_training_mode_is_refused(model):
    try:
        model.train()
        for build in (Loss, Margin, GradientNorm):
            with pytest.raises(SaltflatError, match="training mode"):
                build(model)
    finally:
        model.eval()
