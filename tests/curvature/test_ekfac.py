"""EK-FAC against dense matrices, an exact Kronecker product and kronfluence."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

from fvm_core.curvature import per_sample
from fvm_core.curvature.diagonal import Diagonal
from fvm_core.curvature.ekfac import EKFAC
from fvm_core.errors import SaltflatError
from fvm_core.estimators.ekfac import EKFACInfluence
from tests.cases import digits, small_bn_cnn
from tests.curvature.cases import (
    CLASSES,
    batched,
    damped_solve,
    drawn,
    flat,
    gradients,
    label_gradients,
    linear,
    named,
)
from tests.oracles.libraries import kronfluence_analyzer
from tests.oracles.nets import drawn_case


def dense(model, data, damping):
    """The matrix that EK-FAC of one linear layer with bias stands for, without its λ: (P, P), row-major."""
    images, labels = data
    a = torch.cat([images, torch.ones(len(images), 1, dtype=images.dtype)], 1)
    delta = model(images).detach().softmax(1) - F.one_hot(labels, CLASSES)
    q_a = torch.linalg.eigh(a.T @ a).eigenvectors
    q_s = torch.linalg.eigh(delta.T @ delta).eigenvectors
    turn = torch.kron(q_s, q_a)
    rows = (delta[:, :, None] * a[:, None, :]).flatten(1) @ turn
    eigenvalues = rows.square().mean(0)
    return turn @ torch.diag(eigenvalues + damping * eigenvalues.mean()) @ turn.T


def joined(vector):
    """Weight with the bias as last column, flat."""
    return torch.cat([vector["0.weight"], vector["0.bias"][:, None]], 1).flatten()


@pytest.mark.parametrize("size", [40, 7])
def test_one_linear_layer(size):
    model, training, _validation = linear()
    vectors = [drawn(model, seed) for seed in (3, 4)]
    inverse = EKFAC(model, fisher="empirical").fit(batched(training, size))
    for vector, found in zip(vectors, inverse.times(vectors), strict=True):
        wanted = torch.linalg.solve(dense(model, training, 0.1), joined(vector))
        torch.testing.assert_close(joined(found), wanted, rtol=1e-8, atol=1e-8)


def test_exact_where_the_fisher_is_a_kronecker_product():
    """Zero weights make δ independent of a when every input comes with every label."""
    model, (images, _labels), _validation = linear()
    for parameter in model.parameters():
        parameter.data.zero_()
    data = images.repeat(CLASSES, 1), torch.arange(CLASSES).repeat_interleave(len(images))
    rows = gradients(model, *data)
    fisher = rows.T @ rows / len(rows)
    inverse = EKFAC(model, fisher="empirical", damping=0.01, damping_kind="absolute").fit(batched(data, 30))
    vector = drawn(model)
    (found,) = inverse.times([vector])
    torch.testing.assert_close(flat(found), damped_solve(fisher, 0.01, flat(vector)), rtol=1e-8, atol=1e-8)


def test_drawn_labels_give_the_true_fisher():
    """At zero weights `F = E[aaᵀ] ⊗ (diag p − ppᵀ)` with p = 1/K, whatever the given labels."""
    model, (images, labels), _validation = linear()
    for parameter in model.parameters():
        parameter.data.zero_()
    many = images.repeat(500, 1), torch.zeros(500 * len(labels), dtype=torch.int64)
    inverse = EKFAC(model, damping=0.05, damping_kind="absolute").fit(batched(many, 1000))
    vector = drawn(model)
    (found,) = inverse.times([vector])
    p = torch.full((CLASSES,), 1 / CLASSES, dtype=torch.float64)
    a = torch.cat([images, torch.ones(len(images), 1, dtype=torch.float64)], 1)
    fisher = torch.kron(p.diag() - torch.outer(p, p), a.T @ a / len(a))
    wanted = damped_solve(fisher, 0.05, joined(vector))
    assert float((joined(found) - wanted).norm() / wanted.norm()) < 0.02
    (again,) = EKFAC(model, damping=0.05, damping_kind="absolute").fit(batched(many, 1000)).times([vector])
    assert torch.equal(flat(again), flat(found)), "the drawn labels are fixed"


def test_other_parameters_have_the_diagonal_fisher(monkeypatch):
    model = small_bn_cnn().double()
    images, labels = digits(20)
    data = batched((images.double(), labels), 8)
    vector = drawn(model)
    (found,) = EKFAC(model, fisher="empirical").fit(data).times([vector])
    assert all(found[name].shape == p.shape for name, p in model.named_parameters())
    rows = gradients(model, images.double(), labels)
    fisher = named(rows.square().mean(0), model)["1.weight"]
    torch.testing.assert_close(found["1.weight"], vector["1.weight"] / (fisher + 0.1 * fisher.mean()))
    monkeypatch.setattr(per_sample, "_FLOATS", 1000)
    (sliced,) = EKFAC(model, fisher="empirical").fit(data).times([vector])
    torch.testing.assert_close(
        flat(sliced), flat(found), rtol=1e-6, atol=1e-6 * float(flat(found).abs().max())
    )


def test_convolutions_of_all_kinds():
    """`E_n[(Q_Sᵀ G_n Q_A)²]` sums to `E‖G‖²`, which shows that patches and gradients have one order."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding="same", padding_mode="reflect"),
        nn.Tanh(),
        nn.Conv2d(4, 6, (3, 2), stride=2, dilation=(1, 2), padding=(1, 2), bias=False),
        nn.Tanh(),
        nn.Conv2d(6, 6, 3, padding=1, groups=2),
        nn.Flatten(),
        nn.LazyLinear(CLASSES),
    ).double()
    images = torch.randn(9, 2, 7, 7, dtype=torch.float64)
    model(images)
    model.eval()
    labels = torch.arange(9) % CLASSES
    inverse = EKFAC(model, fisher="empirical").fit([(images, labels)])
    assert set(inverse.effective_damping()) == {"0", "2", "6", "4.weight", "4.bias"}
    rows = gradients(model, images, labels)
    vector = drawn(model)
    (found,) = inverse.times([vector])
    # A and S are built anew by autograd: A from a linear map's patches, S from δ = ∂ℓ/∂output.
    for layer, position in (("0", 0), ("2", 2)):
        below = model[:position](images).detach()
        output = model[position](below).detach().requires_grad_()
        (delta,) = torch.autograd.grad(
            F.cross_entropy(model[position + 1 :](output), labels, reduction="sum"), output
        )
        module = model[position]
        d = delta.flatten(2).transpose(1, 2).flatten(0, 1)
        a = patches_by_autograd(module, below)
        bias = module.bias is not None
        if bias:
            a = torch.cat([a, torch.ones(len(a), 1, dtype=a.dtype)], 1)
        q_a, q_s = (torch.linalg.eigh(x.T @ x).eigenvectors for x in (a, d))
        own = [named(row, model) for row in rows]
        g = torch.stack([matrix(one, layer, bias) for one in own])
        eigenvalues = (q_s.T @ g @ q_a).square().mean(0)
        v = matrix(vector, layer, bias)
        wanted = q_s @ ((q_s.T @ v @ q_a) / (eigenvalues + 0.1 * eigenvalues.mean())) @ q_a.T
        torch.testing.assert_close(matrix(found, layer, bias), wanted, rtol=1e-7, atol=1e-7)


