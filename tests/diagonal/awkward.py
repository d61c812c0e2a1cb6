"""Models that are easily taken wrongly: every entry point has to be right for them, or refuse them in words."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import prune
from torch.utils.checkpoint import checkpoint

SIZE, CLASSES = 8, 4


class Of(nn.Module):
    """A forward pass as a function of the model, which holds the given modules and tensors."""

    def __init__(self, forward: Callable[[Of, torch.Tensor], torch.Tensor], **parts: object):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self._forward = forward

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._forward(self, x)


def linear(inputs: int = SIZE, outputs: int = CLASSES, **options) -> nn.Linear:
    return nn.Linear(inputs, outputs, **options)


def layers(*more: nn.Module) -> nn.Sequential:
    return nn.Sequential(linear(SIZE, 12), nn.Tanh(), linear(12, SIZE), nn.ReLU(), *more, linear())


def sequence(x: torch.Tensor, length: int = 3) -> torch.Tensor:
    """(B, SIZE) as (B, length, SIZE), every step another one."""
    return torch.stack([x.roll(step, 1) for step in range(length)], 1)


def encoder(**options) -> nn.TransformerEncoderLayer:
    return nn.TransformerEncoderLayer(SIZE, 2, 16, batch_first=True, **options)


def tied(*places: int) -> nn.Module:
    """A chain of Linear and ReLU, two of which share a weight."""
    chain = [linear(SIZE, SIZE) for _ in range(6)]
    chain[places[1]].weight = chain[places[0]].weight
    return nn.Sequential(*[part for one in chain for part in (one, nn.Tanh())], linear())


def in_place(change: Callable[[torch.Tensor], torch.Tensor]) -> nn.Module:
    """A head whose output is written into."""

    def forward(model: Of, x: torch.Tensor) -> torch.Tensor:
        z = model.head(torch.relu(model.body(x)))
        change(z)
        return z

    return Of(forward, body=linear(SIZE, 12), head=linear(12))


def two_names() -> nn.Module:
    first = linear(SIZE, SIZE)
    return Of(
        lambda m, x: m.head(m.body(x)), first=first, body=nn.Sequential(first, nn.Tanh()), head=linear()
    )


def hooked(wrap: Callable[[nn.Module], nn.Module]) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        model = nn.Sequential(wrap(linear(SIZE, 12)), nn.Tanh(), linear(12, SIZE), nn.Tanh(), linear())
    model.eval()(torch.randn(2, SIZE))
    return model


def windows(m: Of, x: torch.Tensor) -> torch.Tensor:
    """As in Swin: windows are folded into the batch, LayerNorm goes over two dims of each."""
    folded = m.norm(m.body(sequence(x, 4)).reshape(len(x) * 2, 2, SIZE))
    return m.head(m.mix(folded).reshape(len(x), 4, SIZE).mean(1))


def recurrent(kind: type[nn.RNNBase], **options) -> nn.Module:
    return Of(
        lambda m, x: m.head(m.rnn(sequence(m.body(x)))[0][:, -1]),
        body=linear(SIZE, SIZE),
        rnn=kind(SIZE, 6, batch_first=True, **options),
        head=linear(6),
    )


def gated(m: Of, x: torch.Tensor) -> torch.Tensor:
    """`fc.weight` is read again, times a gate that is open for large inputs only."""
    h = torch.tanh(m.fc(x))
    return m.head(h + F.relu(x.abs().amax(1, keepdim=True) - 3.5) * F.linear(x, m.fc.weight))


def frozen_backbone(m: Of, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        x = torch.relu(m.body(x))
    return m.head(torch.tanh(m.neck(x)))


def half_frozen(m: Of, x: torch.Tensor) -> torch.Tensor:
    """A branch without gradient beside one with it: torch.fx does not see `no_grad`."""
    with torch.no_grad():
        side = m.body(x)
    return m.head(torch.tanh(m.body(x)) * side)


RIGHT: dict[str, Callable[[], nn.Module]] = {
    "plain": layers,
    "transformer encoder layer": lambda: Of(
        lambda m, x: m.head(m.layer(sequence(x)).mean(1)), layer=encoder(), head=linear()
    ),
    "transformer encoder": lambda: Of(
        lambda m, x: m.head(m.body(m.first(sequence(x))).mean(1)),
        first=linear(SIZE, SIZE),
        body=nn.TransformerEncoder(encoder(norm_first=True), 2, enable_nested_tensor=False),
        head=linear(),
    ),
    "transformer decoder layer": lambda: Of(
        lambda m, x: m.head(m.layer(sequence(x), m.memory(sequence(x, 2))).mean(1)),
        memory=linear(SIZE, SIZE),
        layer=nn.TransformerDecoderLayer(SIZE, 2, 16, batch_first=True),
        head=linear(),
    ),
    "data parallel inside": lambda: nn.Sequential(
        linear(SIZE, SIZE), nn.DataParallel(nn.Sequential(linear(SIZE, 12), nn.Tanh())), linear(12)
    ),
    "data parallel around": lambda: nn.DataParallel(layers()),
    "tied in two segments": lambda: tied(0, 5),
    "tied next to each other": lambda: tied(2, 3),
    "tied to the head": lambda: Of(
        lambda m, x: F.linear(torch.tanh(m.body(x)), m.table.weight) + m.head(x) * 0.1,
        body=linear(SIZE, SIZE),
        table=nn.Embedding(CLASSES, SIZE),
        head=linear(),
    ),
    "a layer used twice": lambda: Of(
        lambda m, x: m.head(torch.tanh(m.one(torch.tanh(m.one(x))))), one=linear(SIZE, SIZE), head=linear()
    ),
    "a module under two names": two_names,
    "head divided in place": lambda: in_place(lambda z: z.div_(0.3)),
    "head clamped in place": lambda: in_place(lambda z: z.clamp_(min=-0.2)),
    "head written in part": lambda: in_place(lambda z: z[:, 0].mul_(3.0)),
    "softened after the head": lambda: Of(
        lambda m, x: 3 * torch.tanh(m.head(torch.relu(m.body(x)))), body=linear(SIZE, 12), head=linear(12)
    ),
    "compiled": lambda: torch.compile(layers()),
    "compiled inside": lambda: nn.Sequential(
        linear(SIZE, SIZE), torch.compile(nn.Sequential(linear(SIZE, 12), nn.Tanh())), linear(12)
    ),
    "compiled in place": lambda: compiled_in_place(),
    "a tensor that requires grad": lambda: Of(
        lambda m, x: m.head(torch.tanh(m.body(x * m.scale))),
        body=linear(SIZE, 12),
        head=linear(12),
        scale=torch.ones(SIZE, requires_grad=True),
    ),
    "a scalar parameter": lambda: Of(
        lambda m, x: m.logit_scale.exp() * m.head(torch.tanh(m.body(x))),
        body=linear(SIZE, 12),
        head=linear(12),
        logit_scale=nn.Parameter(torch.tensor(0.3)),
    ),
    "weight norm by hook": lambda: hooked(nn.utils.weight_norm),
    "weight norm by parametrization": lambda: hooked(nn.utils.parametrizations.weight_norm),
    "spectral norm by hook": lambda: hooked(nn.utils.spectral_norm),
    "spectral norm by parametrization": lambda: hooked(nn.utils.parametrizations.spectral_norm),
    "pruned": lambda: hooked(lambda one: prune.l1_unstructured(one, "weight", 0.4)),
    "lstm": lambda: recurrent(nn.LSTM, num_layers=2),
    "gru": lambda: recurrent(nn.GRU, bidirectional=False),
    "rnn": lambda: recurrent(nn.RNN),
    "lstm cell": lambda: Of(lambda m, x: m.head(m.cell(x)[0]), cell=nn.LSTMCell(SIZE, 6), head=linear(6)),
    "backbone under no_grad": lambda: Of(
        frozen_backbone, body=linear(SIZE, 12), neck=linear(12, 6), head=linear(6)
    ),
    "half of it under no_grad": lambda: Of(half_frozen, body=linear(SIZE, SIZE), head=linear()),
    "a detached branch": lambda: Of(
        lambda m, x: m.head(torch.tanh(m.body(x)) + m.side(x).detach()),
        body=linear(SIZE, 12),
        side=linear(SIZE, 12),
        head=linear(12),
    ),
    "windows folded into the batch": lambda: Of(
        windows, body=linear(SIZE, SIZE), norm=nn.LayerNorm((2, SIZE)), mix=linear(SIZE, SIZE), head=linear()
    ),
    "sequence first": lambda: Of(
        lambda m, x: m.head(torch.tanh(m.body(sequence(x, 2).transpose(0, 1))).mean(0)),
        body=linear(SIZE, 12),
        head=linear(12),
    ),
    "a weight behind a closed gate": lambda: Of(gated, fc=linear(SIZE, SIZE), head=linear()),
    "gradients that are tiny": lambda: scaled(layers(), 1e-12),
    "traced": lambda: torch.jit.trace(layers().eval(), torch.randn(3, SIZE)),
    "scripted": lambda: torch.jit.script(layers().eval()),
    "a scripted part": lambda: nn.Sequential(
        linear(SIZE, SIZE), torch.jit.script(nn.Sequential(linear(SIZE, 12), nn.Tanh())), linear(12)
    ),
    "arguments by keyword": lambda: Of(
        lambda m, x: m.head(input=torch.tanh(m.body(input=x))), body=linear(SIZE, 12), head=linear(12)
    ),
    "a user's layer": lambda: Of(
        lambda m, x: m.head(torch.tanh(x @ m.w * m.b.exp())),
        w=nn.Parameter(torch.randn(SIZE, 12) * 0.3),
        b=nn.Parameter(torch.randn(12) * 0.1),
        head=linear(12),
    ),
    "without a head": lambda: Of(
        lambda m, x: -(m.body(x)[:, None] - m.centres).square().sum(2),
        body=linear(SIZE, 3),
        centres=nn.Parameter(torch.randn(CLASSES, 3)),
    ),
    "a loop over values": lambda: Of(
        lambda m, x: m.head(torch.stack([torch.tanh(m.body(row)) for row in x])),
        body=linear(SIZE, 12),
        head=linear(12),
    ),
    "batch norm without an affine part": lambda: layers(nn.BatchNorm1d(SIZE, affine=False)),
    "frozen in part": lambda: frozen_in_part(),
    "one weight and no bias": lambda: linear(bias=False),
    "log-softmax at the end": lambda: layers().append(nn.LogSoftmax(1)),
    "checkpointed": lambda: Of(
        lambda m, x: m.head(checkpoint(m.body, x, use_reentrant=False)), body=layers()[:-1], head=linear()
    ),
    "a user's forward hook": lambda: with_hook(layers()),
    "a user's forward hook in place": lambda: with_hook(layers(), lambda _m, _a, output: output.mul_(0.7)),
    "a user's pre-hook": lambda: with_pre_hook(layers()),
    "transposed convolutions": lambda: Of(
        lambda m, x: m.head(torch.tanh(m.up(torch.relu(m.down(x[:, None])))).mean(2)),
        down=nn.Conv1d(1, 4, 3),
        up=nn.ConvTranspose1d(4, 5, 3, stride=2),
        head=linear(5),
    ),
    "parametric activations": lambda: nn.Sequential(
        linear(SIZE, 12), nn.PReLU(12), linear(12, SIZE), nn.PReLU(), linear()
    ),
    "a bilinear layer": lambda: Of(
        lambda m, x: m.head(torch.tanh(m.mix(x, m.body(x)))),
        body=linear(SIZE, 4),
        mix=nn.Bilinear(SIZE, 4, 6),
        head=linear(6),
    ),
    "a cosine head": lambda: Of(
        lambda m, x: 5 * F.normalize(torch.tanh(m.body(x))) @ F.normalize(m.head.weight).T,
        body=linear(SIZE, 12),
        head=linear(12),
    ),
    "attention with a mask": lambda: Of(
        lambda m, x: m.head(
            m.attention(*[sequence(x)] * 3, attn_mask=torch.triu(torch.ones(3, 3), 1).bool())[0].mean(1)
        ),
        attention=nn.MultiheadAttention(SIZE, 2, batch_first=True),
        head=linear(),
    ),
    "attention, sequence first": lambda: Of(
        lambda m, x: m.head(m.attention(*[sequence(x).transpose(0, 1)] * 3)[0].mean(0)),
        attention=nn.MultiheadAttention(SIZE, 2),
        head=linear(),
    ),
    "a whole transformer": lambda: Of(
        lambda m, x: m.head(m.body(sequence(x), sequence(x.flip(1), 2)).mean(1)),
        body=nn.Transformer(SIZE, 2, 1, 1, 16, batch_first=True),
        head=linear(),
    ),
    "part of the head's output": lambda: Of(
        lambda m, x: m.head(m.body(x))[:, :CLASSES], body=linear(SIZE, 12), head=linear(12, 9)
    ),
    "experts by weight": lambda: Of(
        lambda m, x: sum(
            g[:, None] * one(x) for g, one in zip(m.gate(x).softmax(1).T, m.experts, strict=True)
        ),
        gate=linear(SIZE, 3),
        experts=nn.ModuleList([linear() for _ in range(3)]),
    ),
    "a sample's own statistics": lambda: layers(
        nn.LayerNorm(SIZE, elementwise_affine=False), nn.RMSNorm(SIZE)
    ),
    "weights that are made": lambda: Of(
        lambda m, x: torch.einsum("bi,boi->bo", x, m.maker(x).reshape(-1, CLASSES, SIZE)),
        maker=linear(SIZE, CLASSES * SIZE),
    ),
}
"""Models that are right as they are."""


class Drawing(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * (torch.rand(len(x), 1) > 0.01)


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "mean of the batch taken off": (
        lambda: Of(lambda m, x: m.head((h := m.body(x)) - h.mean(0)), body=linear(SIZE, 12), head=linear(12)),
        "depend on the others",
    ),
    "batch statistics in evaluation mode": (
        lambda: layers(nn.BatchNorm1d(SIZE, track_running_stats=False)),
        "depend on the others",
    ),
    "a branch on the batch's mean": (
        lambda: Of(
            lambda m, x: m.one(x) if x.sum() > m.middle * len(x) else m.two(x),
            one=linear(),
            two=linear(),
            middle=0.0,
        ),
        "depend on the others|alone",
    ),
    "softmax over the batch": (
        lambda: Of(lambda m, x: m.head(x * m.gate(x).softmax(0)), gate=linear(SIZE, 1), head=linear()),
        "depend on the others",
    ),
    "the sorted batch": (
        lambda: Of(lambda m, x: m.head(x.sort(0).values), head=linear()),
        "depend on the others",
    ),
    "random numbers": (lambda: layers(Drawing()), "random"),
    "dropout that is always on": (
        lambda: Of(lambda m, x: m.head(F.dropout(x, 0.01, training=True)), head=linear()),
        "random",
    ),
    "a counter": (
        lambda: Of(lambda m, x: m.head(x) * next(m.numbers), head=linear(), numbers=iter(range(1, 10**6))),
        "twice",
    ),
    "one logit": (lambda: layers(nn.ReLU()).append(linear(CLASSES, 1)), "two classes"),
    "a tuple": (lambda: Of(lambda m, x: (m.head(x), x), head=linear()), "logits"),
    "a map": (lambda: Of(lambda m, x: m.head(x)[:, :, None], head=linear()), "logits"),
    "nothing to train": (lambda: layers().requires_grad_(False), "no trainable"),
    "everything under no_grad": (
        lambda: Of(lambda m, x: m.head(x).detach(), head=linear()),
        "none of its trainable",
    ),
    "NaN among the weights": (lambda: broken(layers()), "NaN"),
    "inference mode in the forward pass": (
        lambda: Of(lambda m, x: m.head(inferred(m.body, x)), body=linear(SIZE, SIZE), head=linear()),
        "can't be run|can't be computed",
    ),
    "other inputs than the example": (
        lambda: nn.Sequential(linear(SIZE + 1, 12), linear(12)),
        "can't be run",
    ),
    "checkpointed in the old way": (
        lambda: Of(
            lambda m, x: m.head(checkpoint(m.body, torch.tanh(m.first(x)), use_reentrant=True)),
            first=linear(SIZE, SIZE),
            body=layers()[:-1],
            head=linear(),
        ),
        "can't be computed.*use_reentrant",
    ),
    "an operation without a gradient": (
        lambda: Of(lambda m, x: m.head(NoGradient.apply(m.body(x))), body=linear(SIZE, SIZE), head=linear()),
        "no gradient here",
    ),
}
"""Models whose samples have no influence, and a word of the reason."""


def inferred(part: nn.Module, x: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return part(x)


class NoGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        raise RuntimeError("no gradient here")


def with_hook(model: nn.Sequential, hook=lambda _module, _args, output: 2 * output) -> nn.Module:
    model[2].register_forward_hook(hook)
    return model


def with_pre_hook(model: nn.Sequential) -> nn.Module:
    model[2].register_forward_pre_hook(lambda _module, args: (args[0] ** 2,))
    return model


def scaled(model: nn.Sequential, factor: float) -> nn.Module:
    with torch.no_grad():
        model[-1].weight.mul_(factor)
    return model


def broken(model: nn.Sequential) -> nn.Module:
    with torch.no_grad():
        model[0].weight[0, 0] = torch.nan
    return model


def compiled_in_place() -> nn.Module:
    model = layers()
    model.compile()
    return model


def frozen_in_part() -> nn.Module:
    model = layers()
    model[0].requires_grad_(False)
    model[2].bias.requires_grad_(False)
    return model


def build(make: Callable[[], nn.Module]) -> nn.Module:
    """A model in evaluation mode with the same weights every time."""
    torch.manual_seed(3)
    return make().eval()
