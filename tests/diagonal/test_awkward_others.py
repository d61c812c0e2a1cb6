"""What the other estimators are made of, on the awkward models: right, and nothing of the model is changed."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from fvm_core.curvature.datainf import DataInf
from fvm_core.curvature.gradients import mean_gradient
from fvm_core.curvature.hessian import hessian_products
from fvm_core.curvature.jvp import directional
from fvm_core.curvature.lissa import LiSSA
from fvm_core.diagonal.pairwise import pairwise_terms
from fvm_core.errors import SaltflatError
from fvm_core.estimators.gex import GEX
from fvm_core.estimators.gradient_norm import GradientNorm
from fvm_core.estimators.loss import Loss
from fvm_core.layers.eager import unwrapped
from tests.diagonal.awkward import CLASSES, REFUSED, RIGHT, SIZE, build
from tests.diagonal.test_awkward import in_float64

COUNT = 5
JITTED = {"traced", "scripted", "a scripted part"}
ONCE = {"lstm", "gru", "rnn", "lstm cell"}
"""Torch has no second derivative of these on every device."""


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(6)
    return 2 * torch.randn(COUNT, SIZE, generator=generator), torch.arange(COUNT) % CLASSES


class Oracle:
    """Plain autograd in float64 on the model itself."""

    def __init__(self, make, images, labels):
        self.model = in_float64(build(make))
        self.images, self.labels = images.double(), labels
        self.parameters = {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    def logits(self):
        with torch.compiler.set_stance("force_eager"), sdpa_kernel(SDPBackend.MATH):
            return torch.cat([self.model(image[None]) for image in self.images])

    def gradient(self, output, **options):
        return dict(
            zip(
                self.parameters,
                torch.autograd.grad(
                    output,
                    list(self.parameters.values()),
                    allow_unused=True,
                    materialize_grads=True,
                    **options,
                ),
                strict=True,
            )
        )


def direction(parameters: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(p.shape, generator=generator) for name, p in parameters.items()}


def close(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    size = max(float(value.abs().max()) for value in wanted.values())
    for name, value in wanted.items():
        torch.testing.assert_close(found[name].double(), value, rtol=1e-3, atol=2e-5 * size, msg=name)


@pytest.fixture(params=[name for name in RIGHT if name not in JITTED])
def name(request):
    return request.param


@pytest.fixture
def model(name, data):
    """A model that has to be as it was when the test is over."""
    made = build(RIGHT[name])
    images = data[0]
    before = {key: value.clone() for key, value in made.state_dict().items()}
    logits, wants = made(images).detach(), [p.requires_grad for p in made.parameters()]
    yield made
    assert torch.equal(made(images), logits)
    assert all(torch.equal(value, before[key]) for key, value in made.state_dict().items())
    assert [p.requires_grad for p in made.parameters()] == wants
    assert not any(
        torch._C._functorch.is_functorch_wrapped_tensor(value)
        for part in unwrapped(made).modules()
        for value in vars(part).values()
        if isinstance(value, torch.Tensor)
    )


def test_the_mean_gradient(model, name, data):
    oracle = Oracle(RIGHT[name], *data)
    wanted = oracle.gradient(F.cross_entropy(oracle.logits(), data[1]))
    close(mean_gradient(model, [data]), {key: value.detach() for key, value in wanted.items()})


def test_products_with_a_direction(model, name, data):
    oracle = Oracle(RIGHT[name], *data)
    w = direction(oracle.parameters)
    logits = oracle.logits()
    wanted = torch.tensor(
        [
            [
                sum(
                    (g * w[key].double()).sum()
                    for key, g in oracle.gradient(value, retain_graph=True).items()
                )
                for value in row
            ]
            for row in logits
        ],
        dtype=torch.float64,
    )
    found, moved = directional(model, w, data[0])
    torch.testing.assert_close(found.double(), logits.detach(), rtol=1e-4, atol=1e-5)
    size = float(wanted.abs().max())
    torch.testing.assert_close(moved.double(), wanted, rtol=1e-3, atol=2e-5 * size)


def test_products_with_the_hessian_and_pairs(model, name, data):
    if name in ONCE:
        pytest.skip("torch has no second derivative of it")
    images, labels = data
    oracle = Oracle(RIGHT[name], *data)
    v = direction(oracle.parameters)
    losses = F.cross_entropy(oracle.logits(), labels, reduction="none")
    slopes, curvatures, total = [], [], None
    for loss in losses:
        first = oracle.gradient(loss, create_graph=True)
        slope = sum((g * v[key].double()).sum() for key, g in first.items())
        second = oracle.gradient(slope, retain_graph=True) if slope.requires_grad else None
        if second is None:
            second = {key: torch.zeros_like(p) for key, p in oracle.parameters.items()}
        slopes.append(float(slope))
        curvatures.append(float(sum((h * v[key].double()).sum() for key, h in second.items())))
        total = second if total is None else {key: total[key] + second[key] for key in total}
    mean = {key: value.detach() / COUNT for key, value in total.items()}
    (found,) = hessian_products(model, [v], images, labels)
    close(found, mean)
    # A direction given as the inverse of one training gradient would be another one: take D = v / g.
    oracle_gradient = oracle.gradient(F.cross_entropy(oracle.logits()[:1], labels[:1]))
    inverse = {key: torch.where(g == 0, 0.0, v[key] / g).float() for key, g in oracle_gradient.items()}
    one, two = pairwise_terms(model, inverse, images[:1], labels[:1], images, labels)
    smallest = min(float(g.abs().min()) for g in oracle_gradient.values())
    if smallest > 1e-5 * max(float(g.abs().max()) for g in oracle_gradient.values()):
        size = max(map(abs, slopes))
        torch.testing.assert_close(
            one[0].double(), torch.tensor(slopes).double(), rtol=5e-3, atol=1e-3 * size
        )
        size = max(map(abs, curvatures))
        torch.testing.assert_close(
            two[0].double(), torch.tensor(curvatures).double(), rtol=5e-3, atol=1e-3 * size + 1e-9
        )


@pytest.mark.parametrize("name", sorted(JITTED))
def test_what_torch_jit_compiled_is_refused_in_words(name, data):
    made = build(RIGHT[name])
    with pytest.raises(SaltflatError, match=r"torch\.jit"):
        mean_gradient(made, [data])


@pytest.mark.parametrize(
    "name", [name for name, (_make, word) in REFUSED.items() if "others" in word or word == "random"]
)
def test_what_has_no_gradient_of_its_own_is_refused(name, data):
    model = build(REFUSED[name][0])
    for score in (
        lambda: mean_gradient(model, [data]),
        lambda: Loss(model).score(*data),
        lambda: GEX(model, [model.state_dict()] * 2).score(*data),
        lambda: GradientNorm(model).score(*data),
        lambda: DataInf(model).fit([data]),
        lambda: LiSSA(model).fit([data]),
    ):
        with pytest.raises(SaltflatError, match=REFUSED[name][1]):
            score()
