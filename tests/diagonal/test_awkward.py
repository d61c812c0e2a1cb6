"""Every entry point on models that are easily taken wrongly, against plain autograd in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fvm_core.diagonal.influence import DiagonalInfluence
from fvm_core.errors import SaltflatError
from fvm_core.layers.tapped import TappedModel
from tests.diagonal.awkward import CLASSES, REFUSED, RIGHT, SIZE, build

COUNT = 6
TOLERANCE = 2e-4
"""Squares of float32 gradients, summed in another order: a few hundred roundings of 1.2e-7."""


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(5)
    images, val = (2 * torch.randn(n, SIZE, generator=generator) for n in (COUNT, 8))
    return images, torch.arange(COUNT) % CLASSES, val, torch.arange(8) % CLASSES


def plain(model: nn.Module) -> nn.Module:
    """Out of its wrappers, where float64 can get at it."""
    while isinstance(model, nn.DataParallel) or hasattr(model, "_orig_mod"):
        model = model.module if isinstance(model, nn.DataParallel) else model._orig_mod
    return model


def in_float64(model: nn.Module) -> nn.Module:
    """The model, its stray tensors included."""
    model = plain(model)
    for module in model.modules():
        for key, value in vars(module).items():
            if isinstance(value, torch.Tensor):
                wanted = value.requires_grad and value.is_leaf
                vars(module)[key] = value.detach().double().requires_grad_(wanted)
    return model.double()


def oracle(model: nn.Module, images, labels, val, val_labels):
    """Influence (B, K) and F by parameter, one sample at a time."""
    model = in_float64(model)
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}

    def gradient(image, label) -> dict[str, torch.Tensor]:
        with torch.compiler.set_stance("force_eager"):
            loss = F.cross_entropy(model(image[None].double()), label[None])
        found = torch.autograd.grad(
            loss, list(parameters.values()), allow_unused=True, materialize_grads=True
        )
        return dict(zip(parameters, found, strict=True))

    squares = [gradient(*pair) for pair in zip(val, val_labels, strict=True)]
    fisher = {name: torch.stack([g[name] for g in squares]).square().mean(0) for name in parameters}
    mean = sum(f.sum() for f in fisher.values()) / sum(f.numel() for f in fisher.values())
    inverse = {name: 1 / (f + 0.1 * mean) for name, f in fisher.items()}

    def value(image, k: int) -> float:
        found = gradient(image, torch.tensor(k))
        return float(sum((g.square() * inverse[name]).sum() for name, g in found.items()))

    values = torch.tensor(
        [[value(image, k) for k in range(CLASSES)] for image in images], dtype=torch.float64
    )
    return values, fisher


@pytest.mark.parametrize("name", list(RIGHT))
def test_every_entry_point_is_right(name, data):
    images, labels, val, val_labels = data
    wanted, fisher = oracle(build(RIGHT[name]), *data)
    model = build(RIGHT[name])
    before = {key: value.clone() for key, value in model.state_dict().items()}
    logits = model(images).detach()
    estimator = DiagonalInfluence(model, val[:3], damping=0.1).fit([(val, val_labels)])

    for key, value in estimator.fisher.items():
        torch.testing.assert_close(
            value.double(),
            fisher[key],
            rtol=5 * TOLERANCE,
            atol=TOLERANCE * float(fisher[key].mean()),
            msg=key,
        )
    close = {"rtol": TOLERANCE, "atol": 0}
    found, loss = estimator.score(images, labels)
    torch.testing.assert_close(found.double(), wanted.gather(1, labels[:, None])[:, 0], **close)
    torch.testing.assert_close(loss, F.cross_entropy(logits, labels, reduction="none"), rtol=1e-4, atol=1e-5)
    everything = estimator.score_all_labels(images, exact=None)
    assert everything.exact.all()
    torch.testing.assert_close(everything.values.double(), wanted, **close)
    one = estimator.score_all_labels(images, exact=1)
    best = wanted.gather(1, one.best[:, None])[:, 0]  # labels may share the smallest value
    torch.testing.assert_close(best, wanted.amin(1), **close)
    torch.testing.assert_close(one.smallest(1)[0][:, 0].double(), wanted.amin(1), **close)
    assert (one.values.double() <= wanted * (1 + TOLERANCE)).all(), "a bound is none"

    asking = images.clone().requires_grad_()
    torch.testing.assert_close(estimator.score(asking, labels)[0], found)
    assert torch.equal(model(images), logits)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_has_no_influence_is_refused_in_words(name, data):
    make, word = REFUSED[name]
    with pytest.raises(SaltflatError, match=word):
        DiagonalInfluence(build(make), data[2])


@pytest.mark.parametrize(
    "part", [nn.Dropout(), nn.BatchNorm1d(SIZE), nn.RReLU(), nn.AlphaDropout(), nn.Identity()], ids=repr
)
def test_any_part_in_training_mode_is_refused(part, data):
    model = nn.Sequential(nn.Linear(SIZE, SIZE), part, nn.Linear(SIZE, CLASSES)).eval()
    part.train()
    with pytest.raises(SaltflatError, match=r"`1` is in training mode.*eval\(\)"):
        TappedModel(model, data[2])


def test_a_model_that_takes_another_way_later_is_refused(data):
    class Looking(nn.Module):
        def __init__(self):
            super().__init__()
            self.usual, self.rare, self.head = (
                nn.Linear(SIZE, SIZE),
                nn.Linear(SIZE, SIZE),
                nn.Linear(SIZE, CLASSES),
            )

        def forward(self, x):
            return self.head(self.rare(x) if x.abs().max() > 50 else self.usual(x))

    images, labels, val, val_labels = data
    torch.manual_seed(0)
    estimator = DiagonalInfluence(Looking().eval(), val).fit([(val, val_labels)])
    estimator.score(images, labels)
    with pytest.raises(SaltflatError, match="`usual` runs 0 times"):
        estimator.score(100 * images, labels)


@pytest.mark.parametrize(("kind", "tolerance"), [(torch.float64, 1e-10), (torch.bfloat16, 0.15)], ids=str)
@pytest.mark.parametrize(
    "name", ["plain", "transformer encoder layer", "a scalar parameter", "lstm", "pruned"]
)
def test_a_whole_model_of_another_precision(name, kind, tolerance, data):
    """bfloat16 keeps three digits of a gradient, of which a median is asked; and the largest stay largest."""
    images, labels, val, val_labels = data
    wanted, _fisher = oracle(build(RIGHT[name]), *data)
    model = build(RIGHT[name]).to(kind)
    for module in model.modules():  # a weight that a hook computes
        for key, value in vars(module).items():
            if isinstance(value, torch.Tensor):
                vars(module)[key] = value.detach().to(kind)
    estimator = DiagonalInfluence(model, val.to(kind), damping=0.1).fit([(val.to(kind), val_labels)])
    found = estimator.score_all_labels(images.to(kind), exact=None).values.double()
    change = (found - wanted).abs() / wanted
    assert change.median() < tolerance
    own = estimator.score(images.to(kind), labels)[0].double()
    change = (own - wanted.gather(1, labels[:, None])[:, 0]).abs() / own
    assert change.median() < tolerance


def test_tokens_go_through_an_embedding(data):
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.head = nn.Embedding(20, SIZE, padding_idx=0), nn.Linear(SIZE, CLASSES)

        def forward(self, tokens):
            return self.head(torch.tanh(self.table(tokens)).mean(1))

    generator = torch.Generator().manual_seed(2)
    tokens, labels = torch.randint(0, 20, (9, 5), generator=generator), torch.arange(9) % CLASSES
    torch.manual_seed(0)
    model = Words().eval()
    estimator = DiagonalInfluence(model, tokens).fit([(tokens, labels)])
    parameters = dict(model.named_parameters())

    def gradient(row, label):
        loss = F.cross_entropy(model(row[None]), label[None])
        return dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True))

    for row, label, found in zip(tokens, labels, estimator.score(tokens, labels)[0], strict=True):
        wanted = sum((g.square() * estimator.inverse[name]).sum() for name, g in gradient(row, label).items())
        torch.testing.assert_close(found, wanted, rtol=TOLERANCE, atol=0)
