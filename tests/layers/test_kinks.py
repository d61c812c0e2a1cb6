"""A ReLU whose input is 0 but for rounding is no reason to take a model in a slower way."""

import pytest
import torch
from torch import nn

from fvm_core.layers.tapped import TappedModel

ROUNDING = 1e-6


class Rounded(nn.Module):
    """Rounds the input of its ReLU otherwise for a batch than for one sample, as convolutions do."""

    def __init__(self, wrong: bool = False):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two, self.head = nn.Linear(6, 5), nn.Linear(5, 5), nn.Linear(5, 3)
        self.one.weight.data[0] = 0
        self.one.weight.data[0, 0] = 1
        self.one.bias.data.zero_()
        self.wrong = wrong

    def forward(self, x):
        z = self.one(x) - ROUNDING * (len(x) > 1)
        h = self.two(torch.relu(z))
        if self.wrong and len(x) > 1:  # a gradient that no layer's kernel gives
            h = h.detach() + 0.5 * (h - h.detach())
        return self.head(torch.relu(h))


def example(first: float) -> torch.Tensor:
    torch.manual_seed(1)
    images = torch.randn(2, 6)
    images[0, 0] = first
    return images


@pytest.mark.parametrize("first", [1.0, ROUNDING / 2], ids=["away from it", "at the kink"])
def test_a_kink_of_the_example_costs_no_speed(first):
    tapped = TappedModel(Rounded().eval(), example(first))
    assert set(tapped.taps) == {"one", "two", "head"} and tapped.leftover == []
    assert len(tapped.segments) == len(TappedModel(Rounded().eval(), example(1.0)).segments)


def test_at_the_kink_autograd_really_differs():
    model, images = Rounded().eval(), example(ROUNDING / 2)
    gradients = []
    for part in (images[:1], images):
        loss = model(part)[0].sum()
        gradients.append(torch.autograd.grad(loss, model.one.weight)[0][0])
    assert (gradients[0] - gradients[1]).norm() > 0.1 * gradients[0].norm()


def test_what_is_wrong_beside_the_example_too_is_no_kink():
    tapped = TappedModel(Rounded(wrong=True).eval(), example(ROUNDING / 2))
    assert not {"one", "two"} & set(tapped.taps), "their kernels are not what autograd gives"
