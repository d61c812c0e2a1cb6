"""TracIn against sums written out, and against dattri."""

import pytest
import torch

from fvm_core.errors import SaltflatError
from fvm_core.estimators.materials import Checkpoint
from fvm_core.estimators.tracin import TracIn
from tests.cases import digits, small_bn_cnn
from tests.curvature.cases import batched, gradients, label_gradients, linear

RATES = (0.1, 0.05, 0.01)


def checkpoints(model):
    """Three states around the model's own, BatchNorm's statistics among them."""
    torch.manual_seed(2)
    found = []
    for rate in RATES:
        state = {}
        for name, value in model.state_dict().items():
            moved = value.is_floating_point()
            state[name] = value + 0.05 * torch.rand_like(value) if moved else value.clone()
        found.append(Checkpoint(state, rate))
    return found


def summed(model, states, images, validation, classes):
    """`Σ_c lr_c g_(x,k)ᵀ ḡ_val` (N, K), one plain backward pass at a time."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    total = 0
    for checkpoint in states:
        model.load_state_dict(checkpoint.state)
        mean = gradients(model, *validation).mean(0)
        total = total + checkpoint.lr * label_gradients(model, images, classes) @ mean
    model.load_state_dict(before)
    return total


def test_a_linear_model_in_float64():
    model, training, validation = linear()
    states = checkpoints(model)
    estimator = TracIn(model, states).fit(None, batched(validation, 7))
    wanted = summed(model, states, training[0], validation, 3)
    torch.testing.assert_close(estimator.score_labels(training[0]), wanted, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(estimator.score(*training), wanted.gather(1, training[1][:, None])[:, 0])


def test_batch_norm_statistics_are_those_of_the_checkpoint():
    model = small_bn_cnn()
    images, _labels = digits(10)
    validation = digits(20, split="val")
    states = checkpoints(model)
    estimator = TracIn(model, states).fit(None, batched(validation, 8))
    wanted = summed(model, states, images, validation, 10)
    found = estimator.score_labels(images)
    assert float((found - wanted).norm() / wanted.norm()) < 1e-5


def test_no_checkpoints_and_those_of_another_model_are_told():
    model, _training, _validation = linear()
    with pytest.raises(SaltflatError, match="checkpoints"):
        TracIn(model, [])
    with pytest.raises(SaltflatError, match="another model"):
        TracIn(model, [Checkpoint(linear(features=4)[0].state_dict(), 0.1)])


@pytest.mark.oracle
def test_dattri():
    pytest.importorskip("dattri")
    from dattri.algorithm.tracin import TracInAttributor
    from dattri.task import AttributionTask
    from torch.utils.data import DataLoader, TensorDataset

    model, training, validation = linear()
    model, training, validation = model.float(), single(training), single(validation)
    states = checkpoints(model)

    def loss(parameters, data):
        images, labels = data
        logits = torch.func.functional_call(
            model, parameters, (images[None] if images.dim() == 1 else images,)
        )
        return torch.nn.functional.cross_entropy(logits, labels.reshape(-1))

    task = AttributionTask(loss_func=loss, model=model, checkpoints=[c.state for c in states])
    oracle = TracInAttributor(task, weight_list=torch.tensor(RATES), normalized_grad=False)
    oracle.projector_kwargs = None
    wanted = oracle.attribute(
        DataLoader(TensorDataset(*training), 40), DataLoader(TensorDataset(*validation), 20)
    ).mean(1)
    found = TracIn(model, states).fit(None, [validation]).score(*training)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6 * float(wanted.abs().max()))


def single(data):
    return data[0].float(), data[1]
