"""LiSSA against Hessians written out."""

import itertools

import pytest
import torch

from fvm_core.curvature.hessian import gauss_newton_products, hessian_products
from fvm_core.curvature.lissa import LiSSA
from fvm_core.curvature.spectrum import largest_eigenvalue
from fvm_core.curvature.vectors import trainable
from fvm_core.errors import SaltflatError
from tests.curvature.cases import (
    batched,
    damped_solve,
    drawn,
    flat,
    gauss_newton,
    hessian,
    linear,
    mlp,
)


def relative_error(found, wanted):
    return float((flat(found) - wanted).norm() / wanted.norm())


def test_hessian_and_gauss_newton_products():
    model, images, labels = mlp()
    vectors = [drawn(model, seed) for seed in (3, 4)]
    full = hessian(model, images, labels)
    assert float(torch.linalg.eigvalsh(full).min()) < -1e-3
    for vector, found in zip(vectors, hessian_products(model, vectors, images, labels), strict=True):
        torch.testing.assert_close(flat(found), full @ flat(vector))
    full = gauss_newton(model, images)
    for vector, found in zip(vectors, gauss_newton_products(model, vectors, images, labels), strict=True):
        torch.testing.assert_close(flat(found), full @ flat(vector))


def test_the_scale_comes_from_the_largest_eigenvalue():
    model, training, _validation = linear()
    wanted = float(torch.linalg.eigvalsh(hessian(model, *training)).max())
    found = largest_eigenvalue(
        lambda v, i, k: hessian_products(model, v, i, k), trainable(model), [training], iterations=60
    )
    assert found == pytest.approx(wanted, rel=1e-4)
    lissa = LiSSA(model).fit([training])
    assert 1.2 * wanted < lissa.scale < 1.51 * wanted
    parts = batched(training, 8)
    largest = max(float(torch.linalg.eigvalsh(hessian(model, *part)).max()) for part in parts[:4])
    assert 1.2 * largest < LiSSA(model).fit(parts).scale < 1.51 * largest


@pytest.mark.parametrize("matrix", ["hessian", "gauss_newton"])
@pytest.mark.parametrize("damping", [0.01, 0.1])
def test_it_solves_the_damped_system(matrix, damping):
    model, training, _validation = linear()
    lissa = LiSSA(model, damping=damping, depth=2000, matrix=matrix).fit([training])
    vectors = [drawn(model, seed) for seed in (3, 4)]
    full = hessian(model, *training)
    torch.testing.assert_close(full, gauss_newton(model, training[0]))
    assert lissa.effective_damping() == damping * lissa.scale
    for vector, found in zip(vectors, lissa.times(vectors), strict=True):
        wanted = damped_solve(full, damping * lissa.scale, flat(vector))
        assert relative_error(found, wanted) < 1e-3
    steps, changes = zip(*lissa.trace, strict=True)
    assert list(steps) == sorted(steps)
    assert steps[-1] < 2000, "it stops when it has converged"
    assert all(later < before for before, later in itertools.pairwise(changes))


def test_an_indefinite_hessian_within_the_damping():
    model, images, labels = mlp()
    full = hessian(model, images, labels)
    smallest = float(torch.linalg.eigvalsh(full).min())
    lissa = LiSSA(model, damping=0.3, depth=2000).fit([(images, labels)])
    assert -smallest < lissa.effective_damping()
    vector = drawn(model)
    (found,) = lissa.times([vector])
    assert relative_error(found, damped_solve(full, lissa.effective_damping(), flat(vector))) < 1e-3


def test_minibatches_come_close():
    model, training, _validation = linear(count=400)
    vector = drawn(model)
    lissa = LiSSA(model, damping=0.1, depth=2000).fit(batched(training, 50))
    (found,) = lissa.times([vector])
    wanted = damped_solve(hessian(model, *training), lissa.effective_damping(), flat(vector))
    assert relative_error(found, wanted) < 0.02


def test_gauss_newton_of_a_network():
    model, images, labels = mlp()
    lissa = LiSSA(model, depth=3000, matrix="gauss_newton").fit([(images, labels)])
    vector = drawn(model)
    (found,) = lissa.times([vector])
    wanted = damped_solve(gauss_newton(model, images), lissa.effective_damping(), flat(vector))
    assert relative_error(found, wanted) < 1e-3


def test_divergence_is_told_with_what_to_change():
    model, training, _validation = linear()
    low = LiSSA(model, scale=0.01).fit([training])
    with pytest.raises(
        SaltflatError, match=r"diverged at step \d+ of 1000. Use a scale above 0.01 or a damping"
    ):
        low.times([drawn(model)])
    model, images, labels = mlp()
    indefinite = LiSSA(model, damping=0.001, depth=5000).fit([(images, labels)])
    with pytest.raises(SaltflatError, match="gauss_newton"):
        indefinite.times([drawn(model)])


def test_not_a_number_is_told():
    model, training, _validation = linear()
    model[0].weight.data.fill_(float("nan"))
    with pytest.raises(SaltflatError, match="finite"):
        LiSSA(model).fit([training])
    with pytest.raises(SaltflatError, match="not finite"):
        LiSSA(model, scale=1.0).fit([training]).times([drawn(model)])


def test_wrong_settings_are_told():
    model = linear()[0]
    with pytest.raises(SaltflatError, match="fisher"):
        LiSSA(model, matrix="fisher")
    with pytest.raises(SaltflatError, match="below 1"):
        LiSSA(model, damping=1.0)


def test_a_vector_of_zeros_stays_zero():
    model, training, _validation = linear()
    zeros = {name: torch.zeros_like(v) for name, v in drawn(model).items()}
    (found,) = LiSSA(model).fit([training]).times([zeros])
    assert float(flat(found).abs().max()) == 0
