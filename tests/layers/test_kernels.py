"""Every kernel against plain autograd, one sample at a time."""

import pytest
import torch
from torch import nn

from fvm_core.layers import kernel_for

torch.manual_seed(0)
CASES = [
    ("linear", nn.Linear(5, 3), (4, 5)),
    ("linear, many positions", nn.Linear(5, 3), (4, 7, 5)),
    ("linear, no bias", nn.Linear(5, 3, bias=False), (4, 2, 3, 5)),
    ("conv1d", nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2), (3, 4, 11)),
    ("conv2d", nn.Conv2d(3, 4, 3, padding=1), (3, 3, 6, 5)),
    (
        "conv2d, stride and dilation",
        nn.Conv2d(3, 4, (3, 2), stride=(2, 1), dilation=2, padding=(2, 1)),
        (3, 3, 9, 8),
    ),
    ("conv2d, depthwise", nn.Conv2d(4, 8, 3, groups=4, bias=False), (3, 4, 6, 6)),
    ("conv2d, same", nn.Conv2d(2, 3, 4, padding="same"), (2, 2, 7, 7)),
    ("conv2d, reflect", nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"), (2, 2, 6, 6)),
    ("conv2d, uneven same", nn.Conv2d(2, 3, (2, 5), padding="same"), (2, 2, 6, 7)),
    ("conv3d", nn.Conv3d(2, 4, (2, 3, 1), stride=(1, 2, 1), padding=(1, 0, 0), groups=2), (2, 2, 4, 7, 3)),
    ("batch norm", nn.BatchNorm2d(4), (3, 4, 5, 5)),
    ("batch norm 1d", nn.BatchNorm1d(4), (3, 4)),
    ("layer norm", nn.LayerNorm(6), (3, 5, 6)),
    ("layer norm, two axes", nn.LayerNorm((5, 6)), (3, 2, 5, 6)),
    ("group norm", nn.GroupNorm(2, 4), (3, 4, 5)),
    ("instance norm", nn.InstanceNorm2d(4, affine=True), (3, 4, 5, 5)),
    ("rms norm", nn.RMSNorm(6), (3, 5, 6)),
]


@pytest.mark.parametrize(("module", "shape"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_kernel_equals_autograd(module, shape):
    module = module.double().eval()
    generator = torch.Generator().manual_seed(1)
    for value in [*module.parameters(), *module.buffers()]:
        if value.is_floating_point():
            value.data = torch.rand(value.shape, generator=generator, dtype=torch.float64) + 0.5
    inputs = torch.randn(shape, generator=generator, dtype=torch.float64)
    output = module(inputs)
    delta = torch.randn(output.shape, generator=generator, dtype=torch.float64)
    names = [name for name, _ in module.named_parameters()]
    wanted = {name: [] for name in names}
    for sample in range(len(inputs)):
        value = (module(inputs)[sample] * delta[sample]).sum()
        for name, gradient in zip(names, torch.autograd.grad(value, list(module.parameters())), strict=True):
            wanted[name].append(gradient)
    wanted = {name: torch.stack(values) for name, values in wanted.items()}
    weights = {
        name: torch.rand(p.shape, generator=generator).double() for name, p in module.named_parameters()
    }

    kernel = kernel_for(module)
    with torch.no_grad():
        found = kernel.gradients(module, inputs, delta)
        form = kernel.quadratic(module, inputs, delta, weights)
        squares = kernel.square_sum(module, inputs, delta)
    expected = sum((wanted[name].square() * weights[name]).flatten(1).sum(1) for name in names)
    assert set(found) == set(names) == set(squares)
    torch.testing.assert_close(form, expected, rtol=1e-10, atol=1e-12)
    for name in names:
        torch.testing.assert_close(found[name], wanted[name], rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(squares[name], wanted[name].square().sum(0), rtol=1e-10, atol=1e-12)


def test_a_subclass_has_no_kernel():
    class Scaled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    assert kernel_for(Scaled(2, 2)) is None
    assert kernel_for(nn.Linear(2, 2)) is not None
