"""Products with one vector against gradients of every label written out."""

from functools import partial

import pytest
import torch
import torchvision
from torch import nn

from fvm_core.curvature.jvp import directional, label_products
from fvm_core.curvature.values import values_of
from fvm_core.errors import SaltflatError
from fvm_core.models.build import build_model
from tests.cases import Mixed, digits, small_bn_cnn
from tests.curvature.cases import drawn, flat, label_gradients, mlp


class OnlyBackward(torch.autograd.Function):
    """A user's operation without a forward-mode derivative."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    def backward(ctx, delta):
        (x,) = ctx.saved_tensors
        return 2 * x * delta


class Squared(nn.Module):
    def forward(self, x):
        return OnlyBackward.apply(x)


def vit():
    return torchvision.models.VisionTransformer(8, 4, 2, 2, 4, 8, num_classes=3)


def own():
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 4), Squared(), nn.Linear(4, 3))


@pytest.mark.parametrize("build", [partial(Mixed, 8), vit, own])
def test_every_label_in_float64(build):
    torch.manual_seed(0)
    model = build().double().eval()
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    images = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    direction = drawn(model)
    logits, moved = directional(model, direction, images)
    assert not logits.requires_grad
    assert not moved.requires_grad
    torch.testing.assert_close(logits, model(images).detach())
    wanted = label_gradients(model, images) @ flat(direction)
    # Torch keeps hardsigmoid's 1/6 in float32.
    torch.testing.assert_close(label_products(logits, moved), wanted, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(
    "name", ["resnet18", "mobilenet_v3_small", "efficientnet_b0", "swin_t", "convnext_tiny"]
)
def test_torchvision_models(name):
    torch.manual_seed(0)
    model = build_model(name, 3, size=32).eval()
    images = torch.randn(2, 3, 32, 32)
    direction = {n: 0.01 * v for n, v in drawn(model).items()}
    wanted = label_gradients(model, images) @ flat(direction)
    found = label_products(*directional(model, direction, images))
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))


def test_batch_norm_and_batches():
    model = small_bn_cnn()
    images, _labels = digits(6)
    direction = drawn(model)
    found = label_products(*directional(model, direction, images))
    wanted = label_gradients(model, images, 10) @ flat(direction)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()))
    single = torch.cat([label_products(*directional(model, direction, i[None])) for i in images])
    torch.testing.assert_close(single, found, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()))


def test_only_the_named_parameters_move():
    model, images, _labels = mlp()
    direction = {"2.weight": drawn(model)["2.weight"]}
    whole = {name: torch.zeros_like(p) for name, p in model.named_parameters()} | direction
    found = directional(model, direction, images)[1]
    torch.testing.assert_close(found, directional(model, whole, images)[1])


def test_confident_samples_keep_their_digits():
    logits = torch.tensor([[30.0, 0.0, 1.0]])
    moved = torch.tensor([[5.0, 1.0, -2.0]])
    exact = logits.double().softmax(1)
    wanted = [(exact * moved.double()).sum() - moved[0, k].double() for k in range(3)]
    # Σ_j p_j (m_j − m_0), which the subtraction above loses.
    wanted[0] = (exact[0, 1:] * (moved[0, 1:] - moved[0, 0]).double()).sum()
    found = label_products(logits, moved)
    torch.testing.assert_close(found[0].double(), torch.stack(wanted), rtol=1e-6, atol=0)


def test_values_of_a_checkpoint():
    model, images, _labels = mlp()
    direction = drawn(model)
    wanted = directional(model, direction, images)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    model[0].weight.data += 1
    found = directional(model, direction, images, values=values_of(model, state))
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    with pytest.raises(SaltflatError, match="another model"):
        values_of(model, {"0.weight": state["0.weight"]})
