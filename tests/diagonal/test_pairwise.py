"""Pairwise influence against gradients and Hessians written out in float64."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torch.func import functional_call

from fvm_core.diagonal.influence import DiagonalInfluence
from fvm_core.diagonal.pairwise import pairwise_influence, pairwise_terms
from fvm_core.errors import SaltflatError
from tests.cases import Mixed, digits, small_bn_cnn

EPSILON = 0.3


def vit():
    return torchvision.models.VisionTransformer(4, 2, 1, 2, 4, 8, num_classes=3)


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(48, 4), nn.Tanh(), nn.Linear(4, 3))


def case(build, train=2, val=5):
    """A model with random weights and data for it, float64."""
    torch.manual_seed(0)
    model = build().double().eval()
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    inverse = {name: 0.1 + torch.rand_like(p) for name, p in model.named_parameters()}
    images = torch.randn(train + val, 3, 4, 4, dtype=torch.float64)
    labels = torch.arange(train + val) % 3
    return model, inverse, images[:train], labels[:train], images[train:], labels[train:]


def sample_losses(model, images, labels):
    return F.cross_entropy(model(images), labels, reduction="none")


def directions(model, inverse, images, labels):
    """`P⁻¹ g` of every sample, by name."""
    parameters = {name: p for name, p in model.named_parameters() if name in inverse}
    for loss in sample_losses(model, images, labels):
        found = torch.autograd.grad(loss, list(parameters.values()), retain_graph=True)
        yield {name: inverse[name] * g for name, g in zip(parameters, found, strict=True)}


def moved_losses(model, direction, step, images, labels):
    values = {name: p.detach() for name, p in model.named_parameters()}
    values |= {name: values[name] + step * v for name, v in direction.items()}
    return F.cross_entropy(functional_call(model, values, (images,)), labels, reduction="none").detach()


def test_against_the_full_hessian():
    model, inverse, x_train, y_train, x_val, y_val = case(mlp)
    parameters = dict(model.named_parameters())
    flat = torch.cat([p.detach().flatten() for p in parameters.values()])
    sizes = [p.numel() for p in parameters.values()]

    def loss(theta, image, label):
        own = {
            name: piece.view_as(p)
            for (name, p), piece in zip(parameters.items(), theta.split(sizes), strict=True)
        }
        return F.cross_entropy(functional_call(model, own, (image[None],)), label[None])

    def gradient(image, label):
        return torch.autograd.functional.jacobian(lambda theta: loss(theta, image, label), flat)

    p_inverse = torch.cat([inverse[name].flatten() for name in parameters])
    wanted = torch.empty(len(x_train), len(x_val), dtype=torch.float64)
    for m in range(len(x_val)):
        hessian = torch.autograd.functional.hessian(lambda theta, m=m: loss(theta, x_val[m], y_val[m]), flat)
        for n in range(len(x_train)):
            v = p_inverse * gradient(x_train[n], y_train[n])
            wanted[n, m] = gradient(x_val[m], y_val[m]) @ v + 0.5 * EPSILON * v @ hessian @ v
    for batch_size in (2, 32):
        found = pairwise_influence(
            model, inverse, x_train, y_train, x_val, y_val, epsilon=EPSILON, batch_size=batch_size
        )
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("build", [mlp, vit, partial(Mixed, 4)])
def test_against_differences_of_the_losses(build):
    """`(ℓ(θ + εv) − ℓ(θ)) / ε` tends to I with ε, its error with ε²."""
    model, inverse, x_train, y_train, x_val, y_val = case(build)
    first, second = pairwise_terms(model, inverse, x_train, y_train, x_val, y_val)
    for n, v in enumerate(directions(model, inverse, x_train, y_train)):
        step = 1e-4 / sum(value.square().sum() for value in v.values()).sqrt()
        up, here, down = (moved_losses(model, v, t, x_val, y_val) for t in (step, 0, -step))
        torch.testing.assert_close(first[n], (up - down) / (2 * step), rtol=1e-4, atol=1e-5)
        wanted = (up - 2 * here + down) / step**2
        torch.testing.assert_close(second[n], wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max()))


def test_a_cnn_with_batch_norm_against_double_backward():
    model = small_bn_cnn().double()
    (x_train, y_train), (x_val, y_val) = digits(2), digits(6, split="val")
    x_train, x_val = x_train.double(), x_val.double()
    inverse = {name: 0.1 + torch.rand_like(p) for name, p in model.named_parameters()}
    first, second = pairwise_terms(model, inverse, x_train, y_train, x_val, y_val, batch_size=4)
    parameters = list(model.parameters())
    for n, v in enumerate(directions(model, inverse, x_train, y_train)):
        for m, loss in enumerate(sample_losses(model, x_val, y_val)):
            gradient = torch.autograd.grad(loss, parameters, create_graph=True)
            slope = sum((g * w).sum() for g, w in zip(gradient, v.values(), strict=True))
            product = torch.autograd.grad(slope, parameters, retain_graph=True, materialize_grads=True)
            curvature = sum((h * w).sum() for h, w in zip(product, v.values(), strict=True))
            torch.testing.assert_close(first[n, m], slope.detach(), rtol=1e-9, atol=1e-12)
            torch.testing.assert_close(second[n, m], curvature, rtol=1e-9, atol=1e-12)


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([0.7]))

    def forward(self, x):
        return self.scale * x


def test_over_the_validation_set_the_second_term_is_the_score_of_a_sample():
    """(59): with P the validation Hessian, which is diagonal for one parameter, `½ ε gᵀP⁻¹g` is left."""
    torch.manual_seed(0)
    model = Scale().double().eval()
    x_val, y_val = torch.randn(40, 3, dtype=torch.float64), torch.arange(40) % 3
    x_train, y_train = x_val[:4] + 1, y_val[:4]
    (slope,) = torch.autograd.grad(sample_losses(model, x_val, y_val).mean(), model.scale, create_graph=True)
    (hessian,) = torch.autograd.grad(slope, model.scale)
    inverse = {"scale": 1 / hessian}
    found = pairwise_influence(model, inverse, x_train, y_train, x_val, y_val, epsilon=EPSILON).mean(1)
    v = torch.cat([d["scale"] for d in directions(model, inverse, x_train, y_train)])
    score = v * hessian * v
    torch.testing.assert_close(found, slope.detach() * v + 0.5 * EPSILON * score, rtol=1e-10, atol=1e-12)


def test_with_the_fisher_of_an_estimator_in_float32():
    model = small_bn_cnn()
    (x_train, y_train), (x_val, y_val) = digits(3), digits(20, split="val")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    estimator = DiagonalInfluence(model, x_val).fit([(x_val, y_val)])
    inverse = {name: 1 / (f + estimator.effective_damping()) for name, f in estimator.fisher.items()}
    inputs = (x_train, y_train, x_val, y_val)
    found = pairwise_influence(model, inverse, *inputs, epsilon=1 / len(x_val))
    exact = pairwise_influence(
        model.double(),
        {name: value.double() for name, value in inverse.items()},
        *(values.double() if values.is_floating_point() else values for values in inputs),
        epsilon=1 / len(x_val),
    )
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), exact, rtol=1e-3, atol=1e-4 * float(exact.abs().max()))
    assert all(p.requires_grad for p in model.parameters())
    assert all(
        torch.equal(value.to(before[name]), before[name]) for name, value in model.state_dict().items()
    )


def test_only_the_named_parameters_count():
    model, inverse, *data = case(mlp)
    head = {name: value for name, value in inverse.items() if name.startswith("3.")}
    zeros = {name: value if name in head else torch.zeros_like(value) for name, value in inverse.items()}
    torch.testing.assert_close(
        pairwise_influence(model, head, *data, epsilon=EPSILON),
        pairwise_influence(model, zeros, *data, epsilon=EPSILON),
    )


def test_inside_no_grad_and_with_frozen_parameters():
    model, inverse, *data = case(vit)
    wanted = pairwise_influence(model, inverse, *data, epsilon=EPSILON)
    model.requires_grad_(False)
    with torch.no_grad():
        found = pairwise_influence(model, inverse, *data, epsilon=EPSILON)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)
    assert not any(p.requires_grad for p in model.parameters())


def test_no_samples():
    model, inverse, x_train, y_train, x_val, y_val = case(mlp)
    found = pairwise_influence(model, inverse, x_train[:0], y_train[:0], x_val, y_val, epsilon=EPSILON)
    assert found.shape == (0, 5)
    found = pairwise_influence(model, inverse, x_train, y_train, x_val[:0], y_val[:0], epsilon=EPSILON)
    assert found.shape == (2, 0)


def test_training_mode_and_foreign_curvature_are_refused():
    model, inverse, *data = case(mlp)
    with pytest.raises(SaltflatError, match="another model"):
        pairwise_influence(model, inverse | {"9.weight": torch.ones(1)}, *data, epsilon=EPSILON)
    with pytest.raises(SaltflatError, match="training mode"):
        pairwise_influence(model.train(), inverse, *data, epsilon=EPSILON)
