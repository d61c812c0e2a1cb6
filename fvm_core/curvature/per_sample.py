"""Visit every layer of a model with what makes up the per-sample gradients of the loss."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from fvm_core.diagonal.arguments import class_labels
from fvm_core.diagonal.residuals import logits_of, probabilities, residual
from fvm_core.layers.passes import Tap, Visit
from fvm_core.layers.registry import Gradients, Inputs
from fvm_core.layers.tapped import TappedModel

_FLOATS = 2**25
"""Most per-sample gradient values held at once (128 MiB)."""


def visit_layers(
    tapped: TappedModel,
    images: torch.Tensor,
    labels: torch.Tensor,
    visit: Visit,
    *,
    draw: torch.Generator | None = None,
) -> None:
    """One forward and one backward pass: `visit(tap, inputs, δ)` for every layer, from the head down.

    Args:
        tapped: the model.
        images: (B, …).
        labels: (B,), whose losses δ belongs to.
        visit: δ is the gradient of each sample's own loss by the layer's output.
        draw: take labels drawn from the model's own probabilities by this generator instead.
    """
    if not len(images):
        return
    labels = class_labels(labels, len(images), tapped.classes)
    with tapped.frozen():
        run = tapped.forward(images)
        logits = logits_of(tapped, run)
        p = probabilities(logits)
        if draw is not None:
            labels = torch.multinomial(p.cpu(), 1, generator=draw)[:, 0].to(labels)
        run.backward(residual(p, labels).to(logits.dtype), visit)


def gradient_slices(tap: Tap, inputs: Inputs, delta: torch.Tensor) -> Iterator[Gradients]:
    """Per-sample gradients (b, *parameter.shape) by the model's parameter names, a few samples at a time."""
    for part in slices(len(delta), tap.floats):
        own = inputs[part] if isinstance(inputs, torch.Tensor) else tuple(i[part] for i in inputs)
        found = tap.kernel.gradients(tap.module, own, delta[part])
        yield {name: found[local] for local, name in tap.parameters.items()}


def slices(count: int, floats: int) -> Iterator[slice]:
    """Parts of a batch of `count` samples, of `floats` values each, that fit in memory together."""
    size = max(1, _FLOATS // max(1, floats))
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
