"""The standard influence function against explicit gradients and against real retraining."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fvm_core.curvature.gradients import mean_gradient
from fvm_core.estimators.datainf import DataInfInfluence
from fvm_core.estimators.diagonal import DiagonalStandardInfluence
from fvm_core.estimators.ekfac import EKFACInfluence
from fvm_core.estimators.lissa import LiSSAInfluence
from tests.cases import digits, small_bn_cnn
from tests.curvature.cases import (
    CLASSES,
    batched,
    damped_solve,
    flat,
    gradients,
    hessian,
    label_gradients,
    linear,
    mlp,
)


def test_mean_gradient_in_batches():
    model, images, labels = mlp()
    wanted = gradients(model, images, labels).mean(0)
    for size in (30, 7):
        torch.testing.assert_close(flat(mean_gradient(model, batched((images, labels), size))), wanted)


def test_exact_hessian():
    model, training, validation = linear()
    estimator = LiSSAInfluence(model, depth=3000).fit([training], batched(validation, 7))
    solved = damped_solve(
        hessian(model, *training),
        estimator.inverse.effective_damping(),
        gradients(model, *validation).mean(0),
    )
    wanted = gradients(model, *training) @ solved
    found = estimator.score(*training)
    assert float((found - wanted).norm() / wanted.norm()) < 1e-3
    wanted = label_gradients(model, training[0]) @ solved
    found = estimator.score_labels(training[0])
    assert float((found - wanted).norm() / wanted.norm()) < 1e-3


@pytest.mark.parametrize(
    "build", [LiSSAInfluence, DataInfInfluence, EKFACInfluence, DiagonalStandardInfluence]
)
def test_every_label_is_a_gradient_times_the_direction(build):
    model = small_bn_cnn()
    images, labels = digits(24)
    validation = digits(20, split="val")
    options = {"depth": 5, "damping": 0.5} if build is LiSSAInfluence else {}
    estimator = build(model, **options).fit(batched((images, labels), 8), batched(validation, 8))
    wanted = label_gradients(model, images, 10) @ flat(estimator.direction)
    found = estimator.score_labels(images)
    assert float((found - wanted).norm() / wanted.norm()) < 1e-5
    own = estimator.score(images, labels)
    torch.testing.assert_close(own, found.gather(1, labels[:, None])[:, 0])


WEIGHT_DECAY = 0.02


def minimum(images, labels, weights, start=None):
    """The minimum of `Σ_n weight_n ℓ(z_n) + ½ decay ‖θ‖²` of a softmax regression, by Newton's method."""
    model = nn.Sequential(nn.Linear(images.shape[1], CLASSES)).double().eval()
    theta = torch.zeros(images.shape[1] * CLASSES + CLASSES, dtype=torch.float64)
    if start is not None:
        theta = torch.nn.utils.parameters_to_vector(start.parameters()).detach()
    a = torch.cat([images, torch.ones(len(images), 1, dtype=images.dtype)], 1)
    for _ in range(30):
        torch.nn.utils.vector_to_parameters(theta, model.parameters())
        slope = weights @ gradients(model, images, labels) + WEIGHT_DECAY * theta
        if slope.norm() < 1e-13:
            break
        p = model(images).detach().softmax(1)
        inner = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
        # Weights of all classes come before the biases.
        full = torch.einsum("n,nij,na,nb->iajb", weights, inner, a, a)
        order = torch.arange(CLASSES * a.shape[1]).reshape(CLASSES, -1)
        order = torch.cat([order[:, :-1].flatten(), order[:, -1]])
        full = full.reshape(len(order), -1)[order][:, order]
        theta = theta - damped_solve(full, WEIGHT_DECAY, slope)
    return model


def test_sign_and_size_against_retraining():
    """`I(z)/N` is how fast the validation loss grows as z is taken out: negative = harmful."""
    _model, (images, labels), validation = linear(count=60, val=200)
    torch.manual_seed(5)
    wrong = torch.randperm(60)[:9]
    labels = labels.clone()
    labels[wrong] = (labels[wrong] + 1) % CLASSES
    weights = torch.full((60,), 1 / 60, dtype=torch.float64)
    model = minimum(images, labels, weights)
    scale = 2.0
    estimator = LiSSAInfluence(
        model, damping=WEIGHT_DECAY / scale, scale=scale, depth=5000, tolerance=1e-8
    ).fit([(images, labels)], [validation])
    assert estimator.inverse.effective_damping() == pytest.approx(WEIGHT_DECAY)
    predicted = estimator.score(images, labels) / 60

    def grown(share):
        """Growth of the validation loss where this share of one sample after the other is taken out."""
        risks = []
        for n in range(60):
            less = weights.clone()
            less[n] *= 1 - share
            own = minimum(images, labels, less, model)
            risks.append(F.cross_entropy(own(validation[0]), validation[1]).detach())
        return (torch.stack(risks) - F.cross_entropy(model(validation[0]), validation[1]).detach()) / share

    part = (grown(1e-3) + grown(-1e-3)) / 2
    torch.testing.assert_close(predicted, part, rtol=1e-4, atol=1e-4 * float(part.abs().max()))
    assert float(torch.corrcoef(torch.stack([predicted, grown(1.0)]))[0, 1]) > 0.95


@pytest.mark.parametrize(
    "build", [LiSSAInfluence, DataInfInfluence, EKFACInfluence, DiagonalStandardInfluence]
)
def test_wrong_labels_are_at_the_low_end(build):
    """Clean labels but for one in six, a model trained on all of them and stopped early."""
    torch.manual_seed(0)
    images = torch.randn(340, 5)
    true = images[:, :CLASSES].argmax(1)
    labels = true.clone()
    labels[:40] = (labels[:40] + 1) % CLASSES
    model = nn.Sequential(nn.Linear(5, CLASSES))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    for _ in range(30):
        optimizer.zero_grad()
        F.cross_entropy(model(images[:240]), labels[:240]).backward()
        optimizer.step()
    training = batched((images[:240], labels[:240]), 60)
    estimator = build(model.eval()).fit(training, [(images[240:], true[240:])])
    suspicion = estimator.suspicion(estimator.score(images[:240], labels[:240]))
    pairs = suspicion[:40, None] > suspicion[None, 40:]
    assert float(pairs.double().mean()) > 0.9, "ROC AUC"
    best = estimator.suspicion(estimator.score_labels(images[:40])).argmin(1)
    assert float((best == true[:40]).double().mean()) > 0.7


@pytest.mark.parametrize("build", [LiSSAInfluence, DataInfInfluence, EKFACInfluence])
def test_frozen_parameters_do_not_count(build):
    model = small_bn_cnn()
    for frozen in (model[0].weight, model[3].bias, model[7].weight, model[9].bias):
        frozen.requires_grad_(False)
    images, labels = digits(16)
    options = {"depth": 5, "damping": 0.5} if build is LiSSAInfluence else {}
    estimator = build(model, **options).fit(batched((images, labels), 8), [digits(12, split="val")])
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert set(estimator.direction) == set(trainable)
    found = estimator.score(images, labels)
    for n in range(4):
        loss = F.cross_entropy(model(images[n : n + 1]), labels[n : n + 1])
        own = torch.autograd.grad(loss, list(trainable.values()))
        wanted = sum((g * estimator.direction[name]).sum() for name, g in zip(trainable, own, strict=True))
        assert float(found[n]) == pytest.approx(float(wanted), rel=1e-3, abs=1e-5 * float(found.abs().max()))
