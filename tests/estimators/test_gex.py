"""GEX against the variance written out."""

import copy

import pytest
import torch
import torch.nn.functional as F

from fvm_core.errors import SaltflatError
from fvm_core.estimators.gex import GEX, tuned_members
from tests.cases import digits, small_bn_cnn
from tests.curvature.cases import linear


def members(model, count=5):
    torch.manual_seed(4)
    states = []
    for _ in range(count):
        state = copy.deepcopy(model.state_dict())
        states.append(
            {n: v + 0.05 * torch.rand_like(v) if v.is_floating_point() else v for n, v in state.items()}
        )
    return states


@pytest.mark.parametrize("case", ["linear", "cnn"])
def test_variance_of_the_losses(case):
    if case == "linear":
        model, (images, labels), _validation = linear()
        classes = 3
    else:
        model, (images, labels), classes = small_bn_cnn(), digits(12), 10
    states = members(model)
    estimator = GEX(model, states)
    own = copy.deepcopy(model)
    losses = []
    for state in states:
        own.load_state_dict(state)
        every = [
            F.cross_entropy(own(images), torch.full_like(labels, k), reduction="none") for k in range(classes)
        ]
        losses.append(torch.stack(every, 1).detach())
    wanted = torch.stack(losses).var(0, correction=0)
    tolerance = {"rtol": 1e-9, "atol": 1e-12} if case == "linear" else {"rtol": 1e-3, "atol": 1e-6}
    torch.testing.assert_close(estimator.fit().score_labels(images), wanted, **tolerance)
    torch.testing.assert_close(
        estimator.score(images, labels), wanted.gather(1, labels[:, None])[:, 0], **tolerance
    )


def test_one_member_is_refused():
    model = linear()[0]
    with pytest.raises(SaltflatError, match="at least two"):
        GEX(model, members(model, 1))


@pytest.mark.parametrize("continued", [True, False])
def test_members_are_tuned_one_after_the_other(continued):
    model = linear()[0]
    before = model[0].bias.detach().clone()
    told = []

    def tune(own, seed):
        own[0].bias.data += seed + 1

    found = list(
        tuned_members(
            model, tune, range(3), continued=continued, progress=lambda *values: told.append(values)
        )
    )
    steps = [1, 3, 6] if continued else [1, 2, 3]
    for state, step in zip(found, steps, strict=True):
        torch.testing.assert_close(state["0.bias"], before + step)
    assert torch.equal(model[0].bias, before)
    assert told == [("members", number, 3) for number in range(3)]
