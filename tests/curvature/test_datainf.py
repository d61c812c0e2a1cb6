"""DataInf against its formula with every gradient written out."""

import pytest
import torch
from torch import nn

from fvm_core.curvature import per_sample
from fvm_core.curvature.datainf import DataInf
from fvm_core.errors import SaltflatError
from fvm_core.estimators.datainf import DataInfInfluence
from tests.cases import digits, small_bn_cnn
from tests.curvature.cases import batched, drawn, flat, gradients, linear, named


def formula(model, data, vector, damping=0.1, absolute=None):
    """Per tensor `(1/n) Σ_i (g_i g_iᵀ + λ)⁻¹ v`, by dense inverses or, for large tensors, as published."""
    rows = gradients(model, *data)
    found = {}
    for name, value in vector.items():
        g = torch.stack([named(row, model)[name].flatten() for row in rows])
        level = damping * g.square().mean() if absolute is None else absolute
        v = value.flatten()
        if g.shape[1] <= 200:
            eye = torch.eye(g.shape[1], dtype=g.dtype)
            parts = [torch.linalg.solve(torch.outer(one, one) + level * eye, v) for one in g]
        else:
            parts = [(v - (v @ one) / (level + one @ one) * one) / level for one in g]
        found[name] = torch.stack(parts).mean(0).reshape(value.shape)
    return found


@pytest.mark.parametrize("size", [40, 7])
@pytest.mark.parametrize("absolute", [None, 0.02])
def test_a_linear_model_in_float64(size, absolute):
    model, training, _validation = linear()
    options = {} if absolute is None else {"damping": absolute, "damping_kind": "absolute"}
    vectors = [drawn(model, seed) for seed in (3, 4)]
    inverse = DataInf(model, **options).fit(batched(training, size))
    for vector, found in zip(vectors, inverse.times(vectors), strict=True):
        wanted = formula(model, training, vector, absolute=absolute)
        torch.testing.assert_close(flat(found), flat(wanted), rtol=1e-9, atol=1e-9)
    if absolute is None:
        rows = gradients(model, *training)
        weight = torch.stack([named(row, model)["0.weight"] for row in rows])
        assert inverse.effective_damping()["0.weight"] == pytest.approx(0.1 * float(weight.square().mean()))


@pytest.mark.parametrize("floats", [None, 1000])
def test_a_network_with_batch_norm(floats, monkeypatch):
    if floats is not None:
        monkeypatch.setattr(per_sample, "_FLOATS", floats)
    model = small_bn_cnn().double()
    images, labels = digits(20)
    data = images.double(), labels
    vector = drawn(model)
    (found,) = DataInf(model).fit(batched(data, 8)).times([vector])
    for name, wanted in formula(model, data, vector).items():
        torch.testing.assert_close(found[name], wanted, rtol=1e-5, atol=1e-7 * float(wanted.abs().max()))


def test_a_parameter_that_no_gradient_reaches_gives_zero():
    class Unused(nn.Module):
        def __init__(self):
            super().__init__()
            self.head, self.spare = nn.Linear(5, 3), nn.Linear(5, 3)

        def forward(self, x):
            return self.head(x)

    _model, training, _validation = linear()
    model = Unused().double().eval()
    (found,) = DataInf(model).fit([training]).times([drawn(model)])
    assert float(found["spare.weight"].abs().max()) == 0
    assert found["head.weight"].isfinite().all()


def test_no_damping_and_no_samples_are_told():
    model, training, _validation = linear()
    with pytest.raises(SaltflatError, match="above 0"):
        DataInf(model, damping=0.0)
    with pytest.raises(SaltflatError, match="empty"):
        DataInf(model).fit([(training[0][:0], training[1][:0])])


@pytest.mark.oracle
def test_dattri():
    """dattri takes λ as it is, and a layer's weight and bias as one block: a model without biases."""
    pytest.importorskip("dattri")
    from dattri.algorithm.influence_function import IFAttributorDataInf
    from dattri.task import AttributionTask
    from torch.utils.data import DataLoader, TensorDataset

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4, bias=False), nn.Tanh(), nn.Linear(4, 3, bias=False)).eval()
    _model, training, validation = linear()
    training, validation = (training[0].float(), training[1]), (validation[0].float(), validation[1])

    def loss(parameters, data):
        images, labels = data
        logits = torch.func.functional_call(model, parameters, (images.reshape(-1, 5),))
        return nn.functional.cross_entropy(logits, labels.reshape(-1))

    task = AttributionTask(loss_func=loss, model=model, checkpoints=model.state_dict())
    oracle = IFAttributorDataInf(task, regularization=0.02)
    train_loader = DataLoader(TensorDataset(*training), 40)
    oracle.cache(train_loader)
    wanted = oracle.attribute(train_loader, DataLoader(TensorDataset(*validation), 20)).detach().mean(1)
    estimator = DataInfInfluence(model, damping=0.02, damping_kind="absolute")
    found = estimator.fit([training], [validation]).score(*training)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()))