def matrix(values, layer, bias):
    weight = values[f"{layer}.weight"].flatten(1)
    return torch.cat([weight, values[f"{layer}.bias"][:, None]], 1) if bias else weight


def patches_by_autograd(module, inputs):
    """The input patch of each position, as the derivative of the first output channel by its weights."""
    weight = module.weight.detach().clone().requires_grad_()

    def first(own):
        swapped = copy.deepcopy(module)
        swapped.weight = nn.Parameter(module.weight.detach())
        output = torch.func.functional_call(swapped, {"weight": own}, (inputs,))
        return output[:, 0].flatten()

    return torch.autograd.functional.jacobian(first, weight)[:, 0].flatten(1)


def test_diagonal():
    model, training, _validation = linear()
    rows = gradients(model, *training)
    fisher = rows.square().mean(0)
    vector = drawn(model)
    inverse = Diagonal(model).fit(batched(training, 7))
    (found,) = inverse.times([vector])
    torch.testing.assert_close(flat(found), flat(vector) / (fisher + 0.1 * fisher.mean()))
    assert inverse.effective_damping() == pytest.approx(0.1 * float(fisher.mean()))


def test_wrong_settings_are_told():
    model, training, _validation = linear()
    with pytest.raises(SaltflatError, match="Fisher"):
        EKFAC(model, fisher="exact")
    with pytest.raises(SaltflatError, match="empty"):
        EKFAC(model).fit([(training[0][:0], training[1][:0])])


@pytest.mark.oracle
@pytest.mark.parametrize("damping", [None, 1e-3])
def test_kronfluence(damping, tmp_path):
    """Pairwise scores `g_valᵀ (F + λ)⁻¹ g_tr`, summed over the validation set."""
    pytest.importorskip("kronfluence")
    from kronfluence.arguments import ScoreArguments

    case = drawn_case()
    training = case.val_images, case.val_labels
    analyzer = kronfluence_analyzer(case.plain, "ekfac", TensorDataset(*training), tmp_path)
    analyzer.compute_pairwise_scores(
        "pairs",
        "ekfac",
        TensorDataset(case.images, case.labels),
        TensorDataset(*training),
        per_device_query_batch_size=5,
        per_device_train_batch_size=4,
        score_args=ScoreArguments(damping_factor=damping),
    )
    wanted = analyzer.load_pairwise_scores("pairs")["all_modules"].mean(0)
    options = {} if damping is None else {"damping": damping, "damping_kind": "absolute"}
    estimator = EKFACInfluence(case.plain, fisher="empirical", **options)
    estimator.fit(batched(training, 5), [(case.images, case.labels)])
    found = estimator.score(*training)
    assert float((found - wanted).norm() / wanted.norm()) < 5e-5
    labels = label_gradients(case.plain, training[0], 4) @ flat(estimator.direction)
    assert float((estimator.score_labels(training[0]) - labels).norm() / labels.norm()) < 1e-5
