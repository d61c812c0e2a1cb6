"""What estimators are given wrongly is told in words, by all of them alike."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import fvm_core as fvm
from fvm_core.curvature.datainf import DataInf
from fvm_core.curvature.diagonal import Diagonal
from fvm_core.curvature.ekfac import EKFAC
from fvm_core.curvature.gradients import mean_gradient
from fvm_core.curvature.hessian import hessian_products
from fvm_core.curvature.inverse import InverseCurvature
from fvm_core.curvature.lissa import LiSSA
from fvm_core.curvature.vectors import trainable
from fvm_core.diagonal.influence import DiagonalInfluence
from fvm_core.diagonal.label_search import LabelInfluence
from fvm_core.errors import SaltflatError
from fvm_core.estimators.gradient_norm import GradientNorm
from fvm_core.estimators.loss import Loss
from fvm_core.estimators.margin import Margin
from fvm_core.estimators.minimum import MinimumInfluence

CLASSES = 3


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, CLASSES)).eval()


@pytest.fixture(scope="module")
def images():
    return torch.randn(12, 5, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def labels():
    return torch.arange(12) % CLASSES


def fitted(model, images, labels, **options):
    return DiagonalInfluence(model, images, **options).fit([(images, labels)])


TAKES_LABELS = {
    "fit": lambda m, x, y: DiagonalInfluence(m, x).fit([(x, y)]),
    "score": lambda m, x, y: fitted(m, x, torch.zeros(len(x)).long()).score(x, y),
    "known": lambda m, x, y: fitted(m, x, torch.zeros(len(x)).long()).score_all_labels(
        x, exact=1, known=(y, torch.ones(len(y)))
    ),
    "pairwise, training": lambda m, x, y: fitted(m, x, torch.zeros(len(x)).long()).pairwise(
        x, y, x[:2], torch.tensor([0, 1])
    ),
    "pairwise, validation": lambda m, x, y: fitted(m, x, torch.zeros(len(x)).long()).pairwise(
        x[:2], torch.tensor([0, 1]), x, y
    ),
    "influence": lambda m, x, y: fvm.influence(m, [(x, y)], [(x, torch.zeros(len(x)).long())]),
    "FVM": lambda m, x, y: MinimumInfluence(m).fit(validation=[(x, y)]),
    "loss": lambda m, x, y: Loss(m).score(x, y),
    "margin": lambda m, x, y: Margin(m).judge(x, y),
    "gradient norm": lambda m, x, y: GradientNorm(m).score(x, y),
    "mean gradient": lambda m, x, y: mean_gradient(m, [(x, y)]),
    "Hessian": lambda m, x, y: hessian_products(m, [trainable(m)], x, y),
    "LiSSA": lambda m, x, y: LiSSA(m).fit([(x, y)]),
    "DataInf": lambda m, x, y: DataInf(m).fit([(x, y)]),
    "EK-FAC": lambda m, x, y: EKFAC(m, fisher="empirical").fit([(x, y)]),
    "diagonal": lambda m, x, y: Diagonal(m).fit([(x, y)]),
}
WRONG = {
    "too large": (lambda y: y + 1, "label 3, and the model has 3 classes"),
    "negative": (lambda y: torch.where(y == 1, -100, y), "label -100"),
    "too few": (lambda y: y[:7], r"\(7,\) for 12 samples"),
    "one-hot": (lambda y: nn.functional.one_hot(y, CLASSES), "12, 3.*12 samples"),
    "one column": (lambda y: y[:, None], "12 samples"),
    "probabilities": (lambda y: nn.functional.one_hot(y, CLASSES).float(), "12 samples"),
    "floating-point": (lambda y: y.float(), "integers"),
}


@pytest.mark.parametrize("wrong", list(WRONG))
@pytest.mark.parametrize("entry", list(TAKES_LABELS))
def test_labels_that_are_none(entry, wrong, model, images, labels):
    change, words = WRONG[wrong]
    if (entry, wrong) == ("known", "negative"):
        pytest.skip("-1 and below mean that nothing is known")
    words = "one for each sample" if entry == "known" and "12 samples" in words else words
    with pytest.raises(SaltflatError, match=words):
        TAKES_LABELS[entry](model, images, change(labels))


@pytest.mark.parametrize("kind", [torch.int32, torch.uint8, torch.int16])
@pytest.mark.parametrize("entry", list(TAKES_LABELS))
def test_any_integers_are_labels(entry, kind, model, images, labels):
    wanted = tensors(TAKES_LABELS[entry](model, images, labels))
    found = tensors(TAKES_LABELS[entry](model, images, labels.to(kind)))
    assert len(found) == len(wanted) > 0
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def tensors(result) -> list[torch.Tensor]:
    """All that an entry point gives, or has fitted."""
    if isinstance(result, torch.Tensor):
        return [result]
    if isinstance(result, InverseCurvature):
        return tensors(result.effective_damping())
    if isinstance(result, DiagonalInfluence | MinimumInfluence):
        result = result.fisher if isinstance(result, DiagonalInfluence) else result.state()
    if isinstance(result, LabelInfluence):
        result = (result.values, result.exact, result.probabilities)
    if isinstance(result, float):
        return [torch.tensor(result)]
    values = result.values() if isinstance(result, dict) else result
    return [tensor for value in values for tensor in tensors(value)]


@pytest.mark.parametrize("damping", [-0.1, math.nan, math.inf])
@pytest.mark.parametrize("kind", [DiagonalInfluence, DataInf, EKFAC, LiSSA, Diagonal])
def test_dampings_that_are_none(kind, damping, model, images):
    with pytest.raises(SaltflatError, match="damping is"):
        kind(model, *([images] if kind is DiagonalInfluence else []), damping=damping)


@pytest.mark.parametrize("kind", [DiagonalInfluence, DataInf, EKFAC, Diagonal])
def test_a_kind_of_damping_that_is_none(kind, model, images):
    with pytest.raises(SaltflatError, match="no damping `relativ`"):
        kind(model, *([images] if kind is DiagonalInfluence else []), damping_kind="relativ")


def test_settings_that_are_none(model, images, labels):
    with pytest.raises(SaltflatError, match="no precision `fp16`"):
        DiagonalInfluence(model, images, precision="fp16")
    estimator = fitted(model, images, labels)
    for options in ({"exact": 0}, {"exact": -1}, {"batch_size": 0}):
        with pytest.raises(SaltflatError, match="at least 1"):
            estimator.score_all_labels(images, **options)
    for options in ({"scale": 0.0}, {"depth": 0}):
        with pytest.raises(SaltflatError, match="above 0"):
            LiSSA(model, **options)
    with pytest.raises(SaltflatError, match="exact=2"):
        _ = estimator.score_all_labels(images, exact=1).margin
    assert (estimator.score_all_labels(images, exact=2).margin >= 0).all()


def test_all_labels_may_be_asked_for_by_their_number_or_a_larger_one(model, images, labels):
    estimator = fitted(model, images, labels)
    wanted = estimator.score_all_labels(images, exact=None).values
    for exact in (CLASSES, 50):
        assert torch.equal(estimator.score_all_labels(images, exact=exact).values, wanted)


def test_no_samples_have_no_values(model, images, labels):
    estimator = fitted(model, images, labels)
    values, loss = estimator.score(images[:0], labels[:0])
    assert values.shape == loss.shape == (0,)
    for exact in (1, 2, None):
        found = estimator.score_all_labels(images[:0], exact=exact)
        assert found.values.shape == found.exact.shape == (0, CLASSES)
    again = DiagonalInfluence(model, images).fit(
        [(images[:0], labels[:0]), (images, labels), (images[:0], labels[:0])]
    )
    assert all(torch.equal(value, again.fisher[name]) for name, value in estimator.fisher.items())
    with pytest.raises(SaltflatError, match="empty"):
        DiagonalInfluence(model, images[:0])
    with pytest.raises(SaltflatError, match="empty"):
        DiagonalInfluence(model, images).fit([(images[:0], labels[:0])])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_image_that_is_not_finite_is_named(value, model, images, labels):
    broken = images.clone()
    broken[7, 2] = value
    with pytest.raises(SaltflatError, match=r"sample 7 of the validation set|samples 4 to 11"):
        DiagonalInfluence(model, images).fit([(broken[:4], labels[:4]), (broken[4:], labels[4:])])


@pytest.mark.parametrize(
    "fit",
    [
        lambda m, x, y: DiagonalInfluence(m, x),
        lambda m, x, y: Diagonal(m),
        lambda m, x, y: DataInf(m),
        lambda m, x, y: EKFAC(m),
        lambda m, x, y: LiSSA(m, depth=20, damping=0.5),
    ],
    ids=["diagonal influence", "diagonal", "DataInf", "EK-FAC", "LiSSA"],
)
def test_a_fit_after_one_that_raised_begins_anew(fit, model, images, labels):
    def state(estimator):
        if isinstance(estimator, DiagonalInfluence):
            return list(estimator.fisher.values())
        return list(estimator.times([trainable(model)])[0].values())

    good, bad = [(images, labels)], [(images, labels), (images, labels + 50)]
    wanted = state(fit(model, images, labels).fit(good))
    estimator = fit(model, images, labels)
    with pytest.raises(SaltflatError, match="label 5"):
        estimator.fit(bad)
        state(estimator)  # LiSSA looks at its minibatches here
    assert all(torch.equal(a, b) for a, b in zip(state(estimator.fit(good)), wanted, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(state(estimator.fit(good)), wanted, strict=True))


@pytest.mark.parametrize("entry", ["train", "val", "fit", "FVM", "LiSSA"])
def test_a_loader_that_drops_samples_is_refused(entry, model, images, labels):
    data = TensorDataset(images, labels)
    whole, dropping = DataLoader(data, batch_size=5), DataLoader(data, batch_size=5, drop_last=True)
    with pytest.raises(SaltflatError, match="leaves out the last 2 of its 12"):
        if entry in ("train", "val"):
            fvm.influence(model, **{"train": whole, "val": whole, entry: dropping})
        elif entry == "fit":
            DiagonalInfluence(model, images).fit(dropping)
        elif entry == "FVM":
            MinimumInfluence(model).fit(validation=dropping)
        else:
            LiSSA(model).fit(dropping)
    full = DataLoader(data, batch_size=4, drop_last=True)
    assert len(fvm.influence(model, full, full)) == 12
