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
    generator = torch.Generator().manual_seed(1)
    module = randomised(module, generator)
    inputs = torch.randn(shape, generator=generator, dtype=torch.float64)
    compare_with_autograd(module, inputs, module(inputs), generator)


TOKENS = [
    ("embedding", nn.Embedding(9, 4), (5, 30)),
    ("embedding, one token", nn.Embedding(9, 4), (5,)),
    ("embedding, two axes", nn.Embedding(9, 4), (5, 2, 6)),
    ("embedding, padding", nn.Embedding(9, 4, padding_idx=2), (5, 30)),
    ("embedding, only padding", nn.Embedding(1, 4, padding_idx=0), (5, 3)),
]


@pytest.mark.parametrize("kind", [torch.int64, torch.int32])
@pytest.mark.parametrize(("module", "shape"), [case[1:] for case in TOKENS], ids=[case[0] for case in TOKENS])
def test_embedding_equals_autograd(module, shape, kind):
    generator = torch.Generator().manual_seed(1)
    module = randomised(module, generator)
    tokens = torch.randint(module.num_embeddings, shape, generator=generator).to(kind)
    compare_with_autograd(module, tokens, module(tokens), generator)


ATTENTION = [
    ("packed", {}, 8, 8),
    ("one head, no bias", {"num_heads": 1, "bias": False}, 8, 8),
    ("kdim and vdim", {"kdim": 6, "vdim": 5}, 6, 5),
    ("kdim and vdim, no bias", {"kdim": 6, "vdim": 5, "bias": False}, 6, 5),
]


@pytest.mark.parametrize(
    ("options", "keys", "values"), [case[1:] for case in ATTENTION], ids=[case[0] for case in ATTENTION]
)
def test_attention_across_equals_autograd(options, keys, values):
    generator = torch.Generator().manual_seed(1)
    module = randomised(attention(**options), generator)
    query = 0.3 * torch.randn(3, 4, 8, generator=generator, dtype=torch.float64)
    key = 0.3 * torch.randn(3, 7, keys, generator=generator, dtype=torch.float64)
    value = 0.3 * torch.randn(3, 7, values, generator=generator, dtype=torch.float64)
    compare_with_autograd(module, (query, key, value), module(query, key, value)[0], generator)


@pytest.mark.parametrize("need_weights", [False, True])
def test_attention_to_itself_equals_autograd(need_weights):
    generator = torch.Generator().manual_seed(1)
    module = randomised(attention(), generator)
    x = 0.3 * torch.randn(3, 5, 8, generator=generator, dtype=torch.float64)
    compare_with_autograd(module, (x, x, x), module(x, x, x, need_weights=need_weights)[0], generator)
    assert kernel_for(module).owns_children


@pytest.mark.parametrize("options", [{"batch_first": False}, {"add_bias_kv": True}, {"add_zero_attn": True}])
def test_attention_of_another_form_is_refused(options):
    x = torch.randn(3, 5, 8)
    module = attention(**options)
    with pytest.raises(NotImplementedError):
        kernel_for(module).gradients(module, (x, x, x), x)


def test_attention_with_masks_or_inputs_by_keyword_is_left_to_the_fallback():
    x = torch.randn(3, 5, 8)
    kernel = kernel_for(attention())
    assert kernel.serves((x, x, x), {"need_weights": False, "attn_mask": None})
    assert not kernel.serves((x, x), {"value": x})
    assert not kernel.serves((x, x, x), {"key_padding_mask": torch.zeros(3, 5, dtype=torch.bool)})
    assert not kernel.serves((x, x, x, torch.zeros(3, 5, dtype=torch.bool)), {})


@pytest.mark.parametrize("options", [{}, {"bias": False}])
def test_attention_in_half_precision(options):
    """As under autocast: weights stay float32, inputs and δ are bfloat16."""
    torch.manual_seed(2)
    module = attention(**options).eval()
    x, delta = torch.randn(3, 5, 8), torch.randn(3, 5, 8)
    kernel = kernel_for(module)
    exact = kernel.gradients(module, (x, x, x), delta)
    low = x.bfloat16()
    for name, rough in kernel.gradients(module, (low, low, low), delta.bfloat16()).items():
        assert (rough - exact[name]).norm() < 0.02 * exact[name].norm()


def attention(**options):
    return nn.MultiheadAttention(8, **{"num_heads": 2, "batch_first": True} | options)


def randomised(module, generator):
    module = module.double().eval()
    for value in [*module.parameters(), *module.buffers()]:
        if value.is_floating_point():
            value.data = torch.rand(value.shape, generator=generator, dtype=torch.float64) + 0.5
    return module


def compare_with_autograd(module, inputs, output, generator):
    """All three methods of the module's kernel, for a random δ at `output`."""
    delta = torch.randn(output.shape, generator=generator, dtype=torch.float64)
    names = [name for name, _ in module.named_parameters()]
    wanted = {name: [] for name in names}
    for sample in range(len(output)):
        value = (output[sample] * delta[sample]).sum()
        gradients = torch.autograd.grad(value, list(module.parameters()), retain_graph=True)
        for name, gradient in zip(names, gradients, strict=True):
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
