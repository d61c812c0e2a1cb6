"""The new influence through probes against dense matrices, and its mean against the exact one."""

import pytest
import torch

from fvm_core.curvature.inverse import InverseCurvature
from fvm_core.estimators.probed_datainf import ProbedDataInf
from fvm_core.estimators.probed_influence import ProbedInfluence
from fvm_core.estimators.probed_lissa import ProbedLiSSA
from tests.cases import digits, small_bn_cnn
from tests.curvature.cases import (
    batched,
    damped_solve,
    flat,
    gradients,
    hessian,
    label_gradients,
    linear,
)


def formula(rows, solved, probes):
    """`(1/J) Σ_j (g·H⁻¹v_j)(g·v_j)` for gradients (…, P)."""
    return sum((rows @ s) * (rows @ v) for s, v in zip(solved, probes, strict=True)) / len(probes)


def test_lissa_probes_in_float64():
    model, training, validation = linear()
    estimator = ProbedLiSSA(model, damping=0.05, depth=3000).fit(None, [validation])
    probes = [flat(v) for v in estimator._drawn()]
    assert len(probes) == 5
    curvature = hessian(model, *validation)
    damping = estimator.inverse.effective_damping()
    solved = [damped_solve(curvature, damping, v) for v in probes]
    wanted = formula(label_gradients(model, training[0]), solved, probes)
    found = estimator.score_labels(training[0])
    assert float((found - wanted).norm() / wanted.norm()) < 1e-3


def test_datainf_probes_on_a_network():
    model = small_bn_cnn()
    images, labels = digits(8)
    validation = digits(20, split="val")
    estimator = ProbedDataInf(model).fit(None, batched(validation, 8))
    rows = label_gradients(model, images, 10)
    wanted = formula(rows, [flat(s) for s in estimator.solved], [flat(v) for v in estimator._drawn()])
    found = estimator.score_labels(images)
    assert float((found - wanted).norm() / wanted.norm()) < 1e-4
    torch.testing.assert_close(estimator.score(images, labels), found.gather(1, labels[:, None])[:, 0])


class Exact(InverseCurvature):
    """The damped Hessian, written out."""

    def times(self, vectors, *, progress=None):
        (data,) = self._batches
        curvature = hessian(self.model, *data)
        rows = [damped_solve(curvature, 0.1, flat(v)) for v in vectors]
        shapes = dict(self.model.named_parameters())
        found = []
        for row in rows:
            pieces = row.split([p.numel() for p in shapes.values()])
            found.append({n: piece.view_as(p) for (n, p), piece in zip(shapes.items(), pieces, strict=True)})
        return found

    def effective_damping(self):
        return 0.1


class ProbedExact(ProbedInfluence):
    name = title = "exact"
    cost = "none"

    @staticmethod
    def inverse_class():
        return Exact


def test_many_probes_tend_to_the_exact_influence():
    model, training, validation = linear()
    estimator = ProbedExact(model, probes=3000).fit(None, [validation])
    rows = gradients(model, *training)
    curvature = hessian(model, *validation)
    wanted = torch.stack([row @ damped_solve(curvature, 0.1, row) for row in rows])
    found = estimator.score(*training)
    assert float((found - wanted).norm() / wanted.norm()) < 0.1
    few = ProbedExact(model).fit(None, [validation]).score(*training)
    assert float((few - wanted).norm()) > float((found - wanted).norm())


def test_the_seed_decides():
    model, training, validation = linear()

    def scores(seed):
        return ProbedDataInf(model, seed=seed).fit(None, [validation]).score(*training)

    assert torch.equal(scores(0), scores(0))
    assert not torch.allclose(scores(0), scores(1))


@pytest.mark.parametrize("build", [ProbedLiSSA, ProbedDataInf])
def test_large_is_suspicious(build):
    model, _training, _validation = linear()
    assert build(model).suspicious == "high"
